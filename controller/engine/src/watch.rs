//! Who is looked at when: machines, health checks, volumes, boot contacts, canaries. Each in a task of its own, so that one that is slow
//! or dead delays no other; spread by jitter. It tells the core what was seen, and that something could not be seen; it concludes nothing.

use crate::agents::Agents;
use crate::clock::Chance;
use crate::eyes::{Eyes, Mouth, every, other, spread_out};
use crate::health;
use crate::limits;
use crate::pace::{Look, Pace};
use crate::polls::Polls;
use crate::signs;
use futures::future::BoxFuture;
use pipeline::effect::Agent;
use pipeline::event::Observation;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use vocabulary::estate::Estate;
use vocabulary::power::MachineReading;
use vocabulary::request::{Action, AgentError, Answer};
use vocabulary::{BootServiceId, MachineId, Span, VolumeId};

/// How it is found out whether a canary answers; it is given up on after [`limits::CANARY_DEADLINE`].
#[derive(Clone)]
pub struct Canary(pub Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, bool> + Send + Sync>);

impl Canary {
    /// By a connection, or its refusal.
    pub fn over_tcp() -> Canary {
        Canary(Arc::new(|address| {
            Box::pin(async move {
                let connected = tokio::net::TcpStream::connect(address).await;
                connected.map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionRefused, |_| true)
            })
        }))
    }
}

/// Starts every watcher of the estate on the current runtime.
pub fn start(
    estate: &Estate,
    agents: &Arc<Agents>,
    mouth: Mouth,
    polls: Arc<Polls>,
    chance: Chance,
    canary: Canary,
) -> Vec<tokio::task::JoinHandle<()>> {
    let eyes = Eyes { agents: agents.clone(), mouth, polls, begun: Instant::now(), chance: chance.clone() };
    let detection = &estate.settings.detection;
    let mut watchers = Vec::new();
    let at_once = Arc::new(Semaphore::new(limits::SIGNS_AT_ONCE));
    for machine in estate.machines.keys() {
        let (roll_up, rolled_up) = watch::channel(None);
        watchers.push(tokio::spawn(signs::follow(eyes.clone(), machine.clone(), rolled_up, at_once.clone())));
        watchers.push(tokio::spawn(follow_machine(eyes.clone(), machine.clone(), detection.power_every, roll_up)));
    }
    let volumes: BTreeSet<VolumeId> = estate.servers.values().flat_map(|server| server.volumes.iter().map(|v| v.id())).collect();
    for volume in volumes {
        let eyes = eyes.clone();
        watchers.push(every(detection.power_every, &chance, move || poll_volume(eyes.clone(), volume.clone())));
    }
    for (server, profile) in &estate.servers {
        for vantage in pipeline::watch::vantages(estate) {
            watchers.extend(health::follow(&eyes, server, &profile.checks, &vantage, detection.check_every));
        }
    }
    for service in estate.boot_services.keys().cloned() {
        watchers.push(tokio::spawn(follow_contacts(eyes.clone(), service)));
    }
    let greetings = agents.names().into_iter().map(|agent| tokio::spawn(greet(agents.clone(), agent)));
    watchers.extend(greetings);
    if !estate.settings.guard.canaries.is_empty() {
        let (eyes, canaries) = (eyes.clone(), estate.settings.guard.canaries.clone());
        let interval = Span::ms(limits::CANARY_EVERY.as_millis() as u64);
        let ask = move || ask_canaries(eyes.clone(), canary.clone(), canaries.clone());
        watchers.push(every(interval, &chance, ask));
    }
    watchers
}

/// The end of the slot in which this moment lies. All that have slots of one length have the same slots.
fn slot(begun: Instant, length: Duration, at: Instant) -> Instant {
    let length_ns = length.as_nanos().max(1);
    let over_ns = at.saturating_duration_since(begun).as_nanos() % length_ns;
    at + Duration::from_nanos(u64::try_from(length_ns - over_ns).unwrap_or_default())
}

/// The first time at once: what the agents know decides whether this store may draw epochs.
async fn greet(agents: Arc<Agents>, agent: Agent) {
    loop {
        agents.greet(&agent).await;
        tokio::time::sleep(limits::GREET_EVERY).await;
    }
}

/// One BMC, at its own pace, one look at a time; and at once when it says that something happened, which is a reason to look and no more.
async fn follow_machine(eyes: Eyes, machine: MachineId, interval: Span, roll_up: watch::Sender<Option<String>>) {
    let interval = Duration::from_millis(interval.0.max(1));
    let mut pace = Pace::new(interval);
    tokio::time::sleep(eyes.chance.up_to(interval)).await;
    let (mut due, mut answered_before) = (Instant::now(), false);
    let (mut may_wake, mut off_before) = (due, None);
    loop {
        let started = Instant::now();
        let reading = poll_machine(&eyes, machine.clone()).await;
        let ended = Instant::now();
        let look = if matches!(reading, Err(AgentError::Unreachable { .. })) { Look::Silent } else { Look::Answered };
        match look {
            Look::Answered => eyes.polls.answered(answered_before.then(|| ended - due)),
            Look::Silent => eyes.polls.silent(),
        }
        answered_before = look == Look::Answered;
        pace.looked(ended - started, look);
        if let Ok(reading) = &reading
            && off_before.replace(reading.all_off()).is_some_and(|before| before != reading.all_off())
        {
            pace.changed();
        }
        if let Ok(health) = reading.as_ref().map(|reading| reading.health.as_deref()) {
            let unwell = health.filter(|word| signs::is_unwell(word));
            roll_up.send_if_modified(|told| {
                let turned = told.as_deref() != unwell;
                *told = unwell.map(str::to_owned);
                turned
            });
        }
        eyes.tell(Observation::Machine { machine: machine.clone(), reading });
        // what its own BMC took too long for is not late
        due =
            slot(eyes.begun, interval / limits::SLOTS_PER_INTERVAL, (started + spread_out(&eyes.chance, pace.gap())).max(ended));
        if let Ok(()) = tokio::time::timeout_at(due, woken(&eyes, &machine, may_wake)).await {
            due = Instant::now();
            may_wake = due + pace.wake_gap();
        }
    }
}

/// Returns when the machine's BMC says that something happened, not before a moment.
async fn woken(eyes: &Eyes, machine: &MachineId, not_before: Instant) {
    let agent = eyes.agents.of_bmc(machine);
    if agent != Agent::Bmc(None) {
        // thousands of waits would fill the wire to an agent outside: its machines are looked at when they are due
        return std::future::pending().await;
    }
    tokio::time::sleep_until(not_before).await;
    loop {
        let action = Action::AwaitChange { machine: machine.clone() };
        match eyes.agents.read(&agent, action, limits::WAKE_DEADLINE).await {
            Ok(Answer::Done) => return,
            // nothing happened for long
            Err(AgentError::Unreachable { .. }) => tokio::time::sleep(limits::WAKE_GAP).await,
            // nobody who could tell: it is looked at when it is due
            Ok(_) | Err(_) => std::future::pending().await,
        }
    }
}

async fn poll_machine(eyes: &Eyes, machine: MachineId) -> Result<MachineReading, AgentError> {
    match eyes.agents.read(&eyes.agents.of_bmc(&machine), Action::WatchMachine { machine }, limits::POLL_DEADLINE).await? {
        Answer::Machine(reading) => Ok(reading),
        answer => other(&answer),
    }
}

async fn poll_volume(eyes: Eyes, volume: VolumeId) {
    let agent = Agent::Storage(volume.storage.clone());
    let reading = match eyes.agents.read(&agent, Action::ReadVolume { volume: volume.clone() }, limits::POLL_DEADLINE).await {
        Ok(Answer::Volume(reading)) => Ok(reading),
        Ok(answer) => other(&answer),
        Err(error) => Err(error),
    };
    eyes.tell(Observation::Volume { volume, reading });
}

async fn follow_contacts(eyes: Eyes, service: BootServiceId) {
    let agent = Agent::Boot(service.clone());
    let mut after = 0;
    loop {
        match eyes.agents.read(&agent, Action::ReadContacts { after }, limits::CONTACTS_DEADLINE).await {
            Ok(Answer::Contacts { contacts }) => {
                for contact in contacts {
                    let sequence = contact.sequence;
                    if !eyes.tell(Observation::Contact { service: service.clone(), contact }) {
                        // it does not come again by itself: it is asked for again
                        tokio::time::sleep(limits::CONTACTS_PAUSE).await;
                        break;
                    }
                    // a restarted boot service counts from the beginning
                    after = sequence;
                }
            }
            Ok(_) | Err(_) => {
                tokio::time::sleep(limits::CONTACTS_PAUSE).await;
            }
        }
    }
}

/// One canary that answers (even with a refusal, which needs a living host) is enough.
async fn ask_canaries(eyes: Eyes, canary: Canary, canaries: Vec<SocketAddr>) {
    let mut tries = tokio::task::JoinSet::new();
    for address in canaries {
        let answers = (canary.0)(address);
        tries.spawn(async move { tokio::time::timeout(limits::CANARY_DEADLINE, answers).await.unwrap_or(false) });
    }
    let mut alive = false;
    while let Some(answer) = tries.join_next().await {
        alive |= answer.unwrap_or(false);
    }
    eyes.tell(Observation::Canaries { alive });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_about_the_same_time_is_due_together_and_never_early() {
        let begun = Instant::now();
        let (length, ms) = (Duration::from_millis(50), |ms| begun + Duration::from_millis(ms));
        assert_eq!([101, 120, 149].map(|at| slot(begun, length, ms(at))), [ms(150); 3]);
        assert_eq!((slot(begun, length, ms(150)), slot(begun, length, begun)), (ms(200), ms(50)));
        assert!(slot(begun, Duration::ZERO, ms(7)) > ms(7), "no division by zero");
    }
}
