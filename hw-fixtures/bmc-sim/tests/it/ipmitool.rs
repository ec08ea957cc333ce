//! IPMI checked from outside: `ipmitool`, which others wrote, against a simulated BMC and the process behind it.
//! Must never take the tool's exit code alone for an answer.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bmc_sim::{Handle, MachineConfig, Request, Simulator};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);
const UUID: &str = "00112233-4455-4677-8899-aabbccddeeff";
const KEY: &str = "0x0102030405060708090a0b0c0d0e0f1011121314";

pub struct Tool {
    simulator: Handle,
    packages: PathBuf,
    /// Arguments added to all.
    extra: Vec<&'static str>,
}

async fn tool_with(key: Option<&str>) -> Tool {
    let mut machine = MachineConfig::for_test("m1");
    (machine.uuid, machine.serial) = (UUID.into(), "LAB0001".into());
    machine.ipmi = Some(([127, 0, 0, 1], 0).into());
    machine.ipmi_key = key.map(Into::into);
    tool_for(machine).await
}

/// The tool, and this machine, named m1.
pub async fn tool_for(machine: MachineConfig) -> Tool {
    let packages = std::env::var_os("UNDERSTUDY_LAB_PACKAGES")
        .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root"), PathBuf::from);
    let program = packages.join("usr/bin/ipmitool");
    assert!(program.exists(), "no ipmitool at {}: run `cargo xtask packages`, or set UNDERSTUDY_LAB_PACKAGES", program.display());
    Tool { simulator: Simulator::start_one(machine).await.unwrap(), packages, extra: vec!["-C", "17", "-L", "ADMINISTRATOR"] }
}

async fn tool() -> Tool {
    tool_with(None).await
}

impl Tool {
    /// Whether it succeeded, and all that it said.
    pub async fn run(&self, arguments: &[&str]) -> (bool, String) {
        let port = self.simulator.ipmi_address_of("m1").unwrap().port().to_string();
        let mut command = tokio::process::Command::new(self.packages.join("usr/bin/ipmitool"));
        command.env("LD_LIBRARY_PATH", self.packages.join("usr/lib/x86_64-linux-gnu"));
        command.args(["-I", "lanplus", "-H", "127.0.0.1", "-p", &port, "-U", "controller", "-P", "lab", "-R", "2"]);
        command.args(&self.extra).args(arguments).kill_on_drop(true);
        let output = tokio::time::timeout(SOON, command.output()).await.unwrap().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// What it says, having succeeded.
    async fn says(&self, arguments: &[&str]) -> String {
        let (good, said) = self.run(arguments).await;
        assert!(good, "{arguments:?}: {said}");
        said
    }

    async fn fails(&self, arguments: &[&str]) -> String {
        let (good, said) = self.run(arguments).await;
        assert!(!good, "{arguments:?}: {said}");
        said
    }

    /// Switches the machine on, past the BMC.
    pub async fn switch_on(&self) {
        self.simulator.control.perform(Request::PowerOn { name: "m1".into() }).await.unwrap();
    }

    async fn quirk(&self, quirks: Value) {
        self.simulator.control.set_quirks("m1", quirks).await.unwrap();
    }

    fn pid(&self) -> Option<i32> {
        self.simulator.control.pid("m1").unwrap()
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(Option<i32>) -> bool) {
        let end = Instant::now() + SOON;
        while !holds(self.pid()) {
            assert!(Instant::now() < end, "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn has(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[tokio::test]
async fn both_suites_and_the_key_are_agreed_on_and_others_refused() {
    let mut tool = tool().await;
    for suite in ["3", "17"] {
        tool.extra = vec!["-C", suite];
        has(&tool.says(&["mc", "info"]).await, &["IPMI Version              : 2.0", "Chassis Device"]);
    }
    for suite in ["0", "1", "2", "8", "12", "16"] {
        tool.extra = vec!["-C", suite];
        has(&tool.fails(&["mc", "info"]).await, &["invalid"]);
    }
    // without being told, it asks which suites there are
    tool.extra = vec![];
    has(&tool.says(&["mc", "guid"]).await, &[UUID]);
    has(&tool.says(&["channel", "getciphers", "ipmi", "0xe"]).await, &["hmac_sha1_96", "sha256_128"]);
    let mut tool = tool_with(Some(KEY)).await;
    let key = &KEY[2..];
    for suite in ["3", "17"] {
        tool.extra = vec!["-C", suite, "-y", key];
        has(&tool.says(&["power", "status"]).await, &["Chassis Power is off"]);
        tool.extra = vec!["-C", suite];
        tool.fails(&["power", "status"]).await;
    }
}

#[tokio::test]
async fn power_is_the_process() {
    let tool = tool().await;
    has(&tool.says(&["power", "on"]).await, &["Up/On"]);
    let first = tool.pid().expect("it runs");
    has(&tool.says(&["power", "status"]).await, &["is on"]);
    tool.says(&["power", "reset"]).await;
    let second = tool.pid().expect("it runs again");
    assert_ne!(first, second);
    tool.says(&["power", "cycle"]).await;
    tool.until("off in between", |pid| pid.is_none()).await;
    has(&tool.says(&["power", "status"]).await, &["is off"]);
    tool.until("on again", |pid| pid.is_some()).await;
    tool.says(&["power", "soft"]).await;
    tool.until("off in the end", |pid| pid.is_none()).await;
    for refused in ["reset", "cycle", "soft"] {
        has(&tool.fails(&["power", refused]).await, &["not supported in present state"]);
    }
    tool.says(&["power", "off"]).await;
    tool.quirk(json!({ "force_off_when_off": "conflict" })).await;
    tool.fails(&["power", "off"]).await;
    has(&tool.fails(&["power", "diag"]).await, &["Invalid data field"]);
}

#[tokio::test]
async fn a_power_off_in_the_pause_of_a_cycle_stays_one() {
    let tool = tool().await;
    tool.says(&["power", "on"]).await;
    tool.says(&["power", "cycle"]).await;
    tool.until("off in between", |pid| pid.is_none()).await;
    tool.says(&["power", "off"]).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(tool.pid(), None);
}

#[tokio::test]
async fn sensors_inventory_and_settings_are_read() {
    let tool = tool().await;
    let sensors = tool.says(&["sdr", "elist", "all"]).await;
    has(
        &sensors,
        &["Host Power", "Inlet Temp       | 02h | ok", "22 degrees C", "Watchdog", "Logical FRU @00h", "Dynamic MC @ 20h"],
    );
    has(
        &tool.says(&["sensor", "get", "Inlet Temp"]).await,
        &["Upper Critical        : 60.000", "Upper Non-Critical    : 50.000"],
    );
    has(&sensors, &["CPU1 Temp        | 10h | ok  |  3.1 | 22 degrees C", "Pwr Consumption", "12 Watts", "Presence detected"]);
    has(&tool.says(&["dcmi", "power", "reading"]).await, &["Instantaneous power reading:", "12 Watts"]);
    has(&tool.says(&["sdr", "get", "Host Power"]).await, &["Power off/down"]);
    has(
        &tool.says(&["fru", "print"]).await,
        &["Product Serial        : LAB0001", "Product Name          : Lab 1U", "Chassis Serial"],
    );
    tool.quirk(json!({ "serial": "OTHER", "chassis_power": "on" })).await;
    has(&tool.says(&["fru", "print"]).await, &["Product Serial        : OTHER"]);
    assert!(!tool.says(&["sdr", "get", "Host Power"]).await.contains("Power off/down"));
    has(&tool.says(&["chassis", "policy", "always-off"]).await, &["always-off"]);
    has(&tool.says(&["chassis", "status"]).await, &["Power Restore Policy : always-off"]);
    has(&tool.says(&["chassis", "policy", "list"]).await, &["always-off always-on previous"]);
    tool.says(&["chassis", "bootdev", "pxe", "options=efiboot"]).await;
    let flags = tool.says(&["chassis", "bootparam", "get", "5"]).await;
    has(&flags, &["Boot Flag Valid", "only next boot", "BIOS EFI boot", "Force PXE"]);
    // what consoles write so that the flags do not end after a minute
    tool.says(&["raw", "0x00", "0x08", "0x03", "0x08"]).await;
    has(&tool.says(&["raw", "0x00", "0x09", "0x03", "0x00", "0x00"]).await, &["01 03 08"]);
    tool.says(&["chassis", "identify", "5"]).await;
    assert_eq!(tool.simulator.control.state("m1").await.unwrap()["identify"], true);
    has(&tool.says(&["mc", "selftest"]).await, &["passed"]);
    has(&tool.fails(&["raw", "0x06", "0x99"]).await, &["rsp=0xc1"]);
}

#[tokio::test]
async fn the_log_follows_what_happens() {
    let tool = tool().await;
    let name = || "m1".to_owned();
    has(&tool.says(&["sel", "info"]).await, &["Entries          : 0"]);
    tool.says(&["power", "on"]).await;
    tool.says(&["power", "reset"]).await;
    tool.simulator.control.perform(Request::Kill { name: name() }).await.unwrap();
    tool.until("off", |pid| pid.is_none()).await;
    tool.simulator.control.perform(Request::PowerLoss { name: name() }).await.unwrap();
    tool.simulator.control.perform(Request::PowerReturn { name: name() }).await.unwrap();
    let log = tool.says(&["sel", "elist"]).await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" | ")).collect();
    let wanted = [
        "Power off/down | Deasserted",
        "Initiated by hard reset | Asserted",
        "Power off/down | Asserted",
        "AC lost | Asserted",
        "Management controller off-line | Deasserted",
    ];
    assert!(lines.len() == wanted.len() && lines.iter().zip(wanted).all(|(line, wanted)| line.contains(wanted)), "{log}");
    tool.says(&["sel", "clear"]).await;
    has(&tool.says(&["sel", "info"]).await, &["Entries          : 0"]);
}

#[tokio::test]
async fn the_watchdog_bites_unless_it_is_kicked() {
    let tool = tool().await;
    tool.says(&["power", "on"]).await;
    has(&tool.fails(&["raw", "0x06", "0x22"]).await, &["rsp=0x80"]);
    // used by the operating system, power off, one second
    tool.says(&["raw", "0x06", "0x24", "0x04", "0x02", "0x00", "0x00", "0x0a", "0x00"]).await;
    for _ in 0..4 {
        tool.says(&["raw", "0x06", "0x22"]).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(tool.pid().is_some(), "it was kicked all the time");
    has(&tool.says(&["mc", "watchdog", "get"]).await, &["Power Down", "Started"]);
    tool.until("bitten", |pid| pid.is_none()).await;
    has(&tool.says(&["mc", "watchdog", "get"]).await, &["Stopped"]);
    has(&tool.says(&["sel", "elist"]).await, &["Watchdog", "Power down", "Power off/down | Asserted"]);
}

#[tokio::test]
async fn rights_and_accounts_are_those_of_the_moment() {
    let mut tool = tool().await;
    tool.extra = vec!["-L", "USER"];
    has(&tool.says(&["power", "status"]).await, &["is off"]);
    has(&tool.fails(&["power", "on"]).await, &["Insufficient privilege level"]);
    assert_eq!(tool.pid(), None);
    tool.quirk(json!({ "privilege": "operator" })).await;
    // only with `-v` does it tell what RAKP message 2 says
    tool.extra = vec!["-v", "-L", "ADMINISTRATOR"];
    has(&tool.fails(&["power", "status"]).await, &["unauthorized role"]);
    tool.extra = vec!["-v", "-L", "OPERATOR"];
    tool.says(&["power", "on"]).await;
    has(&tool.fails(&["mc", "reset", "warm"]).await, &["Insufficient privilege level"]);
    tool.quirk(json!({ "account": "locked" })).await;
    has(&tool.fails(&["power", "status"]).await, &["unauthorized name"]);
    tool.quirk(json!({ "account": "usable", "ipmi_session_cap": 0 })).await;
    has(&tool.fails(&["power", "status"]).await, &["insufficient resources"]);
    tool.quirk(json!({ "ipmi_session_cap": 16, "privilege": "administrator", "bmc_reboot_ms": 300 })).await;
    tool.extra = vec![];
    tool.says(&["mc", "reset", "cold"]).await;
    let before = tool.pid();
    tokio::time::sleep(Duration::from_millis(500)).await;
    has(&tool.says(&["power", "status"]).await, &["is on"]);
    assert_eq!(tool.pid(), before, "the machine runs on");
}

/// FreeIPMI shares no code with `ipmitool`.
#[tokio::test]
async fn freeipmi_switches_power_with_both_suites() {
    let tool = tool().await;
    let host = tool.simulator.ipmi_address_of("m1").unwrap().to_string();
    for suite in ["3", "17"] {
        for (order, word, on) in [("--on", "ok", true), ("--stat", "on", true), ("--off", "ok", false), ("--stat", "off", false)]
        {
            let mut command = tokio::process::Command::new(tool.packages.join("usr/sbin/ipmipower"));
            command.env("LD_LIBRARY_PATH", tool.packages.join("usr/lib/x86_64-linux-gnu"));
            command.args(["-h", &host, "-D", "LAN_2_0", "-u", "controller", "-p", "lab", "-l", "OPERATOR"]);
            command.args(["-I", suite, order]).kill_on_drop(true);
            let output = tokio::time::timeout(SOON, command.output()).await.unwrap().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.trim().ends_with(&format!(": {word}")), "suite {suite}, {order}: {said}");
            tool.until("the process follows", |pid| pid.is_some() == on).await;
        }
    }
}
