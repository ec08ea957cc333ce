//! Reads a file out of a volume's file system while the volume may still be in use: from a copy, after the copy's journal was replayed.
//!
//! It must never write to the volume itself. A copy taken while somebody wrote is thrown away and taken anew.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Instant, SystemTime};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::config::Tool;
use crate::limits::{COPY_PAUSE, COPY_TRIES, QUIET, RECORDS_BYTES_MAX, TOOL_LOOK, TOOL_TIME};

/// Where an ext4 file system has its mark.
const MAGIC_AT: u64 = 1024 + 56;
const MAGIC: [u8; 2] = [0x53, 0xef];
/// Where a partition table has the first partition's beginning, in sectors.
const FIRST_PARTITION_AT: u64 = 446 + 8;
const SECTOR_BYTES: u64 = 512;
const BLOCK_BYTES: usize = 64 * 1024;
/// What replays journals, beside the tool that reads files.
const REPLAYER: &str = "e2fsck";
/// Replays the journal of a file system that was not unmounted, and checks nothing of one that has nothing to replay.
const REPLAY: [&str; 3] = ["-y", "-E", "journal_only"];
/// With what it ends: nothing to do, or done (e2fsck(8), EXIT CODE).
const REPLAYED: [Option<i32>; 2] = [Some(0), Some(1)];
/// How the tools begin.
const BANNERS: [&str; 2] = ["debugfs ", "e2fsck "];
/// What the tool says of a name that stands in no folder.
const NOT_FOUND: &str = "File not found by ext2_lookup";

/// Why a file could not be read from a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The image itself.
    #[error("{path}: {source}")]
    Image {
        /// The image.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// There is no file system.
    #[error("{0}: no ext4 file system, neither in the whole nor in the first partition")]
    NoFileSystem(String),
    /// Somebody writes all the time.
    #[error("{0}: it was written to during every one of {COPY_TRIES} copies; stop its writers first")]
    Busy(String),
    /// The tool failed.
    #[error("{program} {what}: {reason}")]
    Tool {
        /// The program.
        program: String,
        /// What it was to do.
        what: String,
        /// What it said.
        reason: String,
    },
}

/// Reads one file of the file system in an image. None: the file system has no such file.
pub fn read(tool: &Tool, image: &Path, file: &str) -> Result<Option<String>, VolumeError> {
    let named = |source| VolumeError::Image { path: image.display().to_string(), source };
    let folder = image.parent().unwrap_or(Path::new("."));
    let copy = tempfile::NamedTempFile::new_in(folder).map_err(named)?;
    copy_still(image, copy.as_file())?;
    // not by debugfs, which reads the bitmaps first: before the replay they may be newer than their checksums, and it gives up
    let replayer = Tool { program: tool.program.with_file_name(REPLAYER), ..tool.clone() };
    let replayed = run(&replayer, copy.path(), &REPLAY)?;
    if !REPLAYED.contains(&replayed.status) {
        let reason = format!("it ended with {:?}: {}", replayed.status, replayed.complaint.unwrap_or_default());
        return Err(failed(&replayer, &REPLAY, reason));
    }
    let cat = ["-c", "-R", &format!("cat {file}")];
    // it ends with 0 even where it failed
    match run(tool, copy.path(), &cat)? {
        Ran { complaint: Some(reason), out, .. } if out.is_empty() && reason.ends_with(NOT_FOUND) => Ok(None),
        Ran { complaint: Some(reason), out, .. } if out.is_empty() => Err(failed(tool, &cat, reason)),
        Ran { out, .. } => Ok(Some(String::from_utf8_lossy(&out).into_owned())),
    }
}

/// Where the file system begins in the image.
fn begins(image: &File) -> io::Result<Option<u64>> {
    let is_here = |start: u64| -> io::Result<bool> {
        let mut mark = [0; 2];
        Ok(image.read_exact_at(&mut mark, start + MAGIC_AT).is_ok() && mark == MAGIC)
    };
    if is_here(0)? {
        return Ok(Some(0));
    }
    let mut sector = [0; 4];
    if image.read_exact_at(&mut sector, FIRST_PARTITION_AT).is_err() {
        return Ok(None);
    }
    let start = u64::from(u32::from_le_bytes(sector)) * SECTOR_BYTES;
    Ok((start > 0 && is_here(start)?).then_some(start))
}

/// Copies the file system out of an image that nobody writes to meanwhile.
fn copy_still(path: &Path, copy: &File) -> Result<(), VolumeError> {
    let named = |source| VolumeError::Image { path: path.display().to_string(), source };
    let image = File::open(path).map_err(named)?;
    for turn in 0..COPY_TRIES {
        if turn > 0 {
            thread::sleep(COPY_PAUSE);
        }
        let start = begins(&image).map_err(named)?;
        let start = start.ok_or_else(|| VolumeError::NoFileSystem(path.display().to_string()))?;
        let before = image.metadata().map_err(named)?;
        // within one tick of the kernel's clock a later write would leave the same time stamp
        let age = before.modified().map_err(named)?;
        if SystemTime::now().duration_since(age).is_ok_and(|age| age < QUIET) {
            continue;
        }
        copy.set_len(0).map_err(named)?;
        copy_data(&image, copy, start, before.len()).map_err(named)?;
        let after = image.metadata().map_err(named)?;
        if (before.mtime(), before.mtime_nsec(), before.len()) == (after.mtime(), after.mtime_nsec(), after.len()) {
            return Ok(());
        }
    }
    Err(VolumeError::Busy(path.display().to_string()))
}

/// Copies what is not a hole, from `start` on.
fn copy_data(image: &File, copy: &File, start: u64, length: u64) -> io::Result<()> {
    copy.set_len(length.saturating_sub(start))?;
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut at = start;
    while let Some((from, until)) = next_data(image, at, length)? {
        at = from;
        while at < until {
            let want = usize::try_from(until - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
            let piece = buffer.get_mut(..want).unwrap_or_default();
            image.read_exact_at(piece, at)?;
            copy.write_all_at(piece, at - start)?;
            at += want as u64;
        }
    }
    Ok(())
}

/// The next piece that is not a hole. Where holes are not told, everything is one piece.
fn next_data(image: &File, at: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= length {
        return Ok(None);
    }
    let seek = |at: u64, whence| lseek(image, i64::try_from(at).unwrap_or(i64::MAX), whence);
    match seek(at, Whence::SeekData) {
        Ok(from) => {
            let from = u64::try_from(from).unwrap_or(length);
            let until = seek(from, Whence::SeekHole).map(|until| u64::try_from(until).unwrap_or(length)).unwrap_or(length);
            Ok((from < length).then_some((from, until.min(length))))
        }
        Err(Errno::ENXIO) => Ok(None),
        Err(Errno::EINVAL) => Ok(Some((at, length))),
        Err(error) => Err(error.into()),
    }
}

fn failed(tool: &Tool, arguments: &[&str], reason: String) -> VolumeError {
    VolumeError::Tool { program: tool.program.display().to_string(), what: arguments.join(" "), reason }
}

/// How a tool ended.
struct Ran {
    status: Option<i32>,
    out: Vec<u8>,
    /// What it said first beside its banner.
    complaint: Option<String>,
}

/// Runs a tool on a copy.
fn run(tool: &Tool, copy: &Path, arguments: &[&str]) -> Result<Ran, VolumeError> {
    let told = |error: io::Error| failed(tool, arguments, error.to_string());
    let (mut out, mut said) = (tempfile::tempfile().map_err(told)?, tempfile::tempfile().map_err(told)?);
    let mut child = Command::new(&tool.program)
        .args(arguments)
        .arg(copy)
        .envs(&tool.environment)
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(told)?)
        .stderr(said.try_clone().map_err(told)?)
        .spawn()
        .map_err(told)?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(told)? {
            break status.code();
        }
        if start.elapsed() > TOOL_TIME {
            // it may have ended this very moment
            let _ = child.kill();
            child.wait().map_err(told)?;
            return Err(failed(tool, arguments, format!("nothing within {} s", TOOL_TIME.as_secs())));
        }
        thread::sleep(TOOL_LOOK);
    };
    let all = |file: &mut File| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(RECORDS_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let (out, said) = (all(&mut out).map_err(told)?, all(&mut said).map_err(told)?);
    let said = String::from_utf8_lossy(&said);
    let is_banner = |line: &str| BANNERS.iter().any(|banner| line.starts_with(banner));
    let complaint = said.lines().map(str::trim).find(|line| !line.is_empty() && !is_banner(line)).map(str::to_owned);
    Ok(Ran { status, out, complaint })
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
