//! `understudy-boot`: the boot service's process. It reads one configuration file, serves until it is told to stop, and never becomes
//! anything else.

use boot::{BootError, Config, service};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// The boot service: DHCP, TFTP, HTTP and router advertisements for machines that hold a permit, and silence for all others.
#[derive(Parser)]
#[command(name = "understudy-boot", version)]
struct Arguments {
    /// The configuration file (JSON).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and end.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    let outcome = Config::read(&arguments.config).and_then(|config| if arguments.check { Ok(()) } else { serve(config) });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            tracing::error!(%fault, "understudy-boot ends");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> Result<(), BootError> {
    let failed = |error: std::io::Error| BootError::Agent(error.to_string());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        tokio::select! {
            ended = service::run(config) => ended,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}
