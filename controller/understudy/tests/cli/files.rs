//! `understudy estate`: checks of files and the making of stores; no controller.

use crate::support::{lab_example, loopback_lab, run, understudy};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_lab_s_estate_is_clean() {
    let ran = run(understudy().args(["estate", "check", "--lab"]).arg(lab_example())).expect(0);
    insta::assert_snapshot!(ran.stdout, @"estate lab: 2 servers, 3 machines; no error, no warning");
    let ran = run(understudy().args(["estate", "check", "--output", "json"]).arg(lab_example())).expect(0).json();
    assert_eq!((&ran["errors"], &ran["warnings"], &ran["estate"]), (&0.into(), &1.into(), &"lab".into()), "{ran}");
}

#[test]
fn planted_faults_are_all_told_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    loopback_lab(folder.path());
    let server = folder.path().join("servers/web1.yaml");
    let text = std::fs::read_to_string(&server).unwrap();
    std::fs::write(&server, text.replace("pool: spares", "pool: spare").replace("home: m1", "home: m1\ncolour: red")).unwrap();
    let ran = run(understudy().args(["estate", "check", "--lab", "--output", "json"]).arg(folder.path())).expect(1);
    let report = ran.json();
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    assert_eq!(report["errors"], 2, "{report}");
    let complaints: Vec<&Value> =
        report["complaints"].as_array().unwrap().iter().filter(|complaint| complaint["severity"] == "error").collect();
    let told: Vec<(&str, u64)> =
        complaints.iter().map(|it| (it["code"].as_str().unwrap(), it["line"].as_u64().unwrap())).collect();
    assert_eq!(told, [("F0005", 4), ("F0011", 5)], "{report}");
    assert!(complaints.iter().all(|it| it["file"].as_str().unwrap().ends_with("web1.yaml") && it["remedy"].is_string()));
    let ran = run(understudy().args(["estate", "check", "--lab"]).arg(folder.path())).expect(1);
    assert!(ran.stdout.contains("web1.yaml:4:") && ran.stdout.contains("2 errors"), "{}", ran.stdout);
}

#[test]
fn a_first_estate_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let (estate, state) = (folder.path().join("estate"), folder.path().join("deep/state"));
    let init = |store: &str, json: bool| {
        let mut command = understudy();
        command.args(["estate", "init"]).arg(&estate).arg("--state").arg(&state).args(["--lab", "--store", store]);
        run(if json { command.args(["--output", "json"]) } else { &mut command })
    };
    let made = init("sled", true).expect(0).json();
    assert_eq!((&made["lab"], &made["store"]), (&true.into(), &"sled".into()));
    assert_eq!(made["estate"].as_str().unwrap().len(), 36);
    assert!(made["documents"].as_array().unwrap().len() > 10);
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    let again = init("sqlite", false).expect(5);
    assert!(again.stderr.contains("F0068") && again.stderr.contains("holds a store already"), "{}", again.stderr);
    run(understudy().args(["estate", "check", "--lab"]).arg(&estate)).expect(0);

    // a folder that holds an estate keeps its files; one that holds something else is left alone
    let other = folder.path().join("other");
    let made = run(understudy().args(["estate", "init", "--lab", "--output", "json"]).arg(&estate).arg("--state").arg(&other));
    assert_eq!(made.expect(0).json()["documents"], serde_json::json!([]));
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    std::fs::write(folder.path().join("mine/precious"), "x").unwrap();
    let third = folder.path().join("third");
    let ran = run(understudy().args(["estate", "init"]).arg(folder.path().join("mine")).arg("--state").arg(&third)).expect(5);
    assert!(ran.stderr.contains("F0034") && !third.exists(), "{}", ran.stderr);
}

#[test]
fn two_estates_are_never_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let made = ["a", "b"].map(|name| {
        let mut command = understudy();
        command.args(["estate", "init", "--output", "json"]).arg(folder.path().join("estate"));
        run(command.arg("--state").arg(folder.path().join(name))).expect(0);
        let held = journal::open(&folder.path().join(name)).unwrap();
        held.store.meta().clone()
    });
    let [a, b] = made;
    assert!(a.estate != b.estate && a.lineage != b.lineage && a.key != b.key && !a.lab);
    assert_eq!((a.lineage.0.len(), a.key.expose().len()), (32, 64));
}

#[test]
fn the_schema_is_one() {
    let schema = run(understudy().args(["estate", "schema"])).expect(0).json();
    assert!(schema["$defs"]["server-document"].is_object());
}

#[test]
fn a_controller_that_may_not_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (estate, state) = (folder.path().join("estate"), folder.path().join("state"));
    let serve = |more: &[&str]| {
        let mut command = understudy();
        command.arg("serve").arg("--state").arg(&state).arg("--estate").arg(&estate);
        run(command.args(["--socket", "/nowhere/api.sock", "--log-format", "text"]).args(more))
    };
    assert!(serve(&[]).expect(4).stderr.contains("F1102"));
    run(understudy().args(["estate", "init"]).arg(&estate).arg("--state").arg(&state)).expect(0);
    assert!(serve(&["--crash-after", "fence"]).expect(5).stderr.contains("--crash-after exists only in a lab estate"));
    std::fs::remove_file(estate.join("site.yaml")).unwrap();
    let ran = serve(&["--output", "json"]).expect(1);
    let fault = ran.fault();
    assert!(fault["remedy"].as_str().unwrap().contains("understudy estate check"), "{fault}");
}

#[test]
fn the_configuration_of_an_agent_of_bmcs_comes_from_the_documents() {
    let folder = tempfile::tempdir().unwrap();
    let estate = folder.path();
    loopback_lab(estate);
    let config = |agent: &str| run(understudy().args(["agent", "config", agent, "--estate"]).arg(estate));
    let none = config("bmcs1").expect(4);
    assert!(none.stderr.contains("F1003") && none.stderr.contains("it has none"), "{}", none.stderr);

    std::fs::write(estate.join("bmcs.yaml"), "bmc-agent: bmcs1\nsite: lab\nagent: 127.0.0.1:7448\n").unwrap();
    let machine = |name: &str, from: &str, to: &str| {
        let path = estate.join(format!("machines/{name}.yaml"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    };
    for name in ["m1", "m2"] {
        machine(name, "bmc:", "bmc:\n  agent: bmcs1");
    }
    let pin = "5f".repeat(32);
    machine("m1", "certificate: enrol", &format!("certificate: {pin}"));
    let unpinned = config("bmcs1").expect(1);
    assert!(unpinned.stderr.contains("F1020: the certificate of m2 is not pinned"), "{}", unpinned.stderr);

    machine("m2", "certificate: enrol", &format!("certificate: {pin}"));
    let made = config("bmcs1").expect(0).json();
    let bmcs = made["devices"]["bmcs"].as_object().unwrap();
    assert_eq!(
        (bmcs.keys().map(String::as_str).collect::<Vec<_>>(), &made["listen"]),
        (vec!["m1", "m2"], &"127.0.0.1:7448".into())
    );
    let password = bmcs["m1"]["bmc"]["password"].as_str().unwrap();
    assert_eq!(password, format!("file:{}", estate.join("secrets/bmc").display()), "a path from the root");
    assert!(bmcs["m1"]["serial"] == "LAB0001" && bmcs["m1"]["bmc"]["certificate"] == pin.as_str(), "{made}");

    machine("m1", "agent: bmcs1", "agent: bmcs2");
    let ran = run(understudy().args(["estate", "check", "--lab"]).arg(estate)).expect(1);
    assert!(ran.stdout.contains("F0011") && ran.stdout.contains("bmcs2"), "{}", ran.stdout);
}
