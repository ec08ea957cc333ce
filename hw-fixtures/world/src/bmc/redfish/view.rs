//! What each resource reads: shapes as real BMCs write them, contents from the machine's state.
//! Must never show a password or a session's token, nor link to a resource that is not there.

use std::hash::{Hash as _, Hasher as _};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::bios;
use super::body::{collection, health, link, put, status};
use super::boot;
use super::hardware;
use super::log;
use super::route::Route;
use super::task;
use crate::bmc::machine::Machine;
use crate::bmc::quirks::{
    BootPlace, EtagBehaviour, EventStream, Indicator, LogPlace, PolicyAttribute, Quirks, ResetTimeReading, SettingBehaviour,
};
use crate::bmc::reading::Reading;
use crate::bmc::stamp::rfc3339;
use crate::bmc::{Bmc, State};
use crate::clock::since;

/// The reset types a manager takes.
pub const MANAGER_RESET_TYPES: [&str; 2] = ["ForceRestart", "GracefulRestart"];
/// Values of IndicatorLED that can be written.
pub const INDICATORS: [&str; 2] = ["Off", "Blinking"];
/// Values of PowerRestorePolicy.
pub const RESTORE_POLICIES: [&str; 3] = ["AlwaysOn", "AlwaysOff", "LastState"];

/// A metadata document that a client may fetch and none reads.
pub const METADATA: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?><edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">"#,
    r#"<edmx:Reference Uri="http://redfish.dmtf.org/schemas/v1/ServiceRoot_v1.xml"><edmx:Include Namespace="ServiceRoot"/>"#,
    r#"</edmx:Reference></edmx:Edmx>"#
);

/// Marks a body that cannot be told at the moment.
const FAILURE: &str = "bmc-sim.failure";

/// The body of a resource; None if it does not exist (any more).
pub fn view(bmc: &Bmc, route: &Route) -> Option<Value> {
    let machine = &bmc.config;
    let ids = &machine.hardware;
    let mut state = bmc.state();
    Some(match route {
        Route::Versions => json!({ "v1": "/redfish/v1/" }),
        Route::Metadata => json!(METADATA),
        Route::Root => root(machine, &state.quirks),
        Route::Odata => odata(),
        Route::SessionService => session_service(&state),
        Route::Sessions => {
            let timeout = state.session_timeout();
            let ids: Vec<String> = state.sessions.list(timeout).map(|s| s.id.clone()).collect();
            collection("SessionCollection", "SessionService/Sessions", "Session Collection", &ids)
        }
        Route::Session(id) => session(&mut state, &machine.user, id)?,
        Route::TaskService => task::service(rfc3339(state.wall.now(), state.quirks.clock_offset_s)),
        Route::Tasks => collection("TaskCollection", "TaskService/Tasks", "Task Collection", &task::ids(&state)),
        Route::Task(id) => task::view(&state, *id)?,
        Route::Systems => {
            collection("ComputerSystemCollection", "Systems", "Computer System Collection", std::slice::from_ref(&ids.system_id))
        }
        Route::System => system(&state, machine),
        Route::Bios => bios::view(&state, machine, false)?,
        Route::BiosSettings => bios::view(&state, machine, true)?,
        Route::SystemSettings => system_settings(&state, machine),
        Route::SystemActionInfo => action_info(&format!("Systems/{}", ids.system_id), &state.quirks.redfish.resets()),
        Route::Interfaces => {
            let nics: Vec<String> = (1..=machine.nics.len()).map(|n| format!("NIC.{n}")).collect();
            let path = format!("Systems/{}/EthernetInterfaces", ids.system_id);
            collection("EthernetInterfaceCollection", &path, "System Ethernet Interfaces", &nics)
        }
        Route::Interface(index) => interface(machine, &state, *index)?,
        Route::ChassisCollection => {
            collection("ChassisCollection", "Chassis", "Chassis Collection", std::slice::from_ref(&ids.chassis_id))
        }
        Route::Chassis => chassis(&state, machine),
        Route::Managers => {
            collection("ManagerCollection", "Managers", "Manager Collection", std::slice::from_ref(&ids.manager_id))
        }
        Route::Manager => manager(&state, machine),
        Route::ManagerActionInfo => action_info(&format!("Managers/{}", ids.manager_id), &MANAGER_RESET_TYPES),
        Route::ManagerDiagnosticData => diagnostic_data(&state, machine),
        Route::Part(part) => hardware::view(part, &state, machine)?,
        Route::Log(part) => log::view(part, &state, machine)?,
        Route::EventService => event_service(),
        Route::Events | Route::SystemReset | Route::ManagerReset | Route::TaskMonitor(_) => return None,
    })
}

/// The status of a body that cannot be told, taken out of it.
pub fn take_failure(body: &mut Value) -> Option<StatusCode> {
    body.as_object_mut()?.remove(FAILURE).map(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// The ETag of a body: its content's hash.
pub fn etag(body: &Value, quirks: &Quirks) -> Option<String> {
    etag_of(&body.to_string(), quirks)
}

/// The same, of a body that is written down.
fn etag_of(text: &str, quirks: &Quirks) -> Option<String> {
    // A fixed key: the same content has the same ETag after a restart too.
    let mut hasher = std::hash::DefaultHasher::new();
    text.hash(&mut hasher);
    let hash = hasher.finish();
    match quirks.etag {
        EtagBehaviour::None => None,
        EtagBehaviour::Weak => Some(format!("W/\"{hash:016X}\"")),
        EtagBehaviour::Empty => Some("\"\"".into()),
        EtagBehaviour::Strong | EtagBehaviour::Required | EtagBehaviour::AlwaysFails | EtagBehaviour::Raced => {
            Some(format!("\"{hash:016X}\""))
        }
    }
}

/// A body as it is sent, with its ETag in it, and that.
pub fn written(mut body: Value, quirks: &Quirks) -> (String, Option<String>) {
    /// Where a body shows it.
    const KEY: &str = "@odata.etag";
    let mut text = body.to_string();
    let Some(etag) = etag_of(&text, quirks) else { return (text, None) };
    let Some(object) = body.as_object_mut() else { return (text, Some(etag)) };
    if object.keys().next().is_some_and(|first| first.as_str() > KEY) {
        // keys are sorted, so it is the first one: what is written already stays
        text.insert_str(1, &format!("\"{KEY}\":{},", json!(etag)));
        return (text, Some(etag));
    }
    object.insert(KEY.into(), json!(etag));
    (body.to_string(), Some(etag))
}

fn root(machine: &Machine, quirks: &Quirks) -> Value {
    let mut body = json!({
        "@odata.id": "/redfish/v1/",
        "@odata.type": "#ServiceRoot.v1_15_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Root Service",
        "RedfishVersion": "1.15.0",
        "UUID": machine.uuid,
        "Vendor": machine.hardware.manufacturer,
        "Product": "bmc-sim",
        "ProtocolFeaturesSupported": {
            "ExcerptQuery": false, "FilterQuery": false, "OnlyMemberQuery": false, "SelectQuery": false,
            "ExpandQuery": { "ExpandAll": false, "Levels": false, "Links": false, "NoLinks": false },
        },
        "Systems": link("Systems"),
        "Chassis": link("Chassis"),
        "Managers": link("Managers"),
        "SessionService": link("SessionService"),
        "Tasks": link("TaskService"),
        "Links": { "Sessions": link("SessionService/Sessions") },
    });
    if quirks.redfish.events != EventStream::Absent {
        put(&mut body, "EventService", link("EventService"));
    }
    body
}

fn event_service() -> Value {
    json!({
        "@odata.id": "/redfish/v1/EventService",
        "@odata.type": "#EventService.v1_10_0.EventService",
        "Id": "EventService",
        "Name": "Event Service",
        "ServiceEnabled": true,
        "EventFormatTypes": ["Event"],
        "ServerSentEventUri": "/redfish/v1/EventService/SSE",
        "Status": status("Enabled"),
    })
}

fn odata() -> Value {
    let entry = |name: &str, path: &str| json!({ "name": name, "kind": "Singleton", "url": path });
    json!({
        "@odata.context": "/redfish/v1/$metadata",
        "value": [
            entry("Service", "/redfish/v1/"),
            entry("Systems", "/redfish/v1/Systems"),
            entry("Chassis", "/redfish/v1/Chassis"),
            entry("Managers", "/redfish/v1/Managers"),
            entry("SessionService", "/redfish/v1/SessionService"),
            entry("Sessions", "/redfish/v1/SessionService/Sessions"),
        ],
    })
}

fn session_service(state: &State) -> Value {
    json!({
        "@odata.id": "/redfish/v1/SessionService",
        "@odata.type": "#SessionService.v1_1_8.SessionService",
        "Id": "SessionService",
        "Name": "Session Service",
        "ServiceEnabled": true,
        "SessionTimeout": state.session_timeout().as_secs().max(1),
        "Status": status("Enabled"),
        "Sessions": link("SessionService/Sessions"),
    })
}

fn session(state: &mut State, user: &str, id: &str) -> Option<Value> {
    let (timeout, offset) = (state.session_timeout(), state.quirks.clock_offset_s);
    let created = state.sessions.list(timeout).find(|s| s.id == id)?.created;
    Some(session_body(id, user, &rfc3339(created, offset)))
}

/// A session as the collection's POST and its own GET tell it.
pub fn session_body(id: &str, user: &str, created: &str) -> Value {
    json!({
        "@odata.id": format!("/redfish/v1/SessionService/Sessions/{id}"),
        "@odata.type": "#Session.v1_5_0.Session",
        "Id": id,
        "Name": "User Session",
        "UserName": user,
        "CreatedTime": created,
    })
}

fn action_info(path: &str, values: &[&str]) -> Value {
    json!({
        "@odata.id": format!("/redfish/v1/{path}/ResetActionInfo"),
        "@odata.type": "#ActionInfo.v1_3_0.ActionInfo",
        "Id": "ResetActionInfo",
        "Name": "Reset Action Info",
        "Parameters": [{ "Name": "ResetType", "Required": true, "DataType": "String", "AllowableValues": values }],
    })
}

/// Puts a reading where it belongs: a value, null, no key, or a body that cannot be told.
fn put_power(body: &mut Value, reading: Reading) {
    let Some(object) = body.as_object_mut() else { return };
    match reading {
        Reading::Is(text) => drop(object.insert("PowerState".into(), json!(text))),
        Reading::Null => drop(object.insert("PowerState".into(), Value::Null)),
        Reading::Missing => {}
        Reading::Unavailable => drop(object.insert(FAILURE.into(), Value::Null)),
    }
}

fn system(state: &State, machine: &Machine) -> Value {
    let (ids, quirks) = (&machine.hardware, &state.quirks);
    let path = format!("Systems/{}", ids.system_id);
    let mut reset = json!({ "target": format!("/redfish/v1/{path}/Actions/ComputerSystem.Reset") });
    if quirks.allowable_values {
        put(&mut reset, "@Redfish.ActionInfo", json!(format!("/redfish/v1/{path}/ResetActionInfo")));
        if quirks.redfish.inline_values {
            put(&mut reset, "ResetType@Redfish.AllowableValues", json!(quirks.redfish.resets()));
        }
    }
    let mut body = json!({
        "@odata.id": format!("/redfish/v1/{path}"),
        "@odata.type": "#ComputerSystem.v1_23_0.ComputerSystem",
        "Id": ids.system_id,
        "Name": machine.name,
        "Description": "Computer System",
        "SystemType": "Physical",
        "Manufacturer": ids.manufacturer,
        "Model": ids.model,
        "SerialNumber": quirks.serial.as_ref().unwrap_or(&machine.serial),
        "UUID": quirks.uuid.as_ref().unwrap_or(&machine.uuid),
        "AssetTag": state.asset_tag,
        "BiosVersion": "1.0.0",
        "Status": health(
            if state.run.is_some() { "Enabled" } else { "StandbyOffline" },
            if hardware::is_redundant(state, machine) { "OK" } else { "Warning" },
        ),
        "ProcessorSummary": {
            "Count": ids.processors, "CoreCount": ids.cores, "Model": ids.processor_model, "Status": status("Enabled"),
        },
        "MemorySummary": { "TotalSystemMemoryGiB": ids.memory_gib, "Status": status("Enabled") },
        "EthernetInterfaces": link(&format!("{path}/EthernetInterfaces")),
        "Links": {
            "Chassis": [link(&format!("Chassis/{}", ids.chassis_id))],
            "ManagedBy": [link(&format!("Managers/{}", ids.manager_id))],
        },
        "Actions": { "#ComputerSystem.Reset": reset },
    });
    put_power(&mut body, state.system_power());
    hardware::put_system_links(&mut body, &path, machine, quirks);
    log::put_link(&mut body, &path, LogPlace::System, quirks);
    if quirks.redfish.policy_attribute != PolicyAttribute::None {
        put(&mut body, "Bios", link(&bios::path(machine)));
    } else if quirks.restore_policy != SettingBehaviour::Unsupported {
        put(&mut body, "PowerRestorePolicy", json!(state.policy.as_str()));
        put(&mut body, "PowerRestorePolicy@Redfish.AllowableValues", json!(RESTORE_POLICIES));
    }
    if quirks.boot_override != SettingBehaviour::Unsupported {
        put(&mut body, "Boot", boot::view(&state.boot, &quirks.redfish));
        if quirks.redfish.boot_place != BootPlace::System {
            put(&mut body, "@Redfish.Settings", settings_at(&format!("{path}/SD")));
        }
    }
    let lit = state.device.light_state() != 0;
    match quirks.indicator {
        Indicator::Location | Indicator::Ignored => put(&mut body, "LocationIndicatorActive", json!(lit)),
        Indicator::Led => put(&mut body, "IndicatorLED", json!(if lit { "Blinking" } else { "Off" })),
        Indicator::Missing => {}
    }
    put_reset_and_progress(&mut body, state, machine);
    body
}

/// The annotation that names a settings resource.
fn settings_at(path: &str) -> Value {
    json!({ "@odata.type": "#Settings.v1_3_5.Settings", "SettingsObject": link(path), "SupportedApplyTimes": ["OnReset"] })
}

fn system_settings(state: &State, machine: &Machine) -> Value {
    json!({
        "@odata.id": format!("/redfish/v1/Systems/{}/SD", machine.hardware.system_id),
        "@odata.type": "#ComputerSystem.v1_23_0.ComputerSystem",
        "Id": "SD",
        "Name": format!("{} as it will be", machine.name),
        "Boot": boot::view(boot::future(state), &state.quirks.redfish),
    })
}

fn put_reset_and_progress(body: &mut Value, state: &State, machine: &Machine) {
    let (quirks, offset) = (&state.quirks, state.quirks.clock_offset_s);
    match (quirks.last_reset_time, state.last_reset) {
        (ResetTimeReading::Truthful, Some((at, _))) => put(body, "LastResetTime", json!(rfc3339(at, offset))),
        (ResetTimeReading::Zero, _) => put(body, "LastResetTime", json!("0000-00-00T00:00:00+00:00")),
        (ResetTimeReading::Truthful | ResetTimeReading::Missing, _) => {}
    }
    if let Some((_, cause)) = state.last_reset.filter(|_| quirks.last_reset_cause) {
        put(body, "LastResetCause", json!(cause));
    }
    if !quirks.boot_progress {
        return;
    }
    let progress = match (state.run.is_some(), machine.tells_progress, state.progress) {
        // Off, or a machine whose console nobody sees: nothing is known of its boot.
        (false, ..) | (_, false, _) | (_, _, None) => json!({ "LastState": "None" }),
        (true, true, Some((told, at))) => json!({ "LastState": told, "LastStateTime": rfc3339(at, offset) }),
    };
    put(body, "BootProgress", progress);
}

fn interface(machine: &Machine, state: &State, index: usize) -> Option<Value> {
    let nic = machine.nics.get(index)?;
    let id = format!("NIC.{}", index + 1);
    Some(json!({
        "@odata.id": format!("/redfish/v1/Systems/{}/EthernetInterfaces/{id}", machine.hardware.system_id),
        "@odata.type": "#EthernetInterface.v1_9_0.EthernetInterface",
        "Id": id,
        "Name": "System Ethernet Interface",
        "Description": nic.role,
        "EthernetInterfaceType": "Physical",
        "Status": status("Enabled"),
        "MACAddress": nic.mac,
        "PermanentMACAddress": nic.mac,
        "LinkStatus": if state.run.is_some() { "LinkUp" } else { "LinkDown" },
        "SpeedMbps": if state.run.is_some() { nic.speed_mbps } else { 0 },
        "FullDuplex": true,
        "InterfaceEnabled": true,
    }))
}

fn chassis(state: &State, machine: &Machine) -> Value {
    let ids = &machine.hardware;
    let mut body = json!({
        "@odata.id": format!("/redfish/v1/Chassis/{}", ids.chassis_id),
        "@odata.type": "#Chassis.v1_22_0.Chassis",
        "Id": ids.chassis_id,
        "Name": "Computer System Chassis",
        "ChassisType": "RackMount",
        "Manufacturer": ids.manufacturer,
        "Model": ids.model,
        "SerialNumber": state.quirks.serial.as_ref().unwrap_or(&machine.serial),
        "Status": status("Enabled"),
        "Links": {
            "ComputerSystems": [link(&format!("Systems/{}", ids.system_id))],
            "ManagedBy": [link(&format!("Managers/{}", ids.manager_id))],
            "ManagersInChassis": [link(&format!("Managers/{}", ids.manager_id))],
        },
    });
    put_power(&mut body, state.chassis_power());
    hardware::put_chassis_links(&mut body, &format!("Chassis/{}", ids.chassis_id), &state.quirks);
    body
}

fn manager(state: &State, machine: &Machine) -> Value {
    let (ids, offset) = (&machine.hardware, state.quirks.clock_offset_s);
    let path = format!("Managers/{}", ids.manager_id);
    let mut body = json!({
        "@odata.id": format!("/redfish/v1/{path}"),
        "@odata.type": "#Manager.v1_19_0.Manager",
        "Id": ids.manager_id,
        "Name": "Baseboard Management Controller",
        "ManagerType": "BMC",
        "Manufacturer": ids.manufacturer,
        "Model": "bmc-sim",
        "FirmwareVersion": env!("CARGO_PKG_VERSION"),
        "UUID": machine.uuid,
        "PowerState": "On",
        "DateTime": rfc3339(state.wall.now(), offset),
        "DateTimeLocalOffset": "+00:00",
        "LastResetTime": rfc3339(state.bmc_started.0, offset),
        "Status": status("Enabled"),
        "ManagerDiagnosticData": link(&format!("{path}/ManagerDiagnosticData")),
        "Links": {
            "ManagerForServers": [link(&format!("Systems/{}", ids.system_id))],
            "ManagerForChassis": [link(&format!("Chassis/{}", ids.chassis_id))],
            "ManagerInChassis": link(&format!("Chassis/{}", ids.chassis_id)),
        },
        "Actions": { "#Manager.Reset": {
            "target": format!("/redfish/v1/{path}/Actions/Manager.Reset"),
            "@Redfish.ActionInfo": format!("/redfish/v1/{path}/ResetActionInfo"),
            "ResetType@Redfish.AllowableValues": MANAGER_RESET_TYPES,
        }},
    });
    log::put_link(&mut body, &path, LogPlace::Manager, &state.quirks);
    body
}

fn diagnostic_data(state: &State, machine: &Machine) -> Value {
    let uptime = since(state.bmc_started.1).as_secs_f64();
    json!({
        "@odata.id": format!("/redfish/v1/Managers/{}/ManagerDiagnosticData", machine.hardware.manager_id),
        "@odata.type": "#ManagerDiagnosticData.v1_2_0.ManagerDiagnosticData",
        "Id": "ManagerDiagnosticData",
        "Name": "Manager Diagnostic Data",
        "ServiceRootUptimeSeconds": (uptime * 10.0).round() / 10.0,
    })
}
