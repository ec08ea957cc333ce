//! Who may boot what: permits, images, boot contacts.

use crate::network::{Cidr, Mac};
use crate::storage::{InitiatorName, Path};
use crate::{Epoch, ImageId, MachineId, PlanId, Role, Secret, ServerId, Span, WallTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The firmware a machine boots with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// Legacy BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

/// How a server's image reaches the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootMethod {
    /// Kernel and initrd by HTTP; the root volume is mounted by the initrd.
    Kernel,
    /// iPXE boots the root volume itself: any operating system, its own boot loader.
    San,
}

/// One network interface of the server on the machine that bears it now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PermitNic {
    /// The machine's NIC for the role.
    pub mac: Mac,
    /// The server's address there.
    pub address: Option<Cidr>,
    /// MTU, where the profile names one.
    pub mtu: Option<u16>,
}

/// How the server reaches its root volume; a boot service delivers it once a boot, and only then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PermitRoot {
    /// Where the volume is.
    pub path: Path,
    /// This placement's initiator.
    pub initiator: InitiatorName,
    /// CHAP user.
    pub user: String,
    /// CHAP secret of this placement.
    pub secret: Secret,
}

/// A placement's standing right to boot: while it stands, each boot of that machine mints a new one-time token and voids the older.
/// It may be cached for `lease`, so that a server can reboot while the controller is away.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Permit {
    /// Which machine may boot.
    pub machine: MachineId,
    /// As which server.
    pub server: ServerId,
    /// The placement's epoch.
    pub epoch: Epoch,
    /// The plan that made the placement.
    pub plan: PlanId,
    /// How.
    pub method: BootMethod,
    /// Which image; for `kernel` its kernel and initrd are served.
    pub image: ImageId,
    /// NICs by role. The `provisioning` one is where DHCP is answered.
    pub nics: BTreeMap<Role, PermitNic>,
    /// The root volume.
    pub root: PermitRoot,
    /// Extra kernel arguments of the image.
    pub arguments: String,
    /// How long the boot service may serve it without hearing from a controller.
    pub lease: Span,
}

/// What a boot service knows of one machine's permit. Holds no secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PermitReading {
    /// The machine.
    pub machine: MachineId,
    /// Standing permit: server and epoch; `None` means that the machine gets silence.
    pub standing: Option<(ServerId, Epoch)>,
    /// When it was read.
    pub read_at: WallTime,
}

/// A step of a machine's boot, as the boot service saw it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootStep {
    /// Firmware or iPXE asked for an address.
    Dhcp,
    /// The boot script was fetched: a token was minted.
    Script,
    /// The kernel was fetched to its end.
    Kernel,
    /// The initrd was fetched to its end.
    Initrd,
    /// Secrets were delivered: the token is used.
    Claim,
}

/// One contact of a machine with a boot service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BootContact {
    /// Counts contacts since the boot service's start; a reader asks for those after the last it saw.
    pub sequence: u64,
    /// The machine, known by its provisioning MAC.
    pub machine: MachineId,
    /// What happened.
    pub step: BootStep,
    /// The placement's epoch, where a permit stood.
    pub epoch: Option<Epoch>,
    /// When.
    pub at: WallTime,
}
