//! Every time-out and limit of this crate, by name and with its unit. A number that bounds something stands here and nowhere else.

use std::time::Duration;
use vocabulary::request::Action;

/// How many commands of the newest epoch a gate remembers for one resource.
pub const OPS_PER_RESOURCE_MAX: usize = 16;
/// How many resources one request may name.
pub const RESOURCES_PER_REQUEST_MAX: usize = 4_096;
/// How many resources one gate keeps. An agent owns a bounded set of devices; more means that something invents names.
pub const RESOURCES_MAX: usize = 65_536;
/// Longest text of a token's field that the gate keeps or repeats.
pub const TOKEN_TEXT_BYTES_MAX: usize = 256;
/// Largest gate file that is read.
pub const GATE_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How long a command that an earlier life of the agent, or a driver that was given up on, left unfinished still counts as in flight: the
/// device may be working on it.
pub const INTERRUPTED_SETTLE_MS: u64 = 5_000;
/// How long a driver may work on one mutation before the gate gives up on it and calls the outcome unknown.
pub const PERFORM_MAX: Duration = Duration::from_secs(120);
/// How long a driver may work on one read.
pub const READ_MAX: Duration = Duration::from_secs(60);

/// So long an agent that has just started waits for a controller that knows its memory to be current, before it puts back by itself what
/// that says. A controller greets every agent every few seconds; one that is silent for so long is away, and servers must not wait for it.
pub const VOUCH_PATIENCE: Duration = Duration::from_secs(30);

/// So long a command waits for a driver that puts back what was set before a restart; after that it is told that the agent is busy.
pub const PUT_BACK_WAIT: Duration = Duration::from_secs(3);
/// How often it is looked whether that is done.
pub const PUT_BACK_PAUSE: Duration = Duration::from_millis(20);

/// Largest body of a request.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Largest body of an answer, and of a ledger given back by `readopt`: some 60,000 entries of a gate.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest header list of a request or an answer.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// How many requests one connection may have open.
pub const STREAMS_MAX: u32 = 256;
/// How many connections an agent serves at once.
pub const CONNECTIONS_MAX: usize = 64;
/// How long a TLS handshake may take at the agent.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// A peer whose connections fail is complained about so often, with the count of those in between.
pub const COMPLAINT_EVERY: Duration = Duration::from_secs(60);
/// How many peers an agent remembers having complained about; of more, the one of the longest ago is forgotten.
pub const COMPLAINTS_MAX: usize = 64;
/// How long a body may take to arrive at the agent.
pub const BODY_ARRIVAL: Duration = Duration::from_secs(10);
/// How long a controller waits for a connection: TCP, TLS and HTTP/2 together.
pub const CONNECT: Duration = Duration::from_secs(3);
/// How often an idle connection is probed.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long a probe may stay unanswered before the connection is given up.
pub const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(3);
/// How long an agent waits before it accepts again after `accept` failed (out of file descriptors).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a wait for boot contacts may last at the agent; the controller's deadline is longer.
pub const CONTACTS_WAIT: Duration = Duration::from_secs(10);

/// How long each half of the renewal of an agent's certificate may take.
pub const RENEWAL: Duration = Duration::from_secs(10);
/// How long an agent's certificate is valid, in days. Its controller renews it at half of that: a controller that was away for a year
/// still finds its agents.
pub const AGENT_CERTIFICATE_DAYS: u64 = 2 * 365;
/// How long a controller's certificate is valid, in days. Each start makes a new one, and its key is never written.
pub const CONTROLLER_CERTIFICATE_DAYS: u64 = 10 * 365;
/// How long the estate's certificate authority is valid, in days.
pub const AUTHORITY_DAYS: u64 = 20 * 365;
/// Largest enrolment bundle that is read.
pub const BUNDLE_BYTES_MAX: u64 = 64 * 1024;

const ASK: Duration = Duration::from_secs(5);
const PERMIT: Duration = Duration::from_secs(10);
const PORT: Duration = Duration::from_secs(20);
const VOLUME: Duration = Duration::from_secs(30);
const MACHINE_READ: Duration = Duration::from_secs(20);
const OUTLET: Duration = Duration::from_secs(20);
const MACHINE: Duration = Duration::from_secs(45);
const BEYOND: Duration = Duration::from_secs(3);

/// How long a controller waits for `readopt`: the whole ledger goes over and is written.
pub const READOPT: Duration = Duration::from_secs(30);

/// How long a controller waits for the answer to this action, connection included. The longest that healthy equipment takes, and a margin.
pub fn deadline(action: &Action) -> Duration {
    match action {
        Action::Hello | Action::Introduce { .. } | Action::Vouch { .. } => ASK,
        Action::AdvanceEpoch { .. } | Action::LiftBar { .. } => ASK,
        Action::ReadPermit { .. } | Action::ReadFindings { .. } => ASK,
        Action::RevokePermit { .. } | Action::GrantPermit { .. } => PERMIT,
        Action::ReadPort { .. } => PERMIT,
        Action::BarPort { .. } | Action::JoinPort { .. } | Action::ParkPort { .. } => PORT,
        Action::ReadOutlet { .. } => PERMIT,
        Action::CutOutlet { .. } | Action::FeedOutlet { .. } => OUTLET,
        Action::ReadVolume { .. } => PERMIT,
        Action::RevokeVolume { .. } | Action::GrantVolume { .. } => VOLUME,
        Action::ReadMachine { .. } | Action::WatchMachine { .. } | Action::CountSupplies { .. } => MACHINE_READ,
        Action::PowerOff { .. }
        | Action::PowerOn { .. }
        | Action::ShutDown { .. }
        | Action::SetBootTarget { .. }
        | Action::SetRestorePolicyOff { .. }
        | Action::Identify { .. } => MACHINE,
        Action::ReadContacts { .. } => CONTACTS_WAIT + BEYOND,
        Action::AwaitChange { .. } | Action::Survey { .. } => READ_MAX + BEYOND,
        Action::RunCheck { check } => check.deadline().as_duration().min(READ_MAX) + BEYOND,
    }
}
