//! VLAN membership of a port as pure data: reading the kernel's compressed list, the difference to a wanted setting, and exactness.
//! No I/O. Total: an odd list is an error, never a shorter list.

use crate::limits::MESSAGE_VLANS_MAX;
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::{PortSetting, VlanId};

/// How a port is a member of one VLAN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// Frames without a tag that come in belong to this VLAN.
    pub pvid: bool,
    /// Frames of this VLAN leave without a tag.
    pub untagged: bool,
}

/// One entry of the kernel's list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The VLAN.
    pub vid: u16,
    /// How.
    pub membership: Membership,
    /// First of a range.
    pub begins: bool,
    /// Last of a range.
    pub ends: bool,
}

/// Neighbouring VLANs with the same membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// First VLAN.
    pub first: u16,
    /// Last VLAN.
    pub last: u16,
    /// How.
    pub membership: Membership,
}

/// Everything that a port is a member of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Carried(BTreeMap<u16, Membership>);

/// What to do to reach a setting.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// To be set first.
    pub set: Vec<Run>,
    /// To be deleted then.
    pub delete: Vec<Run>,
}

impl Change {
    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.delete.is_empty()
    }
}

/// What the setting asks of the port. An MTU is no VLAN.
pub fn wanted(setting: &PortSetting) -> Carried {
    let mut all: BTreeMap<u16, Membership> = setting.tagged.iter().map(|vlan| (vlan.get(), Membership::default())).collect();
    if let Some(native) = setting.native {
        all.insert(native.get(), Membership { pvid: true, untagged: true });
    }
    Carried(all)
}

/// The kernel's list, ranges opened.
pub fn read(entries: &[Entry]) -> Result<Carried, String> {
    let mut all = BTreeMap::new();
    let mut open: Option<Entry> = None;
    for entry in entries {
        let first = match (open.take(), entry.begins, entry.ends) {
            (None, true, false) => {
                open = Some(*entry);
                continue;
            }
            (None, false, false) => entry.vid,
            (Some(begin), false, true) if begin.vid <= entry.vid && begin.membership == entry.membership => begin.vid,
            _ => return Err(format!("the range around VLAN {} is odd", entry.vid)),
        };
        for vid in first..=entry.vid {
            if VlanId::new(vid).is_none() {
                return Err(format!("{vid} is not a VLAN"));
            }
            if all.insert(vid, entry.membership).is_some() {
                return Err(format!("VLAN {vid} is listed twice"));
            }
        }
    }
    match open {
        Some(begin) => Err(format!("the range from VLAN {} has no end", begin.vid)),
        None => Ok(Carried(all)),
    }
}

fn runs(members: impl Iterator<Item = (u16, Membership)>) -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    for (vid, membership) in members {
        match all.last_mut() {
            // the kernel takes no range for the one VLAN of frames without a tag
            Some(run) if run.last + 1 == vid && run.membership == membership && !membership.pvid => run.last = vid,
            _ => all.push(Run { first: vid, last: vid, membership }),
        }
    }
    all
}

/// The same VLANs in the same order, at most `MESSAGE_VLANS_MAX` of them in a part.
pub fn parts(runs: &[Run]) -> Vec<Vec<Run>> {
    let mut parts: Vec<Vec<Run>> = Vec::new();
    let mut room = 0;
    for run in runs {
        let mut first = run.first;
        while first <= run.last {
            if room == 0 {
                parts.push(Vec::new());
                room = MESSAGE_VLANS_MAX;
            }
            let last = run.last.min(first.saturating_add(room - 1));
            if let Some(part) = parts.last_mut() {
                part.push(Run { first, last, ..*run });
            }
            room -= last - first + 1;
            first = last + 1;
        }
    }
    parts
}

impl Carried {
    /// The setting that this is, and whether it leaks: a VLAN other than the native one leaves without a tag, or the native one with a
    /// tag. A VLAN that fits nowhere else counts as tagged, so that nothing carried is ever left out.
    pub fn setting(&self) -> (PortSetting, bool) {
        let mut setting = PortSetting { native: None, tagged: BTreeSet::new(), mtu: None };
        let mut leaks = false;
        for (vid, membership) in &self.0 {
            let Some(vlan) = VlanId::new(*vid) else { continue };
            leaks |= membership.pvid != membership.untagged;
            if membership.pvid && setting.native.is_none() {
                setting.native = Some(vlan);
            } else {
                leaks |= membership.pvid;
                setting.tagged.insert(vlan);
            }
        }
        (setting, leaks)
    }

    /// True if the port carries exactly this setting.
    pub fn is_exactly(&self, setting: &PortSetting) -> bool {
        *self == wanted(setting)
    }

    /// True if it carries nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to set and what to delete so that the port carries exactly the setting.
    pub fn change_to(&self, setting: &PortSetting) -> Change {
        let wanted = wanted(setting).0;
        let set = wanted.iter().filter(|(vid, membership)| self.0.get(vid) != Some(membership));
        let delete = self.0.keys().filter(|vid| !wanted.contains_key(vid));
        Change {
            set: runs(set.map(|(vid, membership)| (*vid, *membership))),
            delete: runs(delete.map(|vid| (*vid, Membership::default()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NATIVE: Membership = Membership { pvid: true, untagged: true };
    const TAGGED: Membership = Membership { pvid: false, untagged: false };

    fn vlan(n: u16) -> VlanId {
        VlanId::new(n).unwrap()
    }

    fn single(vid: u16, membership: Membership) -> Entry {
        Entry { vid, membership, begins: false, ends: false }
    }

    /// What the kernel does with a change: set overwrites and moves the pvid, delete forgets.
    fn kernel(carried: &Carried, change: &Change) -> Carried {
        let mut all = carried.0.clone();
        for run in &change.set {
            for vid in run.first..=run.last {
                if run.membership.pvid {
                    all.values_mut().for_each(|other| other.pvid = false);
                }
                all.insert(vid, run.membership);
            }
        }
        for run in &change.delete {
            for vid in run.first..=run.last {
                all.remove(&vid);
            }
        }
        Carried(all)
    }

    /// What the kernel lists, compressed as it does.
    fn listed(carried: &Carried) -> Vec<Entry> {
        let mut entries = Vec::new();
        for run in runs(carried.0.iter().map(|(vid, membership)| (*vid, *membership))) {
            if run.first == run.last {
                entries.push(single(run.first, run.membership));
            } else {
                entries.push(Entry { vid: run.first, membership: run.membership, begins: true, ends: false });
                entries.push(Entry { vid: run.last, membership: run.membership, begins: false, ends: true });
            }
        }
        entries
    }

    #[test]
    fn the_isolation_trap_is_seen_and_undone() {
        // after two plain sets the port is still an untagged member of the VLANs before
        let before = Carried(
            [(1, Membership { pvid: false, untagged: true }), (10, Membership { pvid: false, untagged: true }), (20, NATIVE)]
                .into(),
        );
        let (setting, leaks) = before.setting();
        assert_eq!((setting.native, leaks), (Some(vlan(20)), true));
        assert!(setting.carries(vlan(1)) && setting.carries(vlan(10)), "what is carried is told");
        assert!(!before.is_exactly(&PortSetting::access(vlan(20))));
        let change = before.change_to(&PortSetting::access(vlan(20)));
        assert_eq!(change.set, vec![]);
        assert_eq!(change.delete.iter().map(|run| (run.first, run.last)).collect::<Vec<_>>(), [(1, 1), (10, 10)]);
        assert!(kernel(&before, &change).is_exactly(&PortSetting::access(vlan(20))));
    }

    #[test]
    fn a_native_vlan_that_leaves_tagged_is_not_exact() {
        let odd = Carried([(20, Membership { pvid: true, untagged: false })].into());
        assert_eq!(odd.setting(), (PortSetting::access(vlan(20)), true));
        assert!(!odd.is_exactly(&PortSetting::access(vlan(20))));
        assert_eq!(odd.change_to(&PortSetting::access(vlan(20))).set, vec![Run { first: 20, last: 20, membership: NATIVE }]);
    }

    #[test]
    fn odd_lists_are_errors() {
        let begin = Entry { vid: 5, membership: TAGGED, begins: true, ends: false };
        let end = Entry { vid: 9, membership: TAGGED, begins: false, ends: true };
        assert_eq!(read(&[begin, end]).unwrap().0.len(), 5);
        let other = Entry { membership: NATIVE, ..end };
        let back = Entry { vid: 4, ..end };
        let both = Entry { ends: true, ..begin };
        for bad in [
            vec![begin],
            vec![end],
            vec![begin, begin],
            vec![begin, other],
            vec![begin, back],
            vec![both],
            vec![begin, single(6, TAGGED)],
        ] {
            assert!(read(&bad).is_err(), "{bad:?}");
        }
        assert!(read(&[single(7, TAGGED), single(7, TAGGED)]).is_err());
        assert!(read(&[single(0, TAGGED)]).is_err() && read(&[single(4095, TAGGED)]).is_err());
    }

    fn settings() -> impl Strategy<Value = PortSetting> {
        let vids = 1u16..=40;
        (prop::option::of(vids.clone()), prop::collection::btree_set(vids, 0..20)).prop_map(|(native, tagged)| PortSetting {
            native: native.map(vlan),
            tagged: tagged.into_iter().filter(|n| Some(*n) != native).map(vlan).collect(),
            mtu: None,
        })
    }

    fn carried() -> impl Strategy<Value = Carried> {
        let member = (any::<bool>(), any::<bool>()).prop_map(|(pvid, untagged)| Membership { pvid, untagged });
        prop::collection::btree_map(1u16..=40, member, 0..20).prop_map(|mut all| {
            // the kernel has one pvid at most
            let mut seen = false;
            for membership in all.values_mut() {
                membership.pvid &= !seen;
                seen |= membership.pvid;
            }
            Carried(all)
        })
    }

    proptest! {
        #[test]
        fn a_change_reaches_exactly_the_setting(before in carried(), setting in settings()) {
            let after = kernel(&before, &before.change_to(&setting));
            prop_assert!(after.is_exactly(&setting));
            prop_assert_eq!(after.setting(), (setting.clone(), false));
            prop_assert!(after.change_to(&setting).is_empty());
        }

        #[test]
        fn parts_are_small_and_lose_nothing(lengths in prop::collection::vec((1u16..300, 0u16..3), 0..12)) {
            let mut next = 1;
            let whole: Vec<Run> = lengths.iter().map(|(length, gap)| {
                let run = Run { first: next, last: next + length - 1, membership: TAGGED };
                next += length + gap;
                run
            }).collect();
            let single = |runs: &[Run]| runs.iter().flat_map(|run| run.first..=run.last).collect::<Vec<u16>>();
            let parts = parts(&whole);
            prop_assert!(parts.iter().all(|part| (1..=usize::from(MESSAGE_VLANS_MAX)).contains(&single(part).len())));
            prop_assert_eq!(single(&parts.concat()), single(&whole));
        }

        #[test]
        fn the_compressed_list_reads_back(all in carried()) {
            prop_assert_eq!(read(&listed(&all)), Ok(all));
        }

        #[test]
        fn exact_and_without_leak_are_the_same(all in carried()) {
            let (setting, leaks) = all.setting();
            prop_assert_eq!(all.is_exactly(&setting), !leaks);
            prop_assert_eq!(all.0.len(), setting.tagged.len() + usize::from(setting.native.is_some()));
        }

        #[test]
        fn reading_is_total(list in prop::collection::vec((any::<u16>(), any::<bool>(), any::<bool>(), any::<bool>()), 0..12)) {
            let entries: Vec<Entry> = list.into_iter()
                .map(|(vid, untagged, begins, ends)| Entry { vid, membership: Membership { pvid: false, untagged }, begins, ends })
                .collect();
            let _ = read(&entries);
        }
    }
}
