//! One life of the agent: opens devices and gate, serves, and puts back what a restart undid once a controller knows its memory to be
//! current.

use crate::bmcs;
use crate::config::{self, Config, ConfigError};
use crate::devices::Devices;
use crate::limits::FAREWELL;
use crate::wait::{self, Look};
use bmc::Fleet;
use check::Checker;
use contract::gate::{Gate, GateError};
use contract::wire::{self, Bundle, Credentials, EnrolError, WireError};
use outlet::OutletDevice;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use storage::StorageDevice;
use switch::SwitchDevice;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// The gate's file in the state directory.
const GATE_FILE: &str = "gate.json";

/// Why the agent ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// A BMC.
    #[error(transparent)]
    Bmc(#[from] bmcs::OpenError),
    /// A switch.
    #[error(transparent)]
    Switch(#[from] switch::OpenError),
    /// A storage target.
    #[error(transparent)]
    Storage(#[from] storage::OpenError),
    /// A power distribution unit.
    #[error(transparent)]
    Outlets(#[from] outlet::OpenError),
    /// The gate.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The wire.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The address.
    #[error("cannot listen on {address}: correct `listen` in the configuration")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Signals cannot be heard.
    #[error("cannot wait for signals")]
    Signal(std::io::Error),
    /// Our own fault.
    #[error("a keeper of bars ended: this is a defect of the agent; it must be started again")]
    Keeper,
}

/// The error with its causes, for a log.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Runs until a signal ends it or it cannot go on.
pub async fn run(path: &Path) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    let owned = OnceLock::new();
    let ended = tokio::select! {
        ended = serve(path, &owned) => ended,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if let Some(fleet) = owned.get() {
        // BMCs have few places for sessions
        let closed = tokio::time::timeout(FAREWELL, Fleet::close(fleet)).await;
        closed.unwrap_or_else(|_| tracing::warn!("some BMCs did not end their sessions in time"));
    }
    ended
}

async fn serve(path: &Path, owned: &OnceLock<Arc<Fleet>>) -> Result<(), RunError> {
    let config = config::load(path)?;
    state_directory(&config).await;
    let bundle = bundle(&config).await?;
    let opened = open(&config).await?;
    if let Some(fleet) = opened.fleet {
        owned.get_or_init(|| fleet);
    }
    let gate = Gate::open(config.state_dir.join(GATE_FILE), bundle.identity(&config.bundle), opened.devices)?;
    let mut keepers = JoinSet::new();
    for keep in opened.keep {
        keepers.spawn(keep);
    }
    // the address to listen on may come late: what was set before does not wait for it
    let put_back = gate.clone();
    keepers.spawn(async move { put_back.keep_put_back().await });
    let listener = listener(&config).await?;
    tracing::info!(agent = %bundle.agent, listen = %config.listen, trusted = gate.trusted(), "serving");
    let credentials = Credentials::of_file(bundle, &config.bundle)?;
    tokio::select! {
        ended = wire::serve(listener, credentials, Arc::new(gate)) => Ok(ended?),
        Some(_) = keepers.join_next() => Err(RunError::Keeper),
    }
}

/// It is never made here: an empty directory below a disk that is not mounted yet would be a memory lost.
async fn state_directory(config: &Config) {
    let looked: Result<(), std::convert::Infallible> = wait::until("the state directory", || async {
        Ok(match tokio::fs::metadata(&config.state_dir).await {
            Ok(found) if found.is_dir() => Look::There(()),
            Ok(_) => Look::NotYet(format!("{} is not a directory", config.state_dir.display())),
            Err(error) => Look::NotYet(format!("{}: {error}; mount or make it", config.state_dir.display())),
        })
    })
    .await;
    let Ok(()) = looked;
}

async fn bundle(config: &Config) -> Result<Bundle, RunError> {
    wait::until("the enrolment bundle", || async {
        match Bundle::load(&config.bundle) {
            Ok(bundle) => Ok(Look::There(bundle)),
            Err(EnrolError::Disk { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(Look::NotYet(format!("{} is not there; make it with `understudy agent enroll`", config.bundle.display())))
            }
            Err(other) => Err(other.into()),
        }
    })
    .await
}

type Keep = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

struct Opened {
    devices: Devices,
    fleet: Option<Arc<Fleet>>,
    keep: Vec<Keep>,
}

async fn open(config: &Config) -> Result<Opened, RunError> {
    let mut opened = Opened { devices: Devices::default(), fleet: None, keep: Vec::new() };
    if !config.devices.bmcs.is_empty() {
        let fleet = bmcs::open(&config.devices.bmcs)?;
        opened.devices.owners.push(fleet.clone());
        opened.fleet = Some(fleet);
    }
    if let Some(switch) = &config.devices.switch {
        let device = Arc::new(SwitchDevice::new(switch.switch.clone(), switch::open(switch)?));
        opened.devices.owners.push(device.clone());
        opened.keep.push(Box::pin(async move { device.keep().await }));
    }
    if let Some(storage) = &config.devices.storage {
        let device = Arc::new(StorageDevice::new(storage.storage.clone(), storage::open(storage, &config.state_dir)?));
        opened.devices.owners.push(device.clone());
        opened.keep.push(Box::pin(async move { device.keep().await }));
    }
    if let Some(outlets) = &config.devices.outlets {
        let device = Arc::new(
            OutletDevice::new(outlets.pdu.clone(), &outlets.outlets, outlet::open(outlets)?)
                .looking(outlets.driver.looks_at_once()),
        );
        opened.devices.owners.push(device.clone());
        opened.keep.push(Box::pin(async move { device.keep().await }));
    }
    if config.devices.vantage {
        opened.devices.vantage =
            Some(Checker::open(&config.devices.vantage_source, &[config.bundle.clone(), config.state_dir.clone()]).await);
    }
    Ok(opened)
}

/// The address may come with its interface, after the agent; another process may still hold it for a moment.
async fn listener(config: &Config) -> Result<TcpListener, RunError> {
    wait::until("the address to listen on", || async {
        match TcpListener::bind(config.listen).await {
            Ok(listener) => Ok(Look::There(listener)),
            Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse) => {
                Ok(Look::NotYet(format!("{}: {error}", config.listen)))
            }
            Err(source) => Err(RunError::Listen { address: config.listen, source }),
        }
    })
    .await
}
