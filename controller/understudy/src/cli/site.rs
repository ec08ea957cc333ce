//! The command line of `site`. It only describes.

use crate::names;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use vocabulary::SiteId;

/// `site ...`.
#[derive(Debug, Subcommand)]
pub enum Site {
    /// Every site, and how many servers are meant to run there
    List,
    /// Start all that lost power together: each server where it is, in order, never too many at once
    #[command(after_help = "Examples:
  understudy site start paris --dry-run           the order, and who would be left out
  understudy site start paris --reason 'UPS test' asks to type the site's name, begins, and shows how far it is

A server is started only once its BMC says Off and its volumes can be read; groups come after those that they name in `after:`,
then by the ranks of their tiers. No server moves. `understudy hold` ends it: what has not begun is not begun.")]
    Start(StartSite),
}

/// `site start`.
#[derive(Debug, Args)]
pub struct StartSite {
    /// The site
    #[arg(add = ArgValueCompleter::new(names::sites))]
    pub site: SiteId,
    /// Only show the order
    #[arg(long)]
    pub dry_run: bool,
    /// Agree only to the order with this hash, or with one that begins so
    #[arg(long)]
    pub hash: Option<String>,
    /// Why; it is recorded
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Do not wait for its end
    #[arg(long)]
    pub no_wait: bool,
}
