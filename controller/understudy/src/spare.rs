//! `understudy spare list`: which machine could bear which server now, and why not the others.

use crate::cli::Spare;
use crate::exit::Failure;
use crate::render::{Look, table};
use crate::session::Session;
use api::view::SpareView;

/// Runs a verb.
pub async fn run(session: &Session, verb: Spare) -> Result<(), Failure> {
    let Spare::List = verb;
    let seen = session.view::<Vec<SpareView>>("/v1/spares").await?;
    session.show(&seen, |spares| text(spares, session.look))
}

fn text(spares: &[SpareView], look: Look) -> String {
    let row = |spare: &SpareView| {
        let fits = if spare.fits.is_empty() { "none".to_owned() } else { spare.fits.join(", ") };
        vec![spare.machine.clone(), spare.pools.join(", "), fits, lacks(spare)]
    };
    table(&["MACHINE", "POOLS", "COULD BEAR", "WHY NOT THE OTHERS"], spares.iter().map(row).collect(), look.width)
}

/// The same reason for every server is told once.
fn lacks(spare: &SpareView) -> String {
    let mut reasons: Vec<(Vec<&str>, String)> = Vec::new();
    for (server, lacks) in &spare.lacks {
        let text = lacks.join("; ");
        match reasons.iter_mut().find(|(_, known)| *known == text) {
            Some((servers, _)) => servers.push(server),
            None => reasons.push((vec![server], text)),
        }
    }
    let told = reasons.into_iter().map(|(servers, text)| format!("{}: {text}", servers.join(", ")));
    told.collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn one_reason_for_many_servers_is_told_once() {
        let off = vec!["it is not off but On".to_owned()];
        let lacks = BTreeMap::from([("web1".to_owned(), off.clone()), ("web2".to_owned(), off)]);
        let spare = SpareView { machine: "m3".into(), pools: vec!["spares".into()], fits: vec![], lacks };
        insta::assert_snapshot!(text(&[spare], Look::default()), @r"
        MACHINE  POOLS   COULD BEAR  WHY NOT THE OTHERS
        m3       spares  none        web1, web2: it is not off but On
        ");
    }
}
