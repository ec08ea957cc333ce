//! DHCP as a pure function: a packet and the asking machine's permit in, a packet out. No socket, no clock, no state.
//! Who has no permit gets no answer at all, not even a refusal. Nothing in a packet may panic, however it is made.

use crate::limits::DHCP_ANSWER_BYTES_MIN;
use crate::permits::provisioning_address;
use dhcproto::v4::{Architecture, DhcpOption, Flags, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use std::net::{Ipv4Addr, SocketAddrV4};
use vocabulary::Mac;
use vocabulary::boot::{BootMethod, Permit};

const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const PAD: u8 = 0;
const END: u8 = 255;
/// iPXE's own encapsulated options.
const IPXE_ENCAPSULATED: u8 = 175;
/// Within them: "do not wait for proxy DHCP servers", which saves every boot two seconds.
const IPXE_NO_PROXY_DHCP: [u8; 3] = [176, 1, 1];
/// Within option 43: "use the boot file named here, do not look for boot servers" (PXE 2.1, PXE_DISCOVERY_CONTROL).
const PXE_DISCOVERY_CONTROL: [u8; 4] = [6, 1, 8, END];
/// The client's port.
pub const CLIENT_PORT: u16 = 68;

/// The options that this service reads, with the lengths it accepts. All others never reach the codec, some of whose decoders panic or
/// stop on malformed ones.
fn acceptable(code: u8, length: usize) -> bool {
    match code {
        50 | 54 => length == 4,
        53 => length == 1,
        57 => length == 2,
        60 | 77 | IPXE_ENCAPSULATED => length >= 1,
        61 => length >= 2,
        93 => length >= 2,
        97 => length == 17,
        _ => false,
    }
}

/// What kind of client asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// iPXE: it can fetch the script.
    Ipxe,
    /// PXE firmware: it can fetch iPXE by TFTP.
    Pxe(Machinery),
    /// UEFI HTTP boot: it can fetch iPXE by HTTP.
    Http(Machinery),
    /// An operating system: it wants its address and nothing else.
    System,
}

/// What the client's processor and firmware can run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machinery {
    /// x86 BIOS.
    Bios,
    /// x86-64 UEFI.
    Uefi,
    /// Anything for which this service has no iPXE.
    Other(u16),
}

/// What the client wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// DISCOVER.
    Discover,
    /// REQUEST after an offer, which names the server.
    Select {
        /// Whose offer.
        server: Ipv4Addr,
        /// Which address.
        address: Ipv4Addr,
    },
    /// REQUEST by a client that remembers its address from before.
    Reboot {
        /// Which address.
        address: Ipv4Addr,
    },
    /// REQUEST by a client that uses its address: RENEW or REBIND.
    Renew,
    /// RELEASE.
    Release,
    /// DECLINE: the client found somebody else on the address.
    Decline,
}

/// One understood packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// Who.
    pub mac: Mac,
    /// What.
    pub ask: Ask,
    /// What kind of client.
    pub client: Client,
    /// The transaction id.
    pub transaction: u32,
    /// The address the client uses already.
    pub own: Ipv4Addr,
    /// The relay that passed the packet on, as the packet says; unspecified if none did.
    pub relay: Ipv4Addr,
    flags: Flags,
    hops: u8,
    client_id: Option<Vec<u8>>,
    machine_id: Option<Vec<u8>>,
}

impl Question {
    /// Reads a packet; `None` for whatever is not a client's well-formed Ethernet DHCP packet.
    pub fn parse(packet: &[u8]) -> Option<Question> {
        let message = decode(packet)?;
        let chaddr: [u8; 6] = message.chaddr().try_into().ok()?;
        let options = message.opts();
        let address = |code| match options.get(code) {
            Some(DhcpOption::RequestedIpAddress(ip) | DhcpOption::ServerIdentifier(ip)) => Some(*ip),
            _ => None,
        };
        let requested = address(OptionCode::RequestedIpAddress);
        let ask = match options.msg_type()? {
            MessageType::Discover => Ask::Discover,
            MessageType::Request => match (address(OptionCode::ServerIdentifier), requested) {
                (Some(server), Some(address)) => Ask::Select { server, address },
                (None, Some(address)) if message.ciaddr().is_unspecified() => Ask::Reboot { address },
                _ if !message.ciaddr().is_unspecified() => Ask::Renew,
                _ => return None,
            },
            MessageType::Release => Ask::Release,
            MessageType::Decline => Ask::Decline,
            _ => return None,
        };
        let bytes = |code| match options.get(code) {
            Some(DhcpOption::ClientIdentifier(data) | DhcpOption::ClientMachineIdentifier(data)) => Some(data.clone()),
            _ => None,
        };
        Some(Question {
            mac: Mac(chaddr),
            ask,
            client: client_of(&message),
            transaction: message.xid(),
            own: message.ciaddr(),
            relay: message.giaddr(),
            flags: message.flags(),
            hops: message.hops(),
            client_id: bytes(OptionCode::ClientIdentifier),
            machine_id: bytes(OptionCode::ClientMachineIdentifier),
        })
    }

    /// True if the answer would carry a URL with a boot token: this packet belongs to a boot.
    pub fn wants_token(&self) -> bool {
        let boots = matches!(self.client, Client::Ipxe | Client::Http(Machinery::Uefi));
        boots && matches!(self.ask, Ask::Discover | Ask::Select { .. } | Ask::Reboot { .. })
    }

    /// True if the packet says that a relay passed it on.
    pub fn is_relayed(&self) -> bool {
        !self.relay.is_unspecified()
    }

    /// True if this packet belongs to a boot (as opposed to a running system that keeps its address).
    pub fn is_boot(&self) -> bool {
        self.client != Client::System && matches!(self.ask, Ask::Discover | Ask::Select { .. } | Ask::Reboot { .. })
    }
}

/// Keeps the header and the options this service reads, in their accepted lengths, and only then lets the codec see it.
fn decode(packet: &[u8]) -> Option<Message> {
    // op, htype, hlen: a longer hlen makes the codec's own accessor panic
    if packet.get(..3)? != [1, 1, 6] || packet.get(HEADER - 4..HEADER)? != COOKIE {
        return None;
    }
    let mut clean = packet.get(..HEADER)?.to_vec();
    // server name and file: nothing there is read
    clean.get_mut(44..236)?.fill(0);
    let mut rest = packet.get(HEADER..)?;
    let mut seen = [false; 256];
    while let Some((&code, tail)) = rest.split_first() {
        if code == END {
            break;
        }
        if code == PAD {
            rest = tail;
            continue;
        }
        let (&length, tail) = tail.split_first()?;
        let data = tail.get(..usize::from(length))?;
        let first = seen.get_mut(usize::from(code)).is_some_and(|seen| !std::mem::replace(seen, true));
        if first && acceptable(code, data.len()) {
            clean.extend([code, length]);
            clean.extend(data);
        }
        rest = tail.get(usize::from(length)..)?;
    }
    clean.push(END);
    // the second line of defence: no decoder that is reached panics, but this packet came from a stranger
    std::panic::catch_unwind(|| Message::decode(&mut Decoder::new(&clean)).ok()).ok().flatten()
}

fn client_of(message: &Message) -> Client {
    let options = message.opts();
    let user_class = match options.get(OptionCode::UserClass) {
        Some(DhcpOption::UserClass(data)) => data.as_slice(),
        _ => &[],
    };
    if options.contains(OptionCode::Unknown(IPXE_ENCAPSULATED)) || user_class.windows(4).any(|part| part == b"iPXE") {
        return Client::Ipxe;
    }
    let class = match options.get(OptionCode::ClassIdentifier) {
        Some(DhcpOption::ClassIdentifier(data)) => data.as_slice(),
        _ => &[],
    };
    let architecture = match options.get(OptionCode::ClientSystemArchitecture) {
        Some(DhcpOption::ClientSystemArchitecture(Architecture(number))) => Some(*number),
        _ => architecture_in(class),
    };
    let machinery = match architecture {
        Some(0) => Machinery::Bios,
        // 7 is "EFI byte code" by the RFC and x86-64 by every firmware; 15 and 16 are their HTTP kin
        Some(7 | 9 | 15 | 16) => Machinery::Uefi,
        Some(other) => Machinery::Other(other),
        None => Machinery::Bios,
    };
    if class.starts_with(b"HTTPClient") {
        Client::Http(machinery)
    } else if class.starts_with(b"PXEClient") {
        Client::Pxe(machinery)
    } else {
        Client::System
    }
}

/// `PXEClient:Arch:00007:UNDI:003016`.
fn architecture_in(class: &[u8]) -> Option<u16> {
    std::str::from_utf8(class).ok()?.split(':').nth(2)?.parse().ok()
}

/// What this service tells everybody.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its address: server identifier, next server.
    pub address: Ipv4Addr,
    /// Router, if any.
    pub router: Option<Ipv4Addr>,
    /// Address lease in seconds.
    pub lease_seconds: u32,
    /// Start of URLs.
    pub base_url: String,
    /// Name of the BIOS iPXE.
    pub bios: String,
    /// Name of the UEFI iPXE.
    pub uefi: String,
    /// Name of the UEFI iPXE for `san`.
    pub uefi_san: String,
}

impl Site {
    fn uefi_for(&self, permit: &Permit) -> &str {
        match permit.method {
            BootMethod::San => &self.uefi_san,
            BootMethod::Kernel => &self.uefi,
        }
    }
}

/// An answer and where it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The packet.
    pub bytes: Vec<u8>,
    /// Where to.
    pub to: Destination,
}

/// Where an answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// In a frame of our own to this MAC and address: the client does not answer ARP yet.
    Frame(Mac, Ipv4Addr),
    /// In a broadcast frame.
    Broadcast,
    /// As an ordinary datagram.
    Datagram(SocketAddrV4),
}

/// Answers a question of a machine whose permit this is. A relayed one is never answered: no relay is configured, so its answer would go
/// wherever a stranger says. `token` is the path segment of this boot where `wants_token` said so.
/// `None` is silence.
pub fn answer(question: &Question, permit: &Permit, site: &Site, token: Option<&str>) -> Option<Reply> {
    if question.is_relayed() {
        return None;
    }
    let (address, prefix) = provisioning_address(permit)?;
    let kind = match question.ask {
        Ask::Discover => MessageType::Offer,
        Ask::Select { server, .. } if server != site.address => return None,
        Ask::Select { address: asked, .. } | Ask::Reboot { address: asked } if asked == address => MessageType::Ack,
        Ask::Renew if question.own == address => MessageType::Ack,
        Ask::Select { .. } | Ask::Reboot { .. } | Ask::Renew => MessageType::Nak,
        Ask::Release | Ask::Decline => return None,
    };
    let mut message = Message::default();
    message
        .set_opcode(Opcode::BootReply)
        .set_xid(question.transaction)
        .set_hops(question.hops)
        .set_flags(question.flags)
        .set_chaddr(&question.mac.0);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(site.address));
    if let Some(id) = &question.client_id {
        options.insert(DhcpOption::ClientIdentifier(id.clone()));
    }
    if kind == MessageType::Nak {
        return Some(Reply { bytes: encode(&message)?, to: Destination::Broadcast });
    }
    options.insert(DhcpOption::AddressLeaseTime(site.lease_seconds));
    options.insert(DhcpOption::Renewal(site.lease_seconds / 2));
    options.insert(DhcpOption::Rebinding(site.lease_seconds / 8 * 7));
    options.insert(DhcpOption::SubnetMask(mask(prefix)));
    if let Some(router) = site.router {
        options.insert(DhcpOption::Router(vec![router]));
    }
    message.set_yiaddr(address).set_siaddr(site.address);
    if question.ask == Ask::Renew {
        message.set_ciaddr(question.own);
    }
    if question.is_boot() {
        add_boot(&mut message, question, permit, site, token)?;
    }
    Some(Reply { bytes: encode(&message)?, to: destination(question, address) })
}

/// Says where the boot goes on. `None` if there is nothing here that the client could run.
fn add_boot(message: &mut Message, question: &Question, permit: &Permit, site: &Site, token: Option<&str>) -> Option<()> {
    let options = message.opts_mut();
    if let Some(id) = &question.machine_id {
        options.insert(DhcpOption::ClientMachineIdentifier(id.clone()));
    }
    let file = match question.client {
        Client::Ipxe => {
            let data = IPXE_NO_PROXY_DHCP.to_vec();
            options.insert(DhcpOption::Unknown(UnknownOption::new(OptionCode::Unknown(IPXE_ENCAPSULATED), data)));
            format!("{}/{}/boot.ipxe", site.base_url, token?)
        }
        Client::Http(Machinery::Uefi) => {
            options.insert(DhcpOption::ClassIdentifier(b"HTTPClient".to_vec()));
            format!("{}/{}/{}", site.base_url, token?, site.uefi_for(permit))
        }
        Client::Pxe(machinery) => {
            options.insert(DhcpOption::ClassIdentifier(b"PXEClient".to_vec()));
            options.insert(DhcpOption::VendorExtensions(PXE_DISCOVERY_CONTROL.to_vec()));
            options.insert(DhcpOption::TFTPServerName(site.address.to_string().into_bytes()));
            match machinery {
                Machinery::Bios => site.bios.clone(),
                Machinery::Uefi => site.uefi_for(permit).to_owned(),
                Machinery::Other(_) => return None,
            }
        }
        Client::Http(_) | Client::System => return None,
    };
    // both the old field and the option: firmware differs in which it reads. The field has 128 octets and ends with a zero.
    if file.len() >= 128 {
        return None;
    }
    options.insert(DhcpOption::BootfileName(file.clone().into_bytes()));
    message.set_fname(file.as_bytes());
    Some(())
}

fn mask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0))
}

/// RFC 2131, 4.1, without relays: to the address in use; else broadcast if asked for; else a frame to the client.
fn destination(question: &Question, address: Ipv4Addr) -> Destination {
    if !question.own.is_unspecified() {
        Destination::Datagram(SocketAddrV4::new(question.own, CLIENT_PORT))
    } else if question.flags.broadcast() {
        Destination::Broadcast
    } else {
        Destination::Frame(question.mac, address)
    }
}

fn encode(message: &Message) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).ok()?;
    if bytes.len() < DHCP_ANSWER_BYTES_MIN {
        bytes.resize(DHCP_ANSWER_BYTES_MIN, PAD);
    }
    Some(bytes)
}

#[cfg(test)]
#[path = "dhcp_tests.rs"]
mod tests;
