//! Fencing checked from outside: `fence_ipmilan` of the cluster world, which others wrote, against a simulated BMC and the process behind
//! it. Must never take the agent's exit code alone for an answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bmc_sim::{Handle, MachineConfig, Simulator};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

struct Fence {
    simulator: Handle,
    packages: PathBuf,
}

/// What it ended with, and all that it said.
struct Ran {
    code: Option<i32>,
    said: String,
}

impl Fence {
    async fn new() -> Fence {
        let packages = std::env::var_os("UNDERSTUDY_LAB_PACKAGES")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"), PathBuf::from);
        let agent = packages.join("usr/sbin/fence_ipmilan");
        assert!(
            agent.exists(),
            "no fence_ipmilan at {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES",
            agent.display()
        );
        let mut machine = MachineConfig::for_test("m1");
        machine.ipmi = Some(([127, 0, 0, 1], 0).into());
        Fence { simulator: Simulator::start_one(machine).await.unwrap(), packages }
    }

    async fn run_as(&self, password: &str, action: &str) -> Ran {
        let at = |path: &str| self.packages.join(path);
        let port = self.simulator.ipmi_address_of("m1").unwrap().port().to_string();
        let mut command = tokio::process::Command::new("/usr/bin/python3");
        let modules = [at("usr/share/fence"), at("usr/lib/python3/dist-packages")];
        command.env("PYTHONPATH", std::env::join_paths(modules).unwrap()).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("LD_LIBRARY_PATH", at("usr/lib/x86_64-linux-gnu")).arg("-W").arg("ignore").arg(at("usr/sbin/fence_ipmilan"));
        command.arg(format!("--ipmitool-path={}", at("usr/bin/ipmitool").display()));
        command.args(["--ip=127.0.0.1", "--username=controller", "--lanplus", "--cipher=17", "--privlvl=operator"]);
        command.args(["--power-timeout=4", "--shell-timeout=20", "--power-wait=0", "--retry-on=1"]);
        command.arg(format!("--ipport={port}")).arg(format!("--password={password}")).arg(format!("--action={action}"));
        let output = tokio::time::timeout(SOON, command.kill_on_drop(true).output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ran { code: output.status.code(), said }
    }

    async fn run(&self, action: &str) -> Ran {
        self.run_as("lab", action).await
    }

    fn pid(&self) -> Option<i32> {
        self.simulator.control.pid("m1").unwrap()
    }
}

#[tokio::test]
async fn a_machine_is_fenced_and_started_by_the_process_that_it_is() {
    let fence = Fence::new().await;
    let status = fence.run("status").await;
    assert_eq!(status.code, Some(2), "off: {}", status.said);
    assert!(status.said.contains("Status: OFF"), "{}", status.said);
    let on = fence.run("on").await;
    assert!(on.code == Some(0) && fence.pid().is_some(), "{}", on.said);
    assert!(fence.run("status").await.said.contains("Status: ON"));
    let before = fence.pid();
    let reboot = fence.run("reboot").await;
    assert!(reboot.code == Some(0) && fence.pid().is_some() && fence.pid() != before, "{}", reboot.said);
    let off = fence.run("off").await;
    assert!(off.code == Some(0) && fence.pid().is_none(), "{}", off.said);
}

#[tokio::test]
async fn a_machine_that_stays_on_is_not_told_to_be_fenced() {
    let fence = Fence::new().await;
    fence.run("on").await;
    fence.simulator.control.set_quirks("m1", json!({ "reset": "ignored" })).await.unwrap();
    let off = fence.run("off").await;
    assert!(off.code == Some(1) && fence.pid().is_some(), "{:?}: {}", off.code, off.said);
    fence.simulator.control.set_quirks("m1", json!({ "reset": "obeys" })).await.unwrap();
    let wrong = fence.run_as("wrong", "off").await;
    assert!(wrong.code == Some(1) && fence.pid().is_some(), "{:?}: {}", wrong.code, wrong.said);
}
