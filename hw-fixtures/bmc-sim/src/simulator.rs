//! A running simulator: all its BMCs, the handle that tests hold, the end of everything.
//! Must never leave a machine's process behind: a dropped handle kills them, `shutdown` also waits until they are reaped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::bmc::Bmc;
use crate::config::{Config, MachineConfig};
use crate::control::Control;
use crate::error::Error;
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
    /// Address of the first BMC (all of them: [`Handle::address_of`]).
    pub address: SocketAddr,
    /// Certificate of the first BMC, PEM.
    pub certificate_pem: String,
    /// Commands.
    pub control: Control,
    tasks: Vec<JoinHandle<()>>,
    socket: Option<PathBuf>,
}

impl Simulator {
    /// Starts every BMC of the configuration; machines are off. Needs a tokio runtime with I/O and time.
    pub async fn start(config: Config) -> Result<Handle, Error> {
        config.check()?;
        let changes = broadcast::Sender::new(limits::CHANGES_KEPT);
        let mut machines = BTreeMap::new();
        let mut listeners = Vec::new();
        let mut first = None;
        for machine in config.machines {
            let listen = |source| Error::Listen { name: machine.name.clone(), address: machine.listen, source };
            let listener = server::bind(machine.listen).map_err(listen)?;
            let address = listener.local_addr().map_err(listen)?;
            let password = machine.read_password()?;
            let identity = tls::identity(&machine.name, address)?;
            if let Some(path) = &machine.certificate {
                tls::write_pem(path, &identity.pem)?;
            }
            first.get_or_insert_with(|| (address, identity.pem.clone()));
            let bmc = Bmc::new(machine, password, config.hall_netns.clone(), address, identity, changes.clone());
            listeners.push((Arc::clone(&bmc), listener));
            machines.insert(bmc.config.name.clone(), bmc);
        }
        let (address, certificate_pem) =
            first.ok_or_else(|| Error::Config("no machines; name at least one under `machines`".into()))?;
        let control = Control::new(machines, changes);
        let socket = config.control.as_ref().map(|path| socket::bind(path)).transpose()?;
        // Nothing below can fail, so no task is left behind by a start that was refused.
        let mut tasks: Vec<_> = listeners.into_iter().map(|(bmc, listener)| tokio::spawn(server::serve(bmc, listener))).collect();
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
    /// Address of a machine's BMC.
    pub fn address_of(&self, name: &str) -> Result<SocketAddr, Error> {
        Ok(self.control.find(name)?.address)
    }

    /// The certificate a machine's BMC shows now, PEM.
    pub fn certificate_of(&self, name: &str) -> Result<String, Error> {
        Ok(self.control.find(name)?.state().identity.pem.clone())
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
