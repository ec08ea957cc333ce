//! The identify light over IPMI: switched on the session on which the machine was identified, and read back where the BMC tells it.
//! Must never light another machine's light.

use vocabulary::light::{Light, LightReading};

use super::fault::Fault;
use super::trouble::Verdict;
use super::{Ipmi, Trouble, commands};
use crate::fault::Kind;
use crate::limits;

impl Ipmi {
    /// Switches it; the reading afterwards.
    pub(super) async fn switch_light(&self, light: Light) -> Result<LightReading, Trouble> {
        const WHAT: &str = "the identify light";
        self.may_command()?;
        let seen = self.see().await?;
        let request = match light {
            Light::Off => commands::identify(0),
            Light::Steady => commands::identify_steady(),
            Light::Seconds(seconds) => commands::identify(seconds.get()),
        };
        match self.send(WHAT, request, seen.session).await? {
            // a BMC of IPMI 1.5, whose light goes out by itself
            Verdict::Denied(why) if light == Light::Steady && why.kind == Kind::Answer => {
                self.send(WHAT, commands::identify(u8::MAX), seen.session).await?.taken(WHAT)?;
            }
            verdict => verdict.taken(WHAT)?,
        }
        let mut pause = limits::READ_BACK_PAUSE;
        let mut reads = LightReading::Unknown;
        for attempt in 1..=limits::READ_BACK_ATTEMPTS {
            reads = self.light(seen.session).await?;
            if reads.fits(light) || reads == LightReading::Unknown {
                return Ok(reads);
            }
            if attempt < limits::READ_BACK_ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
        }
        Err(Trouble::Unconfirmed(Kind::Answer, format!("{WHAT} was accepted, but it still reads {reads:?}")))
    }

    async fn light(&self, on: u64) -> Result<LightReading, Trouble> {
        let told = self.need("the chassis status", commands::chassis_status(), Some(on)).await?;
        let chassis = commands::read_chassis(&told.reply.data).ok_or(Fault::Nonsense("no chassis status"))?;
        Ok(chassis.light)
    }
}
