//! Puts a world's bridge under the switch agent's driver: its kernel is the world's. Must never answer by itself.

use ::switch::linux_bridge::kernel::{Kernel, KernelError, Link, Note, Notes, Talk};
use ::switch::vlans::{self, Carried, Entry, Membership, Run};
use async_trait::async_trait;
use std::collections::BTreeSet;
use vocabulary::{Mac, WallTime};
use world::Wall;
use world::bridge::{self, Bridge, Call, Conversation, Interface};

/// The kernel of a simulated switch, with the clock of the agent on it.
#[derive(Clone)]
pub struct SimulatedKernel {
    /// The switch.
    pub bridge: Bridge,
    /// The agent's time of day.
    pub wall: Wall,
}

fn absent(error: bridge::Error) -> KernelError {
    KernelError::Absent(std::io::Error::other(error.to_string()))
}

fn refused(what: &'static str) -> impl FnOnce(bridge::Error) -> KernelError {
    move |error| KernelError::Refused { what, reason: error.to_string() }
}

#[async_trait]
impl Kernel for SimulatedKernel {
    async fn talk(&self) -> Result<Box<dyn Talk>, KernelError> {
        Ok(Box::new(Talking(self.bridge.converse().map_err(absent)?)))
    }

    async fn listen(&self) -> Result<Box<dyn Notes>, KernelError> {
        Ok(Box::new(Listening(self.bridge.listen().map_err(absent)?)))
    }

    fn now(&self) -> WallTime {
        crate::wall(&self.wall)
    }
}

struct Listening(bridge::Notes);

#[async_trait]
impl Notes for Listening {
    async fn next(&mut self) -> Option<Note> {
        Some(match self.0.next().await? {
            bridge::Note::Changed(port) => Note::Changed(port),
            bridge::Note::Missed => Note::Missed,
        })
    }
}

struct Talking(Conversation);

impl Talking {
    async fn find(&self, name: &str) -> Result<Interface, KernelError> {
        self.0.interface(name).await.map_err(|error| match error {
            bridge::Error::NoDevice => KernelError::Unfit(format!("there is no interface {name} on this switch")),
            other => refused("find an interface")(other),
        })
    }
}

#[async_trait]
impl Talk for Talking {
    async fn bridge(&self, name: &str) -> Result<u32, KernelError> {
        let found = self.find(name).await?;
        match found.filters {
            Some(true) => Ok(found.index),
            _ => Err(KernelError::Unfit(format!("the interface {name} is not a bridge that filters VLANs"))),
        }
    }

    async fn link(&self, name: &str) -> Result<Link, KernelError> {
        let found = self.find(name).await?;
        Ok(Link {
            index: found.index,
            controller: found.controller,
            up: found.up,
            carrier: found.carrier,
            mtu: Some(found.mtu),
            frames_in: found.frames_in,
        })
    }

    async fn vlans(&self, index: u32) -> Result<Carried, KernelError> {
        let listed = self.0.vlans(index).await.map_err(refused("list VLANs"))?;
        let entry = |(vid, one): (&u16, &bridge::Membership)| {
            let membership = Membership { pvid: one.pvid, untagged: one.untagged };
            Entry { vid: *vid, membership, begins: false, ends: false }
        };
        let entries: Vec<Entry> = listed.iter().map(entry).collect();
        vlans::read(&entries).map_err(|reason| KernelError::Refused { what: "list VLANs", reason })
    }

    async fn learnt(&self, index: u32) -> Result<BTreeSet<Mac>, KernelError> {
        let learnt = self.0.learnt(index).await.map_err(refused("list addresses"))?;
        Ok(learnt.into_iter().map(Mac).collect())
    }

    async fn set_vlans(&self, index: u32, runs: &[Run]) -> Result<(), KernelError> {
        if runs.is_empty() {
            return Ok(());
        }
        let one = |run: &Run| {
            let membership = bridge::Membership { pvid: run.membership.pvid, untagged: run.membership.untagged };
            (run.first, run.last, membership)
        };
        self.0.change(Call::Join(index, runs.iter().map(one).collect())).await.map_err(refused("set VLANs"))
    }

    async fn delete_vlans(&self, index: u32, runs: &[Run]) -> Result<(), KernelError> {
        if runs.is_empty() {
            return Ok(());
        }
        let all = runs.iter().map(|run| (run.first, run.last)).collect();
        self.0.change(Call::Leave(index, all)).await.map_err(refused("delete VLANs"))
    }

    async fn put(&self, index: u32, up: bool) -> Result<(), KernelError> {
        self.0.change(Call::Put(index, up)).await.map_err(refused("put an interface up or down"))
    }

    async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), KernelError> {
        self.0.change(Call::Mtu(index, mtu)).await.map_err(refused("set an MTU"))
    }

    async fn flush(&self, index: u32) -> Result<(), KernelError> {
        self.0.change(Call::Flush(index)).await.map_err(refused("forget addresses"))
    }
}
