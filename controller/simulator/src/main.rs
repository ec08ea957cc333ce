//! `understudy-hall`: a simulated hall on real sockets. It tells on standard output what it is, obeys requests on standard input, one JSON
//! object a line, and ends when that is closed: whoever started it is gone.
#![forbid(unsafe_code)]

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Deserialize;
use serde_json::{Value, json};
use simulator::agents::Fault;
use simulator::limits::REQUEST_BYTES_MAX;
use simulator::served::Served;
use std::io::{BufRead as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

/// Names the log filter.
const LOG_VARIABLE: &str = "UNDERSTUDY_LOG";

/// A hall of simulated machines whose BMCs, agents and services are met on loopback addresses. For demonstrations and tests alone.
#[derive(Parser)]
#[command(name = "understudy-hall", version)]
struct Arguments {
    /// Folder in which the estate's documents are written and the agents' bundles are looked for
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How many machines
    #[arg(long, default_value_t = 1_000)]
    machines: usize,
}

/// A request.
#[derive(Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    /// The hardware of a machine dies.
    Kill { machine: String },
    /// Which machines' services would answer now.
    Serving,
    /// A machine's console.
    Console { machine: String, from: u64 },
    /// Of the first so many records of the hall, as a kill told, those of one server: how many were acknowledged, and how many are there.
    Judge { server: String, first: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // a socket a BMC, and connections to each of them
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    let ended = raised.map_err(Fault::from).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(run(&arguments))
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("understudy-hall: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Fault> {
    let mut served = Served::raise(arguments.machines, &arguments.dir).await?;
    let settings = served.settings();
    let (settle_ms, guard_window_ms) = (settings.fencing.settle.0, settings.guard.window.0);
    let (services, bundles) = (served.services(), served.bundles());
    tell(&json!({
        "ok": true, "services": services, "bundles": bundles, "settle_ms": settle_ms, "guard_window_ms": guard_window_ms,
    }))?;
    let mut requests = requests();
    tokio::select! {
        started = served.start_agents() => started?,
        // nothing is asked before the agents run but to end
        _ = requests.recv() => return Ok(()),
    }
    tell(&json!({ "ok": true }))?;
    while let Some(line) = requests.recv().await {
        let answer = match serde_json::from_slice(&line) {
            Ok(request) => answer(&served, request),
            Err(error) => json!({ "ok": false, "error": format!("not a request: {error}") }),
        };
        tell(&answer)?;
    }
    Ok(())
}

/// The lines of standard input, read by a thread of their own; they end with it.
fn requests() -> mpsc::Receiver<Vec<u8>> {
    let (sender, requests) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut from = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = from.by_ref().take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) || sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    requests
}

fn tell(answer: &Value) -> Result<(), Fault> {
    let mut out = std::io::stdout();
    writeln!(out, "{answer}")?;
    Ok(out.flush()?)
}

fn answer(served: &Served, request: Request) -> Value {
    match request {
        Request::Kill { machine } => match served.kill(&machine) {
            Some(told) => json!({ "ok": true, "told": told }),
            None => json!({ "ok": false, "error": format!("there is no machine {machine}") }),
        },
        Request::Serving => json!({ "ok": true, "servers": served.serving() }),
        Request::Console { machine, from } => json!({ "ok": true, "lines": served.console(&machine, from) }),
        Request::Judge { server, first } => {
            let judged = served.judge(&server, first);
            let (acknowledged, recovered) = (judged.acknowledged, judged.recovered);
            json!({ "ok": true, "acknowledged": acknowledged, "recovered": recovered, "effective": judged.effective })
        }
    }
}
