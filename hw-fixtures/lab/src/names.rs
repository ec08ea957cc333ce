//! The lab's fixed names, addresses and cabling, in one place. `profiles/catalogue/examples/lab` says the same as an estate.
//!
//! Nothing here is chosen at run time: a test that reads a MAC address in a log must find it here.

use std::net::Ipv4Addr;

/// How many machines a lab may have.
pub const MACHINES_MAX: u8 = 4;
/// How many it has unless told otherwise: two servers' homes and a spare.
pub const MACHINES: u8 = 3;
/// The servers, by number.
pub const SERVERS: [u8; 2] = [1, 2];
/// The user of every BMC.
pub const BMC_USER: &str = "controller";
/// The address of the storage portal.
pub const PORTAL: &str = "10.30.0.1:3260";
/// The number of the storage daemon's control socket.
pub const TGT_CONTROL: &str = "7";
/// The name of the switch service in the process table.
pub const SWITCH: &str = "switch";
/// The name of the storage daemon in the process table.
pub const TGTD: &str = "tgtd";
/// The name of the machines' parent in the process table.
pub const BMC_SIM: &str = "bmc-sim";
/// The storage agent's name in the estate and in the process table.
pub const STORAGE_AGENT: &str = "store1";
/// The boot service's name in the estate and in the process table.
pub const BOOT_SERVICE: &str = "boot1";
/// The power distribution unit's name in the estate, and that of its agent in the process table.
pub const PDU: &str = "pdu1";
/// The agent of the BMCs, where they are not driven from inside the controller.
pub const BMCS: &str = "bmcs1";
/// Its serial number.
pub const PDU_SERIAL: &str = "LABPDU1";
/// Where it speaks SNMP.
pub const PDU_ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 254, 0, 101), 161);
/// The outlets at which a machine hangs, one for each of its power supplies.
#[must_use]
pub fn outlets(machine: u8) -> [u8; 2] {
    [machine, machine.saturating_add(12)]
}
/// The switch's name in the estate.
pub const SWITCH_AGENT: &str = "sw1";
/// The image of `kernel` boots in the estate, and the names of its files.
pub const IMAGE: (&str, &str, &str) = ("web-kernel", "vmlinuz", "server.cpio");
/// Where the hall's network namespace is to be entered, seen from inside the lab.
pub const HALL: &str = "/run/netns/hall";
/// Where the network namespace of the switch's own side is to be entered, seen from inside the lab: the fast switch's agent lives there.
pub const SWITCH_SIDE: &str = "/run/netns/switch";
/// Where the links' sockets lie, seen from inside the lab.
pub const LINKS: &str = "/run/lab";

/// What the switch of a lab is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchKind {
    /// A QEMU machine with a bridge of the Linux kernel, its agent in it.
    Machine,
    /// Open vSwitch in user space, its agent beside it.
    OpenVswitch,
}

impl SwitchKind {
    /// The processes that lose their power with it, in the order in which they start. The agent beside it runs once it has its bundle.
    #[must_use]
    pub fn services(self) -> &'static [&'static str] {
        match self {
            Self::Machine => &[SWITCH],
            Self::OpenVswitch => &[OVS_DATABASE, OVS_DAEMON, SWITCH_AGENT],
        }
    }

    /// The one without which nothing is forwarded.
    #[must_use]
    pub fn forwarder(self) -> &'static str {
        match self {
            Self::Machine => SWITCH,
            Self::OpenVswitch => OVS_DAEMON,
        }
    }

    /// Its name as an option's value.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::OpenVswitch => "open-vswitch",
        }
    }
}

/// Open vSwitch's database in the process table.
pub const OVS_DATABASE: &str = "ovsdb-server";
/// Open vSwitch's daemon, which forwards, in the process table.
pub const OVS_DAEMON: &str = "ovs-vswitchd";
/// Its bridge.
pub const OVS_BRIDGE: &str = "br0";
/// The folder of its sockets, seen from inside the lab.
pub const OVS_FOLDER: &str = "/run/lab/ovs";
/// Its own name in its database.
pub const OVS_SYSTEM: &str = "lab";
/// The VLAN that stands for none where a trunk has to name one: 802.1Q reserves it.
pub const OVS_NOTHING_VLAN: u16 = 4095;
/// The switch's own port in the production network.
pub const OVS_SVI: (&str, u16) = ("s20", 20);
/// The VLANs of servers, each with an uplink.
pub const SWITCH_VLANS: [u16; 3] = [10, 20, 30];
/// Further VLANs of the estate: patrol, parking, quarantine.
pub const FURTHER_VLANS: [u16; 3] = [97, 98, 99];

/// The ports of so many machines, each with its number.
pub fn machine_ports(machines: u8) -> impl Iterator<Item = (u8, String)> {
    (1..=machines).map(Machine).flat_map(|machine| ROLES.map(|role| machine.port(role))).map(|port| (port, format!("p{port}")))
}

/// The other ports of Open vSwitch, each with its VLAN: the uplinks, and the switch's own port.
pub fn ovs_uplinks() -> impl Iterator<Item = (&'static str, u16)> {
    UPLINKS.iter().filter_map(|uplink| uplink.vlan.map(|vid| (uplink.switch_name, vid))).chain([OVS_SVI])
}

/// A NIC's role, and its place in the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// DHCP, firmware, boot.
    Provisioning,
    /// iSCSI.
    Storage,
    /// The service.
    Production,
}

/// The roles in the order of the NICs.
pub const ROLES: [Role; 3] = [Role::Provisioning, Role::Storage, Role::Production];

impl Role {
    /// The role's name in the estate.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Storage => "storage",
            Self::Production => "production",
        }
    }

    /// Its place in the machine, from 1.
    #[must_use]
    pub fn place(self) -> u8 {
        match self {
            Self::Provisioning => 1,
            Self::Storage => 2,
            Self::Production => 3,
        }
    }

    /// The VLAN that a server's NIC of this role is in.
    #[must_use]
    pub fn vlan(self) -> u16 {
        match self {
            Self::Provisioning => 10,
            Self::Storage => 30,
            Self::Production => 20,
        }
    }
}

/// A machine of the lab, by number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine(pub u8);

impl Machine {
    /// Its name in the estate.
    #[must_use]
    pub fn name(self) -> String {
        format!("m{}", self.0)
    }

    /// Its SMBIOS UUID.
    #[must_use]
    pub fn uuid(self) -> String {
        format!("00000000-0000-4000-8000-{:012}", self.0)
    }

    /// Its serial number.
    #[must_use]
    pub fn serial(self) -> String {
        format!("LAB{:04}", self.0)
    }

    /// The MAC address of a NIC.
    #[must_use]
    pub fn mac(self, role: Role) -> String {
        format!("52:54:00:0c:{:02x}:{:02x}", self.0, role.place())
    }

    /// The switch port that a NIC is cabled to, by number.
    #[must_use]
    pub fn port(self, role: Role) -> u8 {
        (self.0.saturating_sub(1)) * 3 + role.place()
    }

    /// The address of its BMC.
    #[must_use]
    pub fn bmc(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 254, 0, 10 + self.0)
    }

    /// The socket at the machine's end of a cable.
    #[must_use]
    pub fn cable(self, role: Role) -> String {
        format!("{LINKS}/m{}-{}.sock", self.0, role.name())
    }
}

/// The socket at the switch's end of a cable.
#[must_use]
pub fn switch_cable(port: u8) -> String {
    format!("{LINKS}/p{port}.sock")
}

/// The MAC address of a machine port of the switch. Ports are written in two decimal digits.
#[must_use]
pub fn port_mac(port: u8) -> String {
    format!("52:54:00:ee:02:{port:02}")
}

/// A tap in the services namespace and the switch's NIC behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uplink {
    /// The services' end: a tap, or an end of a pair where the switch is no machine.
    pub tap: &'static str,
    /// The MAC address by which a switch that is a machine names its end.
    pub switch_mac: &'static str,
    /// The name of the switch's end.
    pub switch_name: &'static str,
    /// The VLAN that the switch's end is in; none for management.
    pub vlan: Option<u16>,
    /// The services' address on it.
    pub address: &'static str,
}

const fn uplink(
    tap: &'static str,
    switch_mac: &'static str,
    switch_name: &'static str,
    vlan: Option<u16>,
    address: &'static str,
) -> Uplink {
    Uplink { tap, switch_mac, switch_name, vlan, address }
}

/// The management network and the three uplinks, in the order of the switch's NICs.
pub const UPLINKS: [Uplink; 4] = [
    uplink("mgmt0", "52:54:00:ee:00:00", "mgmt", None, "10.255.0.1/24"),
    uplink("prov", "52:54:00:ee:01:10", "u10", Some(10), "10.10.0.1/24"),
    uplink("prod", "52:54:00:ee:01:20", "u20", Some(20), "10.20.0.1/24"),
    uplink("stor", "52:54:00:ee:01:30", "u30", Some(30), "10.30.0.1/24"),
];

/// The provisioning network's IPv6 address: without a router that answers, iPXE waits 15 s.
pub const PROVISIONING_IPV6: (&str, &str) = ("prov", "fd00:10::1/64");

/// A server's name.
#[must_use]
pub fn server(number: u8) -> String {
    format!("web{number}")
}

/// A server's production address with its prefix.
#[must_use]
pub fn production_address(number: u8) -> String {
    format!("10.20.0.{}/24", 10 + number)
}

/// A server's root volume.
#[must_use]
pub fn volume(number: u8) -> String {
    format!("web{number}-root")
}

/// What `ip -batch` is told in the services namespace so that the cables to a switch that is no machine are there.
#[must_use]
pub fn uplink_batch() -> String {
    let far = |uplink: &Uplink| if uplink.vlan.is_some() { HALL } else { SWITCH_SIDE };
    let cable = |uplink: &Uplink| {
        format!("link add {} type veth peer name {} netns {}\n", uplink.tap, uplink.switch_name, namespace_name(far(uplink)))
    };
    UPLINKS.iter().map(cable).collect()
}

/// A network namespace as `ip` calls it.
fn namespace_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The same in the hall: a tap for each machine port, which stays when its machine goes, and the switch's own cable to its own side.
#[must_use]
pub fn hall_batch(machines: u8, svi: &str) -> String {
    let taps = machine_ports(machines).map(|(_, port)| format!("tuntap add dev {port} mode tap"));
    let cable = format!("link add {} type veth peer name {svi} netns {}", OVS_SVI.0, namespace_name(SWITCH_SIDE));
    let up = ovs_uplinks().map(|(port, _)| format!("link set {port} up"));
    taps.chain([cable]).chain(up).collect::<Vec<_>>().join("\n") + "\n"
}

/// The same on the switch's own side: its addresses.
#[must_use]
pub fn switch_side_batch(management: &str, svi: (&str, &str)) -> String {
    let mut lines = vec!["link set lo up".to_owned()];
    for (device, address) in [("mgmt", management), svi] {
        lines.push(format!("address add {address}/24 dev {device}"));
        lines.push(format!("link set {device} up"));
    }
    lines.join("\n") + "\n"
}

/// What `ip -batch` is told so that the services namespace has its addresses.
#[must_use]
pub fn address_batch(machines: u8) -> String {
    let mut lines = vec!["link set lo up".to_owned()];
    for uplink in UPLINKS {
        lines.push(format!("address add {} dev {}", uplink.address, uplink.tap));
        lines.push(format!("link set {} up", uplink.tap));
    }
    let (tap, address) = PROVISIONING_IPV6;
    lines.push(format!("-6 address add {address} dev {tap} nodad"));
    for machine in (1..=machines).map(Machine) {
        lines.push(format!("address add {}/32 dev lo", machine.bmc()));
    }
    lines.push(format!("address add {}/32 dev lo", PDU_ADDRESS.0));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_named_and_cabled_as_the_estate_says() {
        let (first, spare) = (Machine(1), Machine(3));
        assert_eq!(first.mac(Role::Provisioning), "52:54:00:0c:01:01");
        assert_eq!(spare.mac(Role::Production), "52:54:00:0c:03:03");
        assert_eq!(first.uuid(), "00000000-0000-4000-8000-000000000001");
        assert_eq!(spare.serial(), "LAB0003");
        assert_eq!(ROLES.map(|role| first.port(role)), [1, 2, 3]);
        assert_eq!(ROLES.map(|role| spare.port(role)), [7, 8, 9]);
        assert_eq!(Machine(4).port(Role::Production), 12);
        assert_eq!(Machine(2).bmc().to_string(), "10.254.0.12");
        assert_eq!(uuid::Uuid::parse_str(&spare.uuid()).unwrap().to_string(), spare.uuid());
    }

    #[test]
    fn the_switch_names_every_nic_it_gets() {
        let names: Vec<_> = UPLINKS.iter().map(|uplink| guest::switch::name_of(uplink.switch_mac).unwrap()).collect();
        assert_eq!(names, ["mgmt", "u10", "u20", "u30"]);
        assert_eq!(names, UPLINKS.map(|uplink| uplink.switch_name.to_owned()));
        assert_eq!(ovs_uplinks().map(|(_, vid)| vid).collect::<Vec<_>>(), [10, 20, 30, 20]);
        for port in 1..=12 {
            assert_eq!(guest::switch::name_of(&port_mac(port)), Some(format!("p{port}")));
        }
    }

    #[test]
    fn the_batch_gives_every_bmc_its_address() {
        let batch = address_batch(4);
        for wanted in ["address add 10.254.0.14/32 dev lo", "-6 address add fd00:10::1/64 dev prov nodad", "link set stor up"] {
            assert!(batch.lines().any(|line| line == wanted), "{wanted}");
        }
        assert!(!address_batch(3).contains("10.254.0.14"));
    }
}
