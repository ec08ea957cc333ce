//! The DMTF's Redfish service validator judges every resource of a simulated BMC by the DMTF's own schemas.
//! Must never take its exit code alone for an answer: it must have looked, too.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::{Rig, rig};

/// A validator that is not done by then hangs: Python starts slowly on a busy machine.
const SOON: Duration = Duration::from_secs(120);
/// So many checks pass on an honest BMC at least.
const ENOUGH: u32 = 300;

/// What it counted, and what it had to say of failures and warnings.
struct Judgement {
    pass: u32,
    fail: u32,
    said: String,
}

/// Lets it judge the whole tree, logged in this way.
async fn judge(rig: &Rig, login: &str) -> Judgement {
    let folder = tempfile::tempdir().unwrap();
    let schemas = folder.path().join("schemas");
    std::fs::create_dir(&schemas).unwrap();
    // it may write where its schemas are
    for entry in std::fs::read_dir(nv_redfish_schema::REDFISH_CSDL_DIR).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), schemas.join(entry.file_name())).unwrap();
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/peers/bin/rf_service_validator");
    assert!(program.exists(), "no {}: run `cargo xtask packages`", program.display());
    let mut command = tokio::process::Command::new(program);
    command.args(["--user", "controller", "--password", "lab", "--authtype", login, "--skipschema"]);
    command.args(["--rhost", &format!("https://{}", rig.simulator.address)]);
    command.arg("--schema_directory").arg(&schemas).arg("--logdir").arg(folder.path().join("logs"));
    let output =
        tokio::time::timeout(SOON, command.current_dir(folder.path()).kill_on_drop(true).output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // the one line of numbers below the table's head: PASS, WARN, FAIL, NOT TESTED
    let counted = said.lines().skip_while(|line| !line.contains("NOT TESTED")).find_map(|line| {
        let numbers: Vec<u32> = line.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
        <[u32; 4]>::try_from(numbers).ok()
    });
    let [pass, _, fail, _] = counted.unwrap_or_else(|| panic!("no table: {said}"));
    assert_eq!(output.status.success(), fail == 0, "{said}");
    let log = walk(&folder.path().join("logs"));
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("FAIL -") || line.contains("WARN -")).collect();
    Judgement { pass, fail, said: complaints.join("\n") }
}

/// The text of its log, wherever it lies below.
fn walk(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: std::path::PathBuf| match path.extension() {
        _ if path.is_dir() => walk(&path),
        Some(kind) if kind == "log" => std::fs::read_to_string(path).unwrap(),
        _ => String::new(),
    };
    entries.map(text).collect()
}

#[tokio::test]
async fn all_that_it_tells_is_by_the_schemas_off_and_on_and_with_either_log_in() {
    let rig = rig().await;
    let off = judge(&rig, "Basic").await;
    assert!(off.fail == 0 && off.pass >= ENOUGH, "{} passed, {} failed: {}", off.pass, off.fail, off.said);
    rig.simulator.control.perform(bmc_sim::Request::PowerOn { name: "m1".into() }).await.unwrap();
    let on = judge(&rig, "Session").await;
    assert!(on.fail == 0 && on.pass >= ENOUGH, "{} passed, {} failed: {}", on.pass, on.fail, on.said);
}

#[tokio::test]
async fn the_other_shapes_in_which_a_bmc_may_tell_the_same_are_by_the_schemas_too() {
    let rig = rig().await;
    // in each of them it still tells so much
    for shape in [
        json!({ "inventory": "older", "boot_place": "settings", "inline_values": false, "events": "absent", "task": "stalls" }),
        json!({ "inventory": "none", "boot_place": "settings_in_silence", "policy_attribute": "dell", "boot_mode": "missing" }),
        json!({ "lldp": "octets", "policy_attribute": "hpe", "compresses": true }),
        json!({ "log_at": "manager", "log_page": 4, "log_padding": 9, "log_newest_first": true }),
    ] {
        rig.simulator.control.perform(bmc_sim::Request::ClearQuirks { name: "m1".into() }).await.unwrap();
        rig.quirk(json!({ "indicator": "led", "redfish": shape })).await;
        let _ = rig.reset("On").await;
        let judgement = judge(&rig, "Basic").await;
        let (pass, fail) = (judgement.pass, judgement.fail);
        assert!(fail == 0 && pass >= ENOUGH / 2, "{shape}: {pass} passed, {fail} failed: {}", judgement.said);
    }
}

#[tokio::test]
async fn it_finds_what_is_not_by_the_schemas() {
    let rig = rig().await;
    rig.quirk(json!({ "uuid": "no UUID at all" })).await;
    let judgement = judge(&rig, "Basic").await;
    assert!(judgement.fail > 0 && judgement.said.contains("UUID"), "{} passed: {}", judgement.pass, judgement.said);
}
