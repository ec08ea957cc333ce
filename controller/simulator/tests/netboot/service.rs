//! The boot service in a hall: its own code from the gate down, over a disk, a shelf, clocks and chance of the world; and a controller's
//! hand, which asks as the wire would.

use crate::hall::Provisioning;
use async_trait::async_trait;
use boot::desk::Desk;
use boot::device::BootDevice;
use boot::disk::{Disk, Kept};
use boot::service::Agent;
use boot::shelf::{Reader, Shelf};
use boot::{Config, Outside, dhcp_wire, http};
use bytes::Bytes;
use contract::agent::{Client, Readopt};
use contract::gate::{self, Clock, Gate, Identity};
use http_body_util::BodyExt as _;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vocabulary::boot::{BootContact, BootMethod, Permit, PermitNic, PermitRoot};
use vocabulary::request::{Action, AgentError, Answer, GateEntry, Holder, Request, Resource, Token};
use vocabulary::storage::{InitiatorName, Path as Way};
use vocabulary::{AgentBootId, Epoch, EstateUuid, Lineage, Mac, MachineId, OpId, PlanId, Secret, Span, WallTime};
use world::Dice;
use world::machine::Page;

pub const KERNEL_BYTES: usize = 300_000;
pub const INITRD_BYTES: usize = 70_000;
const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);

/// A disk that can be put back to what it was.
pub struct Paper<K>(Mutex<BTreeMap<K, Vec<u8>>>);

impl<K> Default for Paper<K> {
    fn default() -> Paper<K> {
        Paper(Mutex::default())
    }
}

impl<K: Ord + Clone> Paper<K> {
    pub fn copy(&self) -> BTreeMap<K, Vec<u8>> {
        self.0.lock().unwrap().clone()
    }

    pub fn put_back(&self, earlier: BTreeMap<K, Vec<u8>>) {
        *self.0.lock().unwrap() = earlier;
    }

    fn get(&self, what: &K) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(what).cloned()
    }

    fn put(&self, what: K, bytes: Vec<u8>) {
        self.0.lock().unwrap().insert(what, bytes);
    }
}

#[async_trait]
impl Disk for Paper<Kept> {
    fn machines(&self) -> io::Result<Vec<String>> {
        let kept = self.0.lock().unwrap();
        Ok(kept.keys().filter_map(|what| if let Kept::Machine(name) = what { Some(name.clone()) } else { None }).collect())
    }
    fn read(&self, what: &Kept) -> io::Result<Option<Vec<u8>>> {
        Ok(self.get(what))
    }
    async fn replace(self: Arc<Self>, what: Kept, bytes: Vec<u8>) -> io::Result<()> {
        tokio::time::sleep(Duration::from_millis(7)).await;
        self.put(what, bytes);
        Ok(())
    }
    fn place(&self, what: &Kept) -> PathBuf {
        format!("{what:?}").into()
    }
}

#[async_trait]
impl gate::Disk for Paper<gate::Kept> {
    fn read(&self, what: gate::Kept) -> io::Result<Option<Vec<u8>>> {
        Ok(self.get(&what))
    }
    fn replace(&self, what: gate::Kept, bytes: &[u8]) -> io::Result<()> {
        self.put(what, bytes.to_vec());
        Ok(())
    }
    async fn replace_beside(self: Arc<Self>, what: gate::Kept, bytes: Vec<u8>) -> io::Result<()> {
        tokio::time::sleep(Duration::from_millis(7)).await;
        self.put(what, bytes);
        Ok(())
    }
    fn keep_aside(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn place(&self) -> PathBuf {
        "paper".into()
    }
    fn home(&self) -> io::Result<String> {
        Ok("here".into())
    }
}

/// Kernels, initrds and iPXE, by the end of their paths.
struct Images;

struct Image {
    at: usize,
    length: usize,
}

impl Images {
    fn there(path: &Path) -> io::Result<Image> {
        let length = match path.file_name().and_then(|name| name.to_str()) {
            Some("kernel") => KERNEL_BYTES,
            Some("initrd") => INITRD_BYTES,
            Some("snponly.efi") => 180_000,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Image { at: 0, length })
    }
}

#[async_trait]
impl Shelf for Images {
    async fn length(&self, path: &Path) -> io::Result<u64> {
        Images::there(path).map(|image| image.length as u64)
    }
    async fn open(&self, path: &Path) -> io::Result<Box<dyn Reader>> {
        Ok(Box::new(Images::there(path)?))
    }
}

#[async_trait]
impl Reader for Image {
    fn length(&self) -> u64 {
        self.length as u64
    }
    async fn seek(&mut self, to: u64) -> io::Result<()> {
        self.at = usize::try_from(to).unwrap();
        Ok(())
    }
    async fn read(&mut self, most: usize) -> io::Result<Bytes> {
        tokio::time::sleep(Duration::from_micros(300)).await;
        let piece = most.min(self.length - self.at);
        self.at += piece;
        Ok(Bytes::from(vec![7; piece]))
    }
}

struct Ticks(Instant);

impl Clock for Ticks {
    fn tick(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

struct Running {
    agent: Agent,
    desk: Arc<Desk>,
    _tasks: JoinSet<()>,
}

/// The service's host, and the controller that asks it.
pub struct Service {
    pub permits: Arc<Paper<Kept>>,
    pub gate: Arc<Paper<gate::Kept>>,
    dice: Dice,
    begun: Instant,
    lives: Mutex<u32>,
    running: Mutex<Option<Running>>,
    numbers: Mutex<u64>,
    /// Pages that were asked for, with the status of each; 0 where the client was hung up on.
    asked: Mutex<Vec<(Ipv4Addr, String, u16)>>,
}

impl Service {
    pub async fn start(seed: u64) -> Arc<Service> {
        let service = Service {
            permits: Arc::default(),
            gate: Arc::default(),
            dice: Dice::of(seed, "boot service"),
            begun: Instant::now(),
            lives: Mutex::new(0),
            running: Mutex::new(None),
            numbers: Mutex::new(0),
            asked: Mutex::new(Vec::new()),
        };
        service.restart().await;
        let vouch = Action::Vouch {
            boot: service.hello().await.0,
            estate: estate(),
            lineage: lineage(),
            controller: vocabulary::ControllerLife::default(),
            current: true,
        };
        service.agent().call(Request { token: None, action: vouch }).await.unwrap();
        // it takes its permits up
        tokio::time::sleep(Duration::from_millis(1)).await;
        Arc::new(service)
    }

    /// Ends it as a power cut would, and starts it anew on what lies on its disks. No controller says anything to it by itself.
    pub async fn restart(&self) {
        drop(self.running.lock().unwrap().take());
        let life = {
            let mut lives = self.lives.lock().unwrap();
            *lives += 1;
            *lives
        };
        let config: Config = serde_json::from_str(
            r#"{"bundle":"none","state_dir":"none","interface":"none","address":"10.10.0.1/24","images_dir":"images",
            "machines":{"m1":{"provisioning_mac":"52:54:00:0c:01:01"},"m3":{"provisioning_mac":"52:54:00:0c:03:01"}},
            "ipxe":{"bios":"undionly.kpxe","uefi":"snponly.efi"}}"#,
        )
        .unwrap();
        let (begun, dice) = (self.begun, self.dice.clone());
        let elapsed = move || u64::try_from(begun.elapsed().as_millis()).unwrap();
        let outside = Outside {
            disk: self.permits.clone(),
            shelf: Arc::new(Images),
            since_boot: Arc::new(move || 100_000 + elapsed()),
            host_boot: "the only one".to_owned(),
            wall: Arc::new(move || WallTime(1_790_000_000_000 + elapsed())),
            random: Arc::new(move |bytes| dice.fill(bytes)),
        };
        let desk = Arc::new(Desk::open_with(config, outside).unwrap());
        let identity = Identity::in_process("boot1".parse().unwrap(), estate(), lineage(), life == 1);
        let (clock, boot) = (Arc::new(Ticks(Instant::now())), AgentBootId(format!("life-{life}")));
        let gate = Gate::open_on(self.gate.clone(), identity, BootDevice::new(desk.clone()), clock, boot).unwrap();
        let agent = Agent::begin(gate);
        let mut tasks = JoinSet::new();
        let (age, trust) = (agent.clone().keep_age(), agent.clone().keep_serving());
        tasks.spawn(async move { age.await.unwrap() });
        tasks.spawn(async move { trust.await.unwrap() });
        *self.running.lock().unwrap() = Some(Running { agent, desk, _tasks: tasks });
    }

    fn agent(&self) -> Agent {
        self.running.lock().unwrap().as_ref().unwrap().agent.clone()
    }

    pub fn desk(&self) -> Arc<Desk> {
        self.running.lock().unwrap().as_ref().unwrap().desk.clone()
    }

    /// A controller asks how it is.
    pub async fn hello(&self) -> (AgentBootId, u64, bool) {
        match self.agent().call(Request { token: None, action: Action::Hello }).await.unwrap() {
            Answer::Hello(hello) => (hello.boot, hello.tick, hello.trusted),
            other => panic!("{other:?}"),
        }
    }

    async fn act(&self, epoch: Epoch, action: Action) -> Result<Answer, AgentError> {
        let (agent_boot, tick, _) = self.hello().await;
        let number = {
            let mut numbers = self.numbers.lock().unwrap();
            *numbers += 1;
            *numbers
        };
        let token = Token {
            estate: estate(),
            lineage: lineage(),
            controller: vocabulary::ControllerLife::default(),
            plan: PlanId(epoch),
            step: "test".to_owned(),
            epoch,
            op: OpId { epoch, number },
            agent_boot,
            expires_tick: tick + 10_000,
        };
        self.agent().call(Request { token: Some(token), action }).await
    }

    pub async fn grant(&self, permit: &Permit) {
        self.act(permit.epoch, Action::GrantPermit { permit: Box::new(permit.clone()) }).await.unwrap();
    }

    pub async fn revoke(&self, machine: &MachineId, epoch: u64) {
        self.act(Epoch(epoch), Action::RevokePermit { machine: machine.clone() }).await.unwrap();
    }

    /// The operator's `agent readopt` with a ledger in which this permit stands.
    pub async fn readopt(&self, permit: &Permit) {
        let Permit { server, machine, plan, epoch, .. } = permit.clone();
        let entry = GateEntry {
            resource: Resource::Permit(machine.clone()),
            epoch,
            plan: Some(plan),
            holder: Some(Holder { server, machine, plan }),
            barred: None,
            done: Some(0),
        };
        let seed =
            Readopt { estate: estate(), lineage: lineage(), controller: None, floor: epoch, entries: vec![entry], ports: vec![] };
        self.agent().readopt(seed).await.unwrap();
    }

    pub fn contacts(&self) -> Vec<BootContact> {
        self.desk().contacts().after(0)
    }

    /// The pages of that name that were asked for, with the status of each.
    pub fn asked(&self, name: &str) -> Vec<(String, u16)> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(_, path, _)| path.ends_with(name)).map(|(_, path, status)| (path.clone(), *status)).collect()
    }
}

#[async_trait]
impl Provisioning for Service {
    fn dhcp(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let desk = self.desk();
        let reply = dhcp_wire::answer(&desk, &dhcp_wire::site(desk.config()), packet)?;
        let (to, datagram) = dhcp_wire::framed((OWN_ADDRESS, 67), &reply).unwrap();
        Some([&to.0[..], &OWN.0, &[8, 0], &datagram].concat())
    }

    async fn page(&self, from: Ipv4Addr, path: &str) -> Option<Page> {
        let request = ::http::Request::get(path).body(()).unwrap();
        let response = http::served(&self.desk(), &request, from.into()).await;
        let status = response.as_ref().map_or(0, |response| response.status().as_u16());
        self.asked.lock().unwrap().push((from, path.to_owned(), status));
        let body = response?.into_body().collect().await.unwrap().to_bytes().to_vec();
        Some(Page { status, body })
    }
}

fn estate() -> EstateUuid {
    EstateUuid("e1".to_owned())
}

fn lineage() -> Lineage {
    Lineage("l1".to_owned())
}

/// The permit of machine `m<n>` for `web1`.
pub fn permit(n: u8, epoch: u64, method: BootMethod) -> Permit {
    let nic = |role: &str, mac: u8, net: u8| {
        let address = format!("10.{net}.0.11/24").parse().ok();
        (role.parse().unwrap(), PermitNic { mac: Mac(crate::hall::nic(n, mac)), address, mtu: Some(9000) })
    };
    let server = "web1".parse().unwrap();
    Permit {
        machine: format!("m{n}").parse().unwrap(),
        epoch: Epoch(epoch),
        plan: PlanId(Epoch(epoch)),
        method,
        image: "web-kernel".parse().unwrap(),
        nics: [nic("provisioning", 1, 10), nic("storage", 2, 30), nic("production", 3, 20)].into(),
        root: PermitRoot {
            path: Way { portal: "10.30.0.1:3260".parse().unwrap(), target: crate::hall::TARGET.to_owned(), lun: 1 },
            initiator: InitiatorName::of_placement(&server, Epoch(epoch)),
            user: "web1".to_owned(),
            secret: Secret::new(format!("chap-secret-{epoch:04}")),
        },
        arguments: "quiet panic=-1".to_owned(),
        lease: Span::seconds(7 * 86_400),
        server,
    }
}
