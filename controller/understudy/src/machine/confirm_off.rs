//! `understudy machine confirm-off`: a person's word that stands for a proof by power. Dangerous if it is said of the wrong box, so that its
//! serial number is typed. It must never be offered from what the controller knows.

use crate::cli::ConfirmOff;
use crate::exit::Failure;
use crate::out;
use crate::session::Session;
use api::request;
use api::view::{AcceptedView, MachineView};

/// Says it, and tells who else has to.
pub async fn confirm_off(session: &Session, said: ConfirmOff) -> Result<(), Failure> {
    let ConfirmOff { machine, serial, found, reason } = said;
    let body = request::ConfirmOff { serial, found: found.into(), reason };
    let accepted = session.order::<AcceptedView>(&format!("/v1/machines/{machine}/confirm-off"), &body).await?;
    session.show(&accepted, |_| format!("you have said that {machine} is {}", body.found))?;
    let now = session.view::<MachineView>(&format!("/v1/machines/{machine}")).await?.view;
    if let Some(said) = now.said.filter(|said| said.people.len() < said.needed) {
        let given: Vec<&str> = said.people.keys().map(String::as_str).collect();
        out::talk(&format!("{} of {} people have said so: {}", given.len(), said.needed, given.join(", ")));
    }
    Ok(())
}
