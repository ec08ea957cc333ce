//! What may be asked of one BMC.

use async_trait::async_trait;
use vocabulary::light::{Light, LightReading};
use vocabulary::power::{BootTarget, MachineReading};
use vocabulary::request::AgentError;

/// One machine's BMC. Every method first makes sure that the box behind the address has the expected serial and UUID (and certificate);
/// if not, it answers `Rejected` and has sent no command. No mutating request is ever replayed by itself after a lost reply:
/// the caller reads instead. The result is what was read back, never what was asked.
#[async_trait]
pub trait Bmc: Send + Sync {
    /// A fresh reading on the kept session.
    async fn read(&self) -> Result<MachineReading, AgentError>;
    /// A routine look for the detection, which thousands of machines get every few seconds: power and health are as fresh as those of
    /// [`Bmc::read`], but who answers may have been asked up to a minute before, on the same session. Nothing is proven and nothing
    /// is commanded by it.
    async fn watch(&self) -> Result<MachineReading, AgentError> {
        self.read().await
    }
    /// Returns when the BMC says that something happened, be it since the last call, and when it has just begun to tell, since what happened
    /// before that is not told: a reason to read, never a fact. While its telling is broken it does not return; `Rejected` at once where it
    /// tells nothing by itself. Who gives up waiting loses nothing and may ask again.
    async fn changed(&self) -> Result<(), AgentError> {
        Err(AgentError::Rejected { reason: "this BMC tells nothing by itself".to_owned() })
    }
    /// ForceOff (never graceful, never a cycle). Ok means accepted or already off; the reading may still say On.
    async fn power_off(&self) -> Result<MachineReading, AgentError>;
    /// On. Ok means accepted; a machine that is on already is left alone.
    async fn power_on(&self) -> Result<MachineReading, AgentError>;
    /// Asks the operating system to stop.
    async fn shut_down(&self) -> Result<MachineReading, AgentError>;
    /// Sets the next boot's device and reads it back; `Unconfirmed` if it reads otherwise.
    async fn set_boot_target(&self, target: BootTarget) -> Result<MachineReading, AgentError>;
    /// Switches the identify light and reads it back; `Unconfirmed` if it reads otherwise, `Unknown` if the BMC does not tell it.
    async fn identify(&self, light: Light) -> Result<LightReading, AgentError>;
    /// Sets restore policy AlwaysOff and reads the active value back; `Unconfirmed` if it is pending or ignored, `Rejected` if unsupported.
    async fn set_restore_policy_off(&self) -> Result<MachineReading, AgentError>;
}
