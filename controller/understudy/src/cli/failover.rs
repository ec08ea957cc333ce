//! The command line of `failover`, `guard` and `report`. It only describes.

use super::{Wait, plan_id};
use crate::names;
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use vocabulary::{PlanId, ServerId, Span, TierId};

/// `failover ...`.
#[derive(Debug, Subcommand)]
pub enum Failover {
    /// Move a server off its machine onto a spare, though nothing is wrong or it is held
    #[command(after_help = "Examples:
  understudy failover start web1 --dry-run
  understudy failover start web1 --reason 'disk warning on m1'
  understudy failover start web1 --yes --deadline 10m")]
    Start(StartFailover),
    /// Agree to the failover that waits for it (mode `approve`): the plan is shown first
    #[command(after_help = "Examples:
  understudy failover approve web1                       shows the plan, asks to type the name
  understudy failover approve web1 --hash 4be1... --yes  only that plan, for automation

What is agreed to holds for 15 minutes and is decided upon anew: if the server is well again, nothing is done.")]
    Approve(ApproveFailover),
    /// Give up a failover that has cut nothing off yet, or one that waits to be approved; the server is held
    #[command(after_help = "Example:
  understudy failover abort web1 --reason 'the owner wants to look first'")]
    Abort {
        /// The server's name
        #[arg(add = ArgValueCompleter::new(names::servers))]
        server: ServerId,
        /// Why; it is recorded, and shown as long as the server is held
        #[arg(long)]
        reason: String,
    },
    /// Everything on record about one failover: for the ticket, the owner, the auditor
    #[command(after_help = "Examples:
  understudy failover report P12
  understudy failover report P12 --output json > P12.json")]
    Report {
        /// Its plan's id, such as P12
        #[arg(value_parser = plan_id, add = ArgValueCompleter::new(names::failovers))]
        plan: PlanId,
    },
    /// All failovers
    List,
    /// One failover with its evidence, its proof and its seconds
    Show {
        /// Its plan's id, such as P12
        #[arg(value_parser = plan_id, add = ArgValueCompleter::new(names::failovers))]
        plan: PlanId,
    },
}

/// `failover start`.
#[derive(Debug, Args)]
pub struct StartFailover {
    /// The server's name
    #[arg(add = ArgValueCompleter::new(names::servers))]
    pub server: ServerId,
    /// Only show the plan that would be sealed
    #[arg(long)]
    pub dry_run: bool,
    /// Why; it is recorded
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub wait: Wait,
}

/// `failover approve`.
#[derive(Debug, Args)]
pub struct ApproveFailover {
    /// The server's name
    #[arg(add = ArgValueCompleter::new(names::servers))]
    pub server: ServerId,
    /// Only the plan of this hash, or one that begins so
    #[arg(long)]
    pub hash: Option<String>,
    /// Why; it is recorded
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub wait: Wait,
}

/// `guard ...`.
#[derive(Debug, Subcommand)]
pub enum Guard {
    /// Every failure domain with suspects: how many, since when, and from how many on it is held
    Show,
    /// Let go what is suspect in a domain now: it has been looked at, and the machines are dead indeed
    #[command(after_help = "Examples:
  understudy guard resume rack r1 --reason 'the rack has burnt out'
  understudy guard resume feed a --reason 'UPS a is off' --yes

It holds for 15 minutes, and for the machines that are suspect together when it is said, not for those that follow.")]
    Resume {
        /// What kind of domain
        #[arg(value_enum)]
        kind: SharedWord,
        /// Its name
        name: String,
        /// Why; it is recorded
        #[arg(long)]
        reason: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What machines share, as a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SharedWord {
    /// A power feed
    Feed,
    /// A rack
    Rack,
    /// A storage target
    Storage,
    /// A switch
    Switch,
    /// A site
    Site,
}

impl SharedWord {
    /// As the guard writes it.
    pub fn word(self) -> &'static str {
        match self {
            SharedWord::Feed => "feed",
            SharedWord::Rack => "rack",
            SharedWord::Storage => "storage",
            SharedWord::Switch => "switch",
            SharedWord::Site => "site",
        }
    }
}

/// `report ...`.
#[derive(Debug, Subcommand)]
pub enum Report {
    /// What would have been done to servers that are only observed: every outage, its spare, its seconds, and how it ended by itself
    #[command(after_help = "Examples:
  understudy report observe
  understudy report observe --since 7d --tier gold --output json")]
    Observe {
        /// How far back (28d, 12h)
        #[arg(long, value_name = "TIME", value_parser = Span::parse, default_value = "28d")]
        since: Span,
        /// Only servers of this tier
        #[arg(long)]
        tier: Option<TierId>,
    },
}
