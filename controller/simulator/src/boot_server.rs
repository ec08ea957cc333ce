//! A boot server that somebody sets up by hand, as a few lines of configuration make one: for one machine, with one boot. It must never know
//! what the product's boot service knows.

use boot::dhcp::{self, Question, Reply};
use boot::script;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use vocabulary::Mac;
use vocabulary::boot::Permit;
use world::machine::Page;

/// Where everything lies that the machine fetches.
const FOLDER: &str = "by-hand";
/// What is handed out as kernel and initrd: nothing but their transfer is tried.
const IMAGE: [u8; 4_096] = [0; 4_096];
/// For how long it leases addresses.
const LEASE_SECONDS: u32 = 3_600;

/// See the module.
pub struct BootServer {
    permit: Permit,
    mac: Mac,
    site: dhcp::Site,
    pages: BTreeMap<String, Vec<u8>>,
}

impl BootServer {
    /// For the machine with this NIC, at this address of its own.
    pub fn new(permit: Permit, mac: Mac, address: Ipv4Addr) -> Result<BootServer, String> {
        let url = format!("http://{address}");
        let script = script::first(&permit, &format!("{url}/{FOLDER}"))?;
        let files = [
            ("boot.ipxe", script.into_bytes()),
            ("claim", script::claim(&permit).into_bytes()),
            ("kernel", IMAGE.to_vec()),
            ("initrd", IMAGE.to_vec()),
            ("snponly.efi", IMAGE.to_vec()),
        ];
        let pages = files.into_iter().map(|(name, bytes)| (format!("/{FOLDER}/{name}"), bytes)).collect();
        let site = dhcp::Site {
            address,
            router: None,
            lease_seconds: LEASE_SECONDS,
            base_url: url,
            bios: "undionly.kpxe".into(),
            uefi: "snponly.efi".into(),
            uefi_san: "snponly.efi".into(),
        };
        Ok(BootServer { permit, mac, site, pages })
    }

    /// Its answer to a DHCP packet; `None` is silence.
    pub fn answer(&self, packet: &[u8]) -> Option<Reply> {
        let question = Question::parse(packet).filter(|question| question.mac == self.mac)?;
        dhcp::answer(&question, &self.permit, &self.site, Some(FOLDER))
    }

    /// A file of it.
    pub fn page(&self, path: &str) -> Page {
        match self.pages.get(path) {
            Some(body) => Page { status: 200, body: body.clone() },
            None => Page { status: 404, body: Vec::new() },
        }
    }
}
