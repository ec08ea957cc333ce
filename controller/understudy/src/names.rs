//! Names for the shell's completion, asked from the controller with a short deadline. It is silent when no controller answers.

use crate::address::{Address, DEFAULT_SOCKET};
use crate::{limits, render};
use api::client::Client;
use clap_complete::engine::CompletionCandidate;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::PathBuf;

/// Names of servers.
pub fn servers(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates("/v1/servers", "name", current)
}

/// Names of machines.
pub fn machines(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates("/v1/machines", "name", current)
}

/// Names of machines and servers.
pub fn machines_and_servers(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut all = machines(current);
    all.extend(servers(current));
    all
}

/// Names of sites.
pub fn sites(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates("/v1/sites", "name", current)
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
