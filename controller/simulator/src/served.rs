//! A hall in real time and on real sockets: BMCs over TLS and UDP, agents on the wire, services at addresses that clients reach. The equipment
//! is the simulated one. It must never outlive its object, nor touch anything but its block of loopback addresses and its folder.

use crate::agents::{AgentHost, Fault};
use crate::clients::{Clients, Judged};
use crate::door::{self, Behind};
use crate::life::Life;
use crate::limits::BUNDLE_EVERY;
use crate::loopback::{self, Block};
use crate::plant::{self, Around, Crew, PASSWORD, Plant};
use bmc_sim::Berth;
use check::Checker;
use contract::check::Vantage;
use contract::wire::{self, Bundle, Credentials, EnrolError};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vocabulary::estate::{self, BmcProtocol, Estate};
use vocabulary::{AgentId, MachineId};
use world::Wall;
use world::bmc::Ports;
use world::machine::{Accident, Event, Times};

/// The folder of the estate's documents.
const ESTATE: &str = "estate";
/// Where the agents' enrolment bundles are looked for.
const AGENTS: &str = "agents";
/// Blocks that may be taken; those below and above are others'.
const BLOCKS: std::ops::Range<u8> = 32..224;

/// A line of a machine's console.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Line {
    /// When, milliseconds since 1970.
    pub at: u64,
    /// What.
    pub text: String,
}

/// See the module.
pub struct Served {
    plant: Plant,
    clients: Arc<Clients>,
    estate: Estate,
    block: Block,
    seed: u64,
    folder: PathBuf,
    /// Milliseconds since 1970 when the machines were made.
    begun: u64,
    hosts: BTreeMap<AgentId, AgentHost>,
    tasks: JoinSet<()>,
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Short times, so that somebody may look on: a self-test of real firmware takes minutes. But it takes longer than from one look at the
/// machine's power to the next, as that does: what serves was seen to be on.
pub fn times(power_every: Duration) -> Times {
    let ms = Duration::from_millis;
    Times {
        post: (power_every + ms(500), power_every + ms(1_500)),
        falls: (ms(0), ms(200)),
        between_boots: (ms(1_000), ms(2_000)),
        kernel: (ms(500), ms(1_000)),
        system: (ms(500), ms(1_000)),
        stop: (ms(500), ms(1_000)),
        record_every: ms(200),
        replacement: ms(5_000),
    }
}

/// Takes a block that nobody has, as far as is seen; it is kept as long as the listener.
async fn free_block() -> Result<(Block, TcpListener), Fault> {
    let count = u32::from(BLOCKS.end - BLOCKS.start);
    let from = std::process::id();
    for number in (0..count).map(|step| from.wrapping_add(step) % count) {
        let block = Block(BLOCKS.start + u8::try_from(number)?);
        if let Ok(listener) = TcpListener::bind(block.canary()).await {
            return Ok((block, listener));
        }
    }
    Err("no block of loopback addresses is free: end other halls".into())
}

/// Writes the documents of an estate and the BMCs' password; the folder's user alone may read that.
pub fn write_documents(estate: &Estate, folder: &Path) -> Result<(), Fault> {
    for (name, text) in catalogue::estate_to_yaml(estate).map_err(|fault| fault.to_string())? {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    let secrets = folder.join("secrets");
    std::fs::create_dir_all(&secrets)?;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create_new(true).write(true).mode(0o600).open(secrets.join("bmc"))?;
    Ok(writeln!(file, "{PASSWORD}")?)
}

fn berth(id: &MachineId, machine: &estate::Machine) -> Result<Berth, Fault> {
    let address = machine.bmc.address;
    Ok(match machine.bmc.protocol {
        BmcProtocol::Redfish => Berth::redfish(id.as_str(), address)?,
        BmcProtocol::Ipmi => Berth::ipmi(id.as_str(), address)?,
    })
}

impl Served {
    /// Raises a hall of so many machines, and writes its documents into this folder. Agents do not run yet.
    pub async fn raise(machines: usize, folder: &Path) -> Result<Served, Fault> {
        let (block, canary) = free_block().await?;
        let hall = loopback::hall(machines);
        let estate = loopback::estate(&hall, block).ok_or("the hall has no estate")?;
        write_documents(&estate, &folder.join(ESTATE))?;
        let seed = u64::from(std::process::id());
        let ports = |machine: &estate::Machine| {
            let redfish = machine.bmc.protocol == BmcProtocol::Redfish;
            Ports { redfish, ipmi: !redfish }
        };
        let around = Around {
            seed,
            wall: Wall::of_the_machine(),
            times: times(estate.settings.detection.power_every.as_duration()),
            firmware: hall.firmware,
            address_lease: hall.address_lease,
            ports: &ports,
        };
        let begun = wall_ms();
        let plant = Plant::raise(&estate, &around)?;
        let clients = Arc::new(Clients::default());
        plant.fabric.judge_by(clients.clone());
        plant.fabric.keep_nothing_told();
        let folder = folder.to_owned();
        let (hosts, tasks) = (BTreeMap::new(), JoinSet::new());
        let mut served = Served { plant, clients, estate, block, seed, folder, begun, hosts, tasks };
        served.tasks.spawn(async move { while canary.accept().await.is_ok() {} });
        served.open_bmcs()?;
        served.open_doors().await?;
        Ok(served)
    }

    fn open_bmcs(&mut self) -> Result<(), Fault> {
        for (id, machine) in &self.estate.machines {
            let stand = self.plant.stands.get(id).ok_or("a machine has no stand")?;
            self.tasks.spawn(berth(id, machine)?.serve(stand.bmc.clone())?);
        }
        Ok(())
    }

    async fn open_doors(&mut self) -> Result<(), Fault> {
        let Plant { fabric, machines, .. } = &self.plant;
        let behind = Behind { fabric: fabric.clone(), machines: machines.clone() };
        let (productions, mut doors) = (plant::productions(&self.estate), BTreeMap::new());
        for (server, at) in self.services() {
            let (to, _) = productions.get(&server).ok_or("a server has no address")?;
            let listener = TcpListener::bind(at).await?;
            let (door, open) = watch::channel(false);
            doors.insert(*to, door);
            self.tasks.spawn(door::serve(listener, *to, behind.clone(), open));
        }
        self.tasks.spawn(door::keep(behind, doors));
        Ok(())
    }

    /// The settings of its estate.
    pub fn settings(&self) -> &estate::Settings {
        &self.estate.settings
    }

    /// Where the services are met.
    pub fn services(&self) -> BTreeMap<String, SocketAddr> {
        let number = |name: &str| name.strip_prefix("web")?.parse().ok();
        self.estate.servers.keys().filter_map(|id| Some((id.to_string(), self.block.service(number(id.as_str())?)))).collect()
    }

    /// The agents by name, and where their bundles are looked for.
    pub fn bundles(&self) -> BTreeMap<String, PathBuf> {
        let names = self.estate.switches.keys().map(ToString::to_string);
        let names = names.chain(self.estate.storages.keys().map(ToString::to_string));
        let names = names.chain(self.estate.boot_services.keys().map(ToString::to_string));
        names.map(|name| (name.clone(), self.folder.join(AGENTS).join(format!("{name}.json")))).collect()
    }

    fn address_of(&self, agent: &str) -> Option<SocketAddr> {
        let switch = self.estate.switches.iter().find(|(id, _)| id.as_str() == agent).map(|(_, switch)| switch.agent);
        let storage = self.estate.storages.iter().find(|(id, _)| id.as_str() == agent).map(|(_, storage)| storage.agent);
        let boot = self.estate.boot_services.iter().find(|(id, _)| id.as_str() == agent).map(|(_, boot)| boot.agent);
        switch.or(storage).or(boot)
    }

    /// Starts every agent as soon as its bundle is there, and serves it.
    pub async fn start_agents(&mut self) -> Result<(), Fault> {
        let wall = Wall::of_the_machine();
        let eyes = |_: Life| -> Arc<dyn Vantage> { Arc::new(Checker::default()) };
        let bmcs = |_: &Life| ::bmc::Outside::of_the_machine();
        for (name, path) in self.bundles() {
            let bundle = bundle(&path).await?;
            let mut hosts = plant::hosts(self.seed, &self.estate, (&bundle.estate, &bundle.lineage))?;
            let mut host = hosts.remove(&bundle.agent).ok_or_else(|| format!("{} is no agent of this hall", bundle.agent))?;
            self.plant.start_agent(&mut host, &Crew { seed: self.seed, wall: &wall, eyes: &eyes, bmcs: &bmcs }).await?;
            let client = host.client().ok_or("an agent does not run")?;
            let address = self.address_of(&name).ok_or("an agent has no address")?;
            let listener = TcpListener::bind(address).await?;
            let credentials = Credentials::of_file(bundle, &path)?;
            self.tasks.spawn(async move {
                if let Err(error) = wire::serve(listener, credentials, client).await {
                    tracing::error!(%error, agent = name, "an agent cannot serve");
                }
            });
            self.hosts.insert(host.passport.agent.clone(), host);
        }
        Ok(())
    }

    /// The hardware of a machine dies. How many records clients had been told of by then; `None` if there is no such machine.
    pub fn kill(&self, machine: &str) -> Option<u64> {
        let (_, stand) = self.plant.stands.iter().find(|(id, _)| id.as_str() == machine)?;
        stand.machine.befall(Accident::Die);
        Some(self.clients.mark())
    }

    /// Which machines' services would answer now, by server.
    pub fn serving(&self) -> BTreeMap<String, Vec<String>> {
        let mut serving: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, stand) in &self.plant.stands {
            if let Some(service) = stand.machine.service() {
                serving.entry(service.server).or_default().push(id.to_string());
            }
        }
        serving
    }

    /// See [`Clients::judge`].
    pub fn judge(&self, server: &str, first: u64) -> Judged {
        self.clients.judge(&self.plant.target, server, first)
    }

    /// What a machine's console showed from then on.
    pub fn console(&self, machine: &str, from: u64) -> Vec<Line> {
        let stand = self.plant.stands.iter().find(|(id, _)| id.as_str() == machine);
        let happened = stand.map(|(_, stand)| stand.machine.trace()).unwrap_or_default();
        let line = |happened: world::machine::Happened| {
            let at = self.begun + u64::try_from(happened.at.as_millis()).unwrap_or(u64::MAX);
            Some(Line { at, text: shown(&happened.event)? })
        };
        happened.into_iter().filter_map(line).filter(|line| line.at >= from).collect()
    }
}

async fn bundle(path: &Path) -> Result<Bundle, Fault> {
    loop {
        match Bundle::load(path) {
            Ok(bundle) => return Ok(bundle),
            Err(EnrolError::Disk { source, .. }) if source.kind() == ErrorKind::NotFound => {
                tokio::time::sleep(BUNDLE_EVERY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What stands on a console when such a thing happens: iPXE's words, and those of the first process of the image.
fn shown(event: &Event) -> Option<String> {
    Some(match event {
        Event::Post => "self-test".to_owned(),
        Event::Discover => "iPXE initialising devices... ok".to_owned(),
        Event::Script => "boot.ipxe : ok".to_owned(),
        Event::Claimed(server) => format!("LAB initrd of {server}"),
        Event::Mounted { last } => format!("LAB root mounted, last record {last}"),
        Event::Serves { server, .. } => format!("LAB {server} serves"),
        Event::BootFailed(why) | Event::ScriptFailed(why) => why.clone(),
        Event::Panicked => "Kernel panic".to_owned(),
        _ => return None,
    })
}
