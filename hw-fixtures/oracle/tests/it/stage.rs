//! The stage on which the oracle is tested: namespaces, two taps, sockets that speak as the real parts do, frames as machines send them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use guest::links::{add_address, set_up};
use guest::netlink::Netlink;
use oracle::config::{Config, Tool};
use oracle::for_lab;
use serde_json::{Value, json};

const MARK: &str = "UNDERSTUDY_TEST_NAMESPACE";
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in namespaces of its own. Returns true inside.
pub fn in_namespace(test: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .status()
        .expect("unshare (util-linux) runs");
    assert!(status.success(), "{test} failed in its namespace: {status}");
    false
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "not seen: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A tap; this is its far end.
pub struct Tap(File);

impl Tap {
    fn make(name: &str, address: Ipv4Addr) -> Self {
        let file = File::from(lab::sys::open_tap(name).expect("a tap can be made"));
        let mut netlink = Netlink::open(0).unwrap();
        add_address(&mut netlink, name, address, 24).unwrap();
        set_up(&mut netlink, name, true).unwrap();
        Self(file)
    }

    /// Sends a frame of this machine's NIC of this place.
    pub fn send(&mut self, nic: (u8, u8), kind: u16, payload: &[u8]) {
        let mut frame = [&[0xff; 6][..], &[0x52, 0x54, 0, 0x0c, nic.0, nic.1], &kind.to_be_bytes(), payload].concat();
        frame.resize(frame.len().max(60), 0);
        self.0.write_all(&frame).unwrap();
    }

    /// Waits for a frame that an ARP request for this address is in.
    pub fn wait_for_probe(&mut self, wanted: Ipv4Addr) {
        let mut buffer = [0; 2048];
        until("an ARP probe", || {
            let length = self.0.read(&mut buffer).unwrap();
            length >= 42 && buffer[12..14] == [8, 6] && buffer[20..22] == [0, 1] && buffer[38..42] == wanted.octets()
        });
    }
}

/// An ARP reply for web1's address.
pub fn reply(machine: u8) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 2, 0x52, 0x54, 0, 0x0c, machine, 3, 10, 20, 0, 11];
    packet.extend([0; 6]);
    packet.extend([10, 20, 0, 1]);
    packet
}

fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], inner: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + inner.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(inner);
    packet
}

/// An acknowledgement of web1, without checksum.
pub fn acknowledgement(incarnation: &str, number: u64) -> Vec<u8> {
    let text = format!("web1 {incarnation} {number}\n");
    let mut datagram = vec![0xc0, 0, 0x1e, 0x61];
    datagram.extend(u16::try_from(8 + text.len()).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(text.bytes());
    ipv4(17, [10, 20, 0, 11], [10, 20, 0, 1], &datagram)
}

/// The first message of a login at web1's target.
pub fn login(initiator: &str) -> Vec<u8> {
    let mut segment = vec![0xc0, 0, 0x0c, 0xbc, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0, 0x43];
    segment.resize(20 + 48, 0);
    segment.extend(format!("InitiatorName={initiator}\0TargetName=iqn.2026-01.lab.understudy:web1-root\0").bytes());
    ipv4(6, [10, 30, 0, 11], [10, 30, 0, 1], &segment)
}

/// What the parts say, each in its own words.
#[derive(Clone, Default)]
struct Said {
    ports: Arc<Mutex<Value>>,
    shown: Arc<Mutex<String>>,
    changes: Arc<Mutex<Vec<String>>>,
}

/// Everything around the oracle.
pub struct Stage {
    pub folder: tempfile::TempDir,
    pub config: Config,
    pub production: Tap,
    pub storage: Tap,
    said: Said,
}

fn tool(name: &str) -> Tool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/packages/root");
    let found = ["sbin", "usr/sbin"].map(|folder| root.join(folder).join(name)).into_iter().find(|path| path.exists());
    let libraries = root.join("usr/lib/x86_64-linux-gnu").display().to_string();
    match found {
        Some(program) => Tool { program, environment: [("LD_LIBRARY_PATH".to_owned(), libraries)].into() },
        None => Tool { program: PathBuf::from(format!("/sbin/{name}")), environment: Default::default() },
    }
}

impl Stage {
    pub fn set(records: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut config = for_lab::config(run, 3).unwrap();
        config.sources.target = run.join("tgt.sock");
        config.debugfs = tool("debugfs");
        for part in ["volumes", "logs", "tree/var/lib/workload", "agents/boot1/permits"] {
            fs::create_dir_all(run.join(part)).unwrap();
        }
        for (server, text) in [("web1", records), ("web2", "")] {
            fs::write(run.join("tree/var/lib/workload/records"), text).unwrap();
            let (make, image) = (tool("mke2fs"), run.join(format!("volumes/{server}-root.img")));
            File::create(&image).unwrap().set_len(8 << 20).unwrap();
            let mut command = Command::new(&make.program);
            command.args(["-q", "-F", "-t", "ext4", "-d"]).arg(run.join("tree")).arg(&image).envs(&make.environment);
            assert!(command.status().unwrap().success());
        }
        let said = Said::default();
        *said.ports.lock().unwrap() = json!({});
        let production = Tap::make("prod", Ipv4Addr::new(10, 20, 0, 1));
        let storage = Tap::make("stor", Ipv4Addr::new(10, 30, 0, 1));
        play_switch(&config.sources.lab, said.ports.clone());
        play_target(&config.sources.target, said.shown.clone());
        play_parent(&config.sources.bmc, said.changes.clone());
        Self { folder, config, production, storage, said }
    }

    pub fn ports(&self, ports: &[(&str, u16)]) {
        let state = |vlan: &u16| json!({"up": true, "forwarding": true, "pvid": vlan, "untagged": [vlan]});
        *self.said.ports.lock().unwrap() = ports.iter().map(|(name, vlan)| ((*name).to_owned(), state(vlan))).collect();
    }

    /// web1's target, with these admissions and sessions.
    pub fn target(&self, admitted: &[&str], sessions: &[(u64, &str)]) {
        let mut text = "Target 1: iqn.2026-01.lab.understudy:web1-root\n    I_T nexus information:\n".to_owned();
        for (number, initiator) in sessions {
            text += &format!("        I_T nexus: {number}\n            Initiator: {initiator} alias: none\n");
        }
        text += "    ACL information:\n";
        for initiator in admitted {
            text += &format!("        {initiator}\n");
        }
        *self.said.shown.lock().unwrap() = text;
    }

    pub fn power(&self, machine: &str, what: &str) {
        let line = json!({"monotonic_ns": oracle::sys::now_ns(), "name": machine, "what": what, "pid": 1, "cause": "x"});
        self.said.changes.lock().unwrap().push(line.to_string());
    }

    pub fn permit(&self, machine: &str, initiator: Option<&str>) {
        let permit = initiator.map(|name| json!({"server": "web1", "epoch": 5, "root": {"initiator": name, "secret": "s"}}));
        let file = self.config.sources.permits.join(format!("{machine}.json"));
        fs::write(file.with_extension("new"), json!({"machine": machine, "permit": permit}).to_string()).unwrap();
        fs::rename(file.with_extension("new"), file).unwrap();
    }

    pub fn console(&self, machine: &str, line: &str) {
        let path = self.folder.path().join(format!("{machine}.serial"));
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(format!("LAB 1.5 {line}\r\n").as_bytes()).unwrap();
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn start_oracle(&self) -> Child {
        fs::write(self.file(for_lab::CONFIG), serde_json::to_vec(&self.config).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_understudy-oracle"));
        for (flag, name) in [("--config", for_lab::CONFIG), ("--out", for_lab::LOG), ("--verdict", for_lab::VERDICT)] {
            command.arg(flag).arg(self.file(name));
        }
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        until("the oracle's socket", || UnixStream::connect(&self.config.query).is_ok());
        child
    }

    pub fn ask(&self, question: &Value) -> Value {
        let mut stream = UnixStream::connect(&self.config.query).unwrap();
        writeln!(stream, "{question}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until so many machines are effective as web1.
    pub fn wait_effective(&self, machines: &[&str]) {
        until(&format!("{machines:?} effective"), || {
            let now = self.ask(&json!({"ask": "now"}));
            let all = now["servers"]["web1"]["effective"].as_array().unwrap().clone();
            all.iter().map(|one| one["machine"].as_str().unwrap()).eq(machines.iter().copied())
        });
    }
}

fn play_switch(socket: &Path, ports: Arc<Mutex<Value>>) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let start = Instant::now();
        for stream in listener.incoming() {
            let (mut stream, ports) = (stream.unwrap(), ports.clone());
            let mut asked = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
            assert_eq!(asked, "{\"do\":\"facts\",\"follow\":true}\n");
            thread::spawn(move || {
                loop {
                    let at_ms = u64::try_from(start.elapsed().as_millis()).unwrap();
                    let switch = json!({"at_ms": at_ms, "change": 1, "ports": *ports.lock().unwrap()});
                    let line = json!({"fact": {"monotonic_ns": oracle::sys::now_ns(), "switch": switch}});
                    if writeln!(stream, "{line}").is_err() {
                        return;
                    }
                    thread::sleep(Duration::from_millis(40));
                }
            });
        }
    });
}

fn play_target(socket: &Path, shown: Arc<Mutex<String>>) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 120];
            if stream.read_exact(&mut asked).is_err() {
                continue;
            }
            let text = shown.lock().unwrap().clone() + "\0";
            let length = u32::try_from(8 + text.len()).unwrap();
            // the oracle may have ended meanwhile
            let _ = stream.write_all(&[&[0; 4][..], &length.to_ne_bytes(), text.as_bytes()].concat());
        }
    });
}

fn play_parent(socket: &Path, changes: Arc<Mutex<Vec<String>>>) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, changes) = (stream.unwrap(), changes.clone());
            let mut asked = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
            if asked.contains("pids") {
                writeln!(stream, "{}", json!({"ok": true, "m1": null, "m2": null, "m3": null})).unwrap();
                continue;
            }
            writeln!(stream, "{}", json!({"ok": true})).unwrap();
            thread::spawn(move || {
                let mut told = 0;
                loop {
                    let all = changes.lock().unwrap().clone();
                    for line in &all[told..] {
                        if writeln!(stream, "{line}").is_err() {
                            return;
                        }
                    }
                    told = all.len();
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
    });
}
