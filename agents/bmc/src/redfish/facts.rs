//! What a BMC tells of its machine and how it is, read out of its resources: total over any JSON.
//! Must never invent a reading: a number that is no number is told as "no reading", and what the BMC calls absent is not told as well.

use serde_json::Value;

use super::view;
use crate::driver::Fact;
use crate::limits;

/// Something that a BMC tells, and how well it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// What.
    pub name: String,
    /// As it was told, with its unit.
    pub value: String,
    /// Its health.
    pub health: Health,
}

/// How well a part is; of several the worst counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Health {
    /// Well, or not told.
    Fine,
    /// Somebody should look.
    Warning,
    /// It does not work, or will not for long.
    Critical,
}

impl Health {
    fn of(part: &Value) -> Health {
        match part.get("Status").and_then(|status| status.get("Health")).and_then(Value::as_str) {
            Some("Warning") => Health::Warning,
            Some("Critical") => Health::Critical,
            _ => Health::Fine,
        }
    }

    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Health::Fine => "OK",
            Health::Warning => "Warning",
            Health::Critical => "Critical",
        }
    }
}

impl Part {
    /// A part with its state, where that is not the usual one, and its health, where that is bad.
    fn of(name: String, value: String, told: &Value) -> Part {
        let health = Health::of(told);
        let unusual = state(told).filter(|state| state != "Enabled");
        let bad = (health != Health::Fine).then(|| health.word().to_owned());
        let value = [Some(value), unusual, bad].into_iter().flatten().collect::<Vec<_>>().join(", ");
        Part { name, value, health }
    }

    /// For people.
    pub fn fact(&self) -> Fact {
        Fact::new(self.name.clone(), self.value.clone())
    }
}

fn state(part: &Value) -> Option<String> {
    view::text(part.get("Status")?, "State")
}

fn is_absent(part: &Value) -> bool {
    !part.is_object() || state(part).as_deref() == Some("Absent")
}

/// A number that a reading can be, with one decimal at most.
fn number(value: Option<&Value>) -> Option<String> {
    /// Beyond this nothing is a reading.
    const MOST: f64 = 1e9;
    let number = value?.as_f64().filter(|number| number.abs() < MOST)?;
    // no reading is -0
    Some(format!("{}", (number * 10.0).round() / 10.0 + 0.0))
}

fn with_unit(value: Option<&Value>, unit: &str) -> String {
    number(value).map_or_else(|| "no reading".to_owned(), |number| format!("{number}{unit}"))
}

/// Maker and model, and the numbers by which a part is known; `None` if it tells none of them.
fn known_as(part: &Value) -> Option<String> {
    let text = |key: &str| view::text(part, key);
    let name = [text("Manufacturer"), text("Model")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let numbers = [("SKU", "SKU"), ("part", "PartNumber"), ("serial", "SerialNumber")];
    let numbers = numbers.into_iter().filter_map(|(word, key)| text(key).map(|number| format!("{word} {number}")));
    let all: Vec<String> = std::iter::once(name).filter(|name| !name.is_empty()).chain(numbers).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// What the machine is, and what it is made of: of its system, its manager and its chassis.
pub fn machine(system: &Value, manager: &Value, chassis: &[Value]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |name: &str, value: Option<String>, told: &Value| {
        parts.extend(value.map(|value| Part::of(name.to_owned(), value, told)));
    };
    let product = known_as(system);
    add("product", product.clone(), &Value::Null);
    for chassis in chassis.iter().filter(|chassis| !is_absent(chassis)) {
        let told = known_as(chassis).filter(|told| Some(told) != product.as_ref());
        add(&format!("chassis {}", view::text(chassis, "Id").unwrap_or_default()), told, &Value::Null);
    }
    add("BIOS", view::text(system, "BiosVersion"), &Value::Null);
    let firmware = view::text(manager, "FirmwareVersion").map(|version| format!("firmware {version}"));
    let bmc: Vec<String> = [view::text(manager, "Model"), firmware].into_iter().flatten().collect();
    add("BMC", (!bmc.is_empty()).then(|| bmc.join(", ")), manager);
    let summary = |key: &str| system.get(key).unwrap_or(&Value::Null);
    let memory = summary("MemorySummary");
    add("memory", number(memory.get("TotalSystemMemoryGiB")).map(|gib| format!("{gib} GiB")), memory);
    let all = summary("ProcessorSummary");
    let counted = |key: &str, word: &str| number(all.get(key)).map(|count| format!("{count} {word}"));
    let number_of = number(all.get("Count")).map(|count| format!("{count} x "));
    let model = view::text(all, "Model").map(|model| format!("{}{model}", number_of.unwrap_or_default()));
    let processors = [model, counted("CoreCount", "cores"), counted("LogicalProcessorCount", "threads")];
    let processors: Vec<String> = processors.into_iter().flatten().collect();
    add("processors", (!processors.is_empty()).then(|| processors.join(", ")), all);
    parts
}

fn list<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    of.get(key).and_then(Value::as_array).into_iter().flatten().take(limits::SENSORS_READ_MAX).filter(|part| !is_absent(part))
}

/// The name of one of many: its own, else its Id.
fn called(kind: &str, part: &Value, keys: &[&str]) -> String {
    let name = keys.iter().chain(&["Name", "Id", "MemberId"]).find_map(|key| view::text(part, key));
    format!("{kind} {}", name.unwrap_or_else(|| "without a name".to_owned()))
}

/// Temperatures of the older Thermal resource.
pub fn temperatures(thermal: &Value) -> Vec<Part> {
    let one = |part: &Value| Part::of(called("temperature", part, &[]), with_unit(part.get("ReadingCelsius"), " °C"), part);
    list(thermal, "Temperatures").map(one).collect()
}

/// Fans of the older Thermal resource, whose first versions had other names for the same.
pub fn fans(thermal: &Value) -> Vec<Part> {
    let one = |part: &Value| {
        let unit = view::text(part, "ReadingUnits").or_else(|| view::text(part, "Units")).unwrap_or_default();
        let unit = if unit == "Percent" { "%".to_owned() } else { format!(" {unit}") };
        let reading = part.get("Reading").or_else(|| part.get("CurrentReading"));
        Part::of(called("fan", part, &["FanName"]), with_unit(reading, unit.trim_end()), part)
    };
    list(thermal, "Fans").map(one).collect()
}

/// Temperatures of a ThermalMetrics resource: named by the sensors that they are copied from.
pub fn metrics(metrics: &Value) -> Vec<Part> {
    let one = |part: &Value| {
        let sensor = part.get("DataSourceUri").and_then(Value::as_str).and_then(view::path);
        let name = sensor.map(|path| view::clean(view::id(&path), limits::TEXT_MAX)).or_else(|| view::text(part, "DeviceName"));
        let name = format!("temperature {}", name.unwrap_or_else(|| "without a name".to_owned()));
        Part::of(name, with_unit(part.get("Reading"), " °C"), part)
    };
    list(metrics, "TemperatureReadingsCelsius").map(one).collect()
}

/// A sensor, if it is a temperature.
pub fn sensor(sensor: &Value) -> Option<Part> {
    let is_wanted = !is_absent(sensor) && sensor.get("ReadingType").and_then(Value::as_str) == Some("Temperature");
    is_wanted.then(|| Part::of(called("temperature", sensor, &[]), with_unit(sensor.get("Reading"), " °C"), sensor))
}

/// A fan of its own resource.
pub fn fan(fan: &Value) -> Option<Part> {
    let speed = fan.get("SpeedPercent").unwrap_or(&Value::Null);
    let percent = number(speed.get("Reading")).map(|percent| format!("{percent}%"));
    let turns = number(speed.get("SpeedRPM")).map(|turns| format!("{turns} RPM"));
    let told: Vec<String> = [turns, percent].into_iter().flatten().collect();
    let told = if told.is_empty() { "no reading".to_owned() } else { told.join(", ") };
    (!is_absent(fan)).then(|| Part::of(called("fan", fan, &[]), told, fan))
}

/// A power supply; an empty bay is told as such.
pub fn supply(supply: &Value) -> Option<Part> {
    // names are often those of the model, the same for each of them
    let name = called("power supply", supply, &["Id", "MemberId"]);
    if is_absent(supply) {
        return supply.is_object().then(|| Part { name, value: "absent".to_owned(), health: Health::Fine });
    }
    let input = view::text(supply, "LineInputStatus").filter(|status| status != "Normal").map(|status| format!("input {status}"));
    let told: Vec<String> = [Some("present".to_owned()), known_as(supply), input].into_iter().flatten().collect();
    Some(Part::of(name, told.join(", "), supply))
}

/// Redundancy under a key of a resource, in the present or the older words.
pub fn redundancy(kind: &str, of: &Value, key: &str) -> Vec<Part> {
    let one = |group: &Value| {
        let text = |keys: [&str; 2]| keys.iter().find_map(|key| view::text(group, key));
        let count = |keys: [&str; 2]| keys.iter().find_map(|key| number(group.get(*key)));
        let needed = count(["MinNeededInGroup", "MinNumNeeded"]).map(|needed| format!("at least {needed} needed"));
        let mode = text(["RedundancyType", "Mode"]).unwrap_or_else(|| "of an untold kind".to_owned());
        let told: Vec<String> = [Some(mode), needed].into_iter().flatten().collect();
        let mut part = Part::of(format!("{kind} redundancy"), told.join(", "), group);
        if part.health == Health::Fine {
            part.value += ", OK";
        }
        part
    };
    list(of, key).map(one).collect()
}

/// Power drawn, by the older Power resource.
pub fn consumed(power: &Value) -> Option<Part> {
    let watts = power.get("PowerControl")?.as_array()?.iter().find_map(|control| number(control.get("PowerConsumedWatts")))?;
    Some(Part { name: "power drawn".to_owned(), value: format!("{watts} W"), health: Health::Fine })
}

/// Power drawn, by an EnvironmentMetrics resource.
pub fn drawn(metrics: &Value) -> Option<Part> {
    let watts = number(metrics.get("PowerWatts")?.get("Reading"))?;
    Some(Part { name: "power drawn".to_owned(), value: format!("{watts} W"), health: Health::Fine })
}

/// What all parts come to: the worst of them, by name.
pub fn health(parts: &[Part]) -> Fact {
    let worst = parts.iter().rev().max_by_key(|part| part.health).filter(|part| part.health != Health::Fine);
    let told = worst
        .map_or_else(|| Health::Fine.word().to_owned(), |part| format!("{}: {} {}", part.health.word(), part.name, part.value));
    Fact::new("health by sensors", told)
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
