//! A running simulator: all its BMCs, the handle that tests hold, the end of everything.
//! Must never leave a machine's process behind: a dropped handle kills them, `shutdown` also waits until they are reaped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::bmc::{Bmc, Faces, Secrets};
use crate::config::{Config, MachineConfig};
use crate::control::Control;
use crate::error::Error;
use crate::ipmi;
use crate::limits;
use crate::server;
use crate::socket;
use crate::tls;

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
        let ipmi = machine.ipmi.map(|address| ipmi::bind(address).map_err(fail(address))).transpose()?;
        Ok(Port { redfish, ipmi })
    }

    /// Where the BMC is met; makes its certificate.
    fn faces(&self, machine: &MachineConfig) -> Result<Faces, Error> {
        let fail = |source| Error::Listen { name: machine.name.clone(), address: machine.listen, source };
        let ipmi = self.ipmi.as_ref().map(|socket| socket.local_addr().map_err(fail)).transpose()?;
        let Some(listener) = &self.redfish else {
            return Ok(Faces { redfish: machine.listen, identity: None, ipmi });
        };
        let redfish = listener.local_addr().map_err(fail)?;
        let identity = tls::identity(&machine.name, redfish)?;
        if let Some(path) = &machine.certificate {
            tls::write_pem(path, &identity.pem)?;
        }
        Ok(Faces { redfish, identity: Some(identity), ipmi })
    }
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
            let secrets = Secrets { password: machine.read_password()?, key: machine.read_key()? };
            let faces = port.faces(&machine)?;
            let pem = faces.identity.as_ref().map(|identity| identity.pem.clone()).unwrap_or_default();
            first.get_or_insert((faces.redfish, pem));
            let bmc = Bmc::new(machine, secrets, config.hall_netns.clone(), faces, changes.clone());
            ports.push((Arc::clone(&bmc), port));
            machines.insert(bmc.config.name.clone(), bmc);
        }
        let (address, certificate_pem) =
            first.ok_or_else(|| Error::Config("no machines; name at least one under `machines`".into()))?;
        let control = Control::new(machines, changes);
        let socket = config.control.as_ref().map(|path| socket::bind(path)).transpose()?;
        // Nothing below can fail, so no task is left behind by a start that was refused.
        let mut tasks = Vec::new();
        for (bmc, port) in ports {
            tasks.extend(port.redfish.map(|listener| tokio::spawn(server::serve(Arc::clone(&bmc), listener))));
            tasks.extend(port.ipmi.map(|socket| tokio::spawn(ipmi::serve(bmc, socket))));
        }
        if let Some(listener) = socket {
            tasks.push(tokio::spawn(socket::serve(control.clone(), listener)));
        }
        Ok(Handle { address, certificate_pem, control, tasks, socket: config.control })
    }

    /// Starts one BMC.
    pub async fn start_one(machine: MachineConfig) -> Result<Handle, Error> {
        Self::start(Config { control: None, hall_netns: None, machines: vec![machine] }).await
    }
}

impl Handle {
    /// Redfish address of a machine's BMC.
    pub fn address_of(&self, name: &str) -> Result<SocketAddr, Error> {
        Ok(self.control.find(name)?.address)
    }

    /// IPMI address of a machine's BMC.
    pub fn ipmi_address_of(&self, name: &str) -> Result<SocketAddr, Error> {
        let refuse = || Error::State { name: name.into(), reason: "it speaks no IPMI; give `ipmi` an address".into() };
        self.control.find(name)?.ipmi.ok_or_else(refuse)
    }

    /// The certificate a machine's BMC shows now, PEM; empty if it speaks no Redfish.
    pub fn certificate_of(&self, name: &str) -> Result<String, Error> {
        Ok(self.control.find(name)?.state().identity.as_ref().map(|identity| identity.pem.clone()).unwrap_or_default())
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
