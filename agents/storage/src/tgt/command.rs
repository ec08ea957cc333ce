//! Runs `tgtadm`: one call at a time, each with a deadline and a bound on what it may print.
//! Must never put a secret into a log or an error.

use crate::limits::{COMMAND_TIMEOUT, COMPLAINT_CHARS_MAX, OUTPUT_BYTES_MAX};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// How to reach the target daemon.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The administration tool.
    pub tgtadm: PathBuf,
    /// The daemon's control port.
    pub control_port: u16,
    /// Environment of the tool; nothing else is inherited.
    pub environment: BTreeMap<String, String>,
}

/// Why a call did not give an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The tool could not be started.
    #[error("`{tool}` cannot be started: {reason}; is tgt installed there?")]
    Absent {
        /// Its path.
        tool: String,
        /// The system's word.
        reason: String,
    },
    /// No answer in time; whether it happened is unknown.
    #[error("`tgtadm {what}` gave no answer within {} s", COMMAND_TIMEOUT.as_secs())]
    Silent {
        /// The call, without secrets.
        what: String,
    },
    /// The daemon is not there.
    #[error("the target daemon does not answer on control port {port}: {said}")]
    NoDaemon {
        /// Its control port.
        port: u16,
        /// What the tool said.
        said: String,
    },
    /// The daemon said no.
    #[error("`tgtadm {what}`: {said}")]
    Refused {
        /// The call, without secrets.
        what: String,
        /// What the tool said.
        said: String,
    },
    /// What it printed cannot be trusted to be complete.
    #[error("`tgtadm {what}` printed what cannot be understood: {reason}")]
    Garbled {
        /// The call.
        what: String,
        /// What is odd.
        reason: String,
    },
}

/// The tool's exit code when it cannot reach the daemon (ENOTCONN, ECONNREFUSED).
const NO_DAEMON_CODES: [i32; 2] = [107, 111];

impl Tool {
    /// Calls the tool with these arguments and returns what it printed.
    pub async fn call(&self, arguments: &[&str]) -> Result<String, CommandError> {
        self.call_with_secret(arguments, None).await
    }

    /// As `call`; the secret is the last argument and is named nowhere. The tool knows no other way to take one than its command line.
    pub async fn call_with_secret(&self, arguments: &[&str], secret: Option<&str>) -> Result<String, CommandError> {
        let what = arguments.join(" ");
        let absent =
            |error: std::io::Error| CommandError::Absent { tool: self.tgtadm.display().to_string(), reason: error.to_string() };
        let mut child = Command::new(&self.tgtadm)
            .args(["-C", &self.control_port.to_string(), "--lld", "iscsi"])
            .args(arguments)
            .args(secret)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(absent)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(CommandError::Garbled { what, reason: "its output is not connected".into() });
        };
        let talk = async {
            // whichever pipe overflows or fails ends the talk, and the tool with it
            let (printed, said) = tokio::try_join!(all_of(stdout), all_of(stderr))?;
            Ok::<_, std::io::Error>((child.wait().await?, printed, said))
        };
        let (status, printed, said) = match tokio::time::timeout(COMMAND_TIMEOUT, talk).await {
            Err(_) => return Err(CommandError::Silent { what }),
            Ok(talked) => talked.map_err(|error| CommandError::Garbled { what: what.clone(), reason: error.to_string() })?,
        };
        if status.success() {
            return String::from_utf8(printed)
                .map_err(|_| CommandError::Garbled { what, reason: "bytes that are not text".into() });
        }
        let said = printable(&String::from_utf8_lossy(&said));
        if status.code().is_some_and(|code| NO_DAEMON_CODES.contains(&code)) {
            return Err(CommandError::NoDaemon { port: self.control_port, said });
        }
        Err(CommandError::Refused { what, said })
    }
}

/// Everything up to the end of the pipe; more than the bound is an error.
async fn all_of(pipe: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > OUTPUT_BYTES_MAX {
        return Err(std::io::Error::other(format!("more than {OUTPUT_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// One line of what the tool said, cut to a length that fits a log.
fn printable(said: &str) -> String {
    let line: String = said.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(COMPLAINT_CHARS_MAX).collect();
    let line = line.trim_start_matches("tgtadm: ").to_owned();
    if line.is_empty() { "it failed without a word".into() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Tool) {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tgtadm");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, Tool { tgtadm: path, control_port: 9, environment: BTreeMap::new() })
    }

    #[tokio::test]
    async fn what_it_says_is_told_and_the_secret_is_not() {
        let (_folder, tool) = shell("echo \"tgtadm: can't find the target\" >&2; exit 22");
        let error = tool.call_with_secret(&["--mode", "account", "--password"], Some("hunter2")).await.unwrap_err();
        assert_eq!(
            error,
            CommandError::Refused { what: "--mode account --password".into(), said: "can't find the target".into() }
        );
        let (_folder, tool) = shell("exit 107");
        assert!(matches!(tool.call(&["x"]).await, Err(CommandError::NoDaemon { port: 9, .. })));
    }

    #[tokio::test]
    async fn too_much_output_is_an_error() {
        let (_folder, tool) = shell("exec /usr/bin/head -c 20000000 /dev/zero");
        assert!(matches!(tool.call(&["x"]).await, Err(CommandError::Garbled { .. })));
        let tool = Tool { tgtadm: "/nowhere/tgtadm".into(), control_port: 0, environment: BTreeMap::new() };
        assert!(matches!(tool.call(&["x"]).await, Err(CommandError::Absent { .. })));
    }

    #[tokio::test]
    async fn a_hanging_tool_is_given_up_and_killed() {
        let (folder, tool) = shell("echo $$ > \"$0.pid\"; exec /bin/sleep 60");
        assert!(matches!(tool.call(&["x"]).await, Err(CommandError::Silent { .. })));
        let pid = std::fs::read_to_string(folder.path().join("tgtadm.pid")).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        for _ in 0..100 {
            if std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the tool still runs");
    }
}
