//! References in an agent's configuration made secrets: from a file, or from systemd's credentials. A secret is never logged, and never part
//! of an error's text.

use crate::limits::SECRET_BYTES_MAX;
use std::io::Read;
use std::path::{Path, PathBuf};
use vocabulary::Secret;
use vocabulary::estate::SecretReference;
use zeroize::Zeroizing;

/// Where systemd puts the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The secret that a reference names, or why it cannot be had. One line break at the end is not part of it.
pub fn resolve(reference: &SecretReference) -> Result<Secret, String> {
    let path = match reference.0.split_once(':') {
        Some(("file", path)) if Path::new(path).is_absolute() => PathBuf::from(path),
        Some(("file", path)) => return Err(format!("the secret's file {path} is not an absolute path")),
        Some(("credential", name)) => credential(name)?,
        // an agent's environment is told to anybody who may look at its unit; what is no reference may be the secret itself
        _ => return Err("a secret is written as file:/PATH or credential:NAME".to_owned()),
    };
    let failed = |error: std::io::Error| format!("the secret's file {} cannot be read: {error}", path.display());
    if !std::fs::metadata(&path).map_err(failed)?.is_file() {
        return Err(format!("the secret's file {} is not a plain file", path.display()));
    }
    if world_readable(&path) {
        tracing::warn!(file = %path.display(), "a secret can be read by everyone on this machine");
    }
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(&path).map_err(failed)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("the secret's file {} is longer than {SECRET_BYTES_MAX} bytes", path.display()));
    }
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.is_empty() { Err(format!("the secret's file {} is empty", path.display())) } else { Ok(Secret::new(secret)) }
}

fn credential(name: &str) -> Result<PathBuf, String> {
    if name.contains('/') || [".", ".."].contains(&name) {
        return Err("a credential's name is not a path".to_owned());
    }
    let folder = std::env::var_os(CREDENTIALS).ok_or("systemd gave this process no credentials")?;
    Ok(Path::new(&folder).join(name))
}

fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS_READ: u32 = 0o004;
    std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & OTHERS_READ != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_file_and_what_is_none_is_never_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("community");
        let reference = SecretReference(format!("file:{}", path.display()));
        assert!(resolve(&reference).unwrap_err().contains("cannot be read"));
        for (text, secret) in
            [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), ("hunter2\r\n", "hunter2"), ("a\nb\n\n", "a\nb\n")]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(resolve(&reference).unwrap().expose(), secret);
        }
        for (text, why) in [(String::new(), "empty"), ("\n".into(), "empty"), ("x".repeat(5_000), "longer")] {
            std::fs::write(&path, &text).unwrap();
            assert!(resolve(&reference).unwrap_err().contains(why));
        }
        assert!(resolve(&SecretReference(format!("file:{}", folder.path().display()))).unwrap_err().contains("plain file"));
        for wrong in ["hunter2", "env:HUNTER2", "hunter2:x", "credential:../hunter2", "file:hunter2/"] {
            let told = resolve(&SecretReference(wrong.into())).unwrap_err();
            assert!(!told.contains("hunter2") || wrong.starts_with("file:"), "{told}");
        }
    }
}
