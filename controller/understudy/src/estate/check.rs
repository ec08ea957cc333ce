//! `understudy estate check`: every fault of an estate's files, with place and remedy. Exit 1 if one of them is an error.

use crate::exit::{Exit, Failure};
use crate::forms::Output;
use crate::out;
use crate::render::{Look, count};
use catalogue::{Flavor, Loaded};
use serde_json::json;
use std::path::Path;

/// Checks a folder.
pub fn check(folder: &Path, lab: bool, output: Output, look: Look) -> Result<(), Failure> {
    let loaded = catalogue::load_for(folder, lab.then_some(Flavor::Lab));
    let (errors, warnings) = (loaded.errors(), loaded.warnings());
    match output {
        Output::Json => {
            out::json(&json!({"estate": loaded.name, "errors": errors, "warnings": warnings, "complaints": loaded.complaints}))?
        }
        Output::Text => {
            let drawn = match look.width {
                Some(width) => catalogue::Look::Snippet { colour: look.colour, width },
                None => catalogue::Look::Plain,
            };
            let text = catalogue::render(&loaded.complaints, drawn);
            if !text.is_empty() {
                out::line(text.trim_end())?;
            }
            out::line(&verdict(&loaded))?;
        }
    }
    if errors > 0 { Err(Failure::silent(Exit::No)) } else { Ok(()) }
}

fn verdict(loaded: &Loaded) -> String {
    let name = loaded.name.as_deref().unwrap_or("(without a name)");
    let held = loaded.estate.as_ref().map_or_else(String::new, |estate| {
        format!(": {}, {}", count(estate.servers.len(), "server"), count(estate.machines.len(), "machine"))
    });
    format!("estate {name}{held}; {}, {}", count(loaded.errors(), "error"), count(loaded.warnings(), "warning"))
}
