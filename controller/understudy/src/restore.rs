//! `understudy restore`: a store from a backup, with a lineage of its own, so that no agent takes it for the one that was lost. It never touches a
//! store that is there, and leaves nothing behind where it fails.

use crate::backup::settle;
use crate::cli::Restore;
use crate::estate::init::{STATE_MODE, lineage, word};
use crate::exit::{Exit, Failure};
use crate::forms::Output;
use crate::{out, render};
use contract::wire::enrol::Authority;
use engine::start::AUTHORITY;
use indicatif::{ProgressBar, ProgressStyle};
use journal::backup::{self, Header, Source};
use journal::chain::Head;
use journal::{Meta, Store};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use vocabulary::{Fault, WallTime};

/// Restores.
pub fn restore(arguments: &Restore, output: Output) -> Result<(), Failure> {
    let state = &arguments.state;
    let taken = std::fs::read_dir(state).is_ok_and(|mut there| there.next().is_some());
    if taken {
        let message = format!("{} is not empty", state.display());
        let remedy = "name a --state folder that is empty or not there yet; nothing is ever restored over a store";
        return Err(Failure::new(Exit::Refused, Fault::new(68, message, remedy)));
    }
    let input: Box<dyn BufRead> = if arguments.file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(&arguments.file).map_err(|error| unusable(&arguments.file, &error))?))
    };
    let building = beside(state);
    let made = make(arguments, input, &building).inspect_err(|_| {
        // what is not whole is no store
        let _ = std::fs::remove_dir_all(&building);
    })?;
    settle(&building, state).map_err(|error| {
        let _ = std::fs::remove_dir_all(&building);
        no_room(state, &error)
    })?;
    tell(arguments, output, &made)
}

struct Made {
    header: Header,
    head: Head,
}

/// Built beside, on the same disk, and renamed when it is whole.
fn beside(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    while name.as_encoded_bytes().last() == Some(&b'/') {
        name = name.to_string_lossy().trim_end_matches('/').to_owned().into();
    }
    name.push(".restoring");
    PathBuf::from(name)
}

fn make(arguments: &Restore, input: Box<dyn BufRead>, building: &Path) -> Result<Made, Failure> {
    let bad = |error: &dyn std::fmt::Display| unusable(&arguments.file, error);
    let mut source = Source::new(input);
    let header = source.header().map_err(|error| bad(&error))?;
    // of a run that was interrupted
    let _ = std::fs::remove_dir_all(building);
    let folder = std::fs::DirBuilder::new().recursive(true).mode(STATE_MODE).create(building);
    folder.map_err(|error| no_room(building, &error))?;
    let meta = Meta { lineage: lineage()?, ..header.meta.clone() };
    journal::create(building, arguments.store, &meta).map_err(|error| no_room(building, &error))?;
    let mut held = journal::open(building).map_err(|error| no_room(building, &error))?;
    let head = fill(&mut source, held.store.as_mut()).map_err(|error| bad(&error))?;
    let now = WallTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(0)));
    backup::seal(held.store.as_mut(), &head, header.taken, now).map_err(|error| no_room(building, &error))?;
    Authority::put_back(&building.join(AUTHORITY), &header.files).map_err(|error| no_room(building, &error))?;
    Ok(Made { header, head })
}

fn fill(source: &mut Source<Box<dyn BufRead>>, store: &mut dyn Store) -> Result<Head, backup::Unusable> {
    // drawn only on a terminal
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} entries, {per_sec}") {
        bar.set_style(style);
    }
    let head = source.entries(store, |entries| bar.set_position(entries));
    bar.finish_and_clear();
    head
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("{} is no whole backup: {error}", file.display());
    Failure::new(Exit::No, Fault::new(75, message, "nothing was made; take another backup"))
}

fn no_room(state: &Path, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("no store can be made in {}: {error}", state.display());
    Failure::new(Exit::No, Fault::new(68, message, "name a --state folder that you may write to, on a disk with space"))
}

fn tell(arguments: &Restore, output: Output, Made { header, head }: &Made) -> Result<(), Failure> {
    let state = arguments.state.display();
    if output == Output::Json {
        return out::json(&json!({
            "estate": header.meta.estate, "lab": header.meta.lab, "store": word(arguments.store), "state": state.to_string(),
            "entries": head.number, "taken": header.taken,
        }));
    }
    let entries = render::entries(head.number);
    out::line(&format!("estate {}: its store ({}) is in {state}, with {entries}", header.meta.estate, word(arguments.store)))?;
    out::talk("Next, when the old controller is stopped for good:");
    out::talk(&format!(
        "  understudy serve --state {state} --estate DIR    on the documents that were in force last; it only observes"
    ));
    out::talk("  understudy adopt                                what the agents know of the time since");
    Ok(())
}
