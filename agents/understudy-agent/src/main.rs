//! The device agent: a process beside a switch or on a storage host that owns its devices, keeps their gate, acts and observes.
//! Must never run on a production server, and never act past its gate except to keep a bar.
#![forbid(unsafe_code)]

mod bmcs;
mod config;
mod devices;
mod limits;
mod run;
mod wait;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Names the log filter, such as `debug` or `storage=debug`.
const LOG_VARIABLE: &str = "UNDERSTUDY_LOG";
/// The filter without it. The SNMP client logs every request without an answer as an error; the outlets' keeper tells what matters of that.
const LOG_FILTER: &str = "info,async_snmp=off";

/// A device agent of Understudy: owns a switch, a storage target, a power distribution unit or a vantage point, and obeys only its
/// estate's controller.
#[derive(Parser)]
#[command(
    name = "understudy-agent",
    version,
    after_help = "Logs go to stderr as JSON; UNDERSTUDY_LOG sets the filter (default: info)."
)]
struct Arguments {
    /// The agent's configuration, a JSON file.
    #[arg(long, value_name = "FILE.json")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stderr).init();
    // one thread: an agent waits for its devices nearly all the time, and hosts are small
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the agent cannot start");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run::run(&arguments.config));
    runtime.shutdown_timeout(limits::SHUTDOWN);
    match ended {
        Ok(()) => {
            tracing::info!("ended");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = %run::in_full(&error), "the agent ends");
            ExitCode::FAILURE
        }
    }
}
