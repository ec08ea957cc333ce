//! A machine's firmware: it tests itself for a while, then tries its boot devices in order, for ever: the network by DHCP and a script or
//! by HTTP, and its local disk. It knows nobody and remembers nothing. It must never go on without an answer.

use super::cables::Mac;
use super::dhcp::{self, Answer, Ask, CLIENT_PORT, Client, Kind, SERVER_PORT};
use super::frames::{self, EVERYBODY};
use super::ipxe::{self, Fault, Interface, Outcome, Shell, Table};
use super::limits::{DHCP_WAITS, HTTP_PATIENCE};
use super::trace::Event;
use super::{BootDevice, Run, Stage};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// What firmware hands over to.
#[derive(Clone, Debug)]
pub enum Handed {
    /// A kernel and its initrd, with this command line.
    Kernel(String),
    /// A disk in the network.
    San(Table),
    /// What is installed on the local disk.
    Disk,
}

/// What became of a boot device.
enum Tried {
    Nothing,
    Reset,
    Over(Handed),
}

/// From the reset vector to a system; `None`: the machine is reset.
pub async fn boot(run: &Run, first: Option<BootDevice>) -> Option<Handed> {
    let times = &run.build().times;
    run.happened(Event::Post);
    run.sleep(times.post).await;
    run.reached(Stage::HardwareInitialized);
    let mut first = first;
    loop {
        let order = first.take().into_iter().chain(run.build().order.iter().copied());
        for device in order {
            let tried = match device {
                BootDevice::Network => script(run).await,
                BootDevice::Http => http(run).await,
                BootDevice::Disk if run.remembers() => Tried::Over(Handed::Disk),
                BootDevice::Disk => Tried::Nothing,
            };
            match tried {
                Tried::Over(handed) => return Some(handed),
                Tried::Reset => return None,
                Tried::Nothing => run.happened(Event::NotBootable(device)),
            }
        }
        run.sleep(times.between_boots).await;
    }
}

fn provisioning(run: &Run) -> Option<Mac> {
    run.build().nics.first().copied()
}

/// The NICs after this lease for the first.
fn interfaces(run: &Run, lease: &Answer) -> Vec<Interface> {
    let mut all: Vec<Interface> = run.build().nics.iter().map(|mac| Interface::closed(*mac)).collect();
    if let Some(one) = all.first_mut() {
        *one = Interface { address: Some(lease.address), mask: lease.mask, open: true, ..one.clone() };
    }
    all
}

/// iPXE, from a NIC's own memory.
async fn script(run: &Run) -> Tried {
    let Some(lease) = lease(run, Client::Ipxe).await else { return Tried::Nothing };
    let Some(address) = &lease.file else { return Tried::Nothing };
    match Shell::new(run, interfaces(run, &lease)).script(address).await {
        Ok(Outcome::Kernel(line)) => Tried::Over(Handed::Kernel(line)),
        Ok(Outcome::San(table)) => Tried::Over(Handed::San(table)),
        Ok(Outcome::Reboot) => Tried::Reset,
        Err(Fault::Failed(why)) => {
            run.happened(Event::ScriptFailed(why));
            Tried::Nothing
        }
        Err(Fault::Unknown(what)) => {
            run.happened(Event::ScriptUnknown(what));
            Tried::Nothing
        }
    }
}

/// UEFI's own HTTP boot: it fetches a program, and that is iPXE.
async fn http(run: &Run) -> Tried {
    let Some(lease) = lease(run, Client::Http).await else { return Tried::Nothing };
    let Some((server, path)) = lease.file.as_deref().and_then(ipxe::url) else { return Tried::Nothing };
    let Some(from) = ipxe::route(&interfaces(run, &lease), *server.ip()) else { return Tried::Nothing };
    match timeout(HTTP_PATIENCE, run.cables().get(from, server, path)).await {
        Ok(Ok(page)) if page.status == 200 && !page.body.is_empty() => {
            run.happened(Event::Image { bytes: page.body.len() });
            script(run).await
        }
        _ => Tried::Nothing,
    }
}

/// An address and what to boot: DISCOVER until there is an offer, REQUEST until it is acknowledged.
pub async fn lease(run: &Run, client: Client) -> Option<Answer> {
    let mac = provisioning(run)?;
    let transaction = run.number();
    let offer = asked(run, mac, transaction, client, Ask::Discover, Kind::Offer).await?;
    run.happened(Event::Offered(offer.address));
    let request = Ask::Request { server: offer.server, address: offer.address };
    let lease = asked(run, mac, transaction, client, request, Kind::Ack).await?;
    run.happened(Event::Leased(lease.address));
    Some(lease)
}

/// The same address for longer, asked of whoever gives addresses there (RFC 2131, 4.4.5, REBINDING).
pub async fn renewed(run: &Run, address: Ipv4Addr) -> Option<Answer> {
    let lease = asked(run, provisioning(run)?, run.number(), Client::System, Ask::Renew { address }, Kind::Ack).await?;
    run.happened(Event::Renewed(lease.address));
    Some(lease)
}

async fn asked(run: &Run, mac: Mac, transaction: u32, client: Client, ask: Ask, wanted: Kind) -> Option<Answer> {
    let packet = dhcp::question(mac, transaction, client, ask);
    for wait in DHCP_WAITS {
        let own = match ask {
            Ask::Renew { address } => address,
            Ask::Discover | Ask::Request { .. } => {
                run.happened(if ask == Ask::Discover { Event::Discover } else { Event::Request });
                Ipv4Addr::UNSPECIFIED
            }
        };
        let (from, to) = (SocketAddrV4::new(own, CLIENT_PORT), SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT));
        run.cables().send(mac, frames::udp((mac, EVERYBODY), from, to, &packet));
        match answered(run, mac, transaction, wait).await {
            Some(answer) if answer.kind == wanted => return Some(answer),
            Some(answer) if answer.kind == Kind::Nak => return None,
            Some(_) | None => {}
        }
    }
    None
}

/// The first answer to this transaction within that time.
async fn answered(run: &Run, mac: Mac, transaction: u32, wait: Duration) -> Option<Answer> {
    let deadline = Instant::now() + wait;
    loop {
        let frame = timeout_at(deadline, run.cables().receive(mac)).await.ok()?;
        let mine = frames::destination(&frame).is_some_and(|to| to == mac || to == EVERYBODY);
        let datagram = frames::datagram(&frame).filter(|datagram| mine && datagram.to.port() == CLIENT_PORT);
        if let Some(answer) = datagram.and_then(|datagram| dhcp::answer(&datagram.payload, mac, transaction)) {
            return Some(answer);
        }
    }
}
