//! The daemon's administration: takes the arguments of its tool, does what they say, and answers in the tool's words and exit codes.
//! Must never do a part of what it refuses.

use super::daemon::{Account, Daemon, Export, Unit};
use super::{Ended, State, Target};
use crate::dice::Dice;
use std::collections::BTreeMap;

/// What a daemon does not let go, whoever tells it to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keeps {
    /// Sessions: it agrees to end one, and leaves it as it is.
    pub sessions: bool,
    /// Logical units: it calls each of them active.
    pub units: bool,
}

impl Target {
    /// What it does not let go from now on.
    pub fn keep(&self, keeps: Keeps) {
        self.lock().keeps = keeps;
    }

    /// What it does not let go.
    pub fn keeps(&self) -> Keeps {
        self.lock().keeps
    }
}

/// What the tool ends with when the daemon refused.
const REFUSED: i32 = 22;
/// What the tool ends with when there is no daemon (ENOTCONN).
const NO_DAEMON: i32 = 107;

pub(super) fn done(printed: String) -> Ended {
    Ended { code: Some(0), printed, said: String::new() }
}

pub(super) fn refused(said: &str) -> Ended {
    Ended { code: Some(REFUSED), printed: String::new(), said: format!("tgtadm: {said}\n") }
}

pub(super) fn no_daemon() -> Ended {
    let said = "tgtadm: failed to send request hdr to tgt daemon, Transport endpoint is not connected\n";
    Ended { code: Some(NO_DAEMON), printed: String::new(), said: said.to_owned() }
}

/// The daemon died with the question: the tool says so, prints nothing, and calls that a success.
pub(super) fn closed() -> Ended {
    Ended { code: Some(0), printed: String::new(), said: "tgtadm: tgtd closed the socket\n".to_owned() }
}

/// Something else was printed between two lines.
pub(super) fn garbled(ended: Ended, dice: &Dice) -> Ended {
    let mut lines: Vec<&str> = ended.printed.lines().collect();
    let at = dice.between(0, u64::try_from(lines.len()).unwrap_or(0));
    lines.insert(usize::try_from(at).unwrap_or(0), "tgtadm: (null)");
    Ended { printed: lines.iter().map(|line| format!("{line}\n")).collect(), ..ended }
}

/// The tool's arguments by name. The last of several counts.
struct Arguments<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Arguments<'a> {
    fn of(given: &'a [impl AsRef<str>]) -> Option<Arguments<'a>> {
        let mut all = BTreeMap::new();
        let mut rest = given.iter().map(AsRef::as_ref);
        while let Some(name) = rest.next() {
            let name = name.strip_prefix("--")?;
            let value = if name == "force" { "" } else { rest.next()? };
            all.insert(name, value);
        }
        Some(Arguments(all))
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.0.get(name).copied().ok_or_else(|| format!("'{name}' option is necessary"))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, String> {
        self.text(name)?.parse().map_err(|_| format!("'{name}' is not a number"))
    }
}

/// A command that was done printed this; one that was refused says why.
type Said = Result<String, String>;

/// What a refusal says of a thing that is not there.
fn missing<T>(found: Option<T>, what: &str) -> Result<T, String> {
    found.ok_or_else(|| format!("can't find the {what}"))
}

impl State {
    /// One call of the tool, on a daemon that moves.
    pub(super) fn execute(&mut self, given: &[impl AsRef<str>], dice: &Dice) -> Ended {
        if self.daemon.is_none() {
            return no_daemon();
        }
        let Some(arguments) = Arguments::of(given) else { return refused("unknown option") };
        let mode = arguments.text("mode").unwrap_or_default();
        self.moved |= !matches!(arguments.text("op"), Ok("show" | "stat"));
        let said = match (mode, arguments.text("op").unwrap_or_default()) {
            ("target", "show") => match self.show_targets() {
                Some(printed) => Ok(printed),
                None => {
                    self.die_by_itself(dice);
                    return closed();
                }
            },
            ("target", op) => self.target(op, &arguments),
            ("logicalunit", op) => self.unit(op, &arguments),
            ("account", op) => self.account(op, &arguments),
            ("conn", op) => self.connection(op, &arguments),
            _ => Err("unknown mode".to_owned()),
        };
        said.map_or_else(|reason| refused(&reason), done)
    }

    fn export(&mut self, arguments: &Arguments<'_>) -> Result<(u32, &mut Export), String> {
        let tid = arguments.number("tid")?;
        let found = self.daemon.as_mut().and_then(|daemon| daemon.exports.get_mut(&tid));
        Ok((tid, missing(found, "target")?))
    }

    fn target(&mut self, op: &str, arguments: &Arguments<'_>) -> Said {
        match op {
            "new" => self.new_target(arguments),
            "delete" => {
                let (tid, export) = self.export(arguments)?;
                if !export.sessions.is_empty() {
                    return Err("this target is still active".to_owned());
                }
                missing(self.daemon.as_mut().and_then(|daemon| daemon.exports.remove(&tid)), "target").map(|_| String::new())
            }
            "bind" | "unbind" => {
                let (_, export) = self.export(arguments)?;
                let (list, wanted) = match arguments.text("initiator-name") {
                    Ok(name) => (&mut export.names, name),
                    Err(_) => (&mut export.addresses, arguments.text("initiator-address")?),
                };
                let place = list.iter().position(|bound| bound == wanted);
                match (op, place) {
                    ("bind", None) => list.push(wanted.to_owned()),
                    ("bind", Some(_)) => return Err("this access control rule already exists".to_owned()),
                    (_, None) => return Err("this access control rule does not exist".to_owned()),
                    (_, Some(place)) => drop(list.remove(place)),
                }
                Ok(String::new())
            }
            "stat" => {
                let (tid, export) = self.export(arguments)?;
                Ok(super::show::statistics(tid, export))
            }
            _ => Err("unknown operation".to_owned()),
        }
    }

    fn new_target(&mut self, arguments: &Arguments<'_>) -> Said {
        let (tid, name) = (arguments.number::<u32>("tid")?, arguments.text("targetname")?);
        if tid == 0 {
            return Err("'tid' cannot be 0".to_owned());
        }
        let Some(daemon) = &mut self.daemon else { return Err("can't find the driver".to_owned()) };
        if daemon.exports.iter().any(|(number, export)| *number == tid || export.name == name) {
            return Err("this target already exists".to_owned());
        }
        let (scsi_id, serial) = super::show::identity(tid, 0);
        let controller = Unit { path: None, object: None, bytes: 0, scsi_id, serial };
        daemon.exports.insert(tid, Export { name: name.to_owned(), units: [(0, controller)].into(), ..Export::default() });
        Ok(String::new())
    }

    fn unit(&mut self, op: &str, arguments: &Arguments<'_>) -> Said {
        let number = arguments.number::<u64>("lun")?;
        if (op, number) == ("delete", 0) {
            return Err("invalid request".to_owned());
        }
        // of a target that is not there the daemon says that of its unit
        let unit = |gone: String| if op != "delete" { gone } else { "can't find the logical unit".to_owned() };
        let (tid, export) = self.export(arguments).map_err(unit)?;
        match op {
            "new" => {
                if export.units.contains_key(&number) {
                    return Err("this logical unit number already exists".to_owned());
                }
                let path = arguments.text("backing-store")?;
                let object = self.paths.get(path).cloned().ok_or("invalid request")?;
                let bytes = self.objects.get(&object).map_or(0, |object| object.bytes);
                let (scsi_id, serial) = super::show::identity(tid, number);
                let unit = Unit { path: Some(path.to_owned()), object: Some(object), bytes, scsi_id, serial };
                self.export(arguments)?.1.units.insert(number, unit);
            }
            "update" => {
                let unit = missing(export.units.get_mut(&number), "logical unit")?;
                for (name, value) in arguments.text("params")?.split(',').filter_map(|pair| pair.split_once('=')) {
                    match name {
                        "scsi_id" => unit.scsi_id = value.to_owned(),
                        "scsi_sn" => unit.serial = value.to_owned(),
                        _ => return Err("invalid request".to_owned()),
                    }
                }
            }
            "delete" => {
                missing(export.units.get(&number), "logical unit")?;
                if self.keeps.units || self.busy(tid, number) {
                    return Err("this logical unit is still active".to_owned());
                }
                self.export(arguments)?.1.units.remove(&number);
            }
            _ => return Err("unknown operation".to_owned()),
        }
        Ok(String::new())
    }

    fn account(&mut self, op: &str, arguments: &Arguments<'_>) -> Said {
        let Some(daemon) = &mut self.daemon else { return Err("can't find the driver".to_owned()) };
        match op {
            "show" => return Ok(super::show::accounts(daemon)),
            "new" => {
                let (user, secret) = (arguments.text("user")?, arguments.text("password")?);
                if daemon.account(user).is_some() {
                    return Err("this account already exists".to_owned());
                }
                daemon.last_account += 1;
                let account = Account { number: daemon.last_account, user: user.to_owned(), secret: secret.to_owned() };
                daemon.accounts.insert(0, account);
            }
            "delete" => {
                let number = missing(daemon.account(arguments.text("user")?), "account")?.number;
                daemon.accounts.retain(|account| account.number != number);
                daemon.exports.values_mut().for_each(|export| export.forget(number));
            }
            "bind" | "unbind" => bind(daemon, op == "bind", arguments)?,
            _ => return Err("unknown operation".to_owned()),
        }
        Ok(String::new())
    }

    fn connection(&mut self, op: &str, arguments: &Arguments<'_>) -> Said {
        let keeps = self.keeps.sessions;
        let (_, export) = self.export(arguments)?;
        match op {
            "show" => Ok(super::show::connections(export)),
            "delete" => {
                let number = arguments.number::<u64>("sid")?;
                missing(export.sessions.get(&number), "session")?;
                if arguments.number::<u32>("cid")? != 0 {
                    return Err("can't find the connection".to_owned());
                }
                if !keeps {
                    export.close(number);
                }
                Ok(String::new())
            }
            _ => Err("unknown operation".to_owned()),
        }
    }
}

/// Binds an account to a target, at the first empty place, or takes it away and leaves its place empty.
fn bind(daemon: &mut Daemon, binds: bool, arguments: &Arguments<'_>) -> Result<(), String> {
    let tid = arguments.number::<u32>("tid")?;
    missing(daemon.exports.get(&tid), "target")?;
    let number = missing(daemon.account(arguments.text("user")?), "account")?.number;
    let export = missing(daemon.exports.get_mut(&tid), "target")?;
    let bound = export.accounts.contains(&Some(number));
    match (binds, bound) {
        (true, true) => return Err("this account already exists".to_owned()),
        (true, false) => match export.accounts.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(number),
            None => export.accounts.push(Some(number)),
        },
        (false, true) => export.forget(number),
        (false, false) => return Err("can't find the account".to_owned()),
    }
    Ok(())
}

impl Export {
    fn forget(&mut self, account: u32) {
        self.accounts.iter_mut().filter(|place| **place == Some(account)).for_each(|place| *place = None);
    }
}
