//! VLANs of a port as the columns of Open vSwitch's table `Port`, in both directions, as pure data. No I/O.
//!
//! An empty `trunks` means every VLAN, and so does a port without any of these columns. What is written here never reads so: a port that is to
//! carry nothing trunks VLAN 4095 alone, which 802.1Q reserves and no setting can name.

use std::collections::BTreeSet;
use vocabulary::{PortSetting, VlanId};

/// The VLAN that stands for none. Whoever carries nothing could exchange frames that bear it with another port that carries nothing, if both are up.
const RESERVED: u16 = 4095;

/// Column `vlan_mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// `tag` alone, without a tag on the wire.
    Access,
    /// `trunks`, all of them tagged; VLAN 0 stands for frames without a tag.
    Trunk,
    /// As a trunk; frames without a tag that come in belong to `tag`, which leaves tagged.
    NativeTagged,
    /// As a trunk; `tag` goes without a tag in both directions.
    NativeUntagged,
    /// All that comes in is put into `tag`, its own tags included.
    Tunnel,
}

impl Mode {
    const ALL: [(Mode, &str); 5] = [
        (Mode::Access, "access"),
        (Mode::Trunk, "trunk"),
        (Mode::NativeTagged, "native-tagged"),
        (Mode::NativeUntagged, "native-untagged"),
        (Mode::Tunnel, "dot1q-tunnel"),
    ];

    /// The database's word.
    pub fn word(self) -> &'static str {
        Mode::ALL.iter().find(|(mode, _)| *mode == self).map_or("trunk", |(_, word)| word)
    }

    /// The mode of that word; `None` for one that nobody knows.
    pub fn of(word: &str) -> Option<Mode> {
        Mode::ALL.iter().find(|(_, known)| *known == word).map(|(mode, _)| *mode)
    }
}

/// The columns that decide which VLANs a port carries, as the database holds them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Columns {
    /// `tag`, 0 to 4095.
    pub tag: Option<u16>,
    /// `trunks`, each 0 to 4095; empty means every VLAN where trunks count at all.
    pub trunks: BTreeSet<u16>,
    /// `vlan_mode`.
    pub mode: Option<Mode>,
    /// `cvlans`, which count in a tunnel alone.
    pub cvlans: BTreeSet<u16>,
}

impl Columns {
    /// What to write so that the port carries exactly this. Never a state that means every VLAN.
    pub fn of(setting: &PortSetting) -> Columns {
        let trunks: BTreeSet<u16> = setting.tagged.iter().map(|vlan| vlan.get()).collect();
        let (mode, trunks) = match setting.native {
            Some(_) if trunks.is_empty() => (Mode::Access, trunks),
            Some(_) => (Mode::NativeUntagged, trunks),
            None if trunks.is_empty() => (Mode::Trunk, BTreeSet::from([RESERVED])),
            None => (Mode::Trunk, trunks),
        };
        Columns { tag: setting.native.map(VlanId::get), trunks, mode: Some(mode), cvlans: BTreeSet::new() }
    }

    /// The mode in which the switch takes these columns.
    fn in_force(&self) -> Mode {
        self.mode.unwrap_or(if self.tag.is_some() { Mode::Access } else { Mode::Trunk })
    }

    /// True if this is a member of every VLAN.
    pub fn is_everything(&self) -> bool {
        matches!(self.in_force(), Mode::Trunk | Mode::NativeTagged | Mode::NativeUntagged) && self.trunks.is_empty()
    }

    /// The setting that this is, and whether it leaks: a VLAN other than the native one leaves without a tag, the native one with a tag, or
    /// every VLAN is carried. Nothing carried is left out.
    pub fn setting(&self) -> (PortSetting, bool) {
        let mode = self.in_force();
        let everything = || (1..RESERVED).filter_map(VlanId::new).collect();
        let trunks = || {
            if self.trunks.is_empty() { everything() } else { self.trunks.iter().copied().filter_map(VlanId::new).collect() }
        };
        // no tag, 0 and 4095 are no VLAN, but frames pass all the same
        let native = self.tag.and_then(VlanId::new);
        let (native, mut tagged, leaks): (_, BTreeSet<VlanId>, _) = match mode {
            Mode::Access => (native, BTreeSet::new(), native.is_none()),
            // whatever `tag` says; VLAN 0 goes without a tag
            Mode::Trunk => (None, trunks(), self.trunks.contains(&0)),
            Mode::NativeTagged => (native, trunks(), true),
            // with a native VLAN, VLAN 0 is not carried
            Mode::NativeUntagged => (native, trunks(), native.is_none()),
            Mode::Tunnel => (native, BTreeSet::new(), true),
        };
        if let Some(native) = native {
            tagged.remove(&native);
        }
        (PortSetting { native, tagged, mtu: None }, leaks || self.is_everything())
    }

    /// True if the port carries exactly this setting.
    pub fn is_exactly(&self, setting: &PortSetting) -> bool {
        let (own, leaks) = self.setting();
        !leaks && own.native == setting.native && own.tagged == setting.tagged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vlan(number: u16) -> VlanId {
        VlanId::new(number).unwrap()
    }

    fn columns(tag: Option<u16>, trunks: &[u16], mode: Option<Mode>) -> Columns {
        Columns { tag, trunks: trunks.iter().copied().collect(), mode, cvlans: BTreeSet::new() }
    }

    #[test]
    fn what_means_every_vlan_is_told_as_every_vlan() {
        for (tag, mode) in [
            (None, None),
            (None, Some(Mode::Trunk)),
            (Some(10), Some(Mode::Trunk)),
            (Some(10), Some(Mode::NativeTagged)),
            (Some(10), Some(Mode::NativeUntagged)),
            (None, Some(Mode::NativeUntagged)),
        ] {
            let all = columns(tag, &[], mode);
            let (setting, leaks) = all.setting();
            assert!(all.is_everything() && leaks, "{all:?}");
            assert!((1..=4094).all(|number| setting.carries(vlan(number))), "{all:?}");
        }
    }

    #[test]
    fn what_passes_in_no_vlan_leaks() {
        for odd in [
            columns(None, &[], Some(Mode::Access)),
            columns(Some(0), &[], None),
            columns(Some(4095), &[], Some(Mode::Access)),
            columns(None, &[0, 20], Some(Mode::Trunk)),
            columns(Some(0), &[20], Some(Mode::NativeUntagged)),
            columns(Some(10), &[20], Some(Mode::NativeTagged)),
            columns(Some(10), &[], Some(Mode::Tunnel)),
        ] {
            assert!(odd.setting().1, "{odd:?}");
        }
    }

    #[test]
    fn the_modes_are_read_as_the_switch_takes_them() {
        let access = PortSetting::access(vlan(10));
        // trunks of an access port, and a tag of a trunk, count for nothing
        for same in [columns(Some(10), &[], None), columns(Some(10), &[20], None), columns(Some(10), &[20], Some(Mode::Access))] {
            assert!(same.is_exactly(&access), "{same:?}");
        }
        let trunk = PortSetting { native: None, tagged: BTreeSet::from([vlan(20)]), mtu: None };
        for same in [columns(None, &[20], None), columns(Some(10), &[20], Some(Mode::Trunk)), columns(None, &[20, 4095], None)] {
            assert!(same.is_exactly(&trunk), "{same:?}");
        }
        let both = PortSetting { native: Some(vlan(10)), ..trunk };
        for same in [&[20][..], &[10, 20], &[0, 20]] {
            assert!(columns(Some(10), same, Some(Mode::NativeUntagged)).is_exactly(&both), "{same:?}");
        }
    }

    #[test]
    fn words_of_modes_read_back() {
        for (mode, _) in Mode::ALL {
            assert_eq!(Mode::of(mode.word()), Some(mode));
        }
        assert_eq!(Mode::of("all"), None);
    }

    fn settings() -> impl Strategy<Value = PortSetting> {
        let vids = 1u16..=4094;
        (prop::option::of(vids.clone()), prop::collection::btree_set(vids, 0..20)).prop_map(|(native, tagged)| PortSetting {
            native: native.map(vlan),
            tagged: tagged.into_iter().filter(|n| Some(*n) != native).map(vlan).collect(),
            mtu: None,
        })
    }

    fn any_columns() -> impl Strategy<Value = Columns> {
        let vids = prop_oneof![Just(0u16), Just(4095), 1u16..=40];
        let mode = prop::option::of((0usize..5).prop_map(|n| Mode::ALL[n].0));
        (prop::option::of(vids.clone()), prop::collection::btree_set(vids, 0..6), mode).prop_map(|(tag, trunks, mode)| Columns {
            tag,
            trunks,
            mode,
            cvlans: BTreeSet::new(),
        })
    }

    proptest! {
        #[test]
        fn no_state_that_is_written_means_every_vlan(setting in settings()) {
            let written = Columns::of(&setting);
            prop_assert!(!written.is_everything() && written.mode.is_some() && written.cvlans.is_empty());
            prop_assert!(!written.trunks.contains(&0) && written.tag != Some(0));
            prop_assert!(written.is_exactly(&setting));
            prop_assert_eq!(written.setting(), (setting, false));
        }

        #[test]
        fn what_is_exact_carries_nothing_else(columns in any_columns(), number in 1u16..=40) {
            let (setting, leaks) = columns.setting();
            prop_assert!(setting.native.is_none_or(|native| !setting.tagged.contains(&native)));
            prop_assert!(leaks || !columns.is_everything());
            // the switch's own rule for a frame that comes with this tag
            let passes = match columns.in_force() {
                Mode::Access => false,
                Mode::Tunnel => true,
                Mode::Trunk => columns.trunks.is_empty() || columns.trunks.contains(&number),
                Mode::NativeTagged | Mode::NativeUntagged =>
                    columns.trunks.is_empty() || columns.trunks.contains(&number) || columns.tag == Some(number),
            };
            prop_assert!(leaks || !passes || setting.carries(vlan(number)));
        }
    }
}
