//! Brings one volume's exports to what was decided.
//!
//! The order is the safety. To cut off: the portal group is disabled, which ends its sessions and refuses every login that has begun (6.1:
//! `iscsit_tpg_disable_portal_group` in `iscsi_target_tpg.c`, `iscsi_target_do_login_rx` in `iscsi_target_nego.c`); then every initiator
//! loses its logical unit; then its admission goes. The kernel refuses to remove an admission that still has a logical unit (ENOTEMPTY, by
//! `configfs_rmdir`), never one that has a session: it ends that, and holds the call until the last command is done and no login that knew
//! the admission is left (6.1: `core_tpg_del_initiator_node_acl` in `target_core_tpg.c`, which waits for every reference). So an admission
//! that is gone comes back by nothing that had begun before. As long as the call is held nobody can look into the folder of admissions, and
//! a login whose initiator says nothing holds it without end: see `shake`. If somebody is kept, the portal group stays up and only the
//! others' admissions go.
//!
//! To admit, the other way round: account and logical unit first, the portal group last. A portal group that ever let in everybody is made
//! anew, since the kernel may keep admissions from that time and shows them nowhere (6.1: `core_tpg_check_initiator_node_acl`).

use super::LioError;
use super::calls::{CallError, Calls, refused};
use super::kernel::{Backing, Connection, Kernel, Kind};
use super::sight::{GROUP, Index, Seen, Sight, group_of, unit_of};
use super::tree::{Acl, FABRIC, Look, Unit};
use crate::admission::Export;
use crate::limits::{DRAIN_PAUSE, KERNEL_TIMEOUT, LOGIN_GRACE};
use crate::state::{Admitted, StateFile};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;
use vocabulary::VolumeName;

/// Everything behind the driver's lock.
#[derive(Debug)]
pub(super) struct Inner {
    pub calls: Calls,
    pub state: StateFile,
    pub counters: HashMap<VolumeName, super::served::Counter>,
    /// Where every target listens.
    pub portals: BTreeSet<SocketAddr>,
    /// How long the kernel may hold a call that ends something; the lock is held that long.
    pub patience: Duration,
}

/// Hexadecimal digits of a logical unit's serial number, of which the kernel also makes its identifier.
const SERIAL_CHARS: usize = 24;
/// The name of the links that this driver makes.
const LINK: &str = "understudy";

/// A server finds its disk under the same name on every machine and after every restart.
fn serial(export: &Export) -> String {
    let digest: String = Sha256::digest(export.target.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    digest.get(..SERIAL_CHARS).unwrap_or(&digest).to_owned()
}

/// The lane of a target's calls.
pub(super) fn lane_of(target: &str) -> String {
    format!("{FABRIC}/{target}")
}

/// The connections to these portals that may belong to a login that has begun: of each address that has more connections than sessions,
/// all. Whoever loses a session by that logs in again, as after any break of the network.
fn pending(all: &[Connection], portals: &BTreeSet<SocketAddr>, sessions: &[IpAddr]) -> Vec<Connection> {
    let at_portal = |local: &SocketAddr| {
        let same = |portal: &SocketAddr| portal.ip().is_unspecified() || portal.ip().to_canonical() == local.ip().to_canonical();
        portals.iter().any(|portal| portal.port() == local.port() && same(portal))
    };
    let ours: Vec<&Connection> = all.iter().filter(|connection| at_portal(&connection.local)).collect();
    let from = |connection: &Connection| connection.remote.ip().to_canonical();
    let more = |address: IpAddr| {
        let connections = ours.iter().filter(|connection| from(connection) == address).count();
        connections > sessions.iter().filter(|session| session.to_canonical() == address).count()
    };
    ours.iter().filter(|connection| more(from(connection))).map(|connection| **connection).collect()
}

impl Inner {
    /// Decides, durably; the kernel is touched by `enforce`.
    pub fn decide(&mut self, volume: &VolumeName, wanted: Option<Admitted>) -> Result<(), LioError> {
        Ok(self.state.decide(volume, wanted)?)
    }

    /// True if the volume's file is there. On a disk that hangs that is not known within any time, so it is asked beside as all else is.
    pub async fn has_backing(&self, export: &Export) -> Result<bool, CallError> {
        let file = export.file.clone();
        let job = move |kernel: &dyn Kernel| Ok(kernel.backing(&file).is_some());
        self.calls.run(&lane_of(&export.target), "look at the backing file", KERNEL_TIMEOUT, job).await
    }

    /// Looks at one volume.
    pub async fn sight(&self, export: &Export) -> Result<Sight, CallError> {
        let of = export.clone();
        let job = move |kernel: &dyn Kernel| {
            let look = Look(kernel);
            Index::of(&look.frame()?).sight(&look, &of)
        };
        self.calls.run(&lane_of(&export.target), "look at the target", KERNEL_TIMEOUT, job).await
    }

    /// Makes the volume have one export that admits `wanted` alone, with no session of anybody else.
    pub async fn enforce(&mut self, volume: &VolumeName, export: &Export, wanted: Option<&Admitted>) -> Result<(), LioError> {
        let sight = match self.sight(export).await {
            Err(blind) if wanted.is_none() => {
                // what cannot be seen can still be shut; that it was is not believed before it is seen
                let shut = self.calls.write(&format!("{}/enable", group_of(export)), "0").await;
                tracing::warn!(%volume, shut = shut.is_ok(), "the target cannot be seen; the volume's own is disabled unseen");
                return Err(blind.into());
            }
            seen => seen?,
        };
        let unit = unit_of(export);
        // admissions first: a second export may be busy for long, and this one must not stay open meanwhile
        let keep =
            sight.own.as_ref().filter(|own| sight.sound && own.detail.closed && own.detail.dynamic.is_empty()).and_then(|own| {
                let wanted = wanted?;
                own.detail.admissions.iter().find(|acl| own.fits(acl, wanted, &unit))
            });
        if let Some(own) = &sight.own {
            self.cut(own, keep).await?;
        }
        self.remove_foreign(export, &sight.foreign).await?;
        match &sight.own {
            Some(own) if sight.sound && own.detail.closed => {}
            Some(own) => {
                self.dismantle(own).await?;
                self.make(volume, export, &sight).await?;
            }
            None => self.make(volume, export, &sight).await?,
        }
        let Some(wanted) = wanted else { return Ok(()) };
        if keep.is_none() {
            self.admit(export, wanted).await?;
        }
        let group = group_of(export);
        for portal in &self.portals {
            self.calls.make(&format!("{group}/np/{portal}")).await?;
        }
        // the kernel takes the same value again as nothing new
        Ok(self.calls.write(&format!("{group}/enable"), "1").await?)
    }

    /// Takes every admission but `keep` away, with its sessions. If nobody is kept the portal group is disabled first, and stays so.
    async fn cut(&self, own: &Seen, keep: Option<&Acl>) -> Result<(), LioError> {
        let enable = format!("{}/enable", own.group.path);
        if keep.is_none() && own.detail.enabled {
            self.calls.write(&enable, "0").await?;
        }
        let strangers: Vec<&Acl> =
            own.detail.admissions.iter().filter(|acl| keep.is_none_or(|keep| keep.name != acl.name)).collect();
        for mapped in strangers.iter().flat_map(|acl| &acl.mapped) {
            if let Some((link, _)) = &mapped.link {
                self.calls.unlink(link, self.patience).await?;
            }
        }
        for acl in strangers {
            let folder = format!("{}/acls/{}", own.group.path, acl.name);
            for mapped in &acl.mapped {
                self.calls.remove(&format!("{folder}/{}", mapped.name), KERNEL_TIMEOUT).await?;
            }
            if let Err(held) = self.calls.remove(&folder, LOGIN_GRACE).await {
                self.shake(own, held).await?;
                self.calls.remove(&folder, self.patience).await?;
            }
        }
        // what is not closed is made anew, and ends with that
        if keep.is_some() || !own.detail.closed {
            return Ok(());
        }
        if !own.detail.enabled {
            self.end_late(own).await?;
        }
        self.drained(&own.group.target).await
    }

    /// An admission that is being removed is held by a login that had begun, in 6.1 for as long as its initiator says nothing: a server may
    /// have been frozen in the middle of it. So the connections of such logins are ended, and with them what they hold.
    async fn shake(&self, own: &Seen, held: CallError) -> Result<(), LioError> {
        if !matches!(held, CallError::Silent { .. }) {
            return Err(held.into());
        }
        let (held, portals) = (own.group.target.clone(), self.portals.clone());
        let job = move |kernel: &dyn Kernel| {
            let look = Look(kernel);
            let addresses = look.addresses(&held)?;
            let all = kernel.connections().map_err(|error| refused("list TCP connections", &error))?;
            let doomed = pending(&all, &portals, &addresses);
            for connection in &doomed {
                let what = format!("end the connection of {} (is the module tcp_diag loaded?)", connection.remote);
                kernel.destroy(connection).map_err(|error| refused(&what, &error))?;
            }
            // without the module the kernel answers as it does where there is no such connection
            let left = kernel.connections().map_err(|error| refused("list TCP connections", &error))?;
            if let Some(stands) = doomed.iter().find(|connection| left.contains(connection)) {
                let what = format!("end the connection of {} (is the module tcp_diag loaded?)", stands.remote);
                return Err(refused(&what, &io::Error::other("it still stands")));
            }
            Ok(doomed.len())
        };
        let ended = self.calls.run(&own.group.target, "end logins that have begun", KERNEL_TIMEOUT, job).await?;
        tracing::warn!(target = %own.group.target, ended, "a login that had begun held the removal of its admission: connections were ended");
        self.end_late(own).await
    }

    /// A session that was made in the very moment in which its portal group was disabled stands on, and holds its admission for as long as
    /// its initiator likes. Disabling ends the sessions of the moment, so it is done once more; whoever comes in between is nobody with a
    /// logical unit, and is ended too.
    async fn end_late(&self, own: &Seen) -> Result<(), LioError> {
        let (enable, target) = (format!("{}/enable", own.group.path), own.group.target.clone());
        let file = enable.clone();
        let job = move |kernel: &dyn Kernel| {
            let enabled = kernel.read(&file).map_err(|error| refused(&format!("read {file}"), &error))?.starts_with('1');
            Ok(!enabled && Look(kernel).sessions(&target)? > 0)
        };
        if own.detail.closed && self.calls.run(&own.group.target, "count sessions", KERNEL_TIMEOUT, job).await? {
            self.calls.write(&enable, "1").await?;
            self.calls.write(&enable, "0").await?;
        }
        Ok(())
    }

    /// Waits until a target has no session.
    async fn drained(&self, target: &str) -> Result<(), LioError> {
        let until = Instant::now() + self.patience;
        loop {
            let of = target.to_owned();
            let job = move |kernel: &dyn Kernel| Look(kernel).sessions(&of);
            let left = self.calls.run(target, "count sessions", KERNEL_TIMEOUT, job).await?;
            if left == 0 {
                return Ok(());
            }
            if Instant::now() >= until {
                let after = self.patience.as_millis();
                return Err(LioError::Remains(format!("{left} sessions still stand at {target} after {after} ms")));
            }
            tokio::time::sleep(DRAIN_PAUSE).await;
        }
    }

    /// Takes the volume's object away from every other logical unit. The unit's folder stays, and so does whatever else its target serves; the
    /// kernel holds the call until the unit's last command is done (6.1: `core_tpg_remove_lun`).
    async fn remove_foreign(&self, export: &Export, foreign: &[Unit]) -> Result<(), LioError> {
        for unit in foreign {
            tracing::warn!(link = %unit.link, file = %export.file.display(), "a second export of a volume is removed");
            self.calls.unlink(&unit.link, self.patience).await?;
        }
        Ok(())
    }

    /// Removes the volume's portal group, whose admissions are gone, and its target if nothing else is in it.
    async fn dismantle(&self, own: &Seen) -> Result<(), LioError> {
        let (group, target) = (own.group.path.clone(), own.group.target.clone());
        let job = move |kernel: &dyn Kernel| {
            let mut doomed: Vec<(String, Kind)> = Vec::new();
            let list = |folder: &str| kernel.list(folder).map_err(|error| refused(&format!("list {folder}"), &error));
            for (unit, _) in list(&format!("{group}/lun"))?.into_iter().filter(|(_, kind)| *kind == Kind::Folder) {
                let unit = format!("{group}/lun/{unit}");
                let links = list(&unit)?.into_iter().filter(|(_, kind)| *kind == Kind::Link);
                doomed.extend(links.map(|(link, _)| (format!("{unit}/{link}"), Kind::Link)));
                doomed.push((unit, Kind::Folder));
            }
            let portals = list(&format!("{group}/np"))?.into_iter().filter(|(_, kind)| *kind == Kind::Folder);
            doomed.extend(portals.map(|(portal, _)| (format!("{group}/np/{portal}"), Kind::Folder)));
            doomed.push((group, Kind::Folder));
            for (path, kind) in &doomed {
                let done = if *kind == Kind::Link { kernel.unlink(path) } else { kernel.remove(path) };
                match done {
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                    other => other.map_err(|error| refused(&format!("remove {path}"), &error))?,
                }
            }
            match kernel.remove(&target) {
                Err(error) if ![io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty].contains(&error.kind()) => {
                    Err(refused(&format!("remove {target}"), &error))
                }
                _ => Ok(()),
            }
        };
        Ok(self.calls.run(&own.group.target, &format!("remove {}", own.group.path), self.patience, job).await?)
    }

    /// Makes the volume's target, disabled. It admits nobody.
    async fn make(&self, volume: &VolumeName, export: &Export, sight: &Sight) -> Result<(), LioError> {
        let store = self.make_store(volume, export, sight).await?;
        let (group, unit) = (group_of(export), unit_of(export));
        let target = format!("{FABRIC}/{}", export.target);
        for folder in [FABRIC, &target, &format!("{target}/{GROUP}")] {
            self.calls.make(folder).await?;
        }
        for (attribute, value) in [("authentication", "1"), ("generate_node_acls", "0"), ("cache_dynamic_acls", "0")] {
            self.calls.write(&format!("{group}/attrib/{attribute}"), value).await?;
        }
        self.calls.make(&format!("{group}/lun/{unit}")).await?;
        Ok(self.calls.link(&store, &format!("{group}/lun/{unit}/{LINK}")).await?)
    }

    /// The volume's backstore, made if it is not there as it should be: a file's writes are on its disk before they are acknowledged, which
    /// is the kernel's own choice unless it is told otherwise (6.1: `fd_configure_device` opens with `O_DSYNC`).
    async fn make_store(&self, volume: &VolumeName, export: &Export, sight: &Sight) -> Result<String, LioError> {
        let file = export.file.display();
        let (adapter, control, object) = match &sight.backing {
            None => return Err(LioError::Remains(format!("its backing file {file} does not exist"))),
            Some(Backing::File(object, bytes)) => ("core/fileio_0", format!("fd_dev_name={file},fd_dev_size={bytes}"), object),
            Some(Backing::Device(object)) => ("core/iblock_0", format!("udev_path={file}"), object),
        };
        let store = format!("{adapter}/understudy-{volume}");
        let (path, wanted, named) = (store.clone(), object.clone(), serial(export));
        let job = move |kernel: &dyn Kernel| {
            let look = Look(kernel);
            Ok(match look.frame()?.stores.get(&path) {
                None => None,
                Some(found) => Some(found.enabled && found.object.as_ref() == Some(&wanted) && look.serial(&path)? == named),
            })
        };
        match self.calls.run(&lane_of(&export.target), "look at backstores", KERNEL_TIMEOUT, job).await? {
            Some(true) => return Ok(store),
            Some(false) => self.calls.remove(&store, self.patience).await?,
            None => {}
        }
        self.calls.make(adapter).await?;
        self.calls.make(&store).await?;
        self.calls.write(&format!("{store}/control"), &control).await?;
        self.calls.write(&format!("{store}/enable"), "1").await?;
        self.calls.write(&format!("{store}/wwn/vpd_unit_serial"), &serial(export)).await?;
        Ok(store)
    }

    /// Admits at a portal group that is disabled and admits nobody.
    async fn admit(&self, export: &Export, wanted: &Admitted) -> Result<(), LioError> {
        let (group, unit) = (group_of(export), unit_of(export));
        let acl = format!("{group}/acls/{}", wanted.initiator);
        self.calls.make(&acl).await?;
        self.calls.write(&format!("{acl}/auth/userid"), &wanted.user).await?;
        self.calls.write(&format!("{acl}/auth/password"), wanted.secret.expose()).await?;
        self.calls.make(&format!("{acl}/{unit}")).await?;
        Ok(self.calls.link(&format!("{group}/lun/{unit}"), &format!("{acl}/{unit}/{LINK}")).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(local: &str, remote: &str) -> Connection {
        Connection { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
    }

    #[test]
    fn only_connections_of_addresses_with_more_of_them_than_sessions_are_ended() {
        let all = [
            connection("192.0.2.1:3260", "192.0.2.7:1"),
            connection("192.0.2.1:3260", "192.0.2.8:1"),
            connection("192.0.2.1:3260", "192.0.2.8:2"),
            connection("[::ffff:192.0.2.1]:3260", "[::ffff:192.0.2.9]:1"),
            connection("192.0.2.1:22", "192.0.2.66:1"),
            connection("192.0.2.2:3260", "192.0.2.67:1"),
        ];
        let portals: BTreeSet<SocketAddr> = ["192.0.2.1:3260".parse().unwrap()].into();
        let sessions: Vec<IpAddr> = ["192.0.2.7", "192.0.2.8"].map(|address| address.parse().unwrap()).into();
        assert_eq!(pending(&all, &portals, &sessions), [all[1], all[2], all[3]]);
        let everywhere: BTreeSet<SocketAddr> = ["[::]:3260".parse().unwrap()].into();
        assert_eq!(pending(&all, &everywhere, &sessions), [all[1], all[2], all[3], all[5]]);
    }
}
