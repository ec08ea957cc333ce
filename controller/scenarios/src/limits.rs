//! Every time-out and size of this crate, with its unit. Nothing else may hold a bare number of seconds or bytes.

use std::time::Duration;

/// How long a data centre may take to be up: networks, switch, storage, BMCs.
pub const RAISED: Duration = Duration::from_secs(120);
/// How long a process of the product may take to be ready.
pub const READY: Duration = Duration::from_secs(30);
/// How long all agents may take to be trusted by the controller.
pub const TRUSTED: Duration = Duration::from_secs(60);
/// How long an operator's command may take in all.
pub const COMMAND: Duration = Duration::from_secs(180);
/// How long a server may take from its start to its first answer, unless a step says otherwise.
pub const SERVES: Duration = Duration::from_secs(120);
/// How long a failover may take, unless a step says otherwise.
pub const MOVED: Duration = Duration::from_secs(120);
/// How long a state may take to be seen, unless a step says otherwise.
pub const SEEN: Duration = Duration::from_secs(60);
/// How long the oracle may take to read the volumes and judge.
pub const JUDGED: Duration = Duration::from_secs(60);
/// How long a lab may take to end in order before it is killed.
pub const ENDED: Duration = Duration::from_secs(10);
/// How often something that is waited for is looked at.
pub const LOOK: Duration = Duration::from_millis(50);
/// How often each server is asked for its answer by the user's side.
pub const TICK: Duration = Duration::from_millis(200);
/// How long such an answer may take.
pub const ANSWER: Duration = Duration::from_millis(700);
/// How long the API may take to answer.
pub const API_ANSWER: Duration = Duration::from_secs(5);
/// How often a machine's console is read.
pub const CONSOLE_LOOK: Duration = Duration::from_millis(10);
/// How often the live screen is drawn.
pub const DRAW: Duration = Duration::from_millis(100);
/// The most bytes read of one answer of a server.
pub const ANSWER_BYTES_MAX: u64 = 4096;
/// The most bytes of a console kept while no line ends.
pub const CONSOLE_LINE_BYTES_MAX: usize = 4096;
/// The longest text of a failed command that is repeated.
pub const TOLD_BYTES_MAX: usize = 600;
/// The most bytes read of what a lab's process wrote.
pub const WORDS_BYTES_MAX: usize = 1024 * 1024;
/// The longest path of a folder in which a lab's sockets lie.
pub const RUN_PATH_BYTES_MAX: usize = 76;
/// The longest scenario that is read.
pub const SCENARIO_BYTES_MAX: usize = 64 * 1024;
/// The longest time a step may name.
pub const STEP_TIME_MAX: Duration = Duration::from_secs(3600);
/// How often the state is told where there is no live screen.
pub const PLAIN_EVERY: Duration = Duration::from_secs(2);
/// A terminal is taken to have at least so many columns.
pub const SCREEN_COLUMNS_MIN: usize = 40;
/// How many records of a server are awaited before something is done to it, and after it came back.
pub const RECORDS: u64 = 20;
/// The longest judgement read, bytes.
pub const VERDICT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long a failover by hand may take.
pub const HAND: Duration = Duration::from_secs(180);
/// How long a simulated hall may take to be up: documents, certificates and sockets of thousands of BMCs.
pub const HALL_RAISED: Duration = Duration::from_secs(120);
/// How long it may take until the controller's guard has forgotten the suspects of a start on a busy machine.
pub const CALM: Duration = Duration::from_secs(300);
/// In a hall with racks of 13 machines at least, one suspect more lets a failover pass; in smaller ones none may be left.
pub const CALM_SUSPECTS: (usize, usize) = (40, 1);
/// How long a simulated hall stays up for whoever looks around in it: its volumes and its controller's journal grow meanwhile.
pub const HALL_KEPT: Duration = Duration::from_secs(12 * 3600);
/// How long a simulated hall may take to answer.
pub const HALL_ANSWER: Duration = Duration::from_secs(10);
/// The longest line that is read of a simulated hall.
pub const HALL_LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Why a person pulls a brake in a scenario.
pub const REASON: &str = "the scenario wants it";
/// For how long a storage target that restarts is away in a world.
pub const TARGET_AWAY: Duration = Duration::from_secs(2);
/// For how long a switch that loses its power is away in a world.
pub const SWITCH_AWAY: Duration = Duration::from_secs(12);
/// How long a switch may take from its power to its first report.
pub const SWITCH_UP: Duration = Duration::from_secs(90);
/// How long a colleague's push at the switch may take to be done.
pub const PUSHED: Duration = Duration::from_secs(10);
/// Within this time a barred port that somebody opened is barred again, unless a step says otherwise.
pub const BARRED_AGAIN: Duration = Duration::from_secs(5);
/// The most by which a scenario may have firmware take longer.
pub const POST_MAX: Duration = Duration::from_secs(60);
