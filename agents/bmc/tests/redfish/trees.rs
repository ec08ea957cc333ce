//! Whole trees of other platforms, replayed over TLS: hand-written ones and the tracked recording always, all others where
//! `UNDERSTUDY_RECORDINGS` names a folder, or `shared/data/redfish` lies beside the repository (a folder a machine,
//! `redfish/v1/**/index.json`, or the same without that prefix).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::common::{door, identity, is_rejected};
use crate::replay::{self, Replay};
use serde_json::Value;
use vocabulary::power::{BootTarget, MachineReading, PowerState, RestorePolicy};

type Tree = BTreeMap<String, Value>;

/// A server for a tree: sessions and resets are accepted, settings are answered 405, nothing ever changes.
async fn serve(tree: Tree) -> Replay {
    Replay::start(move |asked, _| {
        let path = asked.path.trim_end_matches('/');
        match asked.method.as_str() {
            "POST" if path.ends_with("/Sessions") => replay::session(),
            "POST" => Some((204, Vec::new(), String::new())),
            "DELETE" => Some((204, Vec::new(), String::new())),
            "GET" => match tree.get(path) {
                Some(resource) => replay::json(200, resource),
                None => replay::json(404, &serde_json::json!({ "error": { "message": "no such resource" } })),
            },
            _ => replay::json(405, &Value::Null),
        }
    })
    .await
}

fn hand_written(name: &str) -> Tree {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn two_systems_behind_one_bmc_are_told_apart() {
    let server = serve(hand_written("two-systems.json")).await;
    let mut door = door(server.address, Some(server.pin.clone()));
    door.identity = identity("aaaaaaaa-0000-4000-8000-000000000001", "HOST1");
    let driver = bmc::open(&door).unwrap();
    let reading = driver.read().await.unwrap();
    assert_eq!(reading.identity, identity("aaaaaaaa-0000-4000-8000-000000000001", ""));
    assert_eq!((reading.system_power, reading.chassis_power), (PowerState::Off, None), "the BMC's own board is no host rail");
    assert_eq!(reading.restore_policy, RestorePolicy::LastState);
    assert_eq!(reading.health.as_deref(), Some("Warning"));
    assert_eq!(reading.boot_progress.as_deref(), Some("OSRunning"));
    assert_eq!(reading.last_reset.as_deref(), Some("2026-01-02T03:04:05+00:00"));
    assert_eq!(reading.bmc_started.as_deref(), Some("2026-01-01T00:00:00+00:00"));
    driver.shut_down().await.unwrap();
    driver.power_off().await.unwrap();
    let resets: Vec<_> = server.asked("POST").into_iter().filter(|asked| asked.path.contains("Reset")).collect();
    assert_eq!(resets.len(), 1, "only the power-off: a machine that is off is not asked to stop");
    assert_eq!(resets[0].path, "/redfish/v1/Systems/Host/Actions/ComputerSystem.Reset");
    assert_eq!(resets[0].body, serde_json::json!({ "ResetType": "ForceOff" }));
    assert!(is_rejected(&driver.set_boot_target(BootTarget::Pxe).await), "no boot override on this system");
    assert!(server.asked("PATCH").is_empty());

    door.identity = identity("aaaaaaaa-0000-4000-8000-000000000002", "BOARD2");
    let board = bmc::open(&door).unwrap();
    assert_eq!(board.read().await.unwrap().last_reset, None);
    assert!(is_rejected(&board.power_off().await), "a board without a reset action");
    door.identity = identity("aaaaaaaa-0000-4000-8000-000000000003", "");
    assert!(is_rejected(&bmc::open(&door).unwrap().read().await));
}

#[tokio::test]
async fn nulls_and_missing_resources_are_not_told() {
    let server = serve(hand_written("nulls.json")).await;
    let mut door = door(server.address, Some(server.pin.clone()));
    door.identity = identity("", "NULLS1");
    let driver = bmc::open(&door).unwrap();
    let reading = driver.read().await.unwrap();
    assert_eq!((reading.system_power, reading.chassis_power), (PowerState::Unknown, None), "no record of this platform");
    assert!(!reading.all_off());
    assert_eq!((reading.last_reset, reading.boot_progress, reading.bmc_started, reading.health), (None, None, None, None));
    assert!(is_rejected(&driver.set_restore_policy_off().await), "it tells no policy");
    assert!(is_rejected(&driver.set_boot_target(BootTarget::Pxe).await), "405");
    let patches = server.asked("PATCH");
    assert_eq!(patches.len(), 1);
    assert!(patches[0].headers.iter().all(|(name, _)| name != "if-match"), "a weak ETag is no condition");
    let boot = serde_json::json!({ "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once" });
    assert_eq!(patches[0].body, serde_json::json!({ "Boot": boot }), "no mode where the platform has none");
}

#[tokio::test]
async fn a_bare_system_still_powers_off() {
    let server = serve(hand_written("bare.json")).await;
    let mut door = door(server.address, Some(server.pin.clone()));
    door.identity = identity("ffffffff-1111-4000-8000-000000000001", "BARE1");
    let reading = bmc::open(&door).unwrap().power_off().await.unwrap();
    assert_eq!((reading.system_power, reading.chassis_power, reading.all_off()), (PowerState::Off, None, true));
    assert_eq!((reading.bmc_started, reading.restore_policy), (None, RestorePolicy::Unknown));
}

#[tokio::test]
async fn only_the_chassis_of_the_platforms_record_is_the_host_rail() {
    let lab = hand_written("lab.json");
    let rail = async |tree: Tree| {
        let server = serve(tree).await;
        let mut door = door(server.address, Some(server.pin.clone()));
        door.identity = identity("", "LAB1");
        let reading = bmc::open(&door).unwrap().read().await.unwrap();
        assert_eq!(reading.system_power, PowerState::Off);
        (reading.chassis_power, reading.all_off())
    };
    // the enclosure that is linked first is on for ever
    assert_eq!(rail(lab.clone()).await, (Some(PowerState::Off), true));
    let mut on = lab.clone();
    on.get_mut("/redfish/v1/Chassis/Enclosure-1").unwrap()["PowerState"] = "On".into();
    assert_eq!(rail(on).await, (Some(PowerState::On), false), "the rail contradicts");
    let mut silent = lab.clone();
    silent.remove("/redfish/v1/Chassis/Enclosure-1");
    assert_eq!(rail(silent).await, (Some(PowerState::Unknown), false), "a rail that does not answer is not off");
    let mut unlinked = lab.clone();
    unlinked.get_mut("/redfish/v1/Systems/1").unwrap()["Links"]["Chassis"].as_array_mut().unwrap().pop();
    assert_eq!(rail(unlinked).await, (None, true), "weak: there is no second source");
    let mut stranger = lab;
    stranger.get_mut("/redfish/v1").unwrap()["Product"] = "something else".into();
    assert_eq!(rail(stranger).await, (None, true), "weak: nobody knows this platform's rail");
}

/// The folder of recordings that are not tracked, where there is one.
fn foreign() -> Option<PathBuf> {
    let beside = || Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/redfish")).filter(|path| path.is_dir());
    std::env::var_os("UNDERSTUDY_RECORDINGS").map(PathBuf::from).or_else(beside)
}

/// Replays every machine of a folder.
async fn replay_folder(folder: &Path) -> (usize, usize) {
    let (mut machines, mut systems) = (0, 0);
    for machine in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        machines += 1;
        let found = replay_machine(recorded(&machine)).await;
        assert!(found > 0, "{} has no system that tells who it is", machine.display());
        systems += found;
    }
    (machines, systems)
}

#[tokio::test]
async fn the_recorded_tree_of_this_repository_reads_as_it_says() {
    assert_eq!(replay_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")).await, (1, 1));
}

#[tokio::test]
async fn recorded_trees_read_as_they_say() {
    let (machines, systems) = match foreign() {
        Some(folder) => replay_folder(&folder).await,
        None => (0, 0),
    };
    println!("replayed {systems} systems of {machines} recorded machines (UNDERSTUDY_RECORDINGS names the folder)");
}

/// A reading says what the resources of its tree say, and nothing else.
fn reads_as_it_says(reading: &MachineReading, system: &Value, tree: &Tree, path: &str) {
    let resource = |link: &Value| link["@odata.id"].as_str().and_then(|path| tree.get(path.trim_end_matches('/')));
    let word = |value: &Value| value.as_str().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let time = |value: &Value| word(value).filter(|text| text.get(..4).is_some_and(|year| year >= "2000"));
    let told = |value: &Value| match value.as_str() {
        Some("On") => PowerState::On,
        Some("Off") => PowerState::Off,
        Some("PoweringOn") => PowerState::PoweringOn,
        Some("PoweringOff") => PowerState::PoweringOff,
        Some("Paused") => PowerState::Paused,
        _ => PowerState::Unknown,
    };
    let managers = &system["Links"]["ManagedBy"];
    let manager = resource(&managers[0]).or_else(|| resource(managers)).cloned().unwrap_or_default();
    assert_eq!(reading.system_power, told(&system["PowerState"]), "{path}");
    assert_eq!(reading.last_reset, time(&system["LastResetTime"]), "{path}");
    assert_eq!(reading.boot_progress, word(&system["BootProgress"]["LastState"]), "{path}");
    assert_eq!(reading.bmc_started, time(&manager["LastResetTime"]), "{path}");
    assert_eq!(reading.health, word(&system["Status"]["HealthRollup"]).or_else(|| word(&system["Status"]["Health"])), "{path}");
    let policy = match system["PowerRestorePolicy"].as_str() {
        Some("AlwaysOff") => RestorePolicy::AlwaysOff,
        Some("AlwaysOn") => RestorePolicy::AlwaysOn,
        Some("LastState") => RestorePolicy::LastState,
        _ => RestorePolicy::Unknown,
    };
    assert_eq!(reading.restore_policy, policy, "{path}");
    if let Some(rail) = reading.chassis_power {
        let chassis = system["Links"]["Chassis"].as_array().into_iter().flatten().filter_map(resource);
        assert!(chassis.map(|chassis| told(&chassis["PowerState"])).any(|power| power == rail), "{path}: {rail:?}");
    }
}

/// What a machine is made of and how it is, as its tree says.
fn tells_its_facts(survey: &bmc::Survey, system: &Value, path: &str) {
    let told = |name: &str| survey.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.clone());
    for fact in &survey.facts {
        println!("{path}: {}: {}", fact.name, fact.value);
    }
    assert_eq!(told("survey"), None, "{path}: it was told to its end");
    let product = told("product").unwrap_or_default();
    assert!(product.contains(system["SerialNumber"].as_str().unwrap_or_default().trim()), "{path}: {product}");
    assert_eq!(told("BIOS").as_deref(), system["BiosVersion"].as_str().filter(|version| !version.is_empty()), "{path}");
    let expected: &[(&str, &str)] = match path {
        "/redfish/v1/Systems/437XR1138R2" => &[("memory", "96 GiB"), ("power drawn", "374 W"), ("power supply Bay1", "present")],
        "/redfish/v1/Systems/System.Embedded.1" => &[
            ("power drawn", "254 W"),
            ("temperature System Board Inlet Temp", "20 °C"),
            ("fan System Board Fan1A", "9840 RPM"),
            ("power supply PSU.Slot.1", "present, DELL PWR SPLY,1400W,RDNT,DELTA, part 07DWXYA02, serial CNDED003AG4TLZ"),
            ("health by sensors", "OK"),
        ],
        "/redfish/v1/Systems/1" => &[
            ("power drawn", "531 W"),
            ("fan Fan 1", "51%"),
            ("power supply 0", "present, LTEON P38997-B21, serial 5XLNR0LLLH764F"),
            ("power redundancy", "Failover, at least 2 needed, OK"),
        ],
        "/redfish/v1/Systems/System-1" => &[("power drawn", "212 W"), ("temperature InletTemp", "22 °C")],
        _ => &[],
    };
    for (name, value) in expected {
        let told = told(name).unwrap_or_else(|| panic!("{path}: nothing is told of {name}"));
        assert!(told.starts_with(value), "{path}: {name}: {told}");
    }
}

/// The log of a tree that has one at its system is told, the oldest entry first; where there is none, the reason is.
fn tells_its_log(survey: &bmc::Survey, tree: &Tree, path: &str) {
    let remark = &survey.facts.iter().find(|fact| fact.name == "event log").unwrap_or_else(|| panic!("{path}: {survey:?}")).value;
    let is_log = |at: &str| at.starts_with(&format!("{path}/LogServices/")) && at.ends_with("/Entries");
    let entries =
        tree.iter().filter(|(at, _)| is_log(at)).flat_map(|(_, log)| log["Members"].as_array().cloned().unwrap_or_default());
    let mut messages: Vec<String> = entries.map(|entry| entry["Message"].as_str().unwrap_or_default().to_owned()).collect();
    let mut told: Vec<String> = survey.log.iter().map(|entry| entry.what.trim_start_matches("ended: ").to_owned()).collect();
    messages.sort();
    told.sort();
    assert_eq!((told, remark.starts_with("not told")), (messages.clone(), messages.is_empty()), "{path}: {remark}");
    assert!(survey.log.is_sorted_by_key(|entry| entry.at) && survey.log.iter().all(|entry| entry.at.is_some()), "{path}");
    assert!(survey.log.iter().all(|entry| entry.severity != "unknown"), "{path}: {:?}", survey.log);
    println!("{path}: {remark}: {:#?}", survey.log);
}

/// Reads every system of a tree that tells who it is, and cuts its power where it has a reset. Returns how many there were.
async fn replay_machine(tree: Tree) -> usize {
    let server = serve(tree.clone()).await;
    let is_system = |path: &str| path.strip_prefix("/redfish/v1/Systems/").is_some_and(|id| !id.contains('/'));
    let mut count = 0;
    for (path, system) in tree.iter().filter(|(path, _)| is_system(path)) {
        let text = |key: &str| system[key].as_str().unwrap_or_default().to_owned();
        let mut door = door(server.address, Some(server.pin.clone()));
        door.identity = identity(&text("UUID"), &text("SerialNumber"));
        let Ok(driver) = bmc::open(&door) else { continue };
        count += 1;
        let reading = driver.read().await.unwrap_or_else(|e| panic!("{path}: {e}"));
        reads_as_it_says(&reading, system, &tree, path);
        assert_eq!(reading.identity.uuid, text("UUID").to_lowercase(), "{path}");
        let commands = || server.asked("POST").into_iter().filter(|asked| !asked.path.ends_with("/Sessions")).count();
        let before = commands();
        let found = bmc::probe(&door, bmc::Scope::FactsAndLog).await.unwrap_or_else(|fault| panic!("{path}: {fault}"));
        assert!(found.matches && found.findings.abilities.len() == 9, "{path}: {found:?}");
        assert_eq!((commands(), server.asked("PATCH").len()), (before, 0), "{path}: a look changes nothing");
        println!("{path}: {:#?}", found.findings);
        tells_its_log(&found.survey, &tree, path);
        tells_its_facts(&found.survey, system, path);
        let inspection = bmc::open(&door).unwrap().inspect().await.unwrap_or_else(|fault| panic!("{path}: {fault}"));
        let hardware = inspection.inventory;
        let gib = &system["MemorySummary"]["TotalSystemMemoryGiB"];
        assert_eq!(hardware.memory.is_some(), gib.as_f64().is_some_and(|gib| gib > 0.0), "{path}: {hardware:?}");
        assert_eq!((hardware.manufacturer, hardware.model), (text("Manufacturer"), text("Model").trim().to_owned()), "{path}");
        assert_eq!(hardware.incomplete, None, "{path}");
        let asked = server.asked("GET").len();
        let supplies = driver.power_supplies().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(supplies.map(|count| count as usize), hardware.power_supplies, "{path}");
        println!("{path}: {} requests count the power supplies", server.asked("GET").len() - asked);
        let macs: std::collections::BTreeSet<_> = hardware.nics.iter().map(|nic| nic.mac).collect();
        assert_eq!(macs.len(), hardware.nics.len(), "{path}: each port once");
        println!(
            "{path}: {:?} level {:?}, {:?} threads, {:?}, {:?} power supplies",
            hardware.architecture, hardware.level, hardware.threads, hardware.firmware, hardware.power_supplies
        );
        println!("{path}: {:#?}", hardware.nics);
        assert_eq!((commands(), server.asked("PATCH").len()), (before, 0), "{path}: a closer look changes nothing either");
        let before = server.asked("POST").len();
        let cut = driver.power_off().await;
        let resets = server.asked("POST").len() - before;
        let can = system["Actions"]["#ComputerSystem.Reset"]["target"].is_string();
        assert_eq!((cut.is_ok(), resets), (can, usize::from(can)), "{path}: {cut:?}");
        door.identity = identity("99999999-9999-4999-8999-999999999999", "SOMEBODY");
        assert!(is_rejected(&bmc::open(&door).unwrap().power_off().await), "{path}");
        println!("{path}: {reading:?}");
    }
    count
}

/// A recorded tree: each `index.json` under its folder's path.
fn recorded(root: &Path) -> Tree {
    let prefix = if root.join("redfish").is_dir() { "" } else { "/redfish/v1" };
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.file_name().is_some_and(|name| name == "index.json") {
                let relative = folder.strip_prefix(root).unwrap().display().to_string();
                let path = if relative.is_empty() { prefix.to_owned() } else { format!("{prefix}/{relative}") };
                if let Ok(resource) = serde_json::from_str(&std::fs::read_to_string(&entry).unwrap()) {
                    tree.insert(path, resource);
                }
            }
        }
    }
    tree
}
