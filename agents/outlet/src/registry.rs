//! Which drivers there are: a line a driver. Nothing above this file names one.

use crate::by_program::OutletsProgram;
use crate::kept::OpenError;
use crate::limits::{LOOKS_AT_ONCE, OUTLETS_MAX, SERIAL_BYTES_MAX};
use crate::snmp::{SnmpConfig, SnmpOutlets};
use contract::outlet::Outlets;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use vocabulary::PduId;

/// A power distribution unit as an agent's configuration describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutletConfig {
    /// The unit's name in the estate.
    pub pdu: PduId,
    /// The outlets that the agent owns, by their numbers. No other is ever touched.
    pub outlets: BTreeSet<u16>,
    /// The unit's serial number, as it tells it itself. A unit that tells another one is not the unit.
    pub serial: String,
    /// The driver and what it needs.
    pub driver: Driver,
}

/// The drivers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// SNMP, with one of the tables known there.
    Snmp(SnmpConfig),
    /// A program of the site, which is asked line by line.
    Program(program::Config),
}

impl Driver {
    /// How many outlets may be looked at at once. A program is asked one question at a time: what waits there would keep a command waiting.
    pub fn looks_at_once(&self) -> usize {
        match self {
            Driver::Snmp(_) => LOOKS_AT_ONCE,
            Driver::Program(_) => 1,
        }
    }
}

fn contradiction(config: &OutletConfig) -> Option<String> {
    let numbers = &config.outlets;
    if numbers.is_empty() || numbers.len() > OUTLETS_MAX || numbers.contains(&0) {
        return Some(format!("it needs 1 to {OUTLETS_MAX} outlets, numbered from 1"));
    }
    let serial = config.serial.as_str();
    let odd =
        serial.is_empty() || serial.len() > SERIAL_BYTES_MAX || serial.trim() != serial || serial.contains(char::is_control);
    odd.then(|| format!("`{}` is not a serial number", serial.escape_debug()))
}

/// Opens the driver. Asks the unit nothing yet. Needs a running tokio runtime.
pub fn open(config: &OutletConfig) -> Result<Arc<dyn Outlets>, OpenError> {
    if let Some(reason) = contradiction(config) {
        return Err(OpenError { pdu: config.pdu.clone(), reason });
    }
    match &config.driver {
        Driver::Snmp(snmp) => Ok(Arc::new(SnmpOutlets::open(config.pdu.clone(), &config.serial, snmp)?)),
        Driver::Program(program) => Ok(Arc::new(OutletsProgram::open(config.pdu.clone(), &config.serial, program.clone())?)),
    }
}
