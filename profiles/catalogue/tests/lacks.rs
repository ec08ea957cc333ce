//! What a machine lacks for a server, one lack at a time, on the lab's estate.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use catalogue::{Flavor, load_for};
use std::collections::BTreeSet;
use std::path::Path;
use vocabulary::boot::Firmware;
use vocabulary::estate::{BmcAccess, Estate, Machine, Pdu, ProofChoice, Server, Site};
use vocabulary::lack::{Lack, ProofGap, lacks, may_bear, proof_reach};
use vocabulary::network::AttachmentKind;
use vocabulary::quantity::Bytes;
use vocabulary::{MachineId, OutletId, VlanId};

struct Lab {
    estate: Estate,
    machine: Machine,
    server: Server,
}

fn lab() -> Lab {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/lab");
    let estate = load_for(&folder, Some(Flavor::Lab)).estate.unwrap();
    let machine = estate.machines[&"m3".parse().unwrap()].clone();
    let server = estate.servers[&"web1".parse().unwrap()].clone();
    Lab { estate, machine, server }
}

/// The only lack after one change.
fn only(change: impl Fn(&mut Lab)) -> Lack {
    let mut lab = lab();
    assert_eq!(lacks(&lab.machine, &lab.server, &lab.estate), []);
    change(&mut lab);
    let mut found = lacks(&lab.machine, &lab.server, &lab.estate);
    assert_eq!(found.len(), 1, "{found:?}");
    let lack = found.remove(0);
    let data = serde_json::to_value(&lack).unwrap();
    assert_eq!(serde_json::from_value::<Lack>(data).unwrap(), lack);
    lack
}

#[test]
fn each_lack_is_found_alone_and_said_in_words() {
    let role = |name: &str| name.parse().unwrap();
    let found = [
        only(|lab| lab.machine.hardware.architecture = "aarch64".into()),
        only(|lab| lab.server.requires.level = 3),
        only(|lab| lab.server.requires.memory = Bytes(1 << 30)),
        only(|lab| lab.server.requires.threads = 2),
        only(|lab| lab.machine.hardware.firmware = BTreeSet::from([Firmware::Uefi])),
        only(|lab| lab.machine.nics.retain(|nic| nic.role.as_str() != "storage")),
        only(|lab| lab.server.networks[2].attachment = AttachmentKind::Lacp),
        only(|lab| lab.machine.nics[1].switch = "sw9".parse().unwrap()),
        only(|lab| {
            let mut far = lab.estate.switches[&"sw1".parse().unwrap()].clone();
            far.site = "moon".parse().unwrap();
            lab.estate.sites.insert("moon".parse().unwrap(), Site { description: String::new() });
            lab.estate.switches.insert("sw2".parse().unwrap(), far);
            lab.machine.nics[2].switch = "sw2".parse().unwrap();
        }),
        only(|lab| lab.estate.storages.values_mut().for_each(|it| it.site = "moon".parse().unwrap())),
        only(|lab| lab.estate.boot_services.values_mut().for_each(|it| it.vlans = BTreeSet::from([VlanId::constant(11)]))),
    ];
    assert_eq!(found[5], Lack::Nic { role: role("storage"), needs: 1, has: 0 });
    let words: Vec<String> = found.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("lacks", words.join("\n"));
}

#[test]
fn firmware_is_what_image_server_and_machine_agree_on() {
    let uefi_image = only(|lab| lab.estate.images.values_mut().for_each(|it| it.firmware = BTreeSet::from([Firmware::Uefi])));
    assert!(matches!(uefi_image, Lack::Firmware { needs, .. } if needs.is_empty()));
    let mut lab = lab();
    lab.server.requires.firmware = None;
    lab.estate.images.values_mut().for_each(|it| it.firmware = BTreeSet::from([Firmware::Uefi]));
    assert_eq!(lacks(&lab.machine, &lab.server, &lab.estate), []);
}

#[test]
fn a_machine_may_bear_the_servers_of_its_home_and_pool() {
    let lab = lab();
    let may = |name: &str| may_bear(&name.parse().unwrap(), &lab.server, &lab.estate);
    assert_eq!([may("m1"), may("m2"), may("m3")], [true, false, true]);
}

#[test]
fn each_gap_makes_its_proof_set_unreachable() {
    let id: MachineId = "m3".parse().unwrap();
    let reach = |change: &dyn Fn(&mut Lab)| {
        let mut lab = lab();
        change(&mut lab);
        proof_reach(&id, &lab.machine, &lab.estate)
    };
    let whole = reach(&|_| {});
    assert!(whole.any() && whole.power.is_empty() && whole.storage_and_network.is_empty());

    let power = |gap: ProofGap, change: &dyn Fn(&mut Lab)| {
        let found = reach(change);
        assert_eq!((found.power.as_slice(), found.storage_and_network.is_empty()), ([gap].as_slice(), true));
        assert!(found.any());
    };
    power(ProofGap::LeftOut, &|lab| lab.estate.settings.fencing.proof = ProofChoice::StorageAndNetworkOnly);
    power(ProofGap::BmcAddress, &|lab| lab.machine.bmc.address = "10.254.0.13:0".parse().unwrap());
    power(ProofGap::OnlyWatched, &|lab| lab.machine.bmc.access = BmcAccess::Watch);
    power(ProofGap::BmcShared { with: "m1".parse().unwrap() }, &|lab| {
        lab.machine.bmc.address = "10.254.0.11:443".parse().unwrap()
    });

    let rest = |change: &dyn Fn(&mut Lab)| {
        let found = reach(change);
        assert!(found.power.is_empty() && found.any());
        assert_eq!(found.storage_and_network.len(), 1, "{found:?}");
        found.storage_and_network[0].clone()
    };
    assert_eq!(rest(&|lab| lab.estate.settings.fencing.proof = ProofChoice::PowerOnly), ProofGap::LeftOut);
    assert_eq!(rest(&|lab| lab.machine.nics.clear()), ProofGap::NoNics);
    assert_eq!(rest(&|lab| lab.machine.hardware.unrevocable_storage = true), ProofGap::Unrevocable);
    assert!(matches!(rest(&|lab| lab.machine.nics[0].switch = "sw9".parse().unwrap()), ProofGap::Unswitched { .. }));
    let volume = rest(&|lab| {
        lab.estate.storages.values_mut().for_each(|it| {
            it.volumes.remove(&"web1-root".parse().unwrap());
        });
    });
    assert_eq!(volume, ProofGap::Volume { server: "web1".parse().unwrap(), storage: "store1".parse().unwrap() });

    let outlet = OutletId { pdu: "pdu1".parse().unwrap(), outlet: 7 };
    let plugged = |lab: &mut Lab| {
        let pdu = Pdu { site: "lab".parse().unwrap(), driver: "snmp".into(), agent: "127.0.0.1:7447".parse().unwrap() };
        lab.estate.pdus.insert(outlet.pdu.clone(), pdu);
        lab.machine.outlets = vec![outlet.clone()];
    };
    assert_eq!(whole.outlets, [ProofGap::NoOutlets]);
    assert!(reach(&|lab| plugged(lab)).outlets.is_empty());
    let unowned = reach(&|lab| lab.machine.outlets = vec![outlet.clone()]);
    assert_eq!(unowned.outlets, [ProofGap::Unpowered { outlet: outlet.clone() }]);
    let left_out = reach(&|lab| {
        plugged(lab);
        lab.estate.settings.fencing.proof = ProofChoice::PowerOnly;
    });
    assert_eq!(left_out.outlets, [ProofGap::LeftOut]);
    let only_outlets = reach(&|lab| {
        plugged(lab);
        lab.machine.bmc.access = BmcAccess::Watch;
        lab.machine.nics.clear();
    });
    assert!(only_outlets.any() && !only_outlets.power.is_empty() && !only_outlets.storage_and_network.is_empty());

    let none = reach(&|lab| {
        lab.estate.settings.fencing.proof = ProofChoice::PowerOnly;
        lab.machine.bmc.address = "0.0.0.0:443".parse().unwrap();
    });
    assert!(!none.any());
}
