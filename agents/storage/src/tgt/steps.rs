//! The daemon's single commands, named. Each is one call of the tool; none decides anything.

use super::command::Tool;
use super::host::CommandError;
use super::parse::{self, Connection, Served, Target};
use crate::admission::is_initiator_name;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

fn understood<T>(what: &str, read: Result<T, String>) -> Result<T, CommandError> {
    read.map_err(|reason| CommandError::Garbled { what: what.to_owned(), reason })
}

impl Tool {
    /// Every target.
    pub async fn targets(&self) -> Result<Arc<Vec<Target>>, CommandError> {
        let printed = self.call(&["--mode", "target", "--op", "show"]).await?;
        // nothing that holds it can fail in between
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if listed.0 != printed {
            let targets = understood("--mode target --op show", parse::targets(&printed))?;
            *listed = (printed, Arc::new(targets));
        }
        Ok(listed.1.clone())
    }

    /// Every connection of a target.
    pub async fn connections(&self, tid: u32) -> Result<Vec<Connection>, CommandError> {
        let printed = self.call(&["--mode", "conn", "--op", "show", "--tid", &tid.to_string()]).await?;
        understood("--mode conn --op show", parse::connections(&printed))
    }

    /// What a target served.
    pub async fn served(&self, tid: u32) -> Result<Vec<Served>, CommandError> {
        let printed = self.call(&["--mode", "target", "--op", "stat", "--tid", &tid.to_string()]).await?;
        understood("--mode target --op stat", parse::served(&printed))
    }

    /// Every CHAP account.
    pub async fn accounts(&self) -> Result<BTreeSet<String>, CommandError> {
        let printed = self.call(&["--mode", "account", "--op", "show"]).await?;
        understood("--mode account --op show", parse::accounts(&printed))
    }

    /// Makes a target that admits nobody.
    pub async fn make_target(&self, tid: u32, name: &str) -> Result<(), CommandError> {
        self.call(&["--mode", "target", "--op", "new", "--tid", &tid.to_string(), "--targetname", name]).await.map(drop)
    }

    /// Removes a target; the daemon refuses while a session stands.
    pub async fn remove_target(&self, tid: u32) -> Result<(), CommandError> {
        self.call(&["--mode", "target", "--op", "delete", "--tid", &tid.to_string()]).await.map(drop)
    }

    /// Adds a logical unit.
    pub async fn make_lun(&self, tid: u32, lun: u64, file: &str) -> Result<(), CommandError> {
        let (tid, lun) = (tid.to_string(), lun.to_string());
        self.call(&["--mode", "logicalunit", "--op", "new", "--tid", &tid, "--lun", &lun, "--backing-store", file])
            .await
            .map(drop)
    }

    /// Gives a logical unit its identity, which the daemon would otherwise make from the target's number.
    pub async fn name_lun(&self, tid: u32, lun: u64, id: &str, serial: &str) -> Result<(), CommandError> {
        let (tid, lun, params) = (tid.to_string(), lun.to_string(), format!("scsi_id={id},scsi_sn={serial}"));
        self.call(&["--mode", "logicalunit", "--op", "update", "--tid", &tid, "--lun", &lun, "--params", &params]).await.map(drop)
    }

    /// Removes a logical unit; the daemon refuses while a command is being served.
    pub async fn remove_lun(&self, tid: u32, lun: u64) -> Result<(), CommandError> {
        self.call(&["--mode", "logicalunit", "--op", "delete", "--tid", &tid.to_string(), "--lun", &lun.to_string()])
            .await
            .map(drop)
    }

    /// Admits an initiator name at a target.
    pub async fn admit(&self, tid: u32, initiator: &str) -> Result<(), CommandError> {
        let tid = tid.to_string();
        self.call(&["--mode", "target", "--op", "bind", "--tid", &tid, "--initiator-name", initiator]).await.map(drop)
    }

    /// Takes an admission back, be it a name or an address.
    pub async fn dismiss(&self, tid: u32, admission: &str) -> Result<(), CommandError> {
        let (tid, name) = (tid.to_string(), is_initiator_name(admission));
        let flag = if name { "--initiator-name" } else { "--initiator-address" };
        self.call(&["--mode", "target", "--op", "unbind", "--tid", &tid, flag, admission]).await.map(drop)
    }

    /// Makes a CHAP account.
    pub async fn make_account(&self, user: &str, secret: &str) -> Result<(), CommandError> {
        self.call_with_secret(&["--mode", "account", "--op", "new", "--user", user, "--password"], Some(secret)).await.map(drop)
    }

    /// Removes a CHAP account.
    pub async fn remove_account(&self, user: &str) -> Result<(), CommandError> {
        self.call(&["--mode", "account", "--op", "delete", "--user", user]).await.map(drop)
    }

    /// Demands this account of initiators at a target.
    pub async fn bind_account(&self, tid: u32, user: &str) -> Result<(), CommandError> {
        self.call(&["--mode", "account", "--op", "bind", "--tid", &tid.to_string(), "--user", user]).await.map(drop)
    }

    /// Takes an account away from a target.
    pub async fn unbind_account(&self, tid: u32, user: &str) -> Result<(), CommandError> {
        self.call(&["--mode", "account", "--op", "unbind", "--tid", &tid.to_string(), "--user", user]).await.map(drop)
    }

    /// Ends one connection. That it is gone already is no error: whoever asks looks again.
    pub async fn end(&self, tid: u32, connection: &Connection) -> Result<(), CommandError> {
        let (tid, sid, cid) = (tid.to_string(), connection.session.to_string(), connection.connection.to_string());
        match self.call(&["--mode", "conn", "--op", "delete", "--tid", &tid, "--sid", &sid, "--cid", &cid]).await {
            Err(CommandError::Refused { .. }) => Ok(()),
            other => other.map(drop),
        }
    }
}
