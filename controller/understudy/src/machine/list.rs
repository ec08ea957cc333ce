//! `understudy machine list`: every machine with its power, standing and place.

use crate::exit::Failure;
use crate::render::{Look, table};
use crate::session::Session;
use api::view::MachineView;

/// Lists them.
pub async fn list(session: &Session) -> Result<(), Failure> {
    let seen = session.view::<Vec<MachineView>>("/v1/machines").await?;
    session.show(&seen, |machines| text(machines, session.look))
}

fn text(machines: &[MachineView], look: Look) -> String {
    let row = |machine: &MachineView| {
        let bears = match (&machine.server, machine.state.as_str()) {
            (Some(server), "quarantine") => format!("bore {server}"),
            (Some(server), _) => server.clone(),
            (None, _) => machine.plan.clone().unwrap_or_default(),
        };
        let trouble = machine.trouble.clone().unwrap_or_default();
        vec![machine.name.clone(), machine.state.clone(), bears, machine.power.clone(), machine.place.clone(), trouble]
    };
    table(&["MACHINE", "STATE", "SERVER", "POWER", "PLACE", "TROUBLE"], machines.iter().map(row).collect(), look.width)
}
