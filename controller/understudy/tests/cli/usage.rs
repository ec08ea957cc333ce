//! The command line itself: usage, help, explain, completion, nobody at the other end.

use crate::support::{run, understudy};
use std::process::Stdio;

#[test]
fn what_is_not_understood_is_usage() {
    for words in [
        &[][..],
        &["strat"],
        &["server", "strat"],
        &["server", "show"],
        &["server", "show", "Web 1"],
        &["plan", "show", "x"],
        &["machine", "enroll"],
        &["machine", "identify", "m1", "--off", "--seconds", "5"],
        &["machine", "probe", "127.0.0.1", "--protocol", "redfish", "--user", "u"],
        &["machine", "probe", "127.0.0.1", "--protocol", "redfish", "--user", "u", "--password-env", "A", "--password-file", "b"],
        &["machine", "probe", "bmc1", "--protocol", "redfish", "--user", "u", "--password-env", "A"],
        &["server", "start", "web1", "--deadline", "5"],
        &["server", "start", "web1", "--deadline", "5s", "--no-wait"],
        &["status", "--address", "https://example.org"],
        &["tier", "mode", "gold", "bold"],
        &["hold", "web1"],
        &["failover", "abort", "web1"],
        &["guard", "resume", "rack", "r1"],
        &["guard", "resume", "shelf", "r1", "--reason", "x"],
        &["maintenance", "set", "machine", "m1", "--reason", "no end"],
        &["maintenance", "set", "m1", "--for", "2h", "--reason", "of what kind"],
        &["serve", "--state", "s", "--estate", "e", "--crash-after", "lunch"],
    ] {
        let ran = run(understudy().args(words)).expect(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{words:?}");
    }
    for words in [&["server", "strat", "--output", "json"][..], &["--output=json", "server", "strat"]] {
        let fault = run(understudy().args(words)).expect(2).fault();
        assert_eq!(fault["code"], "F0069");
        assert!(fault["message"].as_str().unwrap().contains("strat"), "{fault}");
    }
}

#[test]
fn help_shows_only_what_exists_and_gives_examples() {
    let help = run(understudy().arg("--help")).expect(0).stdout;
    assert!(help.contains("Exit codes:") && help.contains("failover"), "{help}");
    for later in ["doctor", "coverage", "runbook"] {
        assert!(!help.contains(later), "{later}");
    }
    let serve = run(understudy().args(["serve", "--help"])).expect(0).stdout;
    assert!(serve.contains("Examples:") && !serve.contains("crash-after"), "{serve}");
    for verb in [
        &["watch"][..],
        &["estate", "init"],
        &["machine", "enroll"],
        &["machine", "probe"],
        &["machine", "discover"],
        &["failover", "start"],
        &["failover", "approve"],
        &["failover", "abort"],
        &["failover", "report"],
        &["guard", "resume"],
        &["report", "observe"],
        &["hold"],
        &["resume"],
        &["maintenance", "set"],
        &["server", "why"],
        &["agent", "enroll"],
        &["backup"],
        &["restore"],
        &["adopt"],
    ] {
        let help = run(understudy().args(verb).arg("--help")).expect(0).stdout;
        assert!(help.contains("Example"), "{verb:?}");
    }
    assert!(run(understudy().arg("--version")).expect(0).stdout.starts_with("understudy "));
}

#[test]
fn nobody_at_the_other_end_is_exit_3() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("none.sock").display());
    for words in [&["status"][..], &["watch"], &["server", "start", "web1"], &["machine", "release", "m1", "--yes"]] {
        let ran = run(understudy().args(["--address", &address]).args(words)).expect(3);
        assert!(ran.stdout.is_empty() && ran.stderr.contains("no controller answers at"), "{}", ran.stderr);
        assert!(ran.stderr.contains("help: ") && ran.stderr.contains("understudy explain F"), "{}", ran.stderr);
    }
    let ran = run(understudy().args(["status", "--output", "json"]).env("UNDERSTUDY_ADDRESS", &address)).expect(3);
    let fault = ran.fault();
    assert!(fault["code"].as_str().unwrap().starts_with('F') && fault["remedy"].is_string(), "{fault}");
    assert_eq!(fault.as_object().unwrap().len(), 3);
}

#[test]
fn every_page_is_explained() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults");
    let list = run(understudy().arg("explain")).expect(0).stdout;
    let mut pages = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let code = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let shown = run(understudy().args(["explain", &code])).expect(0).stdout;
        assert_eq!(shown, std::fs::read_to_string(&path).unwrap(), "{code}");
        assert!(list.contains(&format!("{code}: ")), "{code}");
        pages += 1;
    }
    assert_eq!(list.lines().count(), pages);
    let about = run(understudy().args(["explain", "f401", "--output", "json"])).expect(0).json();
    assert_eq!(about["code"], "F0401");
    assert!(run(understudy().args(["explain", "9999"])).expect(4).stderr.contains("F0063"));
}

#[test]
fn a_reader_that_went_away_is_no_bug() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(assert_cmd::cargo::cargo_bin!("understudy"))
        .arg("explain")
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn shells_get_their_completion() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(understudy().args(["completions", shell])).expect(0).stdout;
        assert!(script.contains("UNDERSTUDY_COMPLETE"), "{shell}: {script}");
    }
    let verbs = candidates(&mut understudy(), &["understudy", "machine", ""]);
    let offered = ["list", "show", "probe", "discover", "identify", "enroll"];
    assert_eq!(verbs.lines().take(6).collect::<Vec<_>>(), offered);
}

/// What bash would be offered for the last of these words.
pub fn candidates(command: &mut assert_cmd::Command, words: &[&str]) -> String {
    command.env("UNDERSTUDY_COMPLETE", "bash").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    run(command.arg("--").args(words)).expect(0).stdout
}
