//! `understudy machine discover`: searches ranges of addresses for BMCs, tells what it found, and writes drafts of machines' documents. It
//! speaks to the BMCs themselves and to no controller.
//! Must never change anything on a BMC, use a password that was not given, overwrite a file, nor print a password.

mod board;
mod draft;
mod known;
mod table;
mod view;
mod write;

use crate::cli::Discover;
use crate::exit::{Exit, Failure};
use crate::out;
use crate::render::count;
use crate::session::Session;
use bmc::discover::{Account, Found, Progress, Search, Targets, discover as search_for};
use known::Known;
use std::path::Path;
use tokio::sync::watch;
use view::DiscoverView;
use vocabulary::Fault;
use vocabulary::estate::SecretReference;

/// Searches, tells, and writes.
pub async fn discover(session: &Session, asked: Discover) -> Result<(), Failure> {
    let ranges: Vec<_> = asked.ranges.iter().map(|range| range.0).collect();
    let targets = Targets::of(&ranges).map_err(|unusable| {
        let remedy = "name ranges that hold your BMCs and little else; several searches do no harm";
        Failure::new(Exit::Usage, Fault::new(69, unusable.to_string(), remedy))
    })?;
    let reference = super::password(asked.password_file.as_deref(), asked.password_env.as_deref());
    let key = super::key(&asked.key);
    let account = account(&asked, &reference, key.as_ref())?;
    let known = Known::read(asked.estate.as_deref(), asked.write.as_deref())?;
    let search = Search {
        targets,
        rate: asked.rate,
        redfish_port: asked.redfish_port,
        ipmi_port: asked.ipmi_port,
        account,
        patience: bmc::Patience::default(),
    };
    let found = run(&search).await;
    let home = asked.estate.as_deref().or(asked.write.as_deref());
    let key = key.map(|key| draft::from_estate(&key, home));
    let credential = asked.user.map(|user| draft::Credential { user, password: draft::from_estate(&reference, home), key });
    let mut view = DiscoverView::of(&search, &found, &known, credential.as_ref())?;
    let written = asked.write.as_deref().map_or(Ok(()), |folder| write::write(&mut view, folder));
    if session.json() {
        out::json(&view)?;
    } else {
        out::line(&table::text(&view, session.look.width))?;
    }
    tell(&view, &known, asked.write.as_deref());
    written?;
    if view.stopped {
        let message = format!("the search was interrupted: {} of {} addresses were asked", view.asked, view.addresses);
        let fault = Fault::new(66, message, "what was found until then is told; search the rest again");
        return Err(Failure::new(Exit::Interrupted, fault));
    }
    Ok(())
}

fn account(asked: &Discover, password: &SecretReference, key: Option<&SecretReference>) -> Result<Option<Account>, Failure> {
    let Some(user) = asked.user.clone() else { return Ok(None) };
    let secret = |reference| catalogue::secrets::resolve(reference, Path::new("")).map_err(|fault| Failure::new(Exit::No, fault));
    let (password, key) = (secret(password)?, key.map(secret).transpose()?);
    Ok(Some(Account { user, password, key, privilege: asked.privilege.into() }))
}

/// Searches until the end, or until Ctrl-C.
async fn run(search: &Search) -> Found {
    let (stopper, stop) = watch::channel(false);
    let progress = watch::Sender::new(Progress::default());
    let mut changes = progress.subscribe();
    let board = board::Board::new();
    let mut searched = std::pin::pin!(search_for(search, &progress, &stop));
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut stopping = false;
    loop {
        tokio::select! {
            found = &mut searched => return found,
            Ok(()) = changes.changed() => board.draw(&changes.borrow_and_update()),
            // where the signal cannot be received, it ends the process as it always did
            Ok(()) = &mut interrupted, if !stopping => {
                stopping = true;
                stopper.send_replace(true);
            }
        }
    }
}

/// What belongs to no single BMC, and what to do next.
fn tell(view: &DiscoverView, known: &Known, folder: Option<&Path>) {
    out::talk(&table::summary(view));
    if let Some(unasked) = &view.unasked {
        let addresses = if unasked.addresses == 1 { "1 address".to_owned() } else { format!("{} addresses", unasked.addresses) };
        out::talk(&format!("{addresses} could not be asked: this host says `{}`", unasked.reason));
    }
    if known.holes {
        out::talk(
            "Some files of the estate cannot be read: machines that stand there are not known; `understudy estate check` tells more",
        );
    }
    for fault in table::remedies(view) {
        out::talk(&format!("{}: {}; more: understudy explain {}", fault.code, fault.remedy, fault.code));
    }
    let (drafts, files) = (view.drafts().count(), view.drafts().filter(|draft| draft.file.is_some()).count());
    match folder {
        Some(folder) if files > 0 => {
            let folder = folder.display();
            out::talk(&format!(
                "{} in {folder}; once it stands in the estate, `understudy estate check` names its gaps",
                count(files, "draft")
            ));
        }
        None if drafts > 0 => out::talk("--write DIR writes a draft of each new machine's document"),
        _ => {}
    }
}
