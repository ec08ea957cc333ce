//! apt as a calculator and a downloader. It is asked what a bare system would need (an empty dpkg status of our own, so that a conflict
//! on this machine cannot spoil the answer) and to fetch exact versions, whose hashes it checks against signed lists. It must never be
//! run in a way that installs, removes or configures anything.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{KERNEL_PREFIX, KERNEL_SUFFIX, LOADER_FAMILY, TABLE};
use crate::say;

/// One package at one version, with the size of its download.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub bytes: u64,
}

/// apt with private scratch folders; `lists` is private too once the machine's own turned out missing or stale.
pub struct Apt {
    scratch: PathBuf,
    private_lists: bool,
}

impl Apt {
    /// Prepares the scratch folders under `scratch`.
    pub fn new(scratch: &Path) -> Result<Self> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(scratch.join(folder))?;
        }
        std::fs::write(scratch.join("empty-status"), "")?;
        Ok(Self { scratch: scratch.to_path_buf(), private_lists: false })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .arg("-o")
            .arg("Debug::NoLocking=1")
            .arg("-o")
            .arg("APT::Sandbox::User=root")
            .arg("-o")
            .arg(option("Dir::Cache", &self.scratch.join("cache")));
        if self.private_lists {
            command.arg("-o").arg(option("Dir::State::lists", &self.scratch.join("lists")));
        }
        command
    }

    /// Fetches fresh package lists into the scratch folder; the machine's own stay as they are, so no root is needed.
    pub fn update(&mut self) -> Result<()> {
        self.private_lists = true;
        say!("fetching package lists (apt-get update, into the cache; about 10 s)");
        let output = self.command().args(["update", "-qq"]).output().context("apt-get did not start")?;
        if !output.status.success() {
            // another source of this machine may be broken: what counts is whether the packages can be resolved
            eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(())
    }

    /// All that a bare system would install for the table's packages, dependencies included.
    pub fn closure(&self) -> Result<Vec<Package>> {
        let output = self
            .command()
            .arg("-o")
            .arg(option("Dir::State::status", &self.scratch.join("empty-status")))
            .args(["install", "--print-uris", "-qq", "--no-install-recommends"])
            .args(TABLE.iter().map(|wanted| wanted.name))
            .output()
            .context("apt-get did not start: this needs Debian")?;
        if !output.status.success() {
            bail!("apt cannot resolve the lab's packages:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        let closure = parse_uris(&String::from_utf8_lossy(&output.stdout));
        for wanted in TABLE {
            if !closure.iter().any(|package| package.name == wanted.name) {
                bail!("apt's answer lacks {} ({})", wanted.name, wanted.reason);
            }
        }
        Ok(closure)
    }

    /// Downloads exactly `packages` into `folder`, showing how far it is.
    pub fn download(&self, packages: &[Package], folder: &Path) -> Result<()> {
        let mut child = self
            .command()
            .arg("download")
            .args(packages.iter().map(|package| format!("{}={}", package.name, package.version)))
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("apt-get did not start")?;
        let mut stderr = child.stderr.take().context("apt-get has no stderr")?;
        let complaints = std::thread::spawn(move || {
            let mut text = String::new();
            let read = std::io::Read::read_to_string(&mut stderr, &mut text);
            read.map(|_| text)
        });
        if let Some(stdout) = child.stdout.take() {
            show_progress(BufReader::new(stdout), packages.len());
        }
        let status = child.wait()?;
        let complaints = complaints.join().ok().and_then(Result::ok).unwrap_or_default();
        if !status.success() {
            bail!("apt-get download failed ({status}):\n{}", complaints.trim_end());
        }
        Ok(())
    }
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(name);
    text.push("=");
    text.push(path);
    text
}

fn show_progress(lines: impl BufRead, total: usize) {
    let terminal = std::io::stderr().is_terminal();
    let mut arrived = 0_usize;
    for line in lines.lines().map_while(Result::ok) {
        if line.starts_with("Get:") {
            arrived += 1;
            if terminal {
                eprint!("\r  {arrived} of {total} packages ");
                let _ = std::io::stderr().flush();
            }
        }
    }
    if terminal {
        eprintln!();
    }
}

/// Reads `apt-get --print-uris`: lines of `'URI' FILE SIZE HASH`, where FILE is `name_version_arch.deb` with `:` written as `%3a`.
fn parse_uris(text: &str) -> Vec<Package> {
    text.lines().filter_map(parse_uri).collect()
}

fn parse_uri(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace();
    let _uri = words.next().filter(|word| word.starts_with('\''))?;
    let file = words.next()?.strip_suffix(".deb")?;
    let bytes = words.next()?.parse().ok()?;
    let mut parts = file.split('_');
    let name = parts.next()?.to_owned();
    let version = parts.next()?.replace("%3a", ":").replace("%5f", "_").replace("%25", "%");
    Some(Package { name, version, bytes })
}

/// What the machine has installed, by name.
pub fn installed() -> Result<BTreeMap<String, String>> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Abbrev}|${Package}|${Version}|${Architecture}\n"])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("dpkg-query did not start: this needs Debian")?;
    Ok(parse_installed(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_installed(text: &str) -> BTreeMap<String, String> {
    let mut packages = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        if let [status, name, version, architecture] = fields.as_slice()
            && status.trim_end() == "ii"
            && matches!(*architecture, "amd64" | "all")
        {
            packages.insert((*name).to_owned(), (*version).to_owned());
        }
    }
    packages
}

/// Which of the closure must be unpacked: the table's own, the kernel, all of Python (interpreter and modules fit one another only as a
/// whole), and each library that the machine lacks or has in an older version.
/// Everything else of the closure (shells, init scripts, perl) serves installation only, and nothing here is installed.
pub fn select(closure: &[Package], installed: &BTreeMap<String, String>, older: impl Fn(&str, &str) -> bool) -> Vec<Package> {
    let mut chosen: Vec<Package> = closure
        .iter()
        .filter(|package| {
            is_wanted(&package.name) || is_kernel(&package.name) || is_python(&package.name) || {
                is_library(&package.name)
                    && installed
                        .get(&package.name)
                        .is_none_or(|version| version != &package.version && older(version, &package.version))
            }
        })
        .cloned()
        .collect();
    chosen.sort();
    chosen
}

fn is_wanted(name: &str) -> bool {
    TABLE.iter().any(|wanted| wanted.name == name)
}

fn is_kernel(name: &str) -> bool {
    name.starts_with(KERNEL_PREFIX) && name.ends_with(KERNEL_SUFFIX)
}

fn is_python(name: &str) -> bool {
    name.starts_with("python3") || name.starts_with("libpython3")
}

fn is_library(name: &str) -> bool {
    name.starts_with("lib") && !name.ends_with("-perl") && !name.starts_with("libperl") && !LOADER_FAMILY.contains(&name)
        || name == "zlib1g"
}

/// dpkg's own order of versions.
pub fn is_older(present: &str, candidate: &str) -> bool {
    Command::new("dpkg")
        .args(["--compare-versions", present, "lt", candidate])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package { name: name.to_owned(), version: version.to_owned(), bytes: 1 }
    }

    #[test]
    fn a_line_of_apt_is_read_with_its_epoch() {
        let line =
            "'http://mirror/pool/t/tgt/tgt_1.0.85-1%2bdeb12u1_amd64.deb' tgt_1%3a1.0.85-1+deb12u1_amd64.deb 214812 MD5Sum:00";
        assert_eq!(
            parse_uris(&format!("Reading...\n{line}\n")),
            vec![Package { name: "tgt".into(), version: "1:1.0.85-1+deb12u1".into(), bytes: 214_812 }]
        );
    }

    #[test]
    fn only_what_is_installed_for_this_architecture_counts() {
        let text = "ii |libaio1|1|amd64\nrc |libold|1|amd64\nii |libforeign|1|i386\nii |tzdata|2|all\n";
        let installed = parse_installed(text);
        assert_eq!(installed.keys().collect::<Vec<_>>(), ["libaio1", "tzdata"]);
    }

    #[test]
    fn libraries_come_along_only_if_missing_or_older_and_the_loader_never() {
        let closure = [
            package("qemu-system-x86", "7"),
            package("linux-image-6.1.0-9-cloud-amd64", "6"),
            package("libmissing1", "1"),
            package("libolder1", "2"),
            package("libnewer1", "2"),
            package("libc6", "2"),
            package("libtext-glob-perl", "1"),
            package("udev", "1"),
            package("python3-minimal", "1"),
            package("libpython3.11-stdlib", "1"),
        ];
        let installed = BTreeMap::from([
            ("qemu-system-x86".to_owned(), "7".to_owned()),
            ("libolder1".to_owned(), "1".to_owned()),
            ("libpython3.11-stdlib".to_owned(), "1".to_owned()),
            ("libnewer1".to_owned(), "3".to_owned()),
        ]);
        let names: Vec<String> = select(&closure, &installed, |present, candidate| present < candidate)
            .into_iter()
            .map(|package| package.name)
            .collect();
        assert_eq!(
            names,
            [
                "libmissing1",
                "libolder1",
                "libpython3.11-stdlib",
                "linux-image-6.1.0-9-cloud-amd64",
                "python3-minimal",
                "qemu-system-x86"
            ]
        );
    }
}
