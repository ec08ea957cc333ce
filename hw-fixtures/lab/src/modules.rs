//! Kernel modules for an image: each with what it needs, in an order in which they can be loaded.
//!
//! Dependencies are read from the modules themselves, so that no `depmod` has to have run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why the modules of an image could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// A folder or file could not be read.
    #[error("kernel modules: {0}: {1}")]
    Files(PathBuf, io::Error),
    /// The kernel package has no such module.
    #[error("the kernel package has no module {0}; another kernel package than the lab was made for?")]
    Missing(String),
}

/// All modules of a kernel, by name as the kernel spells it.
#[derive(Debug, Default)]
pub struct Modules(BTreeMap<String, PathBuf>);

/// A module's name as the kernel spells it.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// What a module says that it needs.
#[must_use]
pub fn needs(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let list = module.get(at + KEY.len()..).and_then(|rest| rest.split(|byte| *byte == 0).next()).unwrap_or_default();
    String::from_utf8_lossy(list).split(',').filter(|name| !name.is_empty()).map(plain).collect()
}

/// A module without its signature. The lab's kernels do not insist on one, and checking it costs an emulated processor a tenth of a second.
fn unsigned(module: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"~Module signature appended~\n";
    const HEADER_BYTES: usize = 12;
    let signature = || {
        let header_end = module.strip_suffix(MARK)?.len();
        let length: [u8; 4] = module.get(header_end.checked_sub(4)?..header_end)?.try_into().ok()?;
        header_end.checked_sub(HEADER_BYTES)?.checked_sub(usize::try_from(u32::from_be_bytes(length)).ok()?)
    };
    let end = signature().unwrap_or(module.len());
    let mut module = module;
    module.truncate(end);
    module
}

impl Modules {
    /// Finds every module below a kernel's folder (`lib/modules/VERSION`).
    pub fn find(folder: &Path) -> Result<Self, ModuleError> {
        let mut found = Self::default();
        let mut open = vec![folder.to_owned()];
        while let Some(folder) = open.pop() {
            let failed = |error| ModuleError::Files(folder.clone(), error);
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let path = entry.path();
                if entry.file_type().map_err(failed)?.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "ko")
                    && let Some(name) = path.file_stem()
                {
                    found.0.insert(plain(&name.to_string_lossy()), path);
                }
            }
        }
        Ok(found)
    }

    /// These modules and all that they need, each after what it needs: file name and content.
    pub fn closure(&self, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>, ModuleError> {
        let mut order = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for name in wanted {
            self.visit(&plain(name), &mut seen, &mut order)?;
        }
        Ok(order)
    }

    fn visit(
        &self,
        name: &str,
        seen: &mut std::collections::BTreeSet<String>,
        order: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<(), ModuleError> {
        if !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let path = self.0.get(name).ok_or_else(|| ModuleError::Missing(name.to_owned()))?;
        let content = fs::read(path).map_err(|error| ModuleError::Files(path.clone(), error))?;
        for need in needs(&content) {
            self.visit(&need, seen, order)?;
        }
        order.push((format!("{name}.ko"), unsigned(content)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        assert_eq!(needs(b"x\0depends=scsi-mod,libiscsi\0y"), ["scsi_mod", "libiscsi"]);
        assert!(needs(b"x\0depends=\0y").is_empty());
        assert!(needs(b"nothing").is_empty());
        assert_eq!(needs(b"\0depends=torn"), ["torn"]);
    }

    #[test]
    fn a_signature_is_taken_off_and_nothing_else() {
        let mut signed = b"code".to_vec();
        signed.extend([9; 20]);
        signed.extend([0, 0, 0, 0, 0, 0, 0, 0]);
        signed.extend(20u32.to_be_bytes());
        signed.extend(b"~Module signature appended~\n");
        assert_eq!(unsigned(signed), b"code");
        assert_eq!(unsigned(b"code".to_vec()), b"code");
        assert_eq!(
            unsigned(b"\xff\xff\xff\xff~Module signature appended~\n".to_vec()).len(),
            32,
            "a lying length takes nothing off"
        );
    }

    #[test]
    fn needs_come_first_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, needs: &str| fs::write(folder.path().join(name), format!("\0depends={needs}\0")).unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        write("iscsi_tcp.ko", "libiscsi,scsi-mod");
        write("deep/libiscsi.ko", "scsi-mod");
        write("deep/scsi-mod.ko", "");
        let modules = Modules::find(folder.path()).unwrap();
        let names: Vec<_> = modules.closure(&["iscsi_tcp", "scsi-mod"]).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["scsi_mod.ko", "libiscsi.ko", "iscsi_tcp.ko"]);
        assert!(matches!(modules.closure(&["e1000"]), Err(ModuleError::Missing(_))));
    }
}
