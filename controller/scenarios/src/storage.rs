//! What happens to the storage target of a lab.
//!
//! A target that does not do what it is asked is made by a script between the storage agent and the target's tool: it agrees and does
//! nothing, while a file says so. The daemon, its sessions and what it shows are the real ones.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::agents;
use lab::names::{STORAGE_AGENT, TGT_CONTROL};
use oracle::tgt;
use serde_json::Value;
use vocabulary::ServerId;

use crate::run::{Run, until};
use crate::script::{AtTarget, Shown};
use crate::trouble::{Done, Trouble, at};

/// While this file is there, no session is ended.
const KEEPS_SESSIONS: &str = "target-keeps-sessions";
/// Where the agent's configuration names the target's tool.
const TOOL: &str = "/devices/storage/driver/tgt/tgtadm";

/// The script, for this tool and the lab of this folder.
fn script(run: &Path, tool: &str) -> String {
    let sessions = run.join(KEEPS_SESSIONS);
    format!(
        "#!/bin/sh\n\
         case \" $* \" in\n\
         *' --mode conn --op delete '*) if [ -e '{}' ]; then exit 0; fi ;;\n\
         esac\n\
         exec '{tool}' \"$@\"\n",
        sessions.display()
    )
}

/// Puts the script between the agent, which must not run yet, and the target's tool.
pub fn come_between(run: &Path) -> Done {
    let (config, between) = (agents::folder(run, STORAGE_AGENT).join("agent.json"), run.join("tgtadm"));
    let mut value: Value = serde_json::from_slice(&at(&config, std::fs::read(&config))?)
        .map_err(|error| Trouble::Wrong(format!("the storage agent's configuration: {error}")))?;
    let place =
        value.pointer_mut(TOOL).ok_or_else(|| Trouble::Wrong("the storage agent's configuration has no tool".to_owned()))?;
    let tool = place.as_str().unwrap_or_default().to_owned();
    *place = Value::String(between.display().to_string());
    at(&between, std::fs::write(&between, script(run, &tool)))?;
    at(&between, std::fs::set_permissions(&between, std::fs::Permissions::from_mode(0o755)))?;
    at(&config, std::fs::write(&config, value.to_string()))
}

/// Does it.
pub fn befall(run: &Run<'_>, what: &AtTarget) -> Done {
    match what {
        AtTarget::KeepsSessions(keeps) => mark(&run.rig.run.join(KEEPS_SESSIONS), *keeps),
    }
}

/// A file that is there or not.
fn mark(file: &Path, there: bool) -> Done {
    if there {
        return at(file, std::fs::write(file, ""));
    }
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => at(file, Err(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Asked of the target itself, by its own tool.
pub fn shows(run: &Run<'_>, server: &ServerId, wanted: Shown, within: Duration) -> Done {
    let file = run.rig.run.join(format!("volumes/{}.img", volume(server))).display().to_string();
    until(&sentence(server, wanted), within, || compare(&asked(run, &["--mode", "target", "--op", "show"])?, &file, wanted))
}

fn asked(run: &Run<'_>, arguments: &[&str]) -> Done<String> {
    let words: Vec<&str> = ["tgtadm", "-C", TGT_CONTROL, "--lld", "iscsi"].into_iter().chain(arguments.iter().copied()).collect();
    let output = run.rig.hand()?.exec(&words)?;
    if output.end.is_success() {
        return Ok(output.stdout);
    }
    Err(Trouble::Command { command: words.join(" "), told: output.stdout + &output.stderr })
}

/// The volume of a server.
pub fn volume(server: &ServerId) -> String {
    format!("{server}-root")
}

/// What is waited for, in words.
pub fn sentence(server: &ServerId, wanted: Shown) -> String {
    match wanted {
        Shown::Sessions(number) => format!("{number} sessions of {server} at its target"),
    }
}

/// Holds what the target shows against what is wanted of the volume in this file.
pub fn compare(shown: &str, file: &str, wanted: Shown) -> Done<Result<(), String>> {
    let targets = tgt::read(shown).map_err(|why| Trouble::Wrong(format!("the target's list: {why}")))?;
    let file = PathBuf::from(file);
    let exports: Vec<&tgt::Shown> = targets.iter().filter(|target| target.files.contains(&file)).collect();
    let (wanted, there) = match wanted {
        Shown::Sessions(number) => (number, exports.iter().map(|target| target.sessions.len()).sum::<usize>()),
    };
    Ok(if there == wanted { Ok(()) } else { Err(format!("there are {there}")) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A lab's folder with a tool that tells how it was called.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (agent, tool) = (agents::folder(folder.path(), STORAGE_AGENT), folder.path().join("real"));
        std::fs::create_dir_all(&agent).unwrap();
        std::fs::write(&tool, "#!/bin/sh\necho \"$@\"\n").unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = serde_json::json!({"devices": {"storage": {"driver": {"tgt": {"tgtadm": tool, "control_port": 7}}}}});
        std::fs::write(agent.join("agent.json"), config.to_string()).unwrap();
        folder
    }

    fn called(folder: &Path, line: &str) -> (Option<i32>, String) {
        let output = Command::new(folder.join("tgtadm")).args(line.split(' ')).env_clear().output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn the_script_keeps_sessions_while_it_is_told_to_and_nothing_else() {
        let folder = folder();
        let run = folder.path();
        come_between(run).unwrap();
        let config = std::fs::read_to_string(agents::folder(run, STORAGE_AGENT).join("agent.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config.pointer(TOOL).unwrap(), &run.join("tgtadm").display().to_string());
        let (ends, shows) = ("-C 7 --lld iscsi --mode conn --op delete --tid 1 --sid 1 --cid 0", "--mode conn --op show --tid 1");
        let done = |line: &str| (Some(0), format!("{line}\n"));
        assert_eq!(called(run, ends), done(ends));
        mark(&run.join(KEEPS_SESSIONS), true).unwrap();
        assert_eq!(called(run, ends), (Some(0), String::new()));
        assert_eq!(called(run, shows), done(shows));
        mark(&run.join(KEEPS_SESSIONS), false).unwrap();
        mark(&run.join(KEEPS_SESSIONS), false).unwrap();
        assert_eq!(called(run, ends), done(ends));
    }
}
