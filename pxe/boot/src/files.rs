//! Permits on disk: one file a machine, mode 0600 since a permit holds the CHAP secret, replaced whole and synchronised before the answer.
//! Nothing here decides. A file that cannot be read means silence for that one machine.

use crate::error::BootError;
use crate::limits::{MACHINES_MAX, PERMIT_FILE_BYTES_MAX};
use crate::permits::{AgeMark, Record};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use vocabulary::MachineId;

const MARK: &str = "contact.json";
const SUFFIX: &str = ".json";

/// The folder of permits.
#[derive(Clone)]
pub struct Files {
    state: PathBuf,
    permits: PathBuf,
}

impl Files {
    /// Opens the folder, made with mode 0700 if absent.
    pub fn open(state: &Path) -> Result<Files, BootError> {
        let permits = state.join("permits");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&permits)
            .map_err(|source| BootError::State { path: permits.clone(), source })?;
        Ok(Files { state: state.to_owned(), permits })
    }

    /// All records. What cannot be read is named in the second list: its machine gets silence until a new grant replaces the file.
    pub fn load(&self) -> Result<(Vec<Record>, Vec<BootError>), BootError> {
        let fault = |source| BootError::State { path: self.permits.clone(), source };
        let (mut records, mut faults) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.permits).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(SUFFIX)) else {
                continue;
            };
            let read = read_json::<Record>(&path).and_then(|record| {
                if record.machine.as_str() == name { Ok(record) } else { Err(io::Error::other("it names another machine")) }
            });
            match read {
                Ok(record) if records.len() < MACHINES_MAX => records.push(record),
                Ok(_) => faults.push(BootError::State { path, source: io::Error::other("too many machines") }),
                Err(source) => faults.push(BootError::State { path, source }),
            }
        }
        Ok((records, faults))
    }

    /// Makes a record durable: when this returns Ok it survives a power cut, and nothing of the older one does.
    pub fn write(&self, record: &Record) -> Result<(), BootError> {
        let path = self.path(&record.machine);
        replace(&path, record).map_err(|source| BootError::State { path, source })
    }

    /// The age of the last contact as last written.
    pub fn read_mark(&self) -> Option<AgeMark> {
        read_json(&self.state.join(MARK)).ok()
    }

    /// Writes the age of the last contact.
    pub fn write_mark(&self, mark: &AgeMark) -> Result<(), BootError> {
        let path = self.state.join(MARK);
        replace(&path, mark).map_err(|source| BootError::State { path, source })
    }

    fn path(&self, machine: &MachineId) -> PathBuf {
        // a machine's name has only a-z, 0-9 and '-': it cannot leave the folder
        self.permits.join(format!("{machine}{SUFFIX}"))
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<T> {
    let mut text = Vec::new();
    File::open(path)?.take(PERMIT_FILE_BYTES_MAX).read_to_end(&mut text)?;
    // the parser's message would quote the line it stumbled over, which may be the secret
    serde_json::from_slice(&text).map_err(|error| io::Error::other(format!("not readable at line {}", error.line())))
}

fn replace<T: serde::Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("no folder"))?;
    let new = path.with_extension("new");
    let text = serde_json::to_vec(value).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::permit;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn records_read_back_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(&folder.path().join("state")).unwrap();
        let given = permit(1, "web1", 5);
        let record = Record { machine: given.machine.clone(), provisioning_mac: None, permit: Some(given) };
        files.write(&record).unwrap();
        let path = folder.path().join("state/permits/m1.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(files.load().unwrap().0, std::slice::from_ref(&record));
        files.write(&Record { permit: None, ..record }).unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains("chap-secret"), "nothing of a revoked permit remains");
    }

    #[test]
    fn a_damaged_file_silences_its_machine_alone_and_its_fault_holds_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        files.write(&Record { machine: "m2".parse().unwrap(), provisioning_mac: None, permit: None }).unwrap();
        fs::write(folder.path().join("permits/m1.json"), "{\"machine\": \"m1\", \"secret\": \"hunter2\"").unwrap();
        fs::write(folder.path().join("permits/m3.json"), "{\"machine\":\"m4\",\"provisioning_mac\":null,\"permit\":null}")
            .unwrap();
        fs::write(folder.path().join("permits/m5.new"), "half").unwrap();
        let (records, faults) = files.load().unwrap();
        assert_eq!(records.len(), 1);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|text| text.contains("F1203") && !text.contains("hunter2")), "{told:?}");
    }
}
