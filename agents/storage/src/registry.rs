//! Which drivers there are: a line a driver. Nothing above this file names one.

use crate::kept::{Kept, OpenError};
use crate::lio::{Lio, LioConfig};
use crate::tgt::{Tgt, TgtConfig};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use vocabulary::StorageId;

/// A storage target as an agent's configuration describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The storage's name in the estate.
    pub storage: StorageId,
    /// The driver and what it needs.
    pub driver: Driver,
}

/// The drivers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// The Linux kernel's SCSI target, through configfs.
    Lio(LioConfig),
    /// The Linux SCSI target daemon, through `tgtadm`.
    Tgt(TgtConfig),
}

/// Opens the driver. Keeps its durable state in `folder`. Touches no target yet.
pub fn open(config: &StorageConfig, folder: &Path) -> Result<Arc<dyn Kept>, OpenError> {
    match &config.driver {
        Driver::Lio(lio) => Ok(Arc::new(Lio::open(config.storage.clone(), lio.clone(), folder)?)),
        Driver::Tgt(tgt) => Ok(Arc::new(Tgt::open(config.storage.clone(), tgt.clone(), folder)?)),
    }
}
