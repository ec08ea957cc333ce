//! An estate of thousands of machines is read and checked in a time that grows with their number, not with its square.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalogue::{Flavor, Look, init, load_for, render};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Machines of the estate; one in ten is a spare.
const MACHINES: usize = 2_000;
/// Spares in a pool.
const POOL: usize = 100;
/// Ten times what it takes unoptimised on an idle core; anything that grows with the square of the machines takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

fn write_estate(folder: &Path) {
    init(folder, Flavor::Lab).unwrap();
    let (mut machines, mut servers, mut volumes) = (String::new(), String::new(), String::new());
    for n in 0..MACHINES {
        let mac = |role: usize| format!("02:{:02x}:{:02x}:{:02x}:00:0{role}", n >> 16, (n >> 8) & 255, n & 255);
        let nic = |role: &str, k: usize| format!("  - {{role: {role}, mac: '{}', switch: sw1, port: x{}}}\n", mac(k), n * 3 + k);
        write!(
            machines,
            "---\nmachine: x{n}\nserial: X{n}\nuuid: 6f1c1c1e-0000-4000-8000-{n:012}\nsite: lab\nrack: r{}\nfeeds: [a, b]\n\
             bmc: {{protocol: redfish, address: '10.{}.{}.{}:443', user: u, password: 'env:BMC'}}\nnics:\n{}{}{}",
            n / 40,
            100 + (n >> 16),
            (n >> 8) & 255,
            n & 255,
            nic("provisioning", 0),
            nic("storage", 1),
            nic("production", 2),
        )
        .unwrap();
        machines.push_str("hardware: {level: 2, memory: 64GiB, threads: 8, firmware: [bios]}\n");
        if n % 10 == 0 {
            continue;
        }
        let (high, low) = (n >> 8, n & 255);
        writeln!(volumes, "  x{n}: {{paths: [{{portal: '10.30.0.1:3260', target: 'iqn.2026-01.lab:x{n}'}}]}}").unwrap();
        write!(
            servers,
            "---\nserver: x{n}\ngroup: web\nhome: x{n}\npool: pool{}\nboot: {{method: kernel, image: web-kernel}}\nnetworks:\n\
             \x20 - {{role: provisioning, vlan: 10, address: 10.50.{high}.{low}/15}}\n\
             \x20 - {{role: storage, vlan: 31, address: 10.52.{high}.{low}/15}}\n\
             \x20 - {{role: production, vlan: 20, address: 10.54.{high}.{low}/15}}\n\
             volumes: [{{name: root, storage: big, volume: x{n}, access: exclusive}}]\n\
             checks: [{{tcp: {{address: '10.54.{high}.{low}:80'}}}}]\n",
            n % (MACHINES / 10 / POOL)
        )
        .unwrap();
    }
    for pool in 0..MACHINES / 10 / POOL {
        let members: Vec<String> = (0..POOL).map(|k| format!("x{}", (pool * POOL + k) * 10)).collect();
        writeln!(servers, "---\npool: pool{pool}\nmachines: [{}]", members.join(", ")).unwrap();
    }
    write!(servers, "---\nstorage: big\nsite: lab\ndriver: tgt\nagent: 127.0.0.1:7450\nvlan: 31\nvolumes:\n{volumes}").unwrap();
    // files stay below the limit of one file
    for (name, text) in [("machines", machines), ("servers", servers)] {
        let documents: Vec<&str> = text.split("---\n").filter(|document| !document.is_empty()).collect();
        for (index, part) in documents.chunks(1000).enumerate() {
            std::fs::write(folder.join(format!("{name}{index}.yaml")), part.join("---\n")).unwrap();
        }
    }
    // the lab's own addresses overlap these; its servers are not wanted here
    std::fs::remove_dir_all(folder.join("servers")).unwrap();
    std::fs::remove_dir_all(folder.join("machines")).unwrap();
    std::fs::remove_file(folder.join("pool.yaml")).unwrap();
}

#[test]
fn thousands_of_machines() {
    let folder = tempfile::tempdir().unwrap();
    write_estate(folder.path());
    let start = Instant::now();
    let loaded = load_for(folder.path(), Some(Flavor::Lab));
    let took = start.elapsed();
    assert_eq!(render(&loaded.complaints, Look::Plain), "");
    let estate = loaded.estate.unwrap();
    assert_eq!((estate.machines.len(), estate.servers.len()), (MACHINES, MACHINES * 9 / 10));
    eprintln!("{MACHINES} machines read and checked in {took:?}");
    assert!(took < PATIENCE, "{took:?}");
}

/// So many warnings that not all are shown hide no error, and are none.
#[test]
fn warnings_are_no_error_however_many_and_hide_none() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("estate.yaml", "estate: many\nvlans: {quarantine: 99, parking: 98, patrol: 97}\n");
    write("site.yaml", "site: hall\n");
    let machine = |n: usize| {
        format!(
            "machine: m{n}\nserial: B{n}\nuuid: 00000000-0000-4000-8000-{n:012}\nsite: hall\nrack: r1\nfeeds: [a]\n\
             bmc: {{protocol: redfish, address: '10.1.{}.{}:443', user: u, password: 'env:BMC'}}\nnics: []\n\
             hardware: {{level: 2, memory: 1GiB, threads: 1, firmware: [bios]}}\n",
            n >> 8,
            n & 255
        )
    };
    let machines: Vec<String> = (0..1_200).map(machine).collect();
    write("machines.yaml", &machines.join("---\n"));
    let loaded = load_for(folder.path(), Some(Flavor::Production));
    assert_eq!(loaded.errors(), 0, "{:?}", loaded.complaints.first());
    assert!(loaded.estate.is_some());
    assert!(loaded.complaints.iter().any(|complaint| complaint.code.to_string() == "F0040"));
    // a file that is read last
    write("zz.yaml", "pool: spares\nmachines: [m0, nobody]\n");
    let loaded = load_for(folder.path(), Some(Flavor::Production));
    assert!(loaded.estate.is_none());
    assert!(loaded.complaints.iter().any(|complaint| complaint.message.contains("nobody")), "an error is shown before warnings");
}
