//! Runs `tgtadm`: one call at a time, each with a deadline and a bound on what it may print.
//! Must never put a secret into a log or an error.

use super::host::{CommandError, Ended, Host, Object};
use super::parse::Target;
use crate::limits::{COMMAND_TIMEOUT, COMPLAINT_CHARS_MAX, OUTPUT_BYTES_MAX};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use vocabulary::WallTime;

/// The tool, wherever it runs; every call has its deadline.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    /// Where it runs.
    pub host: Arc<dyn Host>,
    /// The daemon's control port, for people.
    pub control_port: u16,
    /// The last list of targets, as it was printed and as it was understood: the same text says the same, and mostly it is the same.
    pub listed: Arc<Mutex<Listed>>,
}

/// A text of the tool, and what it says.
pub(super) type Listed = (String, Arc<Vec<Target>>);

/// This host, and the tool as a process of it.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// The administration tool.
    pub tgtadm: PathBuf,
    /// The daemon's control port.
    pub control_port: u16,
    /// Environment of the tool; nothing else is inherited.
    pub environment: BTreeMap<String, String>,
}

/// The tool's exit code when it cannot reach the daemon (ENOTCONN, ECONNREFUSED).
const NO_DAEMON_CODES: [i32; 2] = [107, 111];
/// What the tool (1.0.85) says when the daemon died with the question. It prints nothing then and calls that a success: an empty list that
/// is none.
const DIED: &str = "closed the socket";

impl Tool {
    /// Calls the tool with these arguments and returns what it printed.
    pub async fn call(&self, arguments: &[&str]) -> Result<String, CommandError> {
        self.call_with_secret(arguments, None).await
    }

    /// As `call`; the secret is the last argument and is named nowhere. The tool knows no other way to take one than its command line.
    pub async fn call_with_secret(&self, arguments: &[&str], secret: Option<&str>) -> Result<String, CommandError> {
        let what = || arguments.join(" ");
        let ended = match tokio::time::timeout(COMMAND_TIMEOUT, self.host.tgtadm(arguments, secret)).await {
            Err(_) => return Err(CommandError::Silent { what: what() }),
            Ok(ended) => ended?,
        };
        if ended.code == Some(0) && ended.said.is_empty() {
            return text(ended.printed, what);
        }
        let said = printable(&String::from_utf8_lossy(&ended.said));
        if said.contains(DIED) {
            return Err(CommandError::NoDaemon { port: self.control_port, said });
        }
        if ended.code == Some(0) {
            return text(ended.printed, what);
        }
        if ended.code.is_some_and(|code| NO_DAEMON_CODES.contains(&code)) {
            return Err(CommandError::NoDaemon { port: self.control_port, said });
        }
        Err(CommandError::Refused { what: what(), said })
    }
}

fn text(printed: Vec<u8>, what: impl FnOnce() -> String) -> Result<String, CommandError> {
    String::from_utf8(printed).map_err(|_| CommandError::Garbled { what: what(), reason: "bytes that are not text".into() })
}

impl Process {
    /// Runs it to its end, or ends it when nobody waits any more.
    pub async fn run(&self, arguments: &[&str], secret: Option<&str>) -> Result<Ended, CommandError> {
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
        let talked = talk.await.map_err(|error| CommandError::Garbled { what, reason: error.to_string() });
        let (status, printed, said) = talked?;
        Ok(Ended { code: status.code(), printed, said })
    }
}

#[async_trait]
impl Host for Process {
    async fn tgtadm(&self, arguments: &[&str], secret: Option<&str>) -> Result<Ended, CommandError> {
        self.run(arguments, secret).await
    }

    fn object(&self, path: &Path) -> Option<Object> {
        let found = std::fs::metadata(path).ok()?;
        Some(Object(format!("{}:{}", found.dev(), found.ino())))
    }

    fn now(&self) -> WallTime {
        crate::host::now()
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

    fn tool_at(tgtadm: PathBuf) -> Tool {
        let host = Arc::new(Process { tgtadm, control_port: 9, environment: BTreeMap::new() });
        Tool { host, control_port: 9, listed: Arc::default() }
    }

    fn shell(script: &str) -> (tempfile::TempDir, Tool) {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tgtadm");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (folder, tool_at(path))
    }

    #[tokio::test]
    async fn what_it_says_is_told_and_the_secret_is_not() {
        let (_folder, tool) = shell("echo \"tgtadm: can't find the target\" >&2; exit 22");
        let error = tool.call_with_secret(&["--mode", "account", "--password"], Some("hunter2")).await.unwrap_err();
        assert_eq!(
            error,
            CommandError::Refused { what: "--mode account --password".into(), said: "can't find the target".into() }
        );
        let (_folder, tool) = shell("echo 'tgtadm: tgtd closed the socket' >&2");
        assert!(matches!(tool.call(&["x"]).await, Err(CommandError::NoDaemon { .. })), "a success that is none");
        let (_folder, tool) = shell("exit 107");
        assert!(matches!(tool.call(&["x"]).await, Err(CommandError::NoDaemon { port: 9, .. })));
    }

    #[tokio::test]
    async fn a_list_that_changed_is_understood_anew_and_a_garbled_one_is_never_the_last_one() {
        let (folder, tool) = shell("exec /bin/cat \"$0.list\"");
        let shows = |text: &str| std::fs::write(folder.path().join("tgtadm.list"), text).unwrap();
        shows("Target 1: iqn.a\n");
        let first = tool.targets().await.unwrap();
        assert!(first.first().unwrap().tid == 1 && Arc::ptr_eq(&first, &tool.targets().await.unwrap()));
        shows("Target 2: iqn.a\n");
        assert_eq!(tool.targets().await.unwrap().first().unwrap().tid, 2);
        shows("Target 2: iqn.a\n garbled\n");
        assert!(matches!(tool.targets().await, Err(CommandError::Garbled { .. })));
        shows("Target 2: iqn.a\n");
        assert_eq!(tool.targets().await.unwrap().first().unwrap().tid, 2);
    }

    #[tokio::test]
    async fn too_much_output_is_an_error() {
        let (_folder, tool) = shell("exec /usr/bin/head -c 20000000 /dev/zero");
        assert!(matches!(tool.call(&["x"]).await, Err(CommandError::Garbled { .. })));
        let tool = tool_at("/nowhere/tgtadm".into());
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
