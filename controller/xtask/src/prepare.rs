//! From any machine to one that can build and run the lab: check, install, unpack, build. It stops at the first thing a person must do.

use std::process::Command;

use anyhow::Result;

use crate::check;
use crate::compile::{self, LAB_PROGRAM, SCENARIO_PROGRAM};
use crate::consent::Consent;
use crate::install;
use crate::packages::{self, Outcome};
use crate::tree::Tree;

/// Checks, installs and unpacks; `Declined` means that the person was told what to do.
pub fn machine(tree: &Tree, consent: Consent) -> Result<Outcome<()>> {
    let complaints = check::judge(&check::facts(tree));
    for complaint in &complaints {
        eprintln!("  * {complaint}");
    }
    if !complaints.is_empty() {
        return Ok(Outcome::Declined);
    }
    if let Outcome::Declined = install::ensure(consent)? {
        return Ok(Outcome::Declined);
    }
    if let Outcome::Declined = packages::ensure(tree, consent, false)? {
        return Ok(Outcome::Declined);
    }
    Ok(Outcome::Done(()))
}

/// The same, and builds what the lab verbs start.
pub fn machine_and_programs(tree: &Tree, consent: Consent) -> Result<Outcome<()>> {
    if let Outcome::Declined = machine(tree, consent)? {
        return Ok(Outcome::Declined);
    }
    compile::all(tree)?;
    Ok(Outcome::Done(()))
}

/// `understudy-lab VERB`; the caller adds the verb's own arguments.
pub fn lab_command(tree: &Tree, verb: &str) -> Command {
    let mut command = Command::new(tree.programs().join(LAB_PROGRAM));
    command.arg(verb);
    command
}

/// The same for the verb that raises a bare lab: it is told where packages, images and programs are.
pub fn raising_command(tree: &Tree, verb: &str) -> Command {
    with_folders(tree, lab_command(tree, verb))
}

/// `understudy-scenarios VERB`, told where packages, images and programs are. The copy beside the lab's programs is the one that runs:
/// it starts itself inside the lab as well.
pub fn scenario_command(tree: &Tree, verb: &str) -> Command {
    let mut command = Command::new(tree.lab_programs().join(SCENARIO_PROGRAM));
    command.arg(verb);
    with_folders(tree, command)
}

/// `understudy-scenarios demo-simulated`, which takes nothing but our programs as the normal build puts them.
pub fn simulated_command(tree: &Tree, machines: usize) -> Command {
    let mut command = Command::new(tree.programs().join(SCENARIO_PROGRAM));
    command.arg("demo-simulated").arg("--bin-dir").arg(tree.programs()).arg("--halls").arg(tree.halls());
    command.args(["--machines", &machines.to_string()]);
    command
}

fn with_folders(tree: &Tree, mut command: Command) -> Command {
    for (flag, folder) in [("--packages", tree.packages_root()), ("--cache", tree.cache()), ("--bin-dir", tree.lab_programs())] {
        command.arg(flag).arg(folder);
    }
    command
}

/// Whether a first run is ahead, which takes minutes more.
pub fn is_first(tree: &Tree) -> bool {
    !tree.programs().join(LAB_PROGRAM).exists() || !tree.packages_root().exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_lab_is_told_all_its_folders() {
        let command = raising_command(&Tree::at(Path::new("/tree")), "up");
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(
            words.join(" "),
            "up --packages /tree/target/lab/packages/root --cache /tree/target/lab/cache --bin-dir /tree/target/lab/bin"
        );
        assert_eq!(command.get_program(), "/tree/target/debug/understudy-lab");
        let command = scenario_command(&Tree::at(Path::new("/tree")), "demo");
        assert_eq!(command.get_program(), "/tree/target/lab/bin/understudy-scenarios");
        assert_eq!(command.get_args().count(), words.len());
    }
}
