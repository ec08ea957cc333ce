//! A script between the storage agent and the target's tool in a lab: it agrees or refuses, and does nothing, while a file says so.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lab::agents;
use lab::names::STORAGE_AGENT;
use serde_json::Value;

use crate::trouble::{Done, Trouble, at};

/// While this file is there, no session is ended.
pub const KEEPS_SESSIONS: &str = "target-keeps-sessions";
/// While this file is there, no logical unit is removed.
pub const KEEPS_EXPORTS: &str = "target-keeps-exports";
/// Where the agent's configuration names the target's tool.
const TOOL: &str = "/devices/storage/driver/tgt/tgtadm";

/// The script, for this tool and the lab of this folder.
fn script(run: &Path, tool: &str) -> String {
    let (sessions, exports) = (run.join(KEEPS_SESSIONS), run.join(KEEPS_EXPORTS));
    format!(
        "#!/bin/sh\n\
         case \" $* \" in\n\
         *' --mode conn --op delete '*) if [ -e '{}' ]; then exit 0; fi ;;\n\
         *' --mode logicalunit --op delete '*) if [ -e '{}' ]; then echo 'tgtadm: this logical unit is still active' >&2; exit 22; fi ;;\n\
         esac\n\
         exec '{tool}' \"$@\"\n",
        sessions.display(),
        exports.display()
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

/// One of the files is there from now on, or not.
pub fn mark(run: &Path, name: &str, there: bool) -> Done {
    let file = run.join(name);
    if there {
        return at(&file, std::fs::write(&file, ""));
    }
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => at(&file, Err(error)),
        Ok(()) | Err(_) => Ok(()),
    }
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
        mark(run, KEEPS_SESSIONS, true).unwrap();
        assert_eq!(called(run, ends), (Some(0), String::new()));
        assert_eq!(called(run, shows), done(shows));
        mark(run, KEEPS_SESSIONS, false).unwrap();
        mark(run, KEEPS_SESSIONS, false).unwrap();
        let removes = "--mode logicalunit --op delete --tid 1 --lun 1";
        mark(run, KEEPS_EXPORTS, true).unwrap();
        assert_eq!(called(run, removes), (Some(22), String::new()));
        mark(run, KEEPS_EXPORTS, false).unwrap();
        assert_eq!(called(run, removes), done(removes));
        assert_eq!(called(run, ends), done(ends));
    }
}
