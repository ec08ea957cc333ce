//! The start of a site whose power was gone: each server is powered on where it is, its epoch unchanged, in the order of tiers and of what must run
//! before what, and never too many at once. It is a person's command, so the guard is not asked. It must never start what is not seen off, nor
//! anything anywhere else than where it was.

use crate::brake;
use crate::ledger::{ColdStart, Standing};
use crate::out::Out;
use crate::overrule;
use crate::plan::Body;
use crate::record::Fact;
use crate::reseed;
use crate::s1_detect::FRESH_POLLS;
use crate::start_order::{StartOrder, Turn};
use crate::state::State;
use crate::{s2_decide, s4_place};
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::estate::Mode;
use vocabulary::power::PowerState;
use vocabulary::{GroupId, Instant, PlanId, ServerId, SiteId, Span, WallTime};

/// Pause between two power-ons of a site: supplies draw most when they are switched on.
pub const INRUSH_PAUSE: Span = Span::seconds(1);
/// One that lacks something for so long is passed over, and those that come after it go on: longer than a BMC needs to come back.
pub const TURN_PATIENCE: Span = Span::seconds(600);
/// So long nothing may move before what is left is given up: longer than any POST.
pub const PATIENCE: Span = Span::seconds(1_800);

/// What would be started, in order, and what would not, with the reason.
pub fn propose(state: &State, site: &SiteId, now: Instant) -> (StartOrder, BTreeMap<ServerId, String>) {
    let (mut turns, mut left_out) = (BTreeMap::new(), BTreeMap::new());
    for server in state.estate.servers.keys() {
        let Some(turn) = turn(state, server).filter(|turn| is_at(state, turn, site)) else { continue };
        match obstacle(state, &turn, now) {
            Some(why) => drop(left_out.insert(server.clone(), why)),
            None => drop(turns.insert(server.clone(), turn)),
        }
    }
    (StartOrder { site: site.clone(), turns: in_order(state, turns) }, left_out)
}

/// A server that is meant to run, where it is.
fn turn(state: &State, server: &ServerId) -> Option<Turn> {
    let row = state.ledger.servers.get(server).filter(|row| row.desired)?;
    let placement = row.placement.as_ref()?;
    let group = state.estate.servers.get(server)?.group.clone();
    let (machine, epoch) = (placement.machine.clone(), placement.epoch);
    Some(Turn { server: server.clone(), machine, epoch, group, after: BTreeSet::new() })
}

fn is_at(state: &State, turn: &Turn, site: &SiteId) -> bool {
    state.estate.machines.get(&turn.machine).is_some_and(|machine| machine.site == *site)
}

/// Why a server is not started, if it is not: what no waiting would change by itself.
fn obstacle(state: &State, turn: &Turn, now: Instant) -> Option<String> {
    let Turn { server, machine, .. } = turn;
    if let Some(row) = state.ledger.open_plan_of(server).or_else(|| state.ledger.open_plan_on(machine)) {
        return Some(format!("plan {} ({}) is open", row.plan.id(), row.plan.body().kind));
    }
    if state.ledger.standing(machine) != Standing::Bearing(server.clone()) {
        return Some(format!("{machine} does not bear it any more"));
    }
    if let Some(epoch) = reseed::bearing(&state.ledger, machine).1 {
        return Some(format!("{machine} was cut off by plan {}", PlanId(epoch)));
    }
    if s2_decide::mode(state, server) == Mode::Observe {
        return Some("it is only observed".to_owned());
    }
    if let Some((hold, _)) = brake::held(&state.ledger, Some(server)) {
        return Some(format!("{} holds it: {}", hold.principal, hold.reason));
    }
    if let Some((subject, work)) = brake::worked_on(&state.ledger, machine) {
        return Some(format!("{subject} is in maintenance by {}: {}", work.principal, work.reason));
    }
    let past = state.ledger.servers.get(server).map(|row| &row.past);
    if let Some((agent, why)) = overrule::forbids(state, past.into_iter().flatten(), Some(server)) {
        return Some(format!("agent {agent} knows more than this store: {why}"));
    }
    is_served(state, server, now).then(|| "it serves".to_owned())
}

/// Some vantage point sees it well.
fn is_served(state: &State, server: &ServerId, now: Instant) -> bool {
    let told = state.watch.servers.get(server).into_iter().flat_map(|watch| watch.vantages.values());
    let mut well = told.filter(|told| told.healthy_since.is_some());
    well.any(|told| is_recent(state, told.at, now))
}

fn is_recent(state: &State, at: Instant, now: Instant) -> bool {
    now.since(at).0 <= FRESH_POLLS * state.estate.settings.detection.power_every.0.max(1000)
}

/// What a server whose turn has come still waits for.
fn lacks(state: &State, turn: &Turn, now: Instant) -> Option<String> {
    let watch = state.watch.machines.get(&turn.machine).filter(|watch| watch.failing_since.is_none());
    let last = watch.and_then(|watch| watch.last.as_ref()).filter(|(at, _)| is_recent(state, *at, now));
    match last {
        Some((_, reading)) if reading.all_off() => {}
        // who comes after it comes after it serves, whoever has powered it on
        Some((_, reading)) if reading.system_power == PowerState::On => {
            return Some(format!("{} is on, and {} does not serve yet", turn.machine, turn.server));
        }
        Some(_) | None => return Some(format!("the BMC of {} does not say Off", turn.machine)),
    }
    let services = state.estate.boot_services_of(&turn.machine);
    if !services.is_empty() && !services.iter().any(|service| state.watch.stores.contains_key(service.as_str())) {
        return Some(format!("no boot service of {} was heard yet", turn.machine));
    }
    let volumes = state.estate.servers.get(&turn.server).into_iter().flat_map(|profile| &profile.volumes);
    let unread = |volume: &vocabulary::VolumeId| {
        state.watch.volumes.get(volume).is_none_or(|watch| !is_recent(state, watch.last_read, now))
    };
    let unread = volumes.map(|volume| volume.id()).find(unread)?;
    Some(format!("nobody can read volume {unread} yet"))
}

/// By what must run before what, then by tier, group and name.
fn in_order(state: &State, turns: BTreeMap<ServerId, Turn>) -> Vec<Turn> {
    let mut groups: BTreeMap<(u32, GroupId), Vec<Turn>> = BTreeMap::new();
    for turn in turns.into_values() {
        let rank = state.estate.tier_of(&turn.server).map_or(u32::MAX, |(_, tier)| tier.rank);
        groups.entry((rank, turn.group.clone())).or_default().push(turn);
    }
    let there: BTreeSet<GroupId> = groups.keys().map(|(_, group)| group.clone()).collect();
    let (mut order, mut done) = (Vec::new(), BTreeSet::new());
    while let Some(first) = groups.keys().next().cloned() {
        let after = |group: &GroupId| -> BTreeSet<GroupId> { before(state, group).intersection(&there).cloned().collect() };
        let ready = groups.keys().find(|(_, group)| after(group).is_subset(&done)).cloned();
        // `estate check` refuses circles: were there one all the same, it is begun somewhere
        let next = ready.unwrap_or(first);
        let after: BTreeSet<GroupId> = after(&next.1).intersection(&done).cloned().collect();
        for turn in groups.remove(&next).unwrap_or_default() {
            order.push(Turn { after: after.clone(), ..turn });
        }
        done.insert(next.1);
    }
    order
}

/// All groups that must run before this one, directly or not.
fn before(state: &State, group: &GroupId) -> BTreeSet<GroupId> {
    let (mut all, mut next) = (BTreeSet::new(), vec![group.clone()]);
    while let Some(one) = next.pop() {
        let direct = state.estate.groups.get(&one).map(|document| document.after.as_slice()).unwrap_or_default();
        next.extend(direct.iter().filter(|other| *other != group && all.insert((*other).clone())).cloned());
    }
    all
}

/// How one turn stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stands {
    /// Its turn has not come, for this reason.
    Waits(String),
    /// Its plan is open.
    Starting(PlanId),
    /// Its plan is done.
    Started,
    /// Its plan ended with this.
    Failed(String),
    /// It was passed over, for this reason.
    Passed(String),
}

/// How each turn of a start stands, in order.
pub fn progress(state: &State, start: &ColdStart, now: Instant) -> Vec<(Turn, Stands)> {
    let unfinished = unfinished(state, start);
    let stands = |turn: &Turn| {
        if let Some(why) = start.passed.get(&turn.server) {
            return Stands::Passed(why.clone());
        }
        let Some(plan) = start.begun.get(&turn.server) else {
            if start.ended.is_some() {
                return Stands::Waits("it was not begun".to_owned());
            }
            let why = held_up(&unfinished, turn).or_else(|| lacks(state, turn, now));
            return Stands::Waits(why.unwrap_or_else(|| "its turn comes when fewer are starting".to_owned()));
        };
        match state.ledger.plans.get(plan).and_then(|row| row.closed.as_ref()) {
            None => Stands::Starting(*plan),
            Some(Ok(_)) => Stands::Started,
            Some(Err(ended)) => Stands::Failed(format!("{}: {}", ended.code, ended.reason)),
        }
    };
    start.order.turns.iter().map(|turn| (turn.clone(), stands(turn))).collect()
}

fn is_open(state: &State, start: &ColdStart, server: &ServerId) -> bool {
    let row = start.begun.get(server).and_then(|plan| state.ledger.plans.get(plan));
    row.is_some_and(|row| row.is_open())
}

/// Groups that have not come to their ends, each with the first of its servers that has not.
fn unfinished<'a>(state: &State, start: &'a ColdStart) -> BTreeMap<&'a GroupId, &'a ServerId> {
    let mut groups = BTreeMap::new();
    for turn in &start.order.turns {
        if start.waiting.contains(&turn.server) || is_open(state, start, &turn.server) {
            groups.entry(&turn.group).or_insert(&turn.server);
        }
    }
    groups
}

/// The server that must come to its end before, if there is one.
fn held_up(unfinished: &BTreeMap<&GroupId, &ServerId>, turn: &Turn) -> Option<String> {
    let first = turn.after.iter().find_map(|group| unfinished.get(group))?;
    Some(format!("{first} comes first"))
}

/// Gives turns to those whose turn it is. The plans that are to be opened are returned.
pub fn drive(state: &mut State, out: &mut Out) -> Vec<Body> {
    let under_way: Vec<SiteId> =
        state.ledger.cold_starts.iter().filter(|(_, start)| start.ended.is_none()).map(|(site, _)| site.clone()).collect();
    under_way.into_iter().filter_map(|site| next(state, out, &site)).collect()
}

fn next(state: &mut State, out: &mut Out, site: &SiteId) -> Option<Body> {
    // everybody is looked at once in a pause, however often the core wakes
    let last = state.watch.power_ons.get(site);
    if last.is_some_and(|last| out.now.since(*last) < INRUSH_PAUSE) {
        return None;
    }
    state.watch.power_ons.insert(site.clone(), out.now);
    pass_over(state, out, site);
    let start = state.ledger.cold_starts.get(site)?;
    let open = start.begun.keys().filter(|server| is_open(state, start, server)).count();
    if start.waiting.is_empty() && open == 0 {
        return end(state, out, site, None);
    }
    if let Some((hold, _)) = brake::held(&state.ledger, None) {
        let why = format!("{} holds everything: {}", hold.principal, hold.reason);
        return end(state, out, site, Some(why));
    }
    let waited = waited(state, start, site, out.now, out.wall);
    if open == 0 && waited > PATIENCE {
        return end(state, out, site, Some(format!("nothing has moved for {PATIENCE}")));
    }
    if open > 0 || !state.watch.cold_starts.contains_key(site) {
        state.watch.cold_starts.insert(site.clone(), out.now);
    }
    // whoever sees nothing himself switches nothing on
    if state.watch.blind_since.is_some() || open >= state.estate.settings.guard.inrush as usize {
        return None;
    }
    let start = state.ledger.cold_starts.get(site)?;
    let unfinished = unfinished(state, start);
    let ready = |turn: &&Turn| held_up(&unfinished, turn).is_none() && lacks(state, turn, out.now).is_none();
    let server = start.waiting().find(ready)?.server.clone();
    let placement = state.ledger.placement(&server)?.clone();
    state.watch.cold_starts.insert(site.clone(), out.now);
    Some(s4_place::restart(state, &server, &placement))
}

/// For how long nothing has moved, by this life's own clock. What this life has not looked at yet is as old as the time of day says: one that was
/// agreed to hours ago is not taken up by a controller that returns.
fn waited(state: &State, start: &ColdStart, site: &SiteId, now: Instant, wall: WallTime) -> Span {
    let before = || Span(wall.max(state.ledger.newest).0.saturating_sub(start.moved.0));
    state.watch.cold_starts.get(site).map_or_else(before, |at| now.since(*at))
}

/// Those that no waiting brings any more, and those that were waited for long enough.
fn pass_over(state: &mut State, out: &mut Out, site: &SiteId) {
    let Some(start) = state.ledger.cold_starts.get(site) else { return };
    let unfinished = unfinished(state, start);
    let (mut passed, mut lacking) = (Vec::new(), BTreeMap::new());
    for turn in start.waiting() {
        if let Some(why) = is_over(state, turn, out.now) {
            passed.push((turn.server.clone(), why));
            continue;
        }
        let Some(why) = held_up(&unfinished, turn).is_none().then(|| lacks(state, turn, out.now)).flatten() else { continue };
        let since = state.watch.lacking.get(&turn.server).copied().unwrap_or(out.now);
        if out.now.since(since) > TURN_PATIENCE {
            passed.push((turn.server.clone(), format!("{why}, for {TURN_PATIENCE}")));
        } else {
            lacking.insert(turn.server.clone(), since);
        }
    }
    // of this site: another site's servers are looked at by its own start
    let mine: BTreeSet<ServerId> = start.order.turns.iter().map(|turn| turn.server.clone()).collect();
    state.watch.lacking.retain(|server, _| !mine.contains(server));
    state.watch.lacking.extend(lacking);
    for (server, reason) in passed {
        out.record(&mut state.ledger, Fact::ColdStartPassed { site: site.clone(), server, reason });
        state.watch.cold_starts.insert(site.clone(), out.now);
    }
}

fn is_over(state: &State, agreed: &Turn, now: Instant) -> Option<String> {
    let Some(turn) = turn(state, &agreed.server) else { return Some("it is not meant to run any more".to_owned()) };
    if (&turn.machine, turn.epoch) != (&agreed.machine, agreed.epoch) {
        return Some(format!("it is on {} now", turn.machine));
    }
    // everything is held: that ends the whole start
    obstacle(state, &turn, now).filter(|_| brake::held(&state.ledger, None).is_none())
}

/// It ends; what has not begun is not begun.
fn end(state: &mut State, out: &mut Out, site: &SiteId, why: Option<String>) -> Option<Body> {
    let start = state.ledger.cold_starts.get(site)?;
    let all = progress(state, start, out.now);
    let started = all.iter().filter(|(_, stands)| *stands == Stands::Started).count();
    let mut text = format!("{started} of {} servers were started", all.len());
    if let Some(why) = why {
        text.push_str(&format!(", then it ended: {why}"));
    }
    let mine: BTreeSet<ServerId> = start.order.turns.iter().map(|turn| turn.server.clone()).collect();
    // who lacked something in this start has all its time in the next
    state.watch.lacking.retain(|server, _| !mine.contains(server));
    out.record(&mut state.ledger, Fact::ColdStartEnded { site: site.clone(), text });
    state.watch.cold_starts.remove(site);
    state.watch.power_ons.remove(site);
    None
}
