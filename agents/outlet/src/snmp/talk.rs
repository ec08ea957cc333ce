//! What the driver asks of a unit's SNMP agent: one in the network, or a simulated one. Must never decide anything, never answer from memory,
//! and never send a SET more than once.

use async_trait::async_trait;
use vocabulary::WallTime;

/// The name of an object: its numbers.
pub type Oid = Vec<u32>;

/// The value of an object, as far as the tables here have use for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// INTEGER.
    Integer(i32),
    /// OCTET STRING.
    Text(Vec<u8>),
    /// The unit has no such object, or not of this index.
    Missing,
    /// Some other type.
    Other,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TalkError {
    /// No answer that can be believed. A SET may have been done.
    #[error("{0}")]
    Silent(String),
    /// The unit said no, by this error status. Nothing was done.
    #[error("{0}")]
    Refused(String),
    /// The unit said that it may have done it in part.
    #[error("{0}")]
    Half(String),
}

/// A unit's SNMP agent.
#[async_trait]
pub trait Talk: Send + Sync {
    /// The values of these objects, asked for in one request. It may be repeated when no answer comes.
    async fn get(&self, oids: &[Oid]) -> Result<Vec<(Oid, Value)>, TalkError>;
    /// Sets one object. It is sent at most once. Ok only if the unit said yes.
    async fn set(&self, oid: &Oid, value: &Value) -> Result<(), TalkError>;
    /// The time of day.
    fn now(&self) -> WallTime;
}
