//! `understudy tier mode`: how far a tier may act. What acts is the more cautious of this ceiling and the documents' mode.

use crate::cli::Tier;
use crate::exit::Failure;
use crate::session::Session;
use crate::{confirm, out, report};
use api::request::SetMode;
use api::view::AcceptedView;
use vocabulary::estate::Mode;

/// Runs a verb.
pub async fn run(session: &Session, verb: Tier) -> Result<(), Failure> {
    let Tier::Mode { tier, mode, yes } = verb;
    let mode = Mode::from(mode);
    if mode != Mode::Observe {
        // a tier leaves `observe` only with what it would have done before one's eyes
        let observed = report::observed(session, report::SINCE, Some(&tier)).await?.view;
        if !observed.observed.is_empty() {
            out::talk(&report::text(&observed, session.look));
        }
    }
    if mode == Mode::Auto {
        confirm::typed(
            tier.as_str(),
            &format!("Servers of tier {tier} will be cut off and moved without anybody being asked."),
            yes,
        )?;
    }
    let seen = session.order::<AcceptedView>(&format!("/v1/tiers/{tier}/mode"), &SetMode { mode }).await?;
    let word = mode.word();
    session
        .show(&seen, |_| format!("the ceiling of tier {tier} is {word} now; the documents' mode can only make it more cautious"))
}
