//! The table of the lab's processes: what each is, whether it runs, how it ended.
//!
//! A service that ends is never started again by itself: what dies in a lab dies for a reason that a scenario wants to see.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::children::{Children, End, signal};
use crate::limits::{READY_POLL, SERVICE_READY, STOP_GRACE};
use crate::sys::{Preparation, prepare};

/// Which network namespace a process lives in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// With the services.
    #[default]
    Services,
    /// With the machines.
    Hall,
    /// On the own side of a switch that is no machine.
    Switch,
}

/// What shows that a service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ready {
    /// A unix socket takes connections.
    Unix(PathBuf),
    /// A TCP address takes connections.
    Tcp(SocketAddr),
    /// A file exists.
    File(PathBuf),
}

impl Ready {
    fn holds(&self) -> bool {
        match self {
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
            Self::Tcp(address) => TcpStream::connect_timeout(address, Duration::from_millis(200)).is_ok(),
            Self::File(path) => path.exists(),
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name; the log is `logs/NAME.log` unless told otherwise.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables added to the lab's (which has the packages' and our programs in PATH).
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Where its output goes (appended).
    #[serde(default)]
    pub log: Option<PathBuf>,
    /// Its network.
    #[serde(default)]
    pub namespace: Namespace,
    /// What shows that it is ready; none: started is ready.
    #[serde(default)]
    pub ready: Option<Ready>,
    /// How long it may take to be ready, in milliseconds.
    #[serde(default)]
    pub ready_within_ms: Option<u64>,
    /// Sockets that an earlier run may have left, removed before each start.
    #[serde(default)]
    pub remove_before_start: Vec<PathBuf>,
}

/// A service's standing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its process id inside the lab, while it runs.
    pub pid: Option<i32>,
    /// How it ended last.
    pub ended: Option<End>,
    /// How often it was started.
    pub starts: u32,
}

/// Why a service could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No such row.
    #[error("there is no service {0} in this lab; `services` lists them")]
    Unknown(String),
    /// It runs already.
    #[error("the service {0} runs already")]
    Running(String),
    /// It could not be started.
    #[error("the service {name} cannot be started: {source}")]
    Start {
        /// The service.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It ended before it was ready, or took too long.
    #[error("the service {name} did not become ready: {reason}; see {log}")]
    NotReady {
        /// The service.
        name: String,
        /// Why.
        reason: String,
        /// Its log.
        log: PathBuf,
    },
}

struct Row {
    service: Service,
    keep: Vec<OwnedFd>,
    pid: Option<i32>,
    ended: Option<End>,
    starts: u32,
}

/// The table.
#[derive(Clone)]
pub struct Services {
    children: Children,
    logs: PathBuf,
    hall: Arc<OwnedFd>,
    switch_side: Option<Arc<OwnedFd>>,
    environment: Arc<Vec<(String, String)>>,
    rows: Arc<(Mutex<BTreeMap<String, Row>>, Condvar)>,
}

impl Services {
    /// An empty table; logs go to this folder. A switch that is a machine has no side of its own.
    #[must_use]
    pub fn new(
        children: Children,
        logs: PathBuf,
        hall: OwnedFd,
        switch_side: Option<OwnedFd>,
        environment: Vec<(String, String)>,
    ) -> Self {
        let switch_side = switch_side.map(Arc::new);
        Self { children, logs, hall: Arc::new(hall), switch_side, environment: Arc::new(environment), rows: Arc::default() }
    }

    /// What every process of the lab finds in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.to_vec()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.rows.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The children's keeper.
    #[must_use]
    pub fn children(&self) -> &Children {
        &self.children
    }

    /// The hall's namespace.
    pub fn hall(&self) -> io::Result<OwnedFd> {
        self.hall.try_clone()
    }

    /// What a process of this namespace has to enter; None for the one in which the supervisor lives.
    pub fn network(&self, namespace: Namespace) -> io::Result<Option<OwnedFd>> {
        match (namespace, &self.switch_side) {
            (Namespace::Services, _) => Ok(None),
            (Namespace::Hall, _) => self.hall().map(Some),
            (Namespace::Switch, Some(side)) => side.try_clone().map(Some),
            (Namespace::Switch, None) => {
                Err(io::Error::other("the switch of this lab is a machine: nothing else runs on its side"))
            }
        }
    }

    /// Adds a row (or replaces one that does not run), with descriptors that its process gets under their numbers, and starts it.
    pub fn add(&self, service: Service, keep: Vec<OwnedFd>) -> Result<(), ServiceError> {
        let name = service.name.clone();
        {
            let mut rows = self.lock();
            if rows.get(&name).is_some_and(|row| row.pid.is_some()) {
                return Err(ServiceError::Running(name));
            }
            let starts = rows.get(&name).map_or(0, |row| row.starts);
            rows.insert(name.clone(), Row { service, keep, pid: None, ended: None, starts });
        }
        self.start(&name)
    }

    /// Adds a row without starting it.
    pub fn define(&self, service: Service) {
        let row = Row { service, keep: Vec::new(), pid: None, ended: None, starts: 0 };
        self.lock().entry(row.service.name.clone()).or_insert(row);
    }

    /// Starts a service of the table and waits until it is ready.
    pub fn start(&self, name: &str) -> Result<(), ServiceError> {
        let (service, pid) = {
            let mut rows = self.lock();
            let row = rows.get_mut(name).ok_or_else(|| ServiceError::Unknown(name.to_owned()))?;
            if row.pid.is_some() {
                return Err(ServiceError::Running(name.to_owned()));
            }
            let pid = self.spawn(row).map_err(|source| ServiceError::Start { name: name.to_owned(), source })?;
            (row.service.clone(), pid)
        };
        self.wait_ready(&service, pid)
    }

    fn log_of(&self, service: &Service) -> PathBuf {
        service.log.clone().unwrap_or_else(|| self.logs.join(format!("{}.log", service.name)))
    }

    fn spawn(&self, row: &mut Row) -> io::Result<i32> {
        let service = &row.service;
        let (program, arguments) =
            service.argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "its command line is empty"))?;
        for stale in &service.remove_before_start {
            match std::fs::remove_file(stale) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log_of(service))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(self.environment())
            .envs(&service.env)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if let Some(cwd) = &service.cwd {
            command.current_dir(cwd);
        }
        let network = self.network(service.namespace)?;
        let keep = row.keep.iter().map(AsRawFd::as_raw_fd).collect();
        prepare(&mut command, Preparation { network, keep, own_session: true, die_with_parent: None });
        let running = self.children.start(&mut command)?;
        row.pid = Some(running.pid);
        row.ended = None;
        row.starts += 1;
        let (table, name) = (self.clone(), service.name.clone());
        thread::spawn(move || {
            let end = running.ended.recv().ok();
            if let Some(row) = table.lock().get_mut(&name) {
                row.pid = None;
                row.ended = end;
            }
            table.rows.1.notify_all();
        });
        Ok(running.pid)
    }

    fn wait_ready(&self, service: &Service, pid: i32) -> Result<(), ServiceError> {
        let Some(ready) = &service.ready else { return Ok(()) };
        let within = service.ready_within_ms.map_or(SERVICE_READY, Duration::from_millis);
        let start = Instant::now();
        let not_ready =
            |reason: String| Err(ServiceError::NotReady { name: service.name.clone(), reason, log: self.log_of(service) });
        while !ready.holds() {
            if let Some(row) = self.lock().get(&service.name)
                && row.pid != Some(pid)
            {
                return not_ready(row.ended.map_or_else(|| "it ended".to_owned(), |end| end.to_string()));
            }
            if start.elapsed() > within {
                return not_ready(format!("nothing after {} ms", within.as_millis()));
            }
            thread::sleep(READY_POLL);
        }
        Ok(())
    }

    /// Sends a signal to a service.
    pub fn signal(&self, name: &str, which: Signal) -> Result<(), ServiceError> {
        let rows = self.lock();
        let row = rows.get(name).ok_or_else(|| ServiceError::Unknown(name.to_owned()))?;
        if let Some(pid) = row.pid {
            signal(pid, which);
        }
        Ok(())
    }

    /// Ends a service (in order first, where that is wanted) and waits until it is buried.
    pub fn stop(&self, name: &str, in_order: bool) -> Result<Standing, ServiceError> {
        if in_order {
            self.signal(name, Signal::SIGTERM)?;
            if self.wait_gone(name, STOP_GRACE) {
                return self.standing(name);
            }
        }
        self.signal(name, Signal::SIGKILL)?;
        // one that the kernel holds in a system call is gone when that ends
        self.signal(name, Signal::SIGCONT)?;
        self.wait_gone(name, STOP_GRACE);
        self.standing(name)
    }

    fn wait_gone(&self, name: &str, at_most: Duration) -> bool {
        let start = Instant::now();
        let mut rows = self.lock();
        while rows.get(name).is_some_and(|row| row.pid.is_some()) {
            let left = at_most.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            rows = self.rows.1.wait_timeout(rows, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// A service's standing.
    pub fn standing(&self, name: &str) -> Result<Standing, ServiceError> {
        self.list().into_iter().find(|row| row.name == name).ok_or_else(|| ServiceError::Unknown(name.to_owned()))
    }

    /// Every service's standing.
    #[must_use]
    pub fn list(&self) -> Vec<Standing> {
        let rows = self.lock();
        rows.iter()
            .map(|(name, row)| Standing { name: name.clone(), pid: row.pid, ended: row.ended, starts: row.starts })
            .collect()
    }

    /// Ends all services in order, the last started ones with the first, and kills what stays.
    pub fn stop_all(&self) {
        let names: Vec<_> = self.list().into_iter().filter(|row| row.pid.is_some()).map(|row| row.name).collect();
        for name in &names {
            // each was in the table a moment ago
            let _ = self.signal(name, Signal::SIGTERM);
        }
        let start = Instant::now();
        for name in &names {
            self.wait_gone(name, STOP_GRACE.saturating_sub(start.elapsed()));
        }
        for name in &names {
            // as above
            let _ = self.signal(name, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_with_its_defaults_and_unknown_keys_are_errors() {
        let row: Service =
            serde_json::from_str(r#"{"name":"serve","argv":["understudy","serve"],"ready":{"unix":"/r/api.sock"}}"#).unwrap();
        assert_eq!(row.namespace, Namespace::Services);
        assert_eq!(row.ready, Some(Ready::Unix("/r/api.sock".into())));
        assert!(serde_json::from_str::<Service>(r#"{"name":"x","argv":[],"restart":true}"#).is_err());
        let tcp: Ready = serde_json::from_str(r#"{"tcp":"127.0.0.1:7444"}"#).unwrap();
        assert!(matches!(tcp, Ready::Tcp(_)));
    }
}
