//! `understudy machine identify`: the light by which a person finds a machine in its rack.
//! Must never say that a light is on that the BMC does not tell to be on.

use crate::exit::Failure;
use crate::session::Session;
use api::bmc::LightView;
use api::request::Identify;
use std::num::NonZeroU8;
use vocabulary::MachineId;
use vocabulary::light::{Light, LightReading};

/// Switches it.
pub async fn identify(session: &Session, machine: &MachineId, off: bool, seconds: Option<NonZeroU8>) -> Result<(), Failure> {
    let light = match (off, seconds) {
        (true, _) => Light::Off,
        (false, Some(seconds)) => Light::Seconds(seconds),
        (false, None) => Light::Steady,
    };
    let seen = session.order::<LightView>(&format!("/v1/machines/{machine}/identify"), &Identify { light }).await?;
    session.show(&seen, text)
}

fn text(view: &LightView) -> String {
    let reads = match view.light {
        LightReading::Off => "is off",
        LightReading::Steady => "is on until it is switched off",
        LightReading::ForAWhile => "is on, and goes out by itself",
        LightReading::Unknown => "was switched; its BMC does not tell how it is now",
    };
    format!("the identify light of {} {reads}", view.machine)
}
