//! The ladder into its view. It reads, it never concludes.

use crate::view::{LadderView, RungView, ShareView};
use pipeline::ladder::{Ladder, Needs, Prediction, Rung, Share, Source};

/// As it is shown.
pub fn view(ladder: &Ladder) -> LadderView {
    LadderView {
        target_ms: ladder.target.map(|span| span.0),
        lasted_ms: ladder.lasted.map(|span| span.0),
        rungs: ladder.rungs.iter().map(rung).collect(),
    }
}

fn rung(rung: &Rung) -> RungView {
    RungView {
        way: rung.way.name().to_owned(),
        machine: rung.on.as_ref().map(ToString::to_string),
        stands: rung.stands.name().to_owned(),
        why: rung.why.clone(),
        needs_person: rung.needs.map(|needs| needs == Needs::Person),
        predicted_ms: rung.predicted.as_ref().map(|predicted| predicted.total().0),
        shares: rung.predicted.iter().flat_map(shares).collect(),
        text: rung.to_string(),
    }
}

fn shares(predicted: &Prediction) -> impl Iterator<Item = ShareView> {
    predicted.shares.iter().map(|Share { part, lasts, source }| {
        let (by, times) = match source {
            Source::Recorded { times } => ("recorded", *times),
            Source::Setting => ("setting", 0),
            Source::Assumed => ("assumed", 0),
        };
        ShareView { part: part.name().to_owned(), ms: lasts.0, by: by.to_owned(), times }
    })
}
