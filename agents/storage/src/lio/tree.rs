//! What the kernel's target serves to whom, as configfs shows it. Total, and it fails closed: what it does not understand is an error, never
//! an empty list.
//!
//! One look has two parts. The frame is every backstore and every logical unit of every fabric, since any of them may serve a volume's
//! object a second time. The detail is who may log in to one portal group, and who has; it is asked for where it matters.

use super::calls::{CallError, refused};
use super::info::{Shown, backing, commands, dynamic, flag, line, session};
use super::kernel::{Kernel, Kind, device};
use crate::host::Object;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use vocabulary::Secret;
use vocabulary::storage::Session;

/// The fabric that this driver serves by.
pub(super) const FABRIC: &str = "iscsi";
/// Where backstores are; every other folder of the root is a fabric.
const STORES: &str = "core";
/// A folder of `core` that is no adapter of backstores.
const ALUA: &str = "alua";
/// The folder of a portal group's logical units; other folders of a target have none.
const UNITS: &str = "lun";

/// A backstore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Store {
    /// What it serves, by the kernel's word; `None` if it was never told.
    pub path: Option<PathBuf>,
    /// The object behind it, if that can be found.
    pub object: Option<Object>,
    /// Its kernel says that it can be served.
    pub enabled: bool,
}

/// A logical unit that serves a backstore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unit {
    /// Its folder's name, `lun_1`.
    pub name: String,
    /// The link's path.
    pub link: String,
    /// The backstore's path.
    pub store: String,
}

/// A portal group of a target, or what another fabric has in its stead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The fabric.
    pub fabric: String,
    /// The target's path.
    pub target: String,
    /// Its own path.
    pub path: String,
    /// Its logical units.
    pub units: Vec<Unit>,
}

/// Every backstore and every logical unit.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Frame {
    /// Backstores by their paths.
    pub stores: BTreeMap<String, Store>,
    /// All portal groups.
    pub groups: Vec<Group>,
}

/// A logical unit as one initiator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Its folder's name, `lun_1`.
    pub name: String,
    /// The link's path, and the logical unit's path; `None` if it leads nowhere.
    pub link: Option<(String, String)>,
    /// It can only be read.
    pub read_only: bool,
}

/// One admitted initiator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl {
    /// Who: the folder's name.
    pub name: String,
    /// CHAP user.
    pub user: String,
    /// CHAP secret.
    pub secret: Secret,
    /// It needs no secret, whatever its portal group says.
    pub without_secret: bool,
    /// What it sees.
    pub mapped: Vec<Mapped>,
    /// The newest of its sessions, if it has any.
    pub session: Option<Session>,
}

/// Who may log in to one portal group, and who has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detail {
    /// It lets initiators in at all.
    pub enabled: bool,
    /// Nobody gets in by anything but a name that is admitted and its secret.
    pub closed: bool,
    /// The admitted.
    pub admissions: Vec<Acl>,
    /// Initiators with a session that nobody admitted by name.
    pub dynamic: Vec<String>,
    /// Sessions of the whole target, by the kernel's count.
    pub sessions: u64,
    /// Where it listens.
    pub portals: Vec<String>,
}

/// Asks the kernel, and names what was asked.
pub(super) struct Look<'a>(pub &'a dyn Kernel);

impl Look<'_> {
    fn list(&self, folder: &str, kind: Kind) -> Result<Vec<String>, CallError> {
        let found = self.0.list(folder).map_err(|error| refused(&format!("list {folder}"), &error))?;
        let mut names: Vec<String> = found.into_iter().filter(|(_, of)| *of == kind).map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, file: &str) -> Result<String, CallError> {
        self.0.read(file).map_err(|error| refused(&format!("read {file}"), &error))
    }

    /// `None` if this kernel has no such attribute.
    fn read_if_there(&self, file: &str) -> Result<Option<String>, CallError> {
        match self.0.read(file) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(|error| refused(&format!("read {file}"), &error)),
        }
    }

    fn understood<T>(&self, file: &str, read: impl FnOnce(&str) -> Shown<T>) -> Result<T, CallError> {
        read(&self.read(file)?).map_err(|reason| CallError::Garbled { what: file.to_owned(), reason })
    }

    fn follow(&self, link: &str) -> Result<String, CallError> {
        self.0.follow(link).map_err(|error| refused(&format!("follow {link}"), &error))
    }

    /// Every backstore and every logical unit.
    pub fn frame(&self) -> Result<Frame, CallError> {
        let mut frame = Frame::default();
        let root = match self.0.list("") {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Err(CallError::Absent { root: self.0.place() }),
            other => other.map_err(|error| refused("list the target", &error))?,
        };
        for (fabric, _) in root.into_iter().filter(|(_, kind)| *kind == Kind::Folder) {
            if fabric == STORES {
                self.stores(&mut frame)?;
                continue;
            }
            for target in self.list(&fabric, Kind::Folder)? {
                let target = format!("{fabric}/{target}");
                let groups = self.list(&target, Kind::Folder)?;
                for group in groups {
                    let path = format!("{target}/{group}");
                    // fabrics name their groups as they like (6.1: `srpt_make_tpg` takes any name): one that has logical units is one
                    if !self.list(&path, Kind::Folder)?.iter().any(|folder| folder == UNITS) {
                        continue;
                    }
                    let units = self.units(&path)?;
                    frame.groups.push(Group { fabric: fabric.clone(), target: target.clone(), path, units });
                }
            }
        }
        Ok(frame)
    }

    fn stores(&self, frame: &mut Frame) -> Result<(), CallError> {
        for adapter in self.list(STORES, Kind::Folder)?.iter().filter(|adapter| *adapter != ALUA) {
            let adapter = format!("{STORES}/{adapter}");
            for store in self.list(&adapter, Kind::Folder)? {
                let path = format!("{adapter}/{store}");
                let store = self.store(&path)?;
                frame.stores.insert(path, store);
            }
        }
        Ok(())
    }

    /// What a backstore serves. Of a block device the kernel shows the numbers, which no renaming changes; of a file its path.
    fn store(&self, path: &str) -> Result<Store, CallError> {
        let enabled = self.understood(&format!("{path}/enable"), flag)?;
        let shown = self.read(&format!("{path}/info"))?;
        let (path, numbers) = backing(&shown);
        let by_path = || path.as_ref().and_then(|path| self.0.backing(path)).map(|found| found.object().clone());
        let object = numbers.map(|(major, minor)| device(major, minor)).or_else(by_path);
        Ok(Store { path, object, enabled })
    }

    fn units(&self, group: &str) -> Result<Vec<Unit>, CallError> {
        let mut units = Vec::new();
        let folder = format!("{group}/lun");
        for name in self.list(&folder, Kind::Folder)? {
            let unit = format!("{folder}/{name}");
            for link in self.list(&unit, Kind::Link)? {
                let link = format!("{unit}/{link}");
                let store = self.follow(&link)?;
                units.push(Unit { name: name.clone(), link, store });
            }
        }
        Ok(units)
    }

    /// How many commands a backstore served since it was made.
    pub fn commands(&self, store: &str) -> Result<u64, CallError> {
        self.understood(&format!("{store}/statistics/scsi_lu/num_cmds"), commands)
    }

    /// The serial number under which a backstore shows itself.
    pub fn serial(&self, store: &str) -> Result<String, CallError> {
        let shown = self.read(&format!("{store}/wwn/vpd_unit_serial"))?;
        Ok(shown.split_once(": ").map_or("", |(_, serial)| serial).trim().to_owned())
    }

    /// How many sessions the target of a group has. The count falls when the last command of a session is done and the session is freed
    /// (6.1: `iscsit_close_session` in `iscsi_target.c`, after `iscsit_close_connection` has waited for its commands), so it also counts
    /// those that an `info` shows no more.
    pub fn sessions(&self, target: &str) -> Result<u64, CallError> {
        self.understood(&format!("{target}/fabric_statistics/iscsi_instance/sessions"), commands)
    }

    /// Whence the sessions of all iSCSI targets but one come, one address a session that is shown.
    pub fn addresses(&self, but: &str) -> Result<Vec<IpAddr>, CallError> {
        let mut addresses = Vec::new();
        for group in self.frame()?.groups.iter().filter(|group| group.fabric == FABRIC && group.target != but) {
            let sessions = self.detail(group)?.admissions.into_iter().filter_map(|acl| acl.session);
            addresses.extend(sessions.filter_map(|session| session.address.parse::<IpAddr>().ok()));
        }
        Ok(addresses)
    }

    /// Who may log in to an iSCSI portal group, and who has.
    pub fn detail(&self, group: &Group) -> Result<Detail, CallError> {
        let at = |name: &str| format!("{}/{name}", group.path);
        // an account of the group itself is for initiators that nobody admitted by name: those that the kernel admitted once, while it was
        // told to admit everybody, it keeps and never shows (`cache_dynamic_acls`)
        let account = !line(&self.read(&at("auth/userid"))?).is_empty() || !line(&self.read(&at("auth/password"))?).is_empty();
        let everybody = self.understood(&at("attrib/generate_node_acls"), flag)?;
        let secrets = self.understood(&at("attrib/authentication"), flag)?;
        let mut admissions = Vec::new();
        for name in self.list(&at("acls"), Kind::Folder)? {
            admissions.push(self.acl(&at("acls"), name)?);
        }
        Ok(Detail {
            enabled: self.understood(&at("enable"), flag)?,
            closed: secrets && !everybody && !account,
            admissions,
            dynamic: dynamic(&self.read(&at("dynamic_sessions"))?),
            sessions: self.sessions(&group.target)?,
            portals: self.list(&at("np"), Kind::Folder)?,
        })
    }

    fn acl(&self, acls: &str, name: String) -> Result<Acl, CallError> {
        let at = |of: &str| format!("{acls}/{name}/{of}");
        let own = self.read_if_there(&at("attrib/authentication"))?;
        let mut mapped = Vec::new();
        for unit in self.list(&format!("{acls}/{name}"), Kind::Folder)?.into_iter().filter(|unit| unit.starts_with("lun_")) {
            let mut links = Vec::new();
            for link in self.list(&at(&unit), Kind::Link)? {
                let link = at(&format!("{unit}/{link}"));
                let to = self.follow(&link)?;
                links.push((link, to));
            }
            let read_only = self.understood(&at(&format!("{unit}/write_protect")), flag)?;
            mapped.push(Mapped { name: unit, link: links.pop(), read_only });
        }
        let session = session(&name, &self.read(&at("info"))?);
        let session = session.map_err(|reason| CallError::Garbled { what: at("info"), reason })?;
        Ok(Acl {
            user: line(&self.read(&at("auth/userid"))?).to_owned(),
            secret: Secret::new(line(&self.read(&at("auth/password"))?)),
            without_secret: own.is_some_and(|own| line(&own) == "0"),
            mapped,
            session,
            name,
        })
    }
}
