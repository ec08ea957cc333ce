//! IPMI as this BMC speaks it: which command it knows, who may use it, what it answers at this moment.
//! Must never do for a session what its privilege level does not allow, nor power a machine in another way than `power.rs` does.

mod app;
mod boot;
mod chassis;
mod events;
mod fru;
mod port;
mod repository;
mod sensor;
#[cfg(test)]
mod tests;
mod watch;
mod weather;

use std::sync::Arc;

use crate::bmc::quirks::ErrorScope;
use crate::bmc::rmcp::{self, ADMINISTRATOR, Asked, Face, Heard, OPERATOR, USER};
use crate::bmc::{Bmc, Recent, State};
use crate::clock::{now, since};

pub use port::{Out, Port};
pub use watch::start as start_watchdog;

/// Network functions.
const CHASSIS: u8 = 0x00;
const SENSOR: u8 = 0x04;
const APP: u8 = 0x06;
const STORAGE: u8 = 0x0a;
const GROUP: u8 = 0x2c;
/// The privilege level of who has no session.
pub const NOBODY: u8 = 0;

/// Completion codes.
pub mod code {
    pub const DONE: u8 = 0x00;
    pub const BUSY: u8 = 0xc0;
    pub const UNKNOWN_COMMAND: u8 = 0xc1;
    pub const UNKNOWN_FOR_UNIT: u8 = 0xc2;
    pub const RESERVATION: u8 = 0xc5;
    pub const LENGTH: u8 = 0xc7;
    pub const RANGE: u8 = 0xc9;
    pub const TOO_MANY: u8 = 0xca;
    pub const ABSENT: u8 = 0xcb;
    pub const FIELD: u8 = 0xcc;
    pub const NO_ANSWER: u8 = 0xce;
    pub const STARTING: u8 = 0xd2;
    pub const RIGHTS: u8 = 0xd4;
    pub const STATE: u8 = 0xd5;
    pub const UNSPECIFIED: u8 = 0xff;
}

/// The data of a good answer, or a completion code.
type Told = Result<Vec<u8>, u8>;

/// A request at work.
struct Call<'a> {
    bmc: &'a Arc<Bmc>,
    asked: &'a Asked,
}

impl Call<'_> {
    fn data(&self) -> &[u8] {
        &self.asked.data
    }

    /// The data, where there must be exactly so many bytes.
    fn exactly<const N: usize>(&self) -> Result<[u8; N], u8> {
        self.data().try_into().map_err(|_| code::LENGTH)
    }
}

/// How a command is done.
enum Does {
    /// At once.
    Now(fn(&Call<'_>) -> Told),
    /// Chassis Control: it takes its time.
    Control,
    /// The BMC restarts, after its answer.
    Restart,
}

/// A command this BMC knows.
pub struct Row {
    /// Network function of a request.
    pub netfn: u8,
    /// Command.
    pub command: u8,
    /// The privilege level needed.
    pub needs: u8,
    /// It may change something.
    pub changes: bool,
    /// Its name in the list of recent requests.
    pub name: &'static str,
    does: Does,
}

const fn reads(netfn: u8, command: u8, needs: u8, name: &'static str, does: fn(&Call<'_>) -> Told) -> Row {
    Row { netfn, command, needs, changes: false, name, does: Does::Now(does) }
}

const fn sets(netfn: u8, command: u8, needs: u8, name: &'static str, does: Does) -> Row {
    Row { netfn, command, needs, changes: true, name, does }
}

/// All of them.
pub const TABLE: [Row; 40] = [
    reads(CHASSIS, 0x00, USER, "get_chassis_capabilities", chassis::capabilities),
    reads(CHASSIS, 0x01, USER, "get_chassis_status", chassis::status),
    sets(CHASSIS, 0x02, OPERATOR, "chassis_control", Does::Control),
    sets(CHASSIS, 0x04, OPERATOR, "chassis_identify", Does::Now(chassis::identify)),
    sets(CHASSIS, 0x06, OPERATOR, "set_power_restore_policy", Does::Now(chassis::set_restore_policy)),
    reads(CHASSIS, 0x07, USER, "get_system_restart_cause", chassis::restart_cause),
    sets(CHASSIS, 0x08, OPERATOR, "set_system_boot_options", Does::Now(boot::set)),
    reads(CHASSIS, 0x09, OPERATOR, "get_system_boot_options", boot::get),
    reads(SENSOR, 0x27, USER, "get_sensor_thresholds", sensor::thresholds),
    reads(SENSOR, 0x2d, USER, "get_sensor_reading", sensor::reading),
    reads(APP, 0x01, USER, "get_device_id", app::device_id),
    sets(APP, 0x02, ADMINISTRATOR, "cold_reset", Does::Restart),
    sets(APP, 0x03, ADMINISTRATOR, "warm_reset", Does::Restart),
    reads(APP, 0x04, USER, "get_self_test_results", app::self_test),
    reads(APP, 0x08, USER, "get_device_guid", app::device_guid),
    sets(APP, 0x22, OPERATOR, "reset_watchdog_timer", Does::Now(watch::kick)),
    sets(APP, 0x24, OPERATOR, "set_watchdog_timer", Does::Now(watch::set)),
    reads(APP, 0x25, USER, "get_watchdog_timer", watch::get),
    reads(APP, 0x37, NOBODY, "get_system_guid", app::system_guid),
    reads(APP, 0x38, NOBODY, "get_channel_authentication_capabilities", app::channel_authentication),
    reads(APP, 0x3b, USER, "set_session_privilege_level", app::set_privilege),
    reads(APP, 0x3c, USER, "close_session", app::close_session),
    reads(APP, 0x3d, USER, "get_session_info", app::session_info),
    reads(APP, 0x42, USER, "get_channel_info", app::channel_info),
    reads(APP, 0x54, NOBODY, "get_channel_cipher_suites", app::cipher_suites),
    reads(STORAGE, 0x10, USER, "get_fru_inventory_area_info", fru::area_info),
    reads(STORAGE, 0x11, USER, "read_fru_data", fru::read),
    reads(STORAGE, 0x20, USER, "get_sdr_repository_info", repository::info),
    reads(STORAGE, 0x22, USER, "reserve_sdr_repository", repository::reserve),
    reads(STORAGE, 0x23, USER, "get_sdr", repository::get),
    reads(STORAGE, 0x28, USER, "get_sdr_repository_time", events::time),
    reads(STORAGE, 0x40, USER, "get_sel_info", events::info),
    reads(STORAGE, 0x41, USER, "get_sel_allocation_info", events::allocation),
    reads(STORAGE, 0x42, USER, "reserve_sel", events::reserve),
    reads(STORAGE, 0x43, USER, "get_sel_entry", events::get),
    sets(STORAGE, 0x47, OPERATOR, "clear_sel", Does::Now(events::clear)),
    reads(STORAGE, 0x48, USER, "get_sel_time", events::time),
    sets(STORAGE, 0x49, OPERATOR, "set_sel_time", Does::Now(events::set_time)),
    reads(STORAGE, 0x5c, USER, "get_sel_time_utc_offset", events::time_offset),
    reads(GROUP, 0x02, USER, "get_power_reading", sensor::drawn),
];

fn find(netfn: u8, command: u8) -> Option<&'static Row> {
    TABLE.iter().find(|row| (row.netfn, row.command) == (netfn, command))
}

/// True for a command that may change something.
fn changes(netfn: u8, command: u8) -> bool {
    find(netfn, command).is_some_and(|row| row.changes)
}

/// Work that goes on after the packet was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Chassis Control.
    Control(u8),
    /// The BMC restarts.
    Restart,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// This is to be answered: completion code and data.
    Done(u8, Vec<u8>),
    /// It is to be answered when this is done.
    Work(Work),
    /// It is not answered.
    Silent,
}

/// A packet came: the first step of what [`Port::take`] does, without the way's delays.
pub fn hear(bmc: &Arc<Bmc>, from: std::net::SocketAddr, packet: &[u8]) -> Heard {
    let now = now();
    let mut state = bmc.state();
    let State { rmcp, quirks, locked_until, .. } = &mut *state;
    let face = Face {
        user: bmc.config.user.as_bytes(),
        password: bmc.secrets.password.bytes(),
        key: bmc.secrets.key.as_deref(),
        guid: app::guid(&bmc.config.uuid, quirks),
        locked: locked_until.is_some_and(|until| now < until),
        quirks,
    };
    rmcp.receive(now, from, packet, &face, &bmc.dice)
}

/// Puts an answer into a packet; None if its session is gone.
pub fn seal(bmc: &Bmc, asked: &Asked, code: u8, data: &[u8]) -> Option<Vec<u8>> {
    bmc.state().rmcp.answer(asked, code, data, &bmc.dice)
}

/// Does what is asked, or begins it.
pub fn begin(bmc: &Arc<Bmc>, asked: &Asked) -> Begun {
    let Some(row) = find(asked.head.netfn, asked.head.command) else {
        bmc.state().requests += 1;
        return Begun::Done(code::UNKNOWN_COMMAND, Vec::new());
    };
    let call = Call { bmc, asked };
    match refusal(bmc, asked, row) {
        Some(Refusal::Silent) => return Begun::Silent,
        Some(Refusal::Code(code)) => return done(&call, row, Err(code)),
        None => {}
    }
    match row.does {
        Does::Now(does) => done(&call, row, does(&call)),
        Does::Control => match call.exactly::<1>() {
            Ok([control]) => Begun::Work(Work::Control(control & 0x0f)),
            Err(code) => done(&call, row, Err(code)),
        },
        Does::Restart => {
            remember(&call, row, code::DONE);
            Begun::Work(Work::Restart)
        }
    }
}

enum Refusal {
    Code(u8),
    Silent,
}

/// Why a known command is not done at this moment.
fn refusal(bmc: &Bmc, asked: &Asked, row: &Row) -> Option<Refusal> {
    let mut state = bmc.state();
    state.requests += 1;
    let quirks = &state.quirks;
    let rights = asked.privilege.min(rmcp::level(quirks.privilege));
    let busy = since(state.bmc_started.1).as_millis() < u128::from(quirks.ipmi_busy_ms);
    let fails = quirks.error_status.is_some()
        && match quirks.error_scope {
            ErrorScope::All => true,
            ErrorScope::Reads => !row.changes,
            ErrorScope::Writes => row.changes,
        };
    if row.name == "get_channel_cipher_suites" && !quirks.ipmi_cipher_query {
        return Some(Refusal::Silent);
    }
    Some(Refusal::Code(match () {
        () if asked.head.unit != 0 => code::UNKNOWN_FOR_UNIT,
        () if rights < row.needs => code::RIGHTS,
        () if asked.session().is_some() && busy => code::BUSY,
        () if asked.session().is_some() && fails => code::UNSPECIFIED,
        () => return None,
    }))
}

fn done(call: &Call<'_>, row: &Row, told: Told) -> Begun {
    let (code, data) = told.map_or_else(|code| (code, Vec::new()), |data| (code::DONE, data));
    if row.changes {
        remember(call, row, code);
    }
    Begun::Done(code, data)
}

/// Keeps a note of a request that may have changed something.
fn remember(call: &Call<'_>, row: &Row, code: u8) {
    let word = match (&row.does, call.data()) {
        (Does::Control, [control, ..]) => Some(chassis::word(*control & 0x0f).to_owned()),
        _ => None,
    };
    call.bmc.state().remember(Recent {
        monotonic_ns: call.bmc.ticks.now_ns(),
        method: "IPMI".into(),
        path: row.name.into(),
        reset_type: word,
        status: u16::from(code),
    });
}

/// Finishes work that was begun: its completion code.
async fn perform(bmc: &Arc<Bmc>, asked: &Asked, work: Work) -> u8 {
    match work {
        Work::Control(control) => {
            let code = chassis::control(bmc, control).await;
            if let Some(row) = find(asked.head.netfn, asked.head.command) {
                remember(&Call { bmc, asked }, row, code);
            }
            code
        }
        Work::Restart => {
            bmc.restart_soon("BMC reset by IPMI");
            code::DONE
        }
    }
}
