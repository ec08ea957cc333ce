//! What machines without an operating system send to the boot service, under hostile bytes, a decoder a line, with the laws that hold
//! whatever comes. For tests and fuzzers alone. Must never let a secret out that no token of this boot was used up for.

use crate::advertise::{self, ALL_NODES};
use crate::config::Config;
use crate::desk::Desk;
use crate::dhcp::{Ask, Destination, Question, Site};
use crate::range::{self, Wanted};
use crate::tftp::{Next, Request, Transfer};
use crate::tokens::BootToken;
use crate::{dhcp_wire, http, limits};
use ::hostile::{Group, decoder};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vocabulary::Mac;
use vocabulary::boot::Permit;

/// DHCP, to the answer.
pub const DHCP: Group = Group {
    name: "boot_dhcp",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: limits::DHCP_PACKET_BYTES,
    memory_max: 1024 * 1024,
    words: &[
        &[53, 1, 1],
        &[53, 1, 3],
        &[50, 4, 127, 0, 0, 1],
        &[54, 4, 127, 0, 0, 9],
        &[93, 2, 0, 16],
        &[175, 3, 1, 1, 1],
        &[77, 4, b'i', b'P', b'X', b'E'],
        b"\x3c\x20PXEClient:Arch:00007:UNDI:003016",
        b"\x3c\x21HTTPClient:Arch:00016:UNDI:003001",
        &[52, 1, 3],
        &[82, 2, 1, 0],
        &[43, 255],
        &[255],
    ],
    decoders: &[decoder("DHCP", dhcp)],
};

/// The small ones: TFTP, solicitations, what stands in paths and headers.
pub const SMALL: Group = Group {
    name: "boot_small",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: limits::TFTP_REQUEST_BYTES,
    memory_max: 256 * 1024,
    words: &[
        b"\x00octet\x00",
        b"blksize\x00",
        b"tsize\x000\x00",
        b"windowsize\x00",
        b"../",
        b"\x00\x04",
        b"\x00\x05",
        b"bytes=",
        b"-",
        &[133, 0],
    ],
    decoders: &[
        decoder("TFTP request", tftp),
        decoder("TFTP transfer", transfer),
        decoder("router solicitation", solicitation),
        decoder("range", |input| std::str::from_utf8(input).is_ok_and(part)),
        decoder("token", |input| std::str::from_utf8(input).is_ok_and(token)),
    ],
};

/// HTTP: whatever is sent over one connection. `TOKEN` in the input stands for the token of this boot.
pub const HTTP: Group = Group {
    name: "boot_http",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: 8 * 1024,
    memory_max: 2 * 1024 * 1024,
    words: &[
        b"TOKEN",
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"/TOKEN/claim",
        b"/TOKEN/kernel",
        b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"Range: bytes=1-2\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"%2e%2e%2f",
        b"../",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 4294967296\r\n",
        b"?",
        b"#",
    ],
    decoders: &[decoder("HTTP", conversation)],
};

/// The machine of the permit below.
const MAC: Mac = Mac([0x52, 0x54, 0, 0x0c, 1, 1]);
const SECRET: &[u8] = b"chap-secret-0001";
/// What a transfer carries, bytes.
const FILE_BYTES: usize = 5_000;
const CONFIG: &str = r#"{"bundle":"none","state_dir":"state","interface":"lo","address":"127.0.0.9/8","images_dir":"images",
    "ipxe":{"bios":"undionly.kpxe","uefi":"snponly.efi"}}"#;
const PERMIT: &str = include_str!("hostile_permit.json");

/// A service with one permit.
struct Stage {
    desk: Arc<Desk>,
    site: Site,
    permit: Permit,
    /// Each boot is another one.
    boots: Cell<u32>,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

fn raise() -> Option<Stage> {
    let folder = tempfile::tempdir().ok()?;
    std::fs::create_dir_all(folder.path().join("images/web-kernel")).ok()?;
    for name in ["undionly.kpxe", "snponly.efi", "images/web-kernel/kernel", "images/web-kernel/initrd"] {
        std::fs::write(folder.path().join(name), b"0123456789").ok()?;
    }
    std::fs::write(folder.path().join("boot.json"), CONFIG).ok()?;
    let desk = Arc::new(Desk::open(Config::read(&folder.path().join("boot.json")).ok()?).ok()?);
    let permit: Permit = serde_json::from_str(PERMIT).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        desk.heard().await;
        desk.grant(&permit).await.ok()
    })?;
    let site = dhcp_wire::site(desk.config());
    Some(Stage { desk, site, permit, boots: Cell::new(0), runtime, _folder: folder })
}

fn on_stage<T>(work: impl FnOnce(&Stage) -> T) -> T {
    STAGE.with_borrow_mut(|stage| {
        if stage.is_none() {
            *stage = raise();
        }
        assert!(stage.is_some(), "no service with a permit can be made here");
        stage.as_ref().map(work).unwrap_or_else(|| unreachable!("just asserted"))
    })
}

/// An answer goes to the machine of the permit and to nobody else, never by a relay, and fits into a frame.
fn dhcp(input: &[u8]) -> bool {
    let Some(question) = Question::parse(input) else { return false };
    assert!(input.get(28..34) == Some(question.mac.0.as_slice()) && input.first() == Some(&1));
    on_stage(|stage| {
        let Some(reply) = dhcp_wire::reply(&stage.desk, &stage.site, &question) else { return false };
        assert!(question.mac == MAC && !question.is_relayed() && !matches!(question.ask, Ask::Release | Ask::Decline));
        assert!((limits::DHCP_ANSWER_BYTES_MIN..1472).contains(&reply.bytes.len()), "{} bytes", reply.bytes.len());
        assert_eq!((reply.bytes.first(), reply.bytes.get(4..8)), (Some(&2), Some(&question.transaction.to_be_bytes()[..])));
        assert_eq!(Question::parse(&reply.bytes), None, "an answer is no question");
        match reply.to {
            Destination::Frame(mac, ip) => assert_eq!((mac, ip), (MAC, Ipv4Addr::LOCALHOST)),
            Destination::Datagram(to) => assert_eq!(*to.ip(), question.own),
            Destination::Broadcast => {}
        }
        assert!(!reply.bytes.windows(SECRET.len()).any(|part| part == SECRET));
        true
    })
}

fn tftp(input: &[u8]) -> bool {
    let Some(request) = Request::parse(input) else { return false };
    assert!(!request.file.starts_with('/') && !request.file.contains('\0'));
    assert!(request.block.is_none_or(|block| (limits::TFTP_BLOCK_BYTES..=limits::TFTP_BLOCK_BYTES_MAX).contains(&block)));
    assert!(request.window.is_none_or(|window| (1..=limits::TFTP_WINDOW_MAX).contains(&window)));
    let first = Transfer::new(&request, vec![7; FILE_BYTES].into()).in_flight();
    assert!(!first.is_empty() && first.iter().all(|packet| packet.len() <= limits::TFTP_BLOCK_BYTES_MAX + 4));
    true
}

/// Options, then packets of four bytes: whatever a client acknowledges, no more than its window is in flight, and nothing is over before
/// the last block was acknowledged or the client gave up. True if all of it arrived.
fn transfer(input: &[u8]) -> bool {
    let [options, packets @ ..] = input else { return false };
    let block = (options & 1 != 0).then_some(limits::TFTP_BLOCK_BYTES_MAX);
    let window = (options & 2 != 0).then_some(u16::from(options >> 4).max(1));
    let request = Request { file: String::new(), block, wants_size: options & 4 != 0, window };
    let most = usize::from(window.unwrap_or(1));
    let last = FILE_BYTES / block.unwrap_or(limits::TFTP_BLOCK_BYTES) + 1;
    let mut transfer = Transfer::new(&request, vec![7; FILE_BYTES].into());
    let mut sent = 0;
    let note = |packets: &[Vec<u8>]| {
        assert!(!packets.is_empty() && packets.len() <= most, "{} packets in flight, the window has {most}", packets.len());
        packets.iter().filter_map(|packet| packet.get(2..4)).map(|n| n.iter().fold(0, |n, b| n << 8 | usize::from(*b))).max()
    };
    sent = sent.max(note(&transfer.in_flight()).filter(|_| options & 7 == 0).unwrap_or(0));
    for packet in packets.chunks(4).take(64) {
        match transfer.take(packet) {
            Next::Wait => {}
            Next::Send(packets) => sent = sent.max(note(&packets).unwrap_or(0)),
            Next::End => {
                let gave_up = packet.starts_with(&[0, 5]);
                assert!(gave_up || sent == last, "it ended at block {sent} of {last}");
                return !gave_up;
            }
        }
    }
    false
}

fn solicitation(input: &[u8]) -> bool {
    let Some((from, packet)) = input.split_first_chunk::<16>() else { return false };
    let from = Ipv6Addr::from(*from);
    let Some(to) = advertise::answer_to(packet, from) else { return false };
    assert!(to == from && from.is_unicast_link_local() || to == ALL_NODES && from.is_unspecified());
    true
}

fn part(text: &str) -> bool {
    [0, 1, 10, u64::MAX].into_iter().any(|length| match range::wanted(Some(text), length) {
        Wanted::Part { start, end } => {
            assert!(start < end && end <= length);
            true
        }
        Wanted::All | Wanted::Impossible => false,
    })
}

fn token(text: &str) -> bool {
    BootToken::parse(text).is_some_and(|token| {
        assert_eq!(token.expose(), text);
        true
    })
}

/// True if the first answer is a good one.
fn conversation(input: &[u8]) -> bool {
    let (heard, _) = conversed(input);
    heard.starts_with(b"HTTP/1.1 20") || heard.starts_with(b"HTTP/1.0 20")
}

/// What is answered over one connection, and how often secrets left: once for a boot, and only where its token was shown.
fn conversed(input: &[u8]) -> (Vec<u8>, usize) {
    const PLACE: &[u8] = b"TOKEN";
    on_stage(|stage| {
        stage.boots.set(stage.boots.get().wrapping_add(1));
        let token = stage.desk.token_of_boot(&stage.permit, stage.boots.get()).map(|token| token.expose()).unwrap_or_default();
        let (mut said, mut rest, mut shown) = (Vec::new(), input, false);
        while let Some(at) = rest.windows(PLACE.len()).position(|part| part == PLACE) {
            said.extend(rest.get(..at).unwrap_or_default());
            said.extend(token.as_bytes());
            (rest, shown) = (rest.get(at + PLACE.len()..).unwrap_or_default(), true);
        }
        said.extend(rest);
        let heard = stage.runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(64 * 1024);
            let served = tokio::spawn(http::converse(stage.desk.clone(), server, IpAddr::from([127, 0, 0, 1])));
            let mut heard = Vec::new();
            let (mut from, mut to) = tokio::io::split(&mut client);
            // a server that hangs up early is no fault of its own
            let write = async {
                let _ = to.write_all(&said).await;
                let _ = to.shutdown().await;
            };
            let (_, _) = tokio::join!(write, from.read_to_end(&mut heard));
            let ended = served.await;
            assert!(ended.is_ok(), "{ended:?}");
            heard
        });
        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1."), "{}", heard.escape_ascii());
        let secrets = heard.windows(SECRET.len()).filter(|part| *part == SECRET).count();
        assert!(secrets == 0 || secrets == 1 && shown, "secrets left {secrets} times");
        (heard, secrets)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    fn corpus(group: &Group) -> String {
        format!("{}/tests/corpus/{}", group.home, group.name)
    }

    #[test]
    fn the_permit_is_that_of_the_examples() {
        let mut permit = examples::permit(1, "web1", 5);
        permit.nics.values_mut().for_each(|nic| nic.address = "127.0.0.1/8".parse().ok());
        assert_eq!(serde_json::to_value(&permit).unwrap(), serde_json::from_str::<serde_json::Value>(PERMIT).unwrap());
    }

    /// As firmware, iPXE and operating systems send them.
    fn packets() -> Vec<(&'static str, Vec<u8>)> {
        let packet = |kind: u8, own: [u8; 4], options: &[&[u8]]| {
            let mut packet = vec![1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0];
            packet.extend(own);
            packet.resize(28, 0);
            packet.extend(MAC.0);
            packet.resize(236, 0);
            packet.extend([99, 130, 83, 99, 53, 1, kind]);
            packet.extend(options.concat());
            packet.push(255);
            packet
        };
        let uefi: &[u8] = b"\x3c\x20PXEClient:Arch:00007:UNDI:003016";
        let http: &[u8] = b"\x3c\x21HTTPClient:Arch:00016:UNDI:003001";
        let selected: [&[u8]; 2] = [&[54, 4, 127, 0, 0, 9], &[50, 4, 127, 0, 0, 1]];
        let machine = [&[97, 17, 0][..], &[0x11; 16]].concat();
        vec![
            ("discover-system", packet(1, [0; 4], &[&[61, 7, 1, 0x52, 0x54, 0, 0x0c, 1, 1]])),
            ("discover-pxe", packet(1, [0; 4], &[uefi, &[93, 2, 0, 7], &machine, &[57, 2, 5, 0xc0]])),
            ("discover-http", packet(1, [0; 4], &[http, &[93, 2, 0, 16]])),
            ("discover-ipxe", packet(1, [0; 4], &[&[77, 4], b"iPXE", &[175, 3, 1, 1, 1]])),
            ("select", packet(3, [0; 4], &[selected[0], selected[1], uefi])),
            ("reboot", packet(3, [0; 4], &[selected[1]])),
            ("renew", packet(3, [127, 0, 0, 1], &[])),
            ("release", packet(7, [127, 0, 0, 1], &[])),
        ]
    }

    #[test]
    fn dhcp_under_hostile_bytes() {
        ::hostile::capture(&corpus(&DHCP), &packets());
        ::hostile::run(&DHCP);
    }

    #[test]
    fn small_ones_under_hostile_bytes() {
        let acks = |options: u8, last: u8| [vec![options], (0..=last).flat_map(|n| [0, 4, 0, n]).collect()].concat();
        let neighbour = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets();
        let inputs = [
            ("request", b"\x00\x01/snponly.efi\x00octet\x00blksize\x001468\x00tsize\x000\x00windowsize\x004\x00".to_vec()),
            ("transfer", acks(0, 10)),
            ("transfer-window", acks(0x47, 4)),
            ("solicitation", [neighbour.as_slice(), &[133, 0, 0, 0, 0, 0, 0, 0]].concat()),
            ("range", b"bytes=2-5".to_vec()),
            ("range-last", b"bytes=-3".to_vec()),
            ("token", b"0123456789abcdef0123456789abcdef".to_vec()),
        ];
        ::hostile::capture(&corpus(&SMALL), &inputs);
        ::hostile::run(&SMALL);
    }

    #[test]
    fn http_under_hostile_bytes() {
        let get = |name: &str, more: &str| format!("GET /TOKEN/{name} HTTP/1.1\r\nHost: x\r\n{more}\r\n").into_bytes();
        let inputs = [
            ("script", get("boot.ipxe", "")),
            ("kernel", get("kernel", "Range: bytes=2-5\r\n")),
            ("claim-twice", [get("claim", ""), get("claim", "")].concat()),
            ("ipxe", get("snponly.efi", "Connection: close\r\n")),
            ("head", b"HEAD /TOKEN/initrd HTTP/1.0\r\n\r\n".to_vec()),
            ("stranger", b"GET /00000000000000000000000000000000/claim HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
            (
                "body",
                b"GET /TOKEN/kernel HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(),
            ),
        ];
        ::hostile::capture(&corpus(&HTTP), &inputs);
        assert_eq!(inputs.map(|(_, input)| conversed(&input).1), [0, 0, 1, 0, 0, 0, 0]);
        ::hostile::run(&HTTP);
    }
}
