//! What is folded and what is not.

use super::*;
use crate::driver::{Probe, Survey};
use crate::findings::Findings;
use crate::inventory::Inventory;
use vocabulary::WallTime;
use vocabulary::power::{MachineReading, PowerState, RestorePolicy};

fn bmc(address: u8, face: Option<(&str, &str)>, identity: Option<(&str, &str)>) -> Bmc {
    let greeting = |(uuid, certificate): (&str, &str)| Greeting {
        certificate: certificate.into(),
        version: "1.0".into(),
        vendor: String::new(),
        product: String::new(),
        uuid: uuid.into(),
    };
    let inspection = |(uuid, serial): (&str, &str)| {
        let reading = MachineReading {
            session: 1,
            identity: Identity { uuid: uuid.into(), serial: serial.into() },
            certificate: None,
            system_power: PowerState::On,
            chassis_power: None,
            last_reset: None,
            boot_progress: None,
            bmc_started: None,
            restore_policy: RestorePolicy::Unknown,
            health: None,
            read_at: WallTime(0),
        };
        let probe =
            Probe { reading, certificate: None, findings: Findings::default(), survey: Survey::default(), matches: false };
        Inspection { probe, inventory: Inventory::default() }
    };
    Bmc {
        address: IpAddr::from([10, 0, 0, address]),
        also: BTreeSet::new(),
        redfish: face.map(greeting),
        ipmi: face.is_none(),
        inspection: identity.map(inspection),
        trouble: None,
    }
}

fn addresses(bmcs: Vec<Bmc>) -> Vec<(String, usize)> {
    folded(bmcs).iter().map(|bmc| (bmc.address.to_string(), bmc.also.len())).collect()
}

fn shown(list: &[(&str, usize)]) -> Vec<(String, usize)> {
    list.iter().map(|(address, also)| ((*address).to_owned(), *also)).collect()
}

#[test]
fn one_machine_at_two_addresses_or_by_two_protocols_is_one() {
    let two = vec![bmc(2, Some(("a", "c1")), Some(("u", "s"))), bmc(1, Some(("b", "c2")), Some(("u", "s")))];
    assert_eq!(addresses(two), shown(&[("10.0.0.1", 1)]));
    let ipmi = vec![bmc(1, None, Some(("u", ""))), bmc(2, Some(("a", "c")), Some(("u", "s")))];
    assert_eq!(addresses(ipmi), shown(&[("10.0.0.2", 1)]), "the one that tells more stands for both");
    let unread = vec![bmc(1, Some(("a", "c")), None), bmc(2, Some(("a", "c")), None)];
    assert_eq!(addresses(unread), shown(&[("10.0.0.1", 1)]), "by the service's own UUID");
    let refused = vec![bmc(1, Some(("a", "c")), None), bmc(2, Some(("a", "c")), Some(("u", "s")))];
    assert_eq!(addresses(refused), shown(&[("10.0.0.2", 1)]));
}

#[test]
fn what_only_looks_alike_is_not_one() {
    let clones = vec![bmc(1, Some(("a", "c")), Some(("u1", "s1"))), bmc(2, Some(("a", "c")), Some(("u2", "s2")))];
    assert_eq!(addresses(clones), shown(&[("10.0.0.1", 0), ("10.0.0.2", 0)]), "the machines say that they are two");
    let serials = vec![bmc(1, None, Some(("u", "s1"))), bmc(2, None, Some(("u", "s2")))];
    assert_eq!(addresses(serials).len(), 2, "a UUID that a maker forgot to change");
    let maker = vec![bmc(1, Some(("a", "c")), None), bmc(2, Some(("b", "c")), None)];
    assert_eq!(addresses(maker).len(), 2, "a maker's certificate");
    let sample = vec![bmc(1, Some(("a", "c1")), None), bmc(2, Some(("a", "c2")), None)];
    assert_eq!(addresses(sample).len(), 2, "a sample's UUID");
    let silent = vec![bmc(1, None, None), bmc(2, None, None), bmc(3, Some(("", "c")), None), bmc(4, Some(("", "c")), None)];
    assert_eq!(addresses(silent).len(), 4, "nothing told is not the same as nothing told");
}
