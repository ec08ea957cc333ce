//! A running simulator: all its BMCs, the handle that tests hold, the end of everything.
//! Must never leave a machine's process behind: a dropped handle kills them, `shutdown` also waits until they are reaped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::bmc::{Bmc, Change};
use crate::config::{Config, MachineConfig};
use crate::control::{self, Request};
use crate::error::Error;
use crate::limits;
use crate::server;
use crate::tls;

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

/// Commands for the machines of one simulator, from inside the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    machines: Arc<BTreeMap<String, Arc<Bmc>>>,
    changes: broadcast::Sender<Change>,
}

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
        let control = Control { machines: Arc::new(machines), changes };
        let socket = config.control.as_ref().map(|path| control::bind(path)).transpose()?;
        // Nothing below can fail, so no task is left behind by a start that was refused.
        let mut tasks: Vec<_> = listeners.into_iter().map(|(bmc, listener)| tokio::spawn(server::serve(bmc, listener))).collect();
        if let Some(listener) = socket {
            tasks.push(tokio::spawn(control::serve(control.clone(), listener)));
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

impl Control {
    /// Does what a request asks for.
    pub async fn perform(&self, request: Request) -> Result<Value, Error> {
        // In a task of its own: a caller that gives up must not leave a machine half started.
        let control = self.clone();
        tokio::spawn(async move { control::perform(&control, request).await })
            .await
            .unwrap_or_else(|e| Err(Error::State { name: "(control)".into(), reason: e.to_string() }))
    }

    /// The same in the control socket's shape: `{"ok": true, ...}` or `{"ok": false, "error": "..."}`.
    pub async fn answer(&self, request: Request) -> Value {
        match self.perform(request).await {
            Ok(mut value) => {
                if let Some(object) = value.as_object_mut() {
                    object.insert("ok".into(), json!(true));
                }
                value
            }
            Err(e) => json!({ "ok": false, "error": e.to_string() }),
        }
    }

    /// Changes quirks of a machine: keys as in the configuration, the others stay.
    pub async fn set_quirks(&self, name: &str, quirks: Value) -> Result<(), Error> {
        self.perform(Request::SetQuirks { name: name.into(), quirks }).await.map(drop)
    }

    /// The pid of a machine's process; None: off and reaped.
    pub fn pid(&self, name: &str) -> Result<Option<i32>, Error> {
        Ok(self.find(name)?.state().pid())
    }

    /// Truth, readings, settings and quirks of a machine.
    pub async fn state(&self, name: &str) -> Result<Value, Error> {
        self.perform(Request::State { name: name.into() }).await
    }

    /// Changes as they happen.
    pub fn watch(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub(crate) fn find(&self, name: &str) -> Result<&Arc<Bmc>, Error> {
        self.machines.get(name).ok_or_else(|| Error::UnknownMachine(name.into()))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Bmc>> {
        self.machines.values()
    }
}
