//! A switch in memory, sound or with one fault.

use async_trait::async_trait;
use contract::AgentError;
use contract::conformance::{self, SwitchFixture};
use contract::switch::Switch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use tokio::sync::broadcast;
use vocabulary::network::PortReading;
use vocabulary::{Mac, PortId, PortName, PortSetting, VlanId, WallTime};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    NoTrunks,
    LeavesOldVlans,
    AnswersWhatWasAsked,
    Cached,
    KeepsAddresses,
    TouchesNeighbour,
    UnknownIsUnreachable,
    NeverTells,
    HalfTrunk,
}

struct Bridge {
    fault: Fault,
    real: Mutex<BTreeMap<PortName, PortSetting>>,
    cache: Mutex<BTreeMap<PortName, PortSetting>>,
    changes: broadcast::Sender<PortName>,
}

fn id(port: &PortName) -> PortId {
    PortId { switch: "sw1".parse().unwrap(), port: port.clone() }
}

impl Bridge {
    fn new(fault: Fault) -> Bridge {
        let ports: BTreeMap<_, _> =
            ["p1", "p2"].iter().map(|p| (p.parse().unwrap(), PortSetting::access(VlanId::constant(98)))).collect();
        Bridge { fault, real: Mutex::new(ports.clone()), cache: Mutex::new(ports), changes: broadcast::channel(16).0 }
    }

    fn reading(&self, port: &PortName, setting: PortSetting) -> PortReading {
        let learnt =
            if self.fault == Fault::KeepsAddresses { BTreeSet::from([Mac([2, 0, 0, 0, 0, 1])]) } else { BTreeSet::new() };
        PortReading {
            port: id(port),
            setting,
            leaks: false,
            admin_up: true,
            link_up: true,
            learnt,
            frames_in: 0,
            saved: true,
            read_at: WallTime(0),
        }
    }
}

#[async_trait]
impl Switch for Bridge {
    async fn read(&self, port: &PortName) -> Result<PortReading, AgentError> {
        let source = if self.fault == Fault::Cached { &self.cache } else { &self.real };
        match source.lock().unwrap().get(port) {
            Some(setting) => Ok(self.reading(port, setting.clone())),
            None if self.fault == Fault::UnknownIsUnreachable => Err(AgentError::Unreachable { reason: "?".into() }),
            None => Err(AgentError::Rejected { reason: "no such port".into() }),
        }
    }

    async fn set(&self, port: &PortName, setting: &PortSetting) -> Result<PortReading, AgentError> {
        if !self.real.lock().unwrap().contains_key(port) {
            return Err(AgentError::Rejected { reason: "no such port".into() });
        }
        if self.fault == Fault::NoTrunks && !setting.tagged.is_empty() {
            return Err(AgentError::Rejected { reason: "access ports only".into() });
        }
        let mut wanted = setting.clone();
        if self.fault == Fault::HalfTrunk && !setting.tagged.is_empty() {
            self.real.lock().unwrap().get_mut(port).unwrap().tagged = setting.tagged.clone();
            return Err(AgentError::Rejected { reason: "half done".into() });
        }
        let mut real = self.real.lock().unwrap();
        if matches!(self.fault, Fault::LeavesOldVlans | Fault::AnswersWhatWasAsked) {
            wanted.tagged.extend(real.get(port).and_then(|old| old.native).filter(|old| Some(*old) != setting.native));
        }
        if self.fault == Fault::TouchesNeighbour {
            real.values_mut().for_each(|other| *other = wanted.clone());
        }
        real.insert(port.clone(), wanted.clone());
        self.cache.lock().unwrap().insert(port.clone(), wanted.clone());
        let told = if self.fault == Fault::AnswersWhatWasAsked { setting.clone() } else { wanted };
        Ok(self.reading(port, told))
    }

    async fn changed(&self) -> PortId {
        if self.fault == Fault::NeverTells {
            std::future::pending::<()>().await;
        }
        id(&self.changes.subscribe().recv().await.unwrap())
    }
}

#[async_trait]
impl SwitchFixture for Bridge {
    fn switch(&self) -> &dyn Switch {
        self
    }
    fn ports(&self) -> [PortName; 2] {
        ["p1".parse().unwrap(), "p2".parse().unwrap()]
    }
    fn no_such_port(&self) -> PortName {
        "p77".parse().unwrap()
    }
    fn vlans(&self) -> [VlanId; 3] {
        [VlanId::constant(98), VlanId::constant(20), VlanId::constant(30)]
    }
    async fn add_vlan(&self, port: &PortName, vlan: VlanId) -> Option<Result<(), String>> {
        self.real.lock().unwrap().get_mut(port).unwrap().tagged.insert(vlan);
        let _ = self.changes.send(port.clone());
        Some(Ok(()))
    }
    fn tells(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn every_fault_of_a_switch_is_found() {
    for sound in [Fault::None, Fault::NoTrunks] {
        conformance::switch(&Bridge::new(sound)).await.unwrap();
    }
    for (fault, law) in [
        (Fault::LeavesOldVlans, "exactly what was asked"),
        (Fault::AnswersWhatWasAsked, "no VLAN of before"),
        (Fault::Cached, "a reading is fresh"),
        (Fault::KeepsAddresses, "flushes"),
        (Fault::TouchesNeighbour, "neighbour"),
        (Fault::UnknownIsUnreachable, "not there is rejected"),
        (Fault::NeverTells, "foreign change is told"),
        (Fault::HalfTrunk, "rejected setting changes nothing"),
    ] {
        let verdict = conformance::switch(&Bridge::new(fault)).await;
        assert!(verdict.as_ref().is_err_and(|seen| seen.contains(law)), "{fault:?}: {verdict:?}");
    }
}
