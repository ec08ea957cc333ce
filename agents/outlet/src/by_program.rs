//! The unit whose hands are a program of the site (docs/drivers.md): it reads an outlet and passes on an order. It is handled with the same
//! care as every other: one that does not tell the unit's serial number switches nothing, and one that tells no watts helps and proves nothing.
//! Must never take a reading that lacks something, or is of another outlet, for one.

use crate::careful::Careful;
use crate::kept::OpenError;
use crate::limits::SERIAL_BYTES_MAX;
use crate::unit::{Order, Row, Unit};
use async_trait::async_trait;
use contract::AgentError;
use program::{CHANGE_MAX, Config, Done, Kind, Program, READ_MAX, Trouble, told_or_null};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use vocabulary::outlet::{OnReturn, Relay};
use vocabulary::{PduId, WallTime};

/// A unit that a program speaks to.
pub struct ProgramUnit {
    program: Program,
    pdu: PduId,
}

/// The driver of one.
pub type OutletsProgram = Careful<ProgramUnit>;

/// An outlet as the program tells it. Every field is asked for: what is not told is not zero.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    outlet: u16,
    #[serde(deserialize_with = "told_or_null")]
    serial: Option<String>,
    there: bool,
    relay: Relay,
    #[serde(deserialize_with = "told_or_null")]
    watts: Option<u32>,
    on_return: OnReturn,
}

fn about(outlet: u16) -> Map<String, Value> {
    Map::from_iter([("outlet".to_owned(), json!(outlet))])
}

impl ProgramUnit {
    /// Makes sure that there is such a program. Asks it nothing yet.
    pub fn open(pdu: PduId, config: Config) -> Result<ProgramUnit, OpenError> {
        let program =
            Program::open(config, Kind::Outlets).map_err(|error| OpenError { pdu: pdu.clone(), reason: error.to_string() })?;
        Ok(ProgramUnit { program, pdu })
    }
}

impl Careful<ProgramUnit> {
    /// Makes sure that there is such a program. Asks it nothing yet.
    pub fn open(pdu: PduId, serial: &str, config: Config) -> Result<OutletsProgram, OpenError> {
        Ok(Careful::new(pdu.clone(), serial, ProgramUnit::open(pdu, config)?))
    }
}

#[async_trait]
impl Unit for ProgramUnit {
    async fn look(&self, outlet: u16) -> Result<Row, AgentError> {
        let told: Told = self.program.ask("read", &about(outlet), READ_MAX).await.map_err(Trouble::of_reading)?;
        if told.outlet != outlet {
            let reason = format!("the program of `{}` was asked about outlet {outlet} and tells of {}", self.pdu, told.outlet);
            return Err(AgentError::Unreachable { reason });
        }
        let Told { serial, there, relay, watts, on_return, .. } = told;
        if serial.as_ref().is_some_and(|serial| serial.len() > SERIAL_BYTES_MAX) {
            let reason = format!("the program of `{}` tells a serial number of more than {SERIAL_BYTES_MAX} bytes", self.pdu);
            return Err(AgentError::Unreachable { reason });
        }
        Ok(Row { serial, there, relay, watts, on_return })
    }

    async fn tell(&self, outlet: u16, order: Order) -> Result<(), AgentError> {
        self.program.ask(&order.to_string(), &about(outlet), CHANGE_MAX).await.map(|Done {}| ()).map_err(Trouble::of_change)
    }

    fn now(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
