//! What the daemon knows, all of it in memory.

use super::session::Session;
use std::collections::BTreeMap;

/// One logical unit.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// The path it was made of; the controller, unit 0, has none.
    pub path: Option<String>,
    /// The object it has open.
    pub object: Option<String>,
    pub bytes: u64,
    pub scsi_id: String,
    pub serial: String,
}

/// One target.
#[derive(Clone, Debug, Default)]
pub(super) struct Export {
    pub name: String,
    pub units: BTreeMap<u64, Unit>,
    /// Account numbers by place. A place may be empty; see [`super::show`] for what becomes of an empty one before a full one.
    pub accounts: Vec<Option<u32>>,
    /// Admitted addresses, as they were bound.
    pub addresses: Vec<String>,
    /// Admitted names.
    pub names: Vec<String>,
    pub sessions: BTreeMap<u64, Session>,
}

/// One CHAP account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub number: u32,
    pub user: String,
    pub secret: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Daemon {
    pub exports: BTreeMap<u32, Export>,
    /// The newest first, as they are listed.
    pub accounts: Vec<Account>,
    pub last_account: u32,
    /// Sessions are numbered over all targets.
    pub last_session: u64,
}

impl Daemon {
    pub fn account(&self, user: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.user == user)
    }

    pub fn user(&self, number: u32) -> Option<&str> {
        self.accounts.iter().find(|account| account.number == number).map(|account| account.user.as_str())
    }
}
