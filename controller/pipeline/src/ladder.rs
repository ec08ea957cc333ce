//! The ladder as data: the ways in which a server may be brought back, how long each is predicted to take and by what, which of them comes first, and
//! why the others do not. It is recorded and shown as it stands here. It compares what it is given and must never look at the world.

use serde::{Deserialize, Serialize};
use std::fmt;
use vocabulary::{MachineId, Span};

/// A rung.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// It is restarted where it is.
    Restart,
    /// It is failed over to a spare.
    Replace,
}

impl Way {
    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Way::Restart => "restart",
            Way::Replace => "replace",
        }
    }
}

/// What a rung spends its time with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Its operating system is asked to stop, until its machine is off.
    Stop,
    /// The old machine is cut off, until it is proven harmless.
    Fence,
    /// Ports and volumes are given to the spare.
    Rewire,
    /// From power on to the first contact with a boot service.
    Post,
    /// From there to the service.
    Boot,
    /// Both together: from power on to the service.
    Start,
}

impl Part {
    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Part::Stop => "stop",
            Part::Fence => "fence",
            Part::Rewire => "rewire",
            Part::Post => "firmware",
            Part::Boot => "boot",
            Part::Start => "start",
        }
    }
}

/// By what a part is predicted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// By so many that are on record.
    Recorded {
        /// How many.
        times: u32,
    },
    /// By a setting of the estate.
    Setting,
    /// By nothing better than experience.
    Assumed,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Recorded { times: 1 } => f.write_str("recorded once"),
            Source::Recorded { times } => write!(f, "recorded {times} times"),
            Source::Setting => f.write_str("by setting"),
            Source::Assumed => f.write_str("assumed"),
        }
    }
}

/// One part of a prediction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Share {
    /// Which.
    pub part: Part,
    /// How long.
    pub lasts: Span,
    /// By what.
    pub source: Source,
}

/// The time until a server serves again, by one way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Prediction {
    /// In the order in which they come.
    pub shares: Vec<Share>,
}

impl Prediction {
    /// All together.
    pub fn total(&self) -> Span {
        self.shares.iter().fold(Span(0), |sum, share| Span(sum.0.saturating_add(share.lasts.0)))
    }

    /// True if its start, by far the longest of it on real machines, is on record and not assumed.
    pub fn is_recorded(&self) -> bool {
        let mut starts =
            self.shares.iter().filter(|share| matches!(share.part, Part::Start | Part::Post | Part::Boot)).peekable();
        starts.peek().is_some() && starts.all(|share| matches!(share.source, Source::Recorded { .. }))
    }
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |share: &Share| format!("{} {} {}", share.part.name(), whole(share.lasts), share.source);
        let shares: Vec<String> = self.shares.iter().map(share).collect();
        write!(f, "{} ({})", whole(self.total()), shares.join(", "))
    }
}

/// In whole seconds, for sentences.
pub fn whole(span: Span) -> String {
    format!("{}s", span.0.div_ceil(1_000))
}

/// Whom a rung waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Needs {
    /// Nobody: the controller does it by itself.
    Nobody,
    /// A person: how long that takes nobody can predict.
    Person,
}

/// A way that is to be compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Which.
    pub way: Way,
    /// On which machine it would serve again.
    pub on: Option<MachineId>,
    /// In what time; `None` if that cannot be said, and it is not open then.
    pub predicted: Option<Prediction>,
    /// So much of the outage it waited for others: it is not left out for that.
    pub waited: Span,
    /// Whom it waits for, or why it is not open.
    pub open: Result<Needs, String>,
}

/// Where a rung stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stands {
    /// It is taken.
    First,
    /// It is next if those before it do not cure it.
    Follows,
    /// It would miss the recovery target.
    Skipped,
    /// It is not open.
    Closed,
}

impl Stands {
    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Stands::First => "first",
            Stands::Follows => "follows",
            Stands::Skipped => "skipped",
            Stands::Closed => "closed",
        }
    }
}

/// A rung in its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rung {
    /// Which.
    pub way: Way,
    /// On which machine it would serve again.
    pub on: Option<MachineId>,
    /// In what time.
    pub predicted: Option<Prediction>,
    /// Whom it waits for; nothing where it is not open.
    pub needs: Option<Needs>,
    /// Where it stands.
    pub stands: Stands,
    /// Why there.
    pub why: String,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.way.name())?;
        if let Some(machine) = &self.on {
            write!(f, " on {machine}")?;
        }
        if let Some(predicted) = &self.predicted {
            write!(f, " in {predicted}")?;
        }
        write!(f, ": {}, {}", self.stands.name(), self.why)
    }
}

/// Every rung, as they would be climbed: first the one that is taken, last what is not open.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ladder {
    /// How long the outage may last, where its group says so.
    pub target: Option<Span>,
    /// How long it has lasted: since the server was last seen well. `None` if nobody has seen it well in this life of the controller.
    pub lasted: Option<Span>,
    /// The rungs.
    pub rungs: Vec<Rung>,
}

impl Ladder {
    /// The rung that is taken, if one is open.
    pub fn first(&self) -> Option<&Rung> {
        self.rungs.iter().find(|rung| rung.stands == Stands::First)
    }

    /// The rung of this way.
    pub fn rung(&self, way: Way) -> Option<&Rung> {
        self.rungs.iter().find(|rung| rung.way == way)
    }

    /// In sentences, the target first.
    pub fn sentences(&self) -> Vec<String> {
        let lasted = |lasted: Span| format!(", of which {} are over", whole(lasted));
        let target =
            self.target.map(|target| format!("recovery target {}{}", whole(target), self.lasted.map(lasted).unwrap_or_default()));
        target.into_iter().chain(self.rungs.iter().map(ToString::to_string)).collect()
    }
}

/// Puts the rungs in order. What is predicted to serve sooner comes before what takes longer, and what needs nobody before what waits for a person,
/// whose time is not predictable. A rung that would miss the target is skipped while another would meet it, both by recorded times: what is only assumed
/// is neither skipped, nor does it skip another. Where all would miss it none is skipped.
pub fn ladder(mut choices: Vec<Choice>, target: Option<Span>, lasted: Option<Span>) -> Ladder {
    choices.sort_by_key(|choice| choice.way);
    let total = |choice: &Choice| choice.predicted.as_ref().map_or(Span(u64::MAX), Prediction::total);
    let misses = |choice: &Choice| match (target, lasted) {
        (Some(target), Some(lasted)) => lasted.0.saturating_sub(choice.waited.0).saturating_add(total(choice).0) > target.0,
        _ => false,
    };
    let (mut open, closed): (Vec<Choice>, Vec<Choice>) = choices.into_iter().partition(|choice| choice.open.is_ok());
    open.sort_by_key(|choice| (choice.open.clone().ok(), total(choice)));
    let all_miss = open.iter().all(misses);
    let is_recorded = |choice: &Choice| choice.predicted.as_ref().is_some_and(Prediction::is_recorded);
    let another_would = open.iter().any(|choice| !misses(choice) && is_recorded(choice));
    let (skipped, left): (Vec<Choice>, Vec<Choice>) =
        open.into_iter().partition(|choice| another_would && misses(choice) && is_recorded(choice));
    let mut rungs = Vec::new();
    for (place, choice) in left.iter().enumerate() {
        let others: Vec<&Choice> = left.iter().filter(|other| other.way != choice.way).collect();
        let why = if place == 0 {
            why_first(choice, &others, !skipped.is_empty(), all_miss.then_some(target).flatten())
        } else if choice.open == Ok(Needs::Person) {
            "if that does not cure it, and a person wants it".to_owned()
        } else {
            "if that does not cure it".to_owned()
        };
        rungs.push(placed(choice, if place == 0 { Stands::First } else { Stands::Follows }, why));
    }
    for choice in &skipped {
        let why = format!("it would miss the recovery target of {}, and another would not", whole(target.unwrap_or_default()));
        rungs.push(placed(choice, Stands::Skipped, why));
    }
    for choice in &closed {
        rungs.push(placed(choice, Stands::Closed, choice.open.clone().err().unwrap_or_default()));
    }
    Ladder { target, lasted, rungs }
}

fn placed(choice: &Choice, stands: Stands, why: String) -> Rung {
    let Choice { way, on, predicted, open, .. } = choice.clone();
    Rung { way, on, predicted, needs: open.ok(), stands, why }
}

fn why_first(choice: &Choice, others: &[&Choice], skipped: bool, missed: Option<Span>) -> String {
    let total = |choice: &Choice| choice.predicted.as_ref().map(Prediction::total);
    let why = match others.first() {
        None if skipped => "the others would miss the recovery target",
        None => "no other is open",
        Some(other) if other.open != choice.open => "it waits for nobody",
        Some(other) if total(other) == total(choice) => {
            "no other is predicted to serve sooner, and it leaves the server where it is"
        }
        Some(_) => "it is predicted to serve sooner",
    };
    match missed {
        None => why.to_owned(),
        Some(target) => format!("{why}; whatever is done misses the recovery target of {}", whole(target)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use proptest::prelude::*;

    fn choice(way: Way, seconds: u64, recorded: bool, open: Result<Needs, &str>) -> Choice {
        let source = if recorded { Source::Recorded { times: 3 } } else { Source::Assumed };
        let share = Share { part: Part::Start, lasts: Span::seconds(seconds), source };
        let on = Some("m1".parse().unwrap());
        let predicted = Some(Prediction { shares: vec![share] });
        Choice { way, on, predicted, waited: Span(0), open: open.map_err(str::to_owned) }
    }

    fn restart(seconds: u64) -> Choice {
        choice(Way::Restart, seconds, true, Ok(Needs::Nobody))
    }

    fn replace(seconds: u64, needs: Needs) -> Choice {
        choice(Way::Replace, seconds, true, Ok(needs))
    }

    fn order(choices: Vec<Choice>, target: u64, lasted: u64) -> Vec<(Way, Stands, String)> {
        let target = (target > 0).then(|| Span::seconds(target));
        let ladder = ladder(choices, target, Some(Span::seconds(lasted)));
        ladder.rungs.into_iter().map(|rung| (rung.way, rung.stands, rung.why)).collect()
    }

    #[test]
    fn the_sooner_one_comes_first_where_neither_waits_for_a_person() {
        for (one, other, first) in [(60, 90, Way::Restart), (90, 60, Way::Replace), (60, 60, Way::Restart)] {
            let found = order(vec![replace(other, Needs::Nobody), restart(one)], 0, 0);
            assert_eq!((found[0].0, found[0].1, found[1].1), (first, Stands::First, Stands::Follows), "{found:?}");
        }
    }

    #[test]
    fn what_waits_for_a_person_is_before_what_does_not_only_if_that_is_skipped() {
        let both = |seconds| vec![restart(seconds), replace(60, Needs::Person)];
        assert_eq!(order(both(600), 0, 0)[0].0, Way::Restart);
        assert_eq!(order(both(600), 900, 200)[0].0, Way::Restart);
        let found = order(both(600), 900, 301);
        assert_eq!((found[0].0, found[1].0, found[1].1), (Way::Replace, Way::Restart, Stands::Skipped));
        assert!(found[1].2.contains("recovery target of 900s"), "{found:?}");
        // nobody came in time: whatever is done now misses it, and the restart waits for nobody
        let found = order(both(600), 900, 841);
        assert_eq!((found[0].0, found[1].1), (Way::Restart, Stands::Follows));
        assert!(found[0].2.contains("whatever is done misses the recovery target"), "{found:?}");
    }

    #[test]
    fn of_two_that_both_miss_the_target_the_shorter_is_taken_and_says_so() {
        let found = order(vec![restart(600), replace(500, Needs::Nobody)], 100, 0);
        assert_eq!((found[0].0, found[1].1), (Way::Replace, Stands::Follows));
        assert_eq!(found[0].2, "it is predicted to serve sooner; whatever is done misses the recovery target of 100s");
    }

    #[test]
    fn what_is_only_assumed_skips_nothing() {
        let assumed = choice(Way::Restart, 600, false, Ok(Needs::Nobody));
        let found = order(vec![assumed, replace(60, Needs::Person)], 100, 0);
        assert_eq!((found[0].0, found[1].1), (Way::Restart, Stands::Follows));
        let spare = choice(Way::Replace, 60, false, Ok(Needs::Person));
        let found = order(vec![restart(600), spare], 100, 0);
        assert_eq!((found[0].0, found[1].1), (Way::Restart, Stands::Follows), "nor may the spare's time be assumed");
    }

    #[test]
    fn what_waited_for_others_is_not_skipped_for_that() {
        let after = |seconds| Choice { waited: Span::seconds(seconds), ..restart(80) };
        let found = |seconds| order(vec![after(seconds), replace(20, Needs::Person)], 100, 70)[0].0;
        assert_eq!((found(0), found(49), found(50)), (Way::Replace, Way::Replace, Way::Restart));
    }

    #[test]
    fn what_is_not_open_stands_last_with_its_reason_and_skips_nobody() {
        let closed = choice(Way::Replace, 1, true, Err("no spare fits"));
        let found = order(vec![closed, restart(600)], 100, 0);
        assert_eq!(found[0].0, Way::Restart);
        assert_eq!(found[1], (Way::Replace, Stands::Closed, "no spare fits".to_owned()));
        assert_eq!(order(vec![], 100, 0), []);
    }

    fn any_choice(way: Way) -> impl Strategy<Value = Choice> {
        let open = prop_oneof![Just(Ok(Needs::Nobody)), Just(Ok(Needs::Person)), Just(Err("it is not open"))];
        let odd = prop_oneof![0..2_000u64, Just(u64::MAX / 1000), Just(u64::MAX / 2000)];
        (odd, any::<bool>(), open).prop_map(move |(seconds, recorded, open)| choice(way, seconds, recorded, open))
    }

    proptest! {
        #[test]
        fn the_rung_taken_is_never_the_slower_one_unless_the_other_is_skipped_closed_or_waits(
            one in any_choice(Way::Restart), other in any_choice(Way::Replace),
            target in proptest::option::of(any::<u64>()), lasted in proptest::option::of(any::<u64>()),
        ) {
            let (target, lasted) = (target.map(Span), lasted.map(Span));
            let found = ladder(vec![one.clone(), other.clone()], target, lasted);
            prop_assert_eq!(found.rungs.len(), 2);
            prop_assert_eq!(&found, &ladder(vec![other.clone(), one.clone()], target, lasted));
            prop_assert_eq!(found.first().is_some(), one.open.is_ok() || other.open.is_ok());
            let Some(first) = found.first() else { return Ok(()) };
            let rest = found.rungs.iter().find(|rung| rung.way != first.way).unwrap();
            let total = |rung: &Rung| rung.predicted.as_ref().unwrap().total();
            match rest.stands {
                Stands::First => prop_assert!(false, "two are first"),
                Stands::Follows if rest.needs == first.needs => prop_assert!(total(first) <= total(rest)),
                Stands::Follows => prop_assert_eq!(first.needs, Some(Needs::Nobody)),
                Stands::Skipped => {
                    let over = lasted.unwrap().0;
                    prop_assert!([rest, first].iter().all(|rung| rung.predicted.as_ref().unwrap().is_recorded()));
                    prop_assert!(over.saturating_add(total(rest).0) > target.unwrap().0);
                    prop_assert!(over.saturating_add(total(first).0) <= target.unwrap().0);
                }
                Stands::Closed => prop_assert_eq!(rest.needs, None),
            }
            prop_assert!(found.sentences().iter().all(|text| !text.is_empty()));
        }
    }
}
