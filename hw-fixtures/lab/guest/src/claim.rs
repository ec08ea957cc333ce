//! How a server's initrd learns who it is: the kernel command line, and the one-time claim fetched from the boot service.
//!
//! Secrets of a claim stay in memory of the initrd; nothing here writes them down or prints them. All reading is total.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use crate::limits::{CLAIM_BYTES_MAX, CLAIM_TIMEOUT};

/// The prefix length taken where a claim names an address without one.
pub const DEFAULT_PREFIX: u8 = 24;

/// Why a claim could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The address is not `http://A.B.C.D[:PORT]/PATH`.
    #[error("{0:?} is no address of a claim (http://ADDRESS[:PORT]/PATH)")]
    Address(String),
    /// The boot service did not answer in order.
    #[error("the boot service at {0}: {1}")]
    Transport(SocketAddr, std::io::Error),
    /// The boot service said no.
    #[error("the boot service at {0} answered: {1}")]
    Refused(SocketAddr, String),
    /// The answer lacks something.
    #[error("the claim has no usable {0}")]
    Missing(String),
}

/// What the kernel command line tells a server's initrd.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Where the claim is.
    pub claim: Option<String>,
    /// The MAC address of the NIC that the machine booted from.
    pub mac: Option<String>,
    /// The address of that NIC; None: ask DHCP.
    pub address: Option<(Ipv4Addr, u8)>,
}

impl CommandLine {
    /// Reads `understudy.claim=`, `understudy.mac=` or `BOOTIF=01-..`, and `ip=` in the kernel's own form.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut line = Self::default();
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(("understudy.claim", url)) => line.claim = Some(url.to_owned()),
                Some(("understudy.mac", mac)) => line.mac = Some(plain_mac(mac)),
                Some(("BOOTIF", mac)) if line.mac.is_none() => line.mac = Some(plain_mac(mac.strip_prefix("01-").unwrap_or(mac))),
                Some(("ip" | "understudy.ip", form)) => line.address = kernel_address(form),
                _ => {}
            }
        }
        line
    }
}

fn plain_mac(mac: &str) -> String {
    mac.to_ascii_lowercase().replace('-', ":")
}

/// `CLIENT:SERVER:GATEWAY:NETMASK:...` or `ADDRESS/PREFIX`; None for `dhcp` and its kin.
fn kernel_address(form: &str) -> Option<(Ipv4Addr, u8)> {
    let mut parts = form.split(':');
    let (address, prefix) = address_and_prefix(parts.next()?)?;
    let mask = parts.nth(2).and_then(|mask| mask.parse::<Ipv4Addr>().ok()).map(|mask| mask.to_bits().leading_ones());
    Some((address, mask.and_then(|ones| u8::try_from(ones).ok()).unwrap_or(prefix)))
}

/// `10.20.0.11/24`, or without the prefix.
#[must_use]
pub fn address_and_prefix(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, prefix.parse().ok().filter(|prefix| *prefix <= 32)?),
        None => (text, DEFAULT_PREFIX),
    };
    Some((address.parse().ok()?, prefix))
}

/// The `KEY=value` lines of a claim (or of a file of network facts). Keys are kept in upper case.
#[derive(Clone, Default)]
pub struct Facts(BTreeMap<String, String>);

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One NIC as a claim describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its MAC address.
    pub mac: String,
    /// Its address.
    pub address: (Ipv4Addr, u8),
    /// Its MTU, where one is named.
    pub mtu: Option<u32>,
}

impl Facts {
    /// Reads the lines; empty ones, comments and lines without `=` are passed over, quotes around a value are taken off.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
        Self(
            pairs
                .filter(|(key, _)| !key.starts_with('#'))
                .map(|(key, value)| {
                    (key.trim().to_ascii_uppercase().replace('-', "_"), value.trim().trim_matches(['\'', '"']).to_owned())
                })
                .collect(),
        )
    }

    /// A value, if it is there and not empty.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A value that must be there.
    pub fn need(&self, key: &str) -> Result<&str, ClaimError> {
        self.get(key).ok_or_else(|| ClaimError::Missing(key.to_owned()))
    }

    /// The NIC of a role.
    pub fn nic(&self, role: &str) -> Result<Nic, ClaimError> {
        let key = |what: &str| format!("NIC_{}_{what}", role.to_ascii_uppercase());
        let address = self.need(&key("ADDRESS"))?;
        Ok(Nic {
            mac: plain_mac(self.need(&key("MAC"))?),
            address: address_and_prefix(address).ok_or_else(|| ClaimError::Missing(key("ADDRESS")))?,
            mtu: self.get(&key("MTU")).and_then(|mtu| mtu.parse().ok()),
        })
    }

    /// What the running system may know: who it is and its network, and no secret.
    #[must_use]
    pub fn without_secrets(&self) -> String {
        let known = |key: &str| key == "SERVER" || key == "EPOCH" || key.starts_with("NIC_");
        self.0.iter().filter(|(key, _)| known(key)).map(|(key, value)| format!("{key}={value}\n")).collect()
    }
}

fn split_url(url: &str) -> Option<(SocketAddr, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/')?;
    let address = if host.contains(':') { host.parse().ok()? } else { SocketAddr::new(host.parse().ok()?, 80) };
    Some((address, path))
}

/// Fetches a claim once.
pub fn fetch(url: &str) -> Result<Facts, ClaimError> {
    let (address, path) = split_url(url).ok_or_else(|| ClaimError::Address(url.to_owned()))?;
    let transport = |error| ClaimError::Transport(address, error);
    let mut stream = TcpStream::connect_timeout(&address, CLAIM_TIMEOUT).map_err(transport)?;
    stream.set_read_timeout(Some(CLAIM_TIMEOUT)).map_err(transport)?;
    let request = format!("GET /{path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(transport)?;
    let mut answer = Vec::new();
    stream.take(CLAIM_BYTES_MAX).read_to_end(&mut answer).map_err(transport)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        return Err(ClaimError::Refused(address, status.to_owned()));
    }
    Ok(Facts::parse(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read_in_all_its_forms() {
        let line = CommandLine::parse(
            "console=ttyS0 understudy.claim=http://10.10.0.1/tok/claim BOOTIF=01-52-54-00-0C-01-01 ip=10.10.0.11::10.10.0.1:255.255.255.128:h:eth0:off quiet",
        );
        assert_eq!(line.claim.as_deref(), Some("http://10.10.0.1/tok/claim"));
        assert_eq!(line.mac.as_deref(), Some("52:54:00:0c:01:01"));
        assert_eq!(line.address, Some((Ipv4Addr::new(10, 10, 0, 11), 25)));
        assert_eq!(CommandLine::parse("ip=10.10.0.11/16").address, Some((Ipv4Addr::new(10, 10, 0, 11), 16)));
        assert_eq!(CommandLine::parse("ip=dhcp").address, None);
        assert_eq!(
            CommandLine::parse("understudy.mac=AA:BB:CC:DD:EE:FF BOOTIF=01-00-00-00-00-00-00").mac.as_deref(),
            Some("aa:bb:cc:dd:ee:ff")
        );
    }

    #[test]
    fn a_claim_is_read_and_its_secrets_do_not_go_on() {
        let facts = Facts::parse(
            "SERVER=web1\nCHAP_PASSWORD='s=cret'\n# no\nNIC_storage_MAC=52:54:00:0C:01:02\nNIC_STORAGE_ADDRESS=10.30.0.11/24\nNIC_STORAGE_MTU=1500\nEPOCH=7\n",
        );
        assert_eq!(facts.get("CHAP_PASSWORD"), Some("s=cret"));
        let nic = facts.nic("storage").unwrap();
        assert_eq!(nic, Nic { mac: "52:54:00:0c:01:02".into(), address: (Ipv4Addr::new(10, 30, 0, 11), 24), mtu: Some(1500) });
        assert!(facts.nic("production").is_err());
        let kept = facts.without_secrets();
        assert!(kept.contains("SERVER=web1\n") && kept.contains("NIC_STORAGE_MAC=") && !kept.contains("cret"));
        assert!(!format!("{facts:?}").contains("cret"), "a debug print shows keys only");
    }

    #[test]
    fn only_plain_addresses_are_fetched() {
        assert_eq!(split_url("http://10.10.0.1/a/b"), Some(("10.10.0.1:80".parse().unwrap(), "a/b")));
        assert_eq!(split_url("http://10.10.0.1:8080/x").unwrap().0.port(), 8080);
        assert!(split_url("https://10.10.0.1/x").is_none());
        assert!(split_url("http://name/x").is_none());
    }

    #[test]
    fn a_claim_is_fetched_over_the_wire_and_a_refusal_is_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nSERVER=web1\n", "HTTP/1.1 410 Gone\r\n\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 512];
                let got = stream.read(&mut buffer).unwrap();
                assert!(String::from_utf8_lossy(&buffer[..got]).starts_with("GET /t/claim HTTP/1.0\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let url = format!("http://{address}/t/claim");
        assert_eq!(fetch(&url).unwrap().get("SERVER"), Some("web1"));
        assert!(matches!(fetch(&url), Err(ClaimError::Refused(_, status)) if status.contains("410")));
        server.join().unwrap();
    }
}
