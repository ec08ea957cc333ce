//! One volume in the kernel's target: its own portal group, and every other logical unit that serves the same object. Must never take one
//! object for another: what cannot be looked up is compared by name.

use super::calls::CallError;
use super::kernel::Backing;
use super::tree::{Acl, Detail, FABRIC, Frame, Group, Look, Unit};
use crate::admission::Export;
use crate::host::Object;
use crate::state::Admitted;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use vocabulary::storage::{InitiatorName, Session};

/// The portal group of each target that this driver makes.
pub(super) const GROUP: &str = "tpgt_1";
/// Stands for the initiator of a session that no admission shows any more: it is being closed.
const CLOSING: &str = "(closing)";

/// The path of a volume's portal group.
pub(super) fn group_of(export: &Export) -> String {
    format!("{FABRIC}/{}/{GROUP}", export.target)
}

/// The name of a volume's logical unit.
pub(super) fn unit_of(export: &Export) -> String {
    format!("lun_{}", export.lun)
}

/// A portal group with its detail.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub group: Group,
    pub detail: Detail,
}

/// A volume as the kernel serves it.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// Its own portal group.
    pub own: Option<Seen>,
    /// Its own portal group serves its object under its number.
    pub sound: bool,
    /// Every other logical unit that serves its object, in the order of the look.
    pub foreign: Vec<Unit>,
    /// Portal groups of these other logical units, its own left out.
    pub others: Vec<Seen>,
    /// One of these other logical units is served by another fabric, whose admissions are unknown here; or one serves what cannot be found out.
    pub beyond: bool,
    /// The backstores that are served.
    pub stores: BTreeSet<String>,
    /// What the configured path leads to.
    pub backing: Option<Backing>,
}

/// A frame, with what serves what.
pub(super) struct Index<'a> {
    frame: &'a Frame,
    groups: HashMap<&'a str, &'a Group>,
    objects: HashMap<&'a Object, Vec<(usize, &'a Group, &'a Unit)>>,
    /// The same by the path, and whether that leads to an object.
    paths: HashMap<&'a Path, Vec<(usize, &'a Group, &'a Unit, bool)>>,
    /// Logical units that serve something of which nobody here can say what it is: it may be any volume.
    unknown: Vec<&'a Unit>,
}

/// Backstores that live in memory: they are no volume's.
const IN_MEMORY: &str = "core/rd_mcp_";

impl<'a> Index<'a> {
    /// Of this frame.
    pub fn of(frame: &'a Frame) -> Index<'a> {
        let mut index =
            Index { frame, groups: HashMap::new(), objects: HashMap::new(), paths: HashMap::new(), unknown: Vec::new() };
        let units = frame.groups.iter().flat_map(|group| group.units.iter().map(move |unit| (group, unit)));
        for (place, (group, unit)) in units.enumerate() {
            if unit.store.starts_with(IN_MEMORY) {
                continue;
            }
            // one that is newer than the list of backstores, one of a kind that this driver does not read (a SCSI device passed through, a
            // program's), or one whose path leads nowhere any more, while the kernel still has what it led to
            let Some(store) = frame.stores.get(&unit.store).filter(|store| store.object.is_some()) else {
                index.unknown.push(unit);
                if let Some(path) = frame.stores.get(&unit.store).and_then(|store| store.path.as_deref()) {
                    index.paths.entry(path).or_default().push((place, group, unit, false));
                }
                continue;
            };
            if let Some(path) = &store.path {
                index.paths.entry(path).or_default().push((place, group, unit, store.object.is_some()));
            }
            if let Some(object) = &store.object {
                index.objects.entry(object).or_default().push((place, group, unit));
            }
        }
        index.groups.extend(frame.groups.iter().map(|group| (group.path.as_str(), group)));
        index
    }

    /// True if what cannot be found out is not this volume's own, which is seen as it is.
    fn unknown_to(&self, own_path: &str) -> bool {
        self.unknown.iter().any(|unit| !unit.link.starts_with(&format!("{own_path}/")))
    }

    /// Every logical unit that serves the export's object.
    fn serving(&self, export: &Export, object: Option<&Object>) -> Vec<(&'a Group, &'a Unit)> {
        let named = self.paths.get(export.file.as_path()).into_iter().flatten();
        let named = named.filter(|(.., leads)| object.is_none() || !leads).map(|(place, group, unit, _)| (*place, *group, *unit));
        let same = object.and_then(|object| self.objects.get(object)).into_iter().flatten().copied();
        let mut all: Vec<(usize, &Group, &Unit)> = named.chain(same).collect();
        all.sort_unstable_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, group, unit)| (group, unit)).collect()
    }

    /// A volume. Where a unit serves what cannot be found out, every volume may be open to others.
    pub fn sight(&self, look: &Look<'_>, export: &Export) -> Result<Sight, CallError> {
        let (own_path, unit_name) = (group_of(export), unit_of(export));
        let backing = look.0.backing(&export.file);
        let serving = self.serving(export, backing.as_ref().map(Backing::object));
        let ours = |group: &Group, unit: &Unit| group.path == own_path && unit.name == unit_name;
        let stores: BTreeSet<String> = serving.iter().map(|(_, unit)| unit.store.clone()).collect();
        let enabled = |store: &String| self.frame.stores.get(store).is_some_and(|store| store.enabled);
        let sound = serving.iter().any(|(group, unit)| ours(group, unit) && enabled(&unit.store));
        let foreign: Vec<(&Group, &Unit)> = serving.into_iter().filter(|(group, unit)| !ours(group, unit)).collect();
        let seen = |group: &Group| Ok::<Seen, CallError>(Seen { group: group.clone(), detail: look.detail(group)? });
        let elsewhere: BTreeSet<&str> = foreign
            .iter()
            .map(|(group, _)| group)
            .filter(|group| group.path != own_path)
            .map(|group| group.path.as_str())
            .collect();
        let elsewhere: Vec<&Group> = elsewhere.into_iter().filter_map(|path| self.groups.get(path).copied()).collect();
        let others =
            elsewhere.iter().filter(|group| group.fabric == FABRIC).map(|group| seen(group)).collect::<Result<_, _>>()?;
        Ok(Sight {
            own: self.groups.get(own_path.as_str()).map(|group| seen(group)).transpose()?,
            sound,
            beyond: elsewhere.iter().any(|group| group.fabric != FABRIC) || self.unknown_to(&own_path),
            foreign: foreign.into_iter().map(|(_, unit)| unit.clone()).collect(),
            others,
            stores,
            backing,
        })
    }
}

impl Seen {
    /// True if this admission is the wanted one, as it is: name, account and logical unit.
    pub fn fits(&self, acl: &Acl, wanted: &Admitted, unit: &str) -> bool {
        let leads = format!("{}/lun/{unit}", self.group.path);
        let mapped = match acl.mapped.as_slice() {
            [one] => one.name == unit && !one.read_only && one.link.as_ref().is_some_and(|(_, to)| *to == leads),
            _ => false,
        };
        let account = acl.user == wanted.user && acl.secret == wanted.secret && !acl.without_secret;
        mapped && account && acl.name == wanted.initiator.0
    }

    /// True if exactly `wanted` may log in.
    pub fn admits_exactly(&self, wanted: Option<&Admitted>, unit: &str, portals: &BTreeSet<SocketAddr>) -> bool {
        let detail = &self.detail;
        let admitted = match (wanted, detail.admissions.as_slice()) {
            (None, []) => true,
            (Some(wanted), [one]) => {
                self.fits(one, wanted, unit)
                    && detail.enabled
                    && portals.iter().all(|portal| detail.portals.contains(&portal.to_string()))
            }
            _ => false,
        };
        admitted && detail.closed && detail.dynamic.is_empty()
    }

    /// True if somebody can log in without a name that is admitted, or without its secret.
    pub fn open(&self) -> bool {
        !self.detail.closed || self.detail.admissions.iter().any(|acl| acl.without_secret)
    }

    /// Every session. The kernel shows one for each admitted initiator, though it may have several, and counts them all; what it counts and
    /// does not show belongs to the one who has some, if there is but one, and to nobody that can be named otherwise.
    pub fn sessions(&self) -> Vec<Session> {
        let mut sessions: Vec<Session> = self.detail.admissions.iter().filter_map(|acl| acl.session.clone()).collect();
        let plain = |name: &str| Session { initiator: InitiatorName(name.to_owned()), number: 0, address: String::new() };
        sessions.extend(self.detail.dynamic.iter().map(|name| plain(name)));
        let shown = u64::try_from(sessions.len()).unwrap_or(u64::MAX);
        let attributed = sessions.len() == 1 && self.detail.dynamic.is_empty();
        if self.detail.sessions > shown && !attributed {
            sessions.push(plain(CLOSING));
        }
        sessions
    }
}
