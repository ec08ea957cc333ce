//! A server's operating system: it learns who it is, mounts the root volume, takes up its address, and writes numbered records, each
//! acknowledged to its clients only when the target has it. It must never acknowledge what is not on the volume, nor anything again after
//! one write that failed; and it never writes a record over one that is there.

use super::cables::{Login, Root, Source};
use super::dhcp::Client;
use super::firmware::{self, Handed};
use super::frames::{self, EVERYBODY};
use super::initiator::{Failed, Initiator};
use super::ipxe::{self, Interface, Table};
use super::limits::{
    ANNOUNCE_PAUSE, ANNOUNCEMENTS, CLAIM_BYTES_MAX, CLAIM_PAUSE, CLAIM_TRIES, FAILED_BOOT_PAUSE, HTTP_PATIENCE, LEASE_PAUSE,
    LOGIN_PATIENCE, ORDERS_MAX, RECORDS_MAX,
};
use super::trace::Event;
use super::{End, Order, Run, Service, Stage};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::pin;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Where acknowledgements go: the clients' port in the production network, by broadcast, so that whoever is there hears them.
pub const CLIENTS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, 7777);

/// What a claim says, `KEY=value` a line.
#[derive(Clone)]
pub struct Facts(BTreeMap<String, String>);

impl Facts {
    fn parse(text: &str) -> Facts {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Facts(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn need(&self, key: &str) -> Result<&str, String> {
        self.get(key).ok_or_else(|| format!("the claim has no {key}"))
    }

    fn login(&self) -> Result<(SocketAddrV4, Login), String> {
        let portal = self.need("PORTAL")?.parse().map_err(|_| "the claim's portal is none")?;
        let account = self.get("CHAP_USER").zip(self.get("CHAP_PASSWORD"));
        let login = Login {
            initiator: self.need("INITIATOR")?.to_owned(),
            target: self.need("TARGET")?.to_owned(),
            lun: self.need("LUN")?.parse().map_err(|_| "the claim's LUN is none")?,
            account: account.map(|(user, secret)| (user.to_owned(), secret.to_owned())),
        };
        Ok((portal, login))
    }

    /// The NIC of a role with its address.
    fn nic(&self, run: &Run, role: &str) -> Result<Interface, String> {
        let mac = self.need(&format!("NIC_{role}_MAC"))?;
        let nic = run.build().nics.iter().find(|nic| nic.map(|byte| format!("{byte:02x}")).join(":") == mac);
        let nic = nic.ok_or_else(|| format!("this machine has no NIC {mac}"))?;
        let (address, mask) =
            network(self.need(&format!("NIC_{role}_ADDRESS"))?).ok_or_else(|| format!("no address for {role}"))?;
        Ok(Interface { address: Some(address), mask, open: true, ..Interface::closed(*nic) })
    }
}

/// Address and mask of `ADDRESS/PREFIX`.
fn network(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse::<u32>().ok().filter(|prefix| *prefix <= 32)?;
    Some((address.parse().ok()?, Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - prefix).unwrap_or(0))))
}

/// A system whose root is mounted.
struct Up<'r> {
    initiator: Initiator<'r>,
    server: String,
    incarnation: u64,
    last: u64,
    production: Source,
    /// It holds its provisioning address by DHCP, since nobody told it that address.
    holds_lease: bool,
}

/// Runs a system until the machine is reset or off.
pub async fn run(run: &Run, handed: Handed) -> End {
    let _kernel = run.kernel();
    run.happened(Event::System);
    run.reached(Stage::SystemStarted);
    run.sleep(run.build().times.kernel).await;
    match begin(run, handed).await {
        Ok(up) => serve(run, up).await,
        Err(why) => {
            run.happened(Event::BootFailed(why));
            sleep(FAILED_BOOT_PAUSE).await;
            End::Reset
        }
    }
}

async fn begin(run: &Run, handed: Handed) -> Result<Up<'_>, String> {
    match handed {
        Handed::Kernel(line) => {
            let facts = claimed(run, &line).await?;
            run.happened(Event::Claimed(facts.need("SERVER")?.to_owned()));
            run.remember(&facts);
            by_facts(run, &facts).await
        }
        Handed::Disk => by_facts(run, &run.remembered().ok_or("nothing is installed")?).await,
        Handed::San(table) => by_table(run, table).await,
    }
}

/// As a server's initrd does it: the storage NIC, the volume, then the server's own address.
async fn by_facts<'r>(run: &'r Run, facts: &Facts) -> Result<Up<'r>, String> {
    let (portal, login) = facts.login()?;
    let storage = facts.nic(run, "STORAGE")?;
    let from = ipxe::route(std::slice::from_ref(&storage), *portal.ip()).ok_or("the portal is not in the storage network")?;
    let production = facts.nic(run, "PRODUCTION")?;
    let production = Source { nic: production.mac, address: production.address.ok_or("no production address")? };
    let (initiator, _) = mounted(run, from, portal, login).await?;
    up(run, initiator, facts.need("SERVER")?.to_owned(), production, false).await
}

/// A system that its firmware booted from the volume: the volume says who it is; production is the last NIC.
async fn by_table(run: &Run, table: Table) -> Result<Up<'_>, String> {
    let (initiator, root) = mounted(run, table.from, table.portal, table.login).await?;
    let nic = *run.build().nics.last().ok_or("no NIC")?;
    let address = root.production.ok_or("the volume names no production address")?.0;
    up(run, initiator, root.server, Source { nic, address }, true).await
}

async fn mounted(run: &Run, from: Source, portal: SocketAddrV4, login: Login) -> Result<(Initiator<'_>, Root), String> {
    let initiator = Initiator::log_in(run, from, portal, login).await.map_err(|why| format!("login: {why:?}"))?;
    let session = initiator.present().ok_or("the session is lost")?;
    match timeout(LOGIN_PATIENCE, run.cables().root(session)).await {
        Ok(Ok(Some(root))) => Ok((initiator, root)),
        Ok(Ok(None)) => Err("the volume holds no file system".to_owned()),
        Ok(Err(_)) | Err(_) => Err("the volume is gone".to_owned()),
    }
}

async fn up<'r>(
    run: &'r Run,
    mut initiator: Initiator<'r>,
    server: String,
    production: Source,
    holds_lease: bool,
) -> Result<Up<'r>, String> {
    let last = last_record(&mut initiator).await.map_err(|Failed| "the volume cannot be read")?;
    run.happened(Event::Mounted { last });
    run.sleep(run.build().times.system).await;
    // never 0, which is a block that was never written
    let incarnation = u64::from(run.number()) + 1;
    Ok(Up { initiator, server, incarnation, last, production, holds_lease })
}

/// The number of the last record: the log has no holes.
async fn last_record(initiator: &mut Initiator<'_>) -> Result<u64, Failed> {
    let (mut there, mut empty) = (0, 1);
    while empty < RECORDS_MAX && initiator.read(empty).await? != 0 {
        (there, empty) = (empty, empty * 2);
    }
    while empty - there > 1 {
        let middle = there + (empty - there) / 2;
        if initiator.read(middle).await? == 0 { empty = middle } else { there = middle }
    }
    Ok(there)
}

async fn claimed(run: &Run, line: &str) -> Result<Facts, String> {
    let word = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let claim = word("understudy.claim").ok_or("the command line names no claim")?;
    let (server, path) = ipxe::url(claim).ok_or("the claim's address is none")?;
    let mac = word("understudy.mac").ok_or("the command line names no NIC")?;
    let nic = run.build().nics.iter().find(|nic| nic.map(|byte| format!("{byte:02x}")).join(":") == mac);
    let (address, _) = word("understudy.ip").and_then(network).ok_or("the command line names no address")?;
    let from = Source { nic: *nic.ok_or("this machine has no such NIC")?, address };
    for _ in 0..CLAIM_TRIES {
        match timeout(HTTP_PATIENCE, run.cables().get(from, server, path)).await {
            Ok(Ok(page)) if page.status == 200 && page.body.len() <= CLAIM_BYTES_MAX => {
                return Ok(Facts::parse(&String::from_utf8_lossy(&page.body)));
            }
            Ok(Ok(page)) => return Err(format!("the claim: status {}", page.status)),
            Ok(Err(_)) | Err(_) => sleep(CLAIM_PAUSE).await,
        }
    }
    Err("the claim: no answer".to_owned())
}

async fn serve(run: &Run, mut up: Up<'_>) -> End {
    let (sender, mut orders) = mpsc::channel(ORDERS_MAX);
    let Up { server, incarnation, last, production, .. } = &up;
    let (incarnation, production, holds_lease) = (*incarnation, *production, up.holds_lease);
    let service = Service { server: server.clone(), incarnation, last: *last, failed: false, crashed: false, at: production };
    let standing = run.stand(service, sender);
    run.happened(Event::Serves { server: up.server.clone(), incarnation });
    run.reached(Stage::SystemRuns);
    let order = {
        let (mut writes, mut answers) = (pin!(write(run, &mut up)), pin!(answer_arp(run, production)));
        let (mut announces, mut holds) = (pin!(announce(run, production)), pin!(hold_lease(run)));
        let mut crashed = false;
        loop {
            tokio::select! {
                // an order first: a record that is due at the same instant is not begun any more
                biased;
                order = orders.recv() => match order.unwrap_or(Order::PowerOff) {
                    Order::Crash => {
                        crashed = true;
                        run.happened(Event::Crashed);
                        run.service(|service| service.crashed = true);
                    }
                    order => break order,
                },
                // what was on its way to the volume stays there; nobody waits for it
                () = &mut writes, if !crashed => break Order::Reboot,
                () = &mut answers => break Order::Reboot,
                () = &mut announces => break Order::Reboot,
                () = &mut holds, if holds_lease => break Order::Reboot,
            }
        }
    };
    run.happened(Event::Stops);
    drop(standing);
    run.sleep(run.build().times.stop).await;
    up.initiator.log_out().await;
    match order {
        Order::PowerOff => End::Off,
        Order::Reboot | Order::Crash => End::Reset,
    }
}

/// Writes records until a write fails; then the initiator goes on trying, and nothing else. Never returns.
async fn write(run: &Run, up: &mut Up<'_>) {
    let mut next = Instant::now();
    loop {
        let number = up.last + 1;
        if up.initiator.write(number, up.incarnation).await.is_err() {
            run.happened(Event::VolumeFailed);
            run.service(|service| service.failed = true);
            up.initiator.keep_trying().await;
        }
        up.last = number;
        run.service(|service| service.last = number);
        let line = format!("{} {:x} {number}\n", up.server, up.incarnation);
        let from = SocketAddrV4::new(up.production.address, CLIENTS.port());
        run.cables().send(up.production.nic, frames::udp((up.production.nic, EVERYBODY), from, CLIENTS, line.as_bytes()));
        next = (next + run.build().times.record_every).max(Instant::now());
        sleep_until(next).await;
    }
}

/// Gets its provisioning address from whoever gives addresses, and keeps it: asks again after half of the lease. Never returns.
async fn hold_lease(run: &Run) {
    loop {
        let Some(mut lease) = firmware::lease(run, Client::System).await else {
            sleep(LEASE_PAUSE).await;
            continue;
        };
        loop {
            sleep((lease.lease / 2).max(LEASE_PAUSE)).await;
            match firmware::renewed(run, lease.address).await {
                Some(longer) => lease = longer,
                None => break,
            }
        }
    }
}

/// Never returns.
async fn answer_arp(run: &Run, at: Source) {
    loop {
        let frame = run.cables().receive(at.nic).await;
        if let Some(answer) = frames::arp_answer(at.nic, at.address, &frame) {
            run.cables().send(at.nic, answer);
        }
    }
}

/// Tells the network where the address is now. Never returns.
async fn announce(run: &Run, at: Source) {
    for _ in 0..ANNOUNCEMENTS {
        run.cables().send(at.nic, frames::announcement(at.nic, at.address));
        sleep(ANNOUNCE_PAUSE).await;
    }
    std::future::pending().await
}
