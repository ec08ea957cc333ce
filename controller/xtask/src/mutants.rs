//! `simulate --mutants`: breaks the product on purpose, one fault at a time, and has the judge of simulated worlds find each. A fault that no
//! world shows means that the worlds, or their judge, are too kind. It must never touch the work tree itself: everything happens in a copy.

mod copy;
mod mutation;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;
use serde_json::json;

use crate::run;
use crate::say;
use crate::simulate::{PACKAGE, PROGRAM};
use crate::tree::Tree;
use copy::Copy;
use mutation::Mutation;

/// Where they stand, a file each.
const FOLDER: &str = "controller/simulator/mutants";
/// How such a file's name ends.
const ENDING: &str = "mutant";
/// How many worlds the product as it is has to pass first: else what is found would be no mutant's.
const SOUND: u64 = 300;
/// What a world is said to have broken that could not be played: no law.
const NOT_PLAYED: &str = "world";

/// Breaks the product on purpose and sees whether the worlds' judge finds it
#[derive(Debug, Parser)]
#[command(name = "cargo xtask simulate --mutants", disable_help_subcommand = true)]
pub struct Wanted {
    /// These only; none means all
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print what there is, and play nothing
    #[arg(long)]
    list: bool,
    /// How many worlds a fault may take to be found
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Write rows of mutation, law, seeds, seconds
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a search wrote.
#[derive(Deserialize)]
struct Summary {
    seeds: u64,
    seconds: f64,
    violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    seed: u64,
    invariant: String,
}

/// What became of a mutant.
enum Fate {
    /// By which law, how many worlds that took.
    Caught(String, u64),
    /// In so many worlds.
    Missed(u64),
    /// Why it is not played yet.
    Later(String),
}

struct Row {
    mutation: Mutation,
    fate: Fate,
    seconds: f64,
}

/// `cargo xtask simulate --mutants`
pub fn mutants(tree: &Tree, arguments: &[String]) -> Result<ExitCode> {
    let wanted = Wanted::parse_from(std::iter::once("mutants".to_owned()).chain(arguments.iter().cloned()));
    let all = read(tree)?;
    let chosen = chosen(all, &wanted.names)?;
    // whatever no longer applies is told before anything is built
    for mutation in &chosen {
        mutation.applied(|file| text(tree, file))?;
    }
    if wanted.list {
        chosen.iter().for_each(|mutation| println!("{}", listed(mutation)));
        return Ok(ExitCode::SUCCESS);
    }
    let folder = tree.target().join("mutants");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let bench = Bench { copy: Copy::of(tree, &folder)?, folder, from: wanted.from };
    sound(&bench)?;
    let mut rows = Vec::new();
    for mutation in chosen {
        let row = bench.judged(mutation, wanted.seeds)?;
        println!("{}", told(&row));
        rows.push(row);
    }
    if let Some(file) = &wanted.json {
        let rows: Vec<_> = rows.iter().map(|row| written(row, wanted.from)).collect();
        fs::write(file, format!("{:#}\n", json!(rows))).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let missed = rows.iter().filter(|row| matches!(row.fate, Fate::Missed(_))).count();
    let caught = rows.iter().filter(|row| matches!(row.fate, Fate::Caught(..))).count();
    println!("{caught} caught, {missed} not caught, {} later", rows.len() - caught - missed);
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(tree: &Tree, file: &str) -> Result<String> {
    Ok(fs::read_to_string(tree.root().join(file))?)
}

/// All of them, by name.
fn read(tree: &Tree) -> Result<Vec<Mutation>> {
    let folder = tree.root().join(FOLDER);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{FOLDER} cannot be read"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?);
        }
    }
    ensure!(!files.is_empty(), "{FOLDER} holds no mutant");
    files.iter().map(|(name, text)| Mutation::read(name, text)).collect()
}

fn chosen(all: Vec<Mutation>, names: &[String]) -> Result<Vec<Mutation>> {
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|mutation| mutation.name != **name)) {
        let known: Vec<&str> = all.iter().map(|mutation| mutation.name.as_str()).collect();
        bail!("there is no mutant `{unknown}`; there are {}", known.join(", "));
    }
    Ok(all.into_iter().filter(|mutation| names.is_empty() || names.contains(&mutation.name)).collect())
}

/// The product as it is breaks no law in the first worlds.
fn sound(bench: &Bench) -> Result<()> {
    let summary = bench.searched("the product as it is", SOUND)?;
    if let Some(violation) = summary.violations.first() {
        bail!("the product as it is breaks {} in the world of seed {}: mend that first", violation.invariant, violation.seed);
    }
    ensure!(summary.seeds == SOUND, "only {} of {SOUND} worlds were played", summary.seeds);
    println!("{:<26} breaks nothing in {SOUND} worlds, {:.0} s", "as it is", summary.seconds);
    Ok(())
}

/// Where mutants are made and judged.
struct Bench {
    copy: Copy,
    folder: PathBuf,
    from: u64,
}

impl Bench {
    fn judged(&self, mutation: Mutation, seeds: u64) -> Result<Row> {
        if let Some(reason) = mutation.later.clone() {
            return Ok(Row { mutation, fate: Fate::Later(reason), seconds: 0.0 });
        }
        let there = |file: &str| Ok(fs::read_to_string(self.copy.root().join(file))?);
        let broken = mutation.applied(there)?;
        let before: Vec<(&String, String)> = broken.keys().map(|file| Ok((file, there(file)?))).collect::<Result<_>>()?;
        for (file, text) in &broken {
            self.copy.put(file, text.as_bytes())?;
        }
        let summary = self.searched(&mutation.name, seeds);
        for (file, text) in &before {
            self.copy.put(file, text.as_bytes())?;
        }
        let summary = summary?;
        let first = summary.violations.iter().min_by_key(|violation| violation.seed);
        let fate = match first {
            Some(violation) if violation.invariant == NOT_PLAYED => {
                bail!("with {} in it the world of seed {} cannot be played at all", mutation.name, violation.seed)
            }
            Some(violation) => Fate::Caught(violation.invariant.clone(), violation.seed.wrapping_sub(self.from) + 1),
            None => Fate::Missed(summary.seeds),
        };
        Ok(Row { mutation, fate, seconds: summary.seconds })
    }

    /// Builds the copy as it is now, and plays so many worlds, or until a law is broken.
    fn searched(&self, what: &str, seeds: u64) -> Result<Summary> {
        let target = self.folder.join("target");
        say!("{what}: building");
        let copy = Tree::at(self.copy.root());
        let mut build = run::cargo(&copy);
        build.args(["build", "--quiet", "--package", PACKAGE, "--bin", PROGRAM]).env("CARGO_TARGET_DIR", &target);
        run::succeed(&mut build)?;
        let summary = self.folder.join("summary.json");
        remove(&summary)?;
        let mut search = std::process::Command::new(target.join("debug").join(PROGRAM));
        search.current_dir(copy.root()).stdout(Stdio::null()).args(["--first", "--no-floors", "--seeds", &seeds.to_string()]);
        let status = run::status(search.args(["--from", &self.from.to_string(), "--json"]).arg(&summary))?;
        let bytes = fs::read(&summary).with_context(|| format!("{what}: the search left no summary ({status})"))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{what}: the search's summary is not what it promises"))
    }
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("an old summary cannot be removed"),
        _ => Ok(()),
    }
}

fn listed(mutation: &Mutation) -> String {
    let later = mutation.later.as_ref().map(|reason| format!("; later: {reason}")).unwrap_or_default();
    format!("{:<26} {} ({}{later})", mutation.name, mutation.breaks, mutation.laws.join(", "))
}

fn told(row: &Row) -> String {
    let expected = row.mutation.laws.join(", ");
    let fate = match &row.fate {
        Fate::Caught(law, seeds) if row.mutation.laws.contains(law) => format!("{law:<6} {seeds:>6} seeds"),
        Fate::Caught(law, seeds) => format!("{law:<6} {seeds:>6} seeds (expected was {expected})"),
        Fate::Missed(seeds) => format!("NOT CAUGHT in {seeds} seeds (expected was {expected})"),
        Fate::Later(reason) => return format!("{:<26} later: {reason}", row.mutation.name),
    };
    format!("{:<26} {fate} {:>6.0} s", row.mutation.name, row.seconds)
}

fn written(row: &Row, from: u64) -> serde_json::Value {
    let (law, seeds, later) = match &row.fate {
        Fate::Caught(law, seeds) => (Some(law), *seeds, None),
        Fate::Missed(seeds) => (None, *seeds, None),
        Fate::Later(reason) => (None, 0, Some(reason)),
    };
    json!({
        "mutation": row.mutation.name, "breaks": row.mutation.breaks, "expected": row.mutation.laws,
        "oracle": law, "from": from, "seeds": seeds, "seconds": row.seconds, "later": later,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::at(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap())
    }

    #[test]
    fn every_mutant_still_applies() {
        let all = read(&tree()).unwrap();
        assert!(all.len() >= 12, "{}", all.len());
        for mutation in all {
            let applied = mutation.applied(|file| text(&tree(), file)).unwrap();
            assert_eq!(applied.is_empty(), mutation.edits.is_empty(), "{}", mutation.name);
        }
    }

    #[test]
    fn a_name_that_is_none_is_told_with_those_there_are() {
        let all = || vec![Mutation::read("one", "breaks x\nlaw I1\nlater y").unwrap()];
        assert_eq!(chosen(all(), &[]).unwrap().len(), 1);
        assert_eq!(chosen(all(), &["one".to_owned()]).unwrap().len(), 1);
        assert!(chosen(all(), &["two".to_owned()]).unwrap_err().to_string().contains("there are one"));
    }
}
