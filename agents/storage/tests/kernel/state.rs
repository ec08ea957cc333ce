//! What the simulated kernel holds: backstores, targets, admissions, sessions, and logins that have begun. Must never admit by anything but
//! its own attributes.

use super::{ENOENT, error};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use storage::host::Object;
use storage::lio::kernel::{Backing, Connection};

/// A backstore.
#[derive(Debug, Default)]
pub struct Store {
    pub control: String,
    pub path: Option<PathBuf>,
    pub enabled: bool,
    pub serial: String,
    pub commands: u64,
}

/// A link: its name, and where it leads.
pub type Link = Option<(String, String)>;

/// An admission.
#[derive(Debug)]
pub struct Acl {
    pub user: String,
    pub secret: String,
    pub authentication: String,
    /// Mapped units: link, and whether they can only be read.
    pub units: BTreeMap<String, Link>,
    pub read_only: bool,
}

impl Acl {
    pub fn new() -> Acl {
        Acl { user: String::new(), secret: String::new(), authentication: "-1".into(), units: BTreeMap::new(), read_only: false }
    }
}

/// A portal group.
#[derive(Debug)]
pub struct Group {
    pub enabled: bool,
    pub attributes: BTreeMap<String, String>,
    pub user: String,
    pub secret: String,
    pub units: BTreeMap<String, Link>,
    pub acls: BTreeMap<String, Acl>,
    pub portals: BTreeSet<String>,
    /// Admissions that the kernel made by itself and shows nowhere.
    pub hidden: BTreeSet<String>,
}

impl Group {
    pub fn new() -> Group {
        let attributes = [("authentication", "1"), ("generate_node_acls", "0"), ("cache_dynamic_acls", "0")];
        Group {
            enabled: false,
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            user: String::new(),
            secret: String::new(),
            units: BTreeMap::new(),
            acls: BTreeMap::new(),
            portals: BTreeSet::new(),
            hidden: BTreeSet::new(),
        }
    }

    fn is(&self, attribute: &str) -> bool {
        self.attributes.get(attribute).is_some_and(|value| value == "1")
    }
}

/// A session.
#[derive(Debug)]
pub struct Session {
    pub number: u64,
    pub target: String,
    pub group: String,
    pub who: String,
    pub dynamic: bool,
    pub alias: String,
    pub in_flight: u32,
    pub ending: bool,
    pub connection: Connection,
}

/// A login that has proved what it must, and has not made its session yet.
#[derive(Debug, Clone)]
pub struct Login {
    pub target: String,
    pub group: String,
    pub who: String,
    pub dynamic: bool,
    pub connection: Connection,
}

/// Everything.
#[derive(Debug, Default)]
pub struct State {
    pub fabric: bool,
    pub adapters: BTreeSet<String>,
    pub stores: BTreeMap<String, Store>,
    pub targets: BTreeMap<String, BTreeMap<String, Group>>,
    pub sessions: Vec<Session>,
    pub logins: BTreeMap<u64, Login>,
    pub files: BTreeMap<PathBuf, Backing>,
    /// Folders that a call holds.
    pub locked: BTreeSet<String>,
    /// Every call takes this long.
    pub slow: Duration,
    /// A call (`write`), a part of its path, the error.
    pub refuses: Option<(String, String, i32)>,
    /// Everything that was written.
    pub writes: Vec<(String, String)>,
    pub destroyed: Vec<Connection>,
    next: u64,
}

impl State {
    pub fn group(&mut self, target: &str, group: &str) -> io::Result<&mut Group> {
        self.targets.get_mut(target).and_then(|groups| groups.get_mut(group)).ok_or_else(|| error(ENOENT))
    }

    /// The machine starts again: nothing is left but its files.
    pub fn restart(&mut self) {
        *self = State { files: std::mem::take(&mut self.files), ..State::default() };
    }

    pub fn begin(&mut self, target: &str, who: &str, account: Option<(&str, &str)>, from: &str) -> Option<u64> {
        let (name, group) =
            self.targets.get_mut(target)?.iter_mut().find(|(_, group)| group.enabled && !group.portals.is_empty())?;
        let (dynamic, required, user, secret) = match group.acls.get(who) {
            Some(acl) => {
                let own = acl.authentication.as_str();
                let required = if own == "-1" { group.is("authentication") } else { own == "1" };
                (false, required, acl.user.clone(), acl.secret.clone())
            }
            None => {
                if group.is("generate_node_acls") {
                    group.hidden.insert(who.to_owned());
                }
                group.hidden.get(who)?;
                (true, group.is("authentication"), group.user.clone(), group.secret.clone())
            }
        };
        let known = !user.is_empty() && !secret.is_empty();
        if required && !(known && account == Some((user.as_str(), secret.as_str()))) {
            return None;
        }
        self.next += 1;
        let port = 1000 + u16::try_from(self.next).unwrap();
        let connection =
            Connection { local: "192.0.2.1:3260".parse().unwrap(), remote: format!("{from}:{port}").parse().unwrap() };
        let login = Login { target: target.to_owned(), group: name.clone(), who: who.to_owned(), dynamic, connection };
        self.logins.insert(self.next, login);
        Some(self.next)
    }

    pub fn finish(&mut self, number: u64) -> Option<u64> {
        let Login { target, group, who, dynamic, connection } = self.logins.remove(&number)?;
        if !self.group(&target, &group).is_ok_and(|group| group.enabled) {
            return None;
        }
        let alias = String::new();
        self.sessions.push(Session { number, target, group, who, dynamic, alias, in_flight: 0, ending: false, connection });
        Some(number)
    }

    pub fn session(&mut self, number: u64) -> &mut Session {
        self.sessions.iter_mut().find(|session| session.number == number).unwrap()
    }

    /// Serves one command of a session; what object it reached.
    pub fn serve(&mut self, number: u64) -> Option<Object> {
        let session = self.sessions.iter().find(|session| session.number == number && !session.ending)?;
        let (target, group, who, dynamic) = (session.target.clone(), session.group.clone(), session.who.clone(), session.dynamic);
        let group = self.group(&target, &group).ok()?;
        let unit = if dynamic {
            group.units.keys().next().cloned()
        } else {
            let (_, to) = group.acls.get(&who)?.units.values().flatten().next()?;
            to.rsplit('/').next().map(str::to_owned)
        };
        let store = group.units.get(&unit?)?.as_ref()?.1.clone();
        let store = self.stores.get_mut(&store)?;
        store.commands += 1;
        let path = store.path.clone()?;
        self.files.get(&path).map(|backing| backing.object().clone())
    }

    pub fn connections(&self) -> Vec<Connection> {
        let sessions = self.sessions.iter().map(|session| session.connection);
        sessions.chain(self.logins.values().map(|login| login.connection)).collect()
    }
}
