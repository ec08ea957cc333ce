//! Volumes, initiators, sessions.

use crate::{Epoch, ServerId, VolumeId, WallTime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// How many may write. The single-writer law is about `Exclusive`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// One writer, ever.
    Exclusive,
    /// Several writers that coordinate by themselves.
    Shared,
    /// No writer.
    ReadOnly,
}

/// An initiator's name as the target knows it. Each placement has its own, so that a target can tell the new incarnation from the old.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub struct InitiatorName(pub String);

impl InitiatorName {
    /// The initiator name of one placement: `iqn.2026-01.org.understudy:<server>.e<epoch>`.
    pub fn of_placement(server: &ServerId, epoch: Epoch) -> InitiatorName {
        InitiatorName(format!("iqn.2026-01.org.understudy:{server}.e{}", epoch.0))
    }
}

impl fmt::Display for InitiatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One way to a volume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Path {
    /// Where the target listens.
    pub portal: SocketAddr,
    /// The target's name.
    pub target: String,
    /// The logical unit.
    pub lun: u32,
}

/// A session at the target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Who.
    pub initiator: InitiatorName,
    /// The target's own number for it.
    pub number: u64,
    /// From where, as the target tells it.
    pub address: String,
}

/// A fresh reading of one volume, asked of the target and not of the estate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VolumeReading {
    /// The volume.
    pub volume: VolumeId,
    /// Every initiator that may log in to any export of the backing object.
    pub allowed: Vec<InitiatorName>,
    /// True if an export admits initiators by something else than an exact name with secret (an address rule, "all"): then nobody is provably cut off.
    pub open_to_others: bool,
    /// Every session on any export of the backing object.
    pub sessions: Vec<Session>,
    /// Operations in flight from sessions that are gone; `None` if the target cannot tell and closes them with the session.
    pub in_flight: Option<u64>,
    /// How many exports of the backing object the target has.
    pub exports: u32,
    /// Operations served since the target started; growth is the best sign of life.
    pub operations: Option<u64>,
    /// True if what is read here also holds after a restart of the target.
    pub persistent: bool,
    /// When it was read.
    pub read_at: WallTime,
}
