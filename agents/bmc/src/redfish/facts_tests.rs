//! Resources as platforms tell them, by example and by law.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::redfish::view::tests::any_json;

fn told(parts: &[Part]) -> Vec<String> {
    parts.iter().map(|part| format!("{}: {}", part.name, part.value)).collect()
}

#[test]
fn a_machine_is_told_by_what_its_resources_say() {
    let system = json!({
        "Manufacturer": "Maker", "Model": "M1 ", "SKU": "S", "PartNumber": null, "SerialNumber": "1", "BiosVersion": "2.1",
        "MemorySummary": { "TotalSystemMemoryGiB": 1.5, "Status": { "Health": "Warning", "State": "Enabled" } },
        "ProcessorSummary": { "Count": 2, "Model": "P", "CoreCount": 8, "LogicalProcessorCount": null },
    });
    let chassis = [json!({ "Id": "1", "SerialNumber": "2" }), json!({ "Id": "2", "Status": { "State": "Absent" } }), Value::Null];
    let all = told(&machine(&system, &json!({ "Model": "B", "FirmwareVersion": "7" }), &chassis));
    let expected = [
        "product: Maker M1, SKU S, serial 1",
        "chassis 1: serial 2",
        "BIOS: 2.1",
        "BMC: B, firmware 7",
        "memory: 1.5 GiB, Warning",
        "processors: 2 x P, 8 cores",
    ];
    assert_eq!(all, expected);
    assert!(machine(&Value::Null, &Value::Null, &[]).is_empty());
}

#[test]
fn temperatures_and_fans_are_told_in_their_units_old_and_new() {
    let thermal = json!({
        "Temperatures": [
            { "Name": "Inlet", "ReadingCelsius": 22.46, "Status": { "State": "Enabled", "Health": "OK" } },
            { "Name": "CPU", "ReadingCelsius": null, "Status": { "State": "UnavailableOffline", "Health": "Critical" } },
            { "Name": "Riser", "ReadingCelsius": 0, "Status": { "State": "Absent" } },
        ],
        "Fans": [{ "Name": "Fan 1", "Reading": 51, "ReadingUnits": "Percent" }, { "FanName": "F2", "CurrentReading": 9000, "Units": "RPM" }],
    });
    assert_eq!(
        told(&temperatures(&thermal)),
        ["temperature Inlet: 22.5 °C", "temperature CPU: no reading, UnavailableOffline, Critical"]
    );
    assert_eq!(told(&fans(&thermal)), ["fan Fan 1: 51%", "fan F2: 9000 RPM"]);
    let newer = json!({ "TemperatureReadingsCelsius": [
        { "Reading": 26.0, "DeviceName": "Internal", "DataSourceUri": "/redfish/v1/Chassis/1/Sensors/CPU1Temp" },
        { "Reading": -3, "DeviceName": "Intake" },
    ]});
    assert_eq!(told(&metrics(&newer)), ["temperature CPU1Temp: 26 °C", "temperature Intake: -3 °C"]);
    let one = fan(&json!({ "Id": "F", "SpeedPercent": { "SpeedRPM": 2200, "Reading": 45 }, "Status": { "Health": "Critical" } }))
        .unwrap();
    assert_eq!((told(std::slice::from_ref(&one))[0].as_str(), one.health), ("fan F: 2200 RPM, 45%, Critical", Health::Critical));
    assert_eq!(sensor(&json!({ "ReadingType": "Voltage", "Reading": 12 })), None);
    assert_eq!(sensor(&json!({ "ReadingType": "Temperature", "Name": "X", "Reading": 30 })).unwrap().value, "30 °C");
}

#[test]
fn power_supplies_their_redundancy_and_what_is_drawn_are_told() {
    let there = supply(
        &json!({ "Id": "Bay.1", "LineInputStatus": "LossOfInput", "SerialNumber": "P1", "Status": { "Health": "Critical" } }),
    );
    let there = there.unwrap();
    assert_eq!(told(std::slice::from_ref(&there)), ["power supply Bay.1: present, serial P1, input LossOfInput, Critical"]);
    assert_eq!(supply(&json!({ "MemberId": "B2", "Name": "Model", "Status": { "State": "Absent" } })).unwrap().value, "absent");
    assert_eq!(supply(&Value::Null), None);
    let older = json!({ "Redundancy": [{ "Mode": "N+m", "MinNumNeeded": 1, "Status": { "State": "Enabled", "Health": "OK" } }] });
    assert_eq!(told(&redundancy("power", &older, "Redundancy")), ["power redundancy: N+m, at least 1 needed, OK"]);
    let newer = json!({ "G": [{ "RedundancyType": "Failover", "Status": { "Health": "Warning" } }] });
    assert_eq!(told(&redundancy("power", &newer, "G")), ["power redundancy: Failover, Warning"]);
    assert_eq!(
        consumed(&json!({ "PowerControl": [{ "PowerConsumedWatts": null }, { "PowerConsumedWatts": 531 }] })).unwrap().value,
        "531 W"
    );
    assert_eq!(drawn(&json!({ "PowerWatts": { "Reading": 84.766 } })).unwrap().value, "84.8 W");
    assert_eq!((drawn(&json!({ "PowerWatts": 3 })), drawn(&json!({ "PowerWatts": { "Reading": 1e300 } }))), (None, None));
    assert_eq!(health(&[there]).value, "Critical: power supply Bay.1 present, serial P1, input LossOfInput, Critical");
    assert_eq!(health(&[]).value, "OK");
}

proptest! {
    #[test]
    fn reading_is_total(value in any_json()) {
        let all = [
            machine(&value, &value, std::slice::from_ref(&value)),
            temperatures(&value),
            fans(&value),
            metrics(&value),
            redundancy("power", &value, "Redundancy"),
            [sensor(&value), fan(&value), supply(&value), consumed(&value), drawn(&value)].into_iter().flatten().collect(),
        ]
        .concat();
        prop_assert!(all.iter().all(|part| !part.name.is_empty() && !part.value.is_empty()));
        prop_assert!(health(&all).value.starts_with(all.iter().map(|part| part.health).max().unwrap_or(Health::Fine).word()));
    }
}
