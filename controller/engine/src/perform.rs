//! One match: each effect to the agent it is for, its outcome back as an event. The only place where commands leave the controller.

use crate::agents::{Agents, Stamp};
use crate::message::Message;
use pipeline::effect::Command;
use std::sync::Arc;
use tokio::sync::mpsc;
use vocabulary::Span;

/// Sends one command and brings its outcome back. Never repeats it.
pub async fn perform(agents: Arc<Agents>, queue: mpsc::Sender<Message>, life: u64, command: Command) {
    let deadline = command.deadline.as_duration();
    let action = command.action().clone();
    let stamp = Stamp { plan: command.plan, step: command.stage.name(), op: command.op };
    let begin = tokio::time::Instant::now();
    let outcome = if action.is_read() {
        agents.read_for_plan(&command.agent, &stamp, action, deadline).await
    } else {
        tracing::info!(plan = %command.plan, op = %command.op, agent = %command.agent, step = stamp.step, what = %pipeline::words::words(&action), "performing");
        agents.change(&command.agent, &stamp, action, deadline).await
    };
    let took = Span::ms(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
    if let Err(error) = &outcome {
        tracing::warn!(plan = %command.plan, op = %command.op, agent = %command.agent, %error, "not done");
    }
    // the core is gone only when the process ends
    let _ = queue.send(Message::Answer { life, op: command.op, outcome, took }).await;
}
