//! Volumes of the lab, made without loop devices and without root: the servers' roots, `san` disks, the switch's small disk.
//!
//! They are made anew for every lab; a lab never starts on another lab's data.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::images::{GUEST, ImageError, Maker, read, write};
use crate::limits::{ROOT_MIB, SAN_MIB, SWITCH_DISK_MIB};
use crate::names::{production_address, server, volume};

const MIB: u64 = 1024 * 1024;
/// Where the one partition of a `san` disk begins.
const PARTITION_START: u64 = MIB;
const SECTOR: u64 = 512;
const TABLE: u64 = 446;
const LINUX_PARTITION: u8 = 0x83;
const BOOT_CODE_BYTES: usize = 440;
const GRUB_MODULES: [&str; 8] = ["biosdisk", "part_msdos", "ext2", "linux", "normal", "configfile", "serial", "terminal"];
const GRUB_MENU: &str = "serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial\nset timeout=0\nmenuentry lab {\n  linux /boot/vmlinuz console=ttyS0 quiet panic=-1 mitigations=off\n  initrd /boot/initrd\n}\n";

/// How servers boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// Kernel and initrd by HTTP; the volume is a bare file system.
    Kernel,
    /// The firmware boots the volume, a disk with its own boot loader.
    San,
}

/// The file behind a server's volume in a run folder.
#[must_use]
pub fn volume_file(run: &Path, number: u8) -> PathBuf {
    run.join(format!("volumes/{}.img", volume(number)))
}

/// What a server's own image says of itself.
#[must_use]
pub fn identity(number: u8) -> String {
    format!("SERVER={}\nNIC_PRODUCTION_ADDRESS={}\n", server(number), production_address(number))
}

fn named<T>(path: &Path, result: std::io::Result<T>) -> Result<T, ImageError> {
    result.map_err(|error| ImageError::Files(path.to_owned(), error))
}

/// The servers' root file system as a tree of files.
fn root_tree(maker: &Maker<'_>, number: u8, tree: &Path) -> Result<(), ImageError> {
    for folder in ["bin", "sbin", "etc/understudy", "proc", "sys", "dev", "run", "tmp", "var/lib/workload"] {
        named(tree, fs::create_dir_all(tree.join(folder)))?;
    }
    let program = |place: &str, content: &[u8]| {
        let path = tree.join(place);
        write(&path, content)?;
        named(&path, fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
    };
    program("sbin/init", &maker.program(GUEST)?)?;
    program("bin/busybox", &maker.packages.read(&["bin/busybox"])?)?;
    for applet in ["sh", "ls", "cat", "ip", "sync"] {
        named(tree, symlink("busybox", tree.join("bin").join(applet)))?;
    }
    write(&tree.join("etc/lab-role"), b"root\n")?;
    write(&tree.join("etc/understudy/server"), identity(number).as_bytes())
}

/// Makes a sparse file of this size.
fn sparse(path: &Path, mib: u64) -> Result<File, ImageError> {
    let file = named(path, OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path))?;
    named(path, file.set_len(mib * MIB))?;
    Ok(file)
}

/// Makes an ext4 file system of a tree (or an empty one) in a file, from an offset on.
fn file_system(maker: &Maker<'_>, path: &Path, tree: Option<&Path>, offset: u64, mib: u64) -> Result<(), ImageError> {
    let mut command = maker.packages.command(&["sbin/mke2fs"])?;
    command.args(["-q", "-F", "-t", "ext4", "-E"]).arg(format!("root_owner=0:0,nodiscard,offset={offset}"));
    if let Some(tree) = tree {
        command.arg("-d").arg(tree);
    }
    command.arg(path).arg(format!("{}k", (mib * MIB - offset) / 1024));
    maker.children.output(&mut command, "").map(drop).map_err(ImageError::Helper)
}

/// Makes a server's volume.
pub fn make(maker: &Maker<'_>, run: &Path, number: u8, boot: Boot, kernel: &Path, initrd: &Path) -> Result<(), ImageError> {
    let (file, tree) = (volume_file(run, number), run.join(format!("tree-{}", server(number))));
    root_tree(maker, number, &tree)?;
    match boot {
        Boot::Kernel => {
            sparse(&file, ROOT_MIB)?;
            file_system(maker, &file, Some(&tree), 0, ROOT_MIB)?;
        }
        Boot::San => {
            named(&tree, fs::create_dir_all(tree.join("boot/grub")))?;
            write(&tree.join("boot/vmlinuz"), &read(kernel)?)?;
            write(&tree.join("boot/initrd"), &read(initrd)?)?;
            write(&tree.join("boot/grub/grub.cfg"), GRUB_MENU.as_bytes())?;
            let disk = sparse(&file, SAN_MIB)?;
            file_system(maker, &file, Some(&tree), PARTITION_START, SAN_MIB)?;
            boot_loader(maker, run, disk, &file)?;
        }
    }
    named(&tree, fs::remove_dir_all(&tree))
}

/// Makes the switch's small disk.
pub fn make_switch_disk(maker: &Maker<'_>, path: &Path) -> Result<(), ImageError> {
    sparse(path, SWITCH_DISK_MIB)?;
    file_system(maker, path, None, 0, SWITCH_DISK_MIB)
}

/// The partition table's one entry: bootable, Linux, from 1 MiB to the end.
fn partition_entry(disk_bytes: u64) -> [u8; 16] {
    let mut entry = [0; 16];
    let (start, length) = (PARTITION_START / SECTOR, (disk_bytes - PARTITION_START) / SECTOR);
    let fields = [0x80, 0xfe, 0xff, 0xff, LINUX_PARTITION, 0xfe, 0xff, 0xff];
    let numbers = [start, length].map(|number| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    for (place, byte) in entry.iter_mut().zip(fields.iter().chain(numbers.iter().flatten())) {
        *place = *byte;
    }
    entry
}

/// Puts GRUB before the first partition, and the partition table beside its first sector.
fn boot_loader(maker: &Maker<'_>, run: &Path, mut disk: File, path: &Path) -> Result<(), ImageError> {
    let boot = maker.packages.read(&["lib/grub/i386-pc/boot.img"])?;
    let core = run.join("grub-core.img");
    let mut command = maker.packages.command(&["bin/grub-mkimage"])?;
    command.arg("-d").arg(maker.packages.path(&["lib/grub/i386-pc"])?);
    command.args(["-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o"]).arg(&core).args(GRUB_MODULES);
    maker.children.output(&mut command, "").map_err(ImageError::Helper)?;
    let code = boot.get(..BOOT_CODE_BYTES).unwrap_or(&boot);
    let pieces: [(u64, &[u8]); 4] =
        [(0, code), (TABLE, &partition_entry(SAN_MIB * MIB)), (SECTOR - 2, &[0x55, 0xaa]), (SECTOR, &read(&core)?)];
    for (at, bytes) in pieces {
        named(path, disk.seek(SeekFrom::Start(at)).and_then(|_| disk.write_all(bytes)))?;
    }
    named(&core, fs::remove_file(&core))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_begins_at_one_mebibyte_and_fills_the_disk() {
        let entry = partition_entry(SAN_MIB * MIB);
        assert_eq!((entry[0], entry[4]), (0x80, 0x83));
        assert_eq!(u32::from_le_bytes(entry[8..12].try_into().unwrap()), 2048);
        assert_eq!(u64::from(u32::from_le_bytes(entry[12..16].try_into().unwrap())) * 512, SAN_MIB * MIB - MIB);
    }

    #[test]
    fn an_image_knows_its_server_and_its_address() {
        let facts = guest::claim::Facts::parse(&identity(2));
        assert_eq!(facts.get("SERVER"), Some("web2"));
        assert_eq!(facts.get("NIC_PRODUCTION_ADDRESS"), Some("10.20.0.12/24"));
    }
}
