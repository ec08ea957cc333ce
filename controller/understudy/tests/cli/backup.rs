//! A backup of a running controller, a store restored from it, and what that one does before and after it is adopted.

use crate::support::{Controller, run, understudy};
use nix::sys::signal::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn restore(file: &Path, state: &Path) -> crate::support::Ran {
    run(understudy().arg("restore").arg(file).arg("--state").arg(state))
}

#[test]
fn a_backup_is_restored_and_only_observes_until_it_is_adopted() {
    let mut controller = Controller::start();
    controller.run(&["hold", "web2", "--reason", "the owner looks at it"]).expect(0);
    let file = controller.path("backup");
    let words = ["backup", file.to_str().unwrap()];
    let said = controller.run(&words).expect(0).stdout;
    assert!(said.contains("entries and the estate's keys") && !said.contains("PRIVATE"), "{said}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(controller.run(&words).expect(5).stderr.contains("F0074"));
    assert!(controller.run(&["backup", "/proc/none/backup"]).expect(1).stderr.contains("F0074"));
    assert_eq!(controller.run(&["backup", "-"]).expect(0).stdout.lines().count(), 2 + lines(&file), "a pipe holds the same");
    assert!(controller.run(&["adopt", "--yes"]).expect(5).stderr.contains("F1106"), "a store that was not restored");

    let before = controller.run(&["agent", "list", "--output", "json"]).expect(0).json();
    controller.signal(Signal::SIGTERM);
    let state = controller.path("state");
    assert!(restore(&file, &state).expect(5).stderr.contains("F0068"), "never over a store");
    std::fs::rename(&state, controller.path("lost")).unwrap();
    let said = restore(&file, &state).expect(0);
    assert!(said.stdout.contains("its store (sqlite) is in") && said.stderr.contains("understudy adopt"), "{}", said.stdout);
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    let key = |folder: &str| std::fs::read(controller.path(folder).join("authority/authority.key")).unwrap();
    assert_eq!(key("state"), key("lost"), "agents know the controller again");

    controller.again();
    let status = controller.run(&["status"]).expect(0).stdout;
    assert!(status.contains("understudy adopt  ") && status.contains("restored from a backup of"), "{status}");
    assert!(status.contains("the owner looks at it"), "what was held is held: {status}");
    for words in [&["server", "start", "web1"][..], &["machine", "enroll", "m1"], &["agent", "readopt", "sw1", "--yes"]] {
        let told = controller.run(words).expect(5).stderr;
        assert!(told.contains("F1105"), "{words:?}: {told}");
    }
    let shown = controller.run(&["adopt", "--dry-run"]).expect(0).stdout;
    for part in
        ["Not heard; what they keep", "store1", "it did not answer", "Nobody can say where they are", "0 of 1 person has agreed"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let view = controller.run(&["adopt", "--dry-run", "--output", "json"]).expect(0).json();
    assert_eq!((view["absent"].as_array().unwrap().len(), &view["placed"]), (3, &serde_json::json!([])), "{view}");
    assert!(controller.run(&["adopt", "--yes", "--hash", "beef"]).expect(6).stderr.contains("F0067"));
    assert!(controller.run(&["adopt"]).expect(5).stderr.contains("F0062"), "nobody typed the word");

    let adopted = controller.run(&["adopt", "--yes", "--hash", &view["hash"].as_str().unwrap()[..12]]).expect(0).stdout;
    assert!(adopted.contains("adopted: from here on this store acts") && adopted.contains("bmc obeys it"), "{adopted}");
    let status = controller.run(&["status"]).expect(0).stdout;
    assert!(!status.contains("restored from a backup"), "{status}");
    assert!(status.contains("only observed since: boot1, store1, sw1"), "{status}");
    assert!(status.contains("understudy resume web1"), "nobody can say where it is: {status}");
    let after = controller.run(&["agent", "list", "--output", "json"]).expect(0).json();
    assert_eq!(before.as_array().unwrap().len(), after.as_array().unwrap().len());
    // the agents that were not heard can still be adopted
    controller.run(&["adopt", "--dry-run"]).expect(0);
    controller.signal(Signal::SIGTERM);
    controller.again();
    assert!(!controller.run(&["status"]).expect(0).stdout.contains("restored from a backup"), "it stays adopted");
}

/// Entries of a backup.
fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap().lines().count() - 2
}

#[test]
fn what_is_no_whole_backup_makes_no_store() {
    let controller = Controller::start();
    let file = controller.path("backup");
    controller.run(&["backup", file.to_str().unwrap()]).expect(0);
    let whole = std::fs::read(&file).unwrap();
    let state = controller.path("restored");
    for (bytes, said) in [
        (&whole[..whole.len() / 2], "not whole"),
        (&whole[..whole.len() - 1], "not whole"),
        (b"hello\n", "no backup of Understudy"),
        (b"", "the file is empty"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let told = restore(&file, &state).expect(1).stderr;
        assert!(told.contains("F0075") && told.contains(said), "{told}");
        assert!(!state.exists() && !controller.path("restored.restoring").exists());
    }
    std::fs::write(&file, &whole).unwrap();
    std::fs::create_dir(&state).unwrap();
    let json =
        run(understudy().args(["--output", "json", "restore"]).arg(&file).arg("--state").arg(&state).args(["--store", "sled"]));
    let json = json.expect(0).json();
    assert_eq!((json["store"].as_str(), json["lab"].as_bool()), (Some("sled"), Some(true)), "into an empty folder: {json}");
    assert_eq!(json["entries"].as_u64(), Some(lines(&file) as u64));
    assert!(restore(&controller.path("none"), &controller.path("other")).expect(1).stderr.contains("F0075"));
}
