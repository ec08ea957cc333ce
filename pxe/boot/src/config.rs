//! The configuration of one boot service: one JSON file, read once at the start and checked whole. It holds no secret.

use crate::error::BootError;
use crate::limits;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use vocabulary::network::Cidr;
use vocabulary::{ImageId, Mac, MachineId, Span};

/// The configuration file. Unknown fields are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bundle that `understudy agent enroll` wrote for this agent: estate, keys, certificates.
    pub bundle: PathBuf,
    /// Where the agent's wire listens.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Where permits and the gate's memory live: beside the service, on a disk that survives a power cut.
    pub state_dir: PathBuf,
    /// The interface of the provisioning network. Nothing is answered on any other.
    pub interface: String,
    /// This service's address there.
    pub address: Cidr,
    /// Router announced to clients; none where the provisioning network leads nowhere.
    #[serde(default)]
    pub router: Option<Ipv4Addr>,
    /// Machines known before their first permit, so that a contact of one without permit is told. Others are learnt from permits.
    #[serde(default)]
    pub machines: BTreeMap<MachineId, MachineEntry>,
    /// The folder of kernels and initrds.
    pub images_dir: PathBuf,
    /// File names of each `kernel` image in that folder. An image that is not named here is `<image>/kernel` and `<image>/initrd`.
    #[serde(default)]
    pub images: BTreeMap<ImageId, ImageFiles>,
    /// The iPXE binaries.
    pub ipxe: Ipxe,
    /// Ports; only tests have reason to change them.
    #[serde(default)]
    pub ports: Ports,
    /// How long an address is leased; clients renew at half of it.
    #[serde(default = "default_lease")]
    pub address_lease: Span,
}

/// One machine known by configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineEntry {
    /// The MAC address of its provisioning NIC.
    pub provisioning_mac: Mac,
}

/// The files of one image, relative to `images_dir`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ImageFiles {
    /// Kernel.
    pub kernel: PathBuf,
    /// Initrd.
    pub initrd: PathBuf,
}

/// The iPXE binaries that firmware without iPXE is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ipxe {
    /// For BIOS PXE: undionly.kpxe.
    pub bios: PathBuf,
    /// For UEFI PXE and UEFI HTTP boot: snponly.efi, which drives the NIC that it came over and no other.
    pub uefi: PathBuf,
    /// For UEFI and `san`, where the volume is reached over another NIC: a build with NIC drivers of its own (ipxe.efi).
    #[serde(default)]
    pub uefi_san: Option<PathBuf>,
}

/// Ports.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ports {
    /// DHCP server.
    pub dhcp: u16,
    /// TFTP.
    pub tftp: u16,
    /// HTTP.
    pub http: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Ports { dhcp: 67, tftp: 69, http: 80 }
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7445))
}

fn default_lease() -> Span {
    Span::seconds(limits::ADDRESS_LEASE_SECONDS)
}

impl Config {
    /// Reads and checks a configuration file; relative paths in it are taken from the folder of the file.
    pub fn read(path: &Path) -> Result<Config, BootError> {
        let fault = |reason: String| BootError::Config { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let mut config: Config = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        for place in
            [&mut config.bundle, &mut config.state_dir, &mut config.images_dir, &mut config.ipxe.bios, &mut config.ipxe.uefi]
                .into_iter()
                .chain(config.ipxe.uefi_san.as_mut())
        {
            *place = base.join(&*place);
        }
        config.check().map_err(fault)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if !self.address.address.is_ipv4() {
            return Err(format!("address {}: the provisioning address must be IPv4", self.address));
        }
        if self.address_lease < Span::seconds(limits::ADDRESS_LEASE_SECONDS_MIN) {
            return Err(format!("address_lease {}: at least {} s", self.address_lease, limits::ADDRESS_LEASE_SECONDS_MIN));
        }
        for (image, files) in &self.images {
            for file in [&files.kernel, &files.initrd] {
                if !is_below(file) {
                    return Err(format!("image {image}: `{}` must be a path below images_dir, without `..`", file.display()));
                }
            }
        }
        let mut seen: BTreeMap<Mac, &MachineId> = BTreeMap::new();
        for (machine, entry) in &self.machines {
            if let Some(other) = seen.insert(entry.provisioning_mac, machine) {
                return Err(format!("machines {other} and {machine} have the same provisioning MAC {}", entry.provisioning_mac));
            }
        }
        for file in [&self.ipxe.bios, &self.ipxe.uefi].into_iter().chain(&self.ipxe.uefi_san) {
            let length = std::fs::metadata(file).map_err(|error| format!("iPXE binary {}: {error}", file.display()))?.len();
            if length == 0 || length > limits::IPXE_BYTES_MAX {
                return Err(format!("iPXE binary {} has {length} bytes: that is no iPXE", file.display()));
            }
        }
        Ok(())
    }

    /// This service's IPv4 address.
    pub fn ip(&self) -> Ipv4Addr {
        match self.address.address {
            IpAddr::V4(ip) => ip,
            // refused by `check`
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        }
    }

    /// The start of every URL that clients are given: no `?`, no `&`, no name that would need DNS.
    pub fn base_url(&self) -> String {
        match self.ports.http {
            80 => format!("http://{}", self.ip()),
            port => format!("http://{}:{port}", self.ip()),
        }
    }

    /// Where the files of an image are.
    pub fn image_files(&self, image: &ImageId) -> ImageFiles {
        let named = self.images.get(image).cloned().unwrap_or_else(|| {
            let folder = Path::new(image.as_str());
            ImageFiles { kernel: folder.join("kernel"), initrd: folder.join("initrd") }
        });
        ImageFiles { kernel: self.images_dir.join(named.kernel), initrd: self.images_dir.join(named.initrd) }
    }
}

fn is_below(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// The file name by which a binary is asked for.
pub fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("ipxe")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, Result<Config, BootError>) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["undionly.kpxe", "snponly.efi"] {
            std::fs::write(folder.path().join(name), b"ipxe").unwrap();
        }
        let path = folder.path().join("boot.json");
        std::fs::write(&path, text).unwrap();
        let config = Config::read(&path);
        (folder, config)
    }

    const GOOD: &str = r#"{"bundle":"boot1.bundle","state_dir":"state","interface":"prov","address":"10.10.0.1/24","images_dir":"images",
        "images":{"web-kernel":{"kernel":"vmlinuz","initrd":"server.cpio"}},"ipxe":{"bios":"undionly.kpxe","uefi":"snponly.efi"}}"#;

    #[test]
    fn a_plain_configuration_has_the_lab_ports_and_paths_beside_the_file() {
        let (folder, config) = written(GOOD);
        let config = config.unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:7445");
        assert_eq!(config.base_url(), "http://10.10.0.1");
        assert_eq!(config.state_dir, folder.path().join("state"));
        let named = config.image_files(&"web-kernel".parse().unwrap());
        assert_eq!(named.kernel, folder.path().join("images/vmlinuz"));
        let unnamed = config.image_files(&"other".parse().unwrap());
        assert_eq!(unnamed.initrd, folder.path().join("images/other/initrd"));
    }

    #[test]
    fn bad_configurations_are_refused_with_the_reason() {
        for (from, to, why) in [
            ("10.10.0.1/24", "fd00::1/64", "IPv4"),
            ("\"vmlinuz\"", "\"../vmlinuz\"", "below"),
            ("\"vmlinuz\"", "\"/etc/passwd\"", "below"),
            ("\"interface\"", "\"interfaces\"", "unknown field"),
            ("\"undionly.kpxe\"", "\"absent\"", "iPXE binary"),
            ("\"interface\":", "\"address_lease\":\"1s\",\"interface\":", "address_lease"),
            (
                "\"interface\":",
                "\"machines\":{\"m1\":{\"provisioning_mac\":\"52:54:00:0c:01:01\"},\"m2\":{\"provisioning_mac\":\"52:54:00:0c:01:01\"}},\"interface\":",
                "same provisioning MAC",
            ),
        ] {
            let (_folder, config) = written(&GOOD.replacen(from, to, 1));
            let told = config.unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }
}
