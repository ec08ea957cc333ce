//! What a machine is made of, as far as its BMC tells: the nouns that discovery fills and drafts are written from.
//! Must never hold a guess: what a BMC does not tell is missing here, and nothing here is a proof of anything.

use std::collections::BTreeSet;

use vocabulary::boot::Firmware;
use vocabulary::network::Mac;
use vocabulary::quantity::{Bytes, Speed};

/// The hardware of one machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inventory {
    /// Who made it; empty where not told.
    pub manufacturer: String,
    /// Which model it is; empty where not told.
    pub model: String,
    /// The processors' own name; empty where not told.
    pub processor: String,
    /// `x86_64`, `aarch64`.
    pub architecture: Option<&'static str>,
    /// x86-64 level, as the processor's name or number says: firmware may have switched parts of it off. 0 on another architecture.
    pub level: Option<u8>,
    /// Processor threads.
    pub threads: Option<u32>,
    /// Main memory.
    pub memory: Option<Bytes>,
    /// Firmware modes that it can be told to boot in.
    pub firmware: BTreeSet<Firmware>,
    /// Power supplies that are plugged in.
    pub power_supplies: Option<usize>,
    /// Network ports, by their burned-in address.
    pub nics: Vec<Nic>,
    /// Why there may be more than was read.
    pub incomplete: Option<String>,
}

/// One network port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nic {
    /// Burned-in address.
    pub mac: Mac,
    /// The BMC's name for it.
    pub name: String,
    /// Speed of the link, while there is one.
    pub speed: Option<Speed>,
    /// Whether there is a link.
    pub link: Option<bool>,
    /// Who is at the other end of the cable.
    pub neighbour: Option<Neighbour>,
}

/// What LLDP told of the other end of a cable. Texts are empty where not told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Neighbour {
    /// Name of the switch.
    pub system: String,
    /// Chassis id of the switch.
    pub chassis: String,
    /// Port there.
    pub port: String,
    /// Management address of the switch.
    pub address: String,
}
