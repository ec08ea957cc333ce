//! The devices behind the agents' gates: ports, volumes and permits with a state of their own. Each change is checked against the
//! journal at the moment it arrives: its intent must be there already.

use crate::hall;
use async_trait::async_trait;
use contract::Device;
use pipeline::record::Fact;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use vocabulary::boot::PermitReading;
use vocabulary::network::{PortReading, PortSetting};
use vocabulary::request::{Action, AgentError, Answer, Resource};
use vocabulary::storage::{InitiatorName, VolumeReading};
use vocabulary::{Epoch, MachineId, PortId, ServerId, VlanId, VolumeId, WallTime};

pub struct Shelf {
    state: PathBuf,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    ports: BTreeMap<PortId, PortSetting>,
    volumes: BTreeMap<VolumeId, BTreeSet<InitiatorName>>,
    permits: BTreeMap<MachineId, (ServerId, Epoch)>,
    done: Vec<String>,
    unrecorded: Vec<String>,
    at_permit: Option<bmc_sim::Control>,
}

impl Shelf {
    pub fn new(state: PathBuf) -> Shelf {
        Shelf { state, books: Mutex::default() }
    }

    /// Every change that arrived, in words.
    pub fn done(&self) -> Vec<String> {
        self.books.lock().unwrap().done.clone()
    }

    /// Changes that arrived before their intent was durable.
    pub fn unrecorded(&self) -> Vec<String> {
        self.books.lock().unwrap().unrecorded.clone()
    }

    /// When a permit is granted, m1's BMC begins to answer late.
    pub fn at_permit(&self, control: bmc_sim::Control) {
        self.books.lock().unwrap().at_permit = Some(control);
    }

    fn arrived(&self, action: &Action) {
        let what = pipeline::words::words(action);
        let intended = hall::facts(&self.state);
        let intended = intended.iter().filter(|fact| matches!(fact, Fact::Intent { what: words, .. } if *words == what)).count();
        let mut books = self.books.lock().unwrap();
        books.done.push(what.clone());
        if books.done.iter().filter(|done| **done == what).count() > intended {
            books.unrecorded.push(what);
        }
    }
}

#[async_trait]
impl Device for Shelf {
    fn owns(&self, _: &Resource) -> bool {
        true
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        if !action.is_read() {
            self.arrived(action);
        }
        let slow = match action {
            Action::GrantPermit { .. } => self.books.lock().unwrap().at_permit.take(),
            _ => None,
        };
        if let Some(control) = slow {
            control.set_quirks("m1", serde_json::json!({ "reply_delay_ms": 1500 })).await.unwrap();
        }
        if let Action::ReadContacts { .. } = action {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            return Ok(Answer::Contacts { contacts: Vec::new() });
        }
        self.books.lock().unwrap().act(action)
    }
}

impl Books {
    fn act(&mut self, action: &Action) -> Result<Answer, AgentError> {
        match action {
            Action::ParkPort { port, parking: vlan } | Action::BarPort { port, quarantine: vlan } => {
                Ok(self.set(port, PortSetting::access(*vlan)))
            }
            Action::JoinPort { port, setting, .. } => Ok(self.set(port, setting.clone())),
            Action::ReadPort { port } => Ok(self.port(port)),
            Action::GrantVolume { volume, initiator, .. } => {
                self.volumes.insert(volume.clone(), BTreeSet::from([initiator.clone()]));
                Ok(self.volume(volume))
            }
            Action::RevokeVolume { volume, .. } => {
                self.volumes.remove(volume);
                Ok(self.volume(volume))
            }
            Action::ReadVolume { volume } => Ok(self.volume(volume)),
            Action::GrantPermit { permit } => {
                self.permits.insert(permit.machine.clone(), (permit.server.clone(), permit.epoch));
                Ok(self.permit(&permit.machine))
            }
            Action::RevokePermit { machine } => {
                self.permits.remove(machine);
                Ok(self.permit(machine))
            }
            Action::ReadPermit { machine } => Ok(self.permit(machine)),
            _ => Err(AgentError::Rejected { reason: "not on this shelf".into() }),
        }
    }

    fn set(&mut self, port: &PortId, setting: PortSetting) -> Answer {
        self.ports.insert(port.clone(), setting);
        self.port(port)
    }

    fn port(&self, port: &PortId) -> Answer {
        let setting = self.ports.get(port).cloned().unwrap_or_else(|| PortSetting::access(VlanId::new(1).unwrap()));
        Answer::Port(PortReading {
            port: port.clone(),
            setting,
            leaks: false,
            admin_up: true,
            link_up: true,
            learnt: BTreeSet::new(),
            frames_in: 0,
            saved: true,
            read_at: WallTime(0),
        })
    }

    fn volume(&self, volume: &VolumeId) -> Answer {
        Answer::Volume(VolumeReading {
            volume: volume.clone(),
            allowed: self.volumes.get(volume).into_iter().flatten().cloned().collect(),
            open_to_others: false,
            sessions: Vec::new(),
            in_flight: Some(0),
            exports: 1,
            operations: Some(0),
            persistent: true,
            read_at: WallTime(0),
        })
    }

    fn permit(&self, machine: &MachineId) -> Answer {
        let standing = self.permits.get(machine).cloned();
        Answer::Permit(PermitReading { machine: machine.clone(), standing, read_at: WallTime(0) })
    }
}
