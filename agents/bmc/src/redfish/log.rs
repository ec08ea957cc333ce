//! The event log over Redfish: which of a BMC's logs it is, its newest entries, and what they say. What reads is total over any JSON.
//! Must never erase an entry, take one for evidence, or ask for a page that the BMC did not hand out.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;
use vocabulary::WallTime;

use super::view;
use super::walk::Walk;
use crate::driver::LogEntry;
use crate::limits;

/// Which of several logs is the event log: the first of these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    /// The System Event Log: `SEL` by its name or by what it says of its entries (iDRAC 9 `Sel`, AMI MegaRAC `SEL`).
    System,
    /// A log of events by its name or kind: OpenBMC `EventLog`, iLO 5 and 6 `IML`.
    Events,
    /// A log that says nothing of itself: the DMTF's mock-ups and Supermicro X11 to X13 have `Log1`.
    Other,
}

/// A log that may be the event log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Candidate {
    rank: Rank,
    /// Which of the owners has it: system, manager, chassis.
    owner: usize,
    name: String,
    entries: String,
}

impl Candidate {
    /// The log behind a LogService, if it may be the event log.
    pub fn of(service: &Value, owner: usize) -> Option<Candidate> {
        /// What is no log of the machine's events, though it has log services: OpenBMC's post codes, dumps, console and journal, logs of who
        /// logged in, iLO's security log, and iDRAC's list of what is wrong now.
        const OTHERS: [&str; 8] = ["audit", "security", "postcode", "dump", "journal", "hostlogger", "crashdump", "faultlist"];
        let entries = service.get("Entries").and_then(view::link)?;
        let name = view::text(service, "Id").unwrap_or_else(|| view::clean(view::id(&entries), limits::TEXT_MAX));
        let (id, kind) = (name.to_ascii_lowercase(), service.get("LogEntryType").and_then(Value::as_str));
        if id == "sl" || OTHERS.iter().any(|other| id.contains(other)) {
            return None;
        }
        let rank = match (id.as_str(), kind) {
            ("sel", _) | (_, Some("SEL")) => Rank::System,
            ("eventlog" | "iml", _) | (_, Some("Event" | "Multiple")) => Rank::Events,
            _ => Rank::Other,
        };
        Some(Candidate { rank, owner, name, entries })
    }
}

/// The ends of a log that goes by page by page, and which of them is the newer one.
#[derive(Debug, Default)]
pub struct Window {
    head: Vec<Value>,
    tail: VecDeque<Value>,
    seen: usize,
    strange: usize,
    times: Way,
    numbers: Way,
}

/// How often a value rose and fell from one entry to the next.
#[derive(Debug, Default)]
struct Way {
    last: Option<i64>,
    rose: usize,
    fell: usize,
}

impl Way {
    fn goes(&mut self, value: Option<i64>) {
        let Some(value) = value else { return };
        if let Some(last) = self.last.replace(value) {
            self.rose += usize::from(value > last);
            self.fell += usize::from(value < last);
        }
    }

    /// True if it falls from entry to entry, false if it rises; one clock that was set wrong does not turn it round.
    fn falls(&self) -> Option<bool> {
        (self.rose != self.fell).then_some(self.fell > self.rose)
    }
}

impl Window {
    /// Takes a page.
    pub fn take(&mut self, page: &Value) {
        for member in page.get("Members").and_then(Value::as_array).into_iter().flatten() {
            if !member.is_object() {
                self.strange += 1;
                continue;
            }
            self.seen += 1;
            self.times.goes(seconds(member));
            self.numbers.goes(number(member));
            if self.head.len() < limits::LOG_KEPT {
                self.head.push(member.clone());
            }
            if self.tail.len() >= limits::LOG_KEPT {
                self.tail.pop_front();
            }
            self.tail.push_back(member.clone());
        }
    }

    /// True if the newest come first, as iDRAC tells them; false if last, as the rest do. By their times, else by their numbers: of links
    /// alone only these are known.
    pub fn newest_first(&self) -> Option<bool> {
        self.times.falls().or_else(|| self.numbers.falls())
    }

    /// True if what comes behind is older than all that is kept.
    pub fn is_enough(&self) -> bool {
        self.head.len() >= limits::LOG_KEPT && self.times.falls() == Some(true)
    }

    /// The newest entries, the oldest of them first.
    pub fn newest(&self, newest_first: bool) -> Vec<Value> {
        if newest_first { self.head.iter().rev().cloned().collect() } else { self.tail.iter().cloned().collect() }
    }
}

fn seconds(entry: &Value) -> Option<i64> {
    view::seconds(&view::time(entry, "Created")?)
}

/// Its number, where its Id is one.
fn number(entry: &Value) -> Option<i64> {
    id(entry).parse().ok()
}

fn id(entry: &Value) -> String {
    let path = || view::link(entry).map(|path| view::clean(view::id(&path), limits::TEXT_MAX));
    view::text(entry, "Id").or_else(path).unwrap_or_default()
}

/// True for a member that only says where the entry is.
fn is_bare(member: &Value) -> bool {
    !["Message", "Created", "EntryType", "Severity", "Id"].iter().any(|key| member.get(key).is_some())
}

/// What an entry says, in the BMC's own words.
pub fn entry(told: &Value) -> LogEntry {
    let severity = match told.get("Severity").and_then(Value::as_str) {
        Some("OK") => "OK",
        Some("Warning") => "Warning",
        Some("Critical") => "Critical",
        _ => "unknown",
    };
    let sensor = told.get("SensorNumber").and_then(Value::as_u64).and_then(|number| u8::try_from(number).ok());
    let kind = ["SensorType", "OemSensorType", "EntryType"].iter().find_map(|key| view::text(told, key));
    let kind = kind.unwrap_or_else(|| "entry".to_owned());
    let message = told.get("Message").and_then(Value::as_str).map(|text| view::clean(text, limits::EXPLANATION_MAX));
    let message = message.filter(|text| !text.is_empty());
    let what = message.or_else(|| view::text(told, "MessageId")).or_else(|| view::text(told, "EntryCode"));
    let what = what.unwrap_or_else(|| "says nothing".to_owned());
    let ended = told.get("EntryCode").and_then(Value::as_str).is_some_and(|code| code.to_ascii_lowercase().contains("deassert"));
    LogEntry {
        id: id(told),
        at: seconds(told).and_then(|seconds| u64::try_from(seconds).ok()).map(|seconds| WallTime(seconds.saturating_mul(1000))),
        kind: sensor.map_or_else(|| kind.clone(), |sensor| format!("{kind}, sensor {sensor:#04x}")),
        what: if ended { format!("ended: {what}") } else { what },
        severity: severity.to_owned(),
    }
}

/// The end of a log, and what is to be said of it.
#[derive(Debug)]
pub struct Told {
    /// The newest entries, the oldest first.
    pub entries: Vec<LogEntry>,
    /// Which log it is, how long, and what is missing.
    pub remark: String,
}

/// The event log: of the system, else of the manager, else of its chassis. The reason where none is told.
pub async fn read(walk: &Walk<'_>, owners: &[&Value]) -> Result<Told, String> {
    let (log, behind) = (choose(walk, owners).await?, Behind::default());
    let mut window = Window::default();
    let rest = pages(walk, &log.entries, &mut window, behind).await?;
    let newest_first = match window.newest_first() {
        // numbers in links may begin anew: the times behind them decide
        _ if window.times.last.is_none() => by_ends(walk, &window).await,
        told => told,
    };
    let newest = window.newest(newest_first.unwrap_or(false));
    let (entries, untold) = opened(walk, newest).await;
    let Window { seen, strange, .. } = window;
    let mut remarks = vec![format!("{}, {seen} entries", log.name)];
    remarks.extend((strange > 0).then(|| format!("{strange} members of it are no entries")));
    remarks.extend((untold > 0).then(|| format!("{untold} of its last entries are not told")));
    remarks.extend(rest);
    Ok(Told { entries: entries.iter().map(entry).collect(), remark: remarks.join("; ") })
}

/// The best of the logs. Who has a system or event log of its own ends the search.
async fn choose(walk: &Walk<'_>, owners: &[&Value]) -> Result<Candidate, String> {
    let mut found = BTreeSet::new();
    let mut why = None;
    for (owner, resource) in owners.iter().enumerate() {
        let Some(path) = resource.get("LogServices").and_then(view::link) else { continue };
        match walk.told(&path).await {
            Ok(services) => {
                let paths = view::links(services.get("Members")).into_iter().take(limits::LOG_SERVICES_MAX);
                found.extend(walk.all(paths).await.iter().filter_map(|service| Candidate::of(service, owner)));
            }
            Err(trouble) => drop(why.get_or_insert(trouble)),
        }
        if found.first().is_some_and(|best| best.rank <= Rank::Events) {
            break;
        }
    }
    found.pop_first().ok_or_else(|| why.unwrap_or_else(|| "it offers none".to_owned()))
}

/// What was asked for already.
#[derive(Debug, Default)]
struct Behind(BTreeSet<String>);

/// Reads page after page, as far as it is worth it; what is to be said of those that were not read.
async fn pages(walk: &Walk<'_>, first: &str, window: &mut Window, mut behind: Behind) -> Result<Option<String>, String> {
    let mut path = first.to_owned();
    loop {
        let page = match walk.told(&path).await {
            Ok(page) => page,
            Err(why) if behind.0.is_empty() => return Err(why),
            Err(why) => return Ok(Some(format!("its next page is not told: {why}"))),
        };
        behind.0.insert(path);
        window.take(&page);
        let Some(next) = view::next_page(&page).filter(|_| !window.is_enough()) else { return Ok(None) };
        if behind.0.contains(&next) {
            return Ok(Some("its pages go in a circle".to_owned()));
        }
        if window.seen >= limits::LOG_ENTRIES_MAX || behind.0.len() >= limits::LOG_PAGES_MAX {
            return Ok(Some("it is longer, newer entries may be missing: they are read from its beginning only".to_owned()));
        }
        path = next;
    }
}

/// Which end of a list of links is the newer one, by the entries at both.
async fn by_ends(walk: &Walk<'_>, window: &Window) -> Option<bool> {
    let ends = [window.head.first(), window.tail.back()].into_iter().flatten().filter_map(view::link);
    let ends = walk.all(ends).await;
    let [first, last] = ends.as_slice() else { return None };
    let mut times = Way::default();
    times.goes(seconds(first));
    times.goes(seconds(last));
    times.falls().or_else(|| window.numbers.falls())
}

/// Entries as they are told, or behind their links; and how many are not told.
async fn opened(walk: &Walk<'_>, members: Vec<Value>) -> (Vec<Value>, usize) {
    let links: Vec<String> = members.iter().filter(|member| is_bare(member)).filter_map(view::link).collect();
    let mut behind = walk.all(links).await.into_iter();
    let open = |member: Value| match is_bare(&member) && view::link(&member).is_some() {
        true => behind.next().unwrap_or_default(),
        false => member,
    };
    let all = members.into_iter().map(open).collect::<Vec<_>>();
    let (told, untold): (Vec<_>, Vec<_>) = all.into_iter().partition(|entry| entry.is_object() && !is_bare(entry));
    (told, untold.len())
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
