//! The kernel of this host, over routing netlink. Decides nothing. Each conversation has a socket of its own, so that ports never wait for
//! each other and a broken socket costs one operation.

use super::kernel::{Kernel, KernelError, Link, Note, Notes, Talk};
use crate::vlans::{self, Carried, Entry, Membership, Run};
use async_trait::async_trait;
use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt, TryStreamExt};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecBridge, BridgeVlanInfoFlags, InfoBridge, InfoData, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourState};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, LinkBridgePort, LinkBridgeVlan, LinkUnspec, MulticastGroup};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use vocabulary::{Mac, WallTime};

/// The kernel's code for an interface that is not there.
const ENODEV: i32 = -19;

fn kernel(what: &'static str) -> impl FnOnce(rtnetlink::Error) -> KernelError {
    move |error| KernelError::Refused { what, reason: error.to_string() }
}

/// The kernel on which this process runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Netlink;

#[async_trait]
impl Kernel for Netlink {
    async fn talk(&self) -> Result<Box<dyn Talk>, KernelError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(KernelError::Absent)?;
        Ok(Box::new(Conversation { handle, connection: tokio::spawn(connection) }))
    }

    async fn listen(&self) -> Result<Box<dyn Notes>, KernelError> {
        let opened = rtnetlink::new_multicast_connection(&[MulticastGroup::Link]);
        let (connection, _handle, notes) = opened.map_err(KernelError::Absent)?;
        Ok(Box::new(Ear { notes, connection: tokio::spawn(connection) }))
    }

    fn now(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// One conversation with the kernel; its socket is closed when it is dropped.
struct Conversation {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Listens to notes; its socket is closed when it is dropped.
struct Ear {
    notes: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    connection: JoinHandle<()>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A link's name, if the note tells it.
fn name(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

#[async_trait]
impl Notes for Ear {
    async fn next(&mut self) -> Option<Note> {
        loop {
            let (note, _) = self.notes.next().await?;
            match note.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message)) => {
                    if let Some(name) = name(&message) {
                        let bridge = message.header.interface_family == AddressFamily::Bridge;
                        tracing::trace!(name, bridge, "changed");
                        return Some(Note::Changed(name.to_owned()));
                    }
                }
                NetlinkPayload::InnerMessage(_) | NetlinkPayload::Done(_) | NetlinkPayload::Noop => {}
                _ => return Some(Note::Missed),
            }
        }
    }
}

/// The VLAN entries of a bridge port's message.
pub fn entries(message: &LinkMessage) -> Vec<Entry> {
    let lists = message.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::AfSpecBridge(list) => Some(list),
        _ => None,
    });
    let infos = lists.flatten().filter_map(|spec| match spec {
        AfSpecBridge::VlanInfo(info) => Some(info),
        _ => None,
    });
    infos
        .map(|info| Entry {
            vid: info.vid,
            membership: Membership {
                pvid: info.flags.contains(BridgeVlanInfoFlags::Pvid),
                untagged: info.flags.contains(BridgeVlanInfoFlags::Untagged),
            },
            begins: info.flags.contains(BridgeVlanInfoFlags::RangeBegin),
            ends: info.flags.contains(BridgeVlanInfoFlags::RangeEnd),
        })
        .collect()
}

fn filters(message: &LinkMessage) -> bool {
    message.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().any(|info| match info {
            LinkInfo::Data(InfoData::Bridge(all)) => all.contains(&InfoBridge::VlanFiltering(true)),
            _ => false,
        }),
        _ => false,
    })
}

fn vlan_message(index: u32, runs: &[Run]) -> LinkMessage {
    let mut message = LinkBridgeVlan::new(index);
    for run in runs {
        let mut flags = BridgeVlanInfoFlags::empty();
        flags.set(BridgeVlanInfoFlags::Pvid, run.membership.pvid);
        flags.set(BridgeVlanInfoFlags::Untagged, run.membership.untagged);
        message = if run.first == run.last {
            message.vlan(run.first, flags)
        } else {
            message.vlan_range_start(run.first, flags).vlan_range_end(run.last, flags)
        };
    }
    message.build()
}

impl Conversation {
    async fn find(&self, name: &str) -> Result<LinkMessage, KernelError> {
        let mut found = std::pin::pin!(self.handle.link().get().match_name(name).execute());
        match found.try_next().await {
            Ok(Some(message)) => Ok(message),
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() != ENODEV => {
                Err(kernel("find an interface")(rtnetlink::Error::NetlinkError(error)))
            }
            Ok(None) | Err(rtnetlink::Error::NetlinkError(_)) => {
                Err(KernelError::Unfit(format!("there is no interface {name} on this switch")))
            }
            Err(other) => Err(kernel("find an interface")(other)),
        }
    }
}

#[async_trait]
impl Talk for Conversation {
    async fn bridge(&self, name: &str) -> Result<u32, KernelError> {
        let message = self.find(name).await?;
        if filters(&message) {
            return Ok(message.header.index);
        }
        Err(KernelError::Unfit(format!("the interface {name} is not a bridge that filters VLANs: set vlan_filtering to 1")))
    }

    async fn link(&self, name: &str) -> Result<Link, KernelError> {
        let message = self.find(name).await?;
        let mut link = Link {
            index: message.header.index,
            controller: None,
            up: message.header.flags.contains(LinkFlags::Up),
            carrier: message.header.flags.contains(LinkFlags::LowerUp),
            mtu: None,
            frames_in: 0,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Controller(index) => link.controller = Some(*index),
                LinkAttribute::Mtu(mtu) => link.mtu = Some(*mtu),
                LinkAttribute::Stats64(stats) => link.frames_in = stats.rx_packets,
                _ => {}
            }
        }
        Ok(link)
    }

    async fn vlans(&self, index: u32) -> Result<Carried, KernelError> {
        let request = self.handle.link().get().set_filter_mask(AddressFamily::Bridge, vec![LinkExtentMask::BrvlanCompressed]);
        let mut listed = std::pin::pin!(request.execute());
        let mut found = None;
        // the list is read to its end, or the next request would be answered with its rest
        while let Some(message) = listed.try_next().await.map_err(kernel("list VLANs"))? {
            if message.header.index == index && message.header.interface_family == AddressFamily::Bridge {
                found = Some(entries(&message));
            }
        }
        let found = found.ok_or_else(|| KernelError::Refused { what: "list VLANs", reason: "the port is not listed".into() })?;
        vlans::read(&found).map_err(|reason| KernelError::Refused { what: "list VLANs", reason })
    }

    async fn learnt(&self, index: u32) -> Result<BTreeSet<Mac>, KernelError> {
        let mut listed = std::pin::pin!(self.handle.neighbours().get().set_address_family(AddressFamily::Bridge).execute());
        let mut all = BTreeSet::new();
        while let Some(message) = listed.try_next().await.map_err(kernel("list addresses"))? {
            let own = matches!(message.header.state, NeighbourState::Permanent | NeighbourState::Noarp);
            if message.header.ifindex != index || own {
                continue;
            }
            all.extend(message.attributes.iter().filter_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(Mac),
                _ => None,
            }));
        }
        Ok(all)
    }

    async fn set_vlans(&self, index: u32, runs: &[Run]) -> Result<(), KernelError> {
        if runs.is_empty() {
            return Ok(());
        }
        self.handle.link().set(vlan_message(index, runs)).execute().await.map_err(kernel("set VLANs"))
    }

    async fn delete_vlans(&self, index: u32, runs: &[Run]) -> Result<(), KernelError> {
        if runs.is_empty() {
            return Ok(());
        }
        self.handle.link().del_with_message(vlan_message(index, runs)).execute().await.map_err(kernel("delete VLANs"))
    }

    async fn put(&self, index: u32, up: bool) -> Result<(), KernelError> {
        let link = LinkUnspec::new_with_index(index);
        let message = if up { link.up() } else { link.down() }.build();
        self.handle.link().change(message).execute().await.map_err(kernel("put an interface up or down"))
    }

    async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), KernelError> {
        let message = LinkUnspec::new_with_index(index).mtu(mtu).build();
        self.handle.link().change(message).execute().await.map_err(kernel("set an MTU"))
    }

    async fn flush(&self, index: u32) -> Result<(), KernelError> {
        let message = LinkBridgePort::new(index).fdb_flush().build();
        self.handle.link().set_port(message).execute().await.map_err(kernel("forget addresses"))
    }
}
