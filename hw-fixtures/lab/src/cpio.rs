//! Archives in the form that a kernel unpacks as its first file system (cpio "newc"), made in memory and the same for the same content.
//!
//! No time, owner or inode of the building machine gets in: two builds of one content are one archive.

const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
const DEVICE: u32 = 0o020_600;

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: std::collections::BTreeSet<String>,
}

impl Archive {
    /// Adds a folder and those above it, each once.
    pub fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.folders.contains(path) {
            return;
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.folders.insert(path.to_owned());
        self.entry(path, FOLDER, &[], (0, 0));
    }

    /// Adds a file with these permissions, and the folders above it.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        self.folder(above(path));
        self.entry(path.trim_matches('/'), FILE | (permissions & 0o7777), content, (0, 0));
    }

    /// Adds a symbolic link, and the folders above it.
    pub fn link(&mut self, path: &str, to: &str) {
        self.folder(above(path));
        self.entry(path.trim_matches('/'), LINK, to.as_bytes(), (0, 0));
    }

    /// Adds a character device, and the folders above it.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.folder(above(path));
        self.entry(path.trim_matches('/'), DEVICE, &[], (major, minor));
    }

    /// Ends the archive. A further archive may follow it: its length is a multiple of 512.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[], (0, 0));
        let whole = self.bytes.len().next_multiple_of(512);
        self.bytes.resize(whole, 0);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8], device: (u32, u32)) {
        self.entries += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let links = if mode == FOLDER { 2 } else { 1 };
        // inode, mode, uid, gid, links, mtime, size, device of the file (2), device it is (2), name size, checksum
        let fields = [self.entries, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend_from_slice(MAGIC.as_bytes());
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        let whole = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(whole, 0);
    }
}

fn above(path: &str) -> &str {
    path.trim_matches('/').rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader written against the format's description, not against the writer.
    fn read(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut at = 0;
        loop {
            assert_eq!(&bytes[at..at + 6], b"070701");
            let field = |index: usize| {
                u32::from_str_radix(std::str::from_utf8(&bytes[at + 6 + index * 8..at + 14 + index * 8]).unwrap(), 16).unwrap()
            };
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[at + 110..at + 110 + name_size - 1].to_vec()).unwrap();
            let content = (at + 110 + name_size).next_multiple_of(4);
            at = (content + size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                return found;
            }
            found.push((name, mode, bytes[content..content + size].to_vec()));
        }
    }

    #[test]
    fn an_archive_reads_back_with_its_folders_first() {
        let mut archive = Archive::default();
        archive.file("/lab/modules/order", 0o644, b"a.ko\n");
        archive.file("lab/modules/a.ko", 0o644, &[1; 5]);
        archive.link("bin/sh", "busybox");
        archive.device("dev/console", 5, 1);
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 512, 0);
        let entries = read(&bytes);
        let names: Vec<_> = entries.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["lab", "lab/modules", "lab/modules/order", "lab/modules/a.ko", "bin", "bin/sh", "dev", "dev/console"]);
        assert_eq!(entries[2].2, b"a.ko\n");
        assert_eq!(entries[3].1, 0o100_644);
        assert_eq!((entries[5].1, entries[5].2.as_slice()), (0o120_777, &b"busybox"[..]));
        assert_eq!(entries[7].1, 0o020_600);
    }

    #[test]
    fn the_same_content_is_the_same_archive() {
        let make = || {
            let mut archive = Archive::default();
            archive.file("a/b", 0o755, b"x");
            archive.finish()
        };
        assert_eq!(make(), make());
    }
}
