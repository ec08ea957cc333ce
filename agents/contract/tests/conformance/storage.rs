//! A storage target in memory, sound or with one fault.

use async_trait::async_trait;
use contract::AgentError;
use contract::conformance::{self, StorageFixture};
use contract::storage::{Admission, Storage};
use std::sync::Mutex;
use vocabulary::storage::{InitiatorName, Session, VolumeReading};
use vocabulary::{Secret, VolumeId, VolumeName, WallTime};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    AccessListOnly,
    AddsInsteadOfReplacing,
    KeepAdmits,
    KeepForgotten,
    HidesSessions,
    TellsItsOwnPlan,
    AnySecret,
    InventsVolumes,
}

#[derive(Default)]
struct State {
    allowed: Vec<(InitiatorName, Secret)>,
    planned: Vec<InitiatorName>,
    sessions: Vec<InitiatorName>,
}

struct Target {
    fault: Fault,
    state: Mutex<State>,
}

impl Target {
    fn new(fault: Fault) -> Target {
        Target { fault, state: Mutex::default() }
    }
    fn known(&self, volume: &VolumeName) -> Result<(), AgentError> {
        if volume.as_str() == "scratch" || self.fault == Fault::InventsVolumes {
            return Ok(());
        }
        Err(AgentError::Rejected { reason: "no such volume".into() })
    }
    fn reading(&self, volume: &VolumeName) -> VolumeReading {
        let state = self.state.lock().unwrap();
        let allowed = match self.fault {
            Fault::TellsItsOwnPlan => state.planned.clone(),
            _ => state.allowed.iter().map(|(name, _)| name.clone()).collect(),
        };
        let session = |name: &InitiatorName| Session { initiator: name.clone(), number: 1, address: String::new() };
        VolumeReading {
            volume: VolumeId { storage: "store1".parse().unwrap(), volume: volume.clone() },
            allowed,
            open_to_others: false,
            sessions: if self.fault == Fault::HidesSessions { vec![] } else { state.sessions.iter().map(session).collect() },
            in_flight: None,
            exports: 1,
            operations: None,
            persistent: true,
            read_at: WallTime(0),
        }
    }
}

#[async_trait]
impl Storage for Target {
    async fn read(&self, volume: &VolumeName) -> Result<VolumeReading, AgentError> {
        self.known(volume)?;
        Ok(self.reading(volume))
    }
    async fn revoke(&self, volume: &VolumeName, keep: Option<&InitiatorName>) -> Result<VolumeReading, AgentError> {
        self.known(volume)?;
        {
            let mut state = self.state.lock().unwrap();
            let keep = keep.filter(|_| self.fault != Fault::KeepForgotten);
            state.allowed.retain(|(name, _)| Some(name) == keep);
            state.planned.retain(|name| Some(name) == keep);
            if self.fault != Fault::AccessListOnly {
                state.sessions.retain(|name| Some(name) == keep);
            }
            if let (Fault::KeepAdmits, Some(keep)) = (self.fault, keep) {
                state.allowed = vec![(keep.clone(), Secret::new("x"))];
            }
        }
        Ok(self.reading(volume))
    }
    async fn grant(&self, volume: &VolumeName, admission: &Admission) -> Result<VolumeReading, AgentError> {
        self.known(volume)?;
        {
            let mut state = self.state.lock().unwrap();
            if self.fault != Fault::AddsInsteadOfReplacing {
                state.allowed.clear();
            }
            state.allowed.push((admission.initiator.clone(), admission.secret.clone()));
            state.planned = vec![admission.initiator.clone()];
        }
        Ok(self.reading(volume))
    }
}

#[async_trait]
impl StorageFixture for Target {
    fn storage(&self) -> &dyn Storage {
        self
    }
    fn volume(&self) -> VolumeName {
        "scratch".parse().unwrap()
    }
    fn no_such_volume(&self) -> VolumeName {
        "nowhere".parse().unwrap()
    }
    async fn log_in(&self, _: &VolumeName, admission: &Admission) -> Option<bool> {
        let mut state = self.state.lock().unwrap();
        let any = self.fault == Fault::AnySecret;
        let let_in =
            state.allowed.iter().any(|(name, secret)| *name == admission.initiator && (any || *secret == admission.secret));
        if let_in {
            state.sessions.push(admission.initiator.clone());
        }
        Some(let_in)
    }
    async fn admit(&self, _: &VolumeName, initiator: &InitiatorName) -> Option<Result<(), String>> {
        self.state.lock().unwrap().allowed.push((initiator.clone(), Secret::new("by hand")));
        Some(Ok(()))
    }
}

#[tokio::test]
async fn every_fault_of_a_storage_target_is_found() {
    conformance::storage(&Target::new(Fault::None)).await.unwrap();
    for (fault, law) in [
        (Fault::AccessListOnly, "ends every session"),
        (Fault::AddsInsteadOfReplacing, "exactly its initiator"),
        (Fault::KeepAdmits, "admits nobody who was not admitted"),
        (Fault::KeepForgotten, "leaves exactly the kept"),
        (Fault::HidesSessions, "shows every session"),
        (Fault::TellsItsOwnPlan, "foreign admission"),
        (Fault::AnySecret, "wrong secret"),
        (Fault::InventsVolumes, "not there is rejected"),
    ] {
        let verdict = conformance::storage(&Target::new(fault)).await;
        assert!(verdict.as_ref().is_err_and(|seen| seen.contains(law)), "{fault:?}: {verdict:?}");
    }
}
