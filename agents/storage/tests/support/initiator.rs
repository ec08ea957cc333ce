//! A small iSCSI initiator (RFC 7143): login with CHAP, step by step, and one-block writes. It shares no code with the driver it judges.

use super::md5::md5;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the target may be silent.
const SILENCE: Duration = Duration::from_secs(5);
const BLOCK: usize = 512;
/// A target that has not agreed after so many exchanges never will.
const STEPS_MAX: usize = 10;

/// Why it did not work: a login status (class, detail), a SCSI status, or the end of the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    Login(u8, u8),
    Scsi(u8),
    Gone,
}

impl From<std::io::Error> for Failed {
    fn from(_: std::io::Error) -> Failed {
        Failed::Gone
    }
}

/// One connection of one session.
pub struct Initiator {
    stream: TcpStream,
    isid: u8,
    command: u32,
    status: u32,
}

/// A login that passed everything but its last exchange.
pub struct Pending(Initiator);

impl Initiator {
    fn connect(port: u16, isid: u8) -> Result<Initiator, Failed> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        Ok(Initiator { stream, isid, command: 1, status: 0 })
    }

    fn send(&mut self, mut header: [u8; 48], data: &[u8]) -> Result<(), Failed> {
        header[5..8].copy_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Ok(self.stream.write_all(&bytes)?)
    }

    fn receive(&mut self) -> Result<([u8; 48], Vec<u8>), Failed> {
        let mut header = [0; 48];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
        let mut data = vec![0; length.next_multiple_of(4)];
        self.stream.read_exact(&mut data)?;
        data.truncate(length);
        self.status = u32::from_be_bytes([header[24], header[25], header[26], header[27]]).wrapping_add(1);
        Ok((header, data))
    }

    /// One exchange of the login: from stage `now` to stage `next`.
    fn login_step(&mut self, now: u8, next: u8, keys: &[(&str, &str)]) -> Result<(u8, Vec<(String, String)>), Failed> {
        let mut header = [0; 48];
        (header[0], header[1]) = (0x43, 0x80 | now << 2 | next);
        header[8] = 0x80;
        header[13] = self.isid;
        header[19] = 1;
        header[24..28].copy_from_slice(&self.command.to_be_bytes());
        header[28..32].copy_from_slice(&self.status.to_be_bytes());
        let text: String = keys.iter().map(|(key, value)| format!("{key}={value}\0")).collect();
        self.send(header, text.as_bytes())?;
        let (header, data) = self.receive()?;
        if header[36] != 0 {
            return Err(Failed::Login(header[36], header[37]));
        }
        let text = String::from_utf8_lossy(&data).into_owned();
        let answers = text.split('\0').filter_map(|pair| pair.split_once('='));
        Ok((header[1], answers.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
    }

    /// Says who it is and, if asked, proves it; the session is not made yet.
    pub fn begin(
        port: u16,
        target: &str,
        name: &str,
        chap: Option<(&str, &str)>,
        alias: &str,
        isid: u8,
    ) -> Result<Pending, Failed> {
        let mut this = Initiator::connect(port, isid)?;
        let method = if chap.is_some() { "CHAP,None" } else { "None" };
        let who = [
            ("InitiatorName", name),
            ("InitiatorAlias", alias),
            ("TargetName", target),
            ("SessionType", "Normal"),
            ("AuthMethod", method),
        ];
        let (flags, answer) = this.login_step(0, 1, &who)?;
        let demanded = answer.iter().any(|(key, value)| key == "AuthMethod" && value == "CHAP");
        if let (true, Some((user, secret))) = (demanded, chap) {
            let (_, challenge) = this.login_step(0, 1, &[("CHAP_A", "5")])?;
            let value = |wanted: &str| challenge.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
            let (id, text) = (value("CHAP_I").ok_or(Failed::Gone)?, value("CHAP_C").ok_or(Failed::Gone)?);
            let mut message = vec![id.parse::<u8>().map_err(|_| Failed::Gone)?];
            message.extend_from_slice(secret.as_bytes());
            let digits = text.trim_start_matches("0x");
            message.extend((0..digits.len() / 2).filter_map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok()));
            let digest: String = md5(&message).iter().map(|b| format!("{b:02x}")).collect();
            this.login_step(0, 1, &[("CHAP_N", user), ("CHAP_R", &format!("0x{digest}"))])?;
        } else if flags & 0x80 == 0 {
            return Err(Failed::Gone);
        }
        Ok(Pending(this))
    }

    /// Logs in as placement `n` does.
    pub fn login(port: u16, target: &str, n: u32, isid: u8) -> Result<Initiator, Failed> {
        let (name, user, secret) = (super::initiator_name(n).0, format!("web1.e{n}"), format!("secret-of-e{n}"));
        Initiator::begin(port, target, &name, Some((&user, &secret)), "none", isid)?.finish()
    }

    /// Writes one block; the first command of a session is answered by a unit attention and sent again.
    pub fn write(&mut self, block: u32, fill: u8) -> Result<(), Failed> {
        match self.write_once(block, fill) {
            Err(Failed::Scsi(2)) => self.write_once(block, fill),
            other => other,
        }
    }

    fn write_once(&mut self, block: u32, fill: u8) -> Result<(), Failed> {
        let mut header = [0; 48];
        (header[0], header[1], header[9]) = (0x01, 0xa1, 1);
        header[16..20].copy_from_slice(&self.command.to_be_bytes());
        header[20..24].copy_from_slice(&(BLOCK as u32).to_be_bytes());
        header[24..28].copy_from_slice(&self.command.to_be_bytes());
        header[28..32].copy_from_slice(&self.status.to_be_bytes());
        header[32] = 0x2a;
        header[34..38].copy_from_slice(&block.to_be_bytes());
        header[40] = 1;
        self.command += 1;
        self.send(header, &[fill; BLOCK])?;
        let (header, _) = self.receive()?;
        if header[0] & 0x3f == 0x21 && header[2] == 0 && header[3] == 0 { Ok(()) } else { Err(Failed::Scsi(header[3])) }
    }
}

impl Pending {
    /// Makes the session.
    pub fn finish(self) -> Result<Initiator, Failed> {
        let Pending(mut this) = self;
        // the kernel's target insists on a word for each of them
        let keys = [
            ("HeaderDigest", "None"),
            ("DataDigest", "None"),
            ("InitialR2T", "No"),
            ("ImmediateData", "Yes"),
            ("MaxConnections", "1"),
            ("MaxBurstLength", "262144"),
            ("FirstBurstLength", "65536"),
            ("DefaultTime2Wait", "2"),
            ("DefaultTime2Retain", "20"),
            ("MaxOutstandingR2T", "1"),
            ("ErrorRecoveryLevel", "0"),
        ];
        let mut step = this.login_step(1, 3, &keys)?;
        for _ in 0..STEPS_MAX {
            if step.0 & 0x80 != 0 {
                return Ok(this);
            }
            step = this.login_step(1, 3, &[])?;
        }
        Err(Failed::Gone)
    }
}
