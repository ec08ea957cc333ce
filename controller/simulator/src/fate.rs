//! What befalls the world of one seed. Each kind of mishap has a weight of its own, drawn per seed and often zero, so that some worlds are
//! calm and some mad, and some know only one kind of misfortune. Must never draw what would suit the controller, nor what it cannot be
//! held to yet: kinds that a later part of the product handles are named in [`LATER`] and never drawn.

mod memories;
mod mishaps;

use crate::deed::{self, Deed, ToProcess};
use crate::hall::{BMCS, Drawn, PDUS};
use std::time::Duration;
use vocabulary::{AgentId, MachineId, ServerId};
use world::Dice;

/// Kinds of mishaps that the product cannot be held to yet, and what makes it able to. Those with a deed in quotation marks can be written
/// into a world's file already; the others are not in the world yet, but for the first, which is two quirks at once.
pub const LATER: [(&str, &str); 4] = [
    ("a BMC that reads Off on every reading while its machine runs", "contrary signs of life veto P (4 of 6)"),
    (
        "`serve rolled-back`: an older store put back in silence",
        "agents obey nobody of it any more, and nobody in the world adopts it (4 of 6)",
    ),
    ("`operator edits-estate ...`: the estate edited in mid-plan", "reload (6 of 6): documents are read at a start only"),
    (
        "`serve another-estate`, `agent A asked-by-another-estate`: a second estate at the same devices",
        "marks of an estate at BMCs (4 of 6)",
    ),
];

/// A deed and when it is done, counted from the moment at which every server was told to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timed {
    /// When.
    pub at: Duration,
    /// What.
    pub deed: Deed,
}

/// What befalls a world, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fate {
    /// The deeds.
    pub deeds: Vec<Timed>,
    /// How long mishaps begin; what ends them may come later.
    pub span: Duration,
}

/// A file that tells of no world.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Unreadable {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// A world as a file: its seed, which draws the weather and everybody's speed; its hall (the seed's, if no line tells); what befalls it. Lines
/// that begin with `#` are for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// The seed.
    pub seed: u64,
    /// Its hall.
    pub hall: Drawn,
    /// What befalls it.
    pub fate: Fate,
}

impl Told {
    /// The world of a seed.
    pub fn of(seed: u64) -> Told {
        let hall = Drawn::of(seed);
        Told { seed, fate: Fate::of(seed, &hall), hall }
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hall = serde_json::to_string(&self.hall).map_err(|_| std::fmt::Error)?;
        writeln!(f, "world {}\nhall {hall}\nlasts {}", self.seed, deed::span(self.fate.span))?;
        self.fate.deeds.iter().try_for_each(|Timed { at, deed }| writeln!(f, "at {} {deed}", deed::span(*at)))
    }
}

impl std::str::FromStr for Told {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Told, Unreadable> {
        let (mut seed, mut hall, mut span, mut deeds) = (None, None, None, Vec::new());
        for (line, said) in (1..).zip(text.lines().map(str::trim)) {
            let wrong = |reason: String| Unreadable { line, reason };
            match said.split_once(' ') {
                _ if said.is_empty() || said.starts_with('#') => {}
                Some(("world", number)) => {
                    seed = Some(number.parse().map_err(|_| wrong(format!("`{number}` is no seed; one is a whole number")))?);
                }
                Some(("hall", json)) => hall = Some(serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?),
                Some(("lasts", time)) => span = Some(time_of(time).map_err(wrong)?),
                Some(("at", rest)) => {
                    let (at, deed) = rest.split_once(' ').ok_or_else(|| wrong("after `at TIME` comes what happens".into()))?;
                    let deed = deed.parse().map_err(|error: deed::NoDeed| wrong(error.to_string()))?;
                    deeds.push(Timed { at: time_of(at).map_err(wrong)?, deed });
                }
                _ => return Err(wrong(format!("`{said}` begins with none of `world`, `hall`, `lasts`, `at` and `#`"))),
            }
        }
        let lacks = |what: &str| Unreadable { line: 1, reason: format!("no line tells {what}") };
        let seed = seed.ok_or_else(|| lacks("the seed: `world 7`"))?;
        let span = span.ok_or_else(|| lacks("how long mishaps last: `lasts 60000ms`"))?;
        deeds.sort_by_key(|timed| timed.at);
        let hall = hall.unwrap_or_else(|| Drawn::of(seed));
        Ok(Told { seed, hall, fate: Fate { deeds, span } })
    }
}

fn time_of(text: &str) -> Result<Duration, String> {
    deed::read_span(text).ok_or_else(|| format!("`{text}` is no time; one is, for example, `1500ms`"))
}

/// Who can be struck.
struct Targets {
    machines: Vec<MachineId>,
    servers: Vec<ServerId>,
    agents: Vec<AgentId>,
    ports: Vec<String>,
    /// Those that stand in one rack; none if each stands alone.
    rack: Vec<MachineId>,
}

/// A kind of mishap.
struct Kind {
    name: &'static str,
    /// Draws one that begins at this moment.
    draw: fn(&mut Drawing<'_>, Duration),
    /// In so many of a million worlds it never happens.
    absent: u32,
}

const fn kind(name: &'static str, draw: fn(&mut Drawing<'_>, Duration), absent: u32) -> Kind {
    Kind { name, draw, absent }
}

/// Every kind.
const KINDS: [Kind; 18] = [
    kind("machine", mishaps::machine, 50_000),
    kind("bmc quirk", mishaps::bmc_quirk, 500_000),
    kind("bmc restart", mishaps::bmc_restart, 600_000),
    kind("way to bmc", mishaps::way_to_bmc, 600_000),
    kind("way to agent", mishaps::way_to_agent, 500_000),
    kind("agent", mishaps::agent, 500_000),
    kind("controller", mishaps::controller, 400_000),
    kind("controller disk", mishaps::controller_disk, 700_000),
    kind("switch", mishaps::switch, 500_000),
    kind(COLLEAGUE, mishaps::colleague, 800_000),
    kind("target", mishaps::target, 500_000),
    kind("operator", mishaps::operator, 500_000),
    kind("blackout", mishaps::blackout, 850_000),
    kind("rack", mishaps::rack, 700_000),
    kind("outlet", mishaps::outlet, 500_000),
    kind("backup", mishaps::backup, 800_000),
    kind("isolation", mishaps::isolation, 800_000),
    kind(COLLEAGUE_LATER, mishaps::colleague_later, 850_000),
];
/// Kinds that came later: whether one is there is drawn by dice of its own, so that the worlds without it are what they were.
const ADDED: [Kind; 3] = [
    kind(MEMORY_LOST, memories::lost, 750_000),
    kind(MEMORY_OLDER, memories::older, 700_000),
    kind(COPIED, mishaps::controller_copied, 500_000),
];
/// The agents of every hall.
const AGENTS: [&str; 3] = ["sw1", "store1", "boot1"];
/// Where this colleague works, the switch's agent does: nobody else could end within seconds what he does.
const COLLEAGUE: &str = "colleague";
/// The same, where that agent has been restarted before; it works again by then.
const COLLEAGUE_LATER: &str = "colleague after restart";
/// What can keep that agent from it.
const KEEP_FROM_WORK: [&str; 4] = ["agent", "switch", MEMORY_LOST, MEMORY_OLDER];
/// Where agents' memories are lost: they know that themselves.
const MEMORY_LOST: &str = "agent memory lost";
/// Where they are put back to what they were, nothing keeps the controller for long from telling them so: an agent that nobody tells anything
/// for 30 s after its start puts back what it keeps (F1008).
const MEMORY_OLDER: &str = "agent memory older";
/// What could.
const KEEP_SILENT: [&str; 6] = ["way to agent", "controller", "controller disk", "backup", "isolation", COPIED];
/// Where a controller goes on beside one on a copy of all that it has. Its BMCs must have a gate of their own: what it has inside it obeys it
/// for ever.
const COPIED: &str = "controller copied";
/// The greatest weight of a kind that is there.
const WEIGHT_MOST: u64 = 10;
/// How many mishaps a world has.
const MISHAPS: (u64, u64) = (1, 18);
/// Of a million mishaps so many come soon after another one.
const IN_COMPANY: u32 = 400_000;
/// For how long mishaps begin.
const SPAN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(400));
/// How long something lasts that ends.
const SHORT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(20));
/// The same, of what lasts.
const LONG: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(200));

fn agents_of(hall: &Drawn) -> Vec<AgentId> {
    let pdus = PDUS.iter().filter(|_| hall.outlets());
    let bmcs = [BMCS].iter().filter(|_| hall.bmcs_outside());
    AGENTS.iter().chain(pdus).chain(bmcs).filter_map(|name| name.parse().ok()).collect()
}

struct Drawing<'a> {
    dice: &'a Dice,
    targets: &'a Targets,
    deeds: Vec<Timed>,
}

impl Drawing<'_> {
    fn one<T: Clone>(&self, of: &[T]) -> Option<T> {
        self.dice.pick(of).cloned()
    }

    fn span(&self, of: (Duration, Duration)) -> Duration {
        self.dice.duration(of.0, of.1)
    }

    fn half(&self) -> bool {
        self.dice.in_a_million(500_000)
    }

    /// Some time later: mostly soon.
    fn lasting(&self) -> Duration {
        self.span(if self.dice.in_a_million(700_000) { SHORT } else { LONG })
    }

    fn number(&self, least: u64, most: u64) -> u32 {
        u32::try_from(self.dice.between(least, most)).unwrap_or(u32::MAX)
    }

    fn add(&mut self, at: Duration, deed: Deed) {
        self.deeds.push(Timed { at, deed });
    }

    /// Something that is so for a while.
    fn passing(&mut self, at: Duration, begins: Deed, ends: Deed) {
        let lasts = self.lasting();
        self.add(at, begins);
        self.add(at + lasts, ends);
    }
}

/// How much each kind weighs in a seed's world.
fn weighed(seed: u64, dice: &Dice, hall: &Drawn) -> Vec<(&'static Kind, u64)> {
    let weigh = |dice: &Dice, kind: &Kind| if dice.in_a_million(kind.absent) { 0 } else { dice.between(1, WEIGHT_MOST) };
    let first = KINDS.iter().map(|kind| (kind, weigh(dice, kind)));
    let drawn: Vec<(&Kind, u64)> =
        first.chain(ADDED.iter().map(|kind| (kind, weigh(&Dice::of(seed, kind.name), kind)))).collect();
    let at_work = |name| drawn.iter().any(|(kind, weight)| kind.name == name && *weight > 0);
    let (now, later) = (at_work(COLLEAGUE), at_work(COLLEAGUE_LATER));
    let older = at_work(MEMORY_OLDER) && !now && !later;
    let weight_of = |kind: &Kind, weight| match kind.name {
        COLLEAGUE_LATER if now => 0,
        COPIED if !hall.bmcs_outside() => 0,
        name if (now || later) && KEEP_FROM_WORK.contains(&name) => 0,
        name if older && KEEP_SILENT.contains(&name) => 0,
        _ => weight,
    };
    drawn.iter().map(|(kind, weight)| (*kind, weight_of(kind, *weight))).collect()
}

impl Fate {
    /// That of this seed's hall.
    pub fn of(seed: u64, hall: &Drawn) -> Fate {
        let dice = Dice::of(seed, "fate");
        let targets = Targets {
            machines: (1..=hall.machines()).filter_map(|n| format!("m{n}").parse().ok()).collect(),
            servers: (1..=hall.bearing).filter_map(|n| format!("web{n}").parse().ok()).collect(),
            agents: agents_of(hall),
            ports: (1..=hall.machines())
                .flat_map(|n| (1..=crate::hall::ROLES.len()).map(move |nic| format!("m{n}-nic{nic}")))
                .collect(),
            rack: hall.one_rack().iter().filter_map(|n| format!("m{n}").parse().ok()).collect(),
        };
        let kinds = weighed(seed, &dice, hall);
        let all: u64 = kinds.iter().map(|(_, weight)| weight).sum();
        let span = dice.duration(SPAN.0, SPAN.1);
        let mut drawing = Drawing { dice: &dice, targets: &targets, deeds: Vec::new() };
        if all > 0 {
            let mut at = Duration::ZERO;
            for _ in 0..dice.between(MISHAPS.0, MISHAPS.1) {
                // trouble comes in company
                at = match dice.in_a_million(IN_COMPANY) {
                    true => at + dice.duration(Duration::ZERO, SHORT.1),
                    false => dice.duration(Duration::ZERO, span),
                };
                let mut place = dice.between(1, all);
                for (kind, weight) in &kinds {
                    if place <= *weight {
                        (kind.draw)(&mut drawing, at);
                        break;
                    }
                    place -= weight;
                }
            }
        }
        let mut deeds = drawing.deeds;
        if kinds.iter().any(|(kind, weight)| [MEMORY_LOST, MEMORY_OLDER].contains(&kind.name) && *weight > 0) {
            // what refuses a plan that has drawn another one's epoch is the memory
            deeds.retain(|timed| !matches!(timed.deed, Deed::Agent(_, ToProcess::AskedAnew)));
        }
        // stable: what is drawn for one moment happens in the order in which it was drawn
        deeds.sort_by_key(|timed| timed.at);
        Fate { deeds, span }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_deed_that_is_drawn_can_be_written_down_and_read_back() {
        let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
        for seed in 0..3_000 {
            let told = Told::of(seed);
            assert_eq!(told, Told::of(seed));
            assert_eq!(told.to_string().parse().as_ref(), Ok(&told));
            for Timed { deed, .. } in told.fate.deeds {
                assert_eq!(deed.to_string().parse::<Deed>().as_ref(), Ok(&deed), "{deed}");
                *kinds.entry(deed.kind()).or_default() += 1;
            }
        }
        assert!(kinds.len() > 80, "{}: {kinds:#?}", kinds.len());
    }

    #[test]
    fn a_line_that_tells_of_nothing_is_named() {
        for (text, line) in [("world x", 1), ("world 1\nlasts 5", 2), ("world 1\nlasts 5ms\nat 3ms machine", 3), ("lasts 1ms", 1)]
        {
            assert_eq!(text.parse::<Told>().map_err(|error| error.line), Err(line), "{text}");
        }
    }

    #[test]
    fn some_worlds_are_calm_and_some_are_mad() {
        let counts: Vec<usize> = (0..300).map(|seed| Fate::of(seed, &Drawn::of(seed)).deeds.len()).collect();
        assert!(counts.iter().any(|count| *count <= 2) && counts.iter().any(|count| *count >= 25), "{counts:?}");
        for quirk in mishaps::QUIRKS {
            let value: serde_json::Value = serde_json::from_str(quirk.1).unwrap();
            world::bmc::Quirks::default().changed(&serde_json::json!({ quirk.0: value })).unwrap();
        }
    }
}
