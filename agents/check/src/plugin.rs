//! The exec check: a plugin of the site in the convention of Nagios, contained by bubblewrap: another user, no capabilities, everything
//! read-only but a small /tmp, processes of its own that end with it, and bounds on time, memory, files and output.
//! Must never run a program that this agent's configuration does not name, and never take a plugin that was not run to its end for one that
//! saw something.

use crate::http::printable;
use crate::limits::{
    ARGUMENTS_BYTES_MAX, ARGUMENTS_MAX, CONTAINED, DEV_BYTES_MAX, KILLED_AFTER, OUTPUT_BYTES_MAX, PLUGIN_FILE_BYTES_MAX,
    PLUGIN_FILES_MAX, PLUGIN_MEMORY_BYTES_MAX, PLUGIN_PROCESSES_MAX, PLUGINS_AT_ONCE, QUEUE_MAX, TMP_BYTES_MAX,
};
use crate::socket::Tried;
use crate::tcp::shown;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User, geteuid};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use vocabulary::check::{CheckOutcome, ExecCheck};

/// How a shell and `timeout` tell of who was ended by SIGKILL.
const KILLED: i32 = 137;
/// Where programs are looked for, and what plugins find in their environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Who stands for the agent itself in `user`.
const SELF: &str = "self";
/// bubblewrap writes how the plugin ended to its own standard error, which it closes for the plugin; many programs want one.
const WITH_ERROR: &str = "exec \"$@\" 2>/dev/null";

/// Which plugins this agent runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// Where they lie, such as `/usr/lib/nagios/plugins`.
    pub folder: PathBuf,
    /// Their file names: no other is run, whatever the estate asks for.
    pub names: BTreeSet<String>,
    /// As whom they are run, for which the agent must be root. `self` is the agent's own user: then they may read all that it may, but for
    /// its bundle and its state, and may do with its sockets what it may.
    #[serde(default = "nobody")]
    pub user: String,
}

fn nobody() -> String {
    "nobody".to_owned()
}

/// Why plugins cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or is no program.
    #[error("the plugin {path} cannot be run: {reason}; correct `plugins` in the agent's configuration, or install it")]
    Missing {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The user does not exist, or is root.
    #[error("plugins cannot be run as `{user}`: {reason}; name another user under `plugins`")]
    User {
        /// Who.
        user: String,
        /// Why.
        reason: String,
    },
    /// A plugin that is not contained is not run.
    #[error(
        "plugins cannot be contained on this host: {reason}; install bubblewrap and util-linux, and let users make namespaces"
    )]
    Uncontained {
        /// What was seen.
        reason: String,
    },
}

/// The plugins of this agent.
#[derive(Clone, Debug)]
pub struct Plugins {
    folder: PathBuf,
    names: BTreeSet<String>,
    /// User and group; `None` for the agent's own.
    identity: Option<(u32, u32)>,
    /// What is hidden from plugins that run as the agent itself: its bundle and its state.
    hidden: Arc<Vec<PathBuf>>,
    running: Arc<Semaphore>,
}

/// How one run ended.
struct Run {
    /// As bubblewrap tells it; `None` if the plugin was never run.
    code: Option<i32>,
    status: ExitStatus,
    output: Vec<u8>,
    complaint: Vec<u8>,
}

/// A run and all that it started. Dropped before its end, they are killed: those that have left its process group since have tied their lives
/// to that of whoever started them before.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // one that was waited for has no number any more, and nobody else's is hit
        if let Some(group) = self.0.id().and_then(|pid| i32::try_from(pid).ok()) {
            // it may have ended meanwhile
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

impl Plugins {
    /// Makes sure that every plugin is there and that one can be contained. `hidden` are files and folders with the agent's own secrets.
    pub async fn open(config: &PluginConfig, hidden: &[PathBuf]) -> Result<Plugins, Error> {
        for name in &config.names {
            let path = config.folder.join(name);
            let missing = |reason: String| Error::Missing { path: path.clone(), reason };
            if !is_name(name) {
                return Err(missing("this is no file name".to_owned()));
            }
            match tokio::fs::metadata(&path).await {
                Ok(found) if found.is_file() => {}
                Ok(_) => return Err(missing("it is no file".to_owned())),
                Err(error) => return Err(missing(error.to_string())),
            }
        }
        let identity = identity(&config.user)?;
        let plugins = Plugins {
            folder: config.folder.clone(),
            names: config.names.clone(),
            identity,
            hidden: Arc::new(hidden.iter().filter(|path| path.exists()).cloned().collect()),
            running: Arc::new(Semaphore::new(PLUGINS_AT_ONCE)),
        };
        let uncontained = |reason: String| Error::Uncontained { reason };
        let tried = timeout(CONTAINED, plugins.run(OsStr::new("true"), &[], CONTAINED)).await;
        let run = tried.map_err(|_| uncontained(format!("`true` did not end within {}", shown(CONTAINED))))?;
        let run = run.map_err(|error| uncontained(format!("`prlimit` cannot be run: {error}")))?;
        match run.code {
            Some(0) => Ok(plugins),
            _ => Err(uncontained(format!("{}: {}", run.status, printable(&run.complaint)))),
        }
    }

    /// Runs one try.
    pub async fn attempt(&self, check: &ExecCheck, deadline: Duration) -> Tried {
        let plugin = &check.plugin;
        if !self.names.contains(plugin) {
            let name = printable(plugin.as_bytes());
            return Err(format!("it runs no plugin `{name}`; name it under `plugins` in the agent's configuration"));
        }
        let bytes: usize = check.arguments.iter().map(String::len).sum();
        if check.arguments.len() > ARGUMENTS_MAX || bytes > ARGUMENTS_BYTES_MAX {
            return Err(format!("{plugin} is given more than {ARGUMENTS_MAX} arguments or {ARGUMENTS_BYTES_MAX} bytes of them"));
        }
        let Ok(_running) = timeout(QUEUE_MAX, self.running.acquire()).await else {
            return Err(format!("{PLUGINS_AT_ONCE} plugins were running for {}", shown(QUEUE_MAX)));
        };
        let (program, begun) = (self.folder.join(plugin), Instant::now());
        // at the deadline it is ended from inside; where that does not happen, this host was too slow to start it or to end it
        let run = timeout(deadline + KILLED_AFTER, self.run(program.as_os_str(), &check.arguments, deadline)).await;
        match run {
            Err(_) => Err(format!("{plugin} could not be run to its end within {}", shown(deadline + KILLED_AFTER))),
            Ok(Ok(run)) if run.code == Some(KILLED) && begun.elapsed() >= deadline => {
                Ok(CheckOutcome::Failed(format!("{plugin} did not end within {}", shown(deadline))))
            }
            Ok(Err(error)) => Err(format!("{plugin} cannot be run: {error}")),
            Ok(Ok(run)) => judge(plugin, &run),
        }
    }

    async fn run(&self, program: &OsStr, arguments: &[String], deadline: Duration) -> std::io::Result<Run> {
        let mut group = Group(self.command(program, arguments, deadline).spawn()?);
        let (output, complaint) = (group.0.stdout.take(), group.0.stderr.take());
        let (status, output, complaint) = tokio::join!(group.0.wait(), heard(output), heard(complaint));
        let code = ended(&complaint);
        Ok(Run { code, status: status?, output, complaint })
    }

    fn command(&self, program: &OsStr, arguments: &[String], deadline: Duration) -> Command {
        let mut command = Command::new("prlimit");
        command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        if let Some((user, group)) = self.identity {
            command.uid(user).gid(group);
        }
        let seconds = deadline.as_secs().saturating_add(1);
        command.args([
            format!("--cpu={seconds}"),
            format!("--as={PLUGIN_MEMORY_BYTES_MAX}"),
            format!("--fsize={PLUGIN_FILE_BYTES_MAX}"),
            format!("--nofile={PLUGIN_FILES_MAX}"),
            format!("--nproc={PLUGIN_PROCESSES_MAX}"),
            "--core=0".to_owned(),
        ]);
        command.args([
            "--",
            "bwrap",
            "--unshare-user",
            "--disable-userns",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ]);
        command.args([
            "--size",
            DEV_BYTES_MAX,
            "--tmpfs",
            "/dev/shm",
            "--remount-ro",
            "/dev",
            "--size",
            TMP_BYTES_MAX,
            "--tmpfs",
            "/tmp",
        ]);
        command.args([
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
        ]);
        if self.identity.is_none() {
            for path in self.hidden.iter() {
                if path.is_dir() {
                    command.arg("--tmpfs").arg(path);
                } else {
                    command.args(["--ro-bind", "/dev/null"]).arg(path);
                }
            }
        }
        // who is killed before it has tied its life to that of its parent would leave it behind: its own clock ends it too
        let seconds = format!("{:.3}", deadline.as_secs_f64());
        command.args(["--json-status-fd", "2", "--", "timeout", "--signal=KILL", &seconds]);
        command.args(["sh", "-c", WITH_ERROR, "sh"]).arg(program).args(arguments);
        command
    }
}

/// A file name, and nothing that leads elsewhere.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

fn identity(name: &str) -> Result<Option<(u32, u32)>, Error> {
    let wrong = |reason: String| Error::User { user: name.to_owned(), reason };
    let root = geteuid().is_root();
    match User::from_name(name) {
        _ if name == SELF && root => Err(wrong("the agent is root, and no plugin is".to_owned())),
        _ if name == SELF => Ok(None),
        _ if !root => Err(wrong("the agent is no root, and becomes nobody else".to_owned())),
        Ok(Some(user)) if user.uid.is_root() => Err(wrong("it is root".to_owned())),
        Ok(Some(user)) => Ok(Some((user.uid.as_raw(), user.gid.as_raw()))),
        Ok(None) => Err(wrong("this host has no such user".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// The beginning of what is said. The rest is read and dropped: who is not read would wait.
async fn heard(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let most = u64::try_from(OUTPUT_BYTES_MAX).unwrap_or(u64::MAX);
    // what breaks off was said to here
    let _ = (&mut from).take(most).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    kept
}

/// How the plugin ended: bubblewrap's last document. It writes none if it could not run it.
fn ended(said: &[u8]) -> Option<i32> {
    let last = said.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty())?;
    let document: serde_json::Value = serde_json::from_slice(last).ok()?;
    i32::try_from(document.get("exit-code")?.as_i64()?).ok()
}

/// Nagios Plugin Development Guidelines, "Plugin Return Codes".
fn judge(plugin: &str, run: &Run) -> Tried {
    let said = first_line(&run.output);
    let text = if said.is_empty() { format!("{plugin} says nothing") } else { format!("{plugin}: {said}") };
    match run.code {
        Some(0 | 1) => Ok(CheckOutcome::Healthy),
        Some(2) => Ok(CheckOutcome::Failed(text)),
        Some(3) => Ok(CheckOutcome::Unknown(text)),
        Some(code) => Ok(CheckOutcome::Unknown(format!("{plugin} ended with {code}, which means nothing: {said}"))),
        None => Err(format!("{plugin} was not run: {}: {}", run.status, printable(&run.complaint))),
    }
}

/// What a plugin says for people: its first line, before the figures.
fn first_line(output: &[u8]) -> String {
    let line = output.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = line.split(|byte| *byte == b'|').next().unwrap_or_default();
    printable(words).trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_last_document_tells_how_it_ended() {
        assert_eq!(ended(b"{ \"child-pid\": 5 }\n{ \"exit-code\": 2 }\n"), Some(2));
        for other in [
            &b""[..],
            b"\n",
            b"{ \"child-pid\": 5 }\n",
            b"{ \"exit-code\": 0 }\nbwrap: no namespaces\n",
            b"{\"exit-code\": \"0\"}",
        ] {
            assert_eq!(ended(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn people_read_the_first_line_before_the_figures() {
        assert_eq!(first_line(b"DISK OK - free 5 GB | /=2643MB;5948\n/ 15272 MB"), "DISK OK - free 5 GB");
        assert_eq!(first_line(b"\x1b[31mred\nmore"), "[31mred");
        assert_eq!(first_line(b""), "");
    }

    /// The plugins run as whoever runs this test, with a bundle and a state that they could read.
    #[tokio::test]
    async fn what_the_agent_may_read_itself_is_hidden() {
        let folder = tempfile::Builder::new().prefix("hidden-").tempdir_in("/var/tmp").unwrap();
        let (bundle, state) = (folder.path().join("bundle.json"), folder.path().join("state"));
        std::fs::create_dir(&state).unwrap();
        std::fs::write(&bundle, "key").unwrap();
        std::fs::write(state.join("gate.json"), "memory").unwrap();
        let arguments = [&bundle, &state.join("gate.json")].map(|path| path.display().to_string());
        let read = async |hidden: Vec<PathBuf>| {
            let (names, running) = (BTreeSet::new(), Arc::new(Semaphore::new(1)));
            let plugins = Plugins { folder: "/bin".into(), names, identity: None, hidden: Arc::new(hidden), running };
            let run = plugins.run(OsStr::new("/bin/cat"), &arguments, Duration::from_secs(5)).await.unwrap();
            String::from_utf8(run.output).unwrap()
        };
        assert_eq!(read(Vec::new()).await, "keymemory", "else this shows nothing");
        assert_eq!(read(vec![bundle, state]).await, "");
    }

    proptest! {
        #[test]
        fn readers_are_total(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (ended(&bytes), first_line(&bytes));
        }
    }
}
