//! A power distribution unit behind the gate: owns its outlets, does what commands say, and keeps barred outlets cut. Must never touch an
//! outlet that is not barred but by a command, and never let two changes of one outlet run at once.

use crate::kept::Outlet;
use crate::limits::{LOOKS_AT_ONCE, WATCH_PERIOD};
use async_trait::async_trait;
use contract::outlet::Outlets;
use contract::{Action, AgentError, Answer, Device, Standing};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vocabulary::outlet::OutletReading;
use vocabulary::request::Resource;
use vocabulary::{OutletId, PduId};

/// The device of one unit.
pub struct OutletDevice {
    pdu: PduId,
    driver: Arc<dyn Outlets>,
    outlets: BTreeMap<u16, Outlet>,
    at_once: usize,
}

impl OutletDevice {
    /// The device of these outlets of this unit. It knows of no bar before `restore`.
    pub fn new(pdu: PduId, outlets: &BTreeSet<u16>, driver: Arc<dyn Outlets>) -> OutletDevice {
        let outlets = outlets.iter().map(|number| (*number, Outlet::default())).collect();
        OutletDevice { pdu, driver, outlets, at_once: LOOKS_AT_ONCE }
    }

    /// The same, of which so many outlets are looked at at once.
    pub fn looking(self, at_once: usize) -> OutletDevice {
        OutletDevice { at_once, ..self }
    }

    fn outlet(&self, id: &OutletId) -> Result<&Outlet, AgentError> {
        let own = if id.pdu == self.pdu { self.outlets.get(&id.outlet) } else { None };
        own.ok_or_else(|| AgentError::Rejected {
            reason: format!(
                "the unit `{}` has no outlet {id} that this agent owns: add it to the agent's configuration",
                self.pdu
            ),
        })
    }

    /// A driver's reading of another outlet than was asked for is no answer to anything.
    fn of(&self, id: &OutletId, reading: OutletReading) -> Result<OutletReading, AgentError> {
        if reading.outlet == *id {
            Ok(reading)
        } else {
            Err(AgentError::Unconfirmed { reason: format!("asked for {id}, read {}", reading.outlet) })
        }
    }

    async fn cut(&self, id: &OutletId) -> Result<OutletReading, AgentError> {
        let outlet = self.outlet(id)?;
        let _turn = outlet.turn.lock().await;
        // the gate holds a bar from its intent on
        outlet.bar(true);
        self.of(id, self.driver.cut(id.outlet).await?)
    }

    async fn feed(&self, id: &OutletId) -> Result<OutletReading, AgentError> {
        let outlet = self.outlet(id)?;
        let _turn = outlet.turn.lock().await;
        // the gate lets this pass only where its bar was lifted
        outlet.bar(false);
        self.of(id, self.driver.feed(id.outlet).await?)
    }

    /// Looks at one outlet, if it is barred, and cuts it again if something speaks against its being cut.
    async fn mend(&self, number: u16, outlet: &Outlet) -> Result<(), AgentError> {
        if !outlet.is_barred() {
            return Ok(());
        }
        let _turn = outlet.turn.lock().await;
        // a command may have been at it meanwhile
        if !outlet.is_barred() {
            return Ok(());
        }
        let seen = self.driver.read(number).await?;
        if !outlet.due(&seen) {
            return Ok(());
        }
        tracing::warn!(pdu = %self.pdu, outlet = number, ?seen, "a barred outlet is not cut: it is cut again");
        let cut = self.driver.cut(number).await?;
        match cut.not_cut() {
            Some(why) => Err(AgentError::Unconfirmed { reason: why }),
            None => Ok(()),
        }
    }

    async fn look_at(&self, number: u16, outlet: &Outlet, silent: &AtomicBool) -> Option<(u16, Result<(), AgentError>)> {
        if silent.load(Ordering::Relaxed) {
            return None;
        }
        let done = self.mend(number, outlet).await;
        if matches!(done, Err(AgentError::Unreachable { .. })) {
            silent.store(true, Ordering::Relaxed);
        }
        Some((number, done))
    }

    /// One look at every barred outlet, at some of them at once: one that does not obey must not keep the others waiting. The first failure;
    /// a unit that does not answer is asked no further.
    async fn look(&self, told: &mut BTreeMap<u16, String>) -> Result<(), AgentError> {
        let silent = AtomicBool::new(false);
        let looks: Vec<_> = self.outlets.iter().map(|(number, outlet)| self.look_at(*number, outlet, &silent)).collect();
        let looked: Vec<_> = futures::stream::iter(looks).buffer_unordered(self.at_once).collect().await;
        let mut first = Ok(());
        for (number, done) in looked.into_iter().flatten() {
            let Err(error) = done else {
                told.remove(&number);
                continue;
            };
            let text = error.to_string();
            if told.get(&number) != Some(&text) {
                tracing::warn!(pdu = %self.pdu, outlet = number, error = text, "a barred outlet cannot be kept; it is tried again");
                told.insert(number, text);
            }
            if first.is_ok() {
                first = Err(error);
            }
        }
        first
    }

    /// Keeps bars, for ever.
    pub async fn keep(&self) {
        let mut clock = tokio::time::interval(WATCH_PERIOD);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = BTreeMap::new();
        loop {
            clock.tick().await;
            // told already, and the next look is not far
            let _ = self.look(&mut told).await;
        }
    }
}

#[async_trait]
impl Device for OutletDevice {
    fn owns(&self, resource: &Resource) -> bool {
        matches!(resource, Resource::Outlet(id) if self.outlet(id).is_ok())
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        let reading = match action {
            Action::ReadOutlet { outlet: id } => {
                self.outlet(id)?;
                self.of(id, self.driver.read(id.outlet).await?)?
            }
            Action::CutOutlet { outlet } => self.cut(outlet).await?,
            Action::FeedOutlet { outlet } => self.feed(outlet).await?,
            _ => return Err(AgentError::Rejected { reason: format!("the unit `{}` cannot do this kind of action", self.pdu) }),
        };
        Ok(Answer::Outlet(reading))
    }

    /// Takes the bars in, and cuts what is barred and not cut. What fails is tried again by `keep`.
    async fn restore(&self, standing: &[Standing]) -> Result<(), AgentError> {
        let barred = |one: &Standing| match &one.entry.resource {
            Resource::Outlet(id) if id.pdu == self.pdu && one.entry.barred.is_some() => Some(id.outlet),
            _ => None,
        };
        let barred: BTreeSet<u16> = standing.iter().filter_map(barred).collect();
        for (number, outlet) in &self.outlets {
            outlet.bar(barred.contains(number));
        }
        self.look(&mut BTreeMap::new()).await
    }
}
