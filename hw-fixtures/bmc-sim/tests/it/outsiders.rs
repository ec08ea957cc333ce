//! Redfish checked from outside: `redfishtool` of the DMTF and ClusterLabs' `fence_redfish`, which others wrote, against a simulated BMC and
//! the process behind it.
//! Must never take a tool's exit code alone for an answer.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Rig, SYSTEM, rig};

/// A tool that is not done by then hangs: Python starts slowly on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Runs a Python program of the packages: its exit code, and what it said on stdout and on stderr.
async fn python(cache: &tempfile::TempDir, program: &str, arguments: &[&str]) -> (i32, String, String) {
    let packages = std::env::var_os("UNDERSTUDY_LAB_PACKAGES")
        .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"), PathBuf::from);
    let program = packages.join(program);
    assert!(program.exists(), "no {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES", program.display());
    let mut command = tokio::process::Command::new(packages.join("usr/bin/python3"));
    command.env("LD_LIBRARY_PATH", packages.join("usr/lib/x86_64-linux-gnu"));
    command.env("PYTHONHOME", packages.join("usr")).env("PYTHONPATH", packages.join("usr/share/fence"));
    // the packages are read by tests that run at the same time, and stay as they are: what Python compiles it keeps elsewhere
    command.env("PYTHONPYCACHEPREFIX", cache.path());
    command.arg(program).args(arguments).kill_on_drop(true);
    let output = tokio::time::timeout(SOON, command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

async fn redfishtool(cache: &tempfile::TempDir, rig: &Rig, login: &str, words: &str) -> (i32, String, String) {
    let address = rig.simulator.address.to_string();
    let mut arguments = vec!["-r", &address, "-S", "Always", "-u", "controller", "-p", "lab", "-A", login];
    arguments.extend(words.split(' '));
    python(cache, "usr/bin/redfishtool", &arguments).await
}

#[tokio::test]
async fn redfishtool_reads_with_both_ways_to_log_in_and_commands() {
    let (rig, cache) = (rig().await, tempfile::tempdir().unwrap());
    for login in ["Basic", "Session"] {
        let tool = async |words: &str| {
            let (code, out, err) = redfishtool(&cache, &rig, login, words).await;
            assert_eq!(code, 0, "{login}: {words}: {out}{err}");
            serde_json::from_str::<Value>(&out).unwrap_or_default()
        };
        let systems = tool("Systems list").await;
        assert!(systems.to_string().contains("System-1"), "{systems}");
        let system = tool("Systems -I System-1 get").await;
        assert_eq!((&system["PowerState"], &system["SerialNumber"]), (&json!("Off"), &rig.get(SYSTEM).await["SerialNumber"]));
        if login == "Basic" {
            continue;
        }
        tool("Systems -I System-1 setBootOverride Once Pxe").await;
        let boot = rig.get(SYSTEM).await["Boot"].clone();
        assert_eq!((&boot["BootSourceOverrideEnabled"], &boot["BootSourceOverrideTarget"]), (&json!("Once"), &json!("Pxe")));
        tool("Systems -I System-1 reset On").await;
        rig.until_power("On").await;
        assert!(rig.pid().is_some());
        assert_eq!(tool("Chassis -I Enclosure-1 get").await["PowerState"], "On");
        tool("Systems -I System-1 reset ForceOff").await;
        rig.until_power("Off").await;
        assert!(rig.pid().is_none());
        let state = rig.simulator.control.state("m1").await.unwrap();
        assert_eq!(state["sessions"], 0, "{login}: it ends what it made");
    }
    rig.quirk(json!({ "account": "other_password" })).await;
    let (code, out, err) = redfishtool(&cache, &rig, "Basic", "Systems list").await;
    assert!(code != 0 && format!("{out}{err}").contains("401"), "{out}{err}");
}

#[tokio::test]
async fn fence_redfish_fences_and_says_so_only_when_the_machine_is_off() {
    let (rig, cache) = (rig().await, tempfile::tempdir().unwrap());
    let (ip, port) = (rig.simulator.address.ip().to_string(), rig.simulator.address.port().to_string());
    let fence = async |action: &str| {
        let system = format!("--systems-uri={SYSTEM}");
        let (ip, port, action) = (format!("--ip={ip}"), format!("--ipport={port}"), format!("--action={action}"));
        let fixed = ["--username=controller", "--password=lab", "--ssl-insecure", "--power-timeout=2"];
        let (code, out, err) =
            python(&cache, "usr/sbin/fence_redfish", &[&[&*ip, &*port, &*action, &*system], &fixed[..]].concat()).await;
        (code, format!("{out}{err}"))
    };
    let says = |(code, said): (i32, String), expected: i32, word: &str| {
        assert!(code == expected && said.contains(word), "{code}: {said}")
    };
    says(fence("status").await, 2, "OFF");
    says(fence("on").await, 0, "Powered ON");
    assert!(rig.pid().is_some());
    says(fence("status").await, 0, "ON");
    says(fence("reboot").await, 0, "Rebooted");
    says(fence("off").await, 0, "Powered OFF");
    assert!(rig.pid().is_none());
    // a BMC that takes the order and does nothing is not believed by it either
    says(fence("on").await, 0, "Powered ON");
    rig.quirk(json!({ "reset": "ignored" })).await;
    let (code, said) = fence("off").await;
    assert!(code != 0 && !said.contains("Success") && rig.pid().is_some(), "{code}: {said}");
}
