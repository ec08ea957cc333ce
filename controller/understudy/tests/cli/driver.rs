//! `understudy driver test`: programs that are sound and programs that are not, tried without a controller.

use crate::support::{run, understudy};
use std::path::Path;

const SWITCH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../agents/switch/tests/switch.sh");
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../agents/outlet/tests/unit.sh");
const PORTS: [&str; 10] = ["--port", "p1", "--port", "p2", "--vlan", "10", "--vlan", "20", "--vlan", "30"];

fn switch(folder: &Path, manner: &str) -> assert_cmd::Command {
    for port in ["p1", "p2"] {
        std::fs::write(folder.join(port), "true 40 [] 1500 7 [\"52:54:00:00:00:01\"]\n").unwrap();
    }
    let mut command = understudy();
    command.args(["driver", "test", "switch"]).args(PORTS);
    command.args(["--env", &format!("SWITCH={}", folder.display()), "--env", &format!("MANNER={manner}")]);
    command
}

#[test]
fn a_sound_switch_program_is_told_to_be_sound_and_leaves_the_ports_as_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(switch(folder.path(), "sound").args(["--yes", "--", "/bin/sh", SWITCH])).expect(0);
    assert!(said.stdout.contains("keeps every law"), "{}", said.stdout);
    for port in ["p1", "p2"] {
        assert!(std::fs::read_to_string(folder.path().join(port)).unwrap().starts_with("true 10 []"));
    }
    let json = run(switch(folder.path(), "sound").args(["--output", "json", "--yes", "--", "/bin/sh", SWITCH])).expect(0);
    let seen: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(seen["sound"], serde_json::json!(true));
}

#[test]
fn the_law_that_a_program_breaks_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (more, law) in [("MANNER=keeps-learnt", "flushes the learnt addresses"), ("SAVED=false", "what was set is saved")] {
        let said = run(switch(folder.path(), "sound").args(["--env", more, "--yes", "--", "/bin/sh", SWITCH])).expect(1);
        assert!(said.stderr.contains("F0076") && said.stderr.contains(law), "{}", said.stderr);
    }
}

#[test]
fn nothing_is_touched_before_somebody_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(switch(folder.path(), "sound").args(["--", "/bin/sh", SWITCH]).write_stdin("yes\n")).expect(5);
    assert!(said.stderr.contains("F0062") && said.stderr.contains("loses its network"), "{}", said.stderr);
    assert!(std::fs::read_to_string(folder.path().join("p1")).unwrap().starts_with("true 40"));
}

#[test]
fn a_units_program_is_tried_as_well() {
    let folder = tempfile::tempdir().unwrap();
    for (manner, code, word) in [("sound", 0, "keeps every law"), ("no-meter", 1, "F0076")] {
        for outlet in ["1", "2", "3"] {
            std::fs::write(folder.path().join(outlet), "on turns-on\n").unwrap();
        }
        let mut command = understudy();
        command.args(["driver", "test", "outlets", "--outlet", "2", "--neighbour", "3", "--serial", "U-7", "--yes"]);
        command.args(["--env", &format!("UNIT={}", folder.path().display()), "--env", &format!("MANNER={manner}")]);
        let said = run(command.args(["--", "/bin/sh", UNIT])).expect(code);
        assert!(said.stdout.contains(word) || said.stderr.contains(word), "{manner}: {} {}", said.stdout, said.stderr);
    }
}

#[test]
fn what_cannot_be_tried_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let said = run(switch(folder, "sound").args(["--yes", "--", "/nowhere/driver"])).expect(1);
    assert!(said.stderr.contains("F0076") && said.stderr.contains("is no file"), "{}", said.stderr);
    for (more, word) in
        [(&["--port", "p3"][..], "two ports"), (&["--vlan", "40"], "three VLANs"), (&["--env", "X"], "NAME=VALUE")]
    {
        let said = run(switch(folder, "sound").args(more).args(["--yes", "--", "/bin/sh", SWITCH])).expect(2);
        assert!(said.stderr.contains(word), "{}", said.stderr);
    }
    assert!(
        run(understudy().args(["driver", "test", "switch", "--port", "p1", "--vlan", "4095", "--", "x"]))
            .expect(2)
            .stderr
            .contains("4094")
    );
}
