//! `understudy-oracle`: watches one lab from its beginning to its end and judges it. It runs with the services, so that it sees their
//! networks; it changes nothing, and asks for addresses by ARP alone. On SIGTERM it judges, writes its verdict and ends.
//!
//! Exit codes: 0 it judged (the verdict says what), 1 it could not, 2 usage.

use std::fs::File;
use std::io::LineWriter;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::signal::{SigSet, Signal};
use oracle::collect::{self, Shared};
use oracle::config::Config;
use oracle::oracle::Oracle;
use oracle::query;
use oracle::sys::now_ns;

/// Watches a lab and judges it: effective machines, acknowledged writes, answering MAC addresses
#[derive(Parser)]
#[command(name = "understudy-oracle", version)]
struct Arguments {
    /// The configuration (JSON)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where facts and judgements are written, one JSON object a line
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where the verdict is written at the end, and whenever it is asked for
    #[arg(long, value_name = "FILE")]
    verdict: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("understudy-oracle: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    // before any thread is made, so that all threads have it so
    signals.thread_block()?;
    let config = Config::read(&arguments.config)?;
    let file = |path: &PathBuf| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
    let log = Box::new(LineWriter::new(file(&arguments.out)?));
    let shared = Shared::new(config.clone(), Oracle::begin(config.roster, now_ns(), log));
    collect::start(&shared);
    // whoever can ask may rely on all eyes being open
    query::open(&shared, &arguments.verdict).map_err(|error| format!("{}: {error}", shared.config.query.display()))?;
    signals.wait()?;
    let verdict = query::take(&shared, None);
    query::write(&arguments.verdict, &verdict).map_err(|error| format!("{}: {error}", arguments.verdict.display()))?;
    tracing::info!(effective = verdict.effective_max, violations = verdict.violations.len(), "judged");
    Ok(())
}
