//! References to secrets made secrets: from a file, the environment, or systemd's credentials. A secret is never logged, never
//! part of a fault's text, and never read from an estate file itself.

use crate::codes;
use crate::limits::SECRET_BYTES_MAX;
use std::io::Read;
use std::path::{Path, PathBuf};
use vocabulary::estate::SecretReference;
use vocabulary::{Fault, Secret};

/// Where systemd puts the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The secret that a reference names. `file:` paths are relative to the estate's folder. One line break at the end is not part
/// of the secret. A file that everyone can read is taken, with a warning in the log; `load` complains of it as well.
pub fn resolve(reference: &SecretReference, folder: &Path) -> Result<Secret, Fault> {
    let text = reference.0.as_str();
    let secret = match parts(text) {
        Some(("file", path)) => {
            let path = folder.join(path);
            if world_readable(&path) {
                tracing::warn!(file = %path.display(), code = "F0033", "a secret can be read by everyone on this machine");
            }
            from_file(&path, text)?
        }
        Some(("credential", name)) => from_file(&credential(name, text)?, text)?,
        Some(("env", name)) => std::env::var(name).map_err(|_| {
            fault(text, "the environment has no such variable with text", &format!("set {name} where `serve` is started"))
        })?,
        _ => return Err(fault(text_of_kind(text), "this is no reference", "write file:PATH, env:NAME or credential:NAME")),
    };
    let secret = secret.strip_suffix('\n').map_or(secret.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.is_empty() {
        return Err(fault(text, "it is empty", "write the secret there"));
    }
    Ok(Secret::new(secret))
}

/// The file behind a reference, if it is one that everyone can read.
pub(crate) fn open_to_everyone(reference: &SecretReference, folder: &Path) -> Option<PathBuf> {
    let (kind, path) = parts(&reference.0)?;
    let path = folder.join(path);
    (kind == "file" && world_readable(&path)).then_some(path)
}

fn parts(text: &str) -> Option<(&str, &str)> {
    text.split_once(':').filter(|(_, rest)| !rest.is_empty())
}

/// What may be told of a text that is no reference: it may be the secret itself.
fn text_of_kind(text: &str) -> &str {
    match parts(text) {
        Some((kind @ ("file" | "env" | "credential"), _)) => kind,
        _ => "(not shown)",
    }
}

fn credential(name: &str, text: &str) -> Result<PathBuf, Fault> {
    let plain = !name.contains('/') && name != ".." && name != ".";
    if !plain {
        return Err(fault(text, "a credential's name is not a path", "write credential:NAME as in LoadCredential= of the unit"));
    }
    let folder = std::env::var_os(CREDENTIALS).ok_or_else(|| {
        fault(text, "systemd gave this process no credentials", "add LoadCredential= to the unit, or use file:PATH")
    })?;
    Ok(Path::new(&folder).join(name))
}

fn from_file(path: &Path, text: &str) -> Result<String, Fault> {
    let unreadable = |error: std::io::Error| {
        fault(
            text,
            &format!("{} cannot be read: {error}", path.display()),
            "write the secret to that file, readable by `serve` alone",
        )
    };
    let plain = std::fs::metadata(path).map_err(unreadable)?.is_file();
    if !plain {
        return Err(fault(text, &format!("{} is not a plain file", path.display()), "name the file that holds the secret"));
    }
    let mut secret = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut secret).map_err(unreadable)?;
    if secret.len() as u64 > SECRET_BYTES_MAX {
        return Err(fault(
            text,
            &format!("it is longer than {SECRET_BYTES_MAX} bytes"),
            "name the file that holds the secret alone",
        ));
    }
    Ok(secret)
}

fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS_READ: u32 = 0o004;
    std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & OTHERS_READ != 0)
}

fn fault(reference: &str, why: &str, remedy: &str) -> Fault {
    Fault::new(codes::SECRET, format!("the secret {reference} cannot be had: {why}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file_with(text: &str, mode: u32) -> (tempfile::TempDir, SecretReference) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bmc");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, SecretReference("file:bmc".into()))
    }

    #[test]
    fn a_file_is_found_from_the_estate_s_folder_and_one_line_break_is_cut() {
        for (text, secret) in [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), ("hunter2\r\n", "hunter2"), (" a \n\n", " a \n")]
        {
            let (folder, reference) = file_with(text, 0o600);
            assert_eq!(resolve(&reference, folder.path()).unwrap().expose(), secret);
            assert_eq!(open_to_everyone(&reference, folder.path()), None);
        }
    }

    #[test]
    fn a_file_open_to_everyone_is_told() {
        let (folder, reference) = file_with("hunter2", 0o644);
        assert_eq!(open_to_everyone(&reference, folder.path()), Some(folder.path().join("bmc")));
        assert!(resolve(&reference, folder.path()).is_ok());
    }

    #[test]
    fn what_cannot_be_had_is_a_fault_that_never_repeats_the_secret() {
        let (folder, _) = file_with("", 0o600);
        for reference in ["file:bmc", "file:absent", "file:.", "env:UNDERSTUDY_TEST_ABSENT", "credential:../bmc", "credential:x"]
        {
            let fault = resolve(&SecretReference(reference.into()), folder.path()).unwrap_err();
            assert_eq!(fault.code.0, codes::SECRET, "{reference}");
        }
        let fault = resolve(&SecretReference("hunter2:x".into()), folder.path()).unwrap_err();
        assert!(!format!("{fault} {}", fault.remedy).contains("hunter2"));
        let (folder, reference) = file_with(&"x".repeat(5000), 0o600);
        assert!(resolve(&reference, folder.path()).is_err());
    }
}
