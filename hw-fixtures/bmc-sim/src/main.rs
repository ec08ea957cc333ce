//! `bmc-sim`: the BMCs of a lab as one process; it is the parent of every machine and takes them along when it ends.
//! Must never outlive its machines by accident, nor they it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use bmc_sim::{Config, Simulator};
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};

/// The control requests, for `--help`.
const VERBS: &str = r#"Control requests, one JSON object a line; every answer has "ok", a refusal has "error":
  {"verb":"pids"}                                  pid of every machine's process, null: off
  {"verb":"state","name":"m1"}                     truth, readings, settings, recent requests, quirks
  {"verb":"press_power_button","name":"m1"}        on if off, else the ACPI button
  {"verb":"power_on"|"power_off","name":"m1"}      past the BMC's quirks; power_off returns when reaped
  {"verb":"freeze"|"thaw"|"kill","name":"m1"}      SIGSTOP, SIGCONT, SIGKILL from outside
  {"verb":"power_loss"|"power_return","name":"m1"} mains power; the restore policy applies on return
  {"verb":"set_quirks","name":"m1","quirks":{"reach":"unreachable"}}  changes these, keeps the others
  {"verb":"set_quirks","name":"m1","quirks":{"redfish":{"task":"fails"}}}  those of Redfish alone, likewise
  {"verb":"clear_quirks","name":"m1"}              an honest BMC again
  {"verb":"reboot_bmc","name":"m1","away_ms":1000,"early_ms":500}     the machine runs on
  {"verb":"lose_sessions"|"change_certificate","name":"m1"}
  {"verb":"watch"}                                 changes as they happen, one a line"#;

/// Simulated BMCs: Redfish over TLS and IPMI 2.0, each the parent of its machine's process.
#[derive(Debug, Parser)]
#[command(version, after_long_help = VERBS)]
struct Arguments {
    /// Configuration (JSON): runs the simulator until SIGTERM or SIGINT.
    #[arg(long, value_name = "FILE", required_unless_present = "control")]
    config: Option<PathBuf>,
    /// Control socket of a running simulator: sends REQUEST and prints the answer.
    #[arg(long, value_name = "SOCKET", requires = "request", conflicts_with = "config")]
    control: Option<PathBuf>,
    /// One control request, JSON: {"verb":"freeze","name":"m1"}.
    #[arg(value_name = "REQUEST")]
    request: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            eprintln!("bmc-sim: {e:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    match (arguments.config, arguments.control, arguments.request) {
        (Some(config), _, _) => simulate(&config).await.map(|()| true),
        (None, Some(socket), Some(request)) => ask(&socket, &request).await,
        _ => anyhow::bail!("nothing to do; give --config FILE, or --control SOCKET REQUEST"),
    }
}

async fn simulate(config: &std::path::Path) -> anyhow::Result<()> {
    // A socket a BMC, and there may be thousands.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    // Asked for before the first machine can start, so that no early signal leaves one behind.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let simulator = Simulator::start(Config::read(config)?).await?;
    tracing::info!(config = %config.display(), "ready");
    println!("ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.shutdown().await;
    Ok(())
}

/// Sends one request; true if the answer says ok. `watch` prints until the simulator ends.
async fn ask(socket: &std::path::Path, request: &str) -> anyhow::Result<bool> {
    let request: serde_json::Value = serde_json::from_str(request).context("the request is not JSON")?;
    let stream = tokio::net::UnixStream::connect(socket)
        .await
        .with_context(|| format!("cannot reach {}; is the simulator running?", socket.display()))?;
    let (reader, mut writer) = stream.into_split();
    writer.write_all(format!("{request}\n").as_bytes()).await?;
    let mut lines = BufReader::new(reader).lines();
    let first = lines.next_line().await?.context("the simulator gave no answer")?;
    println!("{first}");
    let answer: serde_json::Value = serde_json::from_str(&first).context("the answer is not JSON")?;
    let ok = answer.get("ok") == Some(&serde_json::Value::Bool(true));
    if ok && request.get("verb") == Some(&"watch".into()) {
        while let Some(line) = lines.next_line().await? {
            println!("{line}");
        }
    }
    Ok(ok)
}
