//! What the registry and every driver speak of: the way to a BMC, what a look finds, and what a driver must do.
//! Must never hold a vendor's name or a protocol's detail.

use std::collections::BTreeSet;

use async_trait::async_trait;
use vocabulary::boot::Firmware;
use vocabulary::estate::Bmc as Address;
use vocabulary::power::{Identity, MachineReading};
use vocabulary::request::AgentError;
pub use vocabulary::survey::{Fact, LogEntry, Scope, Survey};
use vocabulary::{Fault, Secret};

use crate::findings::Findings;
use crate::inventory::Inventory;
use crate::limits::Patience;

/// Everything a driver needs to know of one BMC.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where it is and how to speak to it. Its `password` is a reference and is not resolved here.
    pub bmc: Address,
    /// The machine that must answer: UUID and serial from the estate. Either may be empty, not both.
    pub identity: Identity,
    /// The account's password.
    pub password: Secret,
    /// SHA-256 of the certificate in hex, as enrolment stored it. `None`: the one in `bmc.certificate`, or, where that says `enrol`,
    /// whatever is seen first; what was seen stands in every reading and is held to for the driver's life. Until the expected machine
    /// was read under it no command goes out: the first contact only reads.
    pub pin: Option<String>,
    /// The BMC key (K_G), where `bmc.ipmi` names one.
    pub key: Option<Secret>,
    /// The firmware modes in which the machine can boot; empty where nobody knows.
    pub firmware: BTreeSet<Firmware>,
    /// How long to wait.
    pub patience: Patience,
}

impl Door {
    /// With the usual patience, and nothing that only some protocols need.
    pub fn new(bmc: Address, identity: Identity, password: Secret, pin: Option<String>) -> Door {
        Door { bmc, identity, password, pin, key: None, firmware: BTreeSet::new(), patience: Patience::default() }
    }
}

/// What a driver is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// To read and command exactly the expected machine.
    Act,
    /// To look who is there.
    Look,
}

/// What a look at a BMC finds.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it tells now; `identity` is what it says of itself, whether expected or not.
    pub reading: MachineReading,
    /// SHA-256 of its certificate in hex, where the protocol has one.
    pub certificate: Option<String>,
    /// Platform, quirk records, how this client is logged in, and what the BMC can do.
    pub findings: Findings,
    /// What it tells beyond that, where it was asked for.
    pub survey: Survey,
    /// True if it is the expected machine.
    pub matches: bool,
}

/// What a closer look finds: who it is, and what it is made of.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// As a probe tells it.
    pub probe: Probe,
    /// The hardware; empty where the protocol tells none.
    pub inventory: Inventory,
}

/// A driver: what the contract asks, and an orderly end.
#[async_trait]
pub trait Driver: contract::bmc::Bmc {
    /// Looks who is there, and changes nothing.
    async fn probe(&self) -> Result<Probe, Fault>;
    /// Asks for what the BMC tells beyond its readings; costs it many questions, so it is no part of a poll. Changes nothing. A driver
    /// has nothing to add unless it says otherwise.
    async fn survey(&self, _scope: Scope) -> Result<Survey, Fault> {
        Ok(Survey::default())
    }
    /// Looks who is there and what it is made of, and changes nothing. It logs in once: an account or a session that is refused is not
    /// tried again.
    async fn inspect(&self) -> Result<Inspection, Fault> {
        let probe = self.probe().await?;
        Ok(Inspection { probe, inventory: Inventory::default() })
    }
    /// How many power supplies the BMC counts as present; `None` where it does not tell, or not all of it. Some few questions: it is asked
    /// while somebody waits, where `inspect` may take a minute. Changes nothing.
    async fn power_supplies(&self) -> Result<Option<u32>, AgentError> {
        Ok(None)
    }
    /// What was found out of the BMC, if it was; asks nobody.
    fn found(&self) -> Option<Findings>;
    /// Ends the session on the BMC. Dropping the driver does the same in the background, where a runtime is there to do it.
    async fn close(&self);
}
