//! Completion for shells: verbs and flags from the command line's own description, names from the controller, asked with a short
//! deadline. It is silent when no controller answers: a completion must never disturb a prompt.

use crate::cli::{Cli, Shell};
use crate::exit::{Exit, Failure};
use crate::session::{Address, DEFAULT_SOCKET};
use crate::{limits, out, render};
use api::client::Client;
use clap::CommandFactory;
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::PathBuf;
use vocabulary::Fault;

/// A shell that asks for candidates sets this to its name.
const VARIABLE: &str = "UNDERSTUDY_COMPLETE";
/// The command that is completed, and called for candidates.
const BINARY: &str = "understudy";

/// Answers a shell that asks for candidates. False if this is an ordinary run.
pub fn answered() -> Result<bool, Failure> {
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .bin(BINARY)
        .try_complete(std::env::args_os(), here.as_deref())
        .map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, Fault::new(69, render::clean(&error.to_string()), "use bash, zsh or fish"))
}

/// What a shell runs once in order to complete.
pub fn registration(shell: Shell) -> Result<(), Failure> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let shells = Shells::builtins();
    let completer = shells.completer(name).ok_or_else(|| failed(&format!("there is no completion for {name}")))?;
    let mut text = Vec::new();
    completer.write_registration(VARIABLE, BINARY, BINARY, BINARY, &mut text).map_err(|error| failed(&error))?;
    out::line(String::from_utf8_lossy(&text).trim_end())
}

/// Names of servers.
pub fn servers(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates("/v1/servers", "name", current)
}

/// Names of machines.
pub fn machines(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates("/v1/machines", "name", current)
}

/// Names of agents.
pub fn agents(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates("/v1/agents", "name", current)
}

/// Plans of failovers.
pub fn failovers(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates("/v1/failovers", "id", current)
}

fn candidates(path: &str, field: &str, current: &OsStr) -> Vec<CompletionCandidate> {
    let prefix = current.to_string_lossy();
    let names = asked(path, field).unwrap_or_default();
    names.into_iter().filter(|name| name.starts_with(&*prefix)).map(CompletionCandidate::new).collect()
}

fn asked(path: &str, field: &str) -> Option<Vec<String>> {
    let address = std::env::var("UNDERSTUDY_ADDRESS").ok().and_then(|text| text.parse::<Address>().ok());
    let socket = address.map_or_else(|| PathBuf::from(DEFAULT_SOCKET), |address| address.0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let client = Client::new(&socket);
    let answer = runtime.block_on(async { tokio::time::timeout(limits::COMPLETION, client.get::<Vec<Value>>(path)).await });
    let items = answer.ok()?.ok()?;
    Some(items.iter().filter_map(|item| item.get(field)?.as_str().map(render::clean)).collect())
}
