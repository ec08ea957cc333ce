//! What the bridge driver asks of a kernel: the one of its host, or a simulated one. Must never decide anything, and never answer from
//! memory: a call is a question to the kernel, made now.

use crate::vlans::{Carried, Run};
use async_trait::async_trait;
use std::collections::BTreeSet;
use vocabulary::{Mac, WallTime};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No conversation: nothing was asked.
    #[error("no netlink socket: {0}")]
    Absent(std::io::Error),
    /// The kernel, or the conversation with it, said no.
    #[error("netlink, {what}: {reason}; does the agent have CAP_NET_ADMIN?")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// What came back.
        reason: String,
    },
    /// The equipment is not what the configuration says.
    #[error("{0}")]
    Unfit(String),
}

/// One interface.
#[derive(Debug)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// The bridge that it is attached to.
    pub controller: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// Carrier.
    pub carrier: bool,
    /// Largest frame payload.
    pub mtu: Option<u32>,
    /// Frames received.
    pub frames_in: u64,
}

/// What a kernel says by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// The interface of this name may have changed.
    Changed(String),
    /// Notes were lost: any interface may have changed.
    Missed,
}

/// A kernel with a bridge.
#[async_trait]
pub trait Kernel: Send + Sync {
    /// Opens a conversation.
    async fn talk(&self) -> Result<Box<dyn Talk>, KernelError>;
    /// Begins to listen for changes of interfaces. What changed before is not told.
    async fn listen(&self) -> Result<Box<dyn Notes>, KernelError>;
    /// The time of day.
    fn now(&self) -> WallTime;
}

/// Notes as they come.
#[async_trait]
pub trait Notes: Send {
    /// The next one; `None` if no more can come.
    async fn next(&mut self) -> Option<Note>;
}

/// One conversation with a kernel; it ends when it is dropped. An interface's number holds for one conversation.
#[async_trait]
pub trait Talk: Send + Sync {
    /// The number of a bridge that filters VLANs. On any other bridge VLANs mean nothing, and a reading would be a lie.
    async fn bridge(&self, name: &str) -> Result<u32, KernelError>;
    /// An interface.
    async fn link(&self, name: &str) -> Result<Link, KernelError>;
    /// What a port is a member of. A port that the kernel does not list is an error, never an empty list.
    async fn vlans(&self, index: u32) -> Result<Carried, KernelError>;
    /// The addresses learnt on a port.
    async fn learnt(&self, index: u32) -> Result<BTreeSet<Mac>, KernelError>;
    /// Sets VLANs; those that are not named stay.
    async fn set_vlans(&self, index: u32, runs: &[Run]) -> Result<(), KernelError>;
    /// Deletes VLANs; the kernel does not mind those that are not there.
    async fn delete_vlans(&self, index: u32, runs: &[Run]) -> Result<(), KernelError>;
    /// Puts an interface up or down.
    async fn put(&self, index: u32, up: bool) -> Result<(), KernelError>;
    /// Sets an interface's MTU.
    async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), KernelError>;
    /// Forgets the addresses learnt on a port.
    async fn flush(&self, index: u32) -> Result<(), KernelError>;
}
