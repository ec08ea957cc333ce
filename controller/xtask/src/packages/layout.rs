//! Turns archives into a folder that can stand in for the root of a Debian system: unpacked, with links that point inside, and with the
//! list of the kernel's modules that an installation script would have made. It must never write outside the folder it is given.

use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::proof;

/// Unpacks each archive of `folder` into `root`, laid out like a merged /usr so that both spellings of a path work.
pub fn build(folder: &Path, root: &Path) -> Result<()> {
    for part in ["bin", "sbin", "lib", "lib64"] {
        std::fs::create_dir_all(root.join("usr").join(part))?;
        std::os::unix::fs::symlink(Path::new("usr").join(part), root.join(part))?;
    }
    let mut archives: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    archives.sort();
    for archive in archives {
        unpack(&archive, root)?;
    }
    relink(root, root)?;
    list_modules(root)
}

/// `dpkg -x` would put a real `lib` in place of the symlink, so the archive's tar stream is unpacked with symlinked folders kept.
fn unpack(archive: &Path, root: &Path) -> Result<()> {
    let mut stream = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("dpkg-deb did not start")?;
    let tar_input = stream.stdout.take().context("dpkg-deb has no stdout")?;
    let unpacked = Command::new("tar")
        .args(["-x", "--no-same-owner", "--keep-directory-symlink", "--no-overwrite-dir", "-C"])
        .arg(root)
        .stdin(Stdio::from(tar_input))
        .status()
        .context("tar did not start")?;
    let read = stream.wait()?;
    if !unpacked.success() || !read.success() {
        bail!("{} cannot be unpacked into {}: is the disk full?", archive.display(), root.display());
    }
    Ok(())
}

/// Makes absolute links relative where their target came along; the others are left to the machine's own files.
fn relink(root: &Path, folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            relink(root, &path)?;
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&path)?;
            if let Some(inside) = inside(root, &path, &target) {
                std::fs::remove_file(&path)?;
                std::os::unix::fs::symlink(inside, &path)?;
            }
        }
    }
    Ok(())
}

/// The relative form of an absolute link, if what it names lies in `root`.
fn inside(root: &Path, link: &Path, target: &Path) -> Option<PathBuf> {
    let below = target.strip_prefix("/").ok()?;
    if below.components().any(|part| part == Component::ParentDir) || !root.join(below).exists() {
        return None;
    }
    let depth = link.parent()?.strip_prefix(root).ok()?.components().count();
    let mut relative: PathBuf = std::iter::repeat_n("..", depth).collect();
    relative.push(below);
    Some(relative)
}

/// The kernel's package leaves the list of its modules (`modules.dep`) to its installation script, which does not run here.
fn list_modules(root: &Path) -> Result<()> {
    for entry in std::fs::read_dir(root.join("usr/lib/modules"))? {
        let status = Command::new(root.join("usr/sbin/depmod"))
            .arg("-b")
            .arg(root)
            .arg(entry?.file_name())
            .env("LD_LIBRARY_PATH", proof::library_path(root))
            .stdin(Stdio::null())
            .status()
            .context("depmod did not start")?;
        if !status.success() {
            bail!("depmod cannot list the kernel's modules in {} ({status})", root.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::scratch_folder;

    #[test]
    fn an_absolute_link_is_turned_inside_and_one_to_the_machine_is_left() {
        let root = scratch_folder("layout");
        std::fs::create_dir_all(root.join("usr/bin")).unwrap();
        std::fs::create_dir_all(root.join("usr/sbin")).unwrap();
        std::fs::write(root.join("usr/bin/kmod"), "program").unwrap();
        std::os::unix::fs::symlink("/usr/bin/kmod", root.join("usr/sbin/depmod")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", root.join("usr/sbin/other")).unwrap();
        relink(&root, &root).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("usr/sbin/depmod")).unwrap(), "program");
        assert_eq!(std::fs::read_link(root.join("usr/sbin/depmod")).unwrap(), Path::new("../../usr/bin/kmod"));
        assert_eq!(std::fs::read_link(root.join("usr/sbin/other")).unwrap(), Path::new("/nowhere/at/all"));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
