//! As much of OpenFlow 1.0 as tells and decides whether a port is up: the database has no column for that. Spoken to the bridge's own socket
//! of management; no rule is ever written. Decoding is total.

use super::connection::{Stream, in_time, unix};
use super::trouble::{Trouble, silent};
use crate::limits::OVS_ANSWER_TIMEOUT;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BRIDGE: &str = "the bridge's OpenFlow socket";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;
const FEATURES_HEAD_BYTES: usize = 24;
const PORT_BYTES: usize = 48;
const STATISTICS_HEAD_BYTES: usize = 4;
/// Kind of statistics: of ports.
const OF_PORTS: u16 = 4;
/// In `config` of a port: it is down. In `state`: its link is.
const DOWN: u32 = 1;

const HELLO: u8 = 0;
const ERROR: u8 = 1;
const ECHO_REQUEST: u8 = 2;
const ECHO_REPLY: u8 = 3;
const FEATURES_REQUEST: u8 = 5;
const FEATURES_REPLY: u8 = 6;
const PORT_MOD: u8 = 15;
const STATISTICS_REQUEST: u8 = 16;
const STATISTICS_REPLY: u8 = 17;
const BARRIER_REQUEST: u8 = 18;
const BARRIER_REPLY: u8 = 19;

/// A port as the switch has it now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Port {
    /// Its OpenFlow number.
    pub number: u16,
    /// Its hardware address, without which it cannot be changed.
    pub hardware: [u8; 6],
    /// Administratively up.
    pub up: bool,
    /// Carrier.
    pub link: bool,
}

/// A bridge as the switch has it now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Features {
    /// The bridge's identity.
    pub datapath: u64,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// Takes so many bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn port(mut bytes: &[u8]) -> Option<Port> {
    let number = u16::from_be_bytes(take(&mut bytes)?);
    let hardware = take(&mut bytes)?;
    let _name: [u8; 16] = take(&mut bytes)?;
    let (config, state) = (u32::from_be_bytes(take(&mut bytes)?), u32::from_be_bytes(take(&mut bytes)?));
    Some(Port { number, hardware, up: config & DOWN == 0, link: state & DOWN == 0 })
}

/// The body of an answer about the bridge. `None` if it is odd.
pub(super) fn features(mut body: &[u8]) -> Option<Features> {
    let datapath = u64::from_be_bytes(*body.first_chunk()?);
    let _: [u8; FEATURES_HEAD_BYTES] = take(&mut body)?;
    let ports = body.chunks(PORT_BYTES);
    let ports = ports.map(|bytes| if bytes.len() == PORT_BYTES { port(bytes) } else { None }).collect::<Option<_>>()?;
    Some(Features { datapath, ports })
}

/// The frames that came in on a port, out of the body of an answer about its statistics. `None` if it is of another port, or odd.
pub(super) fn frames_in(mut body: &[u8], of: u16) -> Option<u64> {
    let [kind @ .., _, _]: [u8; STATISTICS_HEAD_BYTES] = take(&mut body)?;
    let number = u16::from_be_bytes(take(&mut body)?);
    let _: [u8; 6] = take(&mut body)?;
    let frames = u64::from_be_bytes(take(&mut body)?);
    // all ones: the switch does not count them
    (u16::from_be_bytes(kind) == OF_PORTS && number == of && frames != u64::MAX).then_some(frames)
}

/// The body of an order to a port. An order goes by number and hardware address, so it hits no other port.
fn order(port: &Port, up: bool) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(port.number.to_be_bytes());
    body.extend(port.hardware);
    body.extend(if up { 0 } else { DOWN }.to_be_bytes());
    body.extend(DOWN.to_be_bytes());
    // no wish for what it advertises, and padding
    body.extend([0; 8]);
    body
}

struct Message {
    kind: u8,
    number: u32,
    body: Vec<u8>,
}

/// One conversation with a bridge.
pub struct OpenFlow {
    stream: Box<dyn Stream>,
    asked: u32,
}

impl OpenFlow {
    /// Connects to the bridge and agrees on the version.
    pub async fn open(folder: &Path, bridge: &str) -> Result<OpenFlow, Trouble> {
        let stream = unix(BRIDGE, &folder.join(format!("{bridge}.mgmt"))).await?;
        let mut open = OpenFlow { stream, asked: 0 };
        let greet = async {
            open.send(HELLO, 0, &[]).await?;
            while open.receive().await?.kind != HELLO {}
            Ok(())
        };
        in_time(BRIDGE, OVS_ANSWER_TIMEOUT, greet).await?;
        Ok(open)
    }

    async fn send(&mut self, kind: u8, number: u32, body: &[u8]) -> Result<(), Trouble> {
        let length = u16::try_from(HEADER_BYTES + body.len()).map_err(|_| silent(BRIDGE, "a question is too long"))?;
        let mut bytes = vec![VERSION, kind];
        bytes.extend(length.to_be_bytes());
        bytes.extend(number.to_be_bytes());
        bytes.extend(body);
        self.stream.write_all(&bytes).await.map_err(|error| silent(BRIDGE, error))
    }

    async fn receive(&mut self) -> Result<Message, Trouble> {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).await.map_err(|error| silent(BRIDGE, error))?;
        let [version, kind, a, b, number @ ..] = header;
        // a greeting bears the highest version that is spoken, anything else the one that was agreed on
        let body = usize::from(u16::from_be_bytes([a, b])).checked_sub(HEADER_BYTES);
        let (Some(length), true) = (body, version == VERSION || kind == HELLO) else {
            return Err(silent(BRIDGE, "what came is not OpenFlow 1.0"));
        };
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.map_err(|error| silent(BRIDGE, error))?;
        Ok(Message { kind, number: u32::from_be_bytes(number), body })
    }

    async fn call(&mut self, kind: u8, body: &[u8], answer: u8) -> Result<Vec<u8>, Trouble> {
        self.asked += 1;
        let asked = self.asked;
        let work = async {
            self.send(kind, asked, body).await?;
            loop {
                let message = self.receive().await?;
                match message.kind {
                    ECHO_REQUEST => self.send(ECHO_REPLY, message.number, &message.body).await?,
                    ERROR => return Err(silent(BRIDGE, format!("it refuses a message of kind {kind}"))),
                    given if given == answer && message.number == asked => return Ok(message.body),
                    // notes that nobody asked for
                    _ => {}
                }
            }
        };
        in_time(BRIDGE, OVS_ANSWER_TIMEOUT, work).await
    }

    /// The bridge and its ports.
    pub async fn features(&mut self) -> Result<Features, Trouble> {
        let body = self.call(FEATURES_REQUEST, &[], FEATURES_REPLY).await?;
        features(&body).ok_or_else(|| silent(BRIDGE, "its ports were told in an odd way"))
    }

    /// How many frames have come in on a port, now.
    pub async fn frames_in(&mut self, number: u16) -> Result<u64, Trouble> {
        let mut question = Vec::new();
        question.extend(OF_PORTS.to_be_bytes());
        question.extend([0; 2]);
        question.extend(number.to_be_bytes());
        question.extend([0; 6]);
        let body = self.call(STATISTICS_REQUEST, &question, STATISTICS_REPLY).await?;
        frames_in(&body, number).ok_or_else(|| silent(BRIDGE, "it does not tell how many frames came in"))
    }

    /// Puts a port up or down, and waits until the switch has taken it up.
    pub async fn put(&mut self, port: &Port, up: bool) -> Result<(), Trouble> {
        in_time(BRIDGE, OVS_ANSWER_TIMEOUT, self.send(PORT_MOD, 0, &order(port, up))).await?;
        self.call(BARRIER_REQUEST, &[], BARRIER_REPLY).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(ports: &[Port]) -> Vec<u8> {
        let mut body = 0x0a0b_u64.to_be_bytes().to_vec();
        body.extend([0; FEATURES_HEAD_BYTES - 8]);
        for port in ports {
            body.extend(port.number.to_be_bytes());
            body.extend(port.hardware);
            body.extend([b'p'; 16]);
            body.extend(u32::from(!port.up).to_be_bytes());
            body.extend(u32::from(!port.link).to_be_bytes());
            body.extend([0; 16]);
        }
        body
    }

    #[test]
    fn ports_are_read_and_what_is_cut_off_is_odd() {
        let ports = [(1, true, false), (2, false, true)].map(|(number, up, link)| Port { number, hardware: [2; 6], up, link });
        let body = told(&ports);
        assert_eq!(features(&body), Some(Features { datapath: 0x0a0b, ports: ports.to_vec() }));
        for cut in (0..body.len()).filter(|cut| (cut - cut.min(&FEATURES_HEAD_BYTES)) % PORT_BYTES != 0) {
            assert_eq!(features(&body[..cut]), None, "{cut}");
        }
        assert_eq!(features(&body[..FEATURES_HEAD_BYTES - 1]), None);
    }

    #[test]
    fn frames_of_another_port_are_not_this_ones() {
        let mut body = vec![0, 4, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0];
        body.extend(9_u64.to_be_bytes());
        assert_eq!(frames_in(&body, 7), Some(9));
        assert_eq!(frames_in(&body, 8), None);
        assert_eq!(frames_in(&body[..19], 7), None);
        body[1] = 3;
        assert_eq!(frames_in(&body, 7), None);
    }

    #[test]
    fn an_order_names_number_address_and_one_flag() {
        let port = Port { number: 7, hardware: [2, 0, 0, 0, 0, 7], up: true, link: true };
        assert_eq!(order(&port, false), [0, 7, 2, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(order(&port, true)[8..16], [0, 0, 0, 0, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn total(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (features(&body), frames_in(&body, 1));
        }
    }
}
