//! The estate as data: what the catalogue reads from YAML and everyone else reads from here. Names are resolved; nothing is loaded here.

use crate::boot::{BootMethod, Firmware};
use crate::check::Check;
use crate::network::{AttachmentKind, Cidr, Mac, PortSetting, VlanId};
use crate::quantity::{Bytes, Speed};
use crate::storage::Access;
use crate::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

mod equipment;
mod settings;

pub use equipment::*;
pub use settings::*;

/// All documents of an installation, by name.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Estate {
    /// Defaults of the estate document.
    pub settings: Settings,
    /// Sites.
    pub sites: BTreeMap<SiteId, Site>,
    /// Tiers.
    pub tiers: BTreeMap<TierId, Tier>,
    /// Groups.
    pub groups: BTreeMap<GroupId, Group>,
    /// Pools.
    pub pools: BTreeMap<PoolId, Pool>,
    /// Agents that own BMCs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bmc_agents: BTreeMap<AgentId, BmcAgent>,
    /// Switches.
    pub switches: BTreeMap<SwitchId, Switch>,
    /// Storage targets.
    pub storages: BTreeMap<StorageId, Storage>,
    /// Boot services.
    pub boot_services: BTreeMap<BootServiceId, BootService>,
    /// Power distribution units.
    #[serde(default)]
    pub pdus: BTreeMap<PduId, Pdu>,
    /// Images.
    pub images: BTreeMap<ImageId, Image>,
    /// Machines.
    pub machines: BTreeMap<MachineId, Machine>,
    /// Servers.
    pub servers: BTreeMap<ServerId, Server>,
    /// Revision of each document: SHA-256 over its canonical form, in hex. A sealed plan names those it used.
    pub revisions: BTreeMap<String, String>,
}

/// A data centre or room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// Rank and service level; decides who gets a scarce spare.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// 1 is served first.
    pub rank: u32,
    /// The document's mode; what acts is the more cautious of this and the store's ceiling.
    #[serde(default)]
    pub mode: Mode,
}

/// How far Understudy may go by itself. Ordered from the most cautious.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Concludes and plans, reports what it would have done.
    #[default]
    Observe,
    /// Acts only on an operator's command.
    Manual,
    /// Plans, and asks.
    Approve,
    /// Acts.
    Auto,
}

impl Mode {
    /// Every mode, the most cautious first.
    pub const ALL: [Mode; 4] = [Mode::Observe, Mode::Manual, Mode::Approve, Mode::Auto];

    /// As people write it.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::Manual => "manual",
            Mode::Approve => "approve",
            Mode::Auto => "auto",
        }
    }
}

/// Servers that belong together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its tier.
    pub tier: TierId,
    /// Who owns it.
    #[serde(default)]
    pub owner: String,
    /// Whom to tell.
    #[serde(default)]
    pub contacts: Vec<String>,
    /// Groups that must run before this one at a cold start.
    #[serde(default)]
    pub after: Vec<GroupId>,
    /// How long an outage may last, from when the service was last seen well. A restart in place that would take longer, by recorded times, is left out
    /// while a spare would not; nothing is done that would not be done without it.
    #[serde(default)]
    pub recovery_target: Option<Span>,
    /// Fewest servers that must stay active in planned work.
    #[serde(default)]
    pub minimum_active: u32,
}

/// A set of spares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its machines.
    pub machines: Vec<MachineId>,
}

/// A stored server image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// How it boots.
    pub method: BootMethod,
    /// Firmware it can boot with.
    pub firmware: BTreeSet<Firmware>,
    /// For `kernel`: the kernel's file name at the boot service.
    #[serde(default)]
    pub kernel: Option<String>,
    /// For `kernel`: the initrd's file name at the boot service.
    #[serde(default)]
    pub initrd: Option<String>,
    /// Extra kernel arguments.
    #[serde(default)]
    pub arguments: String,
}

/// A box with a BMC.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Serial number as its BMC tells it.
    pub serial: String,
    /// System UUID as its BMC tells it.
    pub uuid: String,
    /// Where it stands.
    pub site: SiteId,
    /// In which rack.
    pub rack: RackId,
    /// What feeds it.
    pub feeds: Vec<FeedId>,
    /// How to reach its BMC.
    pub bmc: Bmc,
    /// NICs and where they are cabled.
    pub nics: Vec<Nic>,
    /// The outlets of all its power supplies; none where its power cannot be cut there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlets: Vec<OutletId>,
    /// What it is made of.
    #[serde(default)]
    pub hardware: Hardware,
}

impl Machine {
    /// The port that a role's NIC is cabled to.
    pub fn port(&self, role: &Role) -> Option<PortId> {
        self.nic(role).map(Nic::port_id)
    }
    /// The NIC of a role.
    pub fn nic(&self, role: &Role) -> Option<&Nic> {
        self.nics.iter().find(|nic| &nic.role == role)
    }
    /// Every port that the machine is cabled to.
    pub fn ports(&self) -> Vec<PortId> {
        self.nics.iter().map(Nic::port_id).collect()
    }
}

/// How to reach a BMC. Secrets are references, never values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bmc {
    /// Which protocol.
    pub protocol: BmcProtocol,
    /// Host and port.
    pub address: SocketAddr,
    /// The account.
    pub user: String,
    /// `file:PATH`, `env:NAME` or `credential:NAME`, where its agent runs.
    pub password: SecretReference,
    /// The agent that owns it. `None`: it is driven from inside `serve`, which is for a single controller only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// SHA-256 of the pinned certificate in hex, or `enrol` to pin what is found at `machine enroll`.
    #[serde(default = "pin_at_enrolment")]
    pub certificate: String,
    /// What may be asked of it. With `watch` it is only read, for which an account that may only read suffices.
    #[serde(default, skip_serializing_if = "BmcAccess::is_command")]
    pub access: BmcAccess,
    /// What IPMI needs beside the account; nothing for another protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipmi: Option<IpmiAccess>,
}

impl Bmc {
    /// True if nothing that changes anything is ever sent to it, whatever its protocol.
    pub fn only_watches(&self) -> bool {
        let user = self.ipmi.as_ref().is_some_and(|ipmi| ipmi.privilege == IpmiPrivilege::User);
        self.access == BmcAccess::Watch || (self.protocol == BmcProtocol::Ipmi && user)
    }

    /// How an IPMI session is opened: for watching alone, never with more rights than that needs.
    pub fn ipmi_access(&self) -> IpmiAccess {
        let access = self.ipmi.clone().unwrap_or_default();
        if self.only_watches() { IpmiAccess { privilege: IpmiPrivilege::User, ..access } } else { access }
    }
}

/// What may be asked of a BMC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BmcAccess {
    /// Readings alone: enough for the mode `observe`. Power, boot target and restore policy are refused before anything is sent.
    Watch,
    /// Commands too.
    #[default]
    Command,
}

impl BmcAccess {
    /// True for the default: readings and commands.
    pub fn is_command(&self) -> bool {
        *self == BmcAccess::Command
    }
}

fn pin_at_enrolment() -> String {
    "enrol".to_owned()
}

/// BMC protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BmcProtocol {
    /// DMTF Redfish over TLS.
    Redfish,
    /// IPMI 2.0 over LAN (RMCP+).
    Ipmi,
}

/// How an IPMI session is opened.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IpmiAccess {
    /// The weakest cipher suite that may be used. The strongest is tried first.
    pub weakest_suite: CipherSuite,
    /// The privilege level that is asked for.
    pub privilege: IpmiPrivilege,
    /// The BMC key (K_G), where the BMC has one: text, or `0x` and hexadecimal digits.
    pub key: Option<SecretReference>,
}

/// Cipher suites of IPMI 2.0 that authenticate, keep whole and encrypt, weakest first. There is no other: 0 is never spoken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(into = "u8", try_from = "u8")]
#[schemars(with = "u8")]
pub enum CipherSuite {
    /// HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    #[default]
    Three,
    /// HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    Seventeen,
}

impl From<CipherSuite> for u8 {
    fn from(suite: CipherSuite) -> u8 {
        match suite {
            CipherSuite::Three => 3,
            CipherSuite::Seventeen => 17,
        }
    }
}

impl TryFrom<u8> for CipherSuite {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            3 => Ok(CipherSuite::Three),
            17 => Ok(CipherSuite::Seventeen),
            _ => Err(format!("cipher suite {number} is not used: write 17 or 3")),
        }
    }
}

/// Privilege levels of an IPMI session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IpmiPrivilege {
    /// Only watches, as `access: watch` does for every protocol.
    User,
    /// All that Understudy ever asks of a BMC.
    #[default]
    Operator,
    /// Where a BMC gives operators too little.
    Administrator,
}

/// Where a secret is: `file:PATH`, `env:NAME`, `credential:NAME`. Never the secret itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct SecretReference(pub String);

impl<'de> Deserialize<'de> for SecretReference {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if ["file:", "env:", "credential:"].iter().any(|kind| text.starts_with(kind) && text.len() > kind.len()) {
            Ok(SecretReference(text))
        } else {
            // the text may be a password: it is not repeated
            Err(serde::de::Error::custom("a secret is written as a reference: file:PATH, env:NAME or credential:NAME"))
        }
    }
}

/// A NIC and the port it is cabled to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// What for.
    pub role: Role,
    /// Its burned-in address.
    pub mac: Mac,
    /// The switch.
    pub switch: SwitchId,
    /// The port there.
    pub port: PortName,
    /// Link speed.
    #[serde(default)]
    pub speed: Option<Speed>,
}

impl Nic {
    /// The port as an id.
    pub fn port_id(&self) -> PortId {
        PortId { switch: self.switch.clone(), port: self.port.clone() }
    }
}

/// What a machine is made of, as far as fit depends on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hardware {
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    /// x86-64 micro-architecture level, 1 to 4; 0 where it has no meaning.
    pub level: u8,
    /// Main memory.
    pub memory: Bytes,
    /// Processor threads.
    pub threads: u32,
    /// Firmware modes it can boot in.
    pub firmware: BTreeSet<Firmware>,
    /// State on the box that no agent can revoke: local, SAS or FC disks that a server uses.
    pub unrevocable_storage: bool,
}

impl Default for Hardware {
    fn default() -> Self {
        Hardware {
            architecture: "x86_64".into(),
            level: 1,
            memory: Bytes(0),
            threads: 1,
            firmware: BTreeSet::from([Firmware::Bios]),
            unrevocable_storage: false,
        }
    }
}

/// A server's document: its profile.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its group.
    pub group: GroupId,
    /// Mode, where it differs from the tier's; the more cautious one acts.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Where its first placement goes.
    pub home: MachineId,
    /// Where its spares come from.
    pub pool: PoolId,
    /// How it boots.
    pub boot: ServerBoot,
    /// Its networks.
    pub networks: Vec<ServerNetwork>,
    /// Its volumes. Exactly one is the root, the first.
    pub volumes: Vec<ServerVolume>,
    /// What a machine must have to bear it.
    #[serde(default)]
    pub requires: Requires,
    /// How its service answers.
    pub checks: Vec<Check>,
    /// What is done by itself when its machine answers and its service does not.
    #[serde(default)]
    pub service_down: ServiceDown,
    /// How a crashed kernel of it is waited for that writes its memory away; without it, it is not.
    #[serde(default)]
    pub kdump: Option<Kdump>,
}

/// How a crashed kernel is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kdump {
    /// Within this time after the crash it tells that it writes: so much later a standstill is a verdict.
    pub begins_within: Span,
    /// After this time nobody waits for it any more, whatever it tells.
    pub lasts_at_most: Span,
}

impl Default for Kdump {
    fn default() -> Self {
        Kdump { begins_within: Span::seconds(60), lasts_at_most: Span::seconds(600) }
    }
}

/// What is done by itself when a server's machine answers and its service does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceDown {
    /// Nothing: a person is told.
    #[default]
    Hold,
    /// Its operating system is asked to stop, and the machine is powered on again: once, in mode `auto`.
    Restart,
}

/// How a server boots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerBoot {
    /// By which method.
    pub method: BootMethod,
    /// Which image.
    pub image: ImageId,
}

/// One network of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerNetwork {
    /// Which NIC role carries it.
    pub role: Role,
    /// Its untagged VLAN.
    pub vlan: VlanId,
    /// Its tagged VLANs.
    #[serde(default)]
    pub tagged: BTreeSet<VlanId>,
    /// How many ports, and how joined. Drivers may refuse a kind, with a code.
    #[serde(default)]
    pub attachment: AttachmentKind,
    /// MTU.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// The server's address there.
    #[serde(default)]
    pub address: Option<Cidr>,
}

impl ServerNetwork {
    /// What the port must carry, exactly.
    pub fn port_setting(&self) -> PortSetting {
        PortSetting { native: Some(self.vlan), tagged: self.tagged.clone(), mtu: self.mtu }
    }
    /// Every VLAN of this network.
    pub fn vlans(&self) -> BTreeSet<VlanId> {
        self.tagged.iter().copied().chain([self.vlan]).collect()
    }
}

/// One volume of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerVolume {
    /// The server's own name for it, such as `root`.
    pub name: VolumeName,
    /// On which target.
    pub storage: StorageId,
    /// Which volume there.
    pub volume: VolumeName,
    /// How many may write.
    pub access: Access,
}

impl ServerVolume {
    /// The volume as an id.
    pub fn id(&self) -> VolumeId {
        VolumeId { storage: self.storage.clone(), volume: self.volume.clone() }
    }
}

/// What a machine must have to bear a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Requires {
    /// Architecture.
    pub architecture: String,
    /// Least x86-64 level.
    pub level: u8,
    /// Least memory.
    pub memory: Bytes,
    /// Least processor threads.
    pub threads: u32,
    /// Firmware mode.
    pub firmware: Option<Firmware>,
    /// Never in the same rack as these servers.
    pub apart_from: Vec<ServerId>,
}

impl Default for Requires {
    fn default() -> Self {
        Requires { architecture: "x86_64".into(), level: 1, memory: Bytes(0), threads: 1, firmware: None, apart_from: Vec::new() }
    }
}

impl Estate {
    /// The estate's name, as the key of its document's revision bears it; `estate` where it was made without files.
    pub fn name(&self) -> &str {
        self.revisions.keys().find_map(|key| key.strip_prefix("estate/")).unwrap_or("estate")
    }

    /// The tier of a server; `None` only if the estate was not checked.
    pub fn tier_of(&self, server: &ServerId) -> Option<(&TierId, &Tier)> {
        let group = self.groups.get(&self.servers.get(server)?.group)?;
        self.tiers.get_key_value(&group.tier)
    }

    /// The agent outside `serve` that owns a machine's BMC; `None` where it is driven from inside, and of a machine that is not there.
    pub fn bmc_agent_of(&self, machine: &MachineId) -> Option<&AgentId> {
        self.machines.get(machine)?.bmc.agent.as_ref()
    }

    /// Boot services that serve any of a machine's possible provisioning VLANs: all of the machine's site.
    pub fn boot_services_of(&self, machine: &MachineId) -> Vec<&BootServiceId> {
        let Some(machine) = self.machines.get(machine) else {
            return Vec::new();
        };
        self.boot_services.iter().filter(|(_, service)| service.site == machine.site).map(|(id, _)| id).collect()
    }
}
