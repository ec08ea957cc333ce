//! `understudy machine release`: lifts a quarantine. Dangerous if the machine is not mended: a person types its name.

use crate::cli::Wait;
use crate::exit::Failure;
use crate::session::Session;
use crate::{confirm, wait};
use api::view::MachineView;
use serde_json::Value;
use vocabulary::MachineId;

/// Releases it.
pub async fn release(session: &Session, machine: &MachineId, yes: bool, wait: Wait) -> Result<(), Failure> {
    if !yes {
        let seen = session.view::<MachineView>(&format!("/v1/machines/{machine}")).await?;
        let bore = seen.view.server.map_or_else(String::new, |server| format!(", which bore {server},"));
        let consequence = format!(
            "{machine}{bore} becomes a spare again: it is proven off, its ports are parked, and it may be given to any server of its pool.\n\
             Do it only if you know why it failed and that it is mended."
        );
        confirm::typed(machine.as_str(), &consequence, false)?;
    }
    let idle = format!("nothing had to be done for {machine}");
    wait::order(session, &format!("/v1/machines/{machine}/release"), &Value::Null, wait, &idle).await
}
