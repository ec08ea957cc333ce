//! DHCP as a booting machine speaks it: questions made byte by byte, answers read for what a boot needs. Pure; reading is total. It must
//! never take an answer to somebody else, or to an earlier question, for its own.

use super::cables::Mac;
use std::net::Ipv4Addr;
use std::time::Duration;

const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const FILE: std::ops::Range<usize> = 108..236;
pub const SERVER_PORT: u16 = 67;
pub const CLIENT_PORT: u16 = 68;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// iPXE.
    Ipxe,
    /// UEFI firmware that boots by HTTP.
    Http,
    /// An operating system, which boots nothing.
    System,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Who is there?
    Discover,
    /// This offer of this server, please.
    Request { server: Ipv4Addr, address: Ipv4Addr },
    /// This address, which I use, for longer, please.
    Renew { address: Ipv4Addr },
}

/// What kind of answer it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Offer,
    Ack,
    Nak,
}

/// An answer to this client's question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub kind: Kind,
    /// The server that answered.
    pub server: Ipv4Addr,
    /// The client's address.
    pub address: Ipv4Addr,
    /// Its network's mask.
    pub mask: Ipv4Addr,
    /// For how long.
    pub lease: Duration,
    /// What to boot.
    pub file: Option<String>,
}

/// A question.
pub fn question(mac: Mac, transaction: u32, client: Client, ask: Ask) -> Vec<u8> {
    let mut packet = vec![1, 1, 6, 0];
    packet.extend(transaction.to_be_bytes());
    packet.resize(12, 0);
    if let Ask::Renew { address } = ask {
        packet.extend(address.octets());
    }
    packet.resize(28, 0);
    packet.extend(mac);
    packet.resize(HEADER - COOKIE.len(), 0);
    packet.extend(COOKIE);
    let mut option = |code: u8, data: &[u8]| {
        // all of them are short
        packet.extend([code, data.len() as u8]);
        packet.extend(data);
    };
    option(53, &[if ask == Ask::Discover { 1 } else { 3 }]);
    option(57, &1_472_u16.to_be_bytes());
    match client {
        Client::Ipxe => {
            option(93, &[0, 7]);
            option(60, b"PXEClient:Arch:00007:UNDI:003010");
            option(77, b"iPXE");
            option(175, &[1, 1, 1]);
        }
        Client::Http => {
            option(93, &[0, 16]);
            option(60, b"HTTPClient:Arch:00016:UNDI:003001");
        }
        Client::System => {}
    }
    option(55, &[1, 3, 6, 51, 54, 66, 67]);
    option(61, &[&[1][..], &mac].concat());
    if let Ask::Request { server, address } = ask {
        option(50, &address.octets());
        option(54, &server.octets());
    }
    packet.push(255);
    packet
}

/// Reads an answer to the question of this client with this transaction.
pub fn answer(packet: &[u8], mac: Mac, transaction: u32) -> Option<Answer> {
    let mine = packet.get(..3)? == [2, 1, 6]
        && packet.get(4..8)? == transaction.to_be_bytes()
        && packet.get(28..34)? == mac
        && packet.get(HEADER - 4..HEADER)? == COOKIE;
    if !mine {
        return None;
    }
    let options = packet.get(HEADER..)?;
    let four = |bytes: &[u8]| bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
    let kind = match option(options, 53)? {
        [2] => Kind::Offer,
        [5] => Kind::Ack,
        [6] => Kind::Nak,
        _ => return None,
    };
    let named = option(options, 67).filter(|name| !name.is_empty()).or_else(|| packet.get(FILE));
    let file = named.map(|name| name.split(|byte| *byte == 0).next().unwrap_or_default());
    Some(Answer {
        kind,
        server: four(option(options, 54)?)?,
        address: four(packet.get(16..)?)?,
        lease: Duration::from_secs(
            option(options, 51).and_then(|bytes| bytes.first_chunk()).map_or(0, |seconds| u32::from_be_bytes(*seconds)).into(),
        ),
        mask: option(options, 1).and_then(four).unwrap_or(Ipv4Addr::UNSPECIFIED),
        file: file.filter(|name| !name.is_empty()).and_then(|name| String::from_utf8(name.to_vec()).ok()),
    })
}

fn option(mut rest: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match rest {
            [0, tail @ ..] => rest = tail,
            [code, length, tail @ ..] if *code != 255 => {
                let data = tail.get(..usize::from(*length))?;
                if *code == wanted {
                    return Some(data);
                }
                rest = tail.get(usize::from(*length)..)?;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    fn reply(kind: u8, transaction: u32, options: &[u8]) -> Vec<u8> {
        let mut packet = vec![2, 1, 6, 0];
        packet.extend(transaction.to_be_bytes());
        packet.resize(16, 0);
        packet.extend([10, 0, 0, 9]);
        packet.resize(28, 0);
        packet.extend(MAC);
        packet.resize(236, 0);
        packet.extend(COOKIE);
        packet.extend([53, 1, kind, 54, 4, 10, 0, 0, 1, 0, 1, 4, 255, 255, 255, 0]);
        packet.extend(options);
        packet.push(255);
        packet
    }

    #[test]
    fn only_an_answer_to_the_question_is_one() {
        let offer = reply(2, 7, b"\x43\x06http:x");
        let read = answer(&offer, MAC, 7).unwrap();
        assert_eq!((read.kind, read.server, read.address), (Kind::Offer, [10, 0, 0, 1].into(), [10, 0, 0, 9].into()));
        assert_eq!((read.mask, read.file.as_deref()), ([255, 255, 255, 0].into(), Some("http:x")));
        assert_eq!(answer(&offer, MAC, 8), None);
        assert_eq!(answer(&offer, [2, 0, 0, 0, 0, 2], 7), None);
        assert_eq!(answer(&question(MAC, 7, Client::Ipxe, Ask::Discover), MAC, 7), None, "one's own question");
        let mut old = reply(5, 7, &[]);
        old[108..112].copy_from_slice(b"file");
        assert_eq!(answer(&old, MAC, 7).unwrap().file.as_deref(), Some("file"), "the old field");
        assert_eq!(answer(&reply(5, 7, &[]), MAC, 7).unwrap().file, None);
    }

    #[test]
    fn who_asks_for_longer_names_its_address_and_boots_nothing() {
        let address = Ipv4Addr::new(10, 0, 0, 9);
        let packet = question(MAC, 7, Client::System, Ask::Renew { address });
        assert_eq!((&packet[12..16], &packet[28..34]), (&address.octets()[..], &MAC[..]));
        assert_eq!(option(&packet[HEADER..], 53), Some(&[3][..]));
        assert!([50, 54, 60, 77].iter().all(|code| option(&packet[HEADER..], *code).is_none()));
        let ack = reply(5, 7, b"\x33\x04\0\0\0\x14");
        assert_eq!(answer(&ack, MAC, 7).unwrap().lease, Duration::from_secs(20));
    }

    proptest! {
        #[test]
        fn no_answer_panics(tail in proptest::collection::vec(any::<u8>(), 0..60), cut in 0usize..400) {
            let packet = reply(2, 7, &tail);
            let _ = answer(&packet[..cut.min(packet.len())], MAC, 7);
            let _ = answer(&packet, MAC, 7);
        }
    }
}
