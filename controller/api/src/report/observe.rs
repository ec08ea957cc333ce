//! What a tier that is only observed would have done: every outage that was concluded, whether it ended by itself, where its server would have gone
//! and in how many seconds. By this a person decides whether the tier may act.

use super::read;
use crate::answer::Answer;
use crate::context::Context;
use crate::problem::Problem;
use crate::view::{ObserveReportView, ObservedView, PredictionView};
use axum::Json;
use axum::extract::{Query, State as Extension};
use engine::history::History;
use pipeline::ladder::{Part, Share};
use pipeline::record::{Fact, Record};
use pipeline::{State, predict, s2_decide};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vocabulary::estate::Mode;
use vocabulary::{Fault, MachineId, ServerId, Span, TierId};

/// So many outages are shown at most, the newest.
const OUTAGES_MAX: usize = 1_000;
/// How far back is looked if nobody says.
const SINCE: Span = Span::seconds(28 * 86_400);

/// What is asked for.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// How far back, such as `28d`.
    since: Option<String>,
    /// Only servers of this tier.
    tier: Option<TierId>,
}

/// `GET /v1/reports/observe`.
pub async fn observe(Extension(context): Extension<Context>, Query(asked): Query<Asked>) -> Answer<ObserveReportView> {
    let back = match asked.since.as_deref().map(Span::parse) {
        None => SINCE,
        Some(Ok(back)) => back,
        Some(Err(error)) => {
            return Err(Problem(Fault::new(52, format!("`since` is no time: {error}"), "write it as 28d, 12h or 30m")));
        }
    };
    let until = context.engine.clock().wall().0;
    let since = until.saturating_sub(back.0);
    let history = context.engine.history();
    let last = context.revision();
    let first = first_since(history, since, last).await?;
    let mut report = Report::default();
    // an outage that began before is told whole only if what began it is read as well
    read(history, first.saturating_sub(1), last, |entry| report.take(&entry.record)).await?;
    let view = context.engine.query(move |state| report.view(state, asked.tier.as_ref(), since, until)).await?;
    Ok(Json(view))
}

/// The first entry of that time or later; records follow each other in time but where somebody has set the clock.
async fn first_since(history: &History, since: u64, last: u64) -> Result<u64, Problem> {
    let (mut low, mut high) = (1, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let page = history.page(middle - 1, 1).await?;
        match page.first() {
            Some(entry) if entry.record.at.0 < since => low = middle + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// A report in the making.
#[derive(Default)]
struct Report {
    open: BTreeMap<ServerId, Outage>,
    ended: VecDeque<Outage>,
    cut_short: bool,
}

struct Outage {
    view: ObservedView,
    server: ServerId,
    from: MachineId,
    to: Option<MachineId>,
    concluded: bool,
}

impl Report {
    fn take(&mut self, record: &Record) {
        let at = record.at.0;
        match &record.fact {
            Fact::Suspected { server, machine, symptom, evidence } => {
                let outage = self.open.entry(server.clone()).or_insert_with(|| Outage::new(server, machine, at));
                if !outage.concluded {
                    outage.view.symptom.clone_from(symptom);
                    outage.view.evidence.clone_from(evidence);
                }
            }
            Fact::Verdict { server, machine, symptom, evidence } => {
                let outage = self.open.entry(server.clone()).or_insert_with(|| Outage::new(server, machine, at));
                if !outage.concluded {
                    outage.concluded = true;
                    outage.view.concluded = at;
                    outage.view.symptom.clone_from(symptom);
                    outage.view.evidence.clone_from(evidence);
                }
            }
            Fact::WouldHave { server, plan, .. } => {
                if let Some(outage) = self.open.get_mut(server) {
                    outage.to = Some(plan.target().clone());
                    outage.view.to = Some(plan.target().to_string());
                    outage.view.hash = Some(plan.hash().to_owned());
                }
            }
            Fact::Held { server, code, reason, .. } => {
                if let Some(outage) = self.open.get_mut(server) {
                    outage.view.held.push(format!("{code}: {reason}"));
                }
            }
            Fact::Cleared { server } => self.end(server, at, "by-itself"),
            Fact::Sealed { plan, .. } => {
                if let Some(server) = plan.server() {
                    self.end(server, at, "by-hand");
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, server: &ServerId, at: u64, how: &str) {
        let Some(mut outage) = self.open.remove(server).filter(|outage| outage.concluded) else { return };
        outage.view.ended = Some(at);
        outage.view.end = Some(how.to_owned());
        self.ended.push_back(outage);
        if self.ended.len() > OUTAGES_MAX {
            self.ended.pop_front();
            self.cut_short = true;
        }
    }

    /// Those of servers that are only observed now.
    fn view(self, state: &State, tier: Option<&TierId>, since: u64, until: u64) -> ObserveReportView {
        let of_tier = |server: &ServerId| tier.is_none() || state.estate.tier_of(server).map(|(id, _)| id) == tier;
        let meant = |server: &ServerId| of_tier(server) && s2_decide::mode(state, server) == Mode::Observe;
        let observed: BTreeSet<&ServerId> = state.estate.servers.keys().filter(|server| meant(server)).collect();
        let open = self.open.into_values().filter(|outage| outage.concluded);
        let mut outages: Vec<ObservedView> = self
            .ended
            .into_iter()
            .chain(open)
            .filter(|outage| observed.contains(&outage.server))
            .map(|outage| {
                let prediction = outage.to.as_ref().and_then(|to| predicted(state, &outage, to));
                ObservedView { prediction, ..outage.view }
            })
            .collect();
        outages.sort_by_key(|outage| outage.suspected);
        let observed = observed.into_iter().map(ToString::to_string).collect();
        ObserveReportView { since, until, observed, outages, cut_short: self.cut_short }
    }
}

impl Outage {
    fn new(server: &ServerId, machine: &MachineId, at: u64) -> Outage {
        let view = ObservedView {
            server: server.to_string(),
            machine: machine.to_string(),
            symptom: String::new(),
            evidence: Vec::new(),
            suspected: at,
            concluded: at,
            ended: None,
            end: None,
            to: None,
            hash: None,
            held: Vec::new(),
            prediction: None,
        };
        Outage { view, server: server.clone(), from: machine.clone(), to: None, concluded: false }
    }
}

/// How long it would have taken, as a failover is predicted now. `None` where no proof could be had.
fn predicted(state: &State, outage: &Outage, to: &MachineId) -> Option<PredictionView> {
    let predicted = predict::replace(state, &outage.server, std::slice::from_ref(&outage.from), to).ok()?;
    let detect_ms = outage.view.concluded.saturating_sub(outage.view.suspected);
    let before = |share: &&Share| matches!(share.part, Part::Fence | Part::Rewire);
    let fence_ms = predicted.shares.iter().filter(before).map(|share| share.lasts.0).fold(0, u64::saturating_add);
    let all_ms = predicted.total().0;
    let boot_ms = all_ms.saturating_sub(fence_ms);
    let total_ms = detect_ms.saturating_add(all_ms);
    Some(PredictionView { detect_ms, fence_ms, boot_ms, boot_recorded: predicted.is_recorded(), total_ms })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use vocabulary::WallTime;

    fn told(facts: Vec<(u64, Fact)>) -> Report {
        let mut report = Report::default();
        for (at, fact) in facts {
            report.take(&Record { at: WallTime(at), fact });
        }
        report
    }

    fn suspected(server: &str) -> Fact {
        let evidence = vec!["Off".to_owned()];
        Fact::Suspected { server: server.parse().unwrap(), machine: "m1".parse().unwrap(), symptom: "hung".into(), evidence }
    }

    fn verdict(server: &str) -> Fact {
        let evidence = vec!["Off, 3 times".to_owned()];
        let (server, machine) = (server.parse().unwrap(), "m1".parse().unwrap());
        Fact::Verdict { server, machine, symptom: "unexpected-off".into(), evidence }
    }

    fn cleared(server: &str) -> Fact {
        Fact::Cleared { server: server.parse().unwrap() }
    }

    #[test]
    fn a_suspicion_that_nothing_came_of_is_no_outage() {
        let report = told(vec![(10, suspected("web1")), (20, cleared("web1")), (30, suspected("web2"))]);
        assert!(report.ended.is_empty());
        assert!(report.open.values().all(|outage| !outage.concluded));
    }

    #[test]
    fn an_outage_is_told_with_its_conclusion_its_hold_and_its_end() {
        let held =
            Fact::Held { server: "web1".parse().unwrap(), code: "F0202".into(), reason: "rack".into(), ends: String::new() };
        let report = told(vec![(10, suspected("web1")), (25, verdict("web1")), (26, held), (40, cleared("web1"))]);
        let outage = &report.ended.front().unwrap().view;
        assert_eq!((outage.suspected, outage.concluded, outage.ended), (10, 25, Some(40)));
        assert_eq!((outage.symptom.as_str(), outage.end.as_deref()), ("unexpected-off", Some("by-itself")));
        assert_eq!(outage.held, ["F0202: rack"]);
        assert_eq!(outage.to, None);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let one = |n: u64| [(n * 10, verdict("web1")), (n * 10 + 5, cleared("web1"))];
        let report = told((0..OUTAGES_MAX as u64 + 3).flat_map(one).collect());
        assert!(report.cut_short);
        assert_eq!(report.ended.len(), OUTAGES_MAX);
        assert_eq!(report.ended.front().unwrap().view.concluded, 30);
    }
}
