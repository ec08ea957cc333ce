//! The driver for the Linux SCSI target daemon.
//!
//! The daemon starts empty and forgets everything; only this driver makes targets, from its durable state. An admission is one initiator
//! name and one CHAP account, never an address: the daemon lets in whoever matches either a name or an address. Removing the admission
//! alone cuts nobody off: sessions live on, and a login that had begun may still end well. See `revoke` for what does.

mod command;
mod enforce;
mod exports;
pub mod host;
mod look;
mod parse;
mod served;
mod steps;

pub use crate::admission::Export;
use crate::admission::{excess, is_initiator_name, unusable};
use crate::host::ThisFile;
use crate::kept::{Kept, OpenError};
use crate::limits::DRAIN_TIMEOUT;
use crate::state::{Admitted, StateFile};
use async_trait::async_trait;
use command::{Process, Tool};
use contract::AgentError;
use contract::storage::{Admission, Storage};
use enforce::Inner;
use host::{CommandError, Disk, Host};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;
use vocabulary::storage::{InitiatorName, VolumeReading};
use vocabulary::{StorageId, VolumeName};

/// What this driver needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TgtConfig {
    /// The administration tool.
    #[serde(default = "tgtadm")]
    pub tgtadm: PathBuf,
    /// The daemon's control port (`tgtd -C`).
    #[serde(default)]
    pub control_port: u16,
    /// Environment of the tool, such as `TGT_IPC_SOCKET`. Nothing else is inherited.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The volumes and their one export each.
    pub volumes: BTreeMap<VolumeName, Export>,
}

fn tgtadm() -> PathBuf {
    PathBuf::from("/usr/sbin/tgtadm")
}

/// Why a target was not brought into the wanted state, or not read.
#[derive(Debug, thiserror::Error)]
enum TgtError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("the state file cannot be written: {0}; free the disk it is on")]
    State(#[from] std::io::Error),
    #[error("{0}")]
    Remains(String),
}

/// The driver of one daemon.
#[derive(Debug)]
pub struct Tgt {
    storage: StorageId,
    volumes: BTreeMap<VolumeName, Export>,
    host: Arc<dyn Host>,
    /// The daemon is driven by one hand: calls of the tool are sequential.
    inner: Mutex<Inner>,
}

fn contradiction(config: &TgtConfig, host: &dyn Host) -> Option<String> {
    let (mut targets, mut files, mut objects) = (BTreeSet::new(), BTreeSet::new(), HashMap::new());
    for (name, export) in &config.volumes {
        if !targets.insert(&export.target) {
            return Some(format!(
                "volume `{name}` shares the target {} with another volume: admissions would mix",
                export.target
            ));
        }
        if !files.insert(&export.file) {
            return Some(format!("volume `{name}` shares the file {} with another volume", export.file.display()));
        }
        if export.lun == 0 {
            return Some(format!("volume `{name}` has logical unit 0, which the daemon keeps for itself: use 1"));
        }
        let plain = |c: char| c.is_ascii_graphic() && c != ',';
        if !is_initiator_name(&export.target) || !export.target.chars().all(plain) {
            return Some(format!("volume `{name}`: `{}` is not a target name: it begins with iqn.", export.target));
        }
        if let Some(other) = host.object(&export.file).and_then(|object| objects.insert(object, name)) {
            return Some(format!("volumes `{other}` and `{name}` are one file under two names"));
        }
        if !export.file.is_absolute() {
            return Some(format!("volume `{name}`: {} is not an absolute path", export.file.display()));
        }
    }
    None
}

impl Tgt {
    /// Opens the driver of a daemon of this host; its state file lies in `folder`. The daemon is not asked yet.
    pub fn open(storage: StorageId, config: TgtConfig, folder: &Path) -> Result<Tgt, OpenError> {
        let (tgtadm, environment) = (config.tgtadm.clone(), config.environment.clone());
        let host = Process { tgtadm, control_port: config.control_port, environment };
        let file = ThisFile(folder.join(format!("storage-{storage}.json")));
        Tgt::open_on(storage, config, Box::new(file), Arc::new(host))
    }

    /// The same of a given host's daemon, with the state on a given disk, which this driver alone uses. Of the configuration only the
    /// volumes count then.
    pub fn open_on(storage: StorageId, config: TgtConfig, disk: Box<dyn Disk>, host: Arc<dyn Host>) -> Result<Tgt, OpenError> {
        if let Some(reason) = contradiction(&config, &*host) {
            return Err(OpenError::Config { storage, reason });
        }
        let place = disk.place();
        let state = StateFile::open(disk).map_err(|reason| OpenError::State {
            storage: storage.clone(),
            path: place.display().to_string(),
            reason,
        })?;
        let inner = Inner {
            tool: Tool { host: host.clone(), control_port: config.control_port, listed: Arc::default() },
            host: host.clone(),
            state,
            counters: HashMap::new(),
            tids: HashMap::new(),
            patience: DRAIN_TIMEOUT,
            vetted: HashSet::new(),
        };
        Ok(Tgt { storage, volumes: config.volumes, host, inner: Mutex::new(inner) })
    }

    fn export(&self, volume: &VolumeName) -> Result<&Export, AgentError> {
        self.volumes.get(volume).ok_or_else(|| AgentError::Rejected {
            reason: format!("storage `{}` has no volume `{volume}`: add it to the agent's configuration", self.storage),
        })
    }

    /// The reading, or why it does not confirm that `wanted` alone can reach the volume.
    async fn confirm(
        &self,
        inner: &mut Inner,
        volume: &VolumeName,
        export: &Export,
        wanted: Option<&InitiatorName>,
    ) -> Result<VolumeReading, AgentError> {
        let reading = inner.read(&self.storage, volume, export).await.map_err(|error| unconfirmed(volume, &error))?;
        match excess(&reading, wanted) {
            Some(reason) => Err(AgentError::Unconfirmed { reason: format!("volume `{volume}`: {reason}") }),
            None => Ok(reading),
        }
    }
}

fn unconfirmed(volume: &VolumeName, error: &TgtError) -> AgentError {
    AgentError::Unconfirmed { reason: format!("volume `{volume}`: {error}") }
}

fn unread(volume: &VolumeName, error: &TgtError) -> AgentError {
    let reason = format!("volume `{volume}`: {error}");
    match error {
        TgtError::Command(CommandError::Garbled { .. } | CommandError::Refused { .. }) => AgentError::Unconfirmed { reason },
        _ => AgentError::Unreachable { reason },
    }
}

#[async_trait]
impl Storage for Tgt {
    async fn read(&self, volume: &VolumeName) -> Result<VolumeReading, AgentError> {
        let export = self.export(volume)?;
        let mut inner = self.inner.lock().await;
        inner.read(&self.storage, volume, export).await.map_err(|error| unread(volume, &error))
    }

    async fn revoke(&self, volume: &VolumeName, keep: Option<&InitiatorName>) -> Result<VolumeReading, AgentError> {
        let export = self.export(volume)?;
        let mut inner = self.inner.lock().await;
        let admitted = inner.state.decided(volume).flatten();
        let kept = admitted.filter(|admitted| Some(&admitted.initiator) == keep).cloned();
        inner.decide(volume, kept.clone()).map_err(|error| unconfirmed(volume, &error))?;
        inner.enforce(volume, export, kept.as_ref(), true).await.map_err(|error| unconfirmed(volume, &error))?;
        self.confirm(&mut inner, volume, export, kept.as_ref().map(|kept| &kept.initiator)).await
    }

    async fn grant(&self, volume: &VolumeName, admission: &Admission) -> Result<VolumeReading, AgentError> {
        let export = self.export(volume)?;
        if let Some(reason) = unusable(admission) {
            return Err(AgentError::Rejected { reason });
        }
        if self.host.object(&export.file).is_none() {
            let reason = format!("volume `{volume}`: its backing file {} does not exist", export.file.display());
            return Err(AgentError::Rejected { reason });
        }
        let wanted =
            Admitted { initiator: admission.initiator.clone(), user: admission.user.clone(), secret: admission.secret.clone() };
        let mut inner = self.inner.lock().await;
        if let Some((other, taken)) = inner.state.user_elsewhere(volume, &wanted.user)
            && taken.secret != wanted.secret
        {
            let reason =
                format!("the CHAP user `{}` has another secret at volume `{other}`: use one user a placement", wanted.user);
            return Err(AgentError::Rejected { reason });
        }
        inner.decide(volume, Some(wanted.clone())).map_err(|error| unconfirmed(volume, &error))?;
        let done = match inner.enforce(volume, export, Some(&wanted), false).await {
            Ok(()) => self.confirm(&mut inner, volume, export, Some(&wanted.initiator)).await,
            Err(error) => Err(unconfirmed(volume, &error)),
        };
        if done.is_err() {
            // half an admission is none: whoever retries begins from nobody
            let shut = inner.decide(volume, None);
            let shut = match shut {
                Ok(()) => inner.enforce(volume, export, None, true).await,
                failed => failed,
            };
            if let Err(error) = shut {
                tracing::error!(%volume, %error, "an admission that failed could not be taken back; it is tried again by the clock");
            }
        }
        done
    }
}

#[async_trait]
impl Kept for Tgt {
    async fn forget_others(&self, holders: &BTreeMap<VolumeName, InitiatorName>) -> Result<(), AgentError> {
        let mut inner = self.inner.lock().await;
        let failed = |error| AgentError::Unreachable { reason: TgtError::State(error).to_string() };
        let forgotten = inner.state.forget_others(holders).map_err(failed)?;
        if !forgotten.is_empty() {
            inner.vetted.clear();
        }
        for (volume, forgotten) in forgotten {
            tracing::warn!(%volume, admitted = %forgotten, "the gate names another holder: this admission is an older copy, and is dropped");
        }
        Ok(())
    }

    async fn restore(&self) -> Result<(), AgentError> {
        let volumes = self.inner.lock().await.misfits(&self.volumes).await;
        let volumes = volumes.map_err(|error| AgentError::Unreachable { reason: error.to_string() })?;
        let mut first = Ok(());
        for volume in volumes {
            let Some(export) = self.volumes.get(&volume) else { continue };
            // the lock is taken anew for each volume: a fence never waits for the whole round
            let mut inner = self.inner.lock().await;
            if let Err(error) = inner.restore(&volume, export).await
                && first.is_ok()
            {
                first = Err(unconfirmed(&volume, &error));
            }
        }
        first
    }
}
