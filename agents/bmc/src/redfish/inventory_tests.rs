//! Hardware out of JSON as real BMCs write it, and out of any JSON at all.

use super::*;
use crate::redfish::view::tests::any_json;
use proptest::prelude::*;
use serde_json::json;

fn cpu(set: Value, id: Value, threads: u32) -> Value {
    json!({ "ProcessorType": "CPU", "InstructionSet": set, "ProcessorId": id, "TotalThreads": threads, "Status": { "State": "Enabled" } })
}

#[test]
fn processors_agree_or_nothing_is_said() {
    let ice_lake = json!({ "VendorId": "GenuineIntel", "EffectiveFamily": "6", "EffectiveModel": "106" });
    let ivy_bridge = json!({ "VendorId": "GenuineIntel", "EffectiveFamily": "0x6", "EffectiveModel": "0x3E" });
    let of = |processors: Vec<Value>| assemble(&json!({}), &Parts { processors, ..Parts::default() });
    let pair = of(vec![cpu(json!("x86-64"), ice_lake.clone(), 36), cpu(json!("x86-64"), ice_lake.clone(), 36)]);
    assert_eq!((pair.architecture, pair.level, pair.threads), (Some("x86_64"), Some(4), Some(72)));
    let mixed = of(vec![cpu(json!("x86-64"), ice_lake.clone(), 36), cpu(json!("x86-64"), ivy_bridge, 16)]);
    assert_eq!((mixed.level, mixed.threads), (Some(2), Some(52)), "a server must run on each of them");
    let unknown = of(vec![cpu(json!("x86-64"), ice_lake.clone(), 36), cpu(json!("x86-64"), Value::Null, 8)]);
    assert_eq!(unknown.level, None);
    let arm = of(vec![cpu(json!("ARM-A64"), Value::Null, 80)]);
    assert_eq!((arm.architecture, arm.level, arm.firmware), (Some("aarch64"), Some(0), BTreeSet::from([Firmware::Uefi])));
    assert_eq!(of(vec![cpu(json!("x86-64"), ice_lake.clone(), 1), cpu(json!("ARM-A64"), ice_lake, 1)]).architecture, None);
    let mut gpu = cpu(json!("x86-64"), Value::Null, 1024);
    gpu["ProcessorType"] = "GPU".into();
    let mut empty = cpu(json!("x86-64"), Value::Null, 64);
    empty["Status"]["State"] = "Absent".into();
    assert_eq!(of(vec![gpu, empty]).threads, None, "neither an accelerator nor an empty socket");
}

#[test]
fn memory_is_whole_mebibytes_and_nonsense_is_none() {
    let of = |gib: Value| memory(&json!({ "MemorySummary": { "TotalSystemMemoryGiB": gib } }));
    assert_eq!(of(json!(0.375)), Some(Bytes(384 << 20)));
    assert_eq!(of(json!(1024)), Some(Bytes(1 << 40)));
    for nonsense in [json!(0), json!(-1), json!(1e300), json!("64"), Value::Null] {
        assert_eq!(of(nonsense.clone()), None, "{nonsense}");
    }
}

#[test]
fn firmware_modes_are_those_that_can_be_asked_for() {
    let of = |boot: Value| firmware(&json!({ "Boot": boot }), None);
    assert_eq!(of(json!({ "BootSourceOverrideMode": "UEFI" })), BTreeSet::from([Firmware::Uefi]));
    let both = json!({ "BootSourceOverrideMode": "UEFI", "BootSourceOverrideMode@Redfish.AllowableValues": ["Legacy", "UEFI"] });
    assert_eq!(of(both), BTreeSet::from([Firmware::Bios, Firmware::Uefi]));
    assert!(of(json!({})).is_empty());
}

#[test]
fn ports_are_told_once_with_their_neighbour_and_without_what_no_cable_goes_into() {
    let interfaces = [
        json!({ "Id": "NIC.1", "MACAddress": "02:00:00:00:00:99", "PermanentMACAddress": "52:54:00:0C:01:01", "SpeedMbps": 1000, "LinkStatus": "LinkUp" }),
        json!({ "Id": "VLAN1", "EthernetInterfaceType": "Virtual", "MACAddress": "52:54:00:0c:01:07" }),
        json!({ "Id": "ToManager", "MACAddress": "52:54:00:0c:01:08", "Links": { "HostInterface": { "@odata.id": "/x" } } }),
        json!({ "Id": "no address", "MACAddress": "00:00:00:00:00:00" }),
    ];
    let lldp = json!({ "SystemName": "tor1", "PortId": "p1" });
    let ports = [
        json!({ "Id": "1", "LinkStatus": "LinkUp", "CurrentSpeedGbps": 25.0, "Ethernet": { "AssociatedMACAddresses": ["52:54:00:0c:01:05", "525400 0c0101", "5254000c0101"], "LLDPReceive": lldp } }),
        json!({ "Id": "2", "LinkStatus": "Down", "AssociatedNetworkAddresses": ["52-54-00-0c-01-02"], "CurrentLinkSpeedMbps": 0 }),
        json!({ "Id": "ib", "ActiveLinkTechnology": "InfiniBand", "AssociatedNetworkAddresses": ["52:54:00:0c:01:03"] }),
    ];
    let found = nics(&interfaces, &ports);
    let shown: Vec<_> = found.iter().map(|nic| (nic.mac.to_string(), nic.name.as_str(), nic.speed, nic.link)).collect();
    assert_eq!(
        shown,
        [
            ("52:54:00:0c:01:01".to_owned(), "NIC.1", Some(Speed(25_000)), Some(true)),
            ("52:54:00:0c:01:02".to_owned(), "2", None, Some(false)),
        ]
    );
    assert_eq!(found[0].neighbour.as_ref().map(|one| (one.system.as_str(), one.port.as_str())), Some(("tor1", "p1")));
    assert_eq!(found[1].neighbour, None);
}

#[test]
fn power_supplies_are_counted_only_where_they_are_told_and_there() {
    let of = |supplies| assemble(&json!({}), &Parts { supplies, ..Parts::default() }).power_supplies;
    let bay = |state: &str| json!({ "Status": { "State": state } });
    assert_eq!(of(Some(vec![bay("Enabled"), bay("Absent"), bay("UnavailableOffline")])), Some(2));
    assert_eq!(of(None), None);
}

proptest! {
    #[test]
    fn assembling_is_total(system in any_json(), one in any_json(), two in any_json(), three in any_json()) {
        let of = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let parts = Parts { processors: of(&one), interfaces: of(&two), ports: of(&three), supplies: Some(of(&one)) };
        let told = assemble(&system, &parts);
        prop_assert!(told.nics.iter().all(|nic| nic.mac.0 != [0; 6] && nic.mac.0[0] & 1 == 0));
        prop_assert!(told.level.is_none_or(|level| level <= 4));
    }
}
