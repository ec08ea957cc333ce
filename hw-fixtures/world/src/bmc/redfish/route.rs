//! Which resource a path names.
//! Must never guess: a path that is not exactly one of these (give or take a trailing slash) names nothing.

use super::hardware::{self, Part};
use super::log;
use crate::bmc::machine::Machine;
use crate::bmc::quirks::{BootPlace, EventStream, LogPlace, Quirks};

/// A resource of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/redfish`
    Versions,
    /// `/redfish/v1`
    Root,
    /// `/redfish/v1/odata`
    Odata,
    /// `/redfish/v1/$metadata`
    Metadata,
    /// The session service.
    SessionService,
    /// Its sessions.
    Sessions,
    /// One of them.
    Session(String),
    /// The task service.
    TaskService,
    /// Its tasks.
    Tasks,
    /// One of them.
    Task(u64),
    /// What a client may wait at until it has ended.
    TaskMonitor(u64),
    /// The event service.
    EventService,
    /// Its event stream.
    Events,
    /// Collection of systems.
    Systems,
    /// The system.
    System,
    /// Where its boot override is taken on some platforms.
    SystemSettings,
    /// Its BIOS, on platforms whose restore policy is an attribute of that.
    Bios,
    /// Where that is set.
    BiosSettings,
    /// What its reset takes.
    SystemActionInfo,
    /// Its reset.
    SystemReset,
    /// Its network interfaces.
    Interfaces,
    /// One of them, by index.
    Interface(usize),
    /// Collection of chassis.
    ChassisCollection,
    /// The chassis.
    Chassis,
    /// Collection of managers.
    Managers,
    /// The BMC itself.
    Manager,
    /// What its reset takes.
    ManagerActionInfo,
    /// Its reset.
    ManagerReset,
    /// Its uptime.
    ManagerDiagnosticData,
    /// A part of the hardware.
    Part(Part),
    /// A part of the event log.
    Log(log::Part),
}

/// The resource at a path.
pub fn find(path: &str, machine: &Machine, quirks: &Quirks) -> Option<Route> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let rest = path.strip_prefix("/redfish")?;
    if rest.is_empty() {
        return Some(Route::Versions);
    }
    let rest = rest.strip_prefix("/v1")?;
    if rest.is_empty() {
        return Some(Route::Root);
    }
    let ids = &machine.hardware;
    let parts: Vec<&str> = rest.strip_prefix('/')?.split('/').collect();
    match parts.as_slice() {
        ["odata"] => Some(Route::Odata),
        ["$metadata"] => Some(Route::Metadata),
        ["SessionService"] => Some(Route::SessionService),
        ["SessionService", "Sessions"] => Some(Route::Sessions),
        ["SessionService", "Sessions", id] => Some(Route::Session((*id).to_owned())),
        ["TaskService"] => Some(Route::TaskService),
        ["TaskService", "Tasks"] => Some(Route::Tasks),
        ["TaskService", "Tasks", id] => id.parse().ok().map(Route::Task),
        ["TaskService", "TaskMonitors", id] => id.parse().ok().map(Route::TaskMonitor),
        ["EventService"] => Some(Route::EventService),
        ["EventService", "SSE"] => Some(Route::Events),
        ["Systems"] => Some(Route::Systems),
        ["Systems", id, rest @ ..] if *id == ids.system_id => match rest {
            [] => Some(Route::System),
            ["SD"] => Some(Route::SystemSettings),
            ["Bios"] => Some(Route::Bios),
            ["Bios", "Settings"] => Some(Route::BiosSettings),
            ["ResetActionInfo"] => Some(Route::SystemActionInfo),
            ["Actions", "ComputerSystem.Reset"] => Some(Route::SystemReset),
            ["EthernetInterfaces"] => Some(Route::Interfaces),
            ["EthernetInterfaces", nic] => interface(nic, machine),
            _ => match log::below(rest, LogPlace::System, quirks) {
                Some(part) => Some(Route::Log(part)),
                None => hardware::below_system(rest, machine, quirks).map(Route::Part),
            },
        },
        ["Chassis"] => Some(Route::ChassisCollection),
        ["Chassis", id, rest @ ..] if *id == ids.chassis_id => match rest {
            [] => Some(Route::Chassis),
            _ => hardware::below_chassis(rest, machine, quirks).map(Route::Part),
        },
        ["Managers"] => Some(Route::Managers),
        ["Managers", id, rest @ ..] if *id == ids.manager_id => match rest {
            [] => Some(Route::Manager),
            ["ResetActionInfo"] => Some(Route::ManagerActionInfo),
            ["ManagerDiagnosticData"] => Some(Route::ManagerDiagnosticData),
            ["Actions", "Manager.Reset"] => Some(Route::ManagerReset),
            _ => log::below(rest, LogPlace::Manager, quirks).map(Route::Log),
        },
        _ => None,
    }
}

fn interface(id: &str, machine: &Machine) -> Option<Route> {
    let index = id.strip_prefix("NIC.")?.parse::<usize>().ok()?.checked_sub(1)?;
    machine.nics.get(index).map(|_| Route::Interface(index))
}

impl Route {
    /// Readable without an account, as the specification demands.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Versions | Self::Root | Self::Odata | Self::Metadata)
    }

    /// The methods the resource knows (HEAD goes with GET).
    pub fn methods(&self, quirks: &Quirks) -> &'static [&'static str] {
        match self {
            Self::Sessions => &["GET", "POST"],
            Self::Session(_) => &["GET", "DELETE"],
            Self::SystemReset | Self::ManagerReset => &["POST"],
            Self::System => &["GET", "PATCH"],
            Self::SystemSettings if quirks.redfish.boot_place == BootPlace::System => &[],
            Self::SystemSettings | Self::BiosSettings => &["GET", "PATCH"],
            Self::SystemActionInfo if !quirks.allowable_values => &[],
            Self::EventService | Self::Events if quirks.redfish.events == EventStream::Absent => &[],
            Self::Versions
            | Self::EventService
            | Self::Events
            | Self::Root
            | Self::Odata
            | Self::Metadata
            | Self::SessionService
            | Self::Bios
            | Self::TaskService
            | Self::Tasks
            | Self::Task(_)
            | Self::TaskMonitor(_)
            | Self::Systems
            | Self::SystemActionInfo
            | Self::Interfaces
            | Self::Interface(_)
            | Self::ChassisCollection
            | Self::Chassis
            | Self::Managers
            | Self::Manager
            | Self::ManagerActionInfo
            | Self::ManagerDiagnosticData
            | Self::Part(_)
            | Self::Log(_) => &["GET"],
        }
    }
}
