//! Old records are removed, as `retention:` in the estate's settings says: they are read once more, a slice at a time between other work, folded, and
//! replaced in the store by what they come to. It must never remove what is young, and never much at once: a clock that errs for a day costs a
//! tenth of what is kept.

use crate::limits;
use journal::chain::{Base, Head};
use journal::{Error, Reader, Store};
use pipeline::Record;
use pipeline::ledger::Ledger;
use pipeline::record::Fact;
use std::time::Duration;
use tokio::time::Instant;
use vocabulary::WallTime;
use vocabulary::estate::Retention;

/// Who looks for old records.
pub(crate) struct Keeper {
    /// When something is to be done.
    due: Instant,
    doing: Doing,
    /// True once old records were looked for by this process.
    looked: bool,
}

enum Doing {
    /// Nothing, until it is time again.
    Resting,
    /// Old records are read.
    Reading(Box<Reading>),
    /// What a base stands for takes room still.
    Sweeping,
}

/// Old records that are read: first up to where they may go, then what these come to.
struct Reading {
    reader: Box<dyn Reader>,
    /// Up to this number it is known what may go.
    seen: u64,
    /// The last one that may go, of these.
    cut: u64,
    /// True once `cut` is final.
    is_cut: bool,
    ledger: Ledger,
    /// How far the ledger has come.
    at: Head,
    /// Where the base ended when it was begun.
    base: u64,
    /// No record beyond this number goes.
    most: u64,
    /// Nor one that is not older than this.
    before: WallTime,
    /// When it was begun.
    now: WallTime,
}

/// What a turn needs to know.
pub(crate) struct Known<'a> {
    /// The store.
    pub store: &'a mut dyn Store,
    /// Its head.
    pub head: &'a Head,
    /// What is to be kept.
    pub retention: &'a Retention,
    /// What all records come to.
    pub ledger: &'a Ledger,
    /// The time of day.
    pub wall: WallTime,
}

/// A base that is to come, with the record that tells of it.
pub(crate) struct Replacement {
    /// The base.
    pub base: Base,
    /// The record.
    pub record: Record,
}

impl Default for Keeper {
    fn default() -> Keeper {
        // a store of before may have been left in the middle of it
        Keeper { due: Instant::now(), doing: Doing::Sweeping, looked: false }
    }
}

/// What a base says.
pub(crate) fn ledger_of(base: &Base) -> Result<Ledger, Error> {
    let odd =
        |error| format!("what stands in place of entries up to {} is of no version that is known here: {error}", base.number);
    Ledger::from_text(&base.ledger).map_err(|error| Error::Broken(odd(error)))
}

/// How often old records are looked for: what is kept for less than ten days is looked through more often than daily.
fn every(retention: &Retention) -> Duration {
    Duration::from_millis(retention.history.0 / 10).clamp(limits::RETENTION_EVERY_MIN, limits::RETENTION_EVERY_MAX)
}

/// Whoever starts often removes no more by that; nor does a clock, be it ahead or behind.
fn removed_lately(known: &Known<'_>) -> bool {
    let since = known.ledger.pruned.as_ref().map(|pruned| Duration::from_millis(known.wall.0.abs_diff(pruned.at.0)));
    // the clock of the day and that of the process need not run alike
    since.is_some_and(|since| since < every(known.retention) * 9 / 10)
}

impl Reading {
    /// From the base on; `None` if too little can go for it to be worth a new base.
    fn begin(known: &Known<'_>) -> Result<Option<Reading>, Error> {
        let base = known.store.base()?;
        let at = base.as_ref().map(Base::head).unwrap_or_default();
        let kept = known.head.number.saturating_sub(at.number);
        let most = kept.saturating_sub(known.retention.at_least).min(kept / limits::RETENTION_SHARE);
        if most == 0 || most < kept / limits::RETENTION_WORTH {
            return Ok(None);
        }
        let ledger = base.as_ref().map(ledger_of).transpose()?.unwrap_or_default();
        let before = WallTime(known.wall.0.saturating_sub(known.retention.history.0));
        let reader = known.store.reader()?;
        let base = at.number;
        let (seen, cut, is_cut, most, now) = (base, base, false, base + most, known.wall);
        Ok(Some(Reading { reader, seen, cut, is_cut, ledger, at, base, most, before, now }))
    }

    /// Reads a slice. True once there is nothing more to read.
    fn more(&mut self) -> Result<bool, Error> {
        if !self.is_cut {
            self.is_cut = self.look()?;
            return Ok(false);
        }
        let page = self.reader.page(self.at.number, limits::RETENTION_SLICE)?;
        let gone = page.iter().take_while(|entry| entry.number <= self.cut);
        for entry in gone {
            self.ledger.apply(&entry.record);
            self.at = Head { number: entry.number, hash: entry.hash.clone() };
        }
        Ok(page.is_empty() || self.at.number >= self.cut)
    }

    /// Looks a slice further for the last record that may go; true once it is found. One from the future was written by a clock that was ahead: it
    /// goes if an old one comes after it, be that one among those that may go or not, and stops nothing.
    fn look(&mut self) -> Result<bool, Error> {
        let page = self.reader.page(self.seen, limits::RETENTION_SLICE)?;
        for entry in &page {
            let at = entry.record.at;
            if self.cut >= self.most || (self.before <= at && at <= self.now) {
                return Ok(true);
            }
            self.seen = entry.number;
            if at < self.before {
                self.cut = entry.number.min(self.most);
            }
        }
        Ok(page.is_empty())
    }

    /// What takes the place of what was read, if that is worth it.
    fn replacement(&self, known: &Known<'_>) -> Result<Option<Replacement>, Error> {
        let kept = known.head.number.saturating_sub(self.base);
        if self.at.number - self.base < (kept / limits::RETENTION_WORTH).max(1) {
            return Ok(None);
        }
        let ledger = self.ledger.to_text().map_err(|error| Error::Io(error.to_string()))?;
        let base = Base { number: self.at.number, hash: self.at.hash.clone(), ledger };
        let plans = known.ledger.forgettable(&self.ledger, self.before, known.wall);
        let fact = Fact::Pruned { entries: base.number, before: self.before, base: base.digest(), plans };
        Ok(Some(Replacement { base, record: Record { at: known.wall, fact } }))
    }
}

impl Keeper {
    /// True if something is to be done now.
    pub(crate) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// One small step. What it gives has to be put into the store.
    pub(crate) fn turn(&mut self, known: &mut Known<'_>) -> Option<Replacement> {
        let doing = std::mem::replace(&mut self.doing, Doing::Resting);
        let sweeping = matches!(doing, Doing::Sweeping);
        let (next, found) = self.step(doing, known).unwrap_or_else(|error| {
            tracing::error!(%error, "old records could not be removed; it is tried again");
            self.due = Instant::now() + limits::RETENTION_FIRST;
            (if sweeping { Doing::Sweeping } else { Doing::Resting }, None)
        });
        let pause = match (&next, self.looked) {
            (Doing::Resting, false) => every(known.retention).min(limits::RETENTION_FIRST),
            (Doing::Resting, true) => every(known.retention),
            _ => limits::RETENTION_PAUSE,
        };
        self.due = self.due.max(Instant::now() + pause);
        self.doing = next;
        found
    }

    fn step(&mut self, doing: Doing, known: &mut Known<'_>) -> Result<(Doing, Option<Replacement>), Error> {
        Ok(match doing {
            Doing::Resting => {
                self.looked = true;
                let begun = if removed_lately(known) { None } else { Reading::begin(known)? };
                (begun.map_or(Doing::Resting, |reading| Doing::Reading(Box::new(reading))), None)
            }
            Doing::Reading(mut reading) => {
                if !reading.more()? {
                    return Ok((Doing::Reading(reading), None));
                }
                let found = reading.replacement(known)?;
                (if found.is_some() { Doing::Sweeping } else { Doing::Resting }, found)
            }
            Doing::Sweeping => (if known.store.sweep(limits::RETENTION_SLICE)? { Doing::Resting } else { Doing::Sweeping }, None),
        })
    }
}
