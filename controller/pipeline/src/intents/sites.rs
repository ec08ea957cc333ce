//! Persons agree that a site whose power was gone is started again, in the order that they were shown. Nothing is powered on by it before enough of
//! them have.

use crate::cold_start;
use crate::consent;
use crate::out::Out;
use crate::record::{Consent, Fact};
use crate::state::State;
use vocabulary::{Fault, SiteId};

/// A person agrees to the order that was shown, and to no other. When enough have, it begins.
pub fn start(
    state: &mut State,
    out: &mut Out,
    principal: &str,
    site: SiteId,
    (hash, reason): (String, String),
) -> Result<(), Fault> {
    may_begin(state, &site)?;
    let (order, left_out) = cold_start::propose(state, &site, out.now);
    if order.turns.is_empty() {
        return Err(nothing(&site, left_out.len()));
    }
    let now = order.hash();
    if now != hash {
        return Err(Fault::new(
            67,
            format!("the order for site {site} is no longer the one that was shown: its hash is {now} now"),
            format!("look at the new one, then agree to that: `understudy site start {site}`"),
        ));
    }
    let to = Consent::SiteStart { site, hash: now };
    out.record(&mut state.ledger, Fact::Consented { to: to.clone(), principal: principal.to_owned(), reason });
    consent::notice(state, out.now, out.wall);
    let principals = consent::to(state, &to, out.now);
    if principals.len() >= consent::needed(state) {
        out.record(&mut state.ledger, Fact::ColdStart { order: Box::new(order), principals });
    }
    Ok(())
}

/// Whether the documents name the site.
pub fn known(state: &State, site: &SiteId) -> Result<(), Fault> {
    if state.estate.sites.contains_key(site) {
        return Ok(());
    }
    Err(Fault::new(77, format!("there is no site `{site}` in the estate"), "`understudy site list` shows those there are"))
}

/// Whether a start of this site could begin at all.
fn may_begin(state: &State, site: &SiteId) -> Result<(), Fault> {
    known(state, site)?;
    match state.ledger.cold_starts.get(site).filter(|start| start.ended.is_none()) {
        None => Ok(()),
        Some(start) => Err(Fault::new(
            215,
            format!("the start of site {site} is under way: {} servers wait for their turn", start.waiting().count()),
            format!("`understudy site start {site} --dry-run` shows how far it is; `understudy hold --reason TEXT` ends it"),
        )),
    }
}

/// The fault of a site on which nothing is to be started.
fn nothing(site: &SiteId, left_out: usize) -> Fault {
    Fault::new(
        215,
        format!("nothing is to be started on site {site}: {left_out} servers that are meant to run there are left out"),
        format!("`understudy site start {site} --dry-run` tells why for each"),
    )
}
