//! `cargo xtask`: checks the machine, gets what is missing, builds, and starts the rest. It depends on no crate of ours, decides nothing
//! about servers, and never installs anything without consent.

mod check;
mod cli;
mod compile;
mod consent;
mod install;
mod lab;
mod leftovers;
mod mutants;
mod packages;
mod prepare;
mod readme;
mod report;
mod run;
mod signals;
mod simulate;
mod steps;
mod text;
mod tidy;
mod tree;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use cli::{Cli, Verb};
use consent::Consent;
use packages::Outcome;
use tree::Tree;

fn main() -> ExitCode {
    let cli = Cli::parse();
    signals::install();
    let outcome = Tree::here().and_then(|tree| perform(&tree, cli.verb));
    if signals::interrupted() {
        return u8::try_from(signals::EXIT_INTERRUPTED).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn perform(tree: &Tree, verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Demo(demo) => lab::demo(tree, &demo),
        Verb::Test(consent) => verify::test(tree, Consent::new(consent.yes)),
        Verb::Nightly(consent) => verify::nightly(tree, Consent::new(consent.yes)),
        Verb::Lab(lab) => lab::lab(tree, &lab),
        Verb::Bench(bench) => lab::bench(tree, &bench),
        Verb::Simulate(wanted) if wanted.mutants => mutants::mutants(tree, &wanted.rest),
        Verb::Simulate(wanted) if wanted.detection => simulate::detection(tree, &wanted.rest),
        Verb::Simulate(wanted) if wanted.core => simulate::core(tree, &wanted.rest),
        Verb::Simulate(wanted) => simulate::simulate(tree, &wanted),
        Verb::Tidy => Ok(if tidy::check(tree).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Verb::Packages(wanted) => {
            let consent = Consent::new(wanted.consent.yes);
            if let Outcome::Done(root) = packages::ensure(tree, consent, wanted.refresh)?
                && let Outcome::Done(peers) = packages::ensure_peers(tree, consent)?
            {
                println!("{}\n{}", root.display(), peers.display());
                return Ok(ExitCode::SUCCESS);
            }
            Ok(ExitCode::from(lab::EXIT_NOT_READY))
        }
    }
}
