//! The power-cut suite: each store works while every write and sync of it is recorded; the power is cut at syncs and between them; the
//! store is opened on what is left. Must never count a cut before `create` returned, nor ask for what was not acknowledged.
//! `UNDERSTUDY_POWER_CUTS` sets how many cuts each store has to stand.

#[cfg(test)]
mod disk;
#[cfg(test)]
mod tap;

#[cfg(test)]
mod tests {
    use crate::disk::{Chance, Disk, FATES, Fate, Manner};
    use crate::tap::{self, Op};
    use journal::Store;
    use journal::chain::{Base, Head};
    use journal::conformance::{sample, sample_meta};
    use pipeline::Record;
    use pipeline::record::Fact;
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Mutex;
    use vocabulary::estate::StoreKind;

    /// Cuts of one store where `UNDERSTUDY_POWER_CUTS` does not say otherwise.
    const CUTS: usize = 240;
    /// Appends of one life of the store. Together they are larger than SQLite's write-ahead log gets before it is moved into the
    /// database (1,000 pages), and than sled's log before it is compacted (64 KiB).
    const APPENDS: u64 = 60;
    /// Lives of the store: closed and opened in between.
    const LIVES: u64 = 3;
    /// In a life's appends, one in so many comes with a base.
    const PRUNES_EVERY: u64 = 13;
    /// So many entries stay then.
    const KEPT: u64 = 5;
    /// One cut in so many is followed by another in the life after it.
    const AGAIN_EVERY: usize = 3;
    /// The tap is one for the process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// Records of an append, by the number of its first.
    fn batch(first: u64) -> Vec<Record> {
        (first..=first + first % 3).map(record).collect()
    }

    /// The record with a number; some are larger than a page, some than many.
    fn record(number: u64) -> Record {
        let length = [10, 600, 5_000, 40, 30_000, 90, 12_000][usize::try_from(number % 7).unwrap()];
        let what = format!("number {number} {}", "x".repeat(length));
        Record { fact: Fact::Intended { principal: "uid 0".into(), what }, ..sample(number) }
    }

    /// Opens the store, checks everything in it against what may be there, and appends.
    fn live(store: &Path, acknowledged: u64, appends: u64) -> Result<u64, String> {
        let mut held = journal::open(store).map_err(|error| format!("does not open: {error}"))?;
        let mut entries = Vec::new();
        let base = held.store.base().map_err(|error| format!("does not tell its base: {error}"))?;
        if let Some(odd) = base.as_ref().filter(|base| base.ledger != stands_for(base.number)) {
            return Err(format!("base {} is not what was put there", odd.number));
        }
        let ends = base.map(|base| base.head()).unwrap_or_default();
        let first = ends.number + 1;
        let replayed = held.store.replay(&ends, &mut |entry| entries.push(entry));
        let mut head = replayed.map_err(|error| format!("does not replay: {error}"))?;
        if held.store.head().map_err(|error| error.to_string())? != head {
            return Err("head and replay disagree".into());
        }
        let changed =
            entries.iter().zip(first..).find(|(entry, number)| entry.number != *number || entry.record != record(*number));
        if let Some((entry, _)) = changed {
            return Err(format!("entry {} is not what was appended", entry.number));
        }
        if head.number < acknowledged {
            return Err(format!("lost: {acknowledged} were acknowledged, {} are there", head.number));
        }
        let next = acknowledged + batch(acknowledged + 1).len() as u64;
        if head.number != acknowledged && head.number != next {
            return Err(format!("{} are there, a part of an append or more than was asked for", head.number));
        }
        tap::acknowledged(head.number);
        for n in 1..=appends {
            let records = batch(head.number + 1);
            head = if n % PRUNES_EVERY == 0 {
                prune(held.store.as_mut(), &head, &records).map_err(|error| format!("does not prune: {error}"))?
            } else {
                held.store.append(&head, &records).map_err(|error| format!("does not append: {error}"))?
            };
            tap::acknowledged(head.number);
            if n % 3 == 0 {
                held.store.sweep(7).map_err(|error| format!("does not sweep: {error}"))?;
            }
        }
        Ok(head.number)
    }

    /// Appends records, and puts a base in place of all but the newest entries.
    fn prune(store: &mut dyn Store, head: &Head, records: &[Record]) -> Result<Head, journal::Error> {
        let number = head.number - KEPT;
        let entry = store.reader()?.page(number - 1, 1)?.into_iter().next();
        let hash = entry.ok_or_else(|| journal::Error::Broken(format!("entry {number} is not there")))?.hash;
        let lines = head.lines(records).map_err(|error| journal::Error::Io(error.to_string()))?;
        store.rebase(head, &Base { number, hash, ledger: stands_for(number) }, &lines)
    }

    /// What stands for entries up to this number: larger than many pages.
    fn stands_for(number: u64) -> String {
        format!("up to {number} {}", "y".repeat(30_000))
    }

    /// Makes a store and lets it live; everything that happened.
    fn recorded(kind: StoreKind, root: &Path) -> Vec<Op> {
        tap::start(root);
        let store = root.join("state/store");
        journal::create(&store, kind, &sample_meta()).unwrap();
        tap::acknowledged(0);
        let mut number = 0;
        for _ in 0..LIVES {
            number = live(&store, number, APPENDS).unwrap();
        }
        tap::stop()
    }

    /// Where the power is cut: at syncs (before and after) and anywhere, in turn, spread over everything that was recorded.
    fn places(ops: &[Op], count: usize, chance: &mut Chance) -> Vec<usize> {
        let begun = ops.iter().position(|op| matches!(op, Op::Acknowledged(_))).unwrap() + 1;
        let syncs: Vec<usize> = (begun..ops.len()).filter(|at| matches!(ops[*at], Op::Sync { .. } | Op::SyncFolder(_))).collect();
        let spread = |n: usize| syncs[(n * syncs.len() / count).min(syncs.len() - 1)] + n % 2;
        let mut places: Vec<usize> =
            (0..count).map(|n| if n % 4 < 2 { spread(n) } else { begun + chance.up_to(ops.len() - begun) }).collect();
        places.sort_unstable();
        places
    }

    /// What went wrong, by kind: how often, and the first of them.
    type Failures = BTreeMap<String, (usize, String)>;

    /// Cuts at `count` places; after some of them once more, in the life that follows.
    fn cuts(ops: &[Op], root: &Path, manner: Manner, count: usize, again: bool, seed: u64) -> Failures {
        let mut failures = Failures::new();
        let mut chance = Chance(seed);
        let mut disk = Disk::new(root, manner);
        let mut done = 0;
        for (n, place) in places(ops, count, &mut chance).into_iter().enumerate() {
            ops[done..place].iter().for_each(|op| disk.happens(op));
            done = place;
            let fate = FATES[chance.up_to(FATES.len() - 1)];
            let folder = tempfile::tempdir().unwrap();
            let left = folder.path().canonicalize().unwrap();
            disk.cut(fate, &mut chance, &left);
            tap::start(&left);
            let outcome = live(&left.join("state/store"), disk.acknowledged.unwrap(), 3);
            let next = tap::stop();
            if let Err(why) = &outcome {
                let sort = why.split_inclusive([':', ',']).next().unwrap_or_default().to_owned();
                let story = format!("cut {n} of seed {seed} before operation {place} ({fate:?}): {why}");
                failures.entry(sort).or_insert((0, story)).0 += 1;
            } else if again && n % AGAIN_EVERY == 0 {
                for (sort, (number, story)) in cuts(&next, &left, manner, 2, false, seed + n as u64) {
                    let story = format!("cut {n} of seed {seed} before operation {place} ({fate:?}), then {story}");
                    failures.entry(format!("again {sort}")).or_insert((0, story)).0 += number;
                }
            }
        }
        failures
    }

    fn stands_every_cut(kind: StoreKind) {
        let _alone = ONE_AT_A_TIME.lock().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let ops = recorded(kind, &root);
        nothing_escaped(&ops, &root);
        let wanted = std::env::var("UNDERSTUDY_POWER_CUTS").ok().map(|text| text.parse().unwrap());
        let count = wanted.unwrap_or(CUTS);
        let failures = cuts(&ops, &root, Manner::Honest, count, true, 1);
        println!("{kind:?}: {} operations, {count} cuts, failures {failures:#?}", ops.len());
        assert!(failures.is_empty(), "{kind:?} does not stand power cuts: {failures:#?}");
        let failures = cuts(&ops, &root, Manner::Lying, CUTS / 4, false, 2);
        assert!(failures.keys().any(|sort| sort.contains("lost")), "a disk that does not sync is noticed: {failures:#?}");
    }

    /// If nothing is lost, exactly what is in the real folder is found: no call went past the tap. SQLite's shared memory is mapped,
    /// not written; it is made anew by whoever opens first.
    fn nothing_escaped(ops: &[Op], root: &Path) {
        let mut disk = Disk::new(root, Manner::Honest);
        ops.iter().for_each(|op| disk.happens(op));
        let folder = tempfile::tempdir().unwrap();
        disk.cut(Fate::Kept, &mut Chance(0), folder.path());
        let of = |root: &Path| {
            let found = tap::walk(root).into_iter().filter(|(path, _)| !path.to_string_lossy().ends_with("-shm"));
            found.map(|(path, bytes)| (path.strip_prefix(root).unwrap().to_owned(), bytes)).collect::<BTreeMap<_, _>>()
        };
        let (real, rebuilt) = (of(root), of(folder.path()));
        assert_eq!(real.keys().collect::<Vec<_>>(), rebuilt.keys().collect::<Vec<_>>());
        assert!(real.iter().all(|(path, bytes)| rebuilt[path] == *bytes), "a write went past the tap");
    }

    #[test]
    fn sqlite_loses_nothing_in_a_power_cut() {
        stands_every_cut(StoreKind::Sqlite);
    }

    #[test]
    fn sled_loses_nothing_in_a_power_cut() {
        stands_every_cut(StoreKind::Sled);
    }
}
