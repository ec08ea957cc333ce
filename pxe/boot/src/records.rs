//! What is durable of permits and contacts, as it is written down: one record a machine, and one mark. A record that cannot be read means
//! silence for that one machine; no fault quotes what stands in it, which may be the secret.

use crate::disk::{Disk, Kept};
use crate::error::BootError;
use crate::limits::MACHINES_MAX;
use crate::permits::{AgeMark, Record};
use std::io;
use std::sync::Arc;

/// All records. What cannot be read is named in the second list: its machine gets silence until a new grant replaces it.
pub fn load(disk: &dyn Disk) -> Result<(Vec<Record>, Vec<BootError>), BootError> {
    let all = Kept::Machine(String::new());
    let names = disk.machines().map_err(|source| BootError::State { path: disk.place(&all), source })?;
    let (mut records, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        let what = Kept::Machine(name.clone());
        let read = read::<Record>(disk, &what).and_then(|record| match record {
            Some(record) if record.machine.as_str() == name => Ok(record),
            Some(_) => Err(io::Error::other("it names another machine")),
            None => Err(io::ErrorKind::NotFound.into()),
        });
        match read {
            Ok(record) if records.len() < MACHINES_MAX => records.push(record),
            Ok(_) => faults.push(BootError::State { path: disk.place(&what), source: io::Error::other("too many machines") }),
            Err(source) => faults.push(BootError::State { path: disk.place(&what), source }),
        }
    }
    Ok((records, faults))
}

/// Makes a record durable: when this returns Ok it survives a power cut, and nothing of the older one does.
pub async fn write(disk: &Arc<dyn Disk>, record: &Record) -> Result<(), BootError> {
    replace(disk, Kept::Machine(record.machine.to_string()), record).await
}

/// The age of the last contact as last written.
pub fn read_mark(disk: &dyn Disk) -> Option<AgeMark> {
    read(disk, &Kept::Contact).ok().flatten()
}

/// Writes the age of the last contact.
pub async fn write_mark(disk: &Arc<dyn Disk>, mark: &AgeMark) -> Result<(), BootError> {
    replace(disk, Kept::Contact, mark).await
}

fn read<T: serde::de::DeserializeOwned>(disk: &dyn Disk, what: &Kept) -> io::Result<Option<T>> {
    let Some(text) = disk.read(what)? else { return Ok(None) };
    // the parser's message would quote the line it stumbled over, which may be the secret
    let told = |error: serde_json::Error| io::Error::other(format!("not readable at line {}", error.line()));
    serde_json::from_slice(&text).map(Some).map_err(told)
}

async fn replace<T: serde::Serialize>(disk: &Arc<dyn Disk>, what: Kept, value: &T) -> Result<(), BootError> {
    let path = disk.place(&what);
    let written = match serde_json::to_vec(value) {
        Ok(text) => disk.clone().replace(what, text).await,
        Err(error) => Err(io::Error::other(error)),
    };
    written.map_err(|source| BootError::State { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Files;
    use crate::examples::permit;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn files(folder: &Path) -> Arc<dyn Disk> {
        Arc::new(Files::open(folder).unwrap())
    }

    #[tokio::test]
    async fn records_read_back_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let disk = files(&folder.path().join("state"));
        let given = permit(1, "web1", 5);
        let record = Record { machine: given.machine.clone(), provisioning_mac: None, permit: Some(given) };
        write(&disk, &record).await.unwrap();
        let path = folder.path().join("state/permits/m1.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&*disk).unwrap().0, std::slice::from_ref(&record));
        write(&disk, &Record { permit: None, ..record }).await.unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains("chap-secret"), "nothing of a revoked permit remains");
    }

    #[tokio::test]
    async fn a_damaged_file_silences_its_machine_alone_and_its_fault_holds_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let disk = files(folder.path());
        write(&disk, &Record { machine: "m2".parse().unwrap(), provisioning_mac: None, permit: None }).await.unwrap();
        fs::write(folder.path().join("permits/m1.json"), "{\"machine\": \"m1\", \"secret\": \"hunter2\"").unwrap();
        fs::write(folder.path().join("permits/m3.json"), "{\"machine\":\"m4\",\"provisioning_mac\":null,\"permit\":null}")
            .unwrap();
        fs::write(folder.path().join("permits/m5.new"), "half").unwrap();
        let (records, faults) = load(&*disk).unwrap();
        assert_eq!(records.len(), 1);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|text| text.contains("F1203") && !text.contains("hunter2")), "{told:?}");
    }
}
