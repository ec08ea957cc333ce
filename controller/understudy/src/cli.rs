//! The command line: nouns, verbs, flags and their help. It only describes; what a verb does stands in the verb's file.

use crate::address::{Address, DEFAULT_ADDRESS};
use crate::forms::{LogFormat, Output, Shell};
use crate::names;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use pipeline::stage::Stage;
use std::num::NonZeroU8;
use std::path::PathBuf;
use vocabulary::estate::{Mode, StoreKind};
use vocabulary::{AgentId, Epoch, MachineId, PlanId, ServerId, Span, TierId};

mod backup;
mod brakes;
mod confirm_off;
mod discover;
mod driver;
mod failover;
mod probe;
mod site;

pub use backup::{Adopt, Backup, Restore};
pub use brakes::{Hold, Maintenance, Resume, Worked, WorkedKind};
pub use confirm_off::ConfirmOff;
pub use discover::{Discover, IPMI_PORT, REDFISH_PORT};
pub use driver::{Driver, DriverProgram, DriverTest, OutletsTest, SwitchTest};
pub use failover::{ApproveFailover, Failover, Guard, Report, StartFailover};
pub use probe::{BmcKey, PrivilegeWord, Probe, ProbeAddress};
pub use site::{Site, StartSite};

const EXIT_CODES: &str = "\
Exit codes:
  0 done  1 the answer is no  2 usage  3 controller unreachable  4 not found  5 refused or held
  6 changed meanwhile  7 deadline passed  70 our bug  130 interrupted

Begin with:
  understudy estate init ./estate --state ./state     a first estate and its store
  understudy serve --state ./state --estate ./estate  the controller
  understudy status                                   everything at a glance, and what to do next";

/// Understudy brings a server back on a spare machine when its own has died.
#[derive(Debug, Parser)]
#[command(name = "understudy", version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    /// Where the controller listens
    #[arg(long, global = true, env = "UNDERSTUDY_ADDRESS", default_value = DEFAULT_ADDRESS, value_name = "unix:PATH",
          hide_env_values = true)]
    pub address: Address,
    /// Form of the output; json is exactly what the API shows, and faults are {code, message, remedy} on standard error
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// All verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller
    Serve(Serve),
    /// Everything at a glance: servers, troubles, and for each trouble the next command
    Status,
    /// Follow what happens, as it happens
    Watch(Watch),
    /// What a fault code means, why it comes, and what to do
    Explain {
        /// The code, such as F0401; without one, all codes are listed
        code: Option<String>,
    },
    /// Stop every new effect for a server, or for everything; watching goes on, and what is cut off stays so
    #[command(after_help = "Examples:
  understudy hold --reason 'core switch is being replaced'
  understudy hold web1 --reason 'the owner looks at it'")]
    Hold(Hold),
    /// End a hold: what has failed meanwhile is failed over at once
    #[command(after_help = "Examples:
  understudy resume          asks to type `everything` if something waits for it
  understudy resume web1 --yes --reason 'looked at'")]
    Resume(Resume),
    /// What somebody works on: nothing is done about it by itself, until its time is over
    #[command(subcommand)]
    Maintenance(Maintenance),
    /// The estate's files
    #[command(subcommand)]
    Estate(Estate),
    /// Machines: boxes with a BMC
    #[command(subcommand)]
    Machine(Machine),
    /// Servers: what runs on one machine at a time
    #[command(subcommand)]
    Server(Server),
    /// Spares: machines that could bear a server
    #[command(subcommand)]
    Spare(Spare),
    /// Plans: what is done, step by step
    #[command(subcommand)]
    Plan(Plan),
    /// Failovers
    #[command(subcommand)]
    Failover(Failover),
    /// The guard: what it holds because too much of it failed at once
    #[command(subcommand)]
    Guard(Guard),
    /// Sites: starting one again whose power was gone
    #[command(subcommand)]
    Site(Site),
    /// Reports
    #[command(subcommand)]
    Report(Report),
    /// Device agents of BMCs, switches, storage targets, outlets and boot services
    #[command(subcommand)]
    Agent(Agent),
    /// Programs of yours that drive equipment
    #[command(subcommand)]
    Driver(Driver),
    /// Tiers
    #[command(subcommand)]
    Tier(Tier),
    /// Write all that the controller knows into one file, while it runs
    #[command(after_help = "Examples:
  understudy backup /backup/understudy-2026-11-22
  understudy backup - | age -r KEY > understudy.age    a pipe, and no file

The file holds the estate's keys: keep it as you keep those. The documents are not in it.")]
    Backup(Backup),
    /// Make a store from a backup; it only observes until it is adopted
    #[command(after_help = "Examples:
  understudy restore /backup/understudy-2026-11-22 --state /var/lib/understudy

Stop the old controller for good before: its agents obey the restored store as soon as that is adopted, and the old one no more.")]
    Restore(Restore),
    /// Take from the agents what happened since the backup, and act again
    #[command(after_help = "Examples:
  understudy adopt --dry-run     what the agents know, and what nobody can say
  understudy adopt               shows it, and asks to type `adopt`

Two people have to agree (in a lab estate one), each by this command, within 15 minutes and to the same. It touches no device's power; what it
cannot decide is held until a person has looked.")]
    Adopt(Adopt),
    /// Completion for a shell; it also completes names, asked from the controller
    #[command(after_help = "Examples:
  source <(understudy completions bash)
  understudy completions zsh > ~/.zfunc/_understudy
  understudy completions fish > ~/.config/fish/completions/understudy.fish")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  understudy serve --state /var/lib/understudy --estate /etc/understudy
  understudy serve --state ./state --estate ./estate --socket ./api.sock

It ends on SIGTERM and SIGINT; running servers run on. UNDERSTUDY_LOG sets what is logged, such as `info,engine=debug`.")]
pub struct Serve {
    /// Folder of the store, made by `understudy estate init`
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Folder of the estate's files
    #[arg(long, value_name = "DIR")]
    pub estate: PathBuf,
    /// Socket to listen on; the default is that of --address
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// In a lab estate: end as kill -9 would when a failover enters this stage
    #[arg(long, value_name = "STAGE", hide = true)]
    pub crash_after: Option<Stage>,
    /// Form of the log; json unless standard error is a terminal
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
}

/// `watch`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  understudy watch                       what comes, with live stages on a terminal
  understudy watch --from 0              the whole history, then what comes
  understudy watch --until-closed P12    follow one plan to its end; exit 0 if it is done, 1 if it failed
  understudy watch --output json         one object a line")]
pub struct Watch {
    /// Begin after this entry's number; without it, only what comes
    #[arg(long, value_name = "N")]
    pub from: Option<u64>,
    /// End when this plan is closed
    #[arg(long, value_name = "PLAN", value_parser = plan_id)]
    pub until_closed: Option<PlanId>,
}

/// `estate ...`.
#[derive(Debug, Subcommand)]
pub enum Estate {
    /// Make an estate's store, and first files if there are none
    #[command(after_help = "Examples:
  understudy estate init ./estate --state ./state
  understudy estate init ./lab --state ./lab-state --lab")]
    Init(Init),
    /// Check an estate's files: every fault with its place and remedy; exit 1 if one is an error
    #[command(after_help = "Examples:
  understudy estate check ./estate
  understudy estate check ./estate --output json | jq '.complaints[].message'")]
    Check {
        /// Folder of the estate's files
        dir: PathBuf,
        /// It is a lab's: what only a lab may do is fine
        #[arg(long)]
        lab: bool,
    },
    /// JSON Schema of the estate's files, for editors
    #[command(after_help = "Example:\n  understudy estate schema > understudy.schema.json")]
    Schema,
}

/// `estate init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Folder of the estate's files; what stands there is left alone
    pub dir: PathBuf,
    /// Folder of the store; must not hold one
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// A lab estate: it acts from the start, and one person counts as two. Never for production
    #[arg(long)]
    pub lab: bool,
    /// The store; the default is what the estate's document says
    #[arg(long, value_parser = store_kind, value_name = "sqlite|sled")]
    pub store: Option<StoreKind>,
}

/// Whether to wait for a plan, and how long.
#[derive(Clone, Copy, Debug, Args)]
pub struct Wait {
    /// Do not wait for the plan's end
    #[arg(long, conflicts_with = "deadline")]
    pub no_wait: bool,
    /// Wait no longer than this (30s, 5m, 2h), then exit 7; the plan goes on
    #[arg(long, value_name = "TIME", value_parser = Span::parse)]
    pub deadline: Option<Span>,
}

/// `machine ...`.
#[derive(Debug, Subcommand)]
pub enum Machine {
    /// All machines
    List,
    /// One machine
    #[command(after_help = "Examples:
  understudy machine show m1            from what is known
  understudy machine show m1 --facts    asks its BMC now for serial numbers and sensors; takes some seconds")]
    Show {
        /// Its name
        #[arg(add = ArgValueCompleter::new(names::machines))]
        machine: MachineId,
        /// Ask its BMC for inventory and sensors, over IPMI also for the watchdog
        #[arg(long)]
        facts: bool,
        /// The same, and the last 20 entries of its event log
        #[arg(long)]
        log: bool,
    },
    /// Look at a BMC that is in no estate, without a controller: who it is, how it is, what it can do. Changes nothing
    #[command(after_help = "Examples:
  understudy machine probe 10.0.0.9 --protocol redfish --user controller --password-file ./bmc
  understudy machine probe 10.0.0.9:8443 --protocol redfish --user controller --password-env BMC --output json
  understudy machine probe 10.0.0.9 --protocol ipmi --user controller --password-file ./bmc --privilege user
  understudy machine probe 10.0.0.9 --protocol ipmi --user controller --password-file ./bmc --key-file ./kg

Exit 1 and a fault code if the BMC does not answer or does not take the account. The session is ended again.")]
    Probe(Probe),
    /// Search for BMCs, without a controller: who answers, what their machines are made of, and drafts of documents. Changes nothing
    #[command(after_help = "Examples:
  understudy machine discover 10.2.1.0/24
  understudy machine discover 10.2.1.0/24 10.2.2.0/24 --user controller --password-file ./bmc --estate ./estate --write ./drafts
  understudy machine discover 10.2.1.7 --user controller --password-env BMC --output json

The account is tried once at each BMC, over TLS or IPMI 2.0, and not again where it is refused. BMCs that have no BMC key (K_G) are searched
without `--key-file`: with one they refuse the account. Certificates that were never seen before cannot
be verified: their fingerprints are written into the drafts, for you to compare. Ctrl-C ends the search with what was found.")]
    Discover(Discover),
    /// Light a machine's identify light, by which it is found in its rack
    #[command(after_help = "Examples:
  understudy machine identify m1                 until it is switched off
  understudy machine identify m1 --seconds 60    IPMI only: it goes out by itself
  understudy machine identify m1 --off

It changes nothing else, and is sent only to the box that was just seen to be this machine. A machine that is only observed is
not touched (F0206).")]
    Identify {
        /// Its name
        #[arg(add = ArgValueCompleter::new(names::machines))]
        machine: MachineId,
        /// Out
        #[arg(long, conflicts_with = "seconds")]
        off: bool,
        /// On for so long, 1 to 255
        #[arg(long, value_name = "SECONDS")]
        seconds: Option<NonZeroU8>,
    },
    /// Take machines in: check their identity, set the restore policy, park their ports
    #[command(after_help = "Examples:
  understudy machine enroll m1 m2 m3
  understudy machine enroll m4 --deadline 5m")]
    Enroll {
        /// Their names
        #[arg(required = true, add = ArgValueCompleter::new(names::machines))]
        machines: Vec<MachineId>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Say that a failed machine is off, when nothing that can be asked proves it: you stand before it
    ConfirmOff(ConfirmOff),
    /// Lift a machine's quarantine: it is proven off, parked, and a spare again
    #[command(after_help = "Examples:
  understudy machine release m1          asks to type the name
  understudy machine release m1 --yes    for automation")]
    Release {
        /// Its name
        #[arg(add = ArgValueCompleter::new(names::machines))]
        machine: MachineId,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

/// A server, and whether to wait.
#[derive(Debug, Args)]
pub struct OneServer {
    /// Its name
    #[arg(add = ArgValueCompleter::new(names::servers))]
    pub server: ServerId,
    #[command(flatten)]
    pub wait: Wait,
}

/// `server ...`.
#[derive(Debug, Subcommand)]
pub enum Server {
    /// All servers
    List,
    /// One server
    Show {
        /// Its name
        #[arg(add = ArgValueCompleter::new(names::servers))]
        server: ServerId,
    },
    /// Why is done with it what is done: from what is seen, over what is concluded, to what is decided, in sentences
    #[command(after_help = "Example:\n  understudy server why web1")]
    Why {
        /// Its name
        #[arg(add = ArgValueCompleter::new(names::servers))]
        server: ServerId,
    },
    /// Start a server: its first placement on its home, or power for the present one
    #[command(after_help = "Examples:
  understudy server start web1
  understudy server start web1 --deadline 10m")]
    Start(OneServer),
    /// Stop a server in order; its placement stays
    Stop(OneServer),
    /// Restart a server on its machine
    Restart(OneServer),
}

/// `spare ...`.
#[derive(Debug, Subcommand)]
pub enum Spare {
    /// Every machine of a pool: which servers it could bear now, and why not the others
    List,
}

/// `plan ...`.
#[derive(Debug, Subcommand)]
pub enum Plan {
    /// One plan: its steps, stages, waits and end
    Show {
        /// Its id, such as P12
        #[arg(value_parser = plan_id)]
        plan: PlanId,
    },
}

/// `agent ...`.
#[derive(Debug, Subcommand)]
pub enum Agent {
    /// Make the bundle that turns a process into the agent of a device, or of machines' BMCs
    #[command(after_help = "Examples:
  understudy agent enroll sw1 --out sw1.json     readable by you alone: it holds a key
  understudy agent enroll sw1 | ssh sw1 'umask 077; cat > /etc/understudy/agent.json'")]
    Enroll {
        /// The agent bears the name of its device
        #[arg(add = ArgValueCompleter::new(names::agents))]
        agent: AgentId,
        /// Write the bundle to this file, readable by its owner alone; without it, to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Write the configuration of an agent that owns BMCs, from the estate's files
    #[command(after_help = "Examples:
  understudy agent config rack1 --estate ./estate > agent.json

Every machine whose document says `bmc: {agent: rack1, ...}` is in it. References to secrets stay references: the agent looks them up where
it runs. Paths of files become absolute. No controller is asked.")]
    Config {
        /// The name of a `bmc-agent:` document
        agent: AgentId,
        /// Folder of the estate's files
        #[arg(long, value_name = "DIR", default_value = ".")]
        estate: PathBuf,
    },
    /// All agents, asked now
    List,
    /// Seed the memory of an agent that lost it from the controller's ledger
    #[command(after_help = "Examples:
  understudy agent readopt sw1          asks to type the name
  understudy agent readopt sw1 --yes    for automation")]
    Readopt {
        /// Its name
        #[arg(add = ArgValueCompleter::new(names::agents))]
        agent: AgentId,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// `tier ...`.
#[derive(Debug, Subcommand)]
pub enum Tier {
    /// Set how far a tier may act; what acts is the more cautious of this and the documents' mode
    #[command(after_help = "Examples:
  understudy tier mode gold manual     it acts on commands only
  understudy tier mode gold auto       it fails servers over by itself: asks for the tier's name first")]
    Mode {
        /// The tier
        tier: TierId,
        /// How far
        #[arg(value_enum)]
        mode: ModeWord,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// A mode as a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ModeWord {
    /// Only say what would be done
    Observe,
    /// Say what is wrong; a person starts failovers
    Manual,
    /// Prepare failovers; a person approves them
    Approve,
    /// Act
    Auto,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Mode {
        match word {
            ModeWord::Observe => Mode::Observe,
            ModeWord::Manual => Mode::Manual,
            ModeWord::Approve => Mode::Approve,
            ModeWord::Auto => Mode::Auto,
        }
    }
}

/// `P12`, `p12` or `12`.
fn plan_id(text: &str) -> Result<PlanId, String> {
    text.trim_start_matches(['P', 'p'])
        .parse()
        .map(|number| PlanId(Epoch(number)))
        .map_err(|_| "a plan's id is P and a number, such as P12".to_owned())
}

pub(crate) fn store_kind(text: &str) -> Result<StoreKind, String> {
    match text {
        "sqlite" => Ok(StoreKind::Sqlite),
        "sled" => Ok(StoreKind::Sled),
        _ => Err("the stores are sqlite and sled".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn plans_are_named_as_people_write_them() {
        for text in ["P12", "p12", "12"] {
            assert_eq!(plan_id(text), Ok(PlanId(Epoch(12))));
        }
        for bad in ["", "P", "x", "P-1", "P12a", "P12/.."] {
            assert!(plan_id(bad).is_err(), "{bad}");
        }
    }
}
