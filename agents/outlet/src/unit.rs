//! What every kind of unit is asked for: one reading, and four orders. Must never decide anything: a unit that says no, or says nothing,
//! has said so.

use async_trait::async_trait;
use contract::AgentError;
use std::fmt;
use vocabulary::WallTime;
use vocabulary::outlet::{OnReturn, Relay};

/// What a unit tells of one outlet, and of itself in the same breath.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The unit's serial number.
    pub serial: Option<String>,
    /// There is such an outlet.
    pub there: bool,
    /// Its relay.
    pub relay: Relay,
    /// What goes through it, watts.
    pub watts: Option<u32>,
    /// What it does when the unit gets power back.
    pub on_return: OnReturn,
}

/// What an outlet is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// To stay off when the unit gets power back.
    StayOff,
    /// To go on then.
    Return,
    /// To go off at once.
    GoOff,
    /// To go on at once.
    GoOn,
}

impl Order {
    /// In words, for people.
    pub fn of(self, outlet: u16) -> String {
        match self {
            Order::StayOff => format!("have outlet {outlet} stay off"),
            Order::Return => format!("have outlet {outlet} go on by itself"),
            Order::GoOff => format!("switch outlet {outlet} off"),
            Order::GoOn => format!("switch outlet {outlet} on"),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::StayOff => "stay-off",
            Order::Return => "return",
            Order::GoOff => "off",
            Order::GoOn => "on",
        })
    }
}

/// A unit.
#[async_trait]
pub trait Unit: Send + Sync {
    /// A fresh reading of everything about an outlet, the unit's serial number included. What is missing or not understood is unknown.
    async fn look(&self, outlet: u16) -> Result<Row, AgentError>;
    /// Tells it once. A yes is not yet an effect; `Rejected` only if nothing was done.
    async fn tell(&self, outlet: u16, order: Order) -> Result<(), AgentError>;
    /// The time of day.
    fn now(&self) -> WallTime;
}
