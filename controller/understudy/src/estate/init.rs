//! `understudy estate init`: an estate's UUID, its store with a random lineage and key, and first files where there are none. It
//! never touches a store that is there, and never a file.

use crate::cli::Init;
use crate::exit::{Exit, Failure};
use crate::forms::Output;
use crate::out;
use catalogue::Flavor;
use journal::Meta;
use rand::TryRngCore;
use serde_json::json;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use vocabulary::estate::StoreKind;
use vocabulary::{EstateUuid, Fault, Lineage, Secret};

/// Mode of the state folder: it holds keys.
pub const STATE_MODE: u32 = 0o700;
/// Bytes of the key from which placements' secrets are derived.
const KEY_BYTES: usize = 32;
/// Bytes of a lineage.
const LINEAGE_BYTES: usize = 16;

/// Makes the store, and files if there are none.
pub fn init(arguments: &Init, output: Output) -> Result<(), Failure> {
    let state = &arguments.state;
    if journal::sqlite_store::SqliteStore::is_in(state) || journal::sled_store::SledStore::is_in(state) {
        let message = format!("{} holds a store already", state.display());
        let remedy = "an estate has one store for life: run `understudy serve` with it, or name another --state";
        return Err(Failure::new(Exit::Refused, Fault::new(68, message, remedy)));
    }
    let meta = meta(arguments.lab)?;
    let flavor = if arguments.lab { Flavor::Lab } else { Flavor::Production };
    let before = catalogue::load_for(&arguments.dir, Some(flavor));
    let written = if before.name.is_some() {
        Vec::new()
    } else {
        catalogue::init(&arguments.dir, flavor).map_err(|fault| Failure::new(Exit::Refused, fault))?
    };
    let documented = before.estate.map(|estate| estate.settings.store);
    let kind = arguments.store.or(documented).unwrap_or_default();
    make_store(state, kind, &meta)?;
    tell(arguments, output, &meta, kind, &written)
}

fn make_store(state: &Path, kind: StoreKind, meta: &Meta) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("no store can be made in {}: {error}", state.display());
        Failure::new(Exit::No, Fault::new(68, message, "name a --state folder that you may write to, on a disk with space"))
    };
    std::fs::DirBuilder::new().recursive(true).mode(STATE_MODE).create(state).map_err(|error| failed(&error))?;
    journal::create(state, kind, meta).map_err(|error| failed(&error))
}

/// A lineage that no other store has.
pub fn lineage() -> Result<Lineage, Failure> {
    Ok(Lineage(random_hex::<LINEAGE_BYTES>()?))
}

fn meta(lab: bool) -> Result<Meta, Failure> {
    Ok(Meta {
        estate: EstateUuid(uuid::Uuid::new_v4().to_string()),
        lineage: lineage()?,
        key: Secret::new(random_hex::<KEY_BYTES>()?),
        lab,
    })
}

/// Randomness of the operating system; without it there is no key.
fn random_hex<const BYTES: usize>() -> Result<String, Failure> {
    let mut bytes = [0u8; BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).map_err(|error| {
        let message = format!("the operating system gives no randomness: {error}");
        Failure::new(Exit::No, Fault::new(68, message, "look at the kernel's log, then try again"))
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A kind of store as `--store` takes it.
pub fn word(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Sqlite => "sqlite",
        StoreKind::Sled => "sled",
    }
}

fn tell(arguments: &Init, output: Output, meta: &Meta, kind: StoreKind, written: &[PathBuf]) -> Result<(), Failure> {
    let (folder, state) = (arguments.dir.display(), arguments.state.display());
    if output == Output::Json {
        let files: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        return out::json(&json!({
            "estate": meta.estate, "lab": meta.lab, "store": word(kind), "state": state.to_string(), "documents": files,
        }));
    }
    let what = if meta.lab { "lab estate" } else { "estate" };
    let files = match written.len() {
        0 => format!("its documents are those in {folder}"),
        number => format!("{number} files to begin with are in {folder}"),
    };
    out::line(&format!("{what} {}: its store ({}) is in {state}, {files}", meta.estate, word(kind)))?;
    out::talk("Next:");
    if !written.is_empty() {
        out::talk(&format!("  put the BMCs' password into {folder}/secrets/bmc, readable by you alone"));
    }
    let lab = if meta.lab { " --lab" } else { "" };
    out::talk(&format!("  understudy estate check {folder}{lab}"));
    out::talk(&format!("  understudy serve --state {state} --estate {folder}"));
    Ok(())
}
