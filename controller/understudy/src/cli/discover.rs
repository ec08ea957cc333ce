//! The command line of `machine discover`. It only describes.

use super::{BmcKey, PrivilegeWord};
use bmc::limits::{SEARCH_RATE, SEARCH_RATE_MAX};
use clap::Args;
use std::net::IpAddr;
use std::path::PathBuf;
use vocabulary::network::Cidr;

/// Where Redfish is spoken if nothing else is said.
pub const REDFISH_PORT: u16 = 443;
/// Where IPMI is spoken if nothing else is said.
pub const IPMI_PORT: u16 = 623;

/// `machine discover`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Discover {
    /// Where to search: ranges of addresses, or single ones
    #[arg(required = true, value_name = "CIDR")]
    pub ranges: Vec<Range>,
    /// The account with which hardware is read; without one, only what a BMC tells everybody is found
    #[arg(long, requires = "password")]
    pub user: Option<String>,
    /// File with the account's password: one line, readable by you alone
    #[arg(long, value_name = "FILE", group = "password", requires = "user")]
    pub password_file: Option<String>,
    /// Environment variable with the account's password
    #[arg(long, value_name = "NAME", group = "password", requires = "user")]
    pub password_env: Option<String>,
    /// IPMI: the privilege level to ask for
    #[arg(long, value_enum, default_value_t = PrivilegeWord::User)]
    pub privilege: PrivilegeWord,
    #[command(flatten)]
    pub key: BmcKey,
    /// Addresses asked in a second
    #[arg(long, value_name = "N", default_value_t = SEARCH_RATE, value_parser = clap::value_parser!(u32).range(1..=i64::from(SEARCH_RATE_MAX)))]
    pub rate: u32,
    /// Where Redfish is spoken
    #[arg(long, value_name = "PORT", default_value_t = REDFISH_PORT)]
    pub redfish_port: u16,
    /// Where IPMI is spoken
    #[arg(long, value_name = "PORT", default_value_t = IPMI_PORT)]
    pub ipmi_port: u16,
    /// Folder of an estate's files: its machines are known, and what differs from their documents is told
    #[arg(long, value_name = "DIR")]
    pub estate: Option<PathBuf>,
    /// Folder for the drafts, a file each; machines whose documents stand there are known, and no file is overwritten
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
}

/// A range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range(pub Cidr);

impl std::str::FromStr for Range {
    type Err = String;
    fn from_str(text: &str) -> Result<Range, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Range(Cidr { address, prefix: if address.is_ipv4() { 32 } else { 128 } }));
        }
        text.parse().map(Range).map_err(|_| "write a range such as 10.2.1.0/24, or an address".to_owned())
    }
}
