//! Where things are that a lab is made of, and where it may leave something. It only names places.

use std::path::{Path, PathBuf};

use crate::limits::RUN_PATH_BYTES_MAX;

/// Where things are that a lab is made of.
#[derive(Clone, Debug)]
pub struct Places {
    /// The unpacked packages.
    pub packages: PathBuf,
    /// Where images are kept; run folders lie beside it.
    pub cache: PathBuf,
    /// Our programs.
    pub bin_dir: PathBuf,
}

impl Places {
    /// One of our programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// Where run folders lie: beside the cache, or, if sockets there would have too long a path, in the folder for temporary files.
    pub fn runs(&self) -> PathBuf {
        let beside = self.cache.parent().unwrap_or(Path::new(".")).join("runs");
        if beside.as_os_str().len() + 24 <= RUN_PATH_BYTES_MAX { beside } else { std::env::temp_dir().join("understudy-runs") }
    }

    /// Where the logs of what failed are kept.
    pub fn failed(&self) -> PathBuf {
        self.cache.parent().unwrap_or(Path::new(".")).join("failed")
    }
}
