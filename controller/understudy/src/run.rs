//! From the command line to a verb, and from its end to an exit code. It runs one verb and knows nothing of what verbs do.

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::forms::Output;
use crate::session::Session;
use crate::{
    adopt, agent, backup, complete, driver, estate, explain, failover, guard, hold, limits, machine, maintenance, out, plan,
    report, restore, serve, server, site, spare, status, tier, watch,
};
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use vocabulary::Fault;

/// Runs what the command line asks for.
pub fn run() -> Exit {
    match complete::answered() {
        Ok(false) => {}
        Ok(true) => return Exit::Done,
        Err(failure) => return told(&failure, Output::Text),
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, wants_json(&arguments)),
    };
    let output = cli.output;
    match verb(cli) {
        Ok(()) => Exit::Done,
        Err(failure) => told(&failure, output),
    }
}

/// Says why a verb ended, and gives its exit code.
fn told(failure: &Failure, output: Output) -> Exit {
    let text = if output == Output::Json { failure.json() } else { failure.text() };
    if let Some(text) = text {
        out::talk(&text);
    }
    failure.exit
}

/// True if faults are to be JSON, though the command line as a whole is not understood.
fn wants_json(arguments: &[OsString]) -> bool {
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    arguments.iter().any(|word| word == "--output=json") || pairs.clone().any(|(a, b)| a == "--output" && b == "json")
}

/// Help and version are answers; all else is a usage error.
fn not_understood(error: &clap::Error, json: bool) -> Exit {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !asked {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let fault = Fault::new(69, message, "`understudy help` and `--help` after any verb show what there is");
        return told(&Failure::new(Exit::Usage, fault), Output::Json);
    }
    // nobody reads: nothing is lost
    let _ = error.print();
    if asked { Exit::Done } else { Exit::Usage }
}

fn verb(cli: Cli) -> Result<(), Failure> {
    let session = Session::new(&cli.address, cli.output);
    match cli.command {
        Command::Serve(arguments) => serve::serve(&arguments, &cli.address),
        Command::Explain { code } => explain::explain(code.as_deref(), cli.output, session.look),
        Command::Estate(verb) => estate::run(verb, cli.output, session.look),
        Command::Completions { shell } => complete::registration(shell),
        Command::Restore(arguments) => restore::restore(&arguments, cli.output),
        asking => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                let remedy = "look at the limits of this user: open files, memory";
                Failure::new(Exit::No, Fault::new(64, format!("the command cannot start: {error}"), remedy))
            })?;
            let end = runtime.block_on(asked(asking, &session));
            runtime.shutdown_timeout(limits::DRAW);
            end
        }
    }
}

/// The verbs that ask the controller.
async fn asked(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Status => status::status(session).await,
        Command::Watch(arguments) => watch::watch(session, &arguments).await,
        Command::Hold(arguments) => hold::hold(session, arguments).await,
        Command::Resume(arguments) => hold::resume(session, arguments).await,
        Command::Maintenance(verb) => maintenance::run(session, verb).await,
        Command::Machine(verb) => machine::run(session, verb).await,
        Command::Server(verb) => server::run(session, verb).await,
        Command::Spare(verb) => spare::run(session, verb).await,
        Command::Plan(verb) => plan::run(session, verb).await,
        Command::Failover(verb) => failover::run(session, verb).await,
        Command::Guard(verb) => guard::run(session, verb).await,
        Command::Site(verb) => site::run(session, verb).await,
        Command::Report(verb) => report::run(session, verb).await,
        Command::Agent(verb) => agent::run(session, verb).await,
        Command::Driver(verb) => driver::run(verb, session.output).await,
        Command::Tier(verb) => tier::run(session, verb).await,
        Command::Backup(arguments) => backup::backup(session, &arguments).await,
        Command::Adopt(arguments) => adopt::adopt(session, arguments).await,
        Command::Restore(_) | Command::Serve(_) | Command::Explain { .. } | Command::Estate(_) | Command::Completions { .. } => {
            Ok(())
        }
    }
}
