//! What a driver knows for ever: who is admitted to which volume, with which secret, and which target numbers were used.
//! Written and fsynced before the target is touched. Must never be guessed: an unreadable file stops the driver.

use crate::host::Disk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use vocabulary::storage::InitiatorName;
use vocabulary::{Secret, VolumeName};

/// The form of the file; another form is refused.
const VERSION: u32 = 1;

/// One admitted initiator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admitted {
    /// Who.
    pub initiator: InitiatorName,
    /// CHAP user.
    pub user: String,
    /// CHAP secret.
    pub secret: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    /// The next target number. A number is never used twice while a daemon lives: see `tgt::revoke`. Drivers whose targets have names alone
    /// leave it as it is.
    next_tid: u32,
    /// Decided volumes; `null` means that nobody is admitted. A volume that is not here was never decided by this agent.
    volumes: BTreeMap<VolumeName, Option<Admitted>>,
}

/// The epoch in a placement's initiator name; `None`, which is older than any, for a name of another kind.
fn placement(name: &InitiatorName) -> Option<u64> {
    name.0.rsplit_once(".e")?.1.parse().ok()
}

/// The durable state.
#[derive(Debug)]
pub struct StateFile {
    disk: Box<dyn Disk>,
    content: Content,
}

impl StateFile {
    /// Reads the file; an absent one is an empty state, an unreadable one an error that says what to do.
    pub fn open(disk: Box<dyn Disk>) -> Result<StateFile, String> {
        let fresh = Content { version: VERSION, next_tid: 1, volumes: BTreeMap::new() };
        let content = match disk.read() {
            Ok(None) => fresh,
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).map_err(|error| {
                format!("it is damaged ({error}); move it away, then have the agent readopted: it admits nobody by itself before")
            })?,
            Err(error) => return Err(format!("it cannot be read: {error}")),
        };
        if content.version != VERSION {
            return Err(format!(
                "it has form {}, and this agent reads form {VERSION}; run the agent that wrote it",
                content.version
            ));
        }
        Ok(StateFile { disk, content })
    }

    /// What was decided: `None` if never, `Some(None)` if nobody is admitted.
    pub fn decided(&self, volume: &VolumeName) -> Option<Option<&Admitted>> {
        self.content.volumes.get(volume).map(Option::as_ref)
    }

    /// Decides, durably.
    pub fn decide(&mut self, volume: &VolumeName, admitted: Option<Admitted>) -> io::Result<()> {
        if self.content.volumes.get(volume) == Some(&admitted) {
            return Ok(());
        }
        let mut next = self.content.clone();
        next.volumes.insert(volume.clone(), admitted);
        self.write(next)
    }

    /// Drops, durably, every admission of a held volume that is older than its holder's; says which. A newer one stays: there it is the
    /// gate's memory that is the older.
    pub fn forget_others(
        &mut self,
        holders: &BTreeMap<VolumeName, InitiatorName>,
    ) -> io::Result<Vec<(VolumeName, InitiatorName)>> {
        let mut older = Vec::new();
        for (volume, holder) in holders {
            if let Some(Some(admitted)) = self.content.volumes.get(volume)
                && placement(&admitted.initiator) < placement(holder)
            {
                older.push((volume.clone(), admitted.initiator.clone()));
            }
        }
        if !older.is_empty() {
            let mut next = self.content.clone();
            next.volumes.retain(|volume, _| older.iter().all(|(of, _)| of != volume));
            self.write(next)?;
        }
        Ok(older)
    }

    /// A target number that was never used and is larger than `seen`, durably taken.
    pub fn take_tid(&mut self, seen: u32) -> io::Result<u32> {
        let tid = self.content.next_tid.max(seen.saturating_add(1)).max(1);
        self.write(Content { next_tid: tid.saturating_add(1), ..self.content.clone() })?;
        Ok(tid)
    }

    /// Another volume's admission that uses this CHAP user.
    pub fn user_elsewhere(&self, volume: &VolumeName, user: &str) -> Option<(&VolumeName, &Admitted)> {
        let admitted = self.content.volumes.iter().filter_map(|(name, admitted)| Some((name, admitted.as_ref()?)));
        admitted.into_iter().find(|(name, admitted)| *name != volume && admitted.user == user)
    }

    fn write(&mut self, next: Content) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&next).map_err(io::Error::other)?;
        self.disk.replace(&bytes)?;
        self.content = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ThisFile;
    use std::path::Path;

    fn open(path: &Path) -> Result<StateFile, String> {
        StateFile::open(Box::new(ThisFile(path.to_owned())))
    }

    fn admitted(n: u32) -> Admitted {
        Admitted {
            initiator: InitiatorName(format!("iqn.2026-01.org.understudy:web1.e{n}")),
            user: format!("web1.e{n}"),
            secret: Secret::new(format!("secret{n}")),
        }
    }

    #[test]
    fn it_survives_and_tells_never_from_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let (web1, web2, web3): (VolumeName, VolumeName, VolumeName) =
            ("web1".parse().unwrap(), "web2".parse().unwrap(), "web3".parse().unwrap());
        let mut state = open(&path).unwrap();
        state.decide(&web1, Some(admitted(1))).unwrap();
        state.decide(&web2, None).unwrap();
        assert_eq!(state.take_tid(0).unwrap(), 1);
        assert_eq!(state.take_tid(7).unwrap(), 8);
        let again = open(&path).unwrap();
        assert_eq!(again.decided(&web1), Some(Some(&admitted(1))));
        assert_eq!(again.decided(&web2), Some(None));
        assert_eq!(again.decided(&web3), None);
        assert_eq!(again.user_elsewhere(&web2, "web1.e1").map(|(name, _)| name), Some(&web1));
        assert!(again.user_elsewhere(&web1, "web1.e1").is_none());
        assert_eq!(again.content.next_tid, 9, "a target number is never used twice");
    }

    #[test]
    fn only_an_admission_older_than_the_holders_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let names: Vec<VolumeName> = ["older", "same", "newer", "unheld"].map(|name| name.parse().unwrap()).into();
        let mut state = open(&path).unwrap();
        for (volume, epoch) in names.iter().zip([9, 10, 11, 9]) {
            state.decide(volume, Some(admitted(epoch))).unwrap();
        }
        let holders = names.iter().take(3).map(|volume| (volume.clone(), admitted(10).initiator)).collect();
        assert_eq!(state.forget_others(&holders).unwrap(), [(names[0].clone(), admitted(9).initiator)]);
        assert_eq!(state.forget_others(&holders).unwrap(), []);
        let again = open(&path).unwrap();
        assert_eq!(again.decided(&names[0]), None, "durably, and as if it had never been decided");
        for (volume, epoch) in names.iter().zip([9, 10, 11, 9]).skip(1) {
            assert_eq!(again.decided(volume), Some(Some(&admitted(epoch))));
        }
    }

    #[test]
    fn a_damaged_file_is_no_empty_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        for damaged in [&b""[..], b"{", b"{\"version\":1}", b"{\"version\":2,\"next_tid\":1,\"volumes\":{}}"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(open(&path).is_err());
        }
    }

    #[test]
    fn an_unwritable_folder_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("s.json");
        let mut state = open(&path).unwrap();
        let web1: VolumeName = "web1".parse().unwrap();
        assert!(state.decide(&web1, Some(admitted(1))).is_err());
        assert_eq!(state.decided(&web1), None);
    }
}
