//! `machine discover` against small networks of simulated BMCs over real sockets, without a controller.

use crate::support::{Ran, loopback_lab, run, understudy};
use bmc_sim::{Config, Handle, MachineConfig, Neighbour, Nic, Request, Simulator};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const PASSWORD: &str = "never printed";

/// A network of BMCs, an estate beside it, and the runtime that the BMCs live in.
struct Bench {
    runtime: tokio::runtime::Runtime,
    sim: Handle,
    port: u16,
    net: u8,
    folder: tempfile::TempDir,
}

/// A machine whose BMC is at this host's address of the network.
fn machine(net: u8, host: u8, port: u16, redfish: bool, ipmi: bool) -> MachineConfig {
    let at = SocketAddr::from(([127, 78, net, host], port));
    let mut machine = MachineConfig::for_test(&format!("m{host}"));
    (machine.listen, machine.redfish, machine.ipmi) = (at, redfish, ipmi.then_some(at));
    (machine.serial, machine.uuid) = (format!("SN-{host}"), format!("00000000-0000-4000-9000-0000000000{host:02x}"));
    machine.password = Some(PASSWORD.into());
    machine
}

fn nic(mac: &str, system: &str, port: &str) -> Nic {
    let (chassis, address) = ("02:00:00:00:00:01".into(), "192.0.2.1".into());
    Nic { neighbour: Some(Neighbour { system: system.into(), chassis, port: port.into(), address }), ..Nic::new("any", mac) }
}

impl Bench {
    /// `net` is no other test's.
    fn new(net: u8, machines: impl FnOnce(u16) -> Vec<MachineConfig>) -> Bench {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let free = std::net::TcpListener::bind(SocketAddr::from(([127, 78, net, 1], 0))).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = Config { machines: machines(port), ..Config::default() };
        let sim = runtime.block_on(Simulator::start(config)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        loopback_lab(&folder.path().join("estate"));
        std::fs::write(folder.path().join("estate/secrets/bmc"), format!("{PASSWORD}\n")).unwrap();
        Bench { runtime, sim, port, net, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let range = format!("127.78.{}.0/28", self.net);
        let port = self.port.to_string();
        let all = ["machine", "discover", &range, "--rate", "100", "--redfish-port", &port, "--ipmi-port", &port];
        all.iter().chain(words).map(|word| (*word).to_owned()).collect()
    }

    fn discover(&self, words: &[&str]) -> Ran {
        let ran = run(understudy().args(self.words(words)).env("UNDERSTUDY_LOG", "trace"));
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(PASSWORD), "a password is never printed");
        ran
    }

    /// With the estate and the right account, and drafts into this folder.
    fn drafted(&self, folder: &Path, words: &[&str]) -> Ran {
        let (estate, secret) = (self.path("estate"), self.path("estate/secrets/bmc"));
        let texts = [estate.to_str().unwrap(), secret.to_str().unwrap(), folder.to_str().unwrap()];
        let account = ["--user", "controller", "--estate", texts[0], "--password-file", texts[1], "--write", texts[2]];
        self.discover(&account.iter().chain(words).copied().collect::<Vec<_>>())
    }

    fn state(&self, host: u8) -> Value {
        self.runtime.block_on(self.sim.control.state(&format!("m{host}"))).unwrap()
    }
}

/// m1 of the lab's estate, a server, one that speaks IPMI alone, one that refuses the account.
fn four() -> Bench {
    let bench = Bench::new(1, |port| {
        let mut known = machine(1, 1, port, true, true);
        (known.serial, known.uuid) = ("LAB0001".into(), "00000000-0000-4000-8000-000000000001".into());
        known.hardware.memory_gib = 2.0;
        known.nics = vec![nic("52:54:00:0c:01:01", "sw1", "p1"), nic("52:54:00:0c:01:02", "sw1", "p3")];
        let mut server = machine(1, 2, port, true, true);
        server.nics = vec![nic("52:54:00:00:00:01", "SW1.example.net", "p9"), nic("52:54:00:00:00:02", "sw1", "Ethernet1/5")];
        let hardware = &mut server.hardware;
        (hardware.manufacturer, hardware.model) = ("Acme".into(), "R 740 # new: [line]".into());
        (hardware.processor_vendor, hardware.processor_family, hardware.processor_number) = ("GenuineIntel".into(), 6, 0x6a);
        (hardware.memory_gib, hardware.threads, hardware.cores) = (64.0, 32, 16);
        let mut refuses = machine(1, 4, port, true, true);
        refuses.quirks.lockout_after = 2;
        refuses.password = Some("another".into());
        vec![known, server, machine(1, 3, port, false, true), refuses]
    });
    for host in [1, 2] {
        bench.runtime.block_on(bench.sim.control.perform(Request::PowerOn { name: format!("m{host}") })).unwrap();
    }
    bench
}

/// Lines of a file that are marked as gaps.
fn gaps(file: &Path) -> BTreeSet<u64> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().zip(1u64..).filter(|(line, _)| line.contains("# GAP")).map(|(_, number)| number).collect()
}

/// The line of this host in a table.
fn line(table: &str, host: u8) -> &str {
    let address = format!("127.78.1.{host} ");
    let lines: Vec<&str> = table.lines().filter(|line| line.starts_with(&address)).collect();
    let [line] = lines.as_slice() else { panic!("{address}: {table}") };
    line
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// What `estate check` calls empty in an estate: lines by file. An error of any other kind fails.
fn named(estate: &Path) -> BTreeMap<String, BTreeSet<u64>> {
    let check = run(understudy().args(["estate", "check", "--lab", "--output", "json"]).arg(estate)).expect(1).json();
    let mut named: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for complaint in check["complaints"].as_array().unwrap().iter().filter(|one| one["severity"] == "error") {
        let file = Path::new(complaint["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
        assert!(complaint["message"].as_str().unwrap().contains("found nothing"), "{complaint}");
        named.entry(file).or_default().insert(complaint["line"].as_u64().unwrap());
    }
    named
}

#[test]
fn a_network_is_told_in_a_line_a_bmc_and_drafts_have_exactly_their_gaps() {
    let bench = four();
    let folder = bench.path("estate/machines");
    let ran = bench.drafted(&folder, &[]).expect(0);
    println!("{}\n{}", ran.stdout, ran.stderr);
    let known = ["redfish, ipmi", "LAB0001", "m1, known", "hardware.memory: 2GiB, document: 384MiB"];
    has(line(&ran.stdout, 1), &known);
    has(line(&ran.stdout, 1), &["nic 52:54:00:0c:01:02: sw1/p3, document: sw1/p2", "nic 52:54:00:0c:01:03: not there"]);
    let gaps_of_two = "site, rack, feeds, unrevocable_storage, role of 2 ports, port of 1 port";
    has(line(&ran.stdout, 2), &["redfish, ipmi", "Acme R 740", "SN-2", "sn-2, new", gaps_of_two]);
    has(line(&ran.stdout, 3), &["ipmi", "SN-3", "sn-3, new", "site, rack, feeds, nics, hardware"]);
    has(line(&ran.stdout, 4), &["redfish, ipmi", "bmc-127-78-1-4, new", "F1009: the BMC does not take the account"]);
    has(&ran.stderr, &["14 addresses were asked: 4 BMCs, 3 new, 1 known", "more: understudy explain F1009", "3 drafts in "]);

    let named = named(&bench.path("estate"));
    assert_eq!(named.len(), 3, "only the drafts have gaps: {named:?}");
    for name in ["sn-2", "sn-3", "bmc-127-78-1-4"] {
        assert_eq!(named[&format!("{name}.yaml")], gaps(&folder.join(format!("{name}.yaml"))), "{name}");
    }
    let draft = std::fs::read_to_string(folder.join("sn-2.yaml")).unwrap();
    println!("{draft}");
    has(&draft, &["memory: 64GiB", "level: 4 #", "threads: 32", "password: file:secrets/bmc", "firmware: [bios, uefi]"]);
    has(&draft, &["switch: sw1 # by LLDP", "port: p9 #", "verified by nobody"]);
    let refused = std::fs::read_to_string(folder.join("bmc-127-78-1-4.yaml")).unwrap();
    has(&refused, &["user: # GAP", "password: # GAP", "F1009"]);

    // what was drafted is known, and no file is touched
    let again = bench.drafted(&folder, &["--output", "json"]).expect(0).json();
    assert!(again["bmcs"].as_array().unwrap().iter().all(|bmc| bmc["draft"].is_null() && bmc["known"].is_object()), "{again}");
    let known = &again["bmcs"][1]["known"];
    assert_eq!((&known["document"], &known["differs"]), (&json!("machines/sn-2.yaml:4"), &json!([])));
    assert_eq!(std::fs::read_to_string(folder.join("sn-2.yaml")).unwrap(), draft);
    for host in 1..=4 {
        let state = bench.state(host);
        let count = |methods: &[&str]| {
            let recent = state["recent"].as_array().unwrap().iter();
            recent.filter(|asked| methods.contains(&asked["method"].as_str().unwrap())).count()
        };
        assert_eq!((&state["sessions"], count(&["POST"])), (&json!(0), if host == 3 { 0 } else { 2 }), "once a run: {state}");
        assert_eq!(count(&["PATCH", "PUT"]), 0, "{state}");
    }
}

#[test]
fn bmcs_with_a_key_are_read_with_it_and_named_without() {
    const KEY: &str = "0x00112233445566778899aabbccddeeff00112233";
    let bench = Bench::new(5, |port| {
        let mut keyed = machine(5, 1, port, false, true);
        keyed.ipmi_key = Some(KEY.into());
        vec![keyed, machine(5, 2, port, true, true)]
    });
    let folder = bench.path("estate/machines");
    let bmcs = |ran: Ran| {
        let view = ran.expect(0).json();
        let [one, two] = view["bmcs"].as_array().unwrap().as_slice() else { panic!("{view}") };
        (one.clone(), two.clone())
    };
    let (keyed, other) = bmcs(bench.drafted(&bench.path("without"), &["--output", "json"]));
    let said = keyed["trouble"].to_string();
    assert!(said.contains("F1009") && said.contains("K_G") && keyed["uuid"] == "", "{keyed}");
    assert!(keyed["draft"]["gaps"].as_array().unwrap().contains(&json!("bmc.password")), "{keyed}");
    assert_eq!((&other["trouble"], &other["serial"]), (&Value::Null, &json!("SN-2")));

    let file = bench.path("estate/secrets/kg");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let ran = bench.drafted(&folder, &["--key-file", file.to_str().unwrap(), "--output", "json"]);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(&KEY[2..]), "a key is never printed");
    let (keyed, other) = bmcs(ran);
    assert_eq!((&keyed["trouble"], &keyed["serial"]), (&Value::Null, &json!("SN-1")), "{keyed}");
    // the key is of IPMI, and Redfish goes before it
    assert_eq!((&other["trouble"], &other["serial"]), (&Value::Null, &json!("SN-2")), "{other}");
    let draft = keyed["draft"]["yaml"].as_str().unwrap();
    println!("{draft}");
    has(draft, &["password: file:secrets/bmc", r#""key":"file:secrets/kg""#]);
    assert!(!other["draft"]["yaml"].as_str().unwrap().contains("secrets/kg"), "{other}");
    assert_eq!(
        named(&bench.path("estate"))["sn-1.yaml"],
        gaps(&folder.join("sn-1.yaml")),
        "what was drafted of the key is taken"
    );
}

#[test]
fn json_tells_everything_and_a_file_that_stands_is_left_alone() {
    let bench = Bench::new(2, |port| {
        let mut one = machine(2, 1, port, true, false);
        one.nics = vec![nic("52:54:00:00:00:01", "tor1", "swp1")];
        vec![one]
    });
    bench.runtime.block_on(bench.sim.control.perform(Request::PowerOn { name: "m1".into() })).unwrap();
    let folder = bench.path("drafts");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("sn-1.yaml"), "precious: true\n").unwrap();
    let view = bench.drafted(&folder, &["--output", "json"]).expect(0).json();
    assert_eq!(
        (&view["addresses"], &view["asked"], &view["stopped"], &view["unasked"]),
        (&json!(14), &json!(14), &json!(false), &Value::Null)
    );
    let bmc = &view["bmcs"][0];
    assert_eq!((&bmc["address"], &bmc["protocols"], &bmc["power"]), (&json!("127.78.2.1"), &json!(["redfish"]), &json!("on")));
    assert_eq!((&bmc["memory"], &bmc["architecture"], &bmc["level"]), (&json!("384MiB"), &json!("x86_64"), &Value::Null));
    let nic = json!({
        "name": "NIC.1", "mac": "52:54:00:00:00:01", "speed": "1G", "link": true,
        "neighbour": { "system": "tor1", "chassis": "02:00:00:00:00:01", "port": "swp1", "address": "192.0.2.1" },
    });
    assert_eq!(bmc["nics"], json!([nic]));
    assert_eq!(bmc["certificate"].as_str().unwrap().len(), 64);
    let draft = &bmc["draft"];
    assert!(draft["file"].is_null() && draft["left"].as_str().unwrap().ends_with("sn-1.yaml"), "{draft}");
    assert!(draft["gaps"].as_array().unwrap().contains(&json!("nics[0].switch")), "no switch of the lab's estate: {draft}");
    assert!(draft["yaml"].as_str().unwrap().contains("machine: sn-1\n"));
    assert_eq!(std::fs::read_to_string(folder.join("sn-1.yaml")).unwrap(), "precious: true\n");
}

#[test]
fn without_an_account_it_says_who_answers_and_how_to_go_on() {
    let bench = Bench::new(3, |port| vec![machine(3, 1, port, true, true)]);
    let ran = bench.discover(&[]).expect(0);
    assert!(ran.stdout.contains("Understudy Laboratory bmc-sim") && ran.stdout.contains("bmc-127-78-3-1, new"), "{}", ran.stdout);
    assert!(ran.stderr.contains("--write DIR"), "{}", ran.stderr);
    assert_eq!(bench.state(1)["recent"], json!([]), "nobody was asked to log in");
    let nobody =
        run(understudy().args(["machine", "discover", "127.78.3.9", "--redfish-port", "1", "--ipmi-port", "1"])).expect(0);
    assert_eq!(nobody.stdout, "no BMC was found\n");
}

#[test]
fn ctrl_c_ends_it_with_what_was_found() {
    let bench = Bench::new(4, |port| {
        let mut machines = vec![machine(4, 1, port, true, true)];
        machines.extend((2..=14).map(|host| machine(4, host, port, true, true)));
        for silent in machines.iter_mut().skip(1) {
            silent.quirks.reach = serde_json::from_value(json!("unreachable")).unwrap();
        }
        machines
    });
    let drafts = bench.path("drafts");
    let mut words = bench.words(&["--output", "json", "--write", drafts.to_str().unwrap()]);
    words[4] = "1".into();
    let child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("understudy"))
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while bench.state(1)["requests"] == 0 {
        assert!(Instant::now() < until, "nobody was asked");
        std::thread::sleep(Duration::from_millis(20));
    }
    // its answer is taken meanwhile
    std::thread::sleep(Duration::from_millis(500));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let told = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    let ran = Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
    .expect(130);
    assert_eq!(ran.fault()["code"], "F0066");
    let view = ran.json();
    assert_eq!((&view["stopped"], view["bmcs"].as_array().unwrap().len()), (&json!(true), 1), "{view}");
    assert!(view["asked"].as_u64().unwrap() < 14);
    assert!(drafts.join("bmc-127-78-4-1.yaml").is_file());
}

#[test]
fn what_cannot_be_searched_is_usage_and_says_why() {
    for (range, said) in
        [("10.0.0.0/8", "more than the 65536 of one search"), ("fd00::/64", "up to /112"), ("224.0.0.0/24", "no hosts")]
    {
        let ran = run(understudy().args(["machine", "discover", range, "--output", "json"])).expect(2);
        assert!(ran.fault()["message"].as_str().unwrap().contains(said), "{}", ran.stderr);
    }
    let one = ["machine", "discover", "127.78.6.1"];
    for more in [
        &["--rate", "0"][..],
        &["--rate", "101"],
        &["--user", "u"],
        &["--password-env", "A"],
        &["--user", "u", "--password-env", "A", "--password-file", "b"],
        &["--key-env", "A"],
        &["--user", "u", "--password-env", "A", "--key-env", "A", "--key-file", "b"],
    ] {
        run(understudy().args(one).args(more)).expect(2);
    }
    run(understudy().args(["machine", "discover"])).expect(2);
    run(understudy().args(["machine", "discover", "bmc1"])).expect(2);
    let none = run(understudy().args(one).args(["--estate", "/nowhere/at/all"])).expect(1);
    assert!(none.stderr.contains("is no folder"), "{}", none.stderr);
}
