//! When certificates are renewed, how often it is tried, and when a person is told.

use super::*;
use crate::agents::{BMC_AGENT, Ear, Way};
use crate::clock::Clock;
use async_trait::async_trait;
use bmc::registry::Fleet;
use contract::agent::Client;
use contract::gate::{Gate, Identity};
use contract::{Answer, Request};
use std::sync::Arc;
use tokio::sync::mpsc;
use vocabulary::request::AgentError;
use vocabulary::{EstateUuid, Lineage};

const DAY_MS: u64 = 86_400_000;

/// An agent with a certificate for so many days, which takes another one or does not.
struct Shows {
    days: Mutex<u64>,
    takes: Mutex<bool>,
    asked: Mutex<u32>,
}

#[async_trait]
impl Client for Shows {
    async fn call(&self, _: Request) -> Result<Answer, AgentError> {
        Err(AgentError::Unreachable { reason: "nothing is asked here".to_owned() })
    }
    fn certificate_until(&self) -> Option<WallTime> {
        Some(WallTime(*self.days.lock().unwrap() * DAY_MS))
    }
    async fn propose_certificate(&self) -> Result<String, AgentError> {
        *self.asked.lock().unwrap() += 1;
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        Ok(rcgen::CertificateParams::new(vec![]).unwrap().serialize_request(&key).unwrap().pem().unwrap())
    }
    async fn take_certificate(&self, certificate_pem: String) -> Result<(), AgentError> {
        assert!(certificate_pem.contains("BEGIN CERTIFICATE"));
        if !*self.takes.lock().unwrap() {
            return Err(AgentError::Refused { reason: "cannot write bundle.json".to_owned() });
        }
        *self.days.lock().unwrap() = 730;
        Ok(())
    }
}

struct Stage {
    agents: Agents,
    agent: Arc<Shows>,
    /// Days since 1970.
    today: Arc<Mutex<u64>>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn set(days: u64, takes: bool) -> Stage {
        let agent = Arc::new(Shows { days: Mutex::new(days), takes: Mutex::new(takes), asked: Mutex::default() });
        let (folder, today) = (tempfile::tempdir().unwrap(), Arc::new(Mutex::new(0)));
        let (estate, lineage) = (EstateUuid("estate".into()), Lineage("lineage".into()));
        let authority = Arc::new(Authority::create(estate.clone(), lineage.clone()).unwrap());
        let identity = Identity::in_process(BMC_AGENT.parse().unwrap(), estate.clone(), lineage.clone(), true);
        let fleet = Gate::open(folder.path().join("bmc"), identity, Arc::new(Fleet::new())).unwrap();
        let way: Way = (agent.clone(), None);
        let ways = [(Agent::Storage("store1".parse().unwrap()), way)].into();
        let days = today.clone();
        let clock = Clock::with(move || WallTime(*days.lock().unwrap() * DAY_MS));
        let ear = Ear { queue: mpsc::channel(1).0, clock };
        let vantage = Arc::new(check::Checker::default());
        let introduction = Arc::new(std::sync::OnceLock::from((
            vocabulary::ControllerLife("this one".into()),
            Vec::new(),
            vocabulary::Epoch::default(),
        )));
        let agents =
            Agents::new((estate, lineage), &vocabulary::estate::Estate::default(), ways, fleet, vantage, ear, introduction)
                .renewed_by(authority);
        Stage { agents, agent, today, _folder: folder }
    }

    async fn greeted(&self) -> u32 {
        let (name, link) = self.agents.links.iter().find(|(name, _)| name.to_string() == "store1").unwrap();
        self.agents.renew(name, link).await;
        *self.agent.asked.lock().unwrap()
    }

    fn told(&self) -> Option<String> {
        self.agents.links.values().find_map(|link| self.agents.not_renewed(link))
    }

    fn is(&self, today: u64) {
        *self.today.lock().unwrap() = today;
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_once_when_half_of_its_time_is_over() {
    let stage = Stage::set(730, true);
    stage.is(365);
    assert_eq!(stage.greeted().await, 0, "a whole year is left");
    stage.is(366);
    *stage.agent.days.lock().unwrap() = 730;
    assert_eq!(stage.greeted().await, 1);
    *stage.agent.days.lock().unwrap() = 1096;
    tokio::time::advance(limits::RENEWAL_TRIED_EVERY * 2).await;
    assert_eq!((stage.greeted().await, stage.told()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_taken_is_tried_every_hour_and_told_when_it_is_urgent() {
    let stage = Stage::set(730, false);
    stage.is(500);
    assert_eq!((stage.greeted().await, stage.greeted().await), (1, 1));
    assert_eq!(stage.told(), None, "there is time");
    stage.is(641);
    let told = stage.told().unwrap();
    assert!(told.contains("F1019") && told.contains("ends in 89 days") && told.contains("cannot write bundle.json"), "{told}");
    tokio::time::advance(limits::RENEWAL_TRIED_EVERY).await;
    assert_eq!((stage.greeted().await, stage.greeted().await), (2, 2));
    *stage.agent.takes.lock().unwrap() = true;
    tokio::time::advance(limits::RENEWAL_TRIED_EVERY).await;
    stage.greeted().await;
    stage.is(500);
    assert_eq!(stage.told(), None);
}
