//! Tests of DHCP as a pure function: what firmware, iPXE and operating systems ask, packet by packet, and what no packet may do.

use super::*;
use crate::examples::permit;
use proptest::prelude::*;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);
const MINE: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 11);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn site() -> Site {
    Site {
        address: OURS,
        router: None,
        lease_seconds: 3600,
        base_url: "http://10.10.0.1".to_owned(),
        bios: "undionly.kpxe".to_owned(),
        uefi: "snponly.efi".to_owned(),
        uefi_san: "ipxe.efi".to_owned(),
    }
}

/// A client's packet, written by hand so that the codec does not test itself.
fn packet(kind: u8, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut packet = vec![1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef];
    packet.resize(28, 0);
    packet.extend([0x52, 0x54, 0, 0x0c, 1, 1]);
    packet.resize(236, 0);
    packet.extend(COOKIE);
    packet.extend([53, 1, kind]);
    for (code, data) in options {
        packet.extend([*code, data.len() as u8]);
        packet.extend(*data);
    }
    packet.push(END);
    packet
}

const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const PXE_BIOS: (u8, &[u8]) = (60, b"PXEClient:Arch:00000:UNDI:002001");
const PXE_UEFI: (u8, &[u8]) = (60, b"PXEClient:Arch:00007:UNDI:003016");
const HTTP_UEFI: (u8, &[u8]) = (60, b"HTTPClient:Arch:00016:UNDI:003001");
const IPXE: (u8, &[u8]) = (77, b"iPXE");

fn ask(bytes: &[u8]) -> Option<(Question, Message, Destination)> {
    let question = Question::parse(bytes)?;
    let token = question.wants_token().then_some(TOKEN);
    let reply = answer(&question, &permit(1, "web1", 5), &site(), token)?;
    assert!(reply.bytes.len() >= DHCP_ANSWER_BYTES_MIN);
    let message = Message::decode(&mut Decoder::new(&reply.bytes)).unwrap();
    assert_eq!((message.xid(), message.chaddr(), message.opcode()), (0xdead_beef, &question.mac.0[..], Opcode::BootReply));
    Some((question, message, reply.to))
}

fn boot_file(message: &Message) -> Option<String> {
    match message.opts().get(OptionCode::BootfileName) {
        Some(DhcpOption::BootfileName(name)) => {
            let field = message.fname().and_then(|field| field.strip_suffix(&[0]));
            assert_eq!(field, Some(name.as_slice()), "field and option agree");
            Some(String::from_utf8(name.clone()).unwrap())
        }
        _ => None,
    }
}

#[test]
fn each_kind_of_client_is_told_how_to_go_on() {
    let url = format!("http://10.10.0.1/{TOKEN}");
    let uefi_arch: (u8, &[u8]) = (93, &[0, 7]);
    for (options, file) in [
        (vec![PXE_BIOS, (93, &[0, 0])], Some("undionly.kpxe".to_owned())),
        (vec![PXE_BIOS], Some("undionly.kpxe".to_owned())),
        (vec![PXE_UEFI, uefi_arch], Some("snponly.efi".to_owned())),
        (vec![PXE_UEFI, (93, &[0, 9])], Some("snponly.efi".to_owned())),
        (vec![HTTP_UEFI, (93, &[0, 16])], Some(format!("{url}/snponly.efi"))),
        (vec![PXE_BIOS, IPXE], Some(format!("{url}/boot.ipxe"))),
        (vec![PXE_UEFI, uefi_arch, (175, &[1, 1, 1])], Some(format!("{url}/boot.ipxe"))),
        (vec![(77, b"\x04iPXE")], Some(format!("{url}/boot.ipxe"))),
        (vec![(60, b"udhcp 1.35.0")], None),
        (vec![], None),
    ] {
        let (question, message, to) = ask(&packet(DISCOVER, &options)).unwrap();
        assert_eq!(boot_file(&message), file, "{options:?}");
        assert_eq!(question.wants_token(), file.as_ref().is_some_and(|file| file.contains(TOKEN)));
        assert_eq!((message.opts().msg_type(), message.yiaddr(), message.siaddr()), (Some(MessageType::Offer), MINE, OURS));
        assert_eq!(to, Destination::Frame(question.mac, MINE));
    }
}

#[test]
fn ipxe_is_told_not_to_wait_for_proxies_and_pxe_not_to_look_for_boot_servers() {
    let (_, message, _) = ask(&packet(DISCOVER, &[PXE_BIOS, IPXE])).unwrap();
    let Some(DhcpOption::Unknown(option)) = message.opts().get(OptionCode::Unknown(IPXE_ENCAPSULATED)) else {
        panic!("{message}")
    };
    assert_eq!(option.data(), IPXE_NO_PROXY_DHCP);
    let (_, message, _) = ask(&packet(DISCOVER, &[PXE_BIOS])).unwrap();
    assert_eq!(
        message.opts().get(OptionCode::VendorExtensions),
        Some(&DhcpOption::VendorExtensions(PXE_DISCOVERY_CONTROL.to_vec()))
    );
    let (_, message, _) = ask(&packet(DISCOVER, &[HTTP_UEFI, (93, &[0, 16])])).unwrap();
    assert_eq!(message.opts().get(OptionCode::ClassIdentifier), Some(&DhcpOption::ClassIdentifier(b"HTTPClient".to_vec())));
}

#[test]
fn an_architecture_without_ipxe_gets_silence_and_san_gets_the_ipxe_with_drivers() {
    assert!(ask(&packet(DISCOVER, &[(60, b"PXEClient:Arch:00011:UNDI:003016"), (93, &[0, 11])])).is_none());
    let question = Question::parse(&packet(DISCOVER, &[PXE_UEFI, (93, &[0, 7])])).unwrap();
    let mut san = permit(1, "web1", 5);
    san.method = BootMethod::San;
    let reply = answer(&question, &san, &site(), None).unwrap();
    assert_eq!(boot_file(&Message::decode(&mut Decoder::new(&reply.bytes)).unwrap()), Some("ipxe.efi".to_owned()));
}

#[test]
fn a_request_is_acknowledged_refused_or_not_ours() {
    let (server, mine, other) = ((54u8, &[10u8, 10, 0, 1][..]), (50u8, &[10u8, 10, 0, 11][..]), (50u8, &[10u8, 10, 0, 99][..]));
    let kind = |options: &[(u8, &[u8])]| ask(&packet(REQUEST, options)).map(|(_, message, to)| (message.opts().msg_type(), to));
    let frame = Destination::Frame(Mac([0x52, 0x54, 0, 0x0c, 1, 1]), MINE);
    assert_eq!(kind(&[server, mine]), Some((Some(MessageType::Ack), frame)));
    assert_eq!(kind(&[server, other]), Some((Some(MessageType::Nak), Destination::Broadcast)));
    assert_eq!(kind(&[(54, &[10, 10, 0, 2]), mine]), None, "another server was chosen");
    assert_eq!(kind(&[mine]), Some((Some(MessageType::Ack), frame)), "a client that remembers its address");
    assert_eq!(kind(&[other]), Some((Some(MessageType::Nak), Destination::Broadcast)));
    assert_eq!(kind(&[]), None, "neither renewing nor asking for an address");
}

#[test]
fn a_running_system_renews_without_touching_its_boot() {
    let mut renew = packet(REQUEST, &[(60, b"udhcp 1.35.0")]);
    renew[12..16].copy_from_slice(&MINE.octets());
    let (question, message, to) = ask(&renew).unwrap();
    assert_eq!(question.ask, Ask::Renew);
    assert!(!question.wants_token() && !question.is_boot());
    assert_eq!((message.opts().msg_type(), message.ciaddr(), boot_file(&message)), (Some(MessageType::Ack), MINE, None));
    assert_eq!(message.opts().get(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(3600)));
    assert_eq!(to, Destination::Datagram(SocketAddrV4::new(MINE, CLIENT_PORT)));
    renew[12..16].copy_from_slice(&[10, 10, 0, 77]);
    let (_, message, _) = ask(&renew).unwrap();
    assert_eq!(message.opts().msg_type(), Some(MessageType::Nak), "an address of an earlier life");
    // iPXE that renews while its system runs draws no token either
    let mut renew = packet(REQUEST, &[PXE_BIOS, IPXE]);
    renew[12..16].copy_from_slice(&MINE.octets());
    let (question, message, _) = ask(&renew).unwrap();
    assert!(!question.wants_token() && boot_file(&message).is_none());
}

#[test]
fn answers_go_where_the_client_can_hear_them() {
    let mut asked = packet(DISCOVER, &[]);
    asked[10] = 0x80;
    assert_eq!(ask(&asked).unwrap().2, Destination::Broadcast);
    asked[24..28].copy_from_slice(&[10, 10, 3, 1]);
    assert!(ask(&asked).is_none(), "a relay nobody configured");
    for (kind, options) in [(7u8, vec![]), (4, vec![(50u8, &[10u8, 10, 0, 11][..])])] {
        let question = Question::parse(&packet(kind, &options)).unwrap();
        assert!(answer(&question, &permit(1, "web1", 5), &site(), None).is_none(), "RELEASE and DECLINE have no answer");
    }
}

#[test]
fn malformed_options_hide_nothing_behind_them() {
    // a short option 93 ends the codec's parsing, option 94 of a wrong length panics it: both are taken out before it sees them
    let bytes = packet(DISCOVER, &[(93, &[0]), (94, &[1]), (81, &[1]), (121, &[33, 1]), (151, &[]), (77, b"iPXE")]);
    let question = Question::parse(&bytes).unwrap();
    assert_eq!(question.client, Client::Ipxe);
    let mut long = packet(DISCOVER, &[]);
    long[2] = 200;
    assert_eq!(Question::parse(&long), None, "a hardware address longer than its field");
    let mut reply = packet(DISCOVER, &[]);
    reply[0] = 2;
    assert_eq!(Question::parse(&reply), None);
    let cut = packet(DISCOVER, &[(60, b"PXEClient")]);
    assert_eq!(Question::parse(&cut[..cut.len() - 4]), None, "an option that goes beyond the packet");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = ask(&bytes);
    }

    /// Random options behind a good header: all of the codec that can be reached is reached.
    #[test]
    fn no_options_panic(kind in 0u8..20, tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = packet(kind, &[]);
        bytes.pop();
        bytes.extend(tail);
        if let Some(question) = Question::parse(&bytes) {
            let _ = answer(&question, &permit(1, "web1", 5), &site(), Some(TOKEN));
        }
    }

    /// Well-formed options of every code with random data: an answer never names an address but the permit's, and never a URL without
    /// the boot's own token.
    #[test]
    fn an_answer_names_the_permits_address_alone(
        kind in 1u8..9, options in proptest::collection::vec((1u8..255, proptest::collection::vec(any::<u8>(), 0..20)), 0..12), own in any::<u32>()
    ) {
        let borrowed: Vec<(u8, &[u8])> = options.iter().filter(|(code, _)| *code != 53).map(|(c, d)| (*c, d.as_slice())).collect();
        let mut bytes = packet(kind, &borrowed);
        bytes[12..16].copy_from_slice(&own.to_be_bytes());
        if let Some(question) = Question::parse(&bytes)
            && let Some(reply) = answer(&question, &permit(1, "web1", 5), &site(), Some(TOKEN))
        {
            let message = Message::decode(&mut Decoder::new(&reply.bytes)).unwrap();
            prop_assert!(message.yiaddr() == MINE || message.opts().msg_type() == Some(MessageType::Nak));
            if let Some(file) = boot_file(&message) {
                prop_assert!(!file.starts_with("http") || file.contains(TOKEN));
            }
        }
    }
}
