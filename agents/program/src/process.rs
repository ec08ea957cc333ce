//! One life of a program: started, spoken with line by line, and ended together with all that it started.

use crate::limits::{COMPLAINTS_MAX, LINE_BYTES_MAX};
use crate::line::shown;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::process::Stdio;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::AbortHandle;

/// Where programs are looked for, and what they find in their environment unless it is given.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Which program.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its file, an absolute path, and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// What it finds in its environment besides `PATH` and `LANG`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// A running program. Dropped, it and its process group are killed, and it ends with the agent however that ends.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Who hears its complaints; what left its process group may hold that end open for ever.
    complaints: Option<AbortHandle>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(complaints) = &self.complaints {
            complaints.abort();
        }
    }
}

impl Process {
    /// One that was waited for has no number any more: nobody else's is hit. So it is killed before it is waited for.
    fn id(&self) -> Option<Pid> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw)
    }

    /// Ends it and all of its process group, whose members may have outlived it.
    fn kill(&self) {
        if let Some(group) = self.id() {
            // all of them may have ended meanwhile
            let _ = killpg(group, Signal::SIGKILL);
        }
    }

    /// Starts it; what it writes to its standard error is logged.
    pub fn start(config: &Config) -> Result<Process, String> {
        let [program, arguments @ ..] = config.command.as_slice() else { return Err("its command is empty".to_owned()) };
        // in util-linux, as `prlimit`: an agent that is killed cannot end what it has started
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command.args(arguments).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").envs(&config.environment).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("`setpriv` cannot start it: {error}"))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let complaints = stderr.map(|stderr| tokio::spawn(complaints(program.clone(), stderr)).abort_handle());
        match (stdin, stdout) {
            (Some(stdin), Some(stdout)) => Ok(Process { child, stdin, stdout: BufReader::new(stdout), complaints }),
            _ => Err("it has no pipes".to_owned()),
        }
    }

    /// Sends a line.
    pub async fn tell(&mut self, line: &[u8]) -> Result<(), String> {
        let told = async {
            self.stdin.write_all(line).await?;
            self.stdin.flush().await
        };
        told.await.map_err(|error: std::io::Error| format!("it does not listen: {error}"))
    }

    /// Its next line, without the end.
    pub async fn line(&mut self) -> Result<Vec<u8>, String> {
        match line(&mut self.stdout).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => {
                // how it ended by itself is settled before its output ends
                self.kill();
                Err(match self.child.wait().await {
                    Ok(status) => format!("it ended with {status}"),
                    Err(error) => format!("it ended: {error}"),
                })
            }
            Err(reason) => Err(reason),
        }
    }

    /// Whether it has said something that nobody asked for, or ended.
    pub fn is_astray(&self) -> bool {
        !self.stdout.buffer().is_empty() || !self.is_alive()
    }

    /// Asked without waiting for it, so that its number stays its own.
    fn is_alive(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        self.id().is_some_and(|pid| matches!(waitid(Id::Pid(pid), flags), Ok(WaitStatus::StillAlive)))
    }
}

/// A line of bounded length; `None` at the end.
async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>, String> {
    let mut kept = Vec::new();
    loop {
        let seen = from.fill_buf().await.map_err(|error| format!("it cannot be heard: {error}"))?;
        if seen.is_empty() {
            return if kept.is_empty() { Ok(None) } else { Err(format!("it broke off within a line: `{}`", shown(&kept))) };
        }
        let end = seen.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(seen, |end| seen.split_at(end).0);
        kept.extend_from_slice(part);
        let taken = part.len() + usize::from(end.is_some());
        from.consume(taken);
        if kept.len() > LINE_BYTES_MAX {
            return Err(format!("a line of it is longer than {LINE_BYTES_MAX} bytes"));
        }
        if end.is_some() {
            return Ok(Some(kept));
        }
    }
}

/// Logs what a program complains about, in bounds, and reads on: who is not read would wait.
async fn complaints(program: String, from: impl AsyncRead + Unpin) {
    let mut from = BufReader::new(from);
    for _ in 0..COMPLAINTS_MAX {
        match line(&mut from).await {
            Ok(Some(line)) => tracing::warn!(%program, says = shown(&line), "a driver's program complains"),
            _ => break,
        }
    }
    // what breaks off is over
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_read_whole_or_complained_about() {
        let mut from = BufReader::with_capacity(3, &b"one\n\ntwo and three\nhal"[..]);
        assert_eq!(line(&mut from).await, Ok(Some(b"one".to_vec())));
        assert_eq!(line(&mut from).await, Ok(Some(Vec::new())));
        assert_eq!(line(&mut from).await, Ok(Some(b"two and three".to_vec())));
        assert!(line(&mut from).await.unwrap_err().contains("hal"));
        assert_eq!(line(&mut from).await, Ok(None));
        let endless = vec![b'x'; LINE_BYTES_MAX + 2];
        assert!(line(&mut BufReader::new(&endless[..])).await.unwrap_err().contains("longer"));
    }
}
