//! What happens to the storage target of a world. It mirrors the lab's [`crate::storage`].

use std::time::Duration;

use simulator::plant::object;
use vocabulary::ServerId;
use world::target::Keeps;

use crate::script::{AtTarget, Shown};
use crate::storage::{SHOW, Seen, served, volume};
use crate::trouble::{Done, Trouble};
use crate::world::run::Run;
use crate::world::wait::until;

/// Does it.
pub fn befall(run: &Run, what: &AtTarget) -> Done {
    let target = &run.rig.site.target;
    match what {
        AtTarget::KeepsSessions(keeps) => target.keep(Keeps { sessions: *keeps, ..target.keeps() }),
        AtTarget::Stalls(time) => target.stall(*time),
    }
    Ok(())
}

/// Asked of the target itself, by its own tool.
pub async fn shows(run: &Run, server: &ServerId, wanted: Shown, within: Duration) -> Done {
    let file = object(&volume(server));
    until(&crate::storage::sentence(server, wanted), within, async || {
        let mut seen = Seen::of(&asked(run, SHOW).await?, &file)?;
        for tid in seen.numbers().to_vec() {
            seen.served(&asked(run, &served(&tid)).await?);
        }
        Ok(seen.compare(wanted))
    })
    .await
}

async fn asked(run: &Run, arguments: &[&str]) -> Done<String> {
    let ended = run.rig.site.target.tgtadm(arguments).await;
    if ended.code == Some(0) {
        return Ok(ended.printed);
    }
    Err(Trouble::Command { command: format!("tgtadm {}", arguments.join(" ")), told: ended.said })
}
