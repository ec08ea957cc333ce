//! The laws of `Outlets`: readings are fresh, a cut outlet is cut in every respect, a fed one bears its load, and no other outlet notices.
//! It takes the power of the one outlet that the fixture names, again and again, and must never ask for anything of its neighbours but a
//! reading.

use super::{Verdict, bounded, ensure, must, must_reject};
use crate::outlet::Outlets;
use async_trait::async_trait;
use std::time::Duration;
use vocabulary::OutletId;
use vocabulary::outlet::{OnReturn, OutletReading, Relay};

/// A meter is slower than a relay, by seconds.
const METER_LAG_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A unit with an outlet that may be switched freely.
#[async_trait]
pub trait OutletFixture: Send + Sync {
    /// The driver.
    fn outlets(&self) -> &dyn Outlets;
    /// An outlet that nothing needs. What hangs there takes power, more than 0 W, whenever it is on.
    fn outlet(&self) -> OutletId;
    /// Other outlets of the same unit. They are read, and never switched.
    fn neighbours(&self) -> Vec<u16>;
    /// A number that the unit does not have.
    fn no_such_outlet(&self) -> u16;
    /// Switches the outlet past the driver, as a finger on its button would. `None` if that cannot be staged here.
    async fn press(&self, on: bool) -> Option<Result<(), String>>;
}

/// Runs the suite.
pub async fn outlet(fixture: &dyn OutletFixture) -> Verdict {
    let before = neighbours(fixture).await?;
    fed(fixture).await?;
    cut(fixture).await?;
    // a cut outlet may be cut again, as often as somebody likes
    cut(fixture).await?;
    undisturbed(fixture, &before).await?;
    unknown(fixture).await?;
    fed(fixture).await?;
    undisturbed(fixture, &before).await?;
    unknown(fixture).await?;
    cut(fixture).await?;
    foreign(fixture).await?;
    undisturbed(fixture, &before).await?;
    cut(fixture).await
}

async fn look(fixture: &dyn OutletFixture) -> Result<OutletReading, String> {
    let wanted = fixture.outlet();
    let reading = must("an outlet can be read", fixture.outlets().read(wanted.outlet)).await?;
    ensure(reading.outlet == wanted, "a reading names its outlet", &reading)?;
    Ok(reading)
}

fn fed_in_every_respect(reading: &OutletReading) -> bool {
    // whether it goes on by itself or is as before when its unit returns: it will have power
    reading.relay == Relay::On && matches!(reading.on_return, OnReturn::TurnsOn | OnReturn::AsBefore)
}

async fn fed(fixture: &dyn OutletFixture) -> Verdict {
    let wanted = fixture.outlet();
    let answered = must("an outlet can be fed", fixture.outlets().feed(wanted.outlet)).await?;
    ensure(answered.outlet == wanted, "`feed` answers with a reading of its outlet", &answered)?;
    ensure(fed_in_every_respect(&answered), "`feed` leaves the outlet on, and not to stay off when its unit returns", &answered)?;
    let read = look(fixture).await?;
    ensure(fed_in_every_respect(&read), "after `feed` a reading shows the outlet on, and not to stay off", &read)?;
    let begun = tokio::time::Instant::now();
    loop {
        let read = look(fixture).await?;
        if read.watts.is_some_and(|watts| watts > 0) {
            return Ok(());
        }
        if begun.elapsed() >= METER_LAG_MAX {
            return ensure(false, "a fed outlet's load shows in its watts", read);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn cut(fixture: &dyn OutletFixture) -> Verdict {
    let wanted = fixture.outlet();
    let answered = must("an outlet can be cut, also one that is cut", fixture.outlets().cut(wanted.outlet)).await?;
    ensure(answered.outlet == wanted, "`cut` answers with a reading of its outlet", &answered)?;
    ensure(answered.is_cut(), "`cut` answers only when off, zero watts and staying off were read back", &answered)?;
    let read = look(fixture).await?;
    ensure(read.is_cut(), "after `cut` a reading shows the outlet off, at zero watts, and to stay off", &read)
}

/// What somebody sees who is not to notice anything. Their loads are their own affair.
async fn neighbours(fixture: &dyn OutletFixture) -> Result<Vec<(u16, Relay, OnReturn)>, String> {
    let mut seen = Vec::new();
    for number in fixture.neighbours() {
        let reading = must("a neighbour can be read", fixture.outlets().read(number)).await?;
        ensure(reading.outlet.outlet == number, "a reading names its outlet", &reading)?;
        seen.push((number, reading.relay, reading.on_return));
    }
    Ok(seen)
}

async fn undisturbed(fixture: &dyn OutletFixture, before: &[(u16, Relay, OnReturn)]) -> Verdict {
    let after = neighbours(fixture).await?;
    ensure(after == before, "switching one outlet leaves its neighbours alone", (before, after))
}

async fn unknown(fixture: &dyn OutletFixture) -> Verdict {
    let (driver, nowhere) = (fixture.outlets(), fixture.no_such_outlet());
    let (before, around) = (look(fixture).await?, neighbours(fixture).await?);
    must_reject("reading an outlet that is not there is rejected", bounded("`read` ends", driver.read(nowhere)).await?)?;
    must_reject("cutting an outlet that is not there is rejected", bounded("`cut` ends", driver.cut(nowhere)).await?)?;
    must_reject("feeding an outlet that is not there is rejected", bounded("`feed` ends", driver.feed(nowhere)).await?)?;
    let after = look(fixture).await?;
    let same = (before.relay, before.on_return) == (after.relay, after.on_return);
    ensure(same, "what is rejected switches nothing", (&before, &after))?;
    ensure(around == neighbours(fixture).await?, "what is rejected switches nothing", around)
}

/// The outlet is cut, and stays so for whoever reads from memory.
async fn foreign(fixture: &dyn OutletFixture) -> Verdict {
    for on in [true, false, true] {
        let Some(pressed) = fixture.press(on).await else { return Ok(()) };
        pressed.map_err(|error| format!("the fixture cannot press the button: {error}"))?;
        let read = look(fixture).await?;
        let as_pressed = read.relay == if on { Relay::On } else { Relay::Off };
        ensure(as_pressed, "a reading is fresh: what a foreign hand did is in it", read)?;
    }
    Ok(())
}
