//! The product, used as a user uses it: its command line, and its API behind the same socket. Nothing here looks into its store.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::view::{FailoverView, PlanSummary, ServerView, StatusView, WatchView};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::command;
use crate::limits::{API_ANSWER, COMMAND, LOOK};
use crate::trouble::{Done, Trouble};

/// A controller, seen from outside.
pub struct Product {
    program: PathBuf,
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
    story: Arc<Mutex<Vec<WatchView>>>,
}

impl Product {
    /// The controller that listens, or will listen, at this socket.
    pub fn at(program: &Path, socket: &Path) -> Done<Product> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|source| Trouble::Start { program: program.to_owned(), source })?;
        Ok(Product { program: program.to_owned(), socket: socket.to_owned(), runtime, story: Arc::default() })
    }

    /// The controller's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How a person in another shell, in the same folder as this one, reaches it: two short lines that are one command.
    pub fn typed(&self, verb: &str) -> String {
        let here = std::env::current_dir().unwrap_or_default();
        let from_here = |path: &Path| path.strip_prefix(&here).unwrap_or(path).display().to_string();
        format!("    {} {verb} \\\n        --address unix:{}", from_here(&self.program), from_here(&self.socket))
    }

    /// A command that is not sent to a controller.
    pub fn offline(&self, words: &[&str]) -> Done<String> {
        command::output(Command::new(&self.program).args(words), COMMAND)
    }

    /// A command for the controller.
    pub fn command(&self, words: &[&str]) -> Done<String> {
        let address = format!("unix:{}", self.socket.display());
        command::output(Command::new(&self.program).args(["--address", &address]).args(words), COMMAND)
    }

    /// The same, its answer as JSON.
    pub fn json(&self, words: &[&str]) -> Done<Value> {
        let mut all = vec!["--output", "json"];
        all.extend(words);
        let text = self.command(&all)?;
        serde_json::from_str(&text).map_err(|error| Trouble::Api(format!("`understudy {}`: {error}", words.join(" "))))
    }

    /// A view of the API.
    pub fn view<T: DeserializeOwned>(&self, path: &str) -> Done<T> {
        let client = api::client::Client::new(&self.socket);
        self.runtime.block_on(async {
            match tokio::time::timeout(API_ANSWER, client.get(path)).await {
                Ok(Ok(view)) => Ok(view),
                Ok(Err(api::client::Error::Unreachable(fault) | api::client::Error::Fault { fault, .. })) => {
                    Err(Trouble::Api(fault.to_string()))
                }
                Err(_) => Err(Trouble::Api(format!("no answer to GET {path} within {} s", API_ANSWER.as_secs()))),
            }
        })
    }

    /// Everything at a glance.
    pub fn status(&self) -> Done<StatusView> {
        self.view("/v1/status")
    }

    /// One server.
    pub fn server(&self, name: &str) -> Done<ServerView> {
        self.view(&format!("/v1/servers/{name}"))
    }

    /// All failovers so far.
    pub fn failovers(&self) -> Done<Vec<PlanSummary>> {
        self.view("/v1/failovers")
    }

    /// One failover, by its plan.
    pub fn failover(&self, plan: &str) -> Done<FailoverView> {
        self.view(&format!("/v1/failovers/{plan}"))
    }

    /// Follows the journal from its beginning, over any number of restarts of the controller, until this object ends.
    pub fn follow(&self) {
        let (client, story) = (api::client::Client::new(&self.socket), Arc::clone(&self.story));
        self.runtime.spawn(async move {
            loop {
                let from = lock(&story).last().map_or(0, |line| line.revision);
                let take = |line: &str| {
                    if let Ok(told) = serde_json::from_str::<WatchView>(line) {
                        let mut known = lock(&story);
                        if known.last().is_none_or(|last| last.revision < told.revision) {
                            known.push(told);
                        }
                    }
                    true
                };
                // it ends when the controller does; that is no fault here
                let _ = client.watch(&format!("/v1/watch?after={from}"), take).await;
                tokio::time::sleep(LOOK).await;
            }
        });
    }

    /// What was told so far.
    pub fn story(&self) -> Vec<WatchView> {
        lock(&self.story).clone()
    }

    /// How many entries of this kind were told so far.
    pub fn count(&self, kind: &str) -> usize {
        lock(&self.story).iter().filter(|line| line.kind == kind).count()
    }

    /// What was told last.
    pub fn last_sentence(&self) -> Option<WatchView> {
        lock(&self.story).last().cloned()
    }

    /// Ends the conversation.
    pub fn end(self) {
        self.runtime.shutdown_timeout(Duration::from_millis(100));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
