//! The first process of a lab: makes its inside, starts its parts in order, buries what dies, ends everything when it ends.
//!
//! It must never start a part again by itself, and never end while leaving one behind: when it ends, the kernel kills all the rest.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use crate::agents;
use crate::bmc;
use crate::children::{Children, End};
use crate::client::SOCKET;
use crate::control::{Door, Ending};
use crate::cpio::Archive;
use crate::enter::{ORDERS, Orders};
use crate::facts::Facts;
use crate::images::{Maker, add_tree, keep, read, write};
use crate::inside::{Cables, InsideError, address_services, calm, make_hall, make_pairs, make_taps, settle};
use crate::limits::{SERVICE_LOOK, SWITCH_READY};
use crate::names::{
    BMC_SIM, BOOT_SERVICE, IMAGE, Machine, PDU, PORTAL, SERVERS, STORAGE_AGENT, SWITCH, SWITCH_AGENT, SwitchKind, TGT_CONTROL,
    TGTD, server,
};
use crate::open_vswitch::{self, Hand, Watcher};
use crate::packages::Packages;
use crate::qemu::{FACTS_SOCKET, Firmware, Qemu, UefiCode, machine_files};
use crate::services::{Namespace, Ready, Service, Services};
use crate::volumes;

/// Exit code of a lab that was ended while it was raised.
const ENDED_EARLY: i32 = 1;

type Failed = Box<dyn std::error::Error>;

/// Runs a lab from its beginning to its end; answers its exit code.
pub fn main() -> Result<u8, Failed> {
    let orders: Orders = serde_json::from_str(&std::env::var(ORDERS)?)?;
    let start = Instant::now();
    let (down, ended) = channel();
    let raised = Arc::new(AtomicBool::new(false));
    heed_signals(down.clone(), Arc::clone(&raised))?;
    settle(&visible(&orders))?;
    let children = Children::reap();
    let mut lab = Lab::make(&orders, children)?;
    tell(start, "networks, images and volumes");
    lab.start_parts()?;
    tell(start, "switch, storage and BMCs");
    for service in orders.services.clone() {
        let name = service.name.clone();
        lab.services.add(service, Vec::new())?;
        tell(start, &name);
    }
    lab.open_door(down.clone())?;
    raised.store(true, Ordering::SeqCst);
    tell(start, "the lab is up");
    let code = if orders.command.is_empty() { wait_for_end(&ended) } else { lab.run_command(&orders.command, down, &ended)? };
    lab.services.stop_all();
    Ok(code)
}

fn tell(start: Instant, what: &str) {
    eprintln!("{:6.2} s  {what}", start.elapsed().as_secs_f64());
}

fn visible(orders: &Orders) -> Vec<PathBuf> {
    let mut paths = vec![orders.run.clone(), orders.packages.clone(), orders.cache.clone(), orders.bin_dir.clone()];
    paths.extend(orders.switch_files.clone());
    paths.extend(orders.visible.iter().cloned());
    paths
}

/// Once the lab is raised it is ended in order. Before that nothing in it is worth an order: with this process every part ends.
fn heed_signals(down: Sender<Ending>, raised: Arc<AtomicBool>) -> Result<(), Failed> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    // before any thread is made, so that all threads have it so
    signals.thread_block()?;
    thread::spawn(move || {
        while signals.wait().is_ok() {
            if !raised.load(Ordering::SeqCst) {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "nothing outlives the first process but the run folder, which the caller removes"
                )]
                std::process::exit(ENDED_EARLY);
            }
            if down.send(Ending::Asked).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn wait_for_end(ended: &std::sync::mpsc::Receiver<Ending>) -> u8 {
    match ended.recv() {
        Ok(Ending::Command(End::Code(code))) => u8::try_from(code).unwrap_or(1),
        Ok(Ending::Command(End::Signal(_))) => 1,
        Ok(Ending::Asked) | Err(_) => 0,
    }
}

/// A lab with its inside made.
struct Lab {
    orders: Orders,
    packages: Packages,
    qemu: Qemu,
    uefi: Option<UefiCode>,
    services: Services,
    facts: Facts,
    taps: Vec<OwnedFd>,
    kernel: PathBuf,
    server_initrd: PathBuf,
}

impl Lab {
    /// Makes networks, images and volumes.
    fn make(orders: &Orders, children: Children) -> Result<Self, Failed> {
        let run = &orders.run;
        let packages = Packages::open(&orders.packages)?;
        for folder in ["logs", "volumes", "secrets", "images", "switch"] {
            fs::create_dir_all(run.join(folder))?;
        }
        let hall = make_hall()?;
        calm()?;
        let (taps, side) = match cable(&packages, &children, &hall, orders)? {
            Cables::Taps(taps) => (taps, None),
            Cables::Pairs(side) => (Vec::new(), Some(side)),
        };
        address_services(&packages, &children, orders.machines)?;
        let maker = Maker { packages: &packages, bin_dir: &orders.bin_dir, children: &children };
        let (kernel, _) = packages.kernel()?;
        let server_initrd = keep(&orders.cache, "server.cpio", &maker.server()?)?;
        match orders.switch {
            SwitchKind::Machine => {
                switch_initrd(&maker, orders, run)?;
                volumes::make_switch_disk(&maker, &run.join("switch.disk"))?;
            }
            SwitchKind::OpenVswitch => open_vswitch::make(&packages, &children, run)?,
        }
        for number in SERVERS {
            volumes::make(&maker, run, number, orders.boot, &kernel, &server_initrd)?;
        }
        for (from, to) in [(&kernel, IMAGE.1), (&server_initrd, IMAGE.2)] {
            fs::copy(from, run.join("images").join(to))?;
        }
        write_agent_files(orders, &packages)?;
        let qemu = Qemu {
            program: packages.path(&["bin/qemu-system-x86_64"])?,
            firmware_folders: packages.firmware_folders(),
            run: run.clone(),
            post_ms: orders.post_ms,
            switch: orders.switch,
        };
        let uefi = (orders.firmware == Firmware::Uefi)
            .then(|| packages.path(&["share/OVMF/OVMF_CODE_4M.fd"]).map(UefiCode))
            .transpose()?;
        let environment = environment(&packages, &orders.bin_dir);
        let services = Services::new(children, run.join("logs"), hall, side, environment);
        let facts = facts(orders, &services)?;
        Ok(Self { orders: orders.clone(), packages, qemu, uefi, services, facts, taps, kernel, server_initrd })
    }

    /// Starts the switch and the storage, then the BMCs, and waits until the switch reports.
    fn start_parts(&mut self) -> Result<(), Failed> {
        let run = self.orders.run.clone();
        match self.orders.switch {
            SwitchKind::Machine => {
                let row = self.switch_service();
                // the taps go to the row: QEMU gets them under these very numbers at every start of the switch
                self.services.add(row, std::mem::take(&mut self.taps))?;
            }
            SwitchKind::OpenVswitch => {
                let (bin_dir, machines) = (&self.orders.bin_dir, self.orders.machines);
                open_vswitch::start(&self.packages, &self.services, &run, bin_dir, machines)?;
            }
        }
        self.services.add(self.storage_service()?, Vec::new())?;
        self.write_bmc_files()?;
        let bmc_sim = self.orders.bin_dir.join("bmc-sim");
        let argv =
            [bmc_sim.as_path(), Path::new("--config"), &run.join("bmc-sim.json")].map(|word| word.to_string_lossy().into_owned());
        self.services.add(service(BMC_SIM, argv.to_vec(), Some(Ready::Unix(bmc::control_socket(&run)))), Vec::new())?;
        for row in agents::services(&run, &self.orders.bin_dir) {
            self.services.define(row);
        }
        self.wait_for_switch()
    }

    fn wait_for_switch(&self) -> Result<(), Failed> {
        let name = self.orders.switch.forwarder();
        let (start, log) = (Instant::now(), self.orders.run.join(format!("logs/{name}.log")));
        while start.elapsed() < SWITCH_READY {
            if self.facts.wait_fresh(SERVICE_LOOK).is_some() {
                return Ok(());
            }
            if let Some(end) = self.services.standing(name)?.ended {
                return Err(format!("the switch ended at once ({end}); see {}", log.display()).into());
            }
        }
        Err(format!("the switch reported nothing in {} s; see {} and what lies beside it", SWITCH_READY.as_secs(), log.display())
            .into())
    }

    fn switch_service(&self) -> Service {
        let fds: Vec<_> = self.taps.iter().map(AsRawFd::as_raw_fd).collect();
        let argv = self.qemu.switch(&self.kernel, &self.orders.run.join("switch.initrd"), &fds, self.orders.machines);
        let mut row = service(SWITCH, argv, None);
        row.env = self.packages.environment().into_iter().collect();
        row.namespace = Namespace::Hall;
        row.remove_before_start = (1..=self.orders.machines * 3)
            .map(|port| PathBuf::from(crate::names::switch_cable(port)))
            .chain([PathBuf::from(FACTS_SOCKET)])
            .collect();
        row
    }

    fn storage_service(&self) -> Result<Service, Failed> {
        let program = self.packages.path(&["sbin/tgtd"])?.to_string_lossy().into_owned();
        let argv =
            [program.as_str(), "-f", "-C", TGT_CONTROL, "--iscsi", &format!("portal={PORTAL}")].map(str::to_owned).to_vec();
        let mut row = service(TGTD, argv, Some(Ready::Tcp(PORTAL.parse()?)));
        row.env = self.packages.environment().into_iter().collect();
        Ok(row)
    }

    /// Passwords, the simulator's configuration, and a private copy of the firmware's variables for every machine that has some.
    fn write_bmc_files(&self) -> Result<(), Failed> {
        let run = &self.orders.run;
        // `ipmi_sim` takes 16 bytes
        let secret: String = uuid::Uuid::new_v4().simple().to_string().chars().take(16).chain(['\n']).collect();
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(bmc::password_file(run))?;
        file.write_all(secret.as_bytes())?;
        for machine in (1..=self.orders.machines).map(Machine) {
            if self.uefi.is_some() {
                let variables = self.packages.read(&["share/OVMF/OVMF_VARS_4M.fd"])?;
                write(&machine_files(run, machine).variables, &variables)?;
            }
        }
        let config = bmc::config(&self.qemu, self.orders.machines, self.uefi.as_ref(), &self.packages.environment());
        write(&run.join("bmc-sim.json"), &serde_json::to_vec_pretty(&config)?)?;
        Ok(())
    }

    /// What a caller outside needs to know.
    fn info(&self) -> Value {
        let run = &self.orders.run;
        let servers = SERVERS.map(|number| json!({"name": server(number), "volume": volumes::volume_file(run, number)}));
        json!({
            "run": run, "logs": run.join("logs"), "machines": self.orders.machines, "switch": self.orders.switch, "firmware": self.orders.firmware, "boot": self.orders.boot,
            "packages": self.packages.root(), "environment": self.packages.environment().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "bmc_control": bmc::control_socket(run), "bmc_password": bmc::password_file(run), "agents": agents::about(run),
            "kernel": run.join("images").join(IMAGE.1), "initrd": run.join("images").join(IMAGE.2), "cached_initrd": self.server_initrd,
            "servers": servers, "portal": PORTAL, "tgt_control": TGT_CONTROL,
        })
    }

    fn open_door(&self, down: Sender<Ending>) -> Result<(), Failed> {
        let run = &self.orders.run;
        let info = self.info();
        let mine = run.join(".lab.json");
        write(&mine, &serde_json::to_vec_pretty(&info)?)?;
        fs::rename(mine, run.join("lab.json"))?;
        let hand = match self.orders.switch {
            SwitchKind::Machine => None,
            SwitchKind::OpenVswitch => Some(Hand::new(self.services.clone(), run.clone())),
        };
        let (services, facts) = (self.services.clone(), self.facts.clone());
        let door = Door { services, facts, hand, run: run.clone(), info: Arc::new(info), down };
        Ok(door.open(&run.join(SOCKET))?)
    }

    /// Runs the caller's command inside, on the caller's terminal; the lab ends with it.
    fn run_command(
        &self,
        words: &[String],
        down: Sender<Ending>,
        ended: &std::sync::mpsc::Receiver<Ending>,
    ) -> Result<u8, Failed> {
        let Some((program, arguments)) = words.split_first() else { return Ok(0) };
        let mut command = Command::new(program);
        command.args(arguments).envs(self.services.environment());
        let running = self.services.children().start(&mut command).map_err(|error| format!("{program}: {error}"))?;
        thread::spawn(move || {
            if let Ok(end) = running.ended.recv() {
                // the lab may have ended first
                let _ = down.send(Ending::Command(end));
            }
        });
        Ok(wait_for_end(ended))
    }
}

fn service(name: &str, argv: Vec<String>, ready: Option<Ready>) -> Service {
    Service { name: name.to_owned(), argv, ready, ..Service::default() }
}

/// Cables the switch to the services, and where it is no machine, the machines to it.
fn cable(packages: &Packages, children: &Children, hall: &OwnedFd, orders: &Orders) -> Result<Cables, InsideError> {
    match orders.switch {
        SwitchKind::Machine => make_taps(),
        SwitchKind::OpenVswitch => make_pairs(packages, children, hall, orders.machines),
    }
}

/// The switch's facts: its own reports, or what is seen of it.
fn facts(orders: &Orders, services: &Services) -> std::io::Result<Facts> {
    let (log, machines) = (orders.run.join("logs/switch-facts.log"), orders.machines);
    if orders.switch == SwitchKind::Machine {
        return Ok(Facts::listen(Path::new(FACTS_SOCKET), log));
    }
    let (hall, services, name) = (services.hall()?, services.clone(), orders.switch.forwarder());
    let runs = move || services.standing(name).is_ok_and(|standing| standing.pid.is_some());
    Ok(Facts::watch(log, move || Watcher::enter(&hall, machines), runs))
}

/// What every process of the lab finds in its environment: the packages' programs, then ours, then the computer's.
fn environment(packages: &Packages, bin_dir: &Path) -> Vec<(String, String)> {
    let mut environment = packages.environment();
    let theirs = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    let mut path: Vec<_> =
        ["usr/sbin", "usr/bin", "sbin", "bin"].iter().map(|folder| packages.root().join(folder).display().to_string()).collect();
    path.extend([bin_dir.display().to_string(), theirs]);
    environment.push(("PATH".to_owned(), path.join(":")));
    environment
}

/// The switch's initrd: the cached image, and behind it what this lab adds (its agent's configuration and keys).
fn switch_initrd(maker: &Maker<'_>, orders: &Orders, run: &Path) -> Result<(), Failed> {
    let mut bytes = read(&keep(&orders.cache, "switch.cpio", &maker.switch()?)?)?;
    let mut own = Archive::default();
    own.file(guest::switch::AGENT_CONFIG, 0o644, &serde_json::to_vec_pretty(&agents::switch(orders.machines))?);
    if let Some(files) = &orders.switch_files {
        add_tree(&mut own, files, "")?;
    }
    bytes.extend(own.finish());
    Ok(write(&run.join("switch.initrd"), &bytes)?)
}

/// The configurations of the agents that are processes here, each in its own folder.
fn write_agent_files(orders: &Orders, packages: &Packages) -> Result<(), Failed> {
    let (run, machines) = (&orders.run, orders.machines);
    let beside = (orders.switch == SwitchKind::OpenVswitch).then(|| (SWITCH_AGENT, agents::switch_beside(run, machines)));
    let others = [
        (STORAGE_AGENT, agents::storage(run, packages)?),
        (BOOT_SERVICE, agents::boot(run, packages, machines)?),
        (PDU, agents::outlets(run, machines)),
    ];
    for (name, config) in others.into_iter().chain(beside) {
        let folder = agents::folder(run, name);
        fs::create_dir_all(&folder)?;
        write(&folder.join("agent.json"), &serde_json::to_vec_pretty(&config)?)?;
    }
    Ok(())
}
