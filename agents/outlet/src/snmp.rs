//! The unit that is administered by SNMP. Which objects those are is a vendor's table; how packets travel is behind [`Talk`]. It must never
//! send a SET twice, and never take an answer about other objects than were asked for.

mod apc;
pub mod config;
pub mod table;
pub mod tables;
pub mod talk;
mod udp;

pub use config::{Access, Authentication, Privacy, SnmpConfig};
pub use tables::TableName;
pub use talk::{Oid, Talk, TalkError, Value};

use crate::careful::Careful;
use crate::kept::OpenError;
use crate::limits::{GET_MAX, SET_MAX};
use crate::unit::{Order, Row, Unit};
use async_trait::async_trait;
use contract::AgentError;
use std::sync::Arc;
use table::Table;
use udp::Udp;
use vocabulary::{PduId, WallTime};

/// A unit spoken to by SNMP.
pub struct SnmpUnit {
    pdu: PduId,
    table: &'static dyn Table,
    talk: Arc<dyn Talk>,
}

/// The driver of one.
pub type SnmpOutlets = Careful<SnmpUnit>;

fn unreachable(reason: impl Into<String>) -> AgentError {
    AgentError::Unreachable { reason: reason.into() }
}

fn rejected(reason: impl Into<String>) -> AgentError {
    AgentError::Rejected { reason: reason.into() }
}

impl Careful<SnmpUnit> {
    /// Opens the driver of a unit in the network. Needs a running tokio runtime. Asks the unit nothing yet.
    pub fn open(pdu: PduId, serial: &str, config: &SnmpConfig) -> Result<SnmpOutlets, OpenError> {
        let udp = Udp::new(config).map_err(|reason| OpenError { pdu: pdu.clone(), reason })?;
        Ok(SnmpOutlets::open_on(pdu, serial, config.table, Arc::new(udp)))
    }

    /// The same of a unit that is spoken to like this.
    pub fn open_on(pdu: PduId, serial: &str, table: TableName, talk: Arc<dyn Talk>) -> SnmpOutlets {
        Careful::new(pdu.clone(), serial, SnmpUnit { pdu, table: table.table(), talk })
    }
}

#[async_trait]
impl Unit for SnmpUnit {
    /// One GET of everything.
    async fn look(&self, outlet: u16) -> Result<Row, AgentError> {
        let asked = self.table.asked(outlet);
        let silent = || unreachable(format!("the unit `{}` did not answer within {} s", self.pdu, GET_MAX.as_secs()));
        let answer = tokio::time::timeout(GET_MAX, self.talk.get(&asked)).await.map_err(|_| silent())?;
        let answer = answer.map_err(|error| match error {
            TalkError::Silent(reason) => unreachable(reason),
            TalkError::Refused(reason) | TalkError::Half(reason) => rejected(format!("the unit `{}` says {reason}", self.pdu)),
        })?;
        if !answer.iter().map(|(oid, _)| oid).eq(&asked) {
            return Err(unreachable(format!("the unit `{}` answered about other objects than were asked for", self.pdu)));
        }
        let values: Vec<Value> = answer.into_iter().map(|(_, value)| value).collect();
        Ok(self.table.row(outlet, &values))
    }

    /// One SET.
    async fn tell(&self, outlet: u16, order: Order) -> Result<(), AgentError> {
        let (oid, value) = match order {
            Order::StayOff => self.table.to_stay_off(outlet),
            Order::Return => self.table.to_return(outlet),
            Order::GoOff => self.table.to_go_off(outlet),
            Order::GoOn => self.table.to_go_on(outlet),
        };
        let what = order.of(outlet);
        let lost = |reason: &str| {
            unreachable(format!("telling the unit `{}` to {what}: {reason}; whether it happened is unknown", self.pdu))
        };
        let told = tokio::time::timeout(SET_MAX, self.talk.set(&oid, &value)).await;
        match told.map_err(|_| lost("no answer"))? {
            Ok(()) => Ok(()),
            Err(TalkError::Silent(reason)) => Err(lost(&reason)),
            Err(TalkError::Refused(reason)) => Err(rejected(format!("the unit `{}` does not {what}: {reason}", self.pdu))),
            Err(TalkError::Half(reason)) => {
                Err(AgentError::Unconfirmed { reason: format!("telling the unit `{}` to {what}: {reason}", self.pdu) })
            }
        }
    }

    fn now(&self) -> WallTime {
        self.talk.now()
    }
}
