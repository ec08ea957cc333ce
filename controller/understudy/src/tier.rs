//! `understudy tier mode`: how far a tier may act. What acts is the more cautious of this ceiling and the documents' mode.

use crate::cli::Tier;
use crate::confirm;
use crate::exit::Failure;
use crate::session::Session;
use api::request::SetMode;
use api::view::AcceptedView;
use vocabulary::estate::Mode;

/// Runs a verb.
pub async fn run(session: &Session, verb: Tier) -> Result<(), Failure> {
    let Tier::Mode { tier, mode, yes } = verb;
    let mode = Mode::from(mode);
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
