//! Listens to the kernel's notes of changed interfaces and keeps the names of ports to be looked at. Bounded: a port stands there once,
//! however many notes come. What may have been missed makes every port suspect.

use crate::limits::RELISTEN_PAUSE;
use futures::StreamExt;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkPayload;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use vocabulary::PortName;

/// The listener; it ends when this is dropped.
pub struct Watch {
    suspects: Arc<Suspects>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Suspects {
    names: Mutex<BTreeSet<PortName>>,
    more: Notify,
}

impl Suspects {
    fn add<'a>(&self, names: impl IntoIterator<Item = &'a PortName>) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).extend(names.into_iter().cloned());
        self.more.notify_one();
    }

    fn take(&self) -> Option<PortName> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to listen.
    pub fn start(ports: BTreeSet<PortName>) -> Watch {
        let suspects = Arc::new(Suspects::default());
        let task = tokio::spawn(listen(ports, suspects.clone()));
        Watch { suspects, task }
    }

    /// Waits for the next port to be looked at.
    pub async fn next(&self) -> PortName {
        loop {
            if let Some(name) = self.suspects.take() {
                return name;
            }
            self.suspects.more.notified().await;
        }
    }
}

/// A link's name, if the note tells it.
fn name(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

async fn listen(ports: BTreeSet<PortName>, suspects: Arc<Suspects>) {
    let by_name: BTreeMap<&str, &PortName> = ports.iter().map(|port| (port.as_str(), port)).collect();
    loop {
        match rtnetlink::new_multicast_connection(&[MulticastGroup::Link]) {
            Err(error) => tracing::warn!(%error, "cannot listen for changes of ports: they are read by the clock alone"),
            Ok((connection, _handle, mut notes)) => {
                let connection = tokio::spawn(connection);
                // what happened before is found by looking
                suspects.add(&ports);
                while let Some((note, _)) = notes.next().await {
                    match note.payload {
                        NetlinkPayload::InnerMessage(
                            RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message),
                        ) => {
                            let known = name(&message).and_then(|name| by_name.get(name));
                            if let Some(port) = known {
                                tracing::trace!(%port, bridge = message.header.interface_family == AddressFamily::Bridge, "changed");
                                suspects.add([*port]);
                            }
                        }
                        NetlinkPayload::InnerMessage(_) | NetlinkPayload::Done(_) | NetlinkPayload::Noop => {}
                        _ => suspects.add(&ports),
                    }
                }
                connection.abort();
            }
        }
        tokio::time::sleep(RELISTEN_PAUSE).await;
    }
}
