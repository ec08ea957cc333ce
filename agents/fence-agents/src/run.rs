//! One run of a fence agent: its options by its standard input, what it said, and how it ended. It stays in this program's process group, so
//! that whoever ends this program ends it too. Must never put an option on a command line, or wait beyond the deadline.

use crate::limits::OUTPUT_BYTES_MAX;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};
use vocabulary::Secret;

/// How a fence agent ended, and what it said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// Takes out of what it said the secrets that it was given.
    pub fn mask<'a>(&mut self, secrets: impl Iterator<Item = &'a Secret>) {
        // the longest first: a shorter one may be a part of it
        let mut secrets: Vec<&str> = secrets.map(Secret::expose).filter(|secret| !secret.is_empty()).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for said in [&mut self.out, &mut self.err] {
            for secret in &secrets {
                *said = said.replace(secret, "***");
            }
        }
    }
}

/// Why there is no end of it to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It was not started.
    NotStarted(String),
    /// It still runs, or nobody can follow it: it has to be ended, with all that it has started.
    Astray(String),
}

/// Runs it.
pub async fn run(agent: &Path, input: &[u8], until: Instant) -> Result<Ran, Trouble> {
    let mut command = Command::new(agent);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| Trouble::NotStarted(format!("it cannot be started: {error}")))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(Trouble::Astray("it has no pipes".to_owned()));
    };
    let told = async {
        // one that does not listen ends as it likes
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let all = async {
        let ((), out, err) = tokio::join!(told, heard(stdout), heard(stderr));
        let code = child.wait().await.map_err(|error| error.to_string())?.code();
        Ok(Ran { code, out: out?, err: err? })
    };
    match timeout_at(until, all).await {
        Ok(ran) => ran.map_err(Trouble::Astray),
        Err(_) => Err(Trouble::Astray("it was not done in time".to_owned())),
    }
}

async fn heard(from: impl AsyncRead + Unpin) -> Result<String, String> {
    let mut bytes = Vec::new();
    from.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > OUTPUT_BYTES_MAX {
        return Err(format!("it says more than {OUTPUT_BYTES_MAX} bytes"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
