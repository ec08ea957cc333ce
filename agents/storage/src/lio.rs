//! The driver for the Linux kernel's SCSI target (LIO), by iSCSI, through configfs and nothing else.
//!
//! The kernel forgets everything at a restart of the machine; only this driver makes targets, from its durable state. A volume has a
//! backstore, a target with one portal group, and in that at most one admission: one initiator name with one CHAP account and the logical
//! unit. See `enforce` for what ends one. What a foreign hand did is found by looking, at every fabric and every backstore, and undone.

mod calls;
mod enforce;
mod info;
pub mod kernel;
mod look;
mod served;
mod sight;
mod tcp;
mod tree;

pub use crate::admission::Export;
use crate::admission::{excess, is_initiator_name, unusable};
use crate::host::{Disk, ThisFile};
use crate::kept::{Kept, OpenError};
use crate::limits::DRAIN_TIMEOUT;
use crate::state::{Admitted, StateFile};
use async_trait::async_trait;
use calls::{CallError, Calls};
use contract::AgentError;
use contract::storage::{Admission, Storage};
use enforce::Inner;
use kernel::{Kernel, ThisKernel};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;
use vocabulary::storage::{InitiatorName, VolumeReading};
use vocabulary::{StorageId, VolumeName};

/// What this driver needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LioConfig {
    /// Where the kernel's target is.
    #[serde(default = "configfs")]
    pub configfs: PathBuf,
    /// Where every target listens.
    pub portals: BTreeSet<SocketAddr>,
    /// The volumes and their one export each.
    pub volumes: BTreeMap<VolumeName, Export>,
}

fn configfs() -> PathBuf {
    PathBuf::from("/sys/kernel/config/target")
}

/// Why a volume was not brought into the wanted state, or not read.
#[derive(Debug, thiserror::Error)]
enum LioError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the state file cannot be written: {0}; free the disk it is on")]
    State(#[from] std::io::Error),
    #[error("{0}")]
    Remains(String),
}

/// The driver of this host's kernel.
#[derive(Debug)]
pub struct Lio {
    storage: StorageId,
    volumes: BTreeMap<VolumeName, Export>,
    /// The target is driven by one hand: changes are sequential.
    inner: Mutex<Inner>,
}

/// Most bytes of a target's name and of a backing path that the kernel takes whole (`ISCSI_IQN_LEN`, `FD_MAX_DEV_NAME`, `SE_UDEV_PATH_LEN`).
const NAME_BYTES_MAX: usize = 223;
const PATH_BYTES_MAX: usize = 255;

/// True if the kernel finds this name: it is one folder, and initiators' names are looked for in small letters.
fn is_folder_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase() && c != '/';
    is_initiator_name(name) && name.len() <= NAME_BYTES_MAX && name.chars().all(plain)
}

fn contradiction(config: &LioConfig, kernel: &dyn Kernel) -> Option<String> {
    let (mut targets, mut files, mut objects) = (BTreeSet::new(), BTreeSet::new(), HashMap::new());
    if config.portals.is_empty() {
        return Some("there is no portal: name the address and port on which targets listen".into());
    }
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
        if export.lun > u64::from(u16::MAX >> 2) {
            return Some(format!("volume `{name}`: there is no logical unit {}: use 1", export.lun));
        }
        if !is_folder_name(&export.target) {
            return Some(format!(
                "volume `{name}`: `{}` is not a target name: it begins with iqn. and has small letters",
                export.target
            ));
        }
        if let Some(backing) = kernel.backing(&export.file)
            && let Some(other) = objects.insert(backing.object().clone(), name)
        {
            return Some(format!("volumes `{other}` and `{name}` are one file under two names"));
        }
        let plain = |text: &str| text.len() <= PATH_BYTES_MAX && !text.contains([',', '\n']);
        if !export.file.is_absolute() || !export.file.to_str().is_some_and(plain) {
            let file = export.file.display();
            return Some(format!(
                "volume `{name}`: {file} is not an absolute path without commas, of {PATH_BYTES_MAX} bytes at most"
            ));
        }
    }
    None
}

impl Lio {
    /// Opens the driver of this host's kernel; its state file lies in `folder`. The kernel is not asked yet.
    pub fn open(storage: StorageId, config: LioConfig, folder: &Path) -> Result<Lio, OpenError> {
        let file = ThisFile(folder.join(format!("storage-{storage}.json")));
        let kernel = Arc::new(ThisKernel { root: config.configfs.clone() });
        Lio::open_on(storage, config, Box::new(file), kernel)
    }

    /// The same of a given kernel, with the state on a given disk, which this driver alone uses.
    pub fn open_on(
        storage: StorageId,
        config: LioConfig,
        disk: Box<dyn Disk>,
        kernel: Arc<dyn Kernel>,
    ) -> Result<Lio, OpenError> {
        if let Some(reason) = contradiction(&config, &*kernel) {
            return Err(OpenError::Config { storage, reason });
        }
        let place = disk.place();
        let state = StateFile::open(disk).map_err(|reason| OpenError::State {
            storage: storage.clone(),
            path: place.display().to_string(),
            reason,
        })?;
        let inner =
            Inner { calls: Calls::of(kernel), state, counters: HashMap::new(), portals: config.portals, patience: DRAIN_TIMEOUT };
        Ok(Lio { storage, volumes: config.volumes, inner: Mutex::new(inner) })
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

fn unconfirmed(volume: &VolumeName, error: &LioError) -> AgentError {
    AgentError::Unconfirmed { reason: format!("volume `{volume}`: {error}") }
}

fn unread(volume: &VolumeName, error: &LioError) -> AgentError {
    let reason = format!("volume `{volume}`: {error}");
    match error {
        LioError::Call(CallError::Garbled { .. } | CallError::Refused { .. }) => AgentError::Unconfirmed { reason },
        _ => AgentError::Unreachable { reason },
    }
}

/// Why the admission cannot be told to the kernel as it is. An account that begins with `NULL` is none to it.
fn untellable(admission: &Admission) -> Option<String> {
    let none = |text: &str| text.starts_with("NULL");
    unusable(admission).or_else(|| {
        if !is_folder_name(&admission.initiator.0) {
            return Some(format!("`{}` is not an initiator name in small letters", admission.initiator));
        }
        let account = none(&admission.user) || none(admission.secret.expose());
        account.then(|| "the CHAP user or secret begins with NULL, which the kernel takes for none".into())
    })
}

#[async_trait]
impl Storage for Lio {
    async fn read(&self, volume: &VolumeName) -> Result<VolumeReading, AgentError> {
        let export = self.export(volume)?;
        let mut inner = self.inner.lock().await;
        inner.read(&self.storage, volume, export).await.map_err(|error| unread(volume, &error))
    }

    async fn revoke(&self, volume: &VolumeName, keep: Option<&InitiatorName>) -> Result<VolumeReading, AgentError> {
        let export = self.export(volume)?;
        let mut inner = self.inner.lock().await;
        // a look of the clock that was given up may have left its own
        inner.patience = DRAIN_TIMEOUT;
        let admitted = inner.state.decided(volume).flatten();
        let kept = admitted.filter(|admitted| Some(&admitted.initiator) == keep).cloned();
        inner.decide(volume, kept.clone()).map_err(|error| unconfirmed(volume, &error))?;
        inner.enforce(volume, export, kept.as_ref()).await.map_err(|error| unconfirmed(volume, &error))?;
        self.confirm(&mut inner, volume, export, kept.as_ref().map(|kept| &kept.initiator)).await
    }

    async fn grant(&self, volume: &VolumeName, admission: &Admission) -> Result<VolumeReading, AgentError> {
        let export = self.export(volume)?;
        if let Some(reason) = untellable(admission) {
            return Err(AgentError::Rejected { reason });
        }
        let wanted =
            Admitted { initiator: admission.initiator.clone(), user: admission.user.clone(), secret: admission.secret.clone() };
        let mut inner = self.inner.lock().await;
        inner.patience = DRAIN_TIMEOUT;
        if !inner.has_backing(export).await.map_err(|error| unread(volume, &error.into()))? {
            let reason = format!("volume `{volume}`: its backing file {} does not exist", export.file.display());
            return Err(AgentError::Rejected { reason });
        }
        inner.decide(volume, Some(wanted.clone())).map_err(|error| unconfirmed(volume, &error))?;
        let done = match inner.enforce(volume, export, Some(&wanted)).await {
            Ok(()) => self.confirm(&mut inner, volume, export, Some(&wanted.initiator)).await,
            Err(error) => Err(unconfirmed(volume, &error)),
        };
        if done.is_err() {
            // half an admission is none: whoever retries begins from nobody
            let shut = match inner.decide(volume, None) {
                Ok(()) => inner.enforce(volume, export, None).await,
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
impl Kept for Lio {
    async fn forget_others(&self, holders: &BTreeMap<VolumeName, InitiatorName>) -> Result<(), AgentError> {
        let mut inner = self.inner.lock().await;
        let failed = |error| AgentError::Unreachable { reason: LioError::State(error).to_string() };
        for (volume, forgotten) in inner.state.forget_others(holders).map_err(failed)? {
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
