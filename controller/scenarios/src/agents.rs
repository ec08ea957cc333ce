//! What happens to the agents of a lab that are processes beside their devices.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lab::agents;
use lab::exec::Exec;
use lab::names::BOOT_SERVICE;
use lab::services::{Ready, Service};
use serde_json::Value;

use crate::limits::READY;
use crate::run::Run;
use crate::script::Mishap;
use crate::trouble::{Done, Trouble, at};

/// What the second process on one gate file says as it ends.
pub const TAKEN: &str = "in use by another process";
/// What a process on a copy of what another has says as it starts.
const A_COPY: &str = "gate file was copied here";
/// Where a process on a copy listens: nobody knows of it.
const ELSEWHERE: &str = "127.0.0.1:7454";

fn argv(run: &Run<'_>, agent: &str, config: &Path) -> Vec<String> {
    let program = if agent == BOOT_SERVICE { "understudy-boot" } else { "understudy-agent" };
    let program = run.places.program(program).display().to_string();
    vec![program, "--config".to_owned(), config.display().to_string()]
}

/// Something happens to an agent.
pub fn befall(run: &Run<'_>, agent: &str, mishap: Mishap) -> Done {
    let mut hand = run.rig.hand()?;
    match mishap {
        Mishap::Dies => Ok(hand.kill(agent).map(drop)?),
        Mishap::Returns => Ok(hand.start(agent).map(drop)?),
        Mishap::Forgets => {
            hand.kill(agent)?;
            lose_memory(run, agent)?;
            Ok(hand.start(agent).map(drop)?)
        }
        Mishap::Copied => copied(&agents::folder(&run.rig.run, agent), &copy(run, agent)),
        Mishap::Older => {
            let copy = copy(run, agent);
            if !copy.is_dir() {
                return Err(Trouble::Wrong(format!("nobody has copied {agent}")));
            }
            hand.kill(agent)?;
            copied(&copy, &agents::folder(&run.rig.run, agent))?;
            Ok(hand.start(agent).map(drop)?)
        }
        Mishap::TwiceInVain => twice(run, agent),
        Mishap::OnACopy => on_a_copy(run, agent),
    }
}

/// Where what it keeps is copied to.
fn copy(run: &Run<'_>, agent: &str) -> PathBuf {
    run.rig.run.join("copies").join(agent)
}

/// Makes one folder what another is, and leaves every file that both have the file it is, as going back to a snapshot does. What goes away
/// meanwhile was on its way to another name.
pub fn copied(from: &Path, to: &Path) -> Done {
    at(to, std::fs::create_dir_all(to))?;
    for entry in at(to, std::fs::read_dir(to))? {
        let path = at(to, entry)?.path();
        let stays = path.file_name().is_some_and(|name| from.join(name).exists());
        match path.is_dir() {
            _ if stays => {}
            true => at(&path, std::fs::remove_dir_all(&path))?,
            false => at(&path, std::fs::remove_file(&path))?,
        }
    }
    at(to, std::fs::metadata(from).and_then(|data| std::fs::set_permissions(to, data.permissions())))?;
    for entry in at(from, std::fs::read_dir(from))? {
        let path = at(from, entry)?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copied(&path, &to.join(name))?;
        } else if path.is_file() {
            match std::fs::copy(&path, to.join(name)) {
                Err(source) if source.kind() != ErrorKind::NotFound => return at(&path, Err(source)),
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// Everything that the agent wrote itself is gone.
fn lose_memory(run: &Run<'_>, agent: &str) -> Done {
    let folder = agents::folder(&run.rig.run, agent);
    let given = [folder.join("agent.json"), agents::bundle(&run.rig.run, agent)];
    for entry in at(&folder, std::fs::read_dir(&folder))? {
        let path = at(&folder, entry)?.path();
        if path.is_file() && !given.contains(&path) {
            at(&path, std::fs::remove_file(&path))?;
        }
    }
    Ok(())
}

/// A second process where the first one lies; it has to end by itself, and say why.
fn twice(run: &Run<'_>, agent: &str) -> Done {
    let argv = argv(run, agent, &agents::folder(&run.rig.run, agent).join("agent.json"));
    let (line, mut told) = (argv.join(" "), String::new());
    let exec = Exec { argv, timeout_ms: u64::try_from(READY.as_millis()).ok(), ..Exec::default() };
    let end = run.rig.hand()?.exec_with(exec, |_, text| told.push_str(text))?;
    if !end.is_success() && told.contains(TAKEN) {
        return Ok(());
    }
    Err(Trouble::Wrong(format!("`{line}` is to be refused, since its gate file is in use: {end}; {told}")))
}

/// A second process on a copy of all that the first one has, with another address to listen on; over when it serves.
fn on_a_copy(run: &Run<'_>, agent: &str) -> Done {
    let name = format!("{agent}-copy");
    let (from, to) = (agents::folder(&run.rig.run, agent), agents::folder(&run.rig.run, &name));
    copied(&from, &to)?;
    let config = to.join("agent.json");
    let text = at(&config, std::fs::read_to_string(&config))?.replace(&from.display().to_string(), &to.display().to_string());
    let mut value: Value = serde_json::from_str(&text).map_err(|error| Trouble::Wrong(format!("{agent}: {error}")))?;
    if let Some(listen) = value.get_mut("listen") {
        *listen = Value::String(ELSEWHERE.to_owned());
    }
    at(&config, std::fs::write(&config, value.to_string()))?;
    let ready = ELSEWHERE.parse().ok().map(Ready::Tcp);
    run.rig.hand()?.add(Service { name: name.clone(), argv: argv(run, agent, &config), ready, ..Service::default() })?;
    let log = run.rig.run.join(format!("logs/{name}.log"));
    let told = at(&log, std::fs::read(&log))?;
    if String::from_utf8_lossy(&told).contains(A_COPY) {
        return Ok(());
    }
    Err(Trouble::Wrong(format!("{name} does not know that it is a copy of {agent}")))
}
