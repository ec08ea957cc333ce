//! The laws of a gate, asked of a whole agent from outside: in process or over the wire, whatever device stands behind it. Uses one
//! resource, only by taking away, and lifts its bar at the end.

use super::{Verdict, ensure};
use crate::agent::Client;
use crate::gate::is_busy;
use std::sync::Arc;
use std::time::Duration;
use vocabulary::request::{Action, AgentError, AgentHello, Answer, GateEntry, Request, Resource, Token};
use vocabulary::{AgentBootId, Epoch, EstateUuid, Lineage, OpId, PlanId, VlanId};

const VALID_TICKS: u64 = 60_000;
const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// A trusted agent with one resource that may be cut off.
pub struct GateFixture {
    /// The agent.
    pub client: Arc<dyn Client>,
    /// The resource that may be cut off and released.
    pub resource: Resource,
    /// A resource of the same kind that the agent does not own.
    pub foreign: Resource,
    /// Four epochs from here on belong to the suite.
    pub epoch: u64,
    /// The VLAN into which a port is cut off.
    pub quarantine: VlanId,
}

struct Suite<'a> {
    fixture: &'a GateFixture,
    hello: AgentHello,
    estate: EstateUuid,
    lineage: Lineage,
}

/// The action that cuts the resource off.
fn fence(resource: &Resource, quarantine: VlanId) -> Action {
    match resource.clone() {
        Resource::Machine(machine) => Action::PowerOff { machine },
        Resource::Port(port) => Action::BarPort { port, quarantine },
        Resource::Volume(volume) => Action::RevokeVolume { volume, keep: None },
        Resource::Permit(machine) => Action::RevokePermit { machine },
        Resource::Outlet(outlet) => Action::CutOutlet { outlet },
    }
}

async fn hello(client: &dyn Client) -> Result<AgentHello, String> {
    match client.call(Request { token: None, action: Action::Hello }).await {
        Ok(Answer::Hello(hello)) => Ok(hello),
        other => Err(format!("an agent answers Hello; seen: {other:?}")),
    }
}

impl Suite<'_> {
    fn token(&self, step: u64, number: u64) -> Token {
        let epoch = Epoch(self.fixture.epoch + step);
        Token {
            estate: self.estate.clone(),
            lineage: self.lineage.clone(),
            controller: vocabulary::ControllerLife::default(),
            plan: PlanId(epoch),
            step: "conformance".to_owned(),
            epoch,
            op: OpId { epoch, number },
            agent_boot: self.hello.boot.clone(),
            expires_tick: self.hello.tick.saturating_add(VALID_TICKS),
        }
    }

    async fn send(&self, token: Token, action: Action) -> Result<Answer, AgentError> {
        let mut tries = 0;
        loop {
            let request = Request { token: Some(token.clone()), action: action.clone() };
            let outcome = self.fixture.client.call(request).await;
            tries += 1;
            if tries >= BUSY_TRIES || !outcome.as_ref().is_err_and(is_busy) {
                return outcome;
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
    }

    async fn entry(&self) -> Result<GateEntry, String> {
        let hello = hello(&*self.fixture.client).await?;
        let entry = hello.entries.into_iter().find(|entry| entry.resource == self.fixture.resource);
        entry.ok_or_else(|| "a gate tells what it keeps; seen: no entry of the resource".to_owned())
    }

    fn fence(&self) -> Action {
        fence(&self.fixture.resource, self.fixture.quarantine)
    }

    async fn foreign_commands(&self) -> Verdict {
        let good = self.token(0, 1);
        let none = self.fixture.client.call(Request { token: None, action: self.fence() }).await;
        refused("a mutation without a token is refused", none)?;
        let other_estate = Token { estate: EstateUuid("conformance".to_owned()), ..good.clone() };
        refused("a foreign estate is refused", self.send(other_estate, self.fence()).await)?;
        let other_lineage = Token { lineage: Lineage("conformance".to_owned()), ..good.clone() };
        refused("a foreign lineage is refused", self.send(other_lineage, self.fence()).await)?;
        let other_life = Token { agent_boot: AgentBootId("conformance".to_owned()), ..good.clone() };
        refused("a command for another life of the agent is refused", self.send(other_life, self.fence()).await)?;
        if let Some(past) = self.hello.tick.checked_sub(1) {
            let expired = Token { expires_tick: past, ..good.clone() };
            refused("an expired command is refused", self.send(expired, self.fence()).await)?;
        }
        let foreign = fence(&self.fixture.foreign, self.fixture.quarantine);
        refused("a resource that it does not own is refused", self.send(good, foreign).await)
    }

    async fn epochs(&self) -> Verdict {
        let resources = vec![self.fixture.resource.clone()];
        let advance = Action::AdvanceEpoch { resources: resources.clone() };
        let advanced = self.send(self.token(1, 1), advance.clone()).await;
        let all = |answer: &Answer| matches!(answer, Answer::Advanced { clear, busy } if clear.len() + busy.len() == 1);
        ensure(advanced.as_ref().is_ok_and(all), "AdvanceEpoch answers for each resource", advanced)?;
        refused("a lower epoch is refused", self.send(self.token(0, 2), self.fence()).await)?;
        refused("a lower epoch cannot be advanced to", self.send(self.token(0, 3), advance).await)?;
        let other_plan = Token { plan: PlanId(Epoch(u64::MAX)), ..self.token(1, 2) };
        refused("an equal epoch of another plan is refused", self.send(other_plan, self.fence()).await)
    }

    async fn bars(&self) -> Verdict {
        let first = self.send(self.token(1, 4), self.fence()).await;
        ensure(first.is_ok(), "the resource can be cut off", &first)?;
        let again = self.send(self.token(1, 4), self.fence()).await;
        ensure(again == first, "a retry is answered with the recorded outcome", again)?;
        let entry = self.entry().await?;
        let kept = entry.epoch == self.token(1, 0).epoch && entry.plan == Some(self.token(1, 0).plan);
        ensure(kept, "the gate keeps the highest epoch and its plan", &entry)?;
        if matches!(self.fixture.resource, Resource::Volume(_)) {
            return ensure(entry.holder.is_none(), "a revoked volume has no holder", entry);
        }
        ensure(entry.barred == Some(entry.epoch), "what was cut off is barred", entry)?;
        let lift = Action::LiftBar { resources: vec![self.fixture.resource.clone()] };
        let other_plan = Token { plan: PlanId(Epoch(u64::MAX)), ..self.token(1, 5) };
        refused("a bar is not lifted by another plan of its epoch", self.send(other_plan, lift.clone()).await)?;
        let lifted = self.send(self.token(2, 1), lift).await;
        ensure(lifted == Ok(Answer::Done), "a bar is lifted at a higher epoch", lifted)?;
        let entry = self.entry().await?;
        ensure(entry.barred.is_none(), "a lifted bar is gone", entry)?;
        refused("after a release the older plan is refused", self.send(self.token(1, 6), self.fence()).await)
    }
}

fn refused(law: &str, outcome: Result<Answer, AgentError>) -> Verdict {
    ensure(outcome.as_ref().is_err_and(AgentError::is_refusal), law, outcome)
}

/// Runs the suite.
pub async fn gate(fixture: &GateFixture) -> Verdict {
    let hello = hello(&*fixture.client).await?;
    ensure(hello.trusted, "the suite needs a trusted agent", &hello)?;
    let (Some(estate), Some(lineage)) = (hello.estate.clone(), hello.lineage.clone()) else {
        return Err("a trusted agent knows its estate and lineage; seen: none".to_owned());
    };
    let suite = Suite { fixture, hello, estate, lineage };
    suite.foreign_commands().await?;
    suite.epochs().await?;
    suite.bars().await
}
