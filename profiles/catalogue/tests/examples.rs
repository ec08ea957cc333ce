//! The examples are what they claim to be: the lab's estate is clean for a lab, the starter's for anyone.

use catalogue::{Flavor, Look, load, load_for, render};
use std::path::{Path, PathBuf};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn the_lab_is_clean_as_a_lab_and_refused_as_anything_else() {
    let lab = load_for(&example("lab"), Some(Flavor::Lab));
    assert_eq!(render(&lab.complaints, Look::Plain), "");
    let estate = lab.estate.expect("the lab's estate");
    assert_eq!((estate.machines.len(), estate.servers.len(), estate.name()), (3, 2, "lab"));
    assert_eq!(lab.name.as_deref(), Some("lab"));

    let unknown = load(&example("lab"));
    assert_eq!((unknown.errors(), unknown.warnings()), (0, 1), "{}", render(&unknown.complaints, Look::Plain));
    assert!(unknown.estate.is_some());
    let elsewhere = load_for(&example("lab"), Some(Flavor::Production));
    assert_eq!((elsewhere.errors(), elsewhere.warnings()), (1, 0));
    assert!(elsewhere.estate.is_none());
}

#[test]
fn the_lab_is_the_table_of_the_lab() {
    let estate = load_for(&example("lab"), Some(Flavor::Lab)).estate.unwrap();
    for (n, machine) in (1..).zip(estate.machines.values()) {
        assert_eq!(machine.serial, format!("LAB000{n}"));
        assert_eq!(machine.uuid, format!("00000000-0000-4000-8000-00000000000{n}"));
        assert_eq!(machine.bmc.address.to_string(), format!("10.254.0.1{n}:443"));
        for (k, nic) in (1..).zip(&machine.nics) {
            assert_eq!(nic.mac.to_string(), format!("52:54:00:0c:0{n}:0{k}"));
            assert_eq!(nic.port.as_str(), format!("p{}", 3 * n - 3 + k));
        }
        assert_eq!(
            machine.nics.iter().map(|nic| nic.role.as_str()).collect::<Vec<_>>(),
            ["provisioning", "storage", "production"]
        );
    }
    for (n, server) in (1..).zip(estate.servers.values()) {
        assert_eq!(server.home.as_str(), format!("m{n}"));
        let networks: Vec<_> = server.networks.iter().map(|it| (it.vlan.get(), it.address.unwrap().to_string())).collect();
        assert_eq!(networks, [10, 30, 20].map(|vlan| (vlan, format!("10.{vlan}.0.1{n}/24"))));
    }
    let vlans = &estate.settings.vlans;
    assert_eq!([vlans.patrol.get(), vlans.parking.get(), vlans.quarantine.get()], [97, 98, 99]);
}

#[test]
fn the_starter_is_clean() {
    let starter = load_for(&example("starter"), Some(Flavor::Production));
    assert_eq!(render(&starter.complaints, Look::Plain), "");
    assert!(starter.estate.is_some());
}
