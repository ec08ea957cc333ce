//! How an outlet is cut and fed so that it stays so, whatever unit it is: what is asked and told in which order, and what of it is believed.
//! Must never switch anything at a unit that did not just tell the expected serial number, and never take a unit's yes for its effect.

use crate::limits::{ACT_MAX, SETTLE_MAX, SETTLE_PAUSE};
use crate::unit::{Order, Row, Unit};
use async_trait::async_trait;
use contract::AgentError;
use contract::outlet::Outlets;
use std::time::Duration;
use tokio::time::Instant;
use vocabulary::outlet::{OnReturn, OutletReading, Relay};
use vocabulary::{OutletId, PduId};

/// A unit that is handled with care.
pub struct Careful<U> {
    pdu: PduId,
    serial: String,
    unit: U,
}

fn unreachable(reason: impl Into<String>) -> AgentError {
    AgentError::Unreachable { reason: reason.into() }
}

fn rejected(reason: impl Into<String>) -> AgentError {
    AgentError::Rejected { reason: reason.into() }
}

/// An error of what follows a change: that the unit refuses it does not mean that nothing was done.
fn after_change(error: AgentError) -> AgentError {
    match error {
        AgentError::Rejected { reason } => AgentError::Unconfirmed { reason },
        other => other,
    }
}

/// The same of what may follow none.
fn after(changed: bool) -> fn(AgentError) -> AgentError {
    if changed { after_change } else { |error| error }
}

/// True if waiting longer cannot make it more cut than it is: it is cut, or all that is missing is a meter.
fn cut_as_far_as_told(reading: &OutletReading) -> bool {
    reading.is_cut() || (reading.relay == Relay::Off && reading.watts.is_none() && reading.on_return == OnReturn::StaysOff)
}

fn fed(reading: &OutletReading) -> bool {
    reading.relay == Relay::On && reading.on_return != OnReturn::StaysOff
}

impl<U: Unit> Careful<U> {
    /// The unit of this name and serial number.
    pub fn new(pdu: PduId, serial: &str, unit: U) -> Careful<U> {
        Careful { pdu, serial: serial.to_owned(), unit }
    }

    /// A reading; all that was said is checked.
    async fn look(&self, outlet: u16) -> Result<OutletReading, AgentError> {
        let row = self.unit.look(outlet).await?;
        self.is_the_unit(&row)?;
        if !row.there {
            return Err(rejected(format!("the unit `{}` has no outlet {outlet}", self.pdu)));
        }
        let outlet = OutletId { pdu: self.pdu.clone(), outlet };
        let Row { relay, watts, on_return, .. } = row;
        Ok(OutletReading { outlet, relay, watts, on_return, read_at: self.unit.now() })
    }

    fn is_the_unit(&self, row: &Row) -> Result<(), AgentError> {
        match row.serial.as_deref() {
            Some(serial) if serial == self.serial => Ok(()),
            Some(other) => Err(rejected(format!(
                "the unit at the address of `{}` has serial number {}, not {}: correct the address or the serial number",
                self.pdu,
                other.escape_debug(),
                self.serial
            ))),
            None => Err(rejected(format!(
                "what is at the address of `{}` tells no serial number: is it a unit of this kind?",
                self.pdu
            ))),
        }
    }

    /// Reads back until the reading is as it is to be, or long enough. What was read last.
    async fn settled(&self, outlet: u16, done: fn(&OutletReading) -> bool) -> Result<OutletReading, AgentError> {
        let until = Instant::now() + SETTLE_MAX;
        loop {
            let seen = self.look(outlet).await.map_err(after_change);
            if seen.as_ref().is_ok_and(done) || Instant::now() >= until {
                return seen;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }

    async fn do_cut(&self, outlet: u16) -> Result<OutletReading, AgentError> {
        let before = self.look(outlet).await?;
        if before.on_return != OnReturn::StaysOff {
            let told = self.unit.tell(outlet, Order::StayOff).await;
            let changed = !matches!(told, Err(AgentError::Rejected { .. }));
            match told {
                Ok(()) => {}
                // without power now is better than with it, though the reading will say that it is no proof
                Err(error @ (AgentError::Rejected { .. } | AgentError::Unconfirmed { .. })) => {
                    tracing::warn!(pdu = %self.pdu, outlet, %error, "an outlet cannot be told to stay off; it is switched off");
                }
                Err(error) => return Err(error),
            }
            // it may be another unit by now that hears what comes next
            let seen = self.look(outlet).await.map_err(after(changed))?;
            if seen.on_return != OnReturn::StaysOff {
                tracing::warn!(pdu = %self.pdu, outlet, seen = ?seen.on_return, "an outlet does not take that it is to stay off");
            }
            self.unit.tell(outlet, Order::GoOff).await.map_err(after(changed))?;
        } else {
            self.unit.tell(outlet, Order::GoOff).await?;
        }
        self.settled(outlet, cut_as_far_as_told).await
    }

    async fn do_feed(&self, outlet: u16) -> Result<OutletReading, AgentError> {
        let before = self.look(outlet).await?;
        if before.on_return != OnReturn::TurnsOn {
            self.unit.tell(outlet, Order::Return).await?;
            self.look(outlet).await.map_err(after_change)?;
            self.unit.tell(outlet, Order::GoOn).await.map_err(after_change)?;
        } else {
            self.unit.tell(outlet, Order::GoOn).await?;
        }
        self.settled(outlet, fed).await
    }

    async fn in_time(&self, what: impl Future<Output = Result<OutletReading, AgentError>>) -> Result<OutletReading, AgentError> {
        let late = |limit: Duration| {
            unreachable(format!("the unit `{}` took longer than {} s; whether it happened is unknown", self.pdu, limit.as_secs()))
        };
        tokio::time::timeout(ACT_MAX, what).await.unwrap_or_else(|_| Err(late(ACT_MAX)))
    }
}

#[async_trait]
impl<U: Unit> Outlets for Careful<U> {
    async fn read(&self, outlet: u16) -> Result<OutletReading, AgentError> {
        self.look(outlet).await
    }

    async fn cut(&self, outlet: u16) -> Result<OutletReading, AgentError> {
        self.in_time(self.do_cut(outlet)).await
    }

    async fn feed(&self, outlet: u16) -> Result<OutletReading, AgentError> {
        self.in_time(self.do_feed(outlet)).await
    }
}
