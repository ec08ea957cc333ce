//! The suite that every store passes. Each law is a function over a directory and a way to open the store in it, so that a new store
//! cannot escape one.

use crate::chain::{Base, Entry, Head};
use crate::store::{Error, Meta, Store};
use pipeline::Record;
use pipeline::ledger::Ledger;
use pipeline::record::Fact;
use std::path::Path;
use vocabulary::{EstateUuid, Lineage, Secret, WallTime};

type Made = Result<Box<dyn Store>, Error>;

/// How to make and open a store.
pub struct Maker {
    /// For messages.
    pub name: &'static str,
    /// Makes a new one.
    pub create: fn(&Path, &Meta) -> Made,
    /// Opens it again.
    pub open: fn(&Path) -> Made,
}

/// Every store there is.
pub const STORES: [Maker; 2] = [
    Maker {
        name: "sqlite",
        create: |directory, meta| Ok(Box::new(crate::sqlite_store::SqliteStore::create(directory, meta)?)),
        open: |directory| Ok(Box::new(crate::sqlite_store::SqliteStore::open(directory)?)),
    },
    Maker {
        name: "sled",
        create: |directory, meta| Ok(Box::new(crate::sled_store::SledStore::create(directory, meta)?)),
        open: |directory| Ok(Box::new(crate::sled_store::SledStore::open(directory)?)),
    },
];

/// A meta row for tests.
pub fn sample_meta() -> Meta {
    Meta {
        estate: EstateUuid("5f0c8a3e-7a3b-4c52-9d3c-6a0f7a1b2c3d".into()),
        lineage: Lineage("lineage-1".into()),
        key: Secret::new("key"),
        lab: true,
    }
}

/// A record for tests.
pub fn sample(n: u64) -> Record {
    let fact = Fact::Intended { principal: "uid 0".into(), what: format!("number {n}") };
    Record { at: WallTime(n), fact }
}

fn all(store: &dyn Store) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let base = store.base()?.map(|base| base.head()).unwrap_or_default();
    store.replay(&base, &mut |entry| entries.push(entry))?;
    Ok(entries)
}

fn ensure(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn text(error: Error) -> String {
    error.to_string()
}

/// Appends are there after a re-open, in order, without gaps, chained.
pub fn keeps_what_it_acknowledged(maker: &Maker, directory: &Path) -> Result<(), String> {
    let mut store = (maker.create)(directory, &sample_meta()).map_err(text)?;
    let mut head = Head::default();
    for n in 0..20 {
        let batch: Vec<Record> = (0..n % 4).map(|k| sample(n * 10 + k)).collect();
        head = store.append(&head, &batch).map_err(text)?;
    }
    let before = all(store.as_ref()).map_err(text)?;
    drop(store);
    let store = (maker.open)(directory).map_err(text)?;
    ensure("the head is the last acknowledged", store.head().map_err(text)? == head)?;
    ensure("all entries are there", all(store.as_ref()).map_err(text)? == before && before.len() == 30)?;
    ensure("numbers have no gaps", before.iter().zip(1..).all(|(entry, n)| entry.number == n))?;
    let mut after_ten = Vec::new();
    let tenth = before.get(9).map(|entry| Head { number: 10, hash: entry.hash.clone() }).ok_or("ten entries")?;
    store.replay(&tenth, &mut |entry| after_ten.push(entry.number)).map_err(text)?;
    ensure("replay begins after the given head", after_ten.first() == Some(&11) && after_ten.len() == 20)?;
    ensure("meta is kept", store.meta().estate == sample_meta().estate && store.meta().lab)
}

/// An append against another head changes nothing.
pub fn refuses_a_moved_head(maker: &Maker, directory: &Path) -> Result<(), String> {
    let mut store = (maker.create)(directory, &sample_meta()).map_err(text)?;
    let head = store.append(&Head::default(), &[sample(1)]).map_err(text)?;
    let refused = store.append(&Head::default(), &[sample(2)]);
    ensure("a moved head is refused", matches!(refused, Err(Error::HeadMoved { expected: 0, found: 1 })))?;
    ensure("and nothing is appended", store.head().map_err(text)? == head)
}

/// A second store is not made over the first.
pub fn is_made_once(maker: &Maker, directory: &Path) -> Result<(), String> {
    let mut store = (maker.create)(directory, &sample_meta()).map_err(text)?;
    store.append(&Head::default(), &[sample(1)]).map_err(text)?;
    drop(store);
    ensure("a second create is refused", (maker.create)(directory, &sample_meta()).is_err())?;
    ensure("and the first store is whole", all((maker.open)(directory).map_err(text)?.as_ref()).map_err(text)?.len() == 1)
}

/// A reader beside the writer sees what is durable, in pages, and no more than it was asked for.
pub fn is_read_beside_its_writer(maker: &Maker, directory: &Path) -> Result<(), String> {
    let mut store = (maker.create)(directory, &sample_meta()).map_err(text)?;
    let mut reader = store.reader().map_err(text)?;
    ensure("an empty journal has no page", reader.page(0, 10).map_err(text)?.is_empty())?;
    let mut head = Head::default();
    for n in 0..6 {
        let batch: Vec<Record> = (0..3).map(|k| sample(n * 3 + k)).collect();
        head = store.append(&head, &batch).map_err(text)?;
    }
    let whole = all(store.as_ref()).map_err(text)?;
    for after in 0..=whole.len() {
        for limit in [0, 1, 4, 100] {
            let page = reader.page(after as u64, limit).map_err(text)?;
            let expected: Vec<Entry> = whole.iter().skip(after).take(limit).cloned().collect();
            ensure(&format!("the page of {limit} after {after}"), page == expected)?;
        }
    }
    ensure("after what is not there comes nothing", reader.page(99, 10).map_err(text)?.is_empty())
}

/// A base takes the place of what it stands for at once, whether or not that is swept, in what is replayed and in what is read, and after a re-open.
/// Against a moved head nothing changes.
pub fn puts_a_base_in_place_of_old_entries(maker: &Maker, directory: &Path) -> Result<(), String> {
    let mut store = (maker.create)(directory, &sample_meta()).map_err(text)?;
    let mut reader = store.reader().map_err(text)?;
    ensure("a new store has no base", store.base().map_err(text)?.is_none() && reader.base().map_err(text)?.is_none())?;
    let mut head = Head::default();
    for n in 0..6 {
        let batch: Vec<Record> = (0..3).map(|k| sample(n * 3 + k)).collect();
        head = store.append(&head, &batch).map_err(text)?;
    }
    let mut whole = all(store.as_ref()).map_err(text)?;
    let mut folded = whole.clone();
    // in the middle of an append, at the end of one, and at the newest entry of all
    for number in [7, 12, 19] {
        let hash = whole.iter().find(|entry| entry.number == number).map(|entry| entry.hash.clone()).ok_or("an entry")?;
        let mut ledger = Ledger::default();
        folded.iter().take_while(|entry| entry.number <= number).for_each(|entry| ledger.apply(&entry.record));
        let base = Base { number, hash, ledger: ledger.to_text().map_err(|error| error.to_string())? };
        let pruned = head.lines(&[sample(100 + number)]).map_err(|error| error.to_string())?;
        let refused = store.rebase(&Head::default(), &base, &pruned);
        ensure("a moved head is refused", matches!(refused, Err(Error::HeadMoved { expected: 0, .. })))?;
        ensure("and nothing changes", store.head().map_err(text)? == head)?;
        head = store.rebase(&head, &base, &pruned).map_err(text)?;
        whole.retain(|entry| entry.number > number);
        let last = entry_of(&pruned, &whole)?;
        folded.push(last.clone());
        whole.push(last);
        kept(store.as_ref(), reader.as_mut(), &base, &whole)?;
        let (mut turns, limit) = (0, 4);
        while !store.sweep(limit).map_err(text)? {
            turns += 1;
            ensure("a sweep comes to its end", turns < 10)?;
            kept(store.as_ref(), reader.as_mut(), &base, &whole)?;
        }
        drop(reader);
        drop(store);
        store = (maker.open)(directory).map_err(text)?;
        reader = store.reader().map_err(text)?;
        kept(store.as_ref(), reader.as_mut(), &base, &whole)?;
        ensure("the head is the last acknowledged", store.head().map_err(text)? == head)?;
        let removed = store.replay(&Head::default(), &mut |_| {});
        ensure("what was removed is not there", matches!(removed, Err(Error::Broken(_))))?;
    }
    head = store.append(&head, &[sample(200)]).map_err(text)?;
    ensure("and it goes on", head.number == 22 && all(store.as_ref()).map_err(text)?.len() == 3)
}

/// A store that is made from a base alone ends where that ends.
pub fn begins_with_a_base(maker: &Maker, directory: &Path) -> Result<(), String> {
    let mut store = (maker.create)(directory, &sample_meta()).map_err(text)?;
    let base = Base { number: 40, hash: "h".repeat(64), ledger: "forty".into() };
    let head = store.rebase(&Head::default(), &base, &[]).map_err(text)?;
    ensure("it ends where its base ends", head == base.head() && store.head().map_err(text)? == head)?;
    let head = store.append(&head, &[sample(1), sample(2)]).map_err(text)?;
    drop(store);
    let store = (maker.open)(directory).map_err(text)?;
    let entries = all(store.as_ref()).map_err(text)?;
    ensure("and goes on from there", head.number == 42 && entries.iter().map(|entry| entry.number).eq([41, 42]))
}

fn entry_of(lines: &[crate::chain::Line], before: &[Entry]) -> Result<Entry, String> {
    let line = lines.first().ok_or("a line")?;
    let previous = before.last().map(|entry| entry.hash.clone());
    let record = serde_json::from_str(&line.text).map_err(|error| error.to_string())?;
    let previous = previous.unwrap_or_default();
    Ok(Entry { number: line.number, previous, hash: line.hash.clone(), record })
}

/// That this base and these entries, and nothing else, are told by both.
fn kept(store: &dyn Store, reader: &mut dyn crate::store::Reader, base: &Base, entries: &[Entry]) -> Result<(), String> {
    let same = |found: &[Entry]| {
        found.iter().map(|entry| (entry.number, &entry.hash)).eq(entries.iter().map(|entry| (entry.number, &entry.hash)))
    };
    ensure("the base is there", store.base().map_err(text)?.as_ref() == Some(base))?;
    ensure("and read", reader.base().map_err(text)?.as_ref() == Some(base))?;
    ensure("what follows it is replayed", same(&all(store).map_err(text)?))?;
    for after in [0, base.number - 1, base.number] {
        ensure(&format!("what follows it is read after {after}"), same(&reader.page(after, 100).map_err(text)?))?;
        ensure("in pages", reader.page(after, 1).map_err(text)?.len() == 1)?;
    }
    let (last, before) = entries.split_last().ok_or("an entry")?;
    let after = before.last().map_or(base.number, |entry| entry.number);
    ensure("the last is read", reader.page(after, 9).map_err(text)?.iter().map(|entry| entry.number).eq([last.number]))
}
