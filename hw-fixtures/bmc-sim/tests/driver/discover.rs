//! The search for BMCs over small networks of loopback addresses: BMCs of every kind, and boxes that are none.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bmc::discover::{Account, Bmc, Found, Progress, Search, Targets, discover};
use bmc::limits;
use bmc_sim::{Config, Handle, MachineConfig, Neighbour, Nic, Request, Simulator};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use vocabulary::Secret;
use vocabulary::boot::Firmware;
use vocabulary::estate::IpmiPrivilege;
use vocabulary::quantity::{Bytes, Speed};

use crate::common::impatient;

/// A network of its own, and the port at which all its boxes are.
struct Net {
    net: [u8; 3],
    port: u16,
    machines: Vec<MachineConfig>,
}

impl Net {
    /// `number` is no other test's.
    fn new(number: u8) -> Net {
        let net = [127, 77, number];
        let probe = std::net::TcpListener::bind(SocketAddr::from(([net[0], net[1], net[2], 1], 0))).unwrap();
        Net { net, port: probe.local_addr().unwrap().port(), machines: Vec::new() }
    }

    fn at(&self, host: u8) -> SocketAddr {
        let [a, b, c] = self.net;
        SocketAddr::from(([a, b, c, host], self.port))
    }

    /// A machine with BMC at this host's address.
    fn machine(&mut self, host: u8, redfish: bool, ipmi: bool) -> &mut MachineConfig {
        let mut machine = MachineConfig::for_test(&format!("m{host}"));
        machine.listen = self.at(host);
        machine.redfish = redfish;
        machine.ipmi = ipmi.then(|| self.at(host));
        machine.serial = format!("S{host}");
        machine.uuid = format!("00000000-0000-4000-8000-0000000000{host:02x}");
        machine.nics = vec![Nic::new("production", &format!("52:54:00:00:00:{host:02x}"))];
        self.machines.push(machine);
        self.machines.last_mut().unwrap()
    }

    async fn start(&mut self) -> Handle {
        let machines = std::mem::take(&mut self.machines);
        Simulator::start(Config { machines, ..Config::default() }).await.unwrap()
    }

    /// All hosts of the network.
    fn search(&self, account: Option<&str>) -> Search {
        let [a, b, c] = self.net;
        Search {
            targets: Targets::of(&[format!("{a}.{b}.{c}.0/28").parse().unwrap()]).unwrap(),
            rate: limits::SEARCH_RATE_MAX,
            redfish_port: self.port,
            ipmi_port: self.port,
            account: account.map(|password| Account {
                user: "controller".into(),
                password: Secret::new(password),
                key: None,
                privilege: IpmiPrivilege::User,
            }),
            patience: impatient(),
        }
    }
}

async fn run(search: &Search) -> Found {
    let (_stop, stop) = watch::channel(false);
    discover(search, &watch::Sender::new(Progress::default()), &stop).await
}

fn host(bmc: &Bmc) -> u8 {
    last(bmc.address)
}

fn last(address: IpAddr) -> u8 {
    let IpAddr::V4(four) = address else { panic!("{address}") };
    four.octets()[3]
}

async fn requests(sim: &Handle, host: u8) -> Vec<(String, u64)> {
    let state = sim.control.state(&format!("m{host}")).await.unwrap();
    assert_eq!(state["sessions"], 0, "a session was left: {state}");
    let recent = state["recent"].as_array().unwrap().iter();
    recent.map(|one| (one["method"].as_str().unwrap().to_owned(), one["status"].as_u64().unwrap())).collect()
}

fn asked(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter().map(|(method, status)| ((*method).to_owned(), *status)).collect()
}

async fn quirks(sim: &Handle, host: u8, changes: Value) {
    sim.control.set_quirks(&format!("m{host}"), changes).await.unwrap();
}

/// Takes connections and never says a word.
async fn tarpit(at: SocketAddr) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    })
}

/// A service that greets everybody in plain text, as many do.
async fn plain(at: SocketAddr) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            // who went away needs no greeting
            let _ = connection.write_all(b"SSH-2.0-none\r\nHTTP/1.1 200 OK\r\n\r\n{\"RedfishVersion\": \"1.0\"}").await;
        }
    })
}

/// Answers every packet with these bytes.
async fn parrot(at: SocketAddr, answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> tokio::task::JoinHandle<()> {
    let socket = UdpSocket::bind(at).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(&answer(&buffer[..length]), from).await.unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn bmcs_are_found_among_boxes_that_are_none_and_a_refused_account_is_not_tried_again() {
    let mut net = Net::new(1);
    net.machine(1, true, false);
    net.machine(2, false, true);
    net.machine(3, true, true);
    net.machine(4, true, true).quirks.reach = serde_json::from_value(json!("unreachable")).unwrap();
    net.machine(5, true, true).quirks.reach = serde_json::from_value(json!("garbage")).unwrap();
    net.machine(8, true, true).quirks.account = serde_json::from_value(json!("other_password")).unwrap();
    net.machine(9, false, true).quirks.ipmi_ping = false;
    net.machine(10, false, true).quirks.account = serde_json::from_value(json!("locked")).unwrap();
    let sim = net.start().await;
    let _others = (tarpit(net.at(6)).await, plain(net.at(7)).await);
    let begun = Instant::now();
    let found = run(&net.search(Some("lab"))).await;
    assert!(begun.elapsed() < limits::KNOCK + limits::GREETING + Duration::from_secs(8), "{:?}", begun.elapsed());

    let seen: Vec<(u8, bool, bool)> = found.bmcs.iter().map(|bmc| (host(bmc), bmc.redfish.is_some(), bmc.ipmi)).collect();
    let meant = [(1, true, false), (2, false, true), (3, true, true), (8, true, true), (9, false, true), (10, false, true)];
    assert_eq!(seen, meant);
    assert_eq!((found.progress.addresses, found.progress.asked, found.stopped), (14, 14, false));
    assert_eq!(found.unasked, None);
    for bmc in &found.bmcs {
        let code = bmc.trouble.as_ref().map(|fault| fault.code.to_string());
        let meant = match host(bmc) {
            8 => Some("F1009"),
            10 => Some("F1010"),
            _ => None,
        };
        assert_eq!(code.as_deref(), meant, "{bmc:?}");
        assert_eq!(bmc.inspection.is_some(), meant.is_none());
        if let Some(inspection) = &bmc.inspection {
            assert_eq!(inspection.probe.reading.identity.uuid, format!("00000000-0000-4000-8000-0000000000{:02x}", host(bmc)));
        }
    }
    let ipmi = found.bmcs[1].inspection.as_ref().unwrap();
    assert!(ipmi.probe.findings.platform.contains("product"), "{:?}", ipmi.probe.findings);
    assert_eq!(ipmi.inventory, bmc::inventory::Inventory::default(), "IPMI tells no hardware");

    assert_eq!(requests(&sim, 8).await, asked(&[("POST", 401)]), "one attempt, by one protocol");
    assert_eq!(requests(&sim, 3).await, asked(&[("POST", 201), ("DELETE", 204)]), "one session, and nothing else");
    for silent in [4, 5] {
        assert!(requests(&sim, silent).await.is_empty());
    }
}

#[tokio::test]
async fn without_an_account_nobody_is_asked_to_log_in() {
    let mut net = Net::new(2);
    net.machine(1, true, true);
    net.machine(2, true, false).quirks.error_status = Some(503);
    let sim = net.start().await;
    let found = run(&net.search(None)).await;
    let [bmc, starting] = found.bmcs.as_slice() else { panic!("{found:?}") };
    let greeting = bmc.redfish.as_ref().unwrap();
    assert_eq!((greeting.version.as_str(), greeting.product.as_str(), bmc.ipmi), ("1.15.0", "bmc-sim", true));
    assert_eq!(greeting.certificate.len(), 64);
    assert!(starting.redfish.is_some(), "a service that is starting is one");
    assert!(found.bmcs.iter().all(|bmc| bmc.inspection.is_none() && bmc.trouble.is_none()));
    assert!(requests(&sim, 1).await.is_empty() && requests(&sim, 2).await.is_empty());
}

#[tokio::test]
async fn hardware_is_told_in_each_form_and_links_only_while_the_machine_runs() {
    let mut net = Net::new(3);
    for host in 1..=4 {
        let machine = net.machine(host, true, false);
        let hardware = &mut machine.hardware;
        (hardware.processors, hardware.cores, hardware.threads, hardware.memory_gib) = (2, 32, 64, 256.0);
        (hardware.processor_vendor, hardware.processor_model) = ("GenuineIntel".into(), "Some Processor".into());
        (hardware.processor_family, hardware.processor_number) = (6, 0x4f);
        (hardware.power_supply_bays, hardware.power_supplies) = (4, 3);
        let neighbour = Neighbour {
            system: "tor1".into(),
            chassis: "02:00:00:00:00:01".into(),
            port: format!("swp{host}"),
            address: "192.0.2.1".into(),
        };
        machine.nics[0].speed_mbps = 25_000;
        machine.nics[0].neighbour = Some(neighbour);
    }
    let sim = net.start().await;
    quirks(&sim, 2, json!({ "redfish": { "lldp": "octets" } })).await;
    quirks(&sim, 3, json!({ "redfish": { "inventory": "older" } })).await;
    quirks(&sim, 4, json!({ "redfish": { "inventory": "none" } })).await;
    let read = async || run(&net.search(Some("lab"))).await.bmcs.into_iter().map(|bmc| bmc.inspection.unwrap().inventory);
    for told in read().await {
        assert!(told.nics.iter().all(|nic| nic.link == Some(false) && nic.speed.is_none() && nic.neighbour.is_none()));
    }
    for host in 1..=4 {
        sim.control.perform(Request::PowerOn { name: format!("m{host}") }).await.unwrap();
    }
    for (index, told) in read().await.enumerate() {
        let host = index + 1;
        let told_less = host == 4;
        assert_eq!((told.manufacturer.as_str(), told.model.as_str()), ("Understudy Laboratory", "Lab 1U"));
        assert_eq!((told.memory, told.incomplete), (Some(Bytes(256 << 30)), None));
        assert_eq!(told.firmware, BTreeSet::from([Firmware::Bios, Firmware::Uefi]));
        assert_eq!((told.architecture, told.level), if told_less { (None, None) } else { (Some("x86_64"), Some(3)) }, "{host}");
        assert_eq!((told.threads, told.power_supplies), if told_less { (None, None) } else { (Some(64), Some(3)) }, "{host}");
        let [nic] = told.nics.as_slice() else { panic!("{host}: {:?}", told.nics) };
        assert_eq!(nic.mac.to_string(), format!("52:54:00:00:00:{host:02x}"));
        assert_eq!((nic.link, nic.speed), (Some(true), Some(Speed(25_000))));
        let neighbour = nic.neighbour.as_ref().map(|one| (one.system.clone(), one.port.clone(), one.address.clone()));
        let heard = (host <= 2).then(|| ("tor1".to_owned(), format!("swp{host}"), "192.0.2.1".to_owned()));
        assert_eq!(neighbour, heard, "{host}");
    }
    for host in 1..=4 {
        let methods = requests(&sim, host).await;
        assert_eq!(methods, asked(&[("POST", 201), ("DELETE", 204), ("POST", 201), ("DELETE", 204)]));
    }
}

/// The same BMC at a second address.
async fn second_door(at: SocketAddr, to: SocketAddr) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut one, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut two = TcpStream::connect(to).await.unwrap();
                // an end of the one is an end of the other
                let _ = tokio::io::copy_bidirectional(&mut one, &mut two).await;
            });
        }
    })
}

#[tokio::test]
async fn one_bmc_at_two_addresses_is_one_and_meets_a_wrong_password_once() {
    let mut net = Net::new(4);
    net.machine(1, true, true);
    let sim = net.start().await;
    let _door = second_door(net.at(2), net.at(1)).await;
    for password in ["lab", "wrong"] {
        let found = run(&net.search(Some(password))).await;
        let [bmc] = found.bmcs.as_slice() else { panic!("{found:?}") };
        assert_eq!((host(bmc), bmc.also.iter().map(|one| last(*one)).collect::<Vec<_>>()), (1, vec![2]));
        assert_eq!((bmc.inspection.is_some(), found.progress.found), (password == "lab", 1));
    }
    let refused = requests(&sim, 1).await.into_iter().filter(|(_, status)| *status == 401).count();
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn the_account_goes_only_to_who_shows_the_certificate_that_was_just_seen() {
    let mut net = Net::new(8);
    net.machine(1, true, false);
    net.machine(3, true, false);
    let sim = net.start().await;
    let (one, other) = (net.at(1), net.at(3));
    let listener = TcpListener::bind(net.at(2)).await.unwrap();
    let _swapped = tokio::spawn(async move {
        // a knock and a greeting, then another box
        for to in [one, one].into_iter().chain(std::iter::repeat(other)) {
            let (mut here, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut there = TcpStream::connect(to).await.unwrap();
                // an end of the one is an end of the other
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    let [a, b, c] = net.net;
    let targets = Targets::of(&[format!("{a}.{b}.{c}.2/32").parse().unwrap()]).unwrap();
    let found = run(&Search { targets, ..net.search(Some("lab")) }).await;
    let trouble = found.bmcs[0].trouble.as_ref().unwrap();
    assert_eq!((trouble.code.to_string().as_str(), found.bmcs[0].inspection.is_some()), ("F1016", false), "{trouble}");
    assert!(requests(&sim, 3).await.is_empty(), "no password was sent");
}

#[tokio::test]
async fn an_answer_with_another_number_or_from_another_port_is_none() {
    let net = Net::new(5);
    let pong = |tag: u8| {
        let head = [0x06, 0x00, 0xff, 0x06, 0, 0, 0x11, 0xbe, 0x40, tag, 0, 0x10];
        [head.as_slice(), &[0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0], &[0; 6]].concat()
    };
    let tag_of = |question: &[u8]| question.get(9).copied().unwrap_or_default();
    let is_ping = |question: &[u8]| question.get(3) == Some(&0x06);
    let _right = parrot(net.at(1), move |question| if is_ping(question) { pong(tag_of(question)) } else { Vec::new() }).await;
    // to pings alone: the other question has no tag, and a constant would be the right one in a run of 256
    let wrong = move |question: &[u8]| pong(tag_of(question).wrapping_add(1) % 255);
    let _wrong = parrot(net.at(2), move |question| if is_ping(question) { wrong(question) } else { Vec::new() }).await;
    let _echo = parrot(net.at(3), |question| question.to_vec()).await;
    let deaf = UdpSocket::bind(net.at(4)).await.unwrap();
    let elsewhere = UdpSocket::bind(SocketAddr::new(net.at(4).ip(), 0)).await.unwrap();
    let _bent = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = deaf.recv_from(&mut buffer).await.unwrap();
            elsewhere.send_to(&pong(tag_of(&buffer[..length])), from).await.unwrap();
        }
    });
    let found = run(&net.search(None)).await;
    assert_eq!(found.bmcs.iter().map(host).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn silence_delays_nobody_beyond_the_rate_and_the_rate_is_kept() {
    let mut net = Net::new(6);
    for host in 1..=12 {
        net.machine(host, true, true).quirks.reach = serde_json::from_value(json!("unreachable")).unwrap();
    }
    net.machine(14, true, true);
    let _sim = net.start().await;
    let search = Search { rate: 20, ..net.search(None) };
    let progress = watch::Sender::new(Progress::default());
    let mut watched = progress.subscribe();
    let (_stop, stop) = watch::channel(false);
    let begun = Instant::now();
    let first = async {
        watched.wait_for(|progress| progress.found == 1).await.unwrap();
        begun.elapsed()
    };
    let (found, first) = tokio::join!(discover(&search, &progress, &stop), first);
    assert_eq!(found.bmcs.len(), 1);
    let turn = Duration::from_millis(50) * 13;
    assert!(
        first >= turn && first < turn + limits::KNOCK,
        "the fourteenth at 20 a second, behind twelve that are silent: {first:?}"
    );
    let whole = begun.elapsed();
    assert!(whole < turn + limits::KNOCK + limits::PING_WAIT * limits::PING_TRIES + limits::PING_WAIT, "{whole:?}");
}

#[tokio::test]
async fn told_to_stop_it_ends_soon_with_what_was_found_and_leaves_no_session() {
    let mut net = Net::new(7);
    net.machine(1, true, false);
    for host in 2..=14 {
        net.machine(host, true, true).quirks.reach = serde_json::from_value(json!("unreachable")).unwrap();
    }
    let sim = net.start().await;
    let (stopper, stop) = watch::channel(false);
    let progress = watch::Sender::new(Progress::default());
    let mut watched = progress.subscribe();
    let search = Search { rate: 10, ..net.search(Some("lab")) };
    let stops = async {
        watched.wait_for(|progress| progress.found == 1).await.unwrap();
        stopper.send(true).unwrap();
        Instant::now()
    };
    let (found, told) = tokio::join!(discover(&search, &progress, &stop), stops);
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    assert!(found.stopped && found.bmcs.len() == 1 && found.progress.asked < 14, "{found:?}");
    assert!(requests(&sim, 1).await.is_empty(), "nothing more was begun");

    // in the middle of reading hardware
    quirks(&sim, 1, json!({ "reply_delay_ms": 300 })).await;
    let (stopper, stop) = watch::channel(false);
    let search = Search { targets: Targets::of(&["127.77.7.1/32".parse().unwrap()]).unwrap(), ..search };
    let stops = async {
        while sim.control.state("m1").await.unwrap()["sessions"] == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        stopper.send(true).unwrap();
        Instant::now()
    };
    let (found, told) = tokio::join!(discover(&search, &progress, &stop), stops);
    assert!(told.elapsed() < limits::FAREWELL + Duration::from_secs(1), "{:?}", told.elapsed());
    assert!(found.stopped && found.bmcs.len() == 1 && found.bmcs[0].inspection.is_none() && found.bmcs[0].trouble.is_none());
    assert_eq!(requests(&sim, 1).await, asked(&[("POST", 201), ("DELETE", 204)]));
}
