//! Where things lie: the folders of the work tree and of its caches. It only names places; nothing here may create, write or delete one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The work tree that `cargo xtask` was started in.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The tree of this very xtask: cargo says at run time where its manifest lies, two folders below the root.
    pub fn here() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .context("CARGO_MANIFEST_DIR is not set: start this program as `cargo xtask ...`")?;
        let root = manifest.ancestors().nth(2).context("the folder of xtask has no grandparent: is the tree complete?")?;
        Ok(Self::at(root))
    }

    /// A tree at a given folder; tests plant breaches in one.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The top folder, with the workspace's `Cargo.toml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// cargo's output folder; there is one only, so that no build is done twice.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Programs of the normal build.
    pub fn programs(&self) -> PathBuf {
        self.target().join("debug")
    }

    /// Everything the lab keeps between runs.
    pub fn lab(&self) -> PathBuf {
        self.target().join("lab")
    }

    /// Where simulated halls lie while they run.
    pub fn halls(&self) -> PathBuf {
        self.target().join("halls")
    }

    /// Unpacked Debian packages: one folder a set, and the symlink `root` at the present set.
    pub fn packages(&self) -> PathBuf {
        self.lab().join("packages")
    }

    /// The folder that the lab treats as the root of a Debian system.
    pub fn packages_root(&self) -> PathBuf {
        self.packages().join("root")
    }

    /// Programs that only tests need and that are no Debian packages.
    pub fn peers(&self) -> PathBuf {
        self.lab().join("peers")
    }

    /// Images and boot files the lab builds once.
    pub fn cache(&self) -> PathBuf {
        self.lab().join("cache")
    }

    /// The programs as the lab takes them: the normal build's, but static where they run inside small machines.
    pub fn lab_programs(&self) -> PathBuf {
        self.lab().join("bin")
    }

    /// Where `lab up` keeps sockets, logs and volumes of the lab it raised.
    pub fn lab_up(&self) -> PathBuf {
        self.lab().join("up")
    }
}
