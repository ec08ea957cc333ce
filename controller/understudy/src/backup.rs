//! `understudy backup`: everything that the controller knows, into one file of its owner alone. A file that is there is whole: it gets its name
//! when its end is written and on the disk.

use crate::cli::Backup;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::{out, render};
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use vocabulary::Fault;

const PATH: &str = "/v1/backup";
/// For its owner only: it holds keys.
const MODE: u32 = 0o600;

/// Writes it.
pub async fn backup(session: &Session, arguments: &Backup) -> Result<(), Failure> {
    if arguments.file.as_os_str() == "-" {
        if std::io::stdout().is_terminal() {
            let message = "a backup holds keys, and standard output is a screen";
            return Err(Failure::new(Exit::Usage, Fault::new(71, message, "name a file, or use a pipe")));
        }
        return follow(session, &mut std::io::stdout().lock(), Path::new("standard output")).await.map(drop);
    }
    let file = &arguments.file;
    if file.exists() {
        let message = format!("{} is there already", file.display());
        return Err(Failure::new(Exit::Refused, Fault::new(74, message, "name a file that is not there yet")));
    }
    let unfinished = beside(file);
    let entries = write(session, &unfinished).await.inspect_err(|_| {
        // what is not whole is no backup, and nobody is to take it for one
        let _ = std::fs::remove_file(&unfinished);
    })?;
    settle(&unfinished, file).map_err(|error| unwritable(file, &error))?;
    if session.json() {
        return out::json(&json!({"file": file.display().to_string(), "entries": entries}));
    }
    let entries = render::entries(entries);
    out::line(&format!("{} holds {entries} and the estate's keys, readable by you alone", file.display()))
}

/// Gives what was built beside its name, and has that survive a power cut before anybody is told of it.
pub fn settle(built: &Path, name: &Path) -> std::io::Result<()> {
    std::fs::rename(built, name)?;
    let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn unwritable(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("the backup cannot be written to {}: {error}", file.display());
    Failure::new(Exit::No, Fault::new(74, message, "name a file in a folder that you may write to, on a disk with space"))
}

async fn write(session: &Session, file: &Path) -> Result<u64, Failure> {
    // one that an interrupted run has left
    let _ = std::fs::remove_file(file);
    let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(file);
    let mut written = BufWriter::new(opened.map_err(|error| unwritable(file, &error))?);
    let entries = follow(session, &mut written, file).await?;
    let inner: Result<File, _> = written.into_inner();
    let synced = inner.map_err(|error| error.into_error()).and_then(|inner| inner.sync_all());
    synced.map_err(|error| unwritable(file, &error))?;
    Ok(entries)
}

/// Copies line after line, up to the end that only a whole backup has. How many entries there were.
async fn follow(session: &Session, output: &mut dyn Write, file: &Path) -> Result<u64, Failure> {
    let (mut failed, mut entries) = (None, None);
    let each = |line: &str| {
        if let Err(error) = output.write_all(line.as_bytes()).and_then(|()| output.write_all(b"\n")) {
            failed = Some(error);
        }
        entries = journal::backup::ends_with(line);
        failed.is_none() && entries.is_none()
    };
    let followed = session.client.watch(PATH, each).await;
    if let Some(error) = failed {
        return Err(unwritable(file, &error));
    }
    let Some(entries) = entries else {
        followed.map_err(Failure::from)?;
        let message = "the controller ended the backup before its end";
        return Err(Failure::new(Exit::No, Fault::new(74, message, "look at its log, then try again")));
    };
    output.flush().map_err(|error| unwritable(file, &error))?;
    Ok(entries)
}
