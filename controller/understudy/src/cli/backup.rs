//! `backup`, `restore` and `adopt`: their flags and their help.

use clap::Args;
use std::path::PathBuf;
use vocabulary::estate::StoreKind;

/// `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// File to write, which must not be there yet; `-` is standard output
    pub file: PathBuf,
}

/// `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// A backup; `-` is standard input
    pub file: PathBuf,
    /// Folder for the store, which must be empty or not there yet
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Kind of the store
    #[arg(long, value_name = "KIND", value_parser = super::store_kind, default_value = "sqlite")]
    pub store: StoreKind,
}

/// `adopt`.
#[derive(Debug, Args)]
pub struct Adopt {
    /// Show what would be taken, and take nothing
    #[arg(long, conflicts_with_all = ["yes", "hash"])]
    pub dry_run: bool,
    /// Agree only if this, or the hash that begins so, is still what would be taken
    #[arg(long, value_name = "HASH")]
    pub hash: Option<String>,
    /// Why; it is recorded
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
