//! The screen, drawn from fixed views.

use super::*;
use api::view::{HeldView, JournalView, LateView, MaintenanceView, PollsView};
use std::collections::BTreeMap;

pub(crate) const NOW: u64 = 1_767_225_600_000;

pub(crate) fn server(name: &str, machine: Option<&str>, state: &str) -> ServerView {
    ServerView {
        name: name.into(),
        group: "web".into(),
        tier: "gold".into(),
        mode: "auto".into(),
        machine: machine.map(str::to_owned),
        epoch: None,
        state: state.into(),
        desired: "running".into(),
        checks: BTreeMap::new(),
        serving_ms: None,
        symptom: None,
        held: None,
        plan: None,
        maintenance: None,
        proposal: None,
    }
}

fn machine(name: &str, state: &str) -> MachineView {
    MachineView {
        said: None,
        name: name.into(),
        state: state.into(),
        server: None,
        plan: None,
        power: "on".into(),
        read_ms_ago: Some(300),
        trouble: None,
        place: "lab r1 f1".into(),
        serial: "LAB0001".into(),
        returns_by_itself: false,
        health: None,
        foretells: BTreeMap::new(),
        ports: BTreeMap::new(),
        outlets: Vec::new(),
        outlets_lack: None,
        outlets_cut: None,
        standing_orders: Vec::new(),
        maintenance: None,
    }
}

fn plan(id: &str, kind: &str) -> PlanSummary {
    PlanSummary {
        id: id.into(),
        kind: kind.into(),
        server: Some("web1".into()),
        from: vec!["m1".into()],
        to: "m3".into(),
        stage: Some("fence".into()),
        state: "open".into(),
        result: None,
        sealed: NOW - 2_300,
        closed: None,
    }
}

fn view(servers: Vec<ServerView>, machines: Vec<MachineView>) -> StatusView {
    let plans = servers.iter().filter_map(|server| server.plan.clone()).collect();
    let estate = "6d2c7b1e-0000-4000-8000-000000000000".into();
    let (standing_orders, polls) = (Vec::new(), PollsView::default());
    let holds = Vec::new();
    StatusView {
        estate,
        revision: 57,
        journal: JournalView { first: 12, history_ms: 86_400_000, at_least: 40, removed_at: Some(NOW) },
        blind: false,
        restored: None,
        unheard: Vec::new(),
        holds,
        servers,
        machines,
        plans,
        standing_orders,
        dropped: 0,
        polls,
    }
}

#[test]
fn all_is_well() {
    let serving = ServerView { serving_ms: Some(7_800_000), ..server("web1", Some("m1"), "running") };
    let servers = vec![serving, server("web2", Some("m2"), "running")];
    let machines = vec![machine("m1", "bearing"), machine("m2", "bearing"), machine("m3", "spare")];
    insta::assert_snapshot!(text(&view(servers, machines), NOW, Look::default()));
}

#[test]
fn troubles_come_with_their_next_command() {
    let moving = ServerView { plan: Some(plan("P12", "failover")), ..server("web1", Some("m1"), "failover") };
    let held = HeldView {
        code: "F0204".into(),
        reason: "web2 failed, and its tier's mode is `manual`".into(),
        ends: "`understudy failover start web2`".into(),
        since: NOW - 65_000,
    };
    let held = ServerView { held: Some(held), ..server("web2", Some("m2"), "held") };
    let quarantined = MachineView { server: Some("web1".into()), plan: Some("P7".into()), ..machine("m1", "quarantine") };
    let blind = MachineView { trouble: Some("no answer within 8000 ms".into()), ..machine("m2", "bearing") };
    let mut view = view(
        vec![moving, held, server("web3", None, "never-placed")],
        vec![quarantined, blind, machine("m4", "not-enrolled"), machine("m5", "not-enrolled")],
    );
    view.blind = true;
    view.standing_orders.push(api::view::OrderView {
        plan: "P7".into(),
        machine: "m1".into(),
        what: "power off".into(),
        reason: "unreachable".into(),
    });
    insta::assert_snapshot!(text(&view, NOW, Look::default()));
}

#[test]
fn brakes_are_told_with_who_pulled_them_and_what_ends_them() {
    let maintenance = MaintenanceView {
        kind: "server".into(),
        name: "web1".into(),
        principal: "uid 1000".into(),
        reason: "database upgrade".into(),
        since: NOW - 60_000,
        until: NOW + 1_800_000,
    };
    let worked_on = ServerView { maintenance: Some(maintenance), ..server("web1", Some("m1"), "running") };
    let mut view = view(vec![worked_on, server("web2", Some("m2"), "running")], Vec::new());
    let hold = |server: Option<&str>, reason: &str| HoldView {
        server: server.map(str::to_owned),
        principal: "uid 0".into(),
        reason: reason.into(),
        since: NOW - 5_000,
    };
    view.holds = vec![hold(None, "the core switch is being replaced"), hold(Some("web2"), "its owner looks at it")];
    insta::assert_snapshot!(text(&view, NOW, Look::default()));
}

#[test]
fn it_never_outgrows_the_screen_and_counts_what_it_leaves_out() {
    let many =
        |number: usize, state: &str| (0..number).map(|n| server(&format!("s{n:04}"), Some("m1"), state)).collect::<Vec<_>>();
    let cases =
        [(1000, 0, true), (0, 1000, false), (1000, 1000, true), (23, 0, false), (24, 0, true), (20, 1, false), (21, 1, true)];
    for (servers, machines, counted) in cases {
        let quarantined = (0..machines).map(|n| machine(&format!("m{n}"), "quarantine")).collect();
        let view = view(many(servers, "running"), quarantined);
        let text = text(&view, NOW, Look { colour: false, width: Some(80) });
        assert!(text.lines().count() <= STATUS_LINES, "{servers} {machines}:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(text.contains("`understudy server list` shows them"), counted, "{text}");
    }
    let mut servers = many(999, "running");
    servers.push(server("zz", Some("m9"), "failed"));
    assert!(text(&view(servers, Vec::new()), NOW, Look::default()).lines().nth(1).unwrap().contains("zz on m9"));
}

#[test]
fn only_our_commands_are_taken_from_a_text() {
    assert_eq!(command_in("`rm -rf x`, or `understudy server restart web1`").as_deref(), Some("understudy server restart web1"));
    assert_eq!(command_in("by itself"), None);
}

#[test]
fn watching_that_does_not_keep_up_is_told() {
    let class = |at_most_ms, polls| LateView { at_most_ms, polls };
    let mut seen = view(Vec::new(), Vec::new());
    seen.polls.late = vec![class(Some(1_000), 990), class(Some(2_000), 10), class(None, 0)];
    assert!(!text(&seen, NOW, Look::default()).contains("late"));
    seen.polls.late = vec![class(Some(1_000), 980), class(Some(2_000), 20), class(None, 0)];
    assert!(text(&seen, NOW, Look::default()).contains("one in a hundred by more than 1.0 s"));
    seen.polls.late = vec![class(Some(1_000), 980), class(Some(2_000), 0), class(None, 20)];
    assert!(text(&seen, NOW, Look::default()).contains("one in a hundred by more than 1.0 s"));
}
