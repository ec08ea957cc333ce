//! A simulated kernel with the SCSI target of Linux 6.1, as far as its configfs shows it: what it makes, refuses, holds and forgets. Its
//! sessions exist because a simulated initiator logged in. Must never know what the driver wants.
#![allow(dead_code, reason = "each test uses its part")]

pub mod state;
mod view;

use state::{Acl, Group, Login, State, Store};
use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use storage::host::Object;
use storage::lio::kernel::{Backing, Connection, Kernel, Kind};
use vocabulary::WallTime;

/// A call that is held longer than any test waits is a call that never returns.
const FOREVER: Duration = Duration::from_secs(90);

/// The errors of the kernel.
pub fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

pub const EPERM: i32 = 1;
pub const ENOENT: i32 = 2;
pub const EBUSY: i32 = 16;
pub const EEXIST: i32 = 17;
pub const EINVAL: i32 = 22;
pub const ENOTEMPTY: i32 = 39;

/// The kernel.
#[derive(Debug, Default)]
pub struct Fake {
    state: Mutex<State>,
    changed: Condvar,
}

impl Fake {
    /// Its state, for the test.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes something, and wakes whoever is held.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let done = change(&mut state);
        state.sessions.retain(|one| !one.ending || one.in_flight > 0);
        drop(state);
        self.changed.notify_all();
        done
    }

    /// Begins a login; true if the target asks for more. It ends with `finish`.
    pub fn begin(&self, target: &str, who: &str, account: Option<(&str, &str)>, from: &str) -> Option<u64> {
        self.change(|state| state.begin(target, who, account, from))
    }

    /// Ends a login that has begun; the session, if it is let in.
    pub fn finish(&self, login: u64) -> Option<u64> {
        self.change(|state| state.finish(login))
    }

    /// Logs in.
    pub fn login(&self, target: &str, who: &str, account: Option<(&str, &str)>) -> Option<u64> {
        self.begin(target, who, account, "192.0.2.7").and_then(|login| self.finish(login))
    }

    /// Writes in a session; what object it reached.
    pub fn write_as(&self, session: u64) -> Option<Object> {
        self.change(|state| state.serve(session))
    }

    /// Waits until nothing holds the call any more.
    fn held<'a>(&'a self, mut state: MutexGuard<'a, State>, holds: impl Fn(&State) -> bool) -> io::Result<MutexGuard<'a, State>> {
        let until = Instant::now() + FOREVER;
        while holds(&state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error(EPERM));
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        Ok(state)
    }

    /// Every call comes by here: a kernel may be slow, or refuse what somebody else forbade.
    fn enter(&self, call: &str, path: &str) -> io::Result<MutexGuard<'_, State>> {
        let slow = self.state().slow;
        std::thread::sleep(slow);
        let state = self.state();
        // removing an admission holds its folder, so that nobody can look into it
        let state = self.held(state, |state| call != "destroy" && state.locked.iter().any(|locked| path.starts_with(locked)))?;
        match &state.refuses {
            Some((refused, part, number)) if refused == call && path.contains(part) => Err(error(*number)),
            _ => Ok(state),
        }
    }

    fn remove_acl(&self, mut state: MutexGuard<'_, State>, target: &str, group: &str, name: &str) -> io::Result<()> {
        let acls = format!("iscsi/{target}/{group}/acls");
        let at = state.group(target, group)?;
        let acl = at.acls.get(name).ok_or_else(|| error(ENOENT))?;
        if !acl.units.is_empty() {
            return Err(error(ENOTEMPTY));
        }
        at.acls.remove(name);
        state.locked.insert(acls.clone());
        // it ends the sessions of this moment, then waits for every reference
        for session in state.sessions.iter_mut().filter(|one| one.target == target && one.who == name) {
            session.ending = true;
        }
        let busy = |state: &State| {
            let of = |login: &Login| login.target == target && login.who == name;
            state.sessions.iter().any(|one| one.ending && one.in_flight > 0)
                || state.sessions.iter().any(|one| one.target == target && one.who == name && !one.ending && !one.dynamic)
                || state.logins.values().any(of)
        };
        let done = self.held(state, busy).map(drop);
        self.change(|state| {
            state.sessions.retain(|one| !one.ending || one.in_flight > 0);
            state.locked.remove(&acls);
        });
        done
    }

    fn enable(&self, mut state: MutexGuard<'_, State>, target: &str, group: &str, on: bool) -> io::Result<()> {
        state.group(target, group)?.enabled = on;
        if on {
            return Ok(());
        }
        for session in state.sessions.iter_mut().filter(|one| one.target == target) {
            session.ending = true;
        }
        let mut state = self.held(state, |state| state.sessions.iter().any(|one| one.ending && one.in_flight > 0))?;
        state.sessions.retain(|one| !one.ending);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

impl Kernel for Fake {
    fn list(&self, folder: &str) -> io::Result<Vec<(String, Kind)>> {
        let mut state = self.enter("list", folder)?;
        view::list(&mut state, &parts(folder))
    }

    fn read(&self, file: &str) -> io::Result<String> {
        let mut state = self.enter("read", file)?;
        view::read(&mut state, &parts(file))
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let mut state = self.enter("write", file)?;
        state.writes.push((file.to_owned(), text.to_owned()));
        if let ["iscsi", target, group, "enable"] = parts(file).as_slice() {
            return self.enable(state, target, group, text == "1");
        }
        view::write(&mut state, &parts(file), text)
    }

    fn make(&self, folder: &str) -> io::Result<()> {
        let mut state = self.enter("make", folder)?;
        let fresh = |made: bool| if made { Ok(()) } else { Err(error(EEXIST)) };
        match parts(folder).as_slice() {
            ["iscsi"] => fresh(!std::mem::replace(&mut state.fabric, true)),
            ["core", adapter] => fresh(state.adapters.insert((*adapter).to_owned())),
            ["core", adapter, store] if state.adapters.contains(*adapter) => {
                let path = format!("core/{adapter}/{store}");
                fresh(state.stores.insert(path, Store::default()).is_none())
            }
            ["iscsi", target] if state.fabric => fresh(state.targets.insert((*target).to_owned(), Default::default()).is_none()),
            ["iscsi", target, group] if group.starts_with("tpgt_") => {
                let at = state.targets.get_mut(*target).ok_or_else(|| error(ENOENT))?;
                fresh(at.insert((*group).to_owned(), Group::new()).is_none())
            }
            ["iscsi", target, group, "lun", unit] => {
                fresh(state.group(target, group)?.units.insert((*unit).to_owned(), None).is_none())
            }
            ["iscsi", target, group, "np", portal] => fresh(state.group(target, group)?.portals.insert((*portal).to_owned())),
            ["iscsi", target, group, "acls", name] => {
                let acls = &mut state.group(target, group)?.acls;
                if acls.contains_key(*name) {
                    return Err(error(EEXIST));
                }
                acls.insert((*name).to_owned(), Acl::new());
                Ok(())
            }
            ["iscsi", target, group, "acls", name, unit] => {
                let acl = state.group(target, group)?.acls.get_mut(*name).ok_or_else(|| error(ENOENT))?;
                fresh(acl.units.insert((*unit).to_owned(), None).is_none())
            }
            _ => Err(error(ENOENT)),
        }
    }

    fn remove(&self, folder: &str) -> io::Result<()> {
        let mut state = self.enter("remove", folder)?;
        match parts(folder).as_slice() {
            ["iscsi", target, group, "acls", name] => self.remove_acl(state, target, group, name),
            path => view::remove(&mut state, path),
        }
    }

    fn link(&self, to: &str, link: &str) -> io::Result<()> {
        let mut state = self.enter("link", link)?;
        view::link(&mut state, &parts(to), &parts(link))
    }

    fn unlink(&self, link: &str) -> io::Result<()> {
        let state = self.enter("unlink", link)?;
        let path = parts(link);
        // a logical unit goes when its last command is done
        let mut state = match path.as_slice() {
            ["iscsi", target, _, "lun", ..] => {
                self.held(state, |state| state.sessions.iter().any(|one| one.target == *target && one.in_flight > 0))?
            }
            _ => state,
        };
        view::unlink(&mut state, &path)
    }

    fn follow(&self, link: &str) -> io::Result<String> {
        let mut state = self.enter("follow", link)?;
        view::follow(&mut state, &parts(link))
    }

    fn connections(&self) -> io::Result<Vec<Connection>> {
        Ok(self.enter("connections", "")?.connections())
    }

    fn destroy(&self, connection: &Connection) -> io::Result<()> {
        drop(self.enter("destroy", "")?);
        self.change(|state| {
            state.destroyed.push(*connection);
            state.logins.retain(|_, login| login.connection != *connection);
            // its commands are done all the same
            state.sessions.iter_mut().filter(|one| one.connection == *connection).for_each(|one| one.ending = true);
        });
        Ok(())
    }

    fn backing(&self, path: &Path) -> Option<Backing> {
        self.state().files.get(path).cloned()
    }

    fn now(&self) -> WallTime {
        WallTime(7)
    }

    fn place(&self) -> String {
        "/sys/kernel/config/target".into()
    }
}
