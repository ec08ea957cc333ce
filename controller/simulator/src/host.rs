//! Puts a simulated machine below a simulated BMC. Must never tell the BMC more than a board tells it: the boot override goes down, resets and
//! stages of the boot come up.

use async_trait::async_trait;
use std::sync::Arc;
use world::bmc::host::{Line, Started};
use world::bmc::{Boot, Host, Stage};
use world::machine::{BootDevice, Console, Machine, Stage as Reached};

/// A machine as its board.
#[derive(Clone, Debug)]
pub struct Board(pub Machine);

struct Wire(Line);

impl Console for Wire {
    fn reset(&self, cause: &'static str) {
        self.0.reset(cause);
    }

    fn reached(&self, stage: Reached) {
        self.0.reached(match stage {
            Reached::HardwareInitialized => Stage::HardwareInitialized,
            Reached::SystemStarted => Stage::SystemStarted,
            Reached::SystemRuns => Stage::SystemRuns,
        });
    }
}

/// What firmware makes of an override; one that it does not know it ignores.
fn device(boot: &Boot) -> Option<BootDevice> {
    match (boot.enabled.as_str(), boot.target.as_str()) {
        ("Disabled", _) => None,
        (_, "Pxe") => Some(BootDevice::Network),
        (_, "UefiHttp") => Some(BootDevice::Http),
        (_, "Hdd") => Some(BootDevice::Disk),
        _ => None,
    }
}

#[async_trait]
impl Host for Board {
    async fn start(&self, boot: &Boot, line: Line) -> Result<Started, String> {
        let life = self.0.start(device(boot), Arc::new(Wire(line))).map_err(|refused| refused.to_string())?;
        Ok(Started { pid: None, life })
    }

    fn kill(&self) -> Result<(), String> {
        self.0.kill().map_err(|refused| refused.to_string())
    }

    fn press(&self) {
        self.0.press();
    }

    async fn freeze(&self) -> Result<(), String> {
        self.0.freeze().map_err(|refused| refused.to_string())
    }

    fn thaw(&self) -> Result<(), String> {
        self.0.thaw().map_err(|refused| refused.to_string())
    }
}
