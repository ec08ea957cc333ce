//! Builds what the verbs start: the default members, and the two programs that run inside small machines, linked statically. All are put
//! together in `target/lab/bin`, since a normal build puts its own in place of static ones. One build shape, one output folder.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run;
use crate::say;
use crate::tree::Tree;

/// A program that must run in a machine without any library.
struct Static {
    package: &'static str,
    program: &'static str,
}

const STATIC: &[Static] =
    &[Static { package: "understudy-agent", program: "understudy-agent" }, Static { package: "guest", program: "lab-guest" }];

/// Ending of a program that is not whole yet; behind it stands who makes it.
const PARTIAL: &str = "partial-";

/// Any of the three execute bits.
const EXECUTABLE: u32 = 0o111;

/// The program that raises a bare lab and takes it down.
pub const LAB_PROGRAM: &str = "understudy-lab";
/// The program of the demo, the scenarios and the benchmarks in the lab.
pub const SCENARIO_PROGRAM: &str = "understudy-scenarios";

/// Builds everything the lab verbs need. The static programs come first, so that the normal build has the last word in `target/debug`.
pub fn all(tree: &Tree) -> Result<()> {
    let talk = announce(tree);
    for program in STATIC {
        statically(tree, program, talk)?;
    }
    run::succeed(run::cargo(tree).arg("build").args(talk))?;
    for name in programs(&tree.programs())? {
        if STATIC.iter().all(|wanted| *wanted.program != *name) {
            put(&tree.programs().join(&name), &tree.lab_programs().join(&name))?;
        }
    }
    Ok(())
}

/// Builds what the simulated hall needs: the normal build's programs, none of them static.
pub fn programs_alone(tree: &Tree) -> Result<()> {
    let talk = announce(tree);
    run::succeed(run::cargo(tree).arg("build").args(talk))
}

/// Names of the programs in cargo's output folder, which also holds libraries and notes, told by their ending.
fn programs(folder: &Path) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode();
        if entry.file_type()?.is_file() && mode & EXECUTABLE != 0 && entry.path().extension().is_none() {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}

/// Builds the scenarios' program alone, for a question that needs no lab.
pub fn scenario_program(tree: &Tree) -> Result<()> {
    let talk = announce(tree);
    run::succeed(run::cargo(tree).args(["build", "--package", "scenarios", "--bin", SCENARIO_PROGRAM]).args(talk))
}

/// A first build takes minutes, so cargo tells of each crate; later ones are over before one could read it.
fn announce(tree: &Tree) -> &'static [&'static str] {
    if tree.programs().join(LAB_PROGRAM).exists() {
        say!("building what changed");
        &["--quiet"]
    } else {
        say!("building, which takes minutes the first time");
        &[]
    }
}

fn statically(tree: &Tree, wanted: &Static, talk: &[&str]) -> Result<()> {
    run::succeed(run::cargo(tree).args(["rustc", "--package", wanted.package, "--bin", wanted.program]).args(talk).args([
        "--",
        "-C",
        "target-feature=+crt-static",
    ]))?;
    let built = tree.programs().join(wanted.program);
    if !is_static(&built)? {
        bail!("{} is not static: is libc6-dev (with libc.a) installed, and is RUSTFLAGS unset?", built.display());
    }
    put(&built, &tree.lab_programs().join(wanted.program))
}

/// Asks the dynamic loader, which answers for static programs too.
fn is_static(program: &Path) -> Result<bool> {
    let output =
        Command::new("ldd").arg(program).env("LC_ALL", "C").stdin(Stdio::null()).output().context("ldd did not start")?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok(text.contains("statically linked") || text.contains("not a dynamic executable"))
}

/// Removes what a run left that was killed while it put this program in place.
fn sweep(to: &Path, folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let maker = path.extension().and_then(|ending| ending.to_str()?.strip_prefix(PARTIAL));
        if path.file_stem() == to.file_name() && maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Puts a program in place in one step: a lab may be starting the former one. What is the same already stays, with its time.
fn put(from: &Path, to: &Path) -> Result<()> {
    let fresh = std::fs::read(from).with_context(|| format!("{} cannot be read", from.display()))?;
    if std::fs::read(to).is_ok_and(|present| present == fresh) {
        return Ok(());
    }
    let folder = to.parent().context("a program lies in a folder")?;
    std::fs::create_dir_all(folder)?;
    sweep(to, folder)?;
    let partial = to.with_extension(format!("{PARTIAL}{}", std::process::id()));
    std::fs::copy(from, &partial)?;
    std::fs::rename(&partial, to).with_context(|| format!("{} cannot be put in place", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::scratch_folder;

    #[test]
    fn what_is_put_follows_its_original_and_leaves_no_partial_behind() {
        let folder = scratch_folder("compile-copy");
        let (from, to) = (folder.join("from"), folder.join("static/to"));
        std::fs::create_dir(folder.join("static")).unwrap();
        // no process has this number
        std::fs::write(folder.join("static/to.partial-99999999"), "half").unwrap();
        for content in ["one", "two", "two"] {
            std::fs::write(&from, content).unwrap();
            put(&from, &to).unwrap();
            assert_eq!(std::fs::read_to_string(&to).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(folder.join("static")).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn only_programs_are_gathered() {
        let folder = scratch_folder("compile-programs");
        for (name, mode) in [("understudy", 0o755), ("understudy.d", 0o644), ("liboracle.so", 0o755), ("notes", 0o644)] {
            std::fs::write(folder.join(name), "").unwrap();
            std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(folder.join("deps")).unwrap();
        assert_eq!(programs(&folder).unwrap(), ["understudy"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_shell_of_this_machine_is_not_static() {
        assert!(!is_static(Path::new("/bin/sh")).unwrap());
    }
}
