//! A survey: all that a BMC tells beyond its readings, asked part by part when somebody wants to know it.
//! Must never be part of a poll, and never change anything.

use super::fault::Fault;
use super::{Ipmi, Trouble, identity};
use crate::driver::{Fact, Scope, Survey};

impl Ipmi {
    /// Everything of the scope, on one session. A part that the BMC lacks is told with the reason.
    pub(super) async fn survey_all(&self, _scope: Scope) -> Result<Survey, Trouble> {
        let seen = self.see().await?;
        let on = seen.session;
        let mut survey = Survey { at: Some(seen.read_at), ..Survey::default() };
        survey.add("inventory", self.inventory_facts(on).await)?;
        survey.add("sensors", self.sensor_facts(on).await)?;
        survey.add("power drawn", self.power_facts(on).await)?;
        Ok(survey)
    }

    /// The serial number for people, who may also see one that is no mark of a machine.
    pub(super) async fn serial_if_told(&self, on: u64) -> Result<String, Trouble> {
        match self.serial(on).await {
            Ok(serial) => Ok(identity::serial(&serial)),
            Err(trouble) if is_only_this(&trouble) => Ok(String::new()),
            Err(trouble) => Err(trouble),
        }
    }
}

/// True if the trouble is with one part, and the session lives.
fn is_only_this(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Answer(_) | Trouble::Rights(_) | Trouble::Fault(Fault::Nonsense(_)))
}

impl Survey {
    /// Takes what a part tells; a part that fails by itself is told as such.
    fn add(&mut self, part: &'static str, told: Result<Vec<Fact>, Trouble>) -> Result<(), Trouble> {
        match told {
            Ok(facts) => self.facts.extend(facts),
            Err(trouble) if is_only_this(&trouble) => self.facts.push(Fact::new(part, format!("not told: {trouble}"))),
            Err(trouble) => return Err(trouble),
        }
        Ok(())
    }
}
