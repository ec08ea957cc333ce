//! Standing permits: who may boot as whom, and for how long this service may say so without hearing from a controller.
//! Pure: time comes in, nothing is written here. A doubt about time shortens a lease and never lengthens it.

use crate::limits::{MACHINES_MAX, PERMIT_LEASE_MS_MAX, PERMIT_NICS_MAX, PERMIT_TEXT_MAX, PROVISIONING};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use vocabulary::boot::{BootMethod, Permit, PermitNic};
use vocabulary::{Mac, MachineId, Role, ServerId};

/// What is durable of one machine: its provisioning MAC (kept after a revocation, so that a contact of it can be told) and its permit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The machine.
    pub machine: MachineId,
    /// Its provisioning NIC.
    pub provisioning_mac: Option<Mac>,
    /// Its standing permit.
    pub permit: Option<Permit>,
}

/// The age of the last contact with a controller, durable. Written beside the permits; read after a restart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgeMark {
    /// The host's boot during which it was written.
    pub host_boot: String,
    /// The boot clock then, in milliseconds.
    pub boot_ms: u64,
    /// The wall clock then, in milliseconds.
    pub wall_ms: u64,
    /// How long ago the last contact was then, in milliseconds.
    pub age_ms: u64,
}

/// How long ago a controller was last heard, on the boot clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContactAge {
    at_boot_ms: u64,
    age_ms: u64,
}

impl ContactAge {
    /// No controller was ever heard, or nobody knows when.
    pub const NEVER: ContactAge = ContactAge { at_boot_ms: 0, age_ms: u64::MAX };

    /// A controller is heard now.
    pub fn heard(boot_ms: u64) -> ContactAge {
        ContactAge { at_boot_ms: boot_ms, age_ms: 0 }
    }

    /// How long ago it was, at most.
    pub fn age_ms(&self, boot_ms: u64) -> u64 {
        self.age_ms.saturating_add(boot_ms.checked_sub(self.at_boot_ms).unwrap_or(u64::MAX))
    }

    /// What to write down.
    pub fn mark(&self, host_boot: &str, boot_ms: u64, wall_ms: u64) -> AgeMark {
        AgeMark { host_boot: host_boot.to_owned(), boot_ms, wall_ms, age_ms: self.age_ms(boot_ms) }
    }

    /// After a restart. Within one boot of the host the boot clock tells the time between, whatever the wall clock did. Over a reboot of
    /// the host only the wall clock can; if it went backwards nobody knows how long it was, and no permit is served before a controller
    /// is heard.
    pub fn resumed(mark: &AgeMark, host_boot: &str, boot_ms: u64, wall_ms: u64) -> ContactAge {
        let between = if !host_boot.is_empty() && mark.host_boot == host_boot {
            boot_ms.checked_sub(mark.boot_ms)
        } else {
            // the new boot alone has lasted this long
            wall_ms.checked_sub(mark.wall_ms).map(|between| between.max(boot_ms))
        };
        match between {
            Some(between) => ContactAge { at_boot_ms: boot_ms, age_ms: mark.age_ms.saturating_add(between) },
            None => ContactAge::NEVER,
        }
    }
}

struct Entry {
    provisioning_mac: Option<Mac>,
    permit: Option<Arc<Permit>>,
}

/// All machines that this service knows. At most one permit a machine, one machine a server, one machine a MAC.
#[derive(Default)]
pub struct Ledger {
    entries: BTreeMap<MachineId, Entry>,
}

impl Ledger {
    /// Takes a record as it stands (from disk, or from configuration with no permit). A machine's MAC is taken from another machine only
    /// if that one holds no permit.
    pub fn put(&mut self, record: Record) -> Result<(), String> {
        if self.entries.len() >= MACHINES_MAX && !self.entries.contains_key(&record.machine) {
            return Err(format!("this service knows {MACHINES_MAX} machines already, which is its limit"));
        }
        if let Some(mac) = record.provisioning_mac
            && let Some(other) = self.machine_of(mac).filter(|other| **other != record.machine).cloned()
        {
            let entry = self.entries.get_mut(&other);
            match entry {
                Some(entry) if entry.permit.is_none() => entry.provisioning_mac = None,
                _ => return Err(format!("{other} holds a permit with the same provisioning MAC {mac}: one of the two is wrong")),
            }
        }
        let entry = Entry { provisioning_mac: record.provisioning_mac, permit: record.permit.map(Arc::new) };
        self.entries.insert(record.machine, entry);
        Ok(())
    }

    /// Voids the machine's permit in memory; it gets silence from now on. Its MAC stays known. Returns what is to be made durable.
    pub fn void(&mut self, machine: &MachineId) -> Record {
        let entry = self.entries.get_mut(machine);
        let provisioning_mac = entry.and_then(|entry| {
            entry.permit = None;
            entry.provisioning_mac
        });
        Record { machine: machine.clone(), provisioning_mac, permit: None }
    }

    /// The machine with that provisioning MAC.
    pub fn machine_of(&self, mac: Mac) -> Option<&MachineId> {
        self.entries.iter().find(|(_, entry)| entry.provisioning_mac == Some(mac)).map(|(machine, _)| machine)
    }

    /// The machine's permit, whether or not its lease has run out.
    pub fn standing(&self, machine: &MachineId) -> Option<&Arc<Permit>> {
        self.entries.get(machine)?.permit.as_ref()
    }

    /// The machine's permit, if a controller was heard within its lease.
    pub fn live(&self, machine: &MachineId, contact_age_ms: u64) -> Option<&Arc<Permit>> {
        self.standing(machine).filter(|permit| contact_age_ms <= permit.lease.0)
    }

    /// The live permit whose provisioning address this is.
    pub fn live_at(&self, address: IpAddr, contact_age_ms: u64) -> Option<&Arc<Permit>> {
        let permits = self.entries.values().filter_map(|entry| entry.permit.as_ref());
        permits
            .filter(|permit| contact_age_ms <= permit.lease.0)
            .find(|permit| provisioning(permit).and_then(|nic| nic.address).is_some_and(|here| here.address == address))
    }

    /// Machines that hold a permit of that server.
    pub fn bearers(&self, server: &ServerId) -> Vec<Arc<Permit>> {
        self.entries.values().filter_map(|entry| entry.permit.clone()).filter(|permit| permit.server == *server).collect()
    }

    /// Why this permit cannot stand beside those of other servers: its MAC or its provisioning address is another machine's.
    pub fn conflict(&self, wanted: &Permit) -> Option<String> {
        let address = provisioning_address(wanted).map(|(ip, _)| ip);
        let mac = provisioning(wanted).map(|nic| nic.mac);
        let others = self.permits().filter(|other| other.machine != wanted.machine && other.server != wanted.server);
        others.into_iter().find_map(|other| {
            let (machine, server) = (&other.machine, &other.server);
            if provisioning(other).map(|nic| nic.mac) == mac {
                return Some(format!("{machine} holds a permit with the same provisioning MAC: one of the two is wrong"));
            }
            let same = provisioning_address(other).map(|(ip, _)| ip) == address;
            same.then(|| format!("{machine} holds a permit of {server} with the same provisioning address: correct the estate"))
        })
    }

    /// All standing permits.
    pub fn permits(&self) -> impl Iterator<Item = &Arc<Permit>> {
        self.entries.values().filter_map(|entry| entry.permit.as_ref())
    }
}

/// The NIC of a permit on which DHCP is answered.
pub fn provisioning(permit: &Permit) -> Option<&PermitNic> {
    permit.nics.iter().find(|(role, _)| role.as_str() == PROVISIONING).map(|(_, nic)| nic)
}

/// The permit's IPv4 address and prefix on the provisioning network.
pub fn provisioning_address(permit: &Permit) -> Option<(Ipv4Addr, u8)> {
    let address = provisioning(permit)?.address?;
    match address.address {
        IpAddr::V4(ip) if address.prefix <= 32 => Some((ip, address.prefix)),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Refuses a permit that this service could not serve, before it is accepted: better at the grant than in the middle of a boot.
/// Texts of a permit end up in a boot script and in `KEY=value` lines, so they may hold nothing that either would read as its own.
pub fn check(permit: &Permit, own_address: Ipv4Addr) -> Result<(), String> {
    let nic = provisioning(permit).ok_or("it names no NIC of role `provisioning`, so nobody could ask for it")?;
    let (address, _) = provisioning_address(permit).ok_or("its provisioning NIC has no IPv4 address")?;
    if address == own_address || address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
        return Err(format!("its provisioning address {address} cannot be a machine's"));
    }
    if nic.mac.0.first().is_none_or(|first| first & 1 == 1) || nic.mac.0 == [0; 6] {
        return Err(format!("its provisioning MAC {} is no NIC's", nic.mac));
    }
    if permit.lease.0 == 0 || permit.lease.0 > PERMIT_LEASE_MS_MAX {
        return Err(format!("its lease {} is not between 1ms and 30d", permit.lease));
    }
    if permit.nics.len() > PERMIT_NICS_MAX {
        return Err(format!("it has more than {PERMIT_NICS_MAX} NICs"));
    }
    let words = [
        ("target", permit.root.path.target.as_str()),
        ("initiator", permit.root.initiator.0.as_str()),
        ("CHAP user", permit.root.user.as_str()),
        ("CHAP secret", permit.root.secret.expose()),
    ];
    for (what, word) in words {
        if word.is_empty() || word.len() > PERMIT_TEXT_MAX || !word.bytes().all(plain) {
            return Err(format!("its {what} is empty, too long, or holds a space, quote or one of `$ & | ; # \\`"));
        }
    }
    if permit.arguments.len() > PERMIT_TEXT_MAX || !permit.arguments.bytes().all(|b| plain(b) || matches!(b, b' ' | b'"' | b'\''))
    {
        return Err("its kernel arguments are too long, or hold a line break or one of `$ & | ; # \\`".to_owned());
    }
    match (permit.method, permit.root.path.portal.ip()) {
        (BootMethod::San, IpAddr::V6(portal)) => {
            Err(format!("iPXE boots from IPv4 portals, not from {portal}: give the volume one"))
        }
        (BootMethod::San | BootMethod::Kernel, _) => Ok(()),
    }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'$' | b'&' | b'|' | b';' | b'#' | b'\\' | b'"' | b'\'' | b'`')
}

/// `NIC_<ROLE>` of a role in claim lines.
pub fn key_of(role: &Role) -> String {
    role.as_str().to_ascii_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::permit;
    use proptest::prelude::*;
    use vocabulary::{Secret, Span};

    #[test]
    fn a_permit_is_live_for_its_lease_after_the_last_contact_and_not_a_millisecond_longer() {
        let mut ledger = Ledger::default();
        let mut given = permit(1, "web1", 5);
        given.lease = Span(1000);
        ledger.put(Record { machine: given.machine.clone(), provisioning_mac: None, permit: Some(given.clone()) }).unwrap();
        let age = ContactAge::heard(50_000);
        assert!(ledger.live(&given.machine, age.age_ms(51_000)).is_some());
        assert!(ledger.live(&given.machine, age.age_ms(51_001)).is_none());
        assert!(ledger.standing(&given.machine).is_some());
        assert!(ledger.live(&given.machine, ContactAge::NEVER.age_ms(60_000)).is_none());
        assert!(ledger.live(&given.machine, age.age_ms(49_000)).is_none(), "a boot clock that went back is a doubt");
    }

    #[test]
    fn a_mac_belongs_to_one_machine_and_a_permit_holds_it() {
        let mut ledger = Ledger::default();
        let mac: Mac = "52:54:00:0c:01:01".parse().unwrap();
        let known = |n: u8, permit| Record { machine: format!("m{n}").parse().unwrap(), provisioning_mac: Some(mac), permit };
        ledger.put(known(1, None)).unwrap();
        ledger.put(known(2, Some(permit(2, "web1", 5)))).unwrap();
        assert_eq!(ledger.machine_of(mac).unwrap().as_str(), "m2", "a board moved to another machine");
        assert!(ledger.put(known(3, None)).unwrap_err().contains("m2"));
        let voided = ledger.void(&"m2".parse().unwrap());
        assert_eq!((voided.provisioning_mac, voided.permit), (Some(mac), None));
        assert!(ledger.standing(&"m2".parse().unwrap()).is_none());
    }

    #[test]
    fn a_permit_that_could_not_be_served_is_refused() {
        let own = Ipv4Addr::new(10, 10, 0, 1);
        assert_eq!(check(&permit(1, "web1", 5), own), Ok(()));
        type Change = fn(&mut Permit);
        let changes: [(&str, Change); 9] = [
            ("no NIC of role", |p| p.nics.clear()),
            ("no IPv4 address", |p| p.nics.values_mut().for_each(|nic| nic.address = None)),
            ("cannot be a machine's", |p| p.nics.values_mut().for_each(|nic| nic.address = "10.10.0.1/24".parse().ok())),
            ("no NIC's", |p| p.nics.values_mut().for_each(|nic| nic.mac = Mac([255; 6]))),
            ("lease", |p| p.lease = Span(0)),
            ("CHAP secret", |p| p.root.secret = Secret::new("a\nset x")),
            ("target", |p| p.root.path.target = "iqn ${x}".to_owned()),
            ("kernel arguments", |p| p.arguments = "quiet\nshell".to_owned()),
            ("IPv4 portals", |p| {
                p.method = BootMethod::San;
                p.root.path.portal = "[fd00::1]:3260".parse().unwrap();
            }),
        ];
        for (why, change) in changes {
            let mut bad = permit(1, "web1", 5);
            change(&mut bad);
            let told = check(&bad, own).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    proptest! {
        /// Through any chain of restarts, reboots and steps of the wall clock, the age that the service counts is never less than the
        /// time that truly passed, as long as a reboot of the host does not set the wall clock back by less than it was away.
        #[test]
        fn the_age_of_the_last_contact_is_never_underrated(
            steps in proptest::collection::vec((0u64..1_000_000, any::<bool>(), 0i64..1000), 1..20)
        ) {
            let (mut truth, mut boot, mut boots) = (0u64, 5_000u64, 0u32);
            // The wall clock's distance from the truth; only ever stepped forward over a reboot. It starts years after 1970, as every
            // wall clock does: at 1970 itself a step back would end at zero, and such a clock stands still.
            let mut skew = 1_000_000_000_000i64;
            let mut age = ContactAge::heard(boot);
            for (passed, reboot, step) in steps {
                let mark = age.mark(&boots.to_string(), boot, truth.saturating_add_signed(skew));
                truth += passed;
                if reboot {
                    boots += 1;
                    boot = passed / 2;
                    skew += step;
                } else {
                    boot += passed;
                    skew -= step; // within one boot the wall clock may do what it likes
                }
                age = ContactAge::resumed(&mark, &boots.to_string(), boot, truth.saturating_add_signed(skew));
                prop_assert!(age.age_ms(boot) >= truth, "{} < {truth}", age.age_ms(boot));
            }
        }
    }

    #[test]
    fn a_wall_clock_that_went_back_over_a_reboot_ends_every_lease() {
        let mark = ContactAge::heard(1000).mark("one", 2000, 500_000);
        assert_eq!(ContactAge::resumed(&mark, "two", 100, 499_999), ContactAge::NEVER);
        assert_eq!(ContactAge::resumed(&mark, "two", 100, 500_500).age_ms(100), 1500);
        assert_eq!(ContactAge::resumed(&mark, "one", 2500, 0).age_ms(2500), 1500, "same boot: the wall clock does not matter");
        assert_eq!(ContactAge::resumed(&mark, "", 2500, 0), ContactAge::NEVER);
    }
}
