//! What the hardware resources read: processors, network adapters with their ports, power supplies, from the machine's configuration and
//! from whether it runs.
//! Must never tell of a link, or of who is at its other end, while the machine is without power: nobody hears LLDP then.

use serde_json::{Value, json};

use super::body::{collection, health, link, put, status};
use super::sensors::{self, Sensed};
use crate::bmc::State;
use crate::bmc::device::Supply;
use crate::bmc::machine::{Machine, Nic};
use crate::bmc::quirks::{InventoryForm, LldpForm, Quirks};
use crate::bmc::sensing;

/// The only adapter: all ports are on it.
pub const ADAPTER: &str = "Adapter-1";

/// A hardware resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Collection of processors.
    Processors,
    /// One of them, by index.
    Processor(u32),
    /// Collection of network adapters.
    Adapters,
    /// The adapter.
    Adapter,
    /// Its ports, in the present or the older form.
    Ports,
    /// One of them, by index.
    Port(usize),
    /// Power, in the present form.
    PowerSubsystem,
    /// Collection of bays for power supplies.
    Supplies,
    /// One of them, by index.
    Supply(u32),
    /// Power, in the older form: all in one resource.
    Power,
    /// What sensors measure.
    Sensed(Sensed),
}

/// The part at a path below the system.
pub fn below_system(rest: &[&str], machine: &Machine, quirks: &Quirks) -> Option<Part> {
    match rest {
        _ if quirks.redfish.inventory == InventoryForm::None => None,
        ["Processors"] => Some(Part::Processors),
        ["Processors", id] => number(id, "CPU.").filter(|n| *n < machine.hardware.processors).map(Part::Processor),
        _ => None,
    }
}

/// The part at a path below the chassis.
pub fn below_chassis(rest: &[&str], machine: &Machine, quirks: &Quirks) -> Option<Part> {
    let hardware = &machine.hardware;
    match (rest, quirks.redfish.inventory) {
        (_, InventoryForm::None) => None,
        (["NetworkAdapters"], _) => Some(Part::Adapters),
        (["NetworkAdapters", ADAPTER], _) => Some(Part::Adapter),
        (["NetworkAdapters", ADAPTER, ports], form) if *ports == ports_name(form) => Some(Part::Ports),
        (["NetworkAdapters", ADAPTER, ports, id], form) if *ports == ports_name(form) => {
            let index = usize::try_from(number(id, "")?).ok()?;
            machine.nics.get(index).map(|_| Part::Port(index))
        }
        (["Power"], InventoryForm::Older) => Some(Part::Power),
        (["PowerSubsystem"], InventoryForm::Full) => Some(Part::PowerSubsystem),
        (["PowerSubsystem", "PowerSupplies"], InventoryForm::Full) => Some(Part::Supplies),
        (["PowerSubsystem", "PowerSupplies", id], InventoryForm::Full) => {
            number(id, "Bay.").filter(|n| *n < hardware.power_supply_bays).map(Part::Supply)
        }
        (rest, form) => sensors::below_chassis(rest, form).map(Part::Sensed),
    }
}

/// A number from 1 after a prefix, as an index from 0.
fn number(id: &str, prefix: &str) -> Option<u32> {
    id.strip_prefix(prefix)?.parse::<u32>().ok()?.checked_sub(1)
}

fn ports_name(form: InventoryForm) -> &'static str {
    if form == InventoryForm::Older { "NetworkPorts" } else { "Ports" }
}

/// Links from the system to its parts.
pub fn put_system_links(body: &mut Value, path: &str, machine: &Machine, quirks: &Quirks) {
    if quirks.redfish.inventory == InventoryForm::None {
        return;
    }
    put(body, "Processors", link(&format!("{path}/Processors")));
    if let Some(summary) = body.get_mut("ProcessorSummary") {
        put(summary, "LogicalProcessorCount", json!(machine.hardware.threads));
    }
}

/// Links from the chassis to its parts.
pub fn put_chassis_links(body: &mut Value, path: &str, quirks: &Quirks) {
    let power = match quirks.redfish.inventory {
        InventoryForm::None => return,
        InventoryForm::Full => "PowerSubsystem",
        InventoryForm::Older => "Power",
    };
    put(body, "NetworkAdapters", link(&format!("{path}/NetworkAdapters")));
    put(body, power, link(&format!("{path}/{power}")));
    for sensed in sensors::links(quirks.redfish.inventory) {
        put(body, sensed, link(&format!("{path}/{sensed}")));
    }
}

/// The body of a part.
pub fn view(part: &Part, state: &State, machine: &Machine) -> Option<Value> {
    let hardware = &machine.hardware;
    let form = state.quirks.redfish.inventory;
    let system = format!("Systems/{}", hardware.system_id);
    let chassis = format!("Chassis/{}", hardware.chassis_id);
    let adapter = format!("{chassis}/NetworkAdapters/{ADAPTER}");
    let numbered = |prefix: &str, count: u32| (1..=count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let name = ports_name(form);
    Some(match part {
        Part::Processors => {
            let ids = numbered("CPU.", hardware.processors);
            collection("ProcessorCollection", &format!("{system}/Processors"), "Processors", &ids)
        }
        Part::Processor(index) => processor(&system, *index, machine),
        Part::Adapters => {
            let ids = [ADAPTER.to_owned()];
            collection("NetworkAdapterCollection", &format!("{chassis}/NetworkAdapters"), "Network Adapters", &ids)
        }
        Part::Adapter => json!({
            "@odata.id": format!("/redfish/v1/{adapter}"),
            "@odata.type": "#NetworkAdapter.v1_9_0.NetworkAdapter",
            "Id": ADAPTER,
            "Name": "Network Adapter",
            "Manufacturer": hardware.manufacturer,
            "Status": status("Enabled"),
            name: link(&format!("{adapter}/{name}")),
        }),
        Part::Ports => {
            let ids: Vec<String> = (1..=machine.nics.len()).map(|n| n.to_string()).collect();
            let kind = if form == InventoryForm::Older { "NetworkPortCollection" } else { "PortCollection" };
            collection(kind, &format!("{adapter}/{name}"), "Ports", &ids)
        }
        Part::Port(index) => port(&format!("{adapter}/{name}/{}", index + 1), index + 1, machine.nics.get(*index)?, state),
        Part::PowerSubsystem => power_subsystem(&chassis, state, machine),
        Part::Supplies => {
            let ids = numbered("Bay.", hardware.power_supply_bays);
            collection("PowerSupplyCollection", &format!("{chassis}/PowerSubsystem/PowerSupplies"), "Power Supplies", &ids)
        }
        Part::Supply(index) => supply(&chassis, *index, state, machine),
        Part::Power => power(&chassis, state, machine),
        Part::Sensed(sensed) => sensors::view(sensed, &chassis, state),
    })
}

fn processor(system: &str, index: u32, machine: &Machine) -> Value {
    let hardware = &machine.hardware;
    let id = format!("CPU.{}", index + 1);
    let share = |whole: u32| whole / hardware.processors.max(1);
    json!({
        "@odata.id": format!("/redfish/v1/{system}/Processors/{id}"),
        "@odata.type": "#Processor.v1_18_0.Processor",
        "Id": id,
        "Name": "Processor",
        "ProcessorType": "CPU",
        "ProcessorArchitecture": if hardware.instruction_set == "x86-64" { "x86" } else { "ARM" },
        "InstructionSet": hardware.instruction_set,
        "Model": hardware.processor_model,
        "ProcessorId": {
            "VendorId": hardware.processor_vendor,
            "EffectiveFamily": format!("{:#x}", hardware.processor_family),
            "EffectiveModel": format!("{:#x}", hardware.processor_number),
        },
        "TotalCores": share(hardware.cores),
        "TotalThreads": share(hardware.threads),
        "Status": status("Enabled"),
    })
}

fn port(path: &str, number: usize, nic: &Nic, state: &State) -> Value {
    let up = state.run.is_some();
    if state.quirks.redfish.inventory == InventoryForm::Older {
        return json!({
            "@odata.id": format!("/redfish/v1/{path}"),
            "@odata.type": "#NetworkPort.v1_4_1.NetworkPort",
            "Id": number.to_string(),
            "Name": "Network Port",
            "PhysicalPortNumber": number.to_string(),
            "LinkStatus": if up { "Up" } else { "Down" },
            "ActiveLinkTechnology": "Ethernet",
            "CurrentLinkSpeedMbps": if up { nic.speed_mbps } else { 0 },
            "AssociatedNetworkAddresses": [nic.mac],
            "Status": status("Enabled"),
        });
    }
    json!({
        "@odata.id": format!("/redfish/v1/{path}"),
        "@odata.type": "#Port.v1_11_0.Port",
        "Id": number.to_string(),
        "Name": "Port",
        "PortId": number.to_string(),
        "LinkNetworkTechnology": "Ethernet",
        "LinkStatus": if up { "LinkUp" } else { "LinkDown" },
        "CurrentSpeedGbps": if up { nic.speed_mbps as f64 / 1000.0 } else { 0.0 },
        "Ethernet": {
            "AssociatedMACAddresses": [nic.mac],
            "LLDPEnabled": nic.neighbour.is_some(),
            "LLDPReceive": received(nic, state),
        },
        "Status": status("Enabled"),
    })
}

/// What was heard from the other end of the cable since the link is up.
fn received(nic: &Nic, state: &State) -> Value {
    let heard = nic.neighbour.as_ref().filter(|_| state.run.is_some() && state.quirks.redfish.lldp != LldpForm::Unsent);
    let Some(neighbour) = heard else {
        return json!({ "ChassisId": "", "ChassisIdSubtype": "NotTransmitted", "PortId": "", "PortIdSubtype": "NotTransmitted" });
    };
    let octets = || neighbour.port.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    let port = if state.quirks.redfish.lldp == LldpForm::Octets { octets() } else { neighbour.port.clone() };
    json!({
        "ChassisId": neighbour.chassis,
        "ChassisIdSubtype": "MacAddr",
        "PortId": port,
        "PortIdSubtype": "IfName",
        "SystemName": neighbour.system,
        "ManagementAddressIPv4": neighbour.address,
    })
}

/// What a bay holds: the second supply is the one that something happens to.
fn holds(index: u32, state: &State, machine: &Machine) -> Supply {
    match index {
        _ if index >= machine.hardware.power_supplies => Supply::Absent,
        1 => state.device.second_supply,
        _ => Supply::Well,
    }
}

fn bay(supply: Supply) -> Value {
    match supply {
        Supply::Well => status("Enabled"),
        Supply::Failed | Supply::InputLost => health("Enabled", "Critical"),
        Supply::Absent => status("Absent"),
    }
}

/// True while the supplies that the machine was bought with all work.
pub fn is_redundant(state: &State, machine: &Machine) -> bool {
    (0..machine.hardware.power_supplies).all(|index| holds(index, state, machine) == Supply::Well)
}

/// Redundancy of the supplies, where there is more than one.
fn redundancy(state: &State, machine: &Machine) -> Option<Value> {
    let told = if is_redundant(state, machine) { status("Enabled") } else { health("Enabled", "Warning") };
    (machine.hardware.power_supplies > 1).then_some(told)
}

fn supply(chassis: &str, index: u32, state: &State, machine: &Machine) -> Value {
    let id = format!("Bay.{}", index + 1);
    let holds = holds(index, state, machine);
    let mut body = json!({
        "@odata.id": format!("/redfish/v1/{chassis}/PowerSubsystem/PowerSupplies/{id}"),
        "@odata.type": "#PowerSupply.v1_5_0.PowerSupply",
        "Id": id,
        "Name": format!("Power Supply Bay {}", index + 1),
        "Status": bay(holds),
    });
    if holds != Supply::Absent {
        put(&mut body, "LineInputStatus", json!(if holds == Supply::InputLost { "LossOfInput" } else { "Normal" }));
    }
    body
}

fn power_subsystem(chassis: &str, state: &State, machine: &Machine) -> Value {
    let supplies = format!("{chassis}/PowerSubsystem/PowerSupplies");
    let mut body = json!({
        "@odata.id": format!("/redfish/v1/{chassis}/PowerSubsystem"),
        "@odata.type": "#PowerSubsystem.v1_1_0.PowerSubsystem",
        "Id": "PowerSubsystem",
        "Name": "Power Subsystem",
        "Status": status("Enabled"),
        "PowerSupplies": link(&supplies),
    });
    if let Some(status) = redundancy(state, machine) {
        let group: Vec<Value> = (1..=machine.hardware.power_supplies).map(|n| link(&format!("{supplies}/Bay.{n}"))).collect();
        let told = json!([{
            "RedundancyType": "NPlusM",
            "MinNeededInGroup": 1,
            "MaxSupportedInGroup": machine.hardware.power_supplies,
            "RedundancyGroup": group,
            "Status": status,
        }]);
        put(&mut body, "PowerSupplyRedundancy", told);
    }
    body
}

fn power(chassis: &str, state: &State, machine: &Machine) -> Value {
    let path = format!("/redfish/v1/{chassis}/Power");
    let member = |index: u32| format!("{path}#/PowerSupplies/{index}");
    let supplies = (0..machine.hardware.power_supply_bays).map(|index| {
        json!({
            "@odata.id": member(index),
            "MemberId": index.to_string(),
            "Name": format!("Power Supply Bay {}", index + 1),
            "Status": bay(holds(index, state, machine)),
        })
    });
    let mut body = json!({
        "@odata.id": path,
        "@odata.type": "#Power.v1_7_1.Power",
        "Id": "Power",
        "Name": "Power",
        "PowerControl": [{
            "@odata.id": format!("{path}#/PowerControl/0"),
            "MemberId": "0",
            "Name": "System Power Control",
            "PowerConsumedWatts": sensing::watts(state),
        }],
        "PowerSupplies": supplies.collect::<Vec<_>>(),
    });
    if let Some(status) = redundancy(state, machine) {
        let set: Vec<Value> = (0..machine.hardware.power_supplies).map(|index| json!({ "@odata.id": member(index) })).collect();
        let told = json!([{
            "@odata.id": format!("{path}#/Redundancy/0"),
            "MemberId": "0",
            "Name": "Power Supply Redundancy",
            "Mode": "N+m",
            "MinNumNeeded": 1,
            "MaxNumSupported": machine.hardware.power_supplies,
            "RedundancySet": set,
            "Status": status,
        }]);
        put(&mut body, "Redundancy", told);
    }
    body
}
