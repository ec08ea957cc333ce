//! A small file that survives a power cut: written beside, fsynced, renamed, and its folder fsynced.
//! Must never leave half a file, and never one that others may read: it holds secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Only the agent's own user may read it.
const PRIVATE_MODE: u32 = 0o600;

/// Replaces the file's content; when it returns, the new content is on disk.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    // a left-over of an interrupted write may have another mode: it is made anew
    match std::fs::remove_file(&beside) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_MODE).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The file's content, or `None` if there is no such file. A file larger than `limit` bytes is an error.
pub fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content)?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {limit} bytes")));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_replaces_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(read(&path, 10).unwrap(), None);
        std::fs::write(path.with_extension("new"), b"left over").unwrap();
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE_MODE);
        assert!(!path.with_extension("new").exists());
        assert!(read(&path, 2).is_err());
    }
}
