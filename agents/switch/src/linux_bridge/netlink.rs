//! The netlink calls of the bridge driver, each by name. Decides nothing. Each conversation has a socket of its own, so that ports never
//! wait for each other and a broken socket costs one operation.

use crate::vlans::{self, Carried, Entry, Membership, Run};
use futures::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecBridge, BridgeVlanInfoFlags, InfoBridge, InfoData, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourState};
use rtnetlink::{Handle, LinkBridgePort, LinkBridgeVlan, LinkUnspec};
use std::collections::BTreeSet;
use vocabulary::Mac;

/// The kernel's code for an interface that is not there.
const ENODEV: i32 = -19;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("no netlink socket: {0}")]
    Socket(std::io::Error),
    /// The kernel, or the conversation with it, said no.
    #[error("netlink, {what}: {reason}; does the agent have CAP_NET_ADMIN?")]
    Kernel {
        /// What was asked.
        what: &'static str,
        /// What came back.
        reason: String,
    },
    /// The equipment is not what the configuration says.
    #[error("{0}")]
    Unfit(String),
}

fn kernel(what: &'static str) -> impl FnOnce(rtnetlink::Error) -> NetlinkError {
    move |error| NetlinkError::Kernel { what, reason: error.to_string() }
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

/// One conversation with the kernel; its socket is closed when it is dropped.
pub struct Talk {
    handle: Handle,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.connection.abort();
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

impl Talk {
    /// Opens a conversation.
    pub fn open() -> Result<Talk, NetlinkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NetlinkError::Socket)?;
        Ok(Talk { handle, connection: tokio::spawn(connection) })
    }

    async fn find(&self, name: &str) -> Result<LinkMessage, NetlinkError> {
        let mut found = std::pin::pin!(self.handle.link().get().match_name(name).execute());
        match found.try_next().await {
            Ok(Some(message)) => Ok(message),
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() != ENODEV => {
                Err(kernel("find an interface")(rtnetlink::Error::NetlinkError(error)))
            }
            Ok(None) | Err(rtnetlink::Error::NetlinkError(_)) => {
                Err(NetlinkError::Unfit(format!("there is no interface {name} on this switch")))
            }
            Err(other) => Err(kernel("find an interface")(other)),
        }
    }

    /// The number of a bridge that filters VLANs. On any other bridge VLANs mean nothing, and a reading would be a lie.
    pub async fn bridge(&self, name: &str) -> Result<u32, NetlinkError> {
        let message = self.find(name).await?;
        if filters(&message) {
            return Ok(message.header.index);
        }
        Err(NetlinkError::Unfit(format!("the interface {name} is not a bridge that filters VLANs: set vlan_filtering to 1")))
    }

    /// An interface.
    pub async fn link(&self, name: &str) -> Result<Link, NetlinkError> {
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

    /// What a port is a member of. A port that the kernel does not list is an error, never an empty list.
    pub async fn vlans(&self, index: u32) -> Result<Carried, NetlinkError> {
        let request = self.handle.link().get().set_filter_mask(AddressFamily::Bridge, vec![LinkExtentMask::BrvlanCompressed]);
        let mut listed = std::pin::pin!(request.execute());
        let mut found = None;
        // the list is read to its end, or the next request would be answered with its rest
        while let Some(message) = listed.try_next().await.map_err(kernel("list VLANs"))? {
            if message.header.index == index && message.header.interface_family == AddressFamily::Bridge {
                found = Some(entries(&message));
            }
        }
        let found = found.ok_or_else(|| NetlinkError::Kernel { what: "list VLANs", reason: "the port is not listed".into() })?;
        vlans::read(&found).map_err(|reason| NetlinkError::Kernel { what: "list VLANs", reason })
    }

    /// The addresses learnt on a port.
    pub async fn learnt(&self, index: u32) -> Result<BTreeSet<Mac>, NetlinkError> {
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

    /// Sets VLANs; those that are not named stay.
    pub async fn set_vlans(&self, index: u32, runs: &[Run]) -> Result<(), NetlinkError> {
        if runs.is_empty() {
            return Ok(());
        }
        self.handle.link().set(vlan_message(index, runs)).execute().await.map_err(kernel("set VLANs"))
    }

    /// Deletes VLANs; the kernel does not mind those that are not there.
    pub async fn delete_vlans(&self, index: u32, runs: &[Run]) -> Result<(), NetlinkError> {
        if runs.is_empty() {
            return Ok(());
        }
        self.handle.link().del_with_message(vlan_message(index, runs)).execute().await.map_err(kernel("delete VLANs"))
    }

    /// Puts an interface up or down.
    pub async fn put(&self, index: u32, up: bool) -> Result<(), NetlinkError> {
        let link = LinkUnspec::new_with_index(index);
        let message = if up { link.up() } else { link.down() }.build();
        self.handle.link().change(message).execute().await.map_err(kernel("put an interface up or down"))
    }

    /// Sets an interface's MTU.
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(index).mtu(mtu).build();
        self.handle.link().change(message).execute().await.map_err(kernel("set an MTU"))
    }

    /// Forgets the addresses learnt on a port.
    pub async fn flush(&self, index: u32) -> Result<(), NetlinkError> {
        let message = LinkBridgePort::new(index).fdb_flush().build();
        self.handle.link().set_port(message).execute().await.map_err(kernel("forget addresses"))
    }
}
