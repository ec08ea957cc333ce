//! From a state directory and an estate to a running engine: open, verify, fold, look again.

use crate::agents::{Agents, BMC_AGENT, Ear, Introduction, over_the_wire};
use crate::assemble::{Assembled, Flaw, Parts, assemble};
use crate::clock::{Chance, Clock};
use crate::core::Crash;
use crate::handle::Handle;
use crate::watch::Canary;
use bmc::registry::{Door, Fleet};
use contract::gate::{Gate, Identity as GateIdentity};
use contract::wire::enrol::Authority;
use pipeline::State;
use pipeline::stage::Stage;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vocabulary::estate::Estate;
use vocabulary::power::Identity;
use vocabulary::{AgentId, ControllerLife, Fault};

/// Where things are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The store, the gate and the authority.
    pub state: PathBuf,
    /// The estate's documents.
    pub estate: PathBuf,
    /// In a lab: end as kill -9 would when a failover enters this stage.
    pub crash_after: Option<Stage>,
}

/// The folder of the estate's authority in a state folder.
pub const AUTHORITY: &str = "authority";

/// Why the engine does not start. Each says what to do.
pub type Error = Fault;

/// A running engine: its handle, and how to stop it.
pub struct Running {
    /// What the API uses.
    pub handle: Handle,
    watchers: Vec<tokio::task::JoinHandle<()>>,
    thread: std::thread::JoinHandle<()>,
}

impl Running {
    /// Stops watching, lets the core end, closes BMC sessions. Servers run on.
    pub async fn stop(self) {
        for watcher in &self.watchers {
            watcher.abort();
        }
        self.handle.stop().await;
        let thread = self.thread;
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        self.handle.say_farewell().await;
    }
}

fn store_fault(error: journal::Error, state: &Path) -> Fault {
    match &error {
        journal::Error::Held { .. } => Fault::new(
            1101,
            error.to_string(),
            "one controller a store: stop the other `understudy serve`, or use another --state",
        ),
        journal::Error::Absent(_) => {
            Fault::new(1102, error.to_string(), format!("make one with `understudy estate init DIR --state {}`", state.display()))
        }
        journal::Error::Broken(_) => {
            Fault::new(1103, error.to_string(), "do not start from it: keep the directory as it is and restore a backup")
        }
        journal::Error::HeadMoved { .. } | journal::Error::Io(_) => {
            Fault::new(1104, error.to_string(), "look at the disk: space, permissions, file system errors")
        }
    }
}

/// Loads and checks the estate; its faults are one fault here, told in full by `estate check`.
fn load_estate(folder: &Path, lab: bool) -> Result<Estate, Fault> {
    let flavor = if lab { catalogue::Flavor::Lab } else { catalogue::Flavor::Production };
    let loaded = catalogue::load_for(folder, Some(flavor));
    let first = loaded.complaints.iter().find(|complaint| complaint.severity == catalogue::Severity::Error);
    let text = first.map_or_else(String::new, |complaint| format!("; the first: {complaint}"));
    let errors = loaded.errors();
    loaded.estate.ok_or_else(|| {
        Fault::new(
            57,
            format!("the estate in {} has {errors} faults{text}", folder.display()),
            format!("`understudy estate check {}` shows all of them with their remedies", folder.display()),
        )
    })
}

/// Starts everything.
pub fn start(config: &Config) -> Result<Running, Error> {
    let held = journal::open(&config.state).map_err(|error| store_fault(error, &config.state))?;
    let meta = held.store.meta().clone();
    let crash_after = config.crash_after.filter(|_| meta.lab);
    if config.crash_after.is_some() && !meta.lab {
        return Err(Fault::new(58, "--crash-after exists only in a lab estate", "leave it out"));
    }
    let estate = Arc::new(load_estate(&config.estate, meta.lab)?);
    let authority = Arc::new(authority(config, &meta)?);
    let chance = Chance::of_the_machine();
    let parts = Parts {
        controller: ControllerLife(chance.name()),
        held,
        estate: estate.clone(),
        clock: Clock::of_the_machine(),
        chance,
        agents: |state: &State, ear, introduction| agents(config, (&meta, &estate), state, &authority, (ear, introduction)),
        authority: authority.clone(),
        canary: Canary::over_tcp(),
        crash: crash_after.map(Crash::of_this_process),
    };
    let assembled = assemble(parts).map_err(|flaw| match flaw {
        Flaw::Store(error) => store_fault(error, &config.state),
        Flaw::Other(fault) => fault,
    })?;
    let watchers = assembled.watch();
    let Assembled { handle, core, receiver, .. } = assembled;
    let thread = std::thread::Builder::new()
        .name("core".to_owned())
        .spawn(move || core.runtime.clone().block_on(core.run(receiver)))
        .map_err(|error| Fault::new(1104, format!("no thread for the core: {error}"), "look at the machine's limits"))?;
    Ok(Running { handle, watchers, thread })
}

fn authority(config: &Config, meta: &journal::Meta) -> Result<Authority, Fault> {
    Authority::open(&config.state.join(AUTHORITY), meta.estate.clone(), meta.lineage.clone()).map_err(|error| {
        Fault::new(
            1006,
            format!("the certificate authority cannot be opened: {error}"),
            "look at the state directory's `authority` folder",
        )
    })
}

/// The agents: the BMCs that name none behind the gate inside this process, all others over the wire. The secrets of BMCs that an agent
/// outside owns are not even looked for.
fn agents(
    config: &Config,
    (meta, estate): (&journal::Meta, &Estate),
    state: &State,
    authority: &Arc<Authority>,
    (ear, introduction): (Ear, Introduction),
) -> Result<Agents, Fault> {
    let fleet = Arc::new(Fleet::new());
    for (id, machine) in estate.machines.iter().filter(|(_, machine)| machine.bmc.agent.is_none()) {
        let password = catalogue::secrets::resolve(&machine.bmc.password, &config.estate)?;
        let identity = Identity { uuid: machine.uuid.clone(), serial: machine.serial.clone() };
        let enrolled = state.ledger.machines.get(id).and_then(|row| row.enrolled.as_ref());
        let pin = enrolled.and_then(|enrolled| enrolled.certificate.clone());
        let key = machine.bmc.ipmi.as_ref().and_then(|ipmi| ipmi.key.as_ref());
        let key = key.map(|key| catalogue::secrets::resolve(key, &config.estate)).transpose()?;
        let firmware = machine.hardware.firmware.clone();
        let door = Door { key, firmware, ..Door::new(machine.bmc.clone(), identity, password, pin) };
        let admitted = fleet.admit(id.clone(), &door);
        admitted.map_err(|error| {
            Fault::new(1007, format!("the BMC of {id}: {error}"), "look at the machine's `bmc` in the estate")
        })?;
    }
    let name: AgentId = BMC_AGENT.parse().map_err(|_| Fault::new(1002, "bad agent name", "report this"))?;
    let fresh = !state.ledger.agents.contains(&name);
    let identity = GateIdentity::in_process(name, meta.estate.clone(), meta.lineage.clone(), fresh);
    let gate = Gate::open(config.state.join("gate-bmc.json"), identity, fleet).map_err(|error| {
        Fault::new(
            1001,
            format!("the gate of the BMC agent: {error}"),
            "look at the state directory: permissions, space, another process",
        )
    })?;
    let vantage = Arc::new(check::Checker::default());
    let controller = authority.issue_controller().map_err(|error| {
        Fault::new(
            1006,
            format!("no certificate for the controller: {error}"),
            "look at the state directory's `authority` folder",
        )
    })?;
    let ways = over_the_wire(estate, &controller)
        .map_err(|error| Fault::new(1006, error.to_string(), "look at the state directory's `authority` folder"))?;
    let agents = Agents::new((meta.estate.clone(), meta.lineage.clone()), estate, ways, gate, vantage, ear, introduction);
    Ok(agents.renewed_by(authority.clone()))
}
