//! The command line of `hold`, `resume` and `maintenance`. It only describes.

use crate::names;
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use vocabulary::{ServerId, Span};

/// `hold`.
#[derive(Debug, Args)]
pub struct Hold {
    /// The server; without one, the whole estate
    #[arg(add = ArgValueCompleter::new(names::servers))]
    pub server: Option<ServerId>,
    /// Why; it is recorded and shown
    #[arg(long)]
    pub reason: String,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// The server; without one, the whole estate
    #[arg(add = ArgValueCompleter::new(names::servers))]
    pub server: Option<ServerId>,
    /// Why; it is recorded
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `maintenance ...`.
#[derive(Debug, Subcommand)]
pub enum Maintenance {
    /// Begin, or give it another end
    #[command(after_help = "Examples:
  understudy maintenance set machine m1 --for 2h --reason 'new memory'
  understudy maintenance set server web1 --for 30m --reason 'database upgrade'

Failovers that a person starts are not stopped. What fails meanwhile is failed over when it ends.")]
    Set {
        #[command(flatten)]
        of: Worked,
        /// How long at most (30m, 2h, 7d); 30 days at most
        #[arg(long = "for", value_name = "TIME", value_parser = Span::parse)]
        lasts: Span,
        /// Why; it is recorded and shown
        #[arg(long)]
        reason: String,
    },
    /// Everything that is in maintenance, by whom, and how much of it is left
    List,
    /// End it now
    End {
        #[command(flatten)]
        of: Worked,
    },
}

/// What is worked on.
#[derive(Debug, Args)]
pub struct Worked {
    /// A server, wherever it is, or a machine, whatever is on it
    #[arg(value_enum)]
    pub kind: WorkedKind,
    /// Its name
    #[arg(add = ArgValueCompleter::new(names::machines_and_servers))]
    pub name: String,
}

/// See [`Worked`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum WorkedKind {
    /// A server, wherever it is
    Server,
    /// A machine, whatever is on it
    Machine,
}
