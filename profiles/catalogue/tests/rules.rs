//! Each rule by an estate that breaks exactly it: the lab's, with one slip. The golden text is what an operator reads.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use catalogue::{Flavor, Look, Severity, init, load_for, render};
use std::path::Path;

/// A slip: in a file, a text that is replaced. An empty `from` adds `to` at the file's end, `*` puts it in the place of all.
struct Slip {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// The complaints about the lab's estate after some slips, one code and no other among them.
fn complaints(code: u16, flavor: Flavor, slips: &[Slip]) -> String {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), Flavor::Lab).unwrap();
    for slip in slips {
        let path = folder.path().join(slip.file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let text = if slip.from == "*" {
            slip.to.to_owned()
        } else if slip.from.is_empty() {
            text + slip.to
        } else {
            assert!(text.contains(slip.from), "{} has no `{}`", slip.file, slip.from);
            text.replacen(slip.from, slip.to, 1)
        };
        std::fs::write(path, text).unwrap();
    }
    let loaded = load_for(folder.path(), Some(flavor));
    assert!(!loaded.complaints.is_empty(), "nothing was found");
    for complaint in &loaded.complaints {
        assert_eq!(complaint.code.0, code, "{}", render(&loaded.complaints, Look::Plain));
    }
    assert_eq!(loaded.estate.is_none(), loaded.errors() > 0);
    render(&loaded.complaints, Look::Plain)
        .replace(&format!("{}/", folder.path().display()), "")
        .replace(&*folder.path().display().to_string(), "estate")
}

/// The fault's page shows its first complaint as it is told.
fn page_shows(code: u16, text: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../controller/docs/faults/F{code:04}.md"));
    let page = std::fs::read_to_string(page).expect("a page");
    let first = text.lines().next().unwrap();
    assert!(page.contains(first), "F{code:04}.md does not show: {first}");
}

macro_rules! rules {
    ($($name:ident($code:literal $(, $flavor:ident)?): $($file:literal, $from:literal => $to:literal);+ $(;)?)+) => {$(
        #[test]
        fn $name() {
            #[allow(unused_mut, unused_assignments)]
            let mut flavor = Flavor::Lab;
            $(flavor = Flavor::$flavor;)?
            let text = complaints($code, flavor, &[$(Slip { file: $file, from: $from, to: $to }),+]);
            insta::assert_snapshot!(concat!("f", stringify!($code), "_", stringify!($name)), text);
            // a second case of a code is marked by its name's number
            if !stringify!($name).ends_with(|c: char| c.is_ascii_digit()) {
                page_shows($code, &text);
            }
        }
    )+};
}

rules! {
    not_yaml(2): "site.yaml", "description: One" => "description: [One";
    alias_2(2): "group.yaml", "owner: lab" => "owner: &me lab\ncontacts: [*me]";
    tag_3(2): "tier.yaml", "rank: 1 " => "rank: !!int 1 ";
    not_a_kind(3): "machines/m4.yaml", "" => "machin: m4\nserial: X\n";
    not_a_mapping_2(3): "machines/m4.yaml", "" => "- machine: m4\n";
    not_a_name(4): "machines/m4.yaml", "" => "machine: M_4\n";
    no_name_2(4): "machines/m4.yaml", "" => "machine:\nserial: X\n";
    unknown_field(5): "machines/m1.yaml", "serial: LAB0001" => "serial: LAB0001\nserail: LAB0001";
    unknown_inner_field_2(5): "machines/m1.yaml", "  user: controller" => "  user: controller\n  colour: red";
    missing_field(6): "machines/m1.yaml", "uuid: 00000000-0000-4000-8000-000000000001\n" => "";
    missing_fields_all_told_2(6): "machines/m1.yaml", "serial: LAB0001\nuuid: 00000000-0000-4000-8000-000000000001\nsite: lab\n" => "";
        "machines/m1.yaml", "  user: controller\n" => "";
        "machines/m1.yaml", "  address: 10.254.0.11:443\n" => "";
    bad_value(7): "estate.yaml", "settle: 300ms" => "settle: 300";
    bad_values_all_told_2(7): "machines/m1.yaml", "52:54:00:0c:01:01" => "52:54:00:0c:01";
        "machines/m1.yaml", "memory: 384MiB" => "memory: 384MB";
        "machines/m1.yaml", "address: 10.254.0.11:443" => "address: 10.254.0.11";
        "machines/m1.yaml", "level: 2" => "level: two";
        "machines/m1.yaml", "protocol: redfish" => "protocol: telnet";
        "machines/m1.yaml", "feeds: [f1]" => "feeds: f1";
        "servers/web1.yaml", "vlan: 20" => "vlan: 4095";
        "servers/web1.yaml", "http: {url" => "https: {url";
    weak_suite_4(7): "machines/m1.yaml", "protocol: redfish" => "protocol: ipmi\n  ipmi: {weakest_suite: 0}";
    secret_not_told_3(7): "machines/m1.yaml", "file:secrets/bmc" => "hunter2";
    duplicate_key(8): "machines/m1.yaml", "rack: r1" => "rack: r1\nrack: r2";
    duplicate_document(9): "machines/m4.yaml", "" => "machine: m1\n";
    no_estate(10): "estate.yaml", "*" => "# nothing\n---\n~\n---\n";
    two_estates_2(10): "other.yaml", "" => "estate: other\n";
    dangling(11): "servers/web1.yaml", "home: m1 " => "home: m9 ";
    dangling_everywhere_2(11): "servers/web1.yaml", "group: web" => "group: wed";
        "servers/web1.yaml", "pool: spares" => "pool: spare";
        "servers/web1.yaml", "image: web-kernel" => "image: web";
        "servers/web1.yaml", "volume: web1-root" => "volume: web3-root";
        "servers/web1.yaml", "  memory: 256MiB" => "  apart_from: [web3]";
        "servers/web2.yaml", "storage: store1" => "storage: store2";
        "machines/m1.yaml", "switch: sw1, port: p1," => "switch: sw2, port: p1,";
        "machines/m1.yaml", "site: lab" => "site: moon";
        "pool.yaml", "[m3]" => "[m3, m9]";
        "group.yaml", "tier: gold" => "tier: iron\nafter: [db]";
        "boot.yaml", "site: lab" => "site: moon";
        "switch.yaml", "site: lab" => "site: moon";
        "storage.yaml", "site: lab" => "site: moon";
    port_twice(12): "machines/m2.yaml", "port: p4" => "port: p1";
    mac_twice(13): "machines/m2.yaml", "52:54:00:0c:02:01" => "52:54:00:0c:01:01";
    mac_of_a_group_2(13): "machines/m2.yaml", "52:54:00:0c:02:01" => "01:00:5e:00:00:01";
    serial_twice(14): "machines/m2.yaml", "LAB0002" => "lab0001";
    uuid_twice_2(14): "machines/m2.yaml", "uuid: 00000000-0000-4000-8000-000000000002" => "uuid: 00000000000040008000000000000001";
    no_uuid_3(14): "machines/m2.yaml", "uuid: 00000000-0000-4000-8000-000000000002" => "uuid: 00000000-0000-0000-0000-000000000000";
    address_twice(15): "servers/web2.yaml", "10.10.0.12/24" => "10.10.0.11/24";
    address_overlap_2(15): "servers/web2.yaml", "10.20.0.12/24" => "10.20.0.12/16";
    address_broadcast_3(15): "servers/web2.yaml", "10.10.0.12/24" => "10.10.0.255/24";
    address_of_portal_4(15): "servers/web2.yaml", "10.30.0.12/24" => "10.30.0.1/24";
    networks_of_one_server_5(15): "servers/web2.yaml", "10.30.0.12/24" => "10.10.0.77/24";
    overlap_in_and_across_vlans_6(15): "servers/web1.yaml", "vlan: 20, address: 10.20.0.11/24" => "vlan: 20, address: 10.30.1.11/24";
        "servers/web2.yaml", "vlan: 20, address: 10.20.0.12/24" => "vlan: 20, address: 10.30.2.12/16";
        "servers/web1.yaml", "vlan: 30, address: 10.30.0.11/24" => "vlan: 30, address: 172.16.0.11/24";
        "servers/web2.yaml", "vlan: 30, address: 10.30.0.12/24" => "vlan: 30, address: 172.16.0.12/24";
        "servers/web1.yaml", "http://10.20.0.11" => "http://10.30.1.11";
        "servers/web2.yaml", "http://10.20.0.12" => "http://10.30.2.12";
        "servers/web1.yaml", "vlan: 10, address: 10.10.0.11/24" => "vlan: 10, address: 172.16.0.130/25";
        "servers/web1.yaml", "vlan: 30, address: 172.16.0.11/24" => "vlan: 30, address: 172.17.0.11/24";
    vlan_special(16): "servers/web1.yaml", "vlan: 20" => "vlan: 99";
    vlan_special_twice_2(16): "estate.yaml", "parking: 98 " => "parking: 99 ";
    vlan_quarantine_boots_3(16): "boot.yaml", "[10]" => "[10, 99]";
    vlan_tagged_4(16): "servers/web1.yaml", "vlan: 20," => "vlan: 20, tagged: [20, 97],";
    volume_twice(17): "servers/web2.yaml", "volume: web2-root" => "volume: web1-root";
    volume_under_two_names_2(17): "storage.yaml", "understudy:web2-root" => "understudy:web1-root";
    volume_without_path_3(17): "storage.yaml", "  web1-root:" => "  bare: {paths: []}\n  web1-root:";
    volume_of_two_readers(404): "storage.yaml", "volumes:\n" => "volumes:\n  data: {paths: [{portal: '10.30.0.1:3260', target: 'iqn.2026-01.lab.understudy:data', lun: 1}]}\n";
        "servers/web1.yaml", "requires:" => "  - {name: data, storage: store1, volume: data, access: read-only}\nrequires:";
        "servers/web2.yaml", "requires:" => "  - {name: data, storage: store1, volume: data, access: read-only}\nrequires:";
    no_fit(18): "servers/web1.yaml", "memory: 256MiB" => "memory: 64GiB";
    no_boot_service_2(18): "boot.yaml", "[10]" => "[11, 10]";
        "servers/web1.yaml", "vlan: 10" => "vlan: 12";
        "servers/web1.yaml", "10.10.0.11/24" => "10.12.0.11/24";
    home_unfit(19): "machines/m1.yaml", "memory: 384MiB" => "memory: 128MiB";
    home_lacks_a_nic_2(19): "machines/m1.yaml", "role: production" => "role: backup";
    no_proof(20): "machines/m3.yaml", "10.254.0.13:443" => "0.0.0.0:443";
        "machines/m3.yaml", "  threads: 1" => "  threads: 1\n  unrevocable_storage: true";
    one_proof(21): "machines/m3.yaml", "  threads: 1" => "  threads: 1\n  unrevocable_storage: true";
    depends_on_a_server(22): "estate.yaml", "estate: lab" => "estate: lab\ndepends_on: [web1]";
    canary_on_a_server_2(22): "estate.yaml", "10.255.0.2:7443" => "10.20.0.11:80";
    agent_on_a_server_3(22): "storage.yaml", "127.0.0.1:7444" => "10.20.0.12:7444";
    bmc_on_a_server_4(22): "machines/m3.yaml", "10.254.0.13:443" => "10.20.0.11:443";
    image_method(23): "servers/web1.yaml", "image: web-kernel" => "image: web-san";
    image_without_kernel_2(23): "images/web-kernel.yaml", "kernel: vmlinuz\n" => "";
    image_firmware_3(23): "images/web-kernel.yaml", "[bios, uefi]" => "[uefi]";
        "servers/web1.yaml", "  firmware: bios\n" => "  firmware: bios\n";
        "servers/web2.yaml", "  firmware: bios\n" => "";
    image_file_leaves_its_folder_4(23): "images/web-kernel.yaml", "kernel: vmlinuz" => "kernel: ../../etc/shadow";
    no_checks(24): "servers/web1.yaml", "checks:\n  - http: {url: \"http://10.20.0.11/healthz\"}" => "checks: []";
    check_by_name_2(24): "servers/web1.yaml", "http://10.20.0.11/healthz" => "http://web1/healthz";
    check_of_another_3(24): "servers/web1.yaml", "http://10.20.0.11/healthz" => "http://10.20.0.1:80/healthz";
    check_by_plugins_4(24): "servers/web1.yaml", "http: {url: \"http://10.20.0.11/healthz\"}" => "exec: {plugin: ../bin/sh, every: 100ms, deadline: 20s}";
    check_by_a_pattern_5(24): "servers/web1.yaml", "http: {url: \"http://10.20.0.11/healthz\"}" => "tls: {address: 10.20.0.11:443, name: \"*.example.com\"}";
    restarted_by_nobody_6(24): "servers/web1.yaml", "checks:" => "service_down: restart\nchecks:";
        "switch.yaml", "vantage: true" => "vantage: false";
    circle(25): "group.yaml", "tier: gold" => "tier: gold\nafter: [db]";
        "db.yaml", "" => "group: db\ntier: gold\nafter: [web]\n";
    circle_of_one_2(25): "group.yaml", "tier: gold" => "tier: gold\nafter: [web]";
    home_twice(26): "servers/web2.yaml", "home: m2 " => "home: m1 ";
        "pool.yaml", "[m3]" => "[m2, m3]";
    home_and_spare(27): "pool.yaml", "[m3]" => "[m3, m2]";
    in_two_pools_2(27): "pool2.yaml", "" => "pool: others\nmachines: [m3, m3]\n";
    kdump_for_ever_4(28): "servers/web1.yaml", "checks:" => "kdump: {begins_within: 1h, lasts_at_most: 0s}\nchecks:";
    range(28): "estate.yaml", "reads: 3" => "reads: 1";
    ipmi_of_another_protocol_3(28): "machines/m1.yaml", "  user: controller" => "  user: controller\n  ipmi: {privilege: user}";
    ranges_all_told_2(28): "estate.yaml", "power_every: 1s" => "power_every: 1ms";
        "estate.yaml", "hung_window: 3s" => "hung_window: 600ms";
        "estate.yaml", "settle: 300ms" => "settle: 0s";
        "estate.yaml", "guard:\n" => "permit_lease: 1s\nretention: {history: 0s}\nguard:\n  site_percent: 101\n  server_per_day: 0\n";
        "tier.yaml", "rank: 1 " => "rank: 0 ";
        "machines/m1.yaml", "level: 2" => "level: 9";
        "machines/m1.yaml", "certificate: enrol " => "certificate: maybe ";
        "servers/web1.yaml", "vlan: 20," => "vlan: 20, mtu: 64000,";
    lab_only(29, Production): "site.yaml", "One" => "One";
    lab_only_proof_2(29, Production): "estate.yaml", "settle: 300ms" => "proof: power-only\n  settle: 10s";
    lab_only_history_3(29, Production): "estate.yaml", "settle: 300ms" => "settle: 10s";
        "estate.yaml", "guard:\n" => "retention: {history: 7d, at_least: 100}\nguard:\n";
    no_volumes(30): "servers/web1.yaml", "volumes:\n  - {name: root, storage: store1, volume: web1-root, access: exclusive}" => "volumes: []";
    root_not_exclusive_2(30): "servers/web1.yaml", "access: exclusive" => "access: shared";
    roles_twice_3(30): "servers/web1.yaml", "role: production, vlan: 20, address: 10.20.0.11/24" => "role: storage, vlan: 20, address: 10.20.0.11/24";
    no_provisioning_4(30): "servers/web1.yaml", "  - {role: provisioning, vlan: 10, address: 10.10.0.11/24}\n" => "";
    storage_out_of_reach_5(30): "servers/web1.yaml", "vlan: 30" => "vlan: 31";
        "servers/web1.yaml", "10.30.0.11/24" => "10.31.0.11/24";
    no_spare(31): "machines/m3.yaml", "memory: 384MiB" => "memory: 128MiB";
    agent_twice(36): "storage.yaml", "127.0.0.1:7444" => "127.0.0.1:7445";
    agent_names_2(36): "boot.yaml", "boot: boot1" => "boot: sw1";
    agent_of_a_pdu_3(36): "pool.yaml", "[m3]" => "[m3]\n---\npdu: pdu1\nsite: lab\ndriver: snmp\nagent: 127.0.0.1:7445\n";
    bmc_twice(37): "machines/m2.yaml", "10.254.0.12:443" => "10.254.0.11:443";
    idle(38): "pool.yaml", "[m3]" => "[m3]\n---\nmachine: m4\nserial: LAB0004\nuuid: 00000000-0000-4000-8000-000000000004\nsite: lab\nrack: r4\nfeeds: [f4]\nbmc: {protocol: redfish, address: '10.254.0.14:443', user: controller, password: file:secrets/bmc}\nnics:\n  - {role: provisioning, mac: '52:54:00:0c:04:01', switch: sw1, port: p10}\n";
    no_canary(39): "estate.yaml", "    - 10.255.0.2:7443\n" => "    []\n";
    outlet_twice(41): "pool.yaml", "[m3]" => "[m3]\n---\npdu: pdu1\nsite: lab\ndriver: snmp\nagent: 127.0.0.1:7447\n";
        "machines/m1.yaml", "hardware:" => "outlets: [{pdu: pdu1, outlet: 7}]\nhardware:";
        "machines/m2.yaml", "hardware:" => "outlets: [{pdu: pdu1, outlet: 7}]\nhardware:";
    outlet_of_no_unit_3(11): "machines/m1.yaml", "hardware:" => "outlets: [{pdu: pdu9, outlet: 7}]\nhardware:";
}

/// Watching needs neither NICs nor the right to command; a failover does.
#[test]
fn a_machine_that_no_server_may_be_on_may_be_only_watched() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), Flavor::Lab).unwrap();
    let watched = "machine: w1\nserial: LAB0009\nuuid: 00000000-0000-4000-8000-000000000009\nsite: lab\nrack: r9\nfeeds: [f9]\n\
                   bmc: {protocol: redfish, address: \"10.254.0.19:443\", user: eyes, password: file:secrets/bmc, access: watch}\n\
                   nics: []\nhardware: {level: 2, memory: 1GiB, threads: 1, firmware: [bios]}\n";
    std::fs::write(folder.path().join("machines/w1.yaml"), watched).unwrap();
    let found = || {
        let loaded = load_for(folder.path(), Some(Flavor::Lab));
        let of_proof = loaded.complaints.iter().filter(|one| one.code.0 == 20).map(|one| one.severity).collect::<Vec<_>>();
        (of_proof, loaded.estate.is_some())
    };
    assert_eq!(found(), (vec![Severity::Warning], true));
    std::fs::write(folder.path().join("pool.yaml"), "pool: spares\nmachines: [m3, w1]\n").unwrap();
    assert_eq!(found(), (vec![Severity::Error], false));
}
