//! What Open vSwitch really does with the frames of each machine port, in the words of `guest::facts`.
//!
//! Three things tell it, none of them the database: what the daemon would do with a frame from the port and with one for everybody in a VLAN
//! (`ofproto/trace`, which goes through every rule that is in force), which flows it has cached that join the port and an uplink (they may
//! outlive what was in force when they were made), and the kernel's word whether the port's interface is up. What cannot be understood is no
//! fact: then the watcher is silent, and the oracle does not judge.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use guest::facts::Port;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sched::{CloneFlags, setns};

use super::actions::outputs;
use super::control::{Control, Question};
use crate::limits::{OVS_LOOK_MAX, OVS_LOOKS, OVS_MISSED_TOLD};
use crate::names::{FURTHER_VLANS, OVS_BRIDGE, OVS_FOLDER, SWITCH_VLANS, machine_ports, ovs_uplinks};

/// A frame for everybody, from nobody, of a protocol for experiments.
const FRAME: &str = "dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5";
/// Behind it stands what a trace came to.
const ACTIONS: &str = "Datapath actions: ";

/// The state of every machine port, by name.
pub type Ports = BTreeMap<String, Port>;

/// What one look came to.
#[derive(Debug)]
pub enum Sight {
    /// The ports as they are.
    Ports(Ports),
    /// Nothing that may be told.
    Silent,
}

/// Who looks. It must live on a thread of its own, whose network becomes the hall's.
pub struct Watcher {
    machines: u8,
    control: Option<Control>,
    /// Looks in a row that told nothing.
    missed: u32,
}

impl Watcher {
    /// Takes this thread into the hall.
    pub fn enter(hall: &OwnedFd, machines: u8) -> std::io::Result<Self> {
        setns(hall, CloneFlags::CLONE_NEWNET)?;
        Ok(Self { machines, control: None, missed: 0 })
    }

    /// Looks once; again if that took so long that the answer may be old.
    pub fn look(&mut self) -> Sight {
        for _ in 0..OVS_LOOKS {
            let begun = Instant::now();
            match self.ports() {
                Ok(ports) if begun.elapsed() <= OVS_LOOK_MAX => {
                    self.missed = 0;
                    return Sight::Ports(ports);
                }
                Ok(_) => {}
                Err(why) => {
                    self.control = None;
                    return self.miss(&why);
                }
            }
        }
        self.miss("it answers too slowly to be told")
    }

    /// While it starts and ends it does not answer, which is nothing to tell of.
    fn miss(&mut self, why: &str) -> Sight {
        self.missed = self.missed.saturating_add(1);
        if self.missed == OVS_MISSED_TOLD {
            tracing::warn!("the switch's facts: nothing was seen {} times in a row: {why}", self.missed);
        }
        Sight::Silent
    }

    fn ports(&mut self) -> Result<Ports, String> {
        let control = match &mut self.control {
            Some(control) => control,
            none => none.insert(Control::open(Path::new(OVS_FOLDER)).map_err(|error| error.to_string())?),
        };
        let answers = control.ask(&questions(self.machines)).map_err(|error| error.to_string())?;
        let up = interfaces_up()?;
        let mut ports = read(&answers, self.machines)?;
        for (name, port) in &mut ports {
            port.up = up.contains(name);
        }
        Ok(ports)
    }
}

/// The interfaces of this thread's network that are up.
fn interfaces_up() -> Result<BTreeSet<String>, String> {
    let all = getifaddrs().map_err(|errno| format!("the hall's interfaces: {errno}"))?;
    Ok(all.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP)).map(|one| one.interface_name).collect())
}

fn trace(frame: String) -> Question {
    ("ofproto/trace", vec!["--names".to_owned(), OVS_BRIDGE.to_owned(), frame])
}

/// The VLANs of which every one is asked who is in it.
fn vlans() -> impl Iterator<Item = u16> {
    SWITCH_VLANS.into_iter().chain(FURTHER_VLANS)
}

/// First a frame without a tag from each port, then one for everybody in each VLAN, then cached flows and learnt addresses.
fn questions(machines: u8) -> Vec<Question> {
    let from = machine_ports(machines).map(|(_, port)| trace(format!("in_port={port},{FRAME}")));
    let to = vlans().map(|vid| trace(format!("in_port=LOCAL,{FRAME},dl_vlan={vid}")));
    let rest: [Question; 2] = [("dpctl/dump-flows", vec!["--names".to_owned()]), ("fdb/show", vec![OVS_BRIDGE.to_owned()])];
    from.chain(to).chain(rest).collect()
}

fn actions(trace: &str) -> Result<&str, String> {
    let found = trace.lines().find_map(|line| line.strip_prefix(ACTIONS));
    found.ok_or_else(|| format!("a trace without an end: {}", trace.lines().next_back().unwrap_or_default()))
}

/// Reads the answers to [`questions`]. Whether a port is up is none of them.
fn read(answers: &[String], machines: u8) -> Result<Ports, String> {
    let mut answers = answers.iter();
    let mut next = || answers.next().ok_or_else(|| "an answer is missing".to_owned());
    let uplinks: BTreeMap<&str, u16> = ovs_uplinks().collect();
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for (_, name) in machine_ports(machines) {
        let mut port = Seen::default();
        for (to, tag) in outputs(actions(next()?)?, None)? {
            if to == OVS_BRIDGE {
                // the bridge's own port takes part in every VLAN, by its tag
                port.enters = tag;
            } else if let Some(vid) = uplinks.get(to) {
                port.reaches.insert(*vid);
            }
        }
        seen.insert(name, port);
    }
    for vid in vlans() {
        for (to, tag) in outputs(actions(next()?)?, Some(vid))? {
            if let Some(port) = seen.get_mut(to) {
                match tag {
                    None => port.reaches.insert(vid),
                    Some(tag) => port.tagged.insert(tag),
                };
            }
        }
    }
    for line in next()?.lines() {
        cached(line, &uplinks, &mut seen)?;
    }
    let mut ports: Ports = seen.into_iter().map(|(name, seen)| (name, seen.port())).collect();
    for (name, vid, mac) in learnt(next()?)? {
        if let Some(port) = ports.get_mut(&name) {
            port.learnt.push((vid, mac));
        }
    }
    Ok(ports)
}

/// What was seen of a port.
#[derive(Default)]
struct Seen {
    /// The VLAN into which its frames without a tag go.
    enters: Option<u16>,
    /// VLANs with which it exchanges frames without a tag, in either direction.
    reaches: BTreeSet<u16>,
    tagged: BTreeSet<u16>,
}

impl Seen {
    fn port(self) -> Port {
        let untagged: BTreeSet<u16> = self.reaches.into_iter().chain(self.enters).collect();
        Port {
            up: false,
            // its daemon has just answered, and no other decides
            forwarding: true,
            pvid: self.enters,
            untagged: untagged.into_iter().collect(),
            tagged: self.tagged.into_iter().collect(),
            learnt: Vec::new(),
        }
    }
}

/// A cached flow between a machine port and an uplink joins the port to the uplink's VLAN.
fn cached(line: &str, uplinks: &BTreeMap<&str, u16>, seen: &mut BTreeMap<String, Seen>) -> Result<(), String> {
    let Some((flow, actions)) = line.split_once("actions:") else { return Ok(()) };
    let from = flow.split_once("in_port(").and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name);
    let from = from.ok_or_else(|| format!("a flow from nowhere: {line}"))?;
    for (to, _) in outputs(actions, None)? {
        for (port, uplink) in [(from, to), (to, from)] {
            if let (Some(port), Some(vid)) = (seen.get_mut(port), uplinks.get(uplink)) {
                port.reaches.insert(*vid);
            }
        }
    }
    Ok(())
}

/// Learnt addresses: the port, the VLAN, the MAC. A machine port's number is the one it was made with.
fn learnt(table: &str) -> Result<Vec<(String, u16, String)>, String> {
    let mut all = Vec::new();
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [port, vid, mac, _] = words.as_slice() else { return Err(format!("an odd learnt address: {line}")) };
        let vid = vid.parse().map_err(|_| format!("an odd learnt address: {line}"))?;
        all.push((format!("p{port}"), vid, (*mac).to_owned()));
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(actions: &str) -> String {
        format!("Flow: in_port=p1\n\nbridge(\"br0\")\n\nFinal flow: unchanged\nDatapath actions: {actions}")
    }

    /// A switch with one machine: p1 in VLAN 10, p2 in none, p3 in 20.
    fn answers() -> Vec<String> {
        let from = ["push_vlan(vid=10,pcp=0),br0,pop_vlan,u10", "drop", "push_vlan(vid=20,pcp=0),br0,pop_vlan,s20,u20"];
        let to = vlans().map(|vid| match vid {
            10 => "pop_vlan,p1,u10",
            20 => "pop_vlan,p3,s20,u20",
            30 => "pop_vlan,u30",
            _ => "drop",
        });
        let table =
            " port  VLAN  MAC                Age\n    1    10  52:54:00:0c:01:01    3\nLOCAL     0  02:00:00:00:00:02    0\n";
        let flow = "recirc_id(0),in_port(p1),packet_type(ns=0,id=0),eth_type(0x0806), packets:1, used:0.1s, actions:u10\n";
        from.iter().copied().chain(to).map(told).chain([flow.to_owned(), table.to_owned()]).collect()
    }

    #[test]
    fn a_port_is_where_its_frames_go() {
        let ports = read(&answers(), 1).unwrap();
        let first = Port {
            up: false,
            forwarding: true,
            pvid: Some(10),
            untagged: vec![10],
            tagged: vec![],
            learnt: vec![(10, "52:54:00:0c:01:01".to_owned())],
        };
        assert_eq!(ports["p1"], first);
        assert_eq!(ports["p2"], Port { forwarding: true, ..Port::default() });
        assert_eq!((ports["p3"].pvid, ports["p3"].untagged.clone()), (Some(20), vec![20]));
        assert_eq!(ports.len(), 3);
    }

    #[test]
    fn a_flow_that_outlives_a_vlan_is_seen_in_either_direction() {
        let mut all = answers();
        let flows = all.len() - 2;
        for flow in ["recirc_id(0),in_port(p2), actions:u30", "recirc_id(0),in_port(u30), actions:p2"] {
            all[flows] = flow.to_owned();
            assert_eq!(read(&all, 1).unwrap()["p2"].untagged, [30], "{flow}");
        }
    }

    #[test]
    fn a_foreign_rule_is_seen_where_no_vlan_says_so() {
        let mut all = answers();
        all[1] = told("u20");
        let port = read(&all, 1).unwrap()["p2"].clone();
        assert_eq!((port.pvid, port.untagged), (None, vec![20]));
    }

    #[test]
    fn tags_are_told_apart() {
        let mut all = answers();
        all[4] = told("p2,pop_vlan,p3,s20,u20");
        let ports = read(&all, 1).unwrap();
        assert_eq!((ports["p2"].tagged.clone(), ports["p2"].untagged.clone()), (vec![20], vec![]));
    }

    #[test]
    fn what_is_not_understood_is_no_fact() {
        for (place, odd) in [(0, "Flow: x"), (0, "Datapath actions: clone(p1)"), (9, "p1 actions:u20"), (10, "h\n1 2\n")] {
            let mut all = answers();
            assert!(read(&all, 1).is_ok());
            all[place] = odd.to_owned();
            assert!(read(&all, 1).is_err(), "{odd}");
        }
        assert!(read(&answers()[..3], 1).is_err());
    }
}
