//! Deeds done with estates: one that has no business here and takes in what it finds, edits of the documents of ours, modes of its tiers. Must
//! never give anybody what an operator could not have.

use super::Play;
use crate::deed::{Edit, ToMachine};
use engine::Handle;
use pipeline::State;
use pipeline::cold_start;
use pipeline::event::Intent;
use pipeline::plan::Kind;
use pipeline::record::Found;
use pipeline::s2_decide::guard::{self, Domain};
use pipeline::work::{Phase, Work};
use std::sync::Arc;
use std::time::Duration;
use vocabulary::estate::{Estate, Mode};
use vocabulary::{AgentId, BootServiceId, Instant, MachineId, PduId, ServerId, Span, StorageId, SwitchId};

/// How long its operator waits for an answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How long he stays at what is to be adopted.
const ADOPTS_WITHIN: Duration = Duration::from_secs(120);
/// How long he looks at a screen that shows nothing.
const LOOKS_AT_IT: Duration = Duration::from_secs(1);
/// So long he lets a failover try by itself before he goes there.
const GOES_AFTER: Span = Span::seconds(30);
/// How long he waits until agents have said hello, and machines are taken in.
const WAITS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

impl Play {
    /// Its controller runs beside ours from now on, to the end of the world.
    pub(super) fn start_another_estate(&mut self) -> bool {
        match self.site.another_estate() {
            Ok(controller) => {
                let (handle, estate) = (controller.handle.clone(), self.site.estate.clone());
                let takes = controller.life.embody(async move { takes_in(&handle, &estate).await });
                tokio::spawn(takes);
                self.others.push(controller);
                true
            }
            Err(fault) => {
                self.tell(format!("the other estate's controller does not start: {fault}"));
                false
            }
        }
    }
}

/// By what an edited document's revision is told from the one before.
const EDITED: &str = "edited by an operator";

impl Play {
    /// The documents are others from now on, or as they were; whoever runs has read them already. False if that changes nothing.
    pub(super) fn edit_estate(&mut self, edit: &Edit) -> bool {
        let mut edited = Estate::clone(&self.site.documents);
        let touched = match edit {
            Edit::Contacts => {
                for (id, group) in &mut edited.groups {
                    EDITED.clone_into(&mut group.owner);
                    group.contacts = vec![format!("whoever looks after {id}")];
                }
                "group".to_owned()
            }
            Edit::Cabling(machine) => {
                let nic = edited.machines.get_mut(machine).and_then(|document| document.nics.last_mut());
                let (Some(nic), Ok(port)) = (nic, format!("{machine}-nic9").parse()) else { return false };
                nic.port = port;
                format!("machine/{machine}")
            }
            Edit::Back => {
                edited = Estate::clone(&self.site.estate);
                String::new()
            }
        };
        if edited == *self.site.documents {
            return false;
        }
        if !touched.is_empty() {
            edited.revisions.insert(touched, EDITED.to_owned());
        }
        self.site.documents = Arc::new(edited);
        true
    }

    /// Sets the ceiling of every tier.
    pub(super) fn set_mode(&self, mode: Mode) -> bool {
        let Some(controller) = &self.controller else { return false };
        let (handle, estate) = (controller.handle.clone(), self.site.estate.clone());
        tokio::spawn(async move {
            for tier in estate.tiers.keys().cloned() {
                press(&handle, Intent::SetTierMode { tier, mode }).await;
            }
        });
        true
    }
}

impl Play {
    /// Agrees to what waits for it, as it is when somebody looks.
    pub(super) fn approve(&self, server: &ServerId) -> bool {
        let Some(controller) = &self.controller else { return false };
        let (handle, server) = (controller.handle.clone(), server.clone());
        tokio::spawn(async move {
            let asked = server.clone();
            let hash = handle.query(move |state| Some(state.ledger.servers.get(&asked)?.proposed.as_ref()?.hash.clone())).await;
            if let Ok(Some(hash)) = hash {
                press(&handle, Intent::ApproveFailover { server, hash, reason: String::new() }).await;
            }
        });
        true
    }

    /// Agrees that everything goes on that the guard holds.
    pub(super) fn let_go(&self) -> bool {
        let Some(controller) = &self.controller else { return false };
        let handle = controller.handle.clone();
        tokio::spawn(async move {
            let now = handle.clock().now();
            let held = move |state: &State| -> Vec<String> {
                let held = guard::troubled(state, now).into_iter().filter(Domain::is_held);
                held.map(|domain| domain.shared.to_string()).collect()
            };
            for domain in handle.query(held).await.unwrap_or_default() {
                press(&handle, Intent::ResumeGuard { domain, reason: "somebody has looked".into() }).await;
            }
        });
        true
    }
}

impl Play {
    /// Has every site started, in the order that the controller shows.
    pub(super) fn start_site(&self) -> bool {
        let Some(controller) = &self.controller else { return false };
        let (handle, estate) = (controller.handle.clone(), self.site.estate.clone());
        tokio::spawn(async move {
            let now = handle.clock().now();
            for site in estate.sites.keys().cloned() {
                let asked = site.clone();
                let shown = handle.query(move |state| cold_start::propose(state, &asked, now).0.hash());
                if let Ok(Ok(hash)) = tokio::time::timeout(LOOKS_AT_IT, shown).await {
                    press(&handle, Intent::StartSite { site, hash, reason: "power is back".into() }).await;
                }
            }
        });
        true
    }

    /// Goes to the machines whose failovers wait for a proof, pulls their cords and says so. He who goes astray pulls those of the next
    /// machine, and reads its number.
    pub(super) async fn confirm_off(&mut self, astray: bool) -> bool {
        let Some(controller) = &self.controller else { return false };
        let handle = controller.handle.clone();
        let now = handle.clock().now();
        // whoever finds the controller dead, or standing still, goes nowhere
        let asked = tokio::time::timeout(LOOKS_AT_IT, handle.query(move |state| waiting(state, now))).await;
        let Ok(Ok(waiting)) = asked else { return false };
        let boxes: Vec<MachineId> = self.site.estate.machines.keys().cloned().collect();
        for machine in &waiting {
            let next = boxes.iter().cycle().skip_while(|other| *other != machine).nth(1);
            let before = next.filter(|_| astray).unwrap_or(machine);
            self.strike_machine(before, ToMachine::LoseMains).await;
            let serial = self.site.estate.machines.get(before).map(|document| document.serial.clone()).unwrap_or_default();
            let reason = "the cords are in my hand".to_owned();
            let intent = Intent::ConfirmOff { machine: machine.clone(), serial, found: Found::Unplugged, reason };
            let handle = handle.clone();
            tokio::spawn(async move { press(&handle, intent).await });
        }
        !waiting.is_empty()
    }
}

/// Machines that failovers have tried in vain to prove harmless.
fn waiting(state: &State, now: Instant) -> Vec<MachineId> {
    let tried = |work: &&Work| work.phase == Phase::Fence && work.proven_at.is_none() && now.since(work.since) > GOES_AFTER;
    let failovers = state.works.values().filter(tried).filter(|work| work.plan.body().kind == Kind::Failover);
    failovers.flat_map(|work| work.plan.body().fence.clone()).collect()
}

/// What an operator does with a restored store: he looks at what the agents say, and agrees to it. True if nothing is left to adopt.
pub(super) async fn adopt(handle: Handle) -> bool {
    let looks = async {
        let Ok(Some(adoption)) = handle.adoption().await else { return };
        // what was refused he reads in the journal, and looks again
        let _ = handle.adopt("uid 0".to_owned(), adoption.hash(), "the store was lost".to_owned()).await;
    };
    let _ = tokio::time::timeout(ADOPTS_WITHIN, looks).await;
    handle.query(|state| !state.ledger.has_to_adopt()).await.unwrap_or(true)
}

/// Presses a button; what became of it stands in the other estate's own records.
async fn press(handle: &Handle, intent: Intent) {
    let _ = tokio::time::timeout(ANSWER, handle.intent("uid 0".to_owned(), intent)).await;
}

/// As our own operator did it: everybody is taken in, and every server is told to start.
async fn takes_in(handle: &Handle, estate: &Estate) {
    for tier in estate.tiers.keys().cloned() {
        press(handle, Intent::SetTierMode { tier, mode: Mode::Auto }).await;
    }
    let own = estate.switches.keys().map(SwitchId::as_str).chain(estate.storages.keys().map(StorageId::as_str));
    let agents = own.chain(estate.boot_services.keys().map(BootServiceId::as_str)).chain(estate.pdus.keys().map(PduId::as_str));
    let agents: Vec<AgentId> = agents.filter_map(|name| name.parse().ok()).collect();
    for agent in agents {
        press(handle, Intent::EnrolAgent { agent }).await;
    }
    let [hello, taken_in] = WAITS;
    tokio::time::sleep(hello).await;
    for machine in estate.machines.keys().cloned() {
        press(handle, Intent::EnrolMachine { machine }).await;
    }
    tokio::time::sleep(taken_in).await;
    for server in estate.servers.keys().cloned() {
        press(handle, Intent::StartServer { server }).await;
    }
}
