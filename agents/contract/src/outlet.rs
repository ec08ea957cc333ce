//! What may be asked of one power distribution unit.

use async_trait::async_trait;
use vocabulary::outlet::OutletReading;
use vocabulary::request::AgentError;

/// One unit. Every method first makes sure that the unit behind the address has the expected serial number; if not, it answers
/// `Rejected` and has switched nothing. No switching is ever replayed by itself after a lost reply: the caller reads instead.
#[async_trait]
pub trait Outlets: Send + Sync {
    /// A fresh reading. An outlet that the unit does not have is `Rejected`.
    async fn read(&self, outlet: u16) -> Result<OutletReading, AgentError>;
    /// Has the outlet stay off when the unit gets power back, then switches it off, and reads back until it is cut or a few seconds have
    /// passed: a meter is slower than a relay. The result is what was read back last, never what was asked.
    async fn cut(&self, outlet: u16) -> Result<OutletReading, AgentError>;
    /// Has the outlet go on when the unit gets power back, then switches it on, and reads back.
    async fn feed(&self, outlet: u16) -> Result<OutletReading, AgentError>;
}
