//! Commands of others: of another plan that has drawn the epoch of the one that an agent obeys, as a controller on a copy of the store would send
//! it; of another estate. They must never bear what only the present controller can know.

use contract::agent::Client;
use std::sync::Arc;
use std::time::Duration;
use vocabulary::request::{Action, AgentError, Answer, Request, Token};
use vocabulary::{Epoch, EstateUuid, Lineage, OpId, PlanId};

/// From where on it numbers its commands.
const OPS: u64 = 1_000_000;
/// By how much more epochs another estate has drawn.
const EPOCHS: u64 = 1_000;
/// How long its commands are good for, ms.
const EXPIRES: u64 = 10_000;
/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// In whose name somebody asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// Another plan's, which has drawn the same epoch.
    Plan,
    /// Another estate's.
    Estate,
}

/// Wants of an agent what it did last; `None` if it does not even say hello.
pub async fn ask(client: Arc<dyn Client>, Request { token, action }: Request, name: Name) -> Option<Result<Answer, AgentError>> {
    let hello = tokio::time::timeout(PATIENCE, client.call(Request { token: None, action: Action::Hello })).await;
    let (Ok(Ok(Answer::Hello(hello))), Some(token)) = (hello, token) else { return None };
    let (agent_boot, expires_tick) = (hello.boot, hello.tick.saturating_add(EXPIRES));
    let token = match name {
        Name::Plan => Token {
            plan: PlanId(Epoch(token.plan.0.0 + 1)),
            op: OpId { number: token.op.number + OPS, ..token.op },
            agent_boot,
            expires_tick,
            ..token
        },
        Name::Estate => {
            let epoch = Epoch(token.epoch.0 + EPOCHS);
            let (estate, lineage) = (EstateUuid("another estate".into()), Lineage("another lineage".into()));
            let op = OpId { number: token.op.number + OPS, epoch };
            Token { estate, lineage, plan: PlanId(epoch), epoch, op, agent_boot, expires_tick, ..token }
        }
    };
    Some(client.call(Request { token: Some(token), action }).await)
}
