//! What happens to the storage target of a world. It mirrors the lab's [`crate::storage`].

use std::time::Duration;

use simulator::plant::object;
use vocabulary::ServerId;
use world::target::{Keeps, Target};

use crate::script::{AtTarget, Shown};
use crate::storage::{AGAIN, SHOW, Seen, second_export, served, volume};
use crate::trouble::{Done, Trouble};
use crate::world::run::Run;
use crate::world::wait::until;

/// Does it.
pub fn befall(run: &Run, what: &AtTarget) -> Done {
    let target = &run.rig.site.target;
    match what {
        AtTarget::KeepsSessions(keeps) => target.keep(Keeps { sessions: *keeps, ..target.keeps() }),
        AtTarget::KeepsExports(keeps) => target.keep(Keeps { units: *keeps, ..target.keeps() }),
        AtTarget::Stalls(time) => target.stall(*time),
        AtTarget::ExportsAgain(server) => return export_again(target, server),
    }
    Ok(())
}

/// Under another name of the same object.
fn export_again(target: &Target, server: &ServerId) -> Done {
    let (file, again) = (object(&volume(server)), object(&format!("{}{AGAIN}", volume(server))));
    target.add_alias(&again, &file);
    let by_hand = |arguments: &[&str]| {
        let ended = target.by_hand(arguments);
        let told = || Trouble::Command { command: format!("tgtadm {}", arguments.join(" ")), told: ended.said.clone() };
        (ended.code == Some(0)).then_some(ended.printed.clone()).ok_or_else(told)
    };
    let admitted = Seen::of(&by_hand(SHOW)?, &file).map_err(Trouble::Wrong)?.admitted;
    for words in second_export(server, &again, &admitted) {
        by_hand(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Asked of the target itself, by its own tool.
pub async fn shows(run: &Run, server: &ServerId, wanted: Shown, within: Duration) -> Done {
    let file = object(&volume(server));
    until(&crate::storage::sentence(server, wanted), within, async || {
        let mut seen = match Seen::of(&asked(run, SHOW).await?, &file) {
            Ok(seen) => seen,
            Err(why) => return Ok(Err(why)),
        };
        for tid in seen.numbers().to_vec() {
            match asked(run, &served(&tid)).await {
                Ok(rows) => seen.served(&rows),
                Err(gone) => return Ok(Err(gone.to_string())),
            }
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
