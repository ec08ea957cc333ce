//! A data centre with Understudy in it: raised, used and ended for one scenario. The steps' hands and eyes come together here.
//!
//! It ends with this object, and with this process however that ends: the lab dies with its parent, and takes its folder along.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use api::view::MachineView;
use lab::agents;
use lab::client::{Client, SOCKET};
use lab::enter::RunFolder;
use lab::names::{
    BMCS, BOOT_SERVICE, Machine, PDU, SERVERS, STORAGE_AGENT, SWITCH_AGENT, SwitchKind, production_address, server,
};
use lab::packages::Packages;
use lab::services::{Ready, Service};
use lab::sys::{Preparation, prepare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use vocabulary::boot::{BootMethod, Firmware};

use crate::between;
use crate::console::Consoles;
use crate::estate;
use crate::eyes::Eyes;
use crate::limits::{COMMAND, ENDED, LOOK, RAISED, READY, TRUSTED, WORDS_BYTES_MAX};
use crate::oracle::Oracle;
use crate::places::Places;
use crate::product::Product;
use crate::script::{Outlets, Setup};
use crate::signals;
use crate::trouble::{Done, Trouble, at};

/// A controller: its name in the lab's process table, and its places in the run folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Serve {
    /// Its name.
    pub name: &'static str,
    /// The folder of its store.
    pub state: &'static str,
    /// That of its documents.
    pub estate: &'static str,
    /// Its socket.
    pub socket: &'static str,
}

/// The first controller.
pub const SERVE: Serve = Serve { name: "serve", state: "state", estate: "estate", socket: "api.sock" };
const WEB_PORT: u16 = 80;

/// Of what a data centre is made, where a scenario does not say.
#[derive(Clone, Copy, Debug)]
pub struct Make {
    /// What its switch is.
    pub switch: SwitchKind,
    /// Its run folder stays.
    pub keep: bool,
}

/// Controllers that are not ours.
#[derive(Default)]
pub struct Rivals {
    /// The one that stood still while another took its place.
    pub stale: Option<Product>,
    /// That of another estate.
    pub stranger: Option<Product>,
    /// How long the storage agent's log was before a rival asked it.
    pub log_before: usize,
}

/// A raised data centre.
pub struct Rig {
    /// Its run folder.
    pub run: PathBuf,
    /// The controller.
    pub product: Product,
    /// What the users see.
    pub eyes: Eyes,
    /// The machines' consoles.
    pub consoles: Consoles,
    /// The judge.
    pub oracle: Oracle,
    /// How it was set up.
    pub setup: Setup,
    /// What its switch is.
    pub switch: SwitchKind,
    /// The controller's process.
    pub serve: Serve,
    /// Controllers that are not ours.
    pub rivals: Rivals,
    lab: LabProcess,
}

/// The lab's process, ended with this object.
struct LabProcess {
    child: Child,
    /// What it writes; a file without a name, so that nothing stays of it however we end.
    words: File,
}

impl LabProcess {
    /// Its last words, if it has ended.
    fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let words = self.words();
        let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("(no words)");
        Some(format!("{last} ({status})"))
    }

    /// All that it wrote so far.
    fn words(&self) -> String {
        let length = self.words.metadata().map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(0));
        let mut bytes = vec![0; length.min(WORDS_BYTES_MAX)];
        // what cannot be read tells nothing; the lab's own logs tell more
        let read = self.words.read_at(&mut bytes, 0).unwrap_or(0);
        bytes.truncate(read);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn end(&mut self) {
        signals::end_group(self.child.id());
        let start = Instant::now();
        while start.elapsed() < ENDED {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        // if it was still there: its death ends every part
        let _ = self.child.kill().and_then(|()| self.child.wait());
        signals::forget_group(self.child.id());
    }
}

impl Drop for LabProcess {
    fn drop(&mut self) {
        self.end();
    }
}

impl Rig {
    /// Raises a data centre and starts Understudy in it. No server runs yet. `tell` is called at each thing that is done.
    pub fn raise(places: &Places, name: &str, setup: &Setup, make: Make, tell: &dyn Fn(&str)) -> Done<Rig> {
        let runs = places.runs();
        at(&runs, std::fs::create_dir_all(&runs))?;
        sweep(&runs);
        let run = runs.join(format!("{name}-{}", std::process::id()));
        let mut lab = start_lab(places, &run, setup, make)?;
        wait_for_door(&mut lab, &run)?;
        tell("switch, storage and BMCs are up");
        match furnish(places, &run, setup, tell) {
            Ok((product, eyes, consoles, oracle)) => {
                let (setup, rivals) = (setup.clone(), Rivals::default());
                Ok(Rig { run, product, eyes, consoles, oracle, setup, switch: make.switch, serve: SERVE, rivals, lab })
            }
            Err(trouble) => {
                let to = places.failed().join(name);
                Err(match keep_logs(&run, &lab.words(), &to) {
                    Ok(()) => Trouble::Wrong(format!("{trouble}; logs: {}", to.display())),
                    Err(_) => trouble,
                })
            }
        }
    }

    /// A conversation with the lab.
    pub fn hand(&self) -> Done<Client> {
        Ok(Client::connect(&self.run)?)
    }

    /// Takes the machines in and starts every server; returns when the controller says so.
    pub fn start_servers(&self, tell: &dyn Fn(&str)) -> Done {
        let machines: Vec<String> = (1..=self.setup.machines).map(|number| Machine(number).name()).collect();
        let mut words = vec!["machine", "enroll"];
        words.extend(machines.iter().map(String::as_str));
        self.product.command(&words)?;
        tell("the machines are taken in");
        let product = &self.product;
        wait_for_power(product)?;
        std::thread::scope(|scope| {
            let starts: Vec<_> = SERVERS
                .iter()
                .map(|number| scope.spawn(move || product.command(&["server", "start", &server(*number)])))
                .collect();
            starts.into_iter().try_for_each(|start| match start.join() {
                Ok(done) => done.map(drop),
                Err(_) => Err(Trouble::Wrong("a start of a server was lost".to_owned())),
            })
        })
    }

    /// Starts the controller again, with further arguments.
    pub fn start_controller(&self, places: &Places, more: &[&str]) -> Done {
        self.hand()?.add(serve_row(places, &self.run, &self.serve, more))?;
        Ok(())
    }

    /// Whether the controller's process runs.
    pub fn controller_runs(&self) -> Done<bool> {
        let all: Vec<lab::services::Standing> = serde_json::from_value(self.hand()?.ask(&lab::control::Request::Services)?)
            .map_err(|error| Trouble::Wrong(format!("the lab's table of services: {error}")))?;
        Ok(all.iter().any(|row| row.name == self.serve.name && row.pid.is_some()))
    }

    /// Ends the controller, the boot service and the storage agent, which would put right what is done by hand. Servers run on.
    pub fn take_product_away(&self) -> Done {
        let mut hand = self.hand()?;
        if self.controller_runs()? {
            hand.kill(self.serve.name)?;
        }
        for agent in [BOOT_SERVICE, STORAGE_AGENT] {
            hand.kill(agent)?;
        }
        Ok(())
    }

    /// Says why the lab has ended, if it has.
    pub fn lab_ended(&mut self) -> Option<String> {
        self.lab.ended()
    }

    /// Keeps the logs of something that failed; answers where they are.
    pub fn keep_logs(&self, places: &Places, name: &str) -> Option<PathBuf> {
        let to = places.failed().join(name);
        keep_logs(&self.run, &self.lab.words(), &to).ok().map(|()| to)
    }
}

/// Starts the judge, the controller and its agents.
fn furnish(places: &Places, run: &Path, setup: &Setup, tell: &dyn Fn(&str)) -> Done<(Product, Eyes, Consoles, Oracle)> {
    let product = Product::at(&places.program("understudy"), &run.join(SERVE.socket))?;
    prepare_estate(&product, run, &SERVE, setup)?;
    let mut client = Client::connect(run)?;
    let oracle = Oracle::start(&mut client, places, run, setup)?;
    let wrong = |error: String| Trouble::Wrong(error);
    let packages = Packages::open(&places.packages).map_err(|error| wrong(error.to_string()))?;
    for machine in setup.over_ipmi.iter().copied().map(Machine) {
        let row = lab::ipmi::service(run, &packages, &places.program("bmc-sim"), machine);
        client.add(row.map_err(|error| wrong(error.to_string()))?)?;
    }
    client.add(serve_row(places, run, &SERVE, &[]))?;
    product.follow();
    enrol_agents(&product, &mut client, run, setup)?;
    tell("the controller and its agents trust each other");
    let own = at(Path::new("understudy-scenarios"), std::env::current_exe())?;
    let eyes = Eyes::open(run, &own, &servers())?;
    Ok((product, eyes, Consoles::open(run, setup.machines), oracle))
}

/// Copies logs, consoles and judgements; no volume, no key.
fn keep_logs(run: &Path, words: &str, to: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::create_dir_all(to)?;
    std::fs::write(to.join("lab.log"), words)?;
    for folder in [run.join("logs"), run.to_owned()] {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            let wanted = ["log", "serial", "jsonl"].contains(&ending) || path.ends_with(oracle::for_lab::VERDICT);
            if path.is_file()
                && wanted
                && let Some(name) = path.file_name()
            {
                std::fs::copy(&path, to.join(name))?;
            }
        }
    }
    Ok(())
}

/// The servers and where they answer.
pub fn servers() -> Vec<(String, SocketAddr)> {
    let address = |number: u8| {
        let text = production_address(number);
        let ip = text.split('/').next().and_then(|ip| ip.parse().ok());
        ip.map(|ip| (server(number), SocketAddr::new(ip, WEB_PORT)))
    };
    SERVERS.iter().filter_map(|number| address(*number)).collect()
}

/// Removes what labs left that were killed together with everything that could have tidied up.
fn sweep(runs: &Path) {
    for entry in std::fs::read_dir(runs).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.join(lab::enter::MARK).exists()
            && let Ok(folder) = RunFolder::take(&path)
        {
            // another sweep may have been faster
            let _ = folder.remove();
        }
    }
}

fn start_lab(places: &Places, run: &Path, setup: &Setup, make: Make) -> Done<LabProcess> {
    let program = places.program("understudy-lab");
    let words = memfd_create("words", MFdFlags::MFD_CLOEXEC).map(File::from).map_err(std::io::Error::from);
    let words = at(run, words)?;
    let (log, other) = (at(run, words.try_clone())?, at(run, words.try_clone())?);
    let mut command = Command::new(&program);
    command.arg("up").arg("--dir").arg(run);
    for (flag, path) in [("--packages", &places.packages), ("--cache", &places.cache), ("--bin-dir", &places.bin_dir)] {
        command.arg(flag).arg(path);
    }
    command.args(["--machines", &setup.machines.to_string()]);
    command.args(["--firmware", if setup.firmware == Firmware::Uefi { "uefi" } else { "bios" }]);
    command.args(["--boot", if setup.method == BootMethod::San { "san" } else { "kernel" }]);
    command.args(["--post-ms", &setup.post.as_millis().to_string()]);
    command.args(["--switch", make.switch.word()]);
    if make.keep {
        command.arg("--keep");
    }
    // however we end, it is asked to end, and tidies up
    prepare(&mut command, Preparation { die_with_parent: Some(Signal::SIGTERM), ..Preparation::default() });
    // a group of its own: Ctrl-C reaches this process, which then ends the lab in order
    let child = command.stdin(Stdio::null()).stdout(log).stderr(other).process_group(0).spawn();
    let child = child.map_err(|source| Trouble::Start { program, source })?;
    signals::remember_group(child.id());
    Ok(LabProcess { child, words })
}

fn wait_for_door(lab: &mut LabProcess, run: &Path) -> Done {
    let start = Instant::now();
    while !run.join(SOCKET).exists() {
        if let Some(reason) = lab.ended() {
            return Err(Trouble::NotUp { reason });
        }
        if start.elapsed() > RAISED {
            return Err(Trouble::NotUp { reason: format!("nothing within {} s", RAISED.as_secs()) });
        }
        std::thread::sleep(LOOK / 5);
    }
    Ok(())
}

/// The product's own example estate, made to fit, with the BMCs' password.
pub fn prepare_estate(product: &Product, run: &Path, serve: &Serve, setup: &Setup) -> Done {
    let (folder, state) = (run.join(serve.estate), run.join(serve.state));
    let words = |path: &Path| path.display().to_string();
    product.offline(&["estate", "init", &words(&folder), "--state", &words(&state), "--lab"])?;
    estate::adapt(&folder, setup)?;
    estate::password(&folder, &lab::bmc::password_file(run))?;
    if setup.bmcs_outside {
        estate::pin(&folder, run, setup.machines)?;
    }
    product.offline(&["estate", "check", &words(&folder), "--lab"]).map(drop)
}

/// The row of a controller in the lab's process table.
pub fn serve_row(places: &Places, run: &Path, serve: &Serve, more: &[&str]) -> Service {
    let words = |path: PathBuf| path.display().to_string();
    let mut argv = vec![words(places.program("understudy")), "serve".to_owned()];
    for (flag, path) in [("--state", serve.state), ("--estate", serve.estate), ("--socket", serve.socket)] {
        argv.extend([flag.to_owned(), words(run.join(path))]);
    }
    argv.extend(more.iter().map(|word| (*word).to_owned()));
    Service {
        name: serve.name.to_owned(),
        argv,
        ready: Some(Ready::Unix(run.join(serve.socket))),
        ready_within_ms: Some(u64::try_from(READY.as_millis()).unwrap_or(u64::MAX)),
        ..Service::default()
    }
}

/// Gives every agent its bundle, starts those that are processes here, and waits until the controller trusts all.
fn enrol_agents(product: &Product, client: &mut Client, run: &Path, setup: &Setup) -> Done {
    if let Some(lease) = setup.address_lease {
        let config = agents::folder(run, BOOT_SERVICE).join("agent.json");
        let text = at(&config, std::fs::read(&config))?;
        let mut value: Value = serde_json::from_slice(&text).map_err(|error| Trouble::Wrong(error.to_string()))?;
        if let Some(map) = value.as_object_mut() {
            map.insert("address_lease".to_owned(), Value::String(format!("{}s", lease.as_secs())));
        }
        at(&config, std::fs::write(&config, value.to_string()))?;
    }
    if setup.headstrong {
        between::come_between(run)?;
    }
    let own = run.join("sw1.bundle");
    product.command(&["agent", "enroll", SWITCH_AGENT, "--out", &own.display().to_string()])?;
    let bundle = at(&own, std::fs::read_to_string(&own))?;
    at(&own, std::fs::remove_file(&own))?;
    client.put("bundle.json", bundle)?;
    if setup.bmcs_outside {
        configure_bmcs(product, run)?;
    }
    let pdu = Some(PDU).filter(|_| setup.outlets != Outlets::Unnamed);
    let bmcs = Some(BMCS).filter(|_| setup.bmcs_outside);
    for agent in [STORAGE_AGENT, BOOT_SERVICE].into_iter().chain(pdu).chain(bmcs) {
        let path = agents::bundle(run, agent);
        product.command(&["agent", "enroll", agent, "--out", &path.display().to_string()])?;
        client.start(agent)?;
    }
    wait_for_trust(product)
}

/// Writes the configuration of the agent of the BMCs as an operator does, but for the places that only a lab has.
fn configure_bmcs(product: &Product, run: &Path) -> Done {
    let (folder, estate) = (agents::folder(run, BMCS), run.join(SERVE.estate));
    let text = product.offline(&["agent", "config", BMCS, "--estate", &estate.display().to_string()])?;
    let mut config: Value = serde_json::from_str(&text).map_err(|error| Trouble::Wrong(format!("{error}: {text}")))?;
    if let Some(map) = config.as_object_mut() {
        map.insert("bundle".to_owned(), json!(agents::bundle(run, BMCS)));
        map.insert("state_dir".to_owned(), json!(folder));
    }
    at(&folder, std::fs::create_dir_all(&folder))?;
    let path = folder.join("agent.json");
    at(&path, std::fs::write(&path, config.to_string()))
}

/// Waits until the power of every machine is known: a BMC that has lost its mains in a trial of outlets is not believed at once.
fn wait_for_power(product: &Product) -> Done {
    let start = Instant::now();
    loop {
        let all: Vec<MachineView> = product.view("/v1/machines")?;
        match all.into_iter().find(|machine| machine.power == "unknown") {
            None => return Ok(()),
            Some(machine) if start.elapsed() > COMMAND => {
                let last = format!("nobody knows that of {}", machine.name);
                return Err(Trouble::Late { what: "the power of every machine".to_owned(), within: COMMAND, last });
            }
            Some(_) => std::thread::sleep(LOOK * 2),
        }
    }
}

/// Waits until every agent is trusted.
pub fn wait_for_trust(product: &Product) -> Done {
    let start = Instant::now();
    loop {
        let told: Vec<api::view::AgentStateView> = product.view("/v1/agents")?;
        let other = told.iter().find(|agent| agent.state != "trusted");
        match other {
            None if !told.is_empty() => return Ok(()),
            Some(agent) if start.elapsed() > TRUSTED => {
                let last = format!("{} is {}: {}", agent.name, agent.state, agent.reason.clone().unwrap_or_default());
                return Err(Trouble::Late { what: "trust between controller and agents".to_owned(), within: TRUSTED, last });
            }
            _ => std::thread::sleep(LOOK * 2),
        }
    }
}
