//! The recordings that are tracked beside the BMC drivers, made of this simulator: they are what it says, today too. With
//! `UNDERSTUDY_RECORD=1` they are made anew:
//! `UNDERSTUDY_RECORD=1 cargo nextest run -p bmc-sim -E 'test(recording)'`.
//! Must never record a secret, nor anything that is another at each run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bmc_sim::MachineConfig;
use serde_json::{Value, json};

use crate::support::rig_with;

/// What is another at each run, and what stands for it.
const FLEETING: [(&str, &str); 4] = [
    ("DateTime", "2026-01-01T03:00:00+00:00"),
    ("LastResetTime", "2026-01-01T02:00:00+00:00"),
    ("Created", "2026-01-01T02:00:00+00:00"),
    ("FirmwareVersion", "0.1.0"),
];
/// What our client asks over IPMI, and some more of what others would: netfn, command, data.
const QUESTIONS: [&str; 7] = ["06 01", "06 37", "00 01", "00 09 05 00 00", "00 07", "06 25", "2c 01"];

fn machine() -> MachineConfig {
    let mut machine = MachineConfig::for_test("m1");
    (machine.uuid, machine.serial) = ("00000000-0000-4000-8000-000000000001".into(), "LAB0001".into());
    machine.ipmi = Some(([127, 0, 0, 1], 0).into());
    machine
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agents/bmc/tests/recordings")
}

fn records() -> bool {
    std::env::var_os("UNDERSTUDY_RECORD").is_some()
}

/// Makes what is fleeting the same at each run.
fn settle(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("@odata.etag");
            for (key, stands) in FLEETING {
                object.entry(key).and_modify(|value| *value = json!(stands));
            }
            object.entry("ServiceRootUptimeSeconds").and_modify(|value| *value = json!(3600.0));
            object.values_mut().for_each(settle);
        }
        Value::Array(list) => list.iter_mut().for_each(settle),
        _ => {}
    }
}

fn links(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("@odata.id").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| links(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| links(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_recording_of_redfish_is_what_the_simulator_says() {
    let rig = rig_with(machine()).await;
    rig.reset("On").await;
    rig.until_power("On").await;
    let mut tree = BTreeMap::new();
    let mut ahead = vec!["/redfish/v1/".to_owned()];
    while let Some(path) = ahead.pop() {
        let path = path.trim_end_matches('/').to_owned();
        let std::collections::btree_map::Entry::Vacant(place) = tree.entry(path) else { continue };
        let mut body = rig.get(place.key()).await;
        settle(&mut body);
        links(&body, &mut ahead);
        place.insert(body);
    }
    assert!(tree.len() >= 12, "{:?}", tree.keys());
    for (path, body) in tree {
        let file = kept().join("bmc-sim").join(path.trim_start_matches('/')).join("index.json");
        let text = serde_json::to_string_pretty(&body).unwrap() + "\n";
        assert!(!text.contains("\"lab\""), "no password: {text}");
        if records() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let said = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(said, text, "{}; UNDERSTUDY_RECORD=1 records anew", file.display());
    }
}

#[tokio::test]
async fn the_recording_of_ipmi_is_what_the_simulator_says() {
    let tool = crate::ipmitool::tool_for(machine()).await;
    tool.switch_on().await;
    let mut lines = String::from(
        "# Netfn, command and data of a request > completion code and data of its response, hexadecimal.\n\
         # Made of bmc-sim; see README.md.\n",
    );
    for question in QUESTIONS {
        let words: Vec<String> = question.split(' ').map(|byte| format!("0x{byte}")).collect();
        let words: Vec<&str> = ["raw"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let (good, said) = tool.run(&words).await;
        let answer = if good {
            // the tool's complaints about missing lists of names come after the bytes
            let bytes = said.split_whitespace().take_while(|word| word.len() == 2 && u8::from_str_radix(word, 16).is_ok());
            format!("00 {}", bytes.collect::<Vec<_>>().join(" "))
        } else {
            // "Unable to send RAW command (channel=0x0 netfn=0x2c lun=0x0 cmd=0x1 rsp=0xc1): ..."
            said.split_once("rsp=0x").unwrap_or_else(|| panic!("{said}")).1.chars().take(2).collect()
        };
        lines += &format!("{question} > {}\n", answer.trim_end());
    }
    let file = kept().join("bmc-sim.ipmi");
    if records() {
        std::fs::write(&file, &lines).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), lines, "UNDERSTUDY_RECORD=1 records anew");
}
