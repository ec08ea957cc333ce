//! Packages the build and its tests need, installed by apt with consent: a C compiler and its headers (SQLite and ring are C), and what
//! contains plugins. Only new packages: nothing is removed, upgraded out of turn or downgraded. As root directly, else by sudo, else the
//! one line to type is printed.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::check::is_root;
use crate::consent::Consent;
use crate::packages::Outcome;
use crate::run;
use crate::say;
use crate::text::megabytes;

/// A build-time package, how its presence shows, and why it is needed.
struct Needed {
    name: &'static str,
    reason: &'static str,
    present: fn() -> bool,
}

const NEEDED: &[Needed] = &[
    Needed {
        name: "gcc",
        reason: "compiles the bundled SQLite and the cryptography, and links",
        present: || run::answers("cc", &["--version"]),
    },
    Needed {
        name: "libc6-dev",
        reason: "C headers, and the static C library of the two static programs",
        present: || installed("libc6-dev"),
    },
    Needed {
        name: "bubblewrap",
        reason: "contains the plugins that health checks run, in tests",
        present: || run::answers("bwrap", &["--version"]),
    },
];

/// Components of the Rust tool chain that `test` uses.
const COMPONENTS: &[(&str, &str)] = &[("rustfmt", "fmt"), ("clippy", "clippy")];

/// Makes sure that the build can run; asks before it installs.
pub fn ensure(consent: Consent) -> Result<Outcome<()>> {
    let missing: Vec<&Needed> = NEEDED.iter().filter(|needed| !(needed.present)()).collect();
    if missing.is_empty() {
        return Ok(Outcome::Done(()));
    }
    let names: Vec<&str> = missing.iter().map(|needed| needed.name).collect();
    let line = format!("apt-get install --yes --no-install-recommends --no-remove {}", names.join(" "));
    let mut text = vec![format!("To install by apt, with what they depend on ({}):", download_size(&names))];
    text.extend(missing.iter().map(|needed| format!("  {:<12} {}", needed.name, needed.reason)));
    if !consent.given(&text.join("\n"))? {
        return Ok(by_hand(&line));
    }
    let Some(mut privileged) = privileged(consent) else {
        return Ok(by_hand(&line));
    };
    let apt = privileged_line(&line, lists_missing(&names));
    say!("{apt}");
    let status = run::status(privileged.args(["sh", "-c", &apt]))?;
    if !status.success() || missing.iter().any(|needed| !(needed.present)()) {
        return Ok(by_hand(&line));
    }
    Ok(Outcome::Done(()))
}

/// Makes sure that cargo has its formatter and linter; rustup adds them for the user alone.
pub fn ensure_components(consent: Consent) -> Result<Outcome<()>> {
    let missing: Vec<&str> =
        COMPONENTS.iter().filter(|(_, verb)| !run::answers("cargo", &[verb, "--version"])).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(Outcome::Done(()));
    }
    let line = format!("rustup component add {}", missing.join(" "));
    if !consent.given(&format!("To add to the Rust tool chain (about 15 MB): {}", missing.join(", ")))? {
        return Ok(by_hand(&line));
    }
    let status = run::status(Command::new("rustup").args(["component", "add"]).args(&missing));
    if status.is_ok_and(|status| status.success()) {
        return Ok(Outcome::Done(()));
    }
    Ok(by_hand(&line))
}

fn by_hand(line: &str) -> Outcome<()> {
    let root = if is_root() { "" } else { ", as root" };
    eprintln!("Not installed. To do it by hand{root}:\n\n    {line}\n\nand start again.");
    Outcome::Declined
}

/// The words that make a command run as root: none for root, sudo where there is one that will answer.
fn privileged(consent: Consent) -> Option<Command> {
    if is_root() {
        return Some(Command::new("env"));
    }
    let silent = run::answers("sudo", &["-n", "true"]);
    let may_ask = consent == Consent::Ask && run::answers("sudo", &["--version"]);
    (silent || (may_ask && sudo_unlocked())).then(|| {
        let mut command = Command::new("sudo");
        command.arg("-n");
        command
    })
}

/// Lets sudo ask for the password itself, on the terminal, before the run in a process group of its own.
fn sudo_unlocked() -> bool {
    Command::new("sudo").arg("-v").status().is_ok_and(|status| status.success())
}

fn privileged_line(line: &str, update_first: bool) -> String {
    let install = format!("DEBIAN_FRONTEND=noninteractive {line}");
    if update_first { format!("apt-get update -qq; {install}") } else { install }
}

fn lists_missing(names: &[&str]) -> bool {
    simulate(names).is_none()
}

fn download_size(names: &[&str]) -> String {
    match simulate(names) {
        Some(bytes) => format!("{} to download", megabytes(bytes)),
        None => "size known once apt has fetched its lists".to_owned(),
    }
}

/// Bytes apt would download, if its lists know the packages.
fn simulate(names: &[&str]) -> Option<u64> {
    let output = Command::new("apt-get")
        .args(["install", "--print-uris", "-qq", "--no-install-recommends", "--no-remove", "-o", "Debug::NoLocking=1"])
        .args(names)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("apt-get")
        .ok()?;
    output.status.success().then(|| {
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok())
            .sum()
    })
}

fn installed(name: &str) -> bool {
    crate::packages::installed().is_ok_and(|packages| packages.contains_key(name))
}
