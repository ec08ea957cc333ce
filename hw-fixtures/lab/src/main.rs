//! `understudy-lab`: raises a lab, and lets a caller outside reach into one.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 not done, 2 usage; `exec` and `up -- COMMAND` pass on the command's.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use lab::client::Client;
use lab::control::{Act, Request};
use lab::enter::{Orders, RunFolder, hold_signals, up};
use lab::exec::Exec;
use lab::names::{MACHINES, MACHINES_MAX, SwitchKind};
use lab::qemu::Firmware;
use lab::services::{Namespace, Service};
use lab::volumes::Boot;

type Failed = Box<dyn std::error::Error>;

#[derive(Parser)]
#[command(name = "understudy-lab", about = "A small data centre of QEMU machines in namespaces of its own")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Raise a lab and stay until it ends (Ctrl-C, `down`, or the end of COMMAND)
    Up(Box<Up>),
    /// The first process inside; started by `up` alone
    #[command(hide = true)]
    Supervise,
    /// End a lab
    Down(At),
    /// What a lab is and where its files lie, as JSON
    Info(At),
    /// Run a command inside a lab
    Exec(ExecArgs),
    /// The standing of a lab's services, as JSON
    Services(At),
    /// Start a service of the table
    Start(Named),
    /// End a service in order
    Stop(Named),
    /// Kill a service
    Kill(Named),
    /// Do something to a machine behind its BMC's back
    Machine {
        #[command(flatten)]
        at: At,
        /// m1, m2...
        name: String,
        /// What
        act: Act,
    },
    /// The newest fact of the switch, as JSON
    Facts {
        #[command(flatten)]
        at: At,
        /// Every one from now on, one a line
        #[arg(long)]
        follow: bool,
    },
    /// Lay a file beside the switch's agent; `bundle.json` starts it
    Put {
        #[command(flatten)]
        at: At,
        /// Its name there
        name: String,
        /// The file here
        file: PathBuf,
    },
    /// Give the switch an order of a foreign hand: access PORT VID, down PORT, kill-agent, reboot
    Hand {
        #[command(flatten)]
        at: At,
        /// The order
        #[arg(required = true)]
        words: Vec<String>,
    },
}

#[derive(Args)]
struct At {
    /// The lab's run folder
    #[arg(long)]
    dir: PathBuf,
}

#[derive(Args)]
struct Named {
    #[command(flatten)]
    at: At,
    /// The service
    name: String,
}

#[derive(Args)]
struct ExecArgs {
    #[command(flatten)]
    at: At,
    /// With the machines instead of the services
    #[arg(long)]
    hall: bool,
    /// The command
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

#[derive(Args)]
struct Up {
    /// The run folder: logs, sockets, volumes; removed at the end
    #[arg(long)]
    dir: PathBuf,
    /// The unpacked packages
    #[arg(long)]
    packages: PathBuf,
    /// Where images are kept for further labs
    #[arg(long)]
    cache: PathBuf,
    /// Where our programs are built
    #[arg(long)]
    bin_dir: PathBuf,
    /// How many machines
    #[arg(long, default_value_t = MACHINES, value_parser = clap::value_parser!(u8).range(1..=i64::from(MACHINES_MAX)))]
    machines: u8,
    /// The machines' firmware
    #[arg(long, value_enum, default_value = "bios")]
    firmware: Firmware,
    /// How servers boot
    #[arg(long, value_enum, default_value = "kernel")]
    boot: Boot,
    /// What the switch is
    #[arg(long, value_enum, default_value = "machine")]
    switch: SwitchKind,
    /// How much longer than by itself the machines' firmware takes, milliseconds
    #[arg(long, default_value_t = 0)]
    post_ms: u16,
    /// A folder whose files go into the root of a switch that is a machine (etc/understudy/agent.json...)
    #[arg(long)]
    switch_files: Option<PathBuf>,
    /// A JSON file with further services: [{name, argv, env, log, ready: {unix|tcp|file: ..}}]
    #[arg(long)]
    services: Option<PathBuf>,
    /// A further folder that stays visible inside, should it lie below /tmp or /run
    #[arg(long)]
    visible: Vec<PathBuf>,
    /// Keep the run folder
    #[arg(long)]
    keep: bool,
    /// Make a user namespace even as root
    #[arg(long)]
    user_namespace: bool,
    /// A command run inside once all is up; the lab ends with it
    #[arg(last = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    match run(cli.verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("understudy-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode, Failed> {
    match verb {
        Verb::Up(arguments) => raise(*arguments),
        Verb::Supervise => Ok(ExitCode::from(lab::supervisor::main()?)),
        Verb::Down(at) => ask(&at.dir, &Request::Down),
        Verb::Info(at) => ask(&at.dir, &Request::Info),
        Verb::Exec(arguments) => exec(arguments),
        Verb::Services(at) => ask(&at.dir, &Request::Services),
        Verb::Start(named) => ask(&named.at.dir, &Request::Start { name: named.name }),
        Verb::Stop(named) => ask(&named.at.dir, &Request::Stop { name: named.name }),
        Verb::Kill(named) => ask(&named.at.dir, &Request::Kill { name: named.name }),
        Verb::Machine { at, name, act } => ask(&at.dir, &Request::Machine { name, act }),
        Verb::Facts { at, follow: false } => ask(&at.dir, &Request::Facts { follow: false }),
        Verb::Facts { at, follow: true } => follow(&at.dir),
        Verb::Put { at, name, file } => {
            let content = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            ask(&at.dir, &Request::Put { name, content })
        }
        Verb::Hand { at, words } => ask(&at.dir, &Request::Hand { line: words.join(" ") }),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failed> {
    std::fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn raise(arguments: Up) -> Result<ExitCode, Failed> {
    if arguments.boot == Boot::San && arguments.firmware == Firmware::Uefi {
        return Err("--boot san needs --firmware bios: the lab's boot loader is GRUB for BIOS".into());
    }
    if arguments.switch != SwitchKind::Machine && arguments.switch_files.is_some() {
        return Err("--switch-files needs --switch machine: no other switch has a root of its own".into());
    }
    let services: Vec<Service> = match &arguments.services {
        Some(path) => serde_json::from_slice(&std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?)?,
        None => Vec::new(),
    };
    std::fs::create_dir_all(&arguments.cache)?;
    let mut orders = Orders {
        run: PathBuf::new(),
        packages: absolute(&arguments.packages)?,
        cache: absolute(&arguments.cache)?,
        bin_dir: absolute(&arguments.bin_dir)?,
        machines: arguments.machines,
        firmware: arguments.firmware,
        boot: arguments.boot,
        switch: arguments.switch,
        post_ms: arguments.post_ms,
        switch_files: arguments.switch_files.as_deref().map(absolute).transpose()?,
        visible: arguments.visible.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?,
        services,
        command: arguments.command,
        user_namespace: arguments.user_namespace || !nix::unistd::geteuid().is_root(),
    };
    let signals = hold_signals()?;
    let folder = RunFolder::take(&arguments.dir)?;
    folder.path().clone_into(&mut orders.run);
    Ok(up(&orders, folder, arguments.keep, &signals)?)
}

fn ask(run: &Path, request: &Request) -> Result<ExitCode, Failed> {
    let answer = Client::connect(run)?.ask(request)?;
    if !answer.is_null() {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn follow(run: &Path) -> Result<ExitCode, Failed> {
    for fact in Client::connect(run)?.follow_facts()? {
        println!("{}", serde_json::to_string(&fact?)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn exec(arguments: ExecArgs) -> Result<ExitCode, Failed> {
    let namespace = if arguments.hall { Namespace::Hall } else { Namespace::Services };
    let exec = Exec { argv: arguments.argv, namespace, ..Exec::default() };
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let end = Client::connect(&arguments.at.dir)?.exec_with(exec, |is_error, text| {
        // a reader that went away ends this program by itself
        let _ = if is_error { err.write_all(text.as_bytes()) } else { out.write_all(text.as_bytes()).and_then(|()| out.flush()) };
    })?;
    Ok(match end {
        lab::children::End::Code(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        lab::children::End::Signal(number) => u8::try_from(128 + number).map_or(ExitCode::FAILURE, ExitCode::from),
    })
}
