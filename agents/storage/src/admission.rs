//! What every driver that keeps admissions shares: the export of a volume, which admissions can be told to a target, and what a reading must
//! not show. Must never be laxer for one driver than for another.

use crate::limits::CREDENTIAL_BYTES_MAX;
use contract::storage::Admission;
use serde::Deserialize;
use std::path::PathBuf;
use vocabulary::storage::{InitiatorName, VolumeReading};

/// The one export of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The target's name; no two volumes share one, since admissions stand at targets.
    pub target: String,
    /// The logical unit; tgt keeps 0 for itself.
    pub lun: u64,
    /// The backing file or block device.
    pub file: PathBuf,
}

/// True if the admission is an exact initiator name; everything else admits by address.
pub(crate) fn is_initiator_name(admission: &str) -> bool {
    ["iqn.", "eui.", "naa."].iter().any(|prefix| admission.starts_with(prefix))
}

/// What of a reading is more, or less, than `wanted` alone.
pub(crate) fn excess(reading: &VolumeReading, wanted: Option<&InitiatorName>) -> Option<String> {
    if reading.open_to_others {
        return Some("an export admits initiators by address or without a secret".into());
    }
    if let Some(other) = reading.allowed.iter().find(|name| Some(*name) != wanted) {
        return Some(format!("{other} is still admitted"));
    }
    if let Some(session) = reading.sessions.iter().find(|session| Some(&session.initiator) != wanted) {
        return Some(format!("session {} of {} from {} still stands", session.number, session.initiator, session.address));
    }
    if reading.exports != 1 {
        return Some(format!("the backing file has {} exports instead of one", reading.exports));
    }
    if !reading.persistent || reading.allowed.len() != usize::from(wanted.is_some()) {
        return Some("what is admitted is not what the durable state says".into());
    }
    None
}

/// Why the admission cannot be told to a target as it is.
pub(crate) fn unusable(admission: &Admission) -> Option<String> {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    let fits = |text: &str| (1..=CREDENTIAL_BYTES_MAX).contains(&text.len());
    let name = &admission.initiator.0;
    if !is_initiator_name(name) || !plain(name) || !fits(name) {
        return Some(format!("`{}` is not an initiator name", name.escape_debug()));
    }
    if !plain(&admission.user) || !fits(&admission.user) || admission.user.starts_with('-') {
        return Some("the CHAP user is empty, too long, or has characters other than printable ASCII".into());
    }
    let secret = admission.secret.expose();
    if !plain(secret) || !fits(secret) || secret.starts_with('-') {
        return Some("the CHAP secret is empty, too long, begins with '-' or has characters other than printable ASCII".into());
    }
    None
}
