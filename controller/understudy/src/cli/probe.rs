//! The command line of `machine probe`, and how a BMC is named that is in no estate. It only describes.

use clap::{Args, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use vocabulary::estate::{BmcProtocol, IpmiPrivilege};

/// `machine probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// The BMC's address; the port is the protocol's own if none is named
    #[arg(value_name = "ADDRESS[:PORT]")]
    pub bmc: ProbeAddress,
    /// How to speak to it
    #[arg(long, value_enum)]
    pub protocol: ProtocolWord,
    /// The account
    #[arg(long)]
    pub user: String,
    /// File with the account's password: one line, readable by you alone
    #[arg(long, value_name = "FILE", required_unless_present = "password_env", conflicts_with = "password_env")]
    pub password_file: Option<String>,
    /// Environment variable with the account's password
    #[arg(long, value_name = "NAME")]
    pub password_env: Option<String>,
    /// SHA-256 of the only certificate to speak to, in hex; without it, the one that is shown is printed for comparison
    #[arg(long, value_name = "SHA256")]
    pub certificate: Option<String>,
    /// Also the last 20 entries of its event log
    #[arg(long)]
    pub log: bool,
    /// IPMI: the privilege level to ask for; operator if none is named
    #[arg(long, value_enum)]
    pub privilege: Option<PrivilegeWord>,
    #[command(flatten)]
    pub key: BmcKey,
}

/// Where the BMC key (K_G) is.
#[derive(Debug, Args)]
pub struct BmcKey {
    /// IPMI: file with the BMC key (K_G), for BMCs that have one: text, or `0x` and hexadecimal digits
    #[arg(long, value_name = "FILE", requires = "user", conflicts_with = "key_env")]
    pub key_file: Option<String>,
    /// IPMI: environment variable with the BMC key
    #[arg(long, value_name = "NAME", requires = "user")]
    pub key_env: Option<String>,
}

/// Where a BMC is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeAddress {
    /// Host.
    pub host: IpAddr,
    /// Port, if one was named.
    pub port: Option<u16>,
}

impl std::str::FromStr for ProbeAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<ProbeAddress, String> {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if let Ok(host) = bare.parse() {
            return Ok(ProbeAddress { host, port: None });
        }
        let both: Result<SocketAddr, _> = text.parse();
        let both = both.map_err(|_| "write an address such as 10.0.0.9, 10.0.0.9:443 or [fd00::9]:443".to_owned())?;
        Ok(ProbeAddress { host: both.ip(), port: Some(both.port()) })
    }
}

/// A protocol as a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ProtocolWord {
    /// DMTF Redfish over TLS
    Redfish,
    /// IPMI 2.0 over LAN
    Ipmi,
}

impl From<ProtocolWord> for BmcProtocol {
    fn from(word: ProtocolWord) -> BmcProtocol {
        match word {
            ProtocolWord::Redfish => BmcProtocol::Redfish,
            ProtocolWord::Ipmi => BmcProtocol::Ipmi,
        }
    }
}

/// A privilege level of IPMI as a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum PrivilegeWord {
    /// Only watches
    User,
    /// All that Understudy ever asks of a BMC
    Operator,
    /// Where a BMC gives operators too little
    Administrator,
}

impl From<PrivilegeWord> for IpmiPrivilege {
    fn from(word: PrivilegeWord) -> IpmiPrivilege {
        match word {
            PrivilegeWord::User => IpmiPrivilege::User,
            PrivilegeWord::Operator => IpmiPrivilege::Operator,
            PrivilegeWord::Administrator => IpmiPrivilege::Administrator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bmcs_are_named_with_and_without_a_port() {
        for (text, host, port) in [
            ("10.0.0.9", "10.0.0.9", None),
            ("10.0.0.9:8443", "10.0.0.9", Some(8443)),
            ("fd00::9", "fd00::9", None),
            ("[fd00::9]", "fd00::9", None),
            ("[fd00::9]:623", "fd00::9", Some(623)),
        ] {
            assert_eq!(text.parse(), Ok(ProbeAddress { host: host.parse().unwrap(), port }), "{text}");
        }
        for bad in ["", "bmc1", "10.0.0.9:", "10.0.0.9:70000", "https://10.0.0.9"] {
            assert!(bad.parse::<ProbeAddress>().is_err(), "{bad}");
        }
    }
}
