//! The one place where permits, tokens and contacts meet: every protocol asks here who may boot what now, and here alone. A revocation
//! silences all protocols at once, before it is written; a grant is written before it is served. Whatever is in doubt is silence.

use crate::config::Config;
use crate::contacts::Contacts;
use crate::error::BootError;
use crate::limits::{CONTACT_MARK_MS, RELAYED_TELL_MS};
use crate::outside::Outside;
use crate::permits::{self, ContactAge, Ledger, Record, provisioning, provisioning_address};
use crate::records;
use crate::shelf::Shelf;
use crate::tokens::{BootToken, Found, Tokens};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vocabulary::boot::{BootMethod, BootStep, Permit};
use vocabulary::{Mac, MachineId, WallTime};

struct State {
    ledger: Ledger,
    tokens: Tokens,
    age: ContactAge,
    /// When the contact age was written last, on the boot clock.
    marked_ms: Option<u64>,
    /// While nobody knows whether the gate's memory is current, and while it is not trusted, nobody is served.
    withheld: bool,
    relayed: Relayed,
}

/// Relayed packets, all of them met with silence.
#[derive(Default)]
struct Relayed {
    count: u64,
    /// When they were told of last, on the boot clock.
    told_ms: Option<u64>,
}

/// The desk.
pub struct Desk {
    config: Config,
    outside: Outside,
    state: Mutex<State>,
    /// One writer of permit files at a time.
    writer: tokio::sync::Mutex<()>,
    /// One writer of the contact's age at a time.
    marker: tokio::sync::Mutex<()>,
    contacts: Contacts,
}

/// A machine that asks, as far as it may be served.
#[derive(Clone, Debug)]
pub enum Caller {
    /// No known machine.
    Stranger,
    /// A known machine without a permit: it gets silence, and the controller is told.
    Barred(MachineId),
    /// Its permit stands, but no controller was heard within its lease: its address is renewed, nothing is booted.
    Stale(Arc<Permit>),
    /// Its permit is live.
    Bearer(Arc<Permit>),
}

/// What a token opens.
#[derive(Clone, Debug)]
pub enum Visit {
    /// Nothing.
    Stranger,
    /// This boot's secrets were delivered: it is over for the boot service.
    Used,
    /// This boot.
    Open(Arc<Permit>, BootToken),
}

impl Desk {
    /// Opens the durable state of this machine. Permits come back as they were, with the lease that they have left.
    pub fn open(config: Config) -> Result<Desk, BootError> {
        let outside = Outside::of_the_machine(&config)?;
        Desk::open_with(config, outside)
    }

    /// The same over what is given.
    pub fn open_with(config: Config, outside: Outside) -> Result<Desk, BootError> {
        let (records, faults) = records::load(&*outside.disk)?;
        for fault in faults {
            tracing::error!(%fault, "a permit file cannot be read: its machine gets silence until it is granted again");
        }
        let mut ledger = Ledger::default();
        let known = config.machines.iter().map(|(machine, entry)| Record {
            machine: machine.clone(),
            provisioning_mac: Some(entry.provisioning_mac),
            permit: None,
        });
        for record in known.chain(records) {
            let machine = record.machine.clone();
            if let Err(reason) = ledger.put(record) {
                tracing::error!(%machine, reason, "not served");
            }
        }
        let (now, wall) = ((outside.since_boot)(), (outside.wall)());
        let mark = records::read_mark(&*outside.disk);
        let age = mark.map_or(ContactAge::NEVER, |mark| ContactAge::resumed(&mark, &outside.host_boot, now, wall.0));
        let standing = ledger.permits().count();
        tracing::info!(standing, contact_age_ms = age.age_ms(now), "permits read");
        let state =
            State { ledger, tokens: Tokens::default(), age, marked_ms: None, withheld: false, relayed: Relayed::default() };
        Ok(Desk {
            config,
            outside,
            state: Mutex::new(state),
            writer: tokio::sync::Mutex::new(()),
            marker: tokio::sync::Mutex::new(()),
            contacts: Contacts::default(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The contacts.
    pub fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // every change of the state is complete before anything that could fail
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds on the boot clock.
    fn now_ms(&self) -> u64 {
        (self.outside.since_boot)()
    }

    /// The time of day, for records.
    pub(crate) fn wall(&self) -> WallTime {
        (self.outside.wall)()
    }

    /// The files that machines fetch.
    pub(crate) fn shelf(&self) -> &dyn Shelf {
        &*self.outside.shelf
    }

    // -- what the protocols ask --

    /// Who is it that has this provisioning MAC?
    pub fn caller(&self, mac: Mac) -> Caller {
        let state = self.state();
        let Some(machine) = state.ledger.machine_of(mac) else { return Caller::Stranger };
        match state.ledger.standing(machine) {
            None => Caller::Barred(machine.clone()),
            Some(_) if state.withheld => Caller::Barred(machine.clone()),
            Some(permit) if state.live(machine, self.now_ms()).is_none() => Caller::Stale(permit.clone()),
            Some(permit) => Caller::Bearer(permit.clone()),
        }
    }

    /// The live permit whose provisioning address this is.
    pub fn bearer_at(&self, address: IpAddr) -> Option<Arc<Permit>> {
        let state = self.state();
        let age = state.age.age_ms(self.now_ms());
        state.ledger.live_at(address, age).filter(|_| !state.withheld).cloned()
    }

    /// The token of the boot to which this DHCP transaction belongs; `None` if the permit is gone since it was looked up.
    pub fn token_of_boot(&self, permit: &Permit, transaction: u32) -> Option<BootToken> {
        let mut state = self.state();
        state.live(&permit.machine, self.now_ms()).filter(|live| live.epoch == permit.epoch)?;
        Some(state.tokens.of_boot(&permit.machine, transaction, self.now_ms(), self.outside.bits()))
    }

    /// What does this path segment open for a client at this address? A token is good only from the address its machine was given.
    pub fn visit(&self, segment: &str, from: IpAddr) -> Visit {
        let Some(token) = BootToken::parse(segment) else { return Visit::Stranger };
        let (state, now) = (self.state(), self.now_ms());
        let (machine, used) = match state.tokens.find(token, now) {
            Found::Unknown => return Visit::Stranger,
            Found::Used(machine) => (machine, true),
            Found::Open(machine) => (machine, false),
        };
        match state.live(&machine, now) {
            Some(permit) if !is_at(permit, from) => Visit::Stranger,
            Some(_) if used => Visit::Used,
            Some(permit) => Visit::Open(permit.clone(), token),
            None => Visit::Stranger,
        }
    }

    /// Notes that the script was fetched.
    pub fn script_fetched(&self, permit: &Permit, token: BootToken) {
        self.state().tokens.fetched(token);
        self.note(permit, BootStep::Script);
    }

    /// Uses the token up: whoever gets the permit back may deliver its secrets, and nobody gets it back twice. The permit is the one
    /// that stands now, not the one that stood when the request came in.
    pub fn use_up(&self, token: BootToken, method: BootMethod) -> Option<Arc<Permit>> {
        let permit = {
            let mut state = self.state();
            let now = self.now_ms();
            let Found::Open(machine) = state.tokens.find(token, now) else { return None };
            let permit = state.live(&machine, now).filter(|permit| permit.method == method)?.clone();
            state.tokens.use_up(token, now).then_some(permit)?
        };
        self.note(&permit, BootStep::Claim);
        Some(permit)
    }

    /// Notes a step of a permitted boot.
    pub fn note(&self, permit: &Permit, step: BootStep) {
        self.contacts.note(&permit.machine, step, Some(permit.epoch), self.wall());
    }

    /// Notes that a machine without permit asked.
    pub fn note_barred(&self, machine: &MachineId) {
        self.contacts.note(machine, BootStep::Dhcp, None, self.wall());
    }

    /// Counts a relayed packet, and tells of them now and then.
    pub fn note_relayed(&self, mac: Mac, relay: Ipv4Addr) {
        let mut state = self.state();
        let (now, relayed) = (self.now_ms(), &mut state.relayed);
        relayed.count += 1;
        if relayed.told_ms.is_none_or(|told| now.saturating_sub(told) >= RELAYED_TELL_MS) {
            relayed.told_ms = Some(now);
            tracing::warn!(%mac, %relay, count = relayed.count, "DHCP through a relay: silence, no relay is configured");
        }
    }

    // -- what the controller asks --

    /// A controller is heard: leases begin anew.
    pub async fn heard(&self) {
        let due = {
            let mut state = self.state();
            let now = self.now_ms();
            state.age = ContactAge::heard(now);
            state.marked_ms.is_none_or(|marked| now.saturating_sub(marked) >= CONTACT_MARK_MS)
        };
        if due {
            self.keep_age().await;
        }
    }

    /// Writes the age of the last contact, so that a restart knows it even if the wall clock is then wrong.
    pub async fn keep_age(&self) {
        // taken before the age is read: marks are written in the order of their ages
        let _marker = self.marker.lock().await;
        let mark = {
            let mut state = self.state();
            let now = self.now_ms();
            state.marked_ms = Some(now);
            state.age.mark(&self.outside.host_boot, now, self.wall().0)
        };
        if let Err(fault) = records::write_mark(&self.outside.disk, &mark).await {
            tracing::error!(%fault, "the contact with the controller is not durable: after a restart leases end sooner");
        }
    }

    /// The machine's live permit, if it is served.
    pub fn live(&self, machine: &MachineId) -> Option<Arc<Permit>> {
        let state = self.state();
        state.live(machine, self.now_ms()).cloned()
    }

    /// The machine's live permit, also while it is withheld: then it may be served again.
    pub fn granted(&self, machine: &MachineId) -> Option<Arc<Permit>> {
        let state = self.state();
        state.ledger.live(machine, state.age.age_ms(self.now_ms())).cloned()
    }

    /// Makes this the machine's one permit and the server's only one, durably. On any fault the machine has no permit.
    pub async fn grant(&self, permit: &Permit) -> Result<(), BootError> {
        let refused = |reason| BootError::Permit { machine: permit.machine.to_string(), reason };
        permits::check(permit, self.config.ip()).map_err(refused)?;
        self.check_image(permit).await.map_err(refused)?;
        let _writer = self.writer.lock().await;
        let displaced = {
            let mut state = self.state();
            if state.ledger.standing(&permit.machine).is_some_and(|standing| **standing == *permit) {
                // a retry: the boot that may be under way keeps its token
                return Ok(());
            }
            let bearers = state.ledger.bearers(&permit.server);
            if let Some(newer) = bearers.iter().find(|bearer| bearer.epoch > permit.epoch) {
                let (server, machine) = (&newer.server, &newer.machine);
                return Err(refused(format!(
                    "{server} was granted to {machine} at {} since; this plan is the older",
                    newer.epoch
                )));
            }
            if let Some(reason) = state.ledger.conflict(permit) {
                return Err(refused(reason));
            }
            // silence before anything is written: at no instant may two machines boot the same server
            let others = bearers.iter().filter(|bearer| bearer.machine != permit.machine);
            let displaced: Vec<Record> = others.map(|bearer| state.void(&bearer.machine)).collect();
            state.void(&permit.machine);
            displaced
        };
        for record in displaced {
            tracing::warn!(machine = %record.machine, server = %permit.server, "a newer permit of its server voids this machine's");
            records::write(&self.outside.disk, &record).await?;
        }
        let record = Record {
            machine: permit.machine.clone(),
            provisioning_mac: provisioning(permit).map(|nic| nic.mac),
            permit: Some(permit.clone()),
        };
        records::write(&self.outside.disk, &record).await?;
        self.state().ledger.put(record).map_err(refused)
    }

    /// Voids the machine's permit and tokens at once, then durably. Even if the disk fails the machine gets silence from now on.
    pub async fn revoke(&self, machine: &MachineId) -> Result<(), BootError> {
        // not behind the writer: silence does not wait for a disk
        let record = self.state().void(machine);
        let _writer = self.writer.lock().await;
        // a grant that was being written meanwhile is voided as well
        self.state().void(machine);
        records::write(&self.outside.disk, &record).await
    }

    /// Withholds all permits, or serves them again.
    pub fn withhold(&self, withheld: bool) {
        self.state().withheld = withheld;
    }

    /// All standing permits.
    pub fn standing(&self) -> Vec<Arc<Permit>> {
        self.state().ledger.permits().cloned().collect()
    }

    async fn check_image(&self, permit: &Permit) -> Result<(), String> {
        if permit.method == BootMethod::San {
            return Ok(());
        }
        let files = self.config.image_files(&permit.image);
        for file in [files.kernel, files.initrd] {
            if !self.shelf().length(&file).await.is_ok_and(|length| length > 0) {
                let (image, file) = (&permit.image, file.display());
                return Err(format!(
                    "image {image} is not complete here: {file} is absent or empty; put it there and grant again"
                ));
            }
        }
        Ok(())
    }
}

impl State {
    fn live(&self, machine: &MachineId, now_ms: u64) -> Option<&Arc<Permit>> {
        self.ledger.live(machine, self.age.age_ms(now_ms)).filter(|_| !self.withheld)
    }

    fn void(&mut self, machine: &MachineId) -> Record {
        self.tokens.void(machine);
        self.ledger.void(machine)
    }
}

fn is_at(permit: &Permit, from: IpAddr) -> bool {
    provisioning_address(permit).is_some_and(|(ip, _)| IpAddr::V4(ip) == from)
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
