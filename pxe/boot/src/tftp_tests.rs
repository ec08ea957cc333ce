//! Tests of TFTP: the pure transfer against a lossy client, and the service over loopback sockets.

use super::*;
use crate::examples;
use proptest::prelude::*;

fn request(words: &[&str]) -> Vec<u8> {
    let mut packet = vec![0, 1];
    for word in words {
        packet.extend(word.as_bytes());
        packet.push(0);
    }
    packet
}

#[test]
fn requests_are_read_and_writes_are_not() {
    let parsed =
        Request::parse(&request(&["/snponly.efi", "OCTET", "blksize", "65464", "tsize", "0", "windowsize", "64"])).unwrap();
    let expected = Request {
        file: "snponly.efi".to_owned(),
        block: Some(TFTP_BLOCK_BYTES_MAX),
        wants_size: true,
        window: Some(TFTP_WINDOW_MAX),
    };
    assert_eq!(parsed, expected);
    assert_eq!(Request::parse(&request(&["x", "octet", "blksize", "8"])).unwrap().block, None, "too small to be worth it");
    let mut write = request(&["x", "octet"]);
    write[1] = 2;
    for bad in [write.as_slice(), &[], &[0], &[0, 1], b"\0\x01x\0netascii\0", b"\0\x01x\0octet", b"\0\x01\xff\0octet\0"] {
        assert_eq!(Request::parse(bad), None, "{bad:?}");
    }
}

fn ack(number: u16) -> Vec<u8> {
    [ACK.to_be_bytes(), number.to_be_bytes()].concat()
}

/// Plays a client that loses packets as told and acknowledges what it has in order; returns what it received.
fn played(request: &Request, data: &[u8], mut lost: impl FnMut() -> bool) -> Vec<u8> {
    let mut transfer = Transfer::new(request, data.into());
    let block = request.block.unwrap_or(TFTP_BLOCK_BYTES);
    let (mut got, mut blocks, mut options) = (Vec::new(), 0u64, request.block.is_some() || request.window.is_some());
    let mut flight = transfer.in_flight();
    for _ in 0..1_000_000 {
        let mut acks = Vec::new();
        for packet in flight.drain(..) {
            if lost() {
                continue;
            }
            let (opcode, number) = (number_at(&packet, 0).unwrap(), number_at(&packet, 2).unwrap());
            if opcode == OPTIONS_ACK {
                options = false;
                acks.push(ack(0));
            } else if !options && number == (blocks + 1) as u16 {
                got.extend(&packet[4..]);
                blocks += 1;
            }
        }
        if blocks > 0 {
            acks.push(ack(blocks as u16));
        }
        for packet in acks {
            if lost() {
                continue;
            }
            match transfer.take(&packet) {
                Next::Send(packets) => flight.extend(packets),
                Next::Wait => {}
                Next::End => return got,
            }
        }
        if flight.is_empty() {
            flight = transfer.in_flight();
        }
        assert!(flight.len() <= usize::from(TFTP_WINDOW_MAX) + 1 && flight.iter().all(|p| p.len() <= block + 4));
    }
    panic!("the transfer does not end");
}

#[test]
fn block_numbers_wrap() {
    let data: Vec<u8> = (0..70_000u32 * 512).map(|n| (n / 512 + n) as u8).collect();
    let request = Request { file: String::new(), block: None, wants_size: false, window: None };
    assert!(played(&request, &data, || false) == data);
}

proptest! {
    #[test]
    fn whatever_is_lost_the_file_arrives_whole(
        length in 0usize..20_000, block in prop_oneof![Just(None), (512usize..1468).prop_map(Some)], window in prop_oneof![Just(None), (1u16..16).prop_map(Some)],
        seed in any::<u64>(), percent in 0u64..40,
    ) {
        let data: Vec<u8> = (0..length).map(|n| (n * 7 + n / 256) as u8).collect();
        let mut state = seed | 1;
        let lost = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % 100 < percent
        };
        let wants_size = block.is_some() || window.is_some();
        let got = played(&Request { file: String::new(), block, wants_size, window }, &data, lost);
        prop_assert!(got == data);
    }

    #[test]
    fn no_packet_panics(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 0..40), first in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Request::parse(&first);
        let mut transfer = Transfer::new(&Request { file: String::new(), block: None, wants_size: true, window: Some(4) }, vec![0; 5000].into());
        for packet in &packets {
            let _ = transfer.take(packet);
        }
    }
}

struct Fetch {
    socket: UdpSocket,
    at: SocketAddr,
}

impl Fetch {
    async fn new(at: SocketAddr) -> Fetch {
        Fetch { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(), at }
    }

    /// The whole file by a plain client; `None` if nothing answers, `Some(None)` if an error does.
    async fn get(&self, name: &str) -> Option<Option<Vec<u8>>> {
        self.socket.send_to(&request(&[name, "octet", "blksize", "1400", "windowsize", "4"]), self.at).await.unwrap();
        let (mut got, mut expected, mut buffer) = (Vec::new(), 1u16, [0u8; 1600]);
        loop {
            let received = tokio::time::timeout(std::time::Duration::from_millis(300), self.socket.recv_from(&mut buffer)).await;
            let (length, from) = received.ok()?.unwrap();
            match (number_at(&buffer, 0).unwrap(), number_at(&buffer, 2).unwrap()) {
                (OPTIONS_ACK, _) => drop(self.socket.send_to(&ack(0), from).await.unwrap()),
                (DATA, number) if number == expected => {
                    got.extend(&buffer[4..length]);
                    expected += 1;
                    if number % 4 == 0 || length < 1404 {
                        self.socket.send_to(&ack(number), from).await.unwrap();
                    }
                    if length < 1404 {
                        return Some(Some(got));
                    }
                }
                (ERROR, _) => return Some(None),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn only_ipxe_is_served_and_only_to_bearers() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::open(crate::http::tests::config(folder.path())).unwrap());
    let tftp = Tftp::open(desk.clone()).unwrap();
    let client = Fetch::new(tftp.local_addr().unwrap()).await;
    tokio::spawn(tftp.serve());
    assert_eq!(client.get("undionly.kpxe").await, None, "no permit: silence");
    let mut permit = examples::permit(1, "web1", 5);
    permit.nics.values_mut().for_each(|nic| nic.address = "127.0.0.1/8".parse().ok());
    desk.heard().await;
    desk.grant(&permit).await.unwrap();
    assert_eq!(client.get("undionly.kpxe").await, Some(Some(vec![7; 70_000])));
    assert_eq!(client.get("/snponly.efi").await, Some(Some(vec![7; 180_000])));
    for name in ["../boot.json", "/etc/passwd", "images/vmlinuz", ""] {
        assert_eq!(client.get(name).await, Some(None), "{name}");
    }
    desk.revoke(&permit.machine).await.unwrap();
    assert_eq!(client.get("undionly.kpxe").await, None, "revoked: silence at once");
}
