//! `machine probe` against simulated BMCs over real TLS sockets, without a controller.

use crate::support::{Controller, Ran, run, understudy};
use bmc_sim::{Handle, MachineConfig, Mishap, Request, Simulator};
use serde_json::json;
use std::time::{Duration, Instant};

const UUID: &str = "00000000-0000-4000-8000-000000000001";
const PASSWORD: &str = "a password that nobody prints";
/// The controller has read a BMC by then.
const READ: Duration = Duration::from_secs(30);

/// A BMC, and the runtime that it lives in.
struct Bench {
    runtime: tokio::runtime::Runtime,
    sim: Handle,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut machine = MachineConfig::for_test("m1");
        machine.uuid = UUID.into();
        machine.serial = "LAB0001".into();
        machine.password = Some(PASSWORD.into());
        let sim = runtime.block_on(Simulator::start_one(machine)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("right"), format!("{PASSWORD}\n")).unwrap();
        std::fs::write(folder.path().join("wrong"), "hunter2\n").unwrap();
        Bench { runtime, sim, folder }
    }

    fn probe(&self, password: &str, words: &[&str]) -> Ran {
        let mut command = understudy();
        command.args(["machine", "probe", &self.sim.address.to_string(), "--protocol", "redfish", "--user", "controller"]);
        let ran =
            run(command.arg("--password-file").arg(self.folder.path().join(password)).args(words).env("UNDERSTUDY_LOG", "trace"));
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(PASSWORD), "a password is never printed");
        ran
    }

    /// A controller for the lab with this BMC as that of m1.
    fn controller(&self, password: &str) -> Controller {
        let (bmc, file) = (self.sim.address.to_string(), self.folder.path().join(password));
        Controller::start_with(|estate| {
            let document = estate.join("machines/m1.yaml");
            let text = std::fs::read_to_string(&document).unwrap();
            assert!(text.contains("127.254.0.11:443"), "{text}");
            std::fs::write(document, text.replace("127.254.0.11:443", &bmc)).unwrap();
            std::fs::copy(file, estate.join("secrets/bmc")).unwrap();
        })
    }

    fn state(&self) -> serde_json::Value {
        self.runtime.block_on(self.sim.control.state("m1")).unwrap()
    }
}

#[test]
fn a_bmc_of_no_estate_is_told_in_full_and_nothing_is_changed() {
    let bench = Bench::new();
    let shown = bench.probe("right", &[]).expect(0).stdout;
    // columns are as wide as what is in them
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "LAB0001",
        UUID,
        "product Understudy Laboratory Lab 1U, serial LAB0001",
        "power drawn 12 W",
        "quirk record laboratory",
        "a session of its own",
        "power off: yes (ForceOff, of: ",
        "boot by UEFI HTTP: yes (UefiHttp, of: ",
        "the only one",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let view = bench.probe("right", &["--output", "json"]).expect(0).json();
    assert_eq!(
        (&view["power"], &view["chassis_power"], &view["restore_policy"]),
        (&json!("off"), &json!("off"), &json!("last-state"))
    );
    assert_eq!(view["quirks"], json!(["laboratory"]), "{view}");
    assert!(view["abilities"].as_array().unwrap().iter().all(|ability| ability["can"] == "yes"), "{view}");
    let certificate = view["certificate"].as_str().unwrap().to_owned();
    bench.probe("right", &["--certificate", &certificate]).expect(0);
    let state = bench.state();
    assert_eq!(state["sessions"], 0, "{state}");
    let methods =
        ["PATCH", "PUT"].map(|method| state["recent"].as_array().unwrap().iter().filter(|r| r["method"] == method).count());
    assert_eq!((methods, &state["system_power"]), ([0, 0], &json!("Off")));
}

#[test]
fn what_a_bmc_tells_beyond_its_readings_is_told_over_ipmi() {
    let mut machine = MachineConfig::for_test("m1");
    (machine.uuid, machine.serial) = (UUID.into(), "LAB0001".into());
    machine.ipmi = Some(([127, 0, 0, 1], 0).into());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sim = runtime.block_on(Simulator::start_one(machine)).unwrap();
    let control = &sim.control;
    runtime.block_on(control.perform(Request::Mishap { name: "m1".into(), what: Mishap::SupplyInputLost })).unwrap();
    let address = sim.ipmi_address_of("m1").unwrap().to_string();
    let probe = |words: &[&str]| {
        let mut command = understudy();
        command.args(["machine", "probe", &address, "--protocol", "ipmi", "--user", "controller", "--password-env", "BMC"]);
        run(command.args(words).env("BMC", "lab"))
    };
    let shown = probe(&["--log"]).expect(0).stdout;
    for said in [
        "Lab 1U, serial LAB0001",
        "sensor PSU2 Status",
        "present, AC lost",
        "Critical: PSU2 Status present, AC lost",
        "12 W",
        "not running",
        "Critical  power supply, sensor 0x12: AC lost",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let view = probe(&["--output", "json"]).expect(0).json();
    assert_eq!((&view["serial"], &view["survey"]["log"]), (&json!("LAB0001"), &json!([])), "{view}");
    assert!(view["survey"]["facts"].as_array().unwrap().iter().any(|fact| fact["name"] == "product"), "{view}");
    // the farewell to a session is not waited for
    let until = Instant::now() + READ;
    let state = loop {
        let state = runtime.block_on(control.state("m1")).unwrap();
        if state["ipmi_sessions"] == 0 {
            break state;
        }
        assert!(Instant::now() < until, "{state}");
    };
    assert_eq!(state["recent"], json!([]), "nothing was changed");
}

#[test]
fn a_bmc_key_is_taken_as_the_password_is_and_its_lack_is_named() {
    let mut machine = MachineConfig::for_test("m1");
    (machine.uuid, machine.ipmi, machine.ipmi_key) =
        (UUID.into(), Some(([127, 0, 0, 1], 0).into()), Some("kg of the BMC".into()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sim = runtime.block_on(Simulator::start_one(machine)).unwrap();
    let address = sim.ipmi_address_of("m1").unwrap().to_string();
    let probe = |words: &[&str]| {
        let mut command = understudy();
        command.args(["machine", "probe", &address, "--protocol", "ipmi", "--user", "controller", "--password-env", "BMC"]);
        command.args(words).args(["--output", "json"]);
        run(command.env("BMC", "lab").env("RIGHT", "kg of the BMC").env("WRONG", "another").env("LONG", "k".repeat(21)))
    };
    assert_eq!(probe(&["--key-env", "RIGHT"]).expect(0).json()["uuid"], UUID);
    for (words, code) in [(&[][..], "F1009"), (&["--key-env", "WRONG"], "F1009"), (&["--key-env", "LONG"], "F1007")] {
        let fault = probe(words).expect(1).fault();
        assert_eq!(fault["code"], code, "{fault}");
        assert!(fault["message"].as_str().unwrap().contains(if code == "F1009" { "K_G" } else { "BMC key" }), "{fault}");
    }
}

#[test]
fn the_identify_light_is_lit_and_read_back() {
    let bench = Bench::new();
    let controller = bench.controller("right");
    shown(&controller);
    let view = controller.run(&["machine", "identify", "m1", "--output", "json"]).expect(0).json();
    assert_eq!(view, json!({ "machine": "m1", "light": "steady" }));
    assert_eq!(bench.state()["identify"], true);
    let said = controller.run(&["machine", "identify", "m1", "--off"]).expect(0).stdout;
    assert!(said.contains("the identify light of m1 is off"), "{said}");
    assert_eq!(bench.state()["identify"], false);
    let fault = controller.run(&["machine", "identify", "m1", "--seconds", "9", "--output", "json"]).expect(5).fault();
    assert_eq!(fault["code"], "F1018", "{fault}");
    controller.run(&["machine", "identify", "m9"]).expect(4);
    controller.run(&["machine", "identify", "m1", "--seconds", "0"]).expect(2);
    controller.run(&["tier", "mode", "gold", "observe"]).expect(0);
    let fault = controller.run(&["machine", "identify", "m1", "--output", "json"]).expect(5).fault();
    assert_eq!(fault["code"], "F0206", "nothing is touched while it is only observed: {fault}");
    assert_eq!(bench.state()["identify"], false);
    let said = controller.run(&["machine", "show", "m1", "--facts"]).expect(0).stdout;
    assert!(said.contains("12 W") && said.contains("power supply"), "{said}");
}

/// What `machine show m1` says once its BMC was asked.
fn shown(controller: &Controller) -> serde_json::Value {
    let until = Instant::now() + READ;
    loop {
        let view = controller.run(&["machine", "show", "m1", "--output", "json"]).expect(0).json();
        if !view["trouble"].is_null() || !view["bmc"].is_null() {
            return view;
        }
        assert!(Instant::now() < until, "{view}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_machine_of_the_estate_shows_what_its_bmc_was_found_able_to_do() {
    let bench = Bench::new();
    let controller = bench.controller("right");
    let view = shown(&controller);
    assert_eq!((&view["name"], &view["bmc"]["quirks"]), (&json!("m1"), &json!(["laboratory"])), "{view}");
    let text = controller.run(&["machine", "show", "m1"]).expect(0).stdout;
    for said in [
        "platform      Understudy Laboratory",
        "quirk record  laboratory",
        "power off: yes (ForceOff, of: ",
        "a session of its own",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let never = controller.run(&["machine", "show", "m2", "--output", "json"]).expect(0).json();
    assert!(never["bmc"].is_null(), "{never}");
}

#[test]
fn a_wrong_password_shows_as_what_it_is_and_is_not_tried_into_a_lock_out() {
    let bench = Bench::new();
    let controller = bench.controller("wrong");
    let trouble = shown(&controller)["trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("F1009: BMC ") && !trouble.contains("hunter2"), "{trouble}");
    for words in [&["machine", "show", "m1"][..], &["machine", "list"], &["status"]] {
        let text = controller.run(words).expect(0).stdout;
        assert!(text.contains("F1009: BMC "), "{words:?} {text}");
    }
    // a cadence of 5 s: the second and third poll come within the pause
    std::thread::sleep(Duration::from_secs(12));
    let tried = bench.state()["recent"].as_array().unwrap().iter().filter(|asked| asked["method"] == "POST").count();
    assert_eq!(tried, 1);
}

#[test]
fn what_a_bmc_lacks_is_told_with_a_word_why() {
    let bench = Bench::new();
    let lies = json!({ "restore_policy": "unsupported", "allowable_values": false, "session_cap": 0 });
    bench.runtime.block_on(bench.sim.control.set_quirks("m1", lies)).unwrap();
    let shown = bench.probe("right", &[]).expect(0).stdout;
    assert!(shown.contains("stay off after a power loss: no (it tells no restore policy"), "{shown}");
    assert!(shown.contains("power off: untold (it lists no reset types; ForceOff is tried when it is needed)"), "{shown}");
    assert!(shown.contains("F1013: the BMC has no free session"), "{shown}");
}

#[test]
fn what_is_wrong_with_the_account_or_the_way_has_its_code_and_exit_1() {
    let bench = Bench::new();
    let wrong = bench.probe("wrong", &["--output", "json"]).expect(1);
    let fault = wrong.fault();
    assert_eq!(fault["code"], "F1009", "{fault}");
    assert!(fault["remedy"].as_str().unwrap().contains("password") && wrong.stdout.is_empty(), "{fault}");
    assert!(!wrong.stderr.contains("hunter2"));
    assert_eq!(bench.probe("right", &["--certificate", &"ab".repeat(32), "--output", "json"]).expect(1).fault()["code"], "F1016");
    assert_eq!(bench.probe("right", &["--certificate", "ab", "--output", "json"]).expect(1).fault()["code"], "F1007");
    assert!(bench.probe("none", &[]).expect(1).stderr.contains("cannot be read"));
    bench.runtime.block_on(bench.sim.control.set_quirks("m1", json!({ "reach": "refuse" }))).unwrap();
    assert_eq!(bench.probe("right", &["--output", "json"]).expect(1).fault()["code"], "F1015");
}
