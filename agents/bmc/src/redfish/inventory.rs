//! What a machine is made of: the links from its system to processors, network ports and power supplies, followed once.
//! Must never change anything, never ask without bound, and never call hardware absent because a resource could not be read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vocabulary::boot::Firmware;
use vocabulary::network::Mac;
use vocabulary::quantity::{Bytes, Speed};

use super::http::{Credential, Http};
use super::trouble::Trouble;
use super::walk::Walk;
use super::{Redfish, lldp, view};
use crate::inventory::{Inventory, Nic};
use crate::limits;
use crate::processor;

/// Resources behind the system, as they came. Whatever could not be read is null or missing.
#[derive(Debug, Default)]
struct Parts {
    processors: Vec<Value>,
    interfaces: Vec<Value>,
    ports: Vec<Value>,
    /// `None` where no chassis tells of any.
    supplies: Option<Vec<Value>>,
}

/// Reads the hardware of a system that was just read. What cannot be read is missing in the outcome, which then says why.
pub async fn read(http: &Http, who: &Credential, system: &Value) -> Inventory {
    let walk = Walk::new(http, who, limits::HARDWARE_REQUESTS_MAX);
    let parts = tokio::time::timeout(limits::HARDWARE, parts(&walk, system)).await;
    let late = || format!("not everything was told within {:?}", limits::HARDWARE);
    let (parts, late) = parts.map_or_else(|_| (Parts::default(), Some(late())), |parts| (parts, None));
    let ended = walk.ended().map(|trouble| trouble.to_string());
    Inventory { incomplete: late.or(ended), ..assemble(system, &parts) }
}

impl Redfish {
    /// Counts the power supplies that are present, and asks for nothing else. `None` where none are told, or something on the way to them
    /// cannot be read.
    pub(super) async fn count_supplies(&self) -> Result<Option<u32>, Trouble> {
        let seen = self.see().await?;
        let walk = Walk::new(&self.http, &seen.link.session.credential, limits::SUPPLIES_REQUESTS_MAX);
        let mut all: Option<Vec<Value>> = None;
        for chassis in walk.all(view::chassis(&seen.system)).await {
            if let Some(power) = walk.power(&chassis).await {
                all.get_or_insert_default().extend(power.supplies);
            }
        }
        let refused = walk.take_refusal().is_some();
        match walk.ended() {
            None => Ok(all.filter(|_| !refused).and_then(|all| u32::try_from(present(&all)).ok())),
            Some(Trouble::Unsupported(_)) => Ok(None),
            Some(trouble) => self.noted(&seen.link, Err(trouble)).await,
        }
    }
}

fn present(supplies: &[Value]) -> usize {
    supplies.iter().filter(|one| is_present(one)).count()
}

async fn parts(walk: &Walk<'_>, system: &Value) -> Parts {
    let mut parts = Parts {
        processors: walk.members(system, "Processors", limits::PROCESSORS_MAX).await.unwrap_or_default(),
        interfaces: walk.members(system, "EthernetInterfaces", limits::INTERFACES_MAX).await.unwrap_or_default(),
        ..Parts::default()
    };
    for path in view::chassis(system) {
        let chassis = walk.get(Some(&path)).await;
        for adapter in walk.members(&chassis, "NetworkAdapters", limits::ADAPTERS_MAX).await.unwrap_or_default() {
            // the older form of the same has other names
            let key = if adapter.get("Ports").is_some() { "Ports" } else { "NetworkPorts" };
            parts.ports.extend(walk.members(&adapter, key, limits::ADAPTER_PORTS_MAX).await.unwrap_or_default());
        }
        if let Some(power) = walk.power(&chassis).await {
            parts.supplies.get_or_insert_default().extend(power.supplies);
        }
    }
    parts
}

/// The hardware that a system and its parts tell. Total over any JSON.
fn assemble(system: &Value, parts: &Parts) -> Inventory {
    let text = |key: &str| view::text(system, key).unwrap_or_default();
    let processors: Vec<&Value> = parts.processors.iter().filter(|one| is_processor(one)).collect();
    let summary = system.get("ProcessorSummary").unwrap_or(&Value::Null);
    let processor = view::text(summary, "Model").or_else(|| processors.iter().find_map(|one| view::text(one, "Model")));
    let processor = processor.unwrap_or_default();
    let architecture = architecture(&processors, &processor);
    let level = match architecture {
        Some("x86_64") => level(&processors, &processor),
        Some(_) => Some(0),
        None => None,
    };
    Inventory {
        manufacturer: text("Manufacturer"),
        model: text("Model"),
        architecture,
        level,
        threads: threads(summary, &processors),
        memory: memory(system),
        firmware: firmware(system, architecture),
        power_supplies: parts.supplies.as_deref().map(present),
        nics: nics(&parts.interfaces, &parts.ports),
        processor,
        incomplete: None,
    }
}

fn is_present(part: &Value) -> bool {
    let state = part.get("Status").and_then(|status| status.get("State")).and_then(Value::as_str);
    part.is_object() && state != Some("Absent")
}

fn is_processor(one: &Value) -> bool {
    is_present(one) && one.get("ProcessorType").and_then(Value::as_str).is_none_or(|kind| kind == "CPU")
}

/// What all processors agree on.
fn agreed<T: PartialEq>(mut all: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = all.next()??;
    all.all(|one| one.as_ref() == Some(&first)).then_some(first)
}

fn architecture(processors: &[&Value], name: &str) -> Option<&'static str> {
    let told = |one: &&Value| match one.get("InstructionSet").and_then(Value::as_str)? {
        "x86-64" => Some("x86_64"),
        "ARM-A64" => Some("aarch64"),
        _ => None,
    };
    agreed(processors.iter().map(told)).or_else(|| {
        let is_x86 = processor::level(&processor::Told { name, ..Default::default() }).is_some();
        if is_x86 {
            return Some("x86_64");
        }
        (name.starts_with("ARMv8") || name.starts_with("ARMv9")).then_some("aarch64")
    })
}

fn level(processors: &[&Value], name: &str) -> Option<u8> {
    if processors.is_empty() {
        return processor::level(&processor::Told { name, ..Default::default() });
    }
    let told = processors.iter().map(|one| {
        let id = one.get("ProcessorId").unwrap_or(&Value::Null);
        let (vendor, model) = (view::text(id, "VendorId"), view::text(one, "Model"));
        let told = processor::Told {
            vendor: vendor.as_deref().unwrap_or_default(),
            family: id.get("EffectiveFamily").and_then(number),
            model: id.get("EffectiveModel").and_then(number),
            name: model.as_deref().unwrap_or(name),
        };
        processor::level(&told)
    });
    // a server must run on each of them
    told.collect::<Option<Vec<u8>>>()?.into_iter().min()
}

/// A number as BMCs write it: as such, as text, or as hexadecimal text.
fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => match text.trim().strip_prefix("0x").or_else(|| text.trim().strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.trim().parse().ok(),
        },
        _ => None,
    }
}

fn threads(summary: &Value, processors: &[&Value]) -> Option<u32> {
    let counted = || {
        let each = processors.iter().map(|one| one.get("TotalThreads").and_then(number));
        each.collect::<Option<Vec<u32>>>().map(|all| all.into_iter().fold(0u32, u32::saturating_add))
    };
    summary.get("LogicalProcessorCount").and_then(number).or_else(counted).filter(|count| *count > 0)
}

fn memory(system: &Value) -> Option<Bytes> {
    /// More is no machine.
    const GIB_MAX: f64 = 1024.0 * 1024.0;
    let gib = system.get("MemorySummary")?.get("TotalSystemMemoryGiB")?.as_f64()?;
    // fractions are told in steps of a MiB at the finest
    let mib = (gib > 0.0 && gib <= GIB_MAX).then(|| (gib * 1024.0).round() as u64)?;
    Some(Bytes(mib << 20)).filter(|bytes| bytes.0 > 0)
}

/// The modes that a boot override may name; where it names none, the mode that is set.
fn firmware(system: &Value, architecture: Option<&str>) -> BTreeSet<Firmware> {
    let mode = |text: &str| match text {
        "Legacy" => Some(Firmware::Bios),
        "UEFI" => Some(Firmware::Uefi),
        _ => None,
    };
    let boot = system.get("Boot").unwrap_or(&Value::Null);
    let listed = view::allowable(boot, "BootSourceOverrideMode").unwrap_or_default();
    let mut modes: BTreeSet<Firmware> = listed.iter().filter_map(|text| mode(text)).collect();
    if modes.is_empty() {
        modes.extend(boot.get("BootSourceOverrideMode").and_then(Value::as_str).and_then(mode));
    }
    if modes.is_empty() && architecture == Some("aarch64") {
        modes.insert(Firmware::Uefi);
    }
    modes
}

/// Ports by address: interfaces of the system first, then what adapters tell beyond them.
fn nics(interfaces: &[Value], ports: &[Value]) -> Vec<Nic> {
    let mut nics: BTreeMap<Mac, Nic> = BTreeMap::new();
    for interface in interfaces.iter().filter(|one| is_cabled(one)) {
        let Some(mac) = ["PermanentMACAddress", "MACAddress"].iter().find_map(|key| mac(interface.get(key)?)) else { continue };
        let speed = interface.get("SpeedMbps").and_then(Value::as_u64).filter(|mbps| *mbps > 0).map(Speed);
        let name = view::text(interface, "Id").unwrap_or_default();
        nics.entry(mac).or_insert(Nic { mac, name, speed, link: link(interface), neighbour: None });
    }
    for port in ports {
        let technology = ["LinkNetworkTechnology", "ActiveLinkTechnology"].iter().find_map(|key| port.get(key)?.as_str());
        if technology.is_some_and(|technology| technology != "Ethernet") {
            continue;
        }
        let macs = port_macs(port);
        let known = macs.iter().copied().find(|mac| nics.contains_key(mac));
        let Some(mac) = known.or_else(|| macs.first().copied()) else { continue };
        let name = view::text(port, "Id").unwrap_or_default();
        let nic = nics.entry(mac).or_insert(Nic { mac, name, speed: None, link: None, neighbour: None });
        nic.speed = speed(port).or(nic.speed);
        nic.link = link(port).or(nic.link);
        nic.neighbour = port.get("Ethernet").and_then(|ethernet| lldp::neighbour(ethernet.get("LLDPReceive")?));
    }
    nics.into_values().take(limits::INTERFACES_MAX).collect()
}

/// False for what no cable goes into: VLANs and bridges, and the way to the BMC itself inside the machine.
fn is_cabled(interface: &Value) -> bool {
    let is_virtual = interface.get("EthernetInterfaceType").and_then(Value::as_str) == Some("Virtual");
    let to_bmc = interface.get("Links").is_some_and(|links| links.get("HostInterface").is_some_and(|link| !link.is_null()));
    interface.is_object() && !is_virtual && !to_bmc
}

fn port_macs(port: &Value) -> Vec<Mac> {
    let ethernet = port.get("Ethernet").and_then(|ethernet| ethernet.get("AssociatedMACAddresses"));
    let list = ethernet.or_else(|| port.get("AssociatedNetworkAddresses")).and_then(Value::as_array);
    list.into_iter().flatten().take(limits::ADAPTER_PORTS_MAX).filter_map(mac).collect()
}

/// An address that can be a port's own.
fn mac(value: &Value) -> Option<Mac> {
    let text = value.as_str()?.trim();
    let bare = text.len() == 12 && text.is_ascii();
    let spaced = || (0..12).step_by(2).filter_map(|at| text.get(at..at + 2)).collect::<Vec<_>>().join(":");
    let mac: Mac = if bare { spaced().parse().ok()? } else { text.parse().ok()? };
    let [first, ..] = mac.0;
    (mac.0 != [0; 6] && first & 1 == 0).then_some(mac)
}

fn speed(port: &Value) -> Option<Speed> {
    /// Beyond this nothing is a speed, Gbit/s.
    const GBPS_MAX: f64 = 100_000.0;
    let gbps = port.get("CurrentSpeedGbps").and_then(Value::as_f64).filter(|gbps| *gbps > 0.0 && *gbps < GBPS_MAX);
    let mbps = gbps.map(|gbps| (gbps * 1000.0).round() as u64);
    mbps.or_else(|| port.get("CurrentLinkSpeedMbps")?.as_u64()).filter(|mbps| *mbps > 0).map(Speed)
}

fn link(port: &Value) -> Option<bool> {
    match port.get("LinkStatus")?.as_str()? {
        "LinkUp" | "Up" => Some(true),
        "LinkDown" | "Down" | "NoLink" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
#[path = "inventory_tests.rs"]
mod tests;
