//! Puts a world's storage target under the storage agent's driver: its host is the world's. Must never answer by itself.

use ::storage::tgt::host::{CommandError, Ended, Host, Object};
use async_trait::async_trait;
use std::path::Path;
use vocabulary::WallTime;
use world::Wall;
use world::target::Target;

/// The host of a simulated target, with the clock of the agent on it.
#[derive(Clone, Debug)]
pub struct SimulatedHost {
    /// The target.
    pub target: Target,
    /// The agent's time of day.
    pub wall: Wall,
}

#[async_trait]
impl Host for SimulatedHost {
    async fn tgtadm(&self, arguments: &[&str], secret: Option<&str>) -> Result<Ended, CommandError> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(secret).collect();
        let ended = self.target.tgtadm(&arguments).await;
        Ok(Ended { code: ended.code, printed: ended.printed.into_bytes(), said: ended.said.into_bytes() })
    }

    fn object(&self, path: &Path) -> Option<Object> {
        self.target.object(&path.to_string_lossy()).map(Object)
    }

    fn now(&self) -> WallTime {
        crate::wall(&self.wall)
    }
}
