//! A command of another plan that has drawn the epoch of the one that an agent obeys: what a controller on a copy of the store would send. It
//! must never bear what only the present controller can know.

use contract::agent::Client;
use std::sync::Arc;
use std::time::Duration;
use vocabulary::request::{Action, Answer, Request, Token};
use vocabulary::{Epoch, OpId, PlanId};

/// From where on it numbers its commands.
const OPS: u64 = 1_000_000;
/// How long its commands are good for, ms.
const EXPIRES: u64 = 10_000;
/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Wants of an agent what it did last, in the name of a plan that has drawn the same epoch.
pub(super) async fn ask(client: Arc<dyn Client>, Request { token, action }: Request) {
    let hello = tokio::time::timeout(PATIENCE, client.call(Request { token: None, action: Action::Hello })).await;
    let (Ok(Ok(Answer::Hello(hello))), Some(token)) = (hello, token) else { return };
    let token = Token {
        plan: PlanId(Epoch(token.plan.0.0 + 1)),
        op: OpId { number: token.op.number + OPS, ..token.op },
        agent_boot: hello.boot,
        expires_tick: hello.tick.saturating_add(EXPIRES),
        ..token
    };
    // whoever asks does not care
    let _ = client.call(Request { token: Some(token), action }).await;
}
