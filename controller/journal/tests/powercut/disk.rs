//! A disk under a power cut, stricter than the file systems in use: what was synced is there, a name only if its folder was synced
//! since; of everything else nothing, all, the first part, or any mixture of pages or of torn sectors may be there.
//! Must never keep less than what was synced: then it would convict an honest store.

use crate::tap::Op;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the kernel writes back as a whole, bytes.
const PAGE: usize = 4096;
/// What a device writes as a whole, bytes.
const SECTOR: usize = 512;

/// Numbers from a seed (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..=most`.
    pub fn up_to(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % (most as u64 + 1)).unwrap()
    }
}

/// What becomes of what was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Lost,
    Kept,
    /// What happened first is kept.
    Beginning,
    /// Each page is as it was after any one of the writes to it.
    Pages,
    /// The same for each sector.
    Sectors,
}

/// Every fate.
pub const FATES: [Fate; 5] = [Fate::Lost, Fate::Kept, Fate::Beginning, Fate::Pages, Fate::Sectors];

/// Does the disk do what it is told?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    Honest,
    /// It says "synced" and does nothing: for the negative control.
    Lying,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Clone, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<(usize, Change)>,
}

/// The names: a file by number, or a folder.
type Names = BTreeMap<PathBuf, Option<usize>>;

/// The state of the disk after some of the operations.
pub struct Disk {
    root: PathBuf,
    manner: Manner,
    files: BTreeMap<usize, Content>,
    names: Names,
    renamings: Vec<(usize, Op)>,
    at: usize,
    /// The last number that was acknowledged; `None` before the first.
    pub acknowledged: Option<u64>,
}

impl Disk {
    pub fn new(root: &Path, manner: Manner) -> Disk {
        let (files, names) = (BTreeMap::new(), Names::new());
        Disk { root: root.to_owned(), manner, files, names, renamings: Vec::new(), at: 0, acknowledged: None }
    }

    /// The next operation happens.
    pub fn happens(&mut self, op: &Op) {
        self.at += 1;
        let believes = self.manner == Manner::Honest || self.acknowledged.is_none();
        match op {
            Op::Create { file, .. } => {
                self.files.insert(*file, Content::default());
                self.renamings.push((self.at, op.clone()));
            }
            Op::MakeFolder(_) | Op::Rename { .. } | Op::Remove(_) => self.renamings.push((self.at, op.clone())),
            Op::Write { file, offset, bytes } => self.change(*file, Change::Write { offset: *offset, bytes: bytes.clone() }),
            Op::Resize { file, size } => self.change(*file, Change::Resize(*size)),
            Op::Sync { file } if believes => {
                let content = self.files.get_mut(file).unwrap();
                for (_, change) in std::mem::take(&mut content.pending) {
                    change.apply(&mut content.durable, 0..usize::MAX);
                }
            }
            Op::SyncFolder(folder) if believes => {
                let concerns = |(_, op): &(usize, Op)| op.folders().contains(&folder.as_path());
                let last = self.renamings.iter().rposition(concerns).map_or(0, |last| last + 1);
                for (_, op) in self.renamings.drain(..last) {
                    op.rename(&mut self.names);
                }
            }
            Op::Sync { .. } | Op::SyncFolder(_) => {}
            Op::Acknowledged(number) => self.acknowledged = Some(*number),
        }
    }

    fn change(&mut self, file: usize, change: Change) {
        self.files.get_mut(&file).unwrap().pending.push((self.at, change));
    }

    /// The power goes: what is found afterwards, written under `to`.
    pub fn cut(&self, fate: Fate, chance: &mut Chance, to: &Path) {
        let limit = match fate {
            Fate::Lost => 0,
            Fate::Beginning => chance.up_to(self.at),
            Fate::Kept | Fate::Pages | Fate::Sectors => usize::MAX,
        };
        let mut names = self.names.clone();
        let known = self.renamings.iter().filter(|(at, _)| *at <= limit).count();
        // names become durable in the order in which they were given, on every file system with a journal
        let kept = if matches!(fate, Fate::Pages | Fate::Sectors) { chance.up_to(known) } else { known };
        self.renamings.iter().take(kept).for_each(|(_, op)| op.rename(&mut names));
        for (path, file) in names {
            let path = to.join(path.strip_prefix(&self.root).unwrap());
            match file {
                None => std::fs::create_dir(path).unwrap(),
                Some(file) => std::fs::write(path, self.files[&file].after(fate, limit, chance)).unwrap(),
            }
        }
    }
}

impl Content {
    fn after(&self, fate: Fate, limit: usize, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let pending: Vec<&Change> = self.pending.iter().filter(|(at, _)| *at <= limit).map(|(_, change)| change).collect();
        let grain = match fate {
            Fate::Lost | Fate::Kept | Fate::Beginning => {
                pending.iter().for_each(|change| change.apply(&mut bytes, 0..usize::MAX));
                return bytes;
            }
            Fate::Pages => PAGE,
            Fate::Sectors => SECTOR,
        };
        // a new size is a matter of names' order too: some of them, in order, and between them any mixture
        let mut parts = pending.split(|change| matches!(change, Change::Resize(_)));
        let sizes: Vec<&&Change> = pending.iter().filter(|change| matches!(change, Change::Resize(_))).collect();
        let kept = chance.up_to(sizes.len());
        mix(&mut bytes, parts.next().unwrap_or_default(), grain, chance);
        for (size, part) in sizes.into_iter().zip(parts).take(kept) {
            size.apply(&mut bytes, 0..usize::MAX);
            mix(&mut bytes, part, grain, chance);
        }
        bytes
    }
}

/// Each grain of the file as it was after any one of the writes to it, or as before all.
fn mix(bytes: &mut Vec<u8>, writes: &[&Change], grain: usize, chance: &mut Chance) {
    let grains: BTreeSet<usize> = writes.iter().flat_map(|write| write.grains(grain)).collect();
    for number in grains {
        let here: Vec<&&Change> = writes.iter().filter(|write| write.grains(grain).contains(&number)).collect();
        let kept = chance.up_to(here.len());
        for write in here.into_iter().take(kept) {
            write.apply(bytes, number * grain..(number + 1) * grain);
        }
    }
}

impl Change {
    /// What of it falls into `within` happens.
    fn apply(&self, to: &mut Vec<u8>, within: std::ops::Range<usize>) {
        match self {
            Change::Resize(size) => to.resize(*size, 0),
            Change::Write { offset, bytes } => {
                let (from, end) = (within.start.max(*offset), within.end.min(offset + bytes.len()));
                if from < end {
                    to.resize(to.len().max(end), 0);
                    to[from..end].copy_from_slice(&bytes[from - offset..end - offset]);
                }
            }
        }
    }

    fn grains(&self, grain: usize) -> std::ops::Range<usize> {
        match self {
            Change::Write { offset, bytes } if !bytes.is_empty() => offset / grain..(offset + bytes.len()).div_ceil(grain),
            Change::Write { .. } | Change::Resize(_) => 0..0,
        }
    }
}

impl Op {
    /// The folders whose names it changes.
    fn folders(&self) -> Vec<&Path> {
        match self {
            Op::Create { path, .. } | Op::MakeFolder(path) | Op::Remove(path) => path.parent().into_iter().collect(),
            Op::Rename { from, to } => from.parent().into_iter().chain(to.parent()).collect(),
            _ => Vec::new(),
        }
    }

    fn rename(&self, names: &mut Names) {
        match self {
            Op::Create { path, file } => drop(names.insert(path.clone(), Some(*file))),
            Op::MakeFolder(path) => drop(names.insert(path.clone(), None)),
            Op::Remove(path) => drop(names.remove(path)),
            Op::Rename { from, to } => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
            _ => {}
        }
    }
}
