//! A real controller on a fresh lab estate: no agent and no BMC answers, and everything is told as it is.

use crate::support::{Controller, run};
use crate::usage::candidates;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_fresh_controller_tells_what_to_do_and_ends_cleanly() {
    let mut controller = Controller::start();
    let status = controller.run(&["status"]).expect(0).stdout;
    assert!(status.contains("web1 on no machine  never-placed"), "{status}");
    assert!(status.contains("understudy machine enroll m1 m2 m3") && status.contains("understudy server start web1"), "{status}");
    assert!(status.lines().count() <= 24);
    let view = controller.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(view["servers"][0]["state"], "never-placed", "{view}");
    let servers = controller.run(&["server", "list"]).expect(0).stdout;
    insta::assert_snapshot!(servers);
    let machines = controller.run(&["machine", "list", "--output", "json"]).expect(0).json();
    assert_eq!(machines.as_array().unwrap().len(), 3);
    for words in [&["machine", "show", "m1"][..], &["server", "show", "web1"], &["spare", "list"], &["failover", "list"]] {
        assert!(!controller.run(words).expect(0).stdout.trim().is_empty(), "{words:?}");
    }

    let state = controller.path("state");
    let estate = controller.path("estate");
    let socket = controller.path("other.sock");
    let mut second = crate::support::understudy();
    second.arg("serve").args([&"--state".into(), &state, &"--estate".into(), &estate, &"--socket".into(), &socket]);
    let second = run(&mut second).expect(5);
    assert!(
        second.stderr.contains("F1101") && second.stderr.contains(&format!("process {}", controller.pid())),
        "{}",
        second.stderr
    );
    assert!(!socket.exists());

    assert_eq!(controller.signal(Signal::SIGTERM).code(), Some(0));
    assert!(!controller.path("api.sock").exists());
    controller.run(&["status"]).expect(3);
    controller.again();
    assert_eq!(controller.signal(Signal::SIGINT).code(), Some(0));
}

#[test]
fn refusals_have_their_exit_codes() {
    let controller = Controller::start();
    for (words, code, fault) in [
        (&["server", "show", "web9"][..], 4, None),
        (&["server", "start", "web9"], 4, None),
        (&["machine", "show", "m9"], 4, None),
        (&["plan", "show", "P99"], 4, None),
        (&["failover", "show", "P99"], 4, None),
        (&["watch", "--until-closed", "P99"], 4, None),
        (&["agent", "enroll", "nope"], 4, Some("F1003")),
        (&["tier", "mode", "lead", "auto", "--yes"], 4, None),
        (&["server", "start", "web1"], 5, Some("F0403")),
        (&["server", "stop", "web1"], 5, Some("F0402")),
        (&["failover", "start", "web1", "--dry-run"], 5, Some("F0402")),
        (&["machine", "release", "m1", "--yes"], 5, Some("F0902")),
    ] {
        let ran = controller.run(words).expect(code);
        assert!(ran.stdout.is_empty() && ran.stderr.starts_with("understudy: F"), "{words:?} {}", ran.stderr);
        let words: Vec<&str> = words.iter().copied().chain(["--output", "json"]).collect();
        let told = controller.run(&words).expect(code).fault();
        assert!(fault.is_none_or(|fault| told["code"] == fault), "{words:?} {told}");
    }
    let mistyped = run(controller.ask(&["machine", "release", "m1"]).write_stdin("m2\n")).expect(5);
    assert!(mistyped.stderr.contains("Type m1 to go on:") && mistyped.stderr.contains("F0062"), "{}", mistyped.stderr);
    let bold = run(controller.ask(&["tier", "mode", "gold", "auto"]).write_stdin("yes\n")).expect(5);
    assert!(bold.stderr.contains("Type gold to go on:") && bold.stderr.contains("F0062"), "{}", bold.stderr);
    controller.run(&["tier", "mode", "gold", "observe"]).expect(0);
    for words in [&["server", "start", "web1"][..], &["machine", "release", "m1", "--yes"]] {
        assert!(controller.run(words).expect(5).stderr.contains("F0206"), "{words:?}");
    }
    run(controller.ask(&["tier", "mode", "gold", "auto"]).write_stdin("gold\n")).expect(0);
    let typed = run(controller.ask(&["machine", "release", "m1"]).write_stdin("m1\n")).expect(5);
    assert!(typed.stderr.contains("F0902"), "{}", typed.stderr);
}

#[test]
fn brakes_are_pulled_shown_and_let_go_and_outlive_the_controller() {
    let mut controller = Controller::start();
    let said = controller.run(&["hold", "--reason", "the core switch is being replaced"]).expect(0).stdout;
    assert!(said.starts_with("everything is held") && said.contains("resume`"), "{said}");
    controller.run(&["hold", "web2", "--reason", "its owner looks at it"]).expect(0);
    controller.run(&["maintenance", "set", "machine", "m1", "--for", "2h", "--reason", "new memory"]).expect(0);
    controller.signal(Signal::SIGKILL);
    controller.again();
    for words in [&["server", "start", "web1"][..], &["machine", "enroll", "m1"], &["machine", "identify", "m1"]] {
        let refused = controller.run(words).expect(5).stderr;
        assert!(refused.contains("F0207") && refused.contains("the core switch is being replaced"), "{refused}");
    }
    let status = controller.run(&["status"]).expect(0).stdout;
    assert!(status.contains("understudy resume ") && status.contains("understudy resume web2"), "{status}");
    let view = controller.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!((&view["holds"][0]["server"], &view["holds"][1]["server"]), (&Value::Null, &"web2".into()), "{view}");
    assert_eq!(view["machines"][0]["maintenance"]["reason"], "new memory", "{view}");
    let listed = controller.run(&["maintenance", "list"]).expect(0).stdout;
    assert!(listed.starts_with("machine m1  1h 59m left, by uid "), "{listed}");

    let shown = controller.run(&["machine", "show", "m1"]).expect(0).stdout;
    assert!(shown.contains("maintenance") && shown.contains("new memory"), "{shown}");

    // nothing waits for it, so nothing is asked
    controller.run(&["resume"]).expect(0);
    controller.run(&["resume", "web2", "--reason", "looked at"]).expect(0);
    controller.run(&["maintenance", "end", "machine", "m1"]).expect(0);
    for (words, code, fault) in [
        (&["resume"][..], 5, "F0209"),
        (&["maintenance", "end", "machine", "m1"], 5, "F0209"),
        (&["maintenance", "set", "server", "web1", "--for", "31d", "--reason", "x"], 2, "F0210"),
        (&["maintenance", "set", "machine", "m9", "--for", "1h", "--reason", "x"], 4, "F0054"),
        (&["hold", "web9", "--reason", "x"], 4, "F0053"),
    ] {
        let told = controller.run(words).expect(code).stderr;
        assert!(told.contains(fault), "{words:?}: {told}");
    }
    assert_eq!(controller.run(&["maintenance", "list"]).expect(0).stdout.trim(), "nothing is in maintenance");
    let why = controller.run(&["server", "why", "web1"]).expect(0).stdout;
    assert!(why.starts_with("placed     web1 was never placed"), "{why}");
    let why = controller.run(&["server", "why", "web1", "--output", "json"]).expect(0).json();
    assert_eq!(why["chain"][0]["link"], "placed", "{why}");
    controller.run(&["server", "why", "web9"]).expect(4);
}

#[test]
fn what_persons_agree_to_is_refused_where_nothing_waits_and_reports_are_told() {
    let controller = Controller::start();
    for (words, code, fault) in [
        (&["failover", "approve", "web1", "--yes"][..], 5, "F0211"),
        (&["failover", "approve", "web9", "--yes"], 4, "F0056"),
        (&["failover", "abort", "web1", "--reason", "x"], 5, "F0211"),
        (&["guard", "resume", "rack", "r1", "--reason", "x", "--yes"], 5, "F0213"),
        (&["failover", "report", "P99"], 4, "F0056"),
    ] {
        let told = controller.run(words).expect(code).stderr;
        assert!(told.contains(fault), "{words:?}: {told}");
    }
    assert_eq!(controller.run(&["guard", "show"]).expect(0).stdout.trim(), "no machine is suspect");
    let view = controller.run(&["guard", "show", "--output", "json"]).expect(0).json();
    assert_eq!((&view["needed"], &view["domains"]), (&1.into(), &serde_json::json!([])), "{view}");
    assert_eq!(controller.run(&["report", "observe"]).expect(0).stdout.trim(), "no server is only observed");
    controller.run(&["tier", "mode", "gold", "observe"]).expect(0);
    let told = controller.run(&["report", "observe", "--since", "7d", "--tier", "gold"]).expect(0).stdout;
    assert!(
        told.starts_with("2 servers only observed: web1, web2") && told.contains("in 7d 0h no outage was concluded"),
        "{told}"
    );
    // a tier leaves `observe` with its report before one's eyes
    let raised = controller.run(&["tier", "mode", "gold", "approve"]).expect(0);
    assert!(raised.stderr.contains("2 servers only observed") && raised.stdout.contains("is approve now"), "{}", raised.stderr);
    assert!(controller.run(&["report", "observe", "--since", "7"]).expect(2).stderr.contains("--since"));
}

#[test]
fn agents_are_enrolled_into_files_of_their_owner_alone() {
    let controller = Controller::start();
    let file = controller.path("store1.json");
    let enroll = || controller.run(&["agent", "enroll", "store1", "--out", file.to_str().unwrap()]);
    let said = enroll().expect(0).stdout;
    assert!(said.contains("empty memory") && !said.contains("PRIVATE"), "{said}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bundle = contract::wire::enrol::Bundle::load(&file).unwrap();
    assert!(bundle.fresh && bundle.agent.as_str() == "store1");
    enroll().expect(0);
    assert!(!contract::wire::enrol::Bundle::load(&file).unwrap().fresh, "an agent that was enrolled before has a memory");
    // into a pipe: the bundle itself
    let piped = controller.run(&["agent", "enroll", "boot1"]).expect(0).json();
    assert_eq!(piped["agent"], "boot1");
    let lost = controller.run(&["agent", "enroll", "sw1", "--out", "/proc/no/such/folder"]).expect(1);
    assert!(lost.stderr.contains("F0064"), "{}", lost.stderr);
}

#[test]
fn a_plan_is_followed_to_its_end_and_found_again_after_a_crash() {
    let mut controller = Controller::start();
    let late = controller.run(&["machine", "enroll", "m1", "--deadline", "1ms", "--output", "json"]).expect(7).fault();
    assert_eq!(late["code"], "F0065");
    assert!(late["remedy"].as_str().unwrap().contains("watch --until-closed P1"), "{late}");
    let busy = controller.run(&["machine", "enroll", "m1"]);
    assert!(busy.code == 5 || busy.code == 1, "{}", busy.stderr);
    let watched = controller.run(&["watch", "--from", "0", "--until-closed", "1", "--output", "json"]).expect(1);
    assert_eq!(watched.fault()["code"], "F0105");
    let lines: Vec<Value> = watched.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let revisions: Vec<u64> = lines.iter().map(|line| line["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions, (1..=revisions.len() as u64).collect::<Vec<_>>(), "nothing lost, nothing twice");
    assert!(lines.iter().any(|line| line["kind"] == "closed" && line["plan"] == "P1"));

    controller.signal(Signal::SIGKILL);
    assert!(controller.path("api.sock").exists(), "kill -9 leaves the socket behind");
    controller.again();
    let shown = controller.run(&["plan", "show", "P1"]).expect(0).stdout;
    assert!(shown.starts_with("P1 enrol of m1: failed") && shown.contains("result: F0105"), "{shown}");
    let told = controller.run(&["watch", "--from", "0", "--until-closed", "P1"]).expect(1);
    assert!(told.stdout.starts_with("  +0.000s "), "{}", told.stdout);
    assert!(told.stdout.lines().last().unwrap().starts_with("P1 (enrol) failed after "), "{}", told.stdout);
    assert!(told.stderr.contains("understudy explain F0105"), "{}", told.stderr);
}

#[test]
fn names_are_completed_by_the_controller() {
    let controller = Controller::start();
    let offered = |words: &[&str]| candidates(&mut controller.ask(&[]), words);
    assert_eq!(offered(&["understudy", "server", "show", "we"]), "web1\nweb2");
    assert_eq!(offered(&["understudy", "machine", "enroll", "m1", "m"]), "m1\nm2\nm3");
    let said = controller.run(&["tier", "mode", "gold", "manual"]).expect(0).stdout;
    assert!(said.starts_with("the ceiling of tier gold is manual now"), "{said}");
    assert_eq!(controller.run(&["status", "--output", "json"]).expect(0).json()["servers"][0]["mode"], "manual");
}
