//! What may be asked of one switch.

use async_trait::async_trait;
use vocabulary::network::{PortReading, PortSetting};
use vocabulary::request::AgentError;
use vocabulary::{PortId, PortName};

/// One switch. Settings are exact: after `set` the port carries the given VLANs and no other, was read back from forwarding state,
/// and its learnt addresses are flushed.
#[async_trait]
pub trait Switch: Send + Sync {
    /// A fresh reading from forwarding state.
    async fn read(&self, port: &PortName) -> Result<PortReading, AgentError>;
    /// Makes the port carry exactly this, brings it up, and reads it back; `Unconfirmed` if it reads otherwise.
    /// A kind of setting the driver cannot do is `Rejected`.
    async fn set(&self, port: &PortName, setting: &PortSetting) -> Result<PortReading, AgentError>;
    /// Waits until some port's setting may have changed by a foreign hand, and names it. Never returns on a switch that cannot tell;
    /// the caller reads by the clock as well.
    async fn changed(&self) -> PortId;
}
