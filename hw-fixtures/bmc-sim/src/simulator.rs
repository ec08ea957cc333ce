//! A running simulator: all its BMCs, the handle that tests hold, the end of everything.
//! Must never leave a machine's process behind: a dropped handle kills them, `shutdown` also waits until they are reaped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use world::bmc::{Bmc, Change, Ports, Surroundings};
use world::{Dice, Ticks, Wall};

use crate::clock;
use crate::config::{Config, MachineConfig};
use crate::control::Control;
use crate::error::Error;
use crate::limits;
use crate::mains;
use crate::pdu::PduServer;
use crate::process::Process;
use crate::server;
use crate::socket;
use crate::station::Station;
use crate::tls;
use crate::udp;

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

/// A running simulator. Dropping it kills its machines and closes its ports.
#[derive(Debug)]
pub struct Handle {
    /// Redfish address of the first BMC (all of them: [`Handle::address_of`]).
    pub address: SocketAddr,
    /// Certificate of the first BMC, PEM; empty if it speaks no Redfish.
    pub certificate_pem: String,
    /// Commands.
    pub control: Control,
    tasks: Vec<JoinHandle<()>>,
    /// Served until it is dropped.
    _pdus: Vec<PduServer>,
    socket: Option<PathBuf>,
}

/// The sockets of one BMC.
struct Port {
    redfish: Option<TcpListener>,
    ipmi: Option<UdpSocket>,
}

impl Port {
    fn open(machine: &MachineConfig) -> Result<Port, Error> {
        let fail = |address| move |source| Error::Listen { name: machine.name.clone(), address, source };
        let redfish = machine.redfish.then(|| server::bind(machine.listen).map_err(fail(machine.listen))).transpose()?;
        let ipmi = machine.ipmi.map(|address| udp::bind(address).map_err(fail(address))).transpose()?;
        Ok(Port { redfish, ipmi })
    }

    /// The BMC that is met here; makes its certificate.
    fn station(
        &self,
        machine: MachineConfig,
        hall: Option<PathBuf>,
        changes: &broadcast::Sender<Change>,
    ) -> Result<Arc<Station>, Error> {
        let fail = |source| Error::Listen { name: machine.name.clone(), address: machine.listen, source };
        let ipmi = self.ipmi.as_ref().map(|socket| socket.local_addr().map_err(fail)).transpose()?;
        let (address, identity) = match &self.redfish {
            None => (machine.listen, None),
            Some(listener) => {
                let address = listener.local_addr().map_err(fail)?;
                let identity = tls::identity(&machine.name, address)?;
                if let Some(path) = &machine.certificate {
                    tls::write_pem(path, &identity.pem)?;
                }
                (address, Some(identity))
            }
        };
        let (described, secrets) = (machine.described(), machine.secrets()?);
        let ports = Ports { redfish: self.redfish.is_some(), ipmi: ipmi.is_some() };
        let bmc = Bmc::new(described, secrets, surroundings(Process::new(machine, hall), ports, changes.clone()));
        Ok(Station::new(bmc, address, ipmi, identity))
    }
}

/// What a BMC has around it in a process of its own: the time and the chance of this machine.
pub(crate) fn surroundings(machine: Process, ports: Ports, changes: broadcast::Sender<Change>) -> Surroundings {
    let ticks = Ticks::with(clock::monotonic_ns);
    let (wall, dice) = (Wall::of_the_machine(), Dice::of_the_machine());
    Surroundings { host: Arc::new(machine), wall, ticks, dice, ports, changes }
}

impl Simulator {
    /// Starts every BMC of the configuration; machines are off. Needs a tokio runtime with I/O and time.
    pub async fn start(config: Config) -> Result<Handle, Error> {
        config.check()?;
        let changes = broadcast::Sender::new(limits::CHANGES_KEPT);
        let mut machines = BTreeMap::new();
        let mut ports = Vec::new();
        let mut first = None;
        for machine in config.machines {
            let port = Port::open(&machine)?;
            let station = port.station(machine, config.hall_netns.clone(), &changes)?;
            let pem = station.identity().as_ref().map(|identity| identity.pem.clone()).unwrap_or_default();
            first.get_or_insert((station.address, pem));
            machines.insert(station.config.name.clone(), Arc::clone(&station));
            ports.push((station, port));
        }
        let (address, certificate_pem) =
            first.ok_or_else(|| Error::Config("no machines; name at least one under `machines`".into()))?;
        let pdus = mains::serve(&config.pdus, &machines).await?;
        let control = Control::new(machines, changes);
        let socket = config.control.as_ref().map(|path| socket::bind(path)).transpose()?;
        // Nothing below can fail, so no task is left behind by a start that was refused.
        let mut tasks = Vec::new();
        for (station, port) in ports {
            tasks.extend(port.redfish.map(|listener| tokio::spawn(server::serve(Arc::clone(&station), listener))));
            tasks.extend(port.ipmi.map(|socket| tokio::spawn(udp::serve(station, socket))));
        }
        if let Some(listener) = socket {
            tasks.push(tokio::spawn(socket::serve(control.clone(), listener)));
        }
        Ok(Handle { address, certificate_pem, control, tasks, _pdus: pdus, socket: config.control })
    }

    /// Starts one BMC.
    pub async fn start_one(machine: MachineConfig) -> Result<Handle, Error> {
        Self::start(Config { machines: vec![machine], ..Config::default() }).await
    }
}

impl Handle {
    /// Redfish address of a machine's BMC.
    pub fn address_of(&self, name: &str) -> Result<SocketAddr, Error> {
        Ok(self.control.find(name)?.address)
    }

    /// IPMI address of a machine's BMC.
    pub fn ipmi_address_of(&self, name: &str) -> Result<SocketAddr, Error> {
        let refuse = || Error::refused(name, "it speaks no IPMI; give `ipmi` an address");
        self.control.find(name)?.ipmi.ok_or_else(refuse)
    }

    /// The certificate a machine's BMC shows now, PEM; empty if it speaks no Redfish.
    pub fn certificate_of(&self, name: &str) -> Result<String, Error> {
        Ok(self.control.find(name)?.identity().as_ref().map(|identity| identity.pem.clone()).unwrap_or_default())
    }

    /// Closes the ports, kills every machine and waits until all are reaped.
    pub async fn shutdown(mut self) {
        self.close();
        for bmc in self.control.all() {
            if let Err(e) = bmc.pull().await {
                tracing::error!(error = %e, "left behind");
            }
        }
    }

    fn close(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        if let Some(path) = self.socket.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
        for bmc in self.control.all() {
            bmc.close();
        }
    }
}
