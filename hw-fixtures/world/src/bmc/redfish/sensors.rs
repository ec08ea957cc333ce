//! What sensors measure, over Redfish: air and processor temperature, power drawn. The same readings that IPMI tells.
//! Must never tell a reading of its own.

use serde_json::{Value, json};

use super::body::{collection, link, put, status};
use crate::bmc::State;
use crate::bmc::quirks::InventoryForm;
use crate::bmc::sensing::{self, UPPER_CRITICAL, UPPER_NON_CRITICAL};
use crate::clock::now;

/// A resource with readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sensed {
    /// Temperatures in the older form: all in one resource.
    Thermal,
    /// In the present form: what has the metrics.
    ThermalSubsystem,
    /// And they.
    ThermalMetrics,
    /// Power drawn.
    EnvironmentMetrics,
    /// Collection of sensors.
    Sensors,
    /// One of them.
    Sensor(Sensor),
}

/// A sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensor {
    /// Of the air.
    Inlet,
    /// Of the processor.
    Processor,
    /// Of the power drawn.
    Power,
}

impl Sensor {
    const ALL: [Sensor; 3] = [Sensor::Inlet, Sensor::Processor, Sensor::Power];

    fn id(self) -> &'static str {
        match self {
            Sensor::Inlet => "InletTemp",
            Sensor::Processor => "CPU1Temp",
            Sensor::Power => "PwrConsumption",
        }
    }

    /// As IPMI calls it, where names may be of letters and blanks.
    fn name(self) -> &'static str {
        match self {
            Sensor::Inlet => "Inlet Temp",
            Sensor::Processor => "CPU1 Temp",
            Sensor::Power => "Pwr Consumption",
        }
    }

    fn context(self) -> &'static str {
        match self {
            Sensor::Inlet => "Intake",
            Sensor::Processor => "CPU",
            Sensor::Power => "Chassis",
        }
    }

    fn reading(self, state: &State) -> u16 {
        match self {
            Sensor::Inlet => sensing::temperature(state, now()).into(),
            Sensor::Processor => sensing::processor(state).into(),
            Sensor::Power => sensing::watts(state),
        }
    }
}

/// Links from the chassis.
pub fn links(form: InventoryForm) -> &'static [&'static str] {
    match form {
        InventoryForm::Full => &["ThermalSubsystem", "EnvironmentMetrics", "Sensors"],
        InventoryForm::Older => &["Thermal"],
        InventoryForm::None => &[],
    }
}

/// The resource at a path below the chassis.
pub fn below_chassis(rest: &[&str], form: InventoryForm) -> Option<Sensed> {
    match (rest, form) {
        (["Thermal"], InventoryForm::Older) => Some(Sensed::Thermal),
        (["ThermalSubsystem"], InventoryForm::Full) => Some(Sensed::ThermalSubsystem),
        (["ThermalSubsystem", "ThermalMetrics"], InventoryForm::Full) => Some(Sensed::ThermalMetrics),
        (["EnvironmentMetrics"], InventoryForm::Full) => Some(Sensed::EnvironmentMetrics),
        (["Sensors"], InventoryForm::Full) => Some(Sensed::Sensors),
        (["Sensors", id], InventoryForm::Full) => Sensor::ALL.into_iter().find(|sensor| sensor.id() == *id).map(Sensed::Sensor),
        _ => None,
    }
}

/// The body of a resource.
pub fn view(sensed: &Sensed, chassis: &str, state: &State) -> Value {
    let source = |sensor: Sensor| format!("/redfish/v1/{chassis}/Sensors/{}", sensor.id());
    match sensed {
        Sensed::Thermal => thermal(chassis, state),
        Sensed::ThermalSubsystem => json!({
            "@odata.id": format!("/redfish/v1/{chassis}/ThermalSubsystem"),
            "@odata.type": "#ThermalSubsystem.v1_2_0.ThermalSubsystem",
            "Id": "ThermalSubsystem",
            "Name": "Thermal Subsystem",
            "Status": status("Enabled"),
            "ThermalMetrics": link(&format!("{chassis}/ThermalSubsystem/ThermalMetrics")),
        }),
        Sensed::ThermalMetrics => {
            let one = |sensor: Sensor| json!({ "DataSourceUri": source(sensor), "DeviceName": sensor.name(), "Reading": sensor.reading(state) });
            json!({
                "@odata.id": format!("/redfish/v1/{chassis}/ThermalSubsystem/ThermalMetrics"),
                "@odata.type": "#ThermalMetrics.v1_1_0.ThermalMetrics",
                "Id": "ThermalMetrics",
                "Name": "Thermal Metrics",
                "TemperatureReadingsCelsius": [one(Sensor::Inlet), one(Sensor::Processor)],
            })
        }
        Sensed::EnvironmentMetrics => json!({
            "@odata.id": format!("/redfish/v1/{chassis}/EnvironmentMetrics"),
            "@odata.type": "#EnvironmentMetrics.v1_3_0.EnvironmentMetrics",
            "Id": "EnvironmentMetrics",
            "Name": "Environment Metrics",
            "PowerWatts": { "DataSourceUri": source(Sensor::Power), "Reading": Sensor::Power.reading(state) },
        }),
        Sensed::Sensors => {
            let ids = Sensor::ALL.map(|sensor| sensor.id().to_owned());
            collection("SensorCollection", &format!("{chassis}/Sensors"), "Sensors", &ids)
        }
        Sensed::Sensor(sensor) => {
            let (kind, unit) = if *sensor == Sensor::Power { ("Power", "W") } else { ("Temperature", "Cel") };
            json!({
                "@odata.id": source(*sensor),
                "@odata.type": "#Sensor.v1_7_0.Sensor",
                "Id": sensor.id(),
                "Name": sensor.name(),
                "ReadingType": kind,
                "ReadingUnits": unit,
                "Reading": sensor.reading(state),
                "PhysicalContext": sensor.context(),
                "Status": status("Enabled"),
            })
        }
    }
}

fn thermal(chassis: &str, state: &State) -> Value {
    let path = format!("/redfish/v1/{chassis}/Thermal");
    let one = |(index, sensor): (usize, Sensor)| {
        let mut told = json!({
            "@odata.id": format!("{path}#/Temperatures/{index}"),
            "MemberId": index.to_string(),
            "Name": sensor.name(),
            "PhysicalContext": sensor.context(),
            "ReadingCelsius": sensor.reading(state),
            "Status": status("Enabled"),
        });
        if sensor == Sensor::Inlet {
            put(&mut told, "UpperThresholdNonCritical", json!(UPPER_NON_CRITICAL));
            put(&mut told, "UpperThresholdCritical", json!(UPPER_CRITICAL));
        }
        told
    };
    let temperatures: Vec<Value> = [Sensor::Inlet, Sensor::Processor].into_iter().enumerate().map(one).collect();
    json!({
        "@odata.id": path,
        "@odata.type": "#Thermal.v1_7_1.Thermal",
        "Id": "Thermal",
        "Name": "Thermal",
        "Temperatures": temperatures,
    })
}
