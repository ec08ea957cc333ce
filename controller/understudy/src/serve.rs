//! `understudy serve`: the controller. It opens the store, starts the engine, listens, and ends in order when told to; servers run on
//! all the while. It holds no logic of its own: what is decided is decided in the pipeline.

use crate::address::Address;
use crate::cli::Serve;
use crate::exit::{Exit, Failure};
use crate::{bug, limits, log, out};
use api::Context;
use engine::{Config, Handle};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};
use vocabulary::Fault;

/// Mode of the socket's folder, if it has to be made: everyone may look, only the owner may put something in.
const FOLDER_MODE: u32 = 0o755;

/// `--crash-after` outside a lab, and a store that another process holds.
const REFUSED: [u16; 2] = [58, 1101];
/// A store that is not there.
const ABSENT: u16 = 1102;

/// Runs the controller until it is told to end.
pub fn serve(arguments: &Serve, address: &Address) -> Result<(), Failure> {
    // before anything speaks TLS; it fails only if it was done already
    let _ = rustls::crypto::ring::default_provider().install_default();
    log::begin(arguments.log_format);
    let socket = arguments.socket.as_deref().unwrap_or(&address.0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        let remedy = "look at the limits of this user: threads, open files, memory";
        Failure::new(Exit::No, Fault::new(64, format!("the controller cannot start: {error}"), remedy))
    })?;
    let end = runtime.block_on(run(arguments, socket));
    runtime.shutdown_timeout(limits::STOP);
    end
}

fn at_start(fault: Fault) -> Failure {
    let exit = match fault.code.0 {
        code if REFUSED.contains(&code) => Exit::Refused,
        ABSENT => Exit::NotFound,
        _ => Exit::No,
    };
    Failure::new(exit, fault)
}

/// SIGTERM and SIGINT.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn listen() -> std::io::Result<Ends> {
        Ok(Ends { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

async fn run(arguments: &Serve, socket: &Path) -> Result<(), Failure> {
    let no_signals = |error| {
        Failure::new(Exit::No, Fault::new(64, format!("signals cannot be received: {error}"), "look at this user's limits"))
    };
    let mut ends = Ends::listen().map_err(no_signals)?;
    let config = Config { state: arguments.state.clone(), estate: arguments.estate.clone(), crash_after: arguments.crash_after };
    let running = engine::start(&config).map_err(at_start)?;
    let handle = running.handle.clone();
    let outcome = listen(socket, &handle, &mut ends).await;
    tokio::select! {
        () = running.stop() => {}
        _ = ends.next() => tracing::warn!("told to end twice: ending at once"),
        () = tokio::time::sleep(limits::STOP) => tracing::warn!("what is still open is left behind"),
    }
    tracing::info!("ended");
    outcome
}

/// A socket's file while we listen on it.
struct Bound<'a>(&'a Path);

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        // whoever comes next replaces what is left behind
        let _ = std::fs::remove_file(self.0);
    }
}

async fn listen(socket: &Path, handle: &Handle, ends: &mut Ends) -> Result<(), Failure> {
    make_folder(socket);
    let listener = api::serve::bind(socket).await.map_err(|fault| Failure::new(Exit::Refused, fault))?;
    let _bound = Bound(socket);
    let context = Context { engine: handle.clone(), estate: handle.estate().0.clone() };
    // who started us may have closed our output; that is no reason to end
    let _ = out::line(&ready(socket, handle).await);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let service = api::serve::serve(listener, context, async move {
        // dropped or told: both mean stop
        let _ = stopped.await;
    });
    let end = tokio::select! {
        ended = service => {
            let text = ended.err().map_or_else(|| "it stopped listening".to_owned(), |error| error.to_string());
            let fault = Fault::new(59, format!("the API ended by itself: {text}"), "look at the log, then start it again");
            Err(Failure::new(Exit::No, fault))
        }
        signal = ends.next() => { tracing::info!(signal, "told to end"); Ok(()) }
        () = bug::CORE_DIED.notified() => Err(Failure::silent(Exit::Bug)),
    };
    drop(stop);
    end
}

/// The folder of the socket, if only that one is missing. What cannot be made is told by `bind`, which knows the whole path.
fn make_folder(socket: &Path) {
    if let Some(folder) = socket.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        let _ = std::fs::DirBuilder::new().mode(FOLDER_MODE).create(folder);
    }
}

/// The one line on standard output.
async fn ready(socket: &Path, handle: &Handle) -> String {
    let counted = handle.query(|state| (state.estate.name().to_owned(), state.estate.servers.len(), state.estate.machines.len()));
    let what = match counted.await {
        Ok((name, servers, machines)) => {
            let (servers, machines) = (crate::render::count(servers, "server"), crate::render::count(machines, "machine"));
            format!("estate {name} ({}), {servers}, {machines}", handle.estate())
        }
        Err(_) => format!("estate {}", handle.estate()),
    };
    format!("ready: {what}, listening on unix:{}", socket.display())
}
