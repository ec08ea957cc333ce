//! A machine's document of which parts are missing: written with its gaps marked, so that `estate check` names them, and read from documents
//! that are not whole yet. The one place beside the vocabulary that knows the document's shape.
//! It must never fill a gap in, nor let a text from outside become anything but a value or a comment.

use crate::codes;
use crate::documents::Kind;
use crate::read::read;
use crate::tree::{Node, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use vocabulary::boot::Firmware;
use vocabulary::estate::{Bmc, BmcAccess, BmcProtocol, Hardware, IpmiAccess, Machine, Nic, SecretReference};
use vocabulary::network::Mac;
use vocabulary::quantity::{Bytes, Speed};
use vocabulary::{AgentId, Fault, FeedId, MachineId, OutletId, PortName, RackId, Role, SiteId, SwitchId};

/// A field: its value, or a gap; and a remark for whoever reads the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part<T> {
    /// `None`: a gap.
    pub value: Option<T>,
    /// Stands beside the value, or says what is to be written into the gap. Empty: nothing is said.
    pub remark: String,
}

impl<T> Part<T> {
    /// A value that speaks for itself.
    pub fn of(value: T) -> Part<T> {
        Part { value: Some(value), remark: String::new() }
    }
    /// A gap, and what belongs there.
    pub fn gap(remark: impl Into<String>) -> Part<T> {
        Part { value: None, remark: remark.into() }
    }
    /// A value that is known, or a gap with what belongs there.
    pub fn known(value: Option<T>, remark: impl Into<String>) -> Part<T> {
        match value {
            Some(value) => Part::of(value),
            None => Part::gap(remark),
        }
    }
    /// The same with a remark.
    pub fn remarked(self, remark: impl Into<String>) -> Part<T> {
        Part { remark: remark.into(), ..self }
    }
}

/// A machine's document, whole or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// Its name.
    pub name: MachineId,
    /// Remarks above it, a line each.
    pub remarks: Vec<String>,
    /// See [`Machine::serial`].
    pub serial: Part<String>,
    /// See [`Machine::uuid`].
    pub uuid: Part<String>,
    /// See [`Machine::site`].
    pub site: Part<SiteId>,
    /// See [`Machine::rack`].
    pub rack: Part<RackId>,
    /// See [`Machine::feeds`].
    pub feeds: Part<Vec<FeedId>>,
    /// See [`Machine::bmc`].
    pub bmc: BmcDraft,
    /// See [`Machine::nics`]. An empty list is a gap.
    pub nics: Part<Vec<NicDraft>>,
    /// See [`Machine::outlets`].
    pub outlets: Vec<OutletId>,
    /// See [`Machine::hardware`].
    pub hardware: HardwareDraft,
}

/// See [`Bmc`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BmcDraft {
    /// See [`Bmc::protocol`].
    pub protocol: Part<BmcProtocol>,
    /// See [`Bmc::address`].
    pub address: Part<SocketAddr>,
    /// See [`Bmc::user`].
    pub user: Part<String>,
    /// See [`Bmc::password`].
    pub password: Part<SecretReference>,
    /// See [`Bmc::certificate`]. `None` leaves it out: it is pinned at enrolment.
    pub certificate: Option<Part<String>>,
    /// See [`Bmc::agent`].
    pub agent: Option<AgentId>,
    /// See [`Bmc::ipmi`].
    pub ipmi: Option<IpmiAccess>,
    /// See [`Bmc::access`].
    pub access: BmcAccess,
}

/// See [`Nic`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NicDraft {
    /// What is known of it beyond the document, above the entry.
    pub remark: String,
    /// See [`Nic::role`].
    pub role: Part<Role>,
    /// See [`Nic::mac`].
    pub mac: Part<Mac>,
    /// See [`Nic::switch`].
    pub switch: Part<SwitchId>,
    /// See [`Nic::port`].
    pub port: Part<PortName>,
    /// See [`Nic::speed`].
    pub speed: Option<Speed>,
}

/// See [`Hardware`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HardwareDraft {
    /// See [`Hardware::architecture`].
    pub architecture: Part<String>,
    /// See [`Hardware::level`].
    pub level: Part<u8>,
    /// See [`Hardware::memory`].
    pub memory: Part<Bytes>,
    /// See [`Hardware::threads`].
    pub threads: Part<u32>,
    /// See [`Hardware::firmware`].
    pub firmware: Part<BTreeSet<Firmware>>,
    /// See [`Hardware::unrevocable_storage`].
    pub unrevocable_storage: Part<bool>,
}

/// Takes every document apart by naming every field, so that a field that the vocabulary gains is missed here by the compiler.
impl From<(MachineId, Machine)> for Draft {
    fn from((name, machine): (MachineId, Machine)) -> Draft {
        let Machine { serial, uuid, site, rack, feeds, bmc, nics, outlets, hardware } = machine;
        let Bmc { protocol, address, user, password, agent, certificate, ipmi, access } = bmc;
        let Hardware { architecture, level, memory, threads, firmware, unrevocable_storage } = hardware;
        let nics = nics.into_iter().map(|nic| {
            let Nic { role, mac, switch, port, speed } = nic;
            let (role, mac, switch, port) = (Part::of(role), Part::of(mac), Part::of(switch), Part::of(port));
            NicDraft { remark: String::new(), role, mac, switch, port, speed }
        });
        Draft {
            name,
            remarks: Vec::new(),
            serial: Part::of(serial),
            uuid: Part::of(uuid),
            site: Part::of(site),
            rack: Part::of(rack),
            feeds: Part::of(feeds),
            bmc: BmcDraft {
                protocol: Part::of(protocol),
                address: Part::of(address),
                user: Part::of(user),
                password: Part::of(password),
                certificate: Some(Part::of(certificate)),
                agent,
                ipmi,
                access,
            },
            nics: Part::of(nics.collect()),
            outlets,
            hardware: HardwareDraft {
                architecture: Part::of(architecture),
                level: Part::of(level),
                memory: Part::of(memory),
                threads: Part::of(threads),
                firmware: Part::of(firmware),
                unrevocable_storage: Part::of(unrevocable_storage),
            },
        }
    }
}

impl Draft {
    /// The document, each gap a key without a value: `estate check` names it with its line. Fields and gaps come from one list, so no
    /// gap is left unmarked.
    pub fn to_yaml(&self) -> Result<String, Fault> {
        let mut page = Page::default();
        self.write(&mut page);
        match page.failed {
            Some(error) => {
                let message = format!("{} {} cannot be written as YAML: {error}", Kind::Machine, self.name);
                Err(Fault::new(codes::BAD_VALUE, message, "report this as a bug"))
            }
            None => Ok(page.text),
        }
    }

    /// The gaps, by path: `site`, `nics[0].role`, `hardware.level`.
    pub fn gaps(&self) -> Vec<String> {
        let mut page = Page::default();
        self.write(&mut page);
        page.gaps
    }

    fn write(&self, page: &mut Page) {
        for remark in &self.remarks {
            page.remark("", remark);
        }
        page.line("", Kind::Machine.word(), "", &Part::of(&self.name));
        page.line("", "serial", "serial", &self.serial);
        page.line("", "uuid", "uuid", &self.uuid);
        page.line("", "site", "site", &self.site);
        page.line("", "rack", "rack", &self.rack);
        page.line("", "feeds", "feeds", &self.feeds);
        self.bmc.write(page);
        match self.nics.value.as_deref() {
            Some([]) if self.nics.remark.is_empty() => page.line("", "nics", "nics", &Part::of([0u8; 0])),
            None | Some([]) => page.line("", "nics", "nics", &Part::<bool>::gap(&self.nics.remark)),
            Some(nics) => {
                page.open("nics", &self.nics.remark);
                for (index, nic) in nics.iter().enumerate() {
                    nic.write(index, page);
                }
            }
        }
        if !self.outlets.is_empty() {
            page.line("", "outlets", "outlets", &Part::of(&self.outlets));
        }
        self.hardware.write(page);
    }
}

impl BmcDraft {
    fn write(&self, page: &mut Page) {
        page.open("bmc", "");
        page.line("  ", "protocol", "bmc.protocol", &self.protocol);
        page.line("  ", "address", "bmc.address", &self.address);
        page.line("  ", "user", "bmc.user", &self.user);
        page.line("  ", "password", "bmc.password", &self.password);
        if let Some(certificate) = &self.certificate {
            page.line("  ", "certificate", "bmc.certificate", certificate);
        }
        if let Some(agent) = &self.agent {
            page.line("  ", "agent", "bmc.agent", &Part::of(agent));
        }
        if let Some(ipmi) = &self.ipmi {
            page.line("  ", "ipmi", "bmc.ipmi", &Part::of(ipmi));
        }
        if !self.access.is_command() {
            page.line("  ", "access", "bmc.access", &Part::of(self.access));
        }
    }
}

impl NicDraft {
    fn write(&self, index: usize, page: &mut Page) {
        page.remark("  ", &self.remark);
        let path = |field: &str| format!("nics[{index}].{field}");
        page.line("  - ", "mac", &path("mac"), &self.mac);
        page.line("    ", "role", &path("role"), &self.role);
        page.line("    ", "switch", &path("switch"), &self.switch);
        page.line("    ", "port", &path("port"), &self.port);
        if let Some(speed) = self.speed {
            page.line("    ", "speed", &path("speed"), &Part::of(speed));
        }
    }
}

impl HardwareDraft {
    fn write(&self, page: &mut Page) {
        page.open("hardware", "");
        page.line("  ", "architecture", "hardware.architecture", &self.architecture);
        page.line("  ", "level", "hardware.level", &self.level);
        page.line("  ", "memory", "hardware.memory", &self.memory);
        page.line("  ", "threads", "hardware.threads", &self.threads);
        page.line("  ", "firmware", "hardware.firmware", &self.firmware);
        page.line("  ", "unrevocable_storage", "hardware.unrevocable_storage", &self.unrevocable_storage);
    }
}

/// A document while it is written.
#[derive(Default)]
struct Page {
    text: String,
    gaps: Vec<String>,
    failed: Option<String>,
}

impl Page {
    /// A line of its own.
    fn remark(&mut self, indent: &str, remark: &str) {
        let remark = plain(remark);
        if !remark.is_empty() {
            self.text.push_str(&format!("{indent}# {remark}\n"));
        }
    }

    /// A key under which others follow.
    fn open(&mut self, key: &str, remark: &str) {
        self.text.push_str(&format!("{key}:{}\n", beside("", remark)));
    }

    /// A key with its value, or a gap.
    fn line<T: Serialize>(&mut self, indent: &str, key: &str, path: &str, part: &Part<T>) {
        let line = match part.value.as_ref().map(value) {
            Some(Ok(value)) => format!("{indent}{key}: {value}{}\n", beside("", &part.remark)),
            Some(Err(error)) => {
                self.failed = Some(error);
                return;
            }
            None => {
                self.gaps.push(path.to_owned());
                format!("{indent}{key}:{}\n", beside("GAP: ", &part.remark))
            }
        };
        self.text.push_str(&line);
    }
}

fn beside(mark: &str, remark: &str) -> String {
    let said = format!("{mark}{}", plain(remark));
    if said.is_empty() { said } else { format!(" # {}", said.trim_end_matches([':', ' '])) }
}

/// A text in one line, without what a reader of the file could take for its end, or a terminal for an order.
fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// A value in one line. Numbers, lists and mappings are written as JSON, which is YAML.
fn value<T: Serialize>(value: &T) -> Result<String, String> {
    let json = serde_json::to_value(value).map_err(|error| error.to_string())?;
    match json {
        serde_json::Value::String(text) => {
            let form = serde_saphyr::ser_options! { prefer_block_scalars: false };
            let text = serde_saphyr::to_string_with_options(&text, form).map_err(|error| error.to_string())?;
            let line = text.trim_end();
            if line.contains('\n') { Err("a text of several lines".into()) } else { Ok(line.to_owned()) }
        }
        serde_json::Value::Array(list) => {
            list.iter().map(self::value).collect::<Result<Vec<_>, _>>().map(|list| format!("[{}]", list.join(", ")))
        }
        other => Ok(other.to_string()),
    }
}

/// What a document says of a machine, as far as it can be understood. Only the hardware of a whole document has its defaults filled in:
/// in any other, what is missing may be a gap.
pub(crate) fn reread(name: MachineId, tree: &Node, whole: bool) -> Draft {
    let usual = whole.then(Hardware::default);
    let usual = usual.as_ref();
    let hardware = |key: &str| vec!["hardware".to_owned(), key.to_owned()];
    let bmc = |key: &str| vec!["bmc".to_owned(), key.to_owned()];
    let top = |key: &str| vec![key.to_owned()];
    let nics = at(tree, &top("nics")).map(|node| if let Value::List(items) = &node.value { items.as_slice() } else { &[] });
    let nics = nics.unwrap_or_default().iter().map(|item| NicDraft {
        remark: String::new(),
        role: told(item, &top("role")),
        mac: told(item, &top("mac")),
        switch: told(item, &top("switch")),
        port: told(item, &top("port")),
        speed: told(item, &top("speed")).value,
    });
    Draft {
        name,
        remarks: Vec::new(),
        serial: told(tree, &top("serial")),
        uuid: told(tree, &top("uuid")),
        site: told(tree, &top("site")),
        rack: told(tree, &top("rack")),
        feeds: told(tree, &top("feeds")),
        bmc: BmcDraft {
            protocol: told(tree, &bmc("protocol")),
            address: told(tree, &bmc("address")),
            user: told(tree, &bmc("user")),
            password: told(tree, &bmc("password")),
            certificate: told(tree, &bmc("certificate")).value.map(Part::of),
            agent: told(tree, &bmc("agent")).value,
            ipmi: told(tree, &bmc("ipmi")).value,
            access: told(tree, &bmc("access")).value.unwrap_or_default(),
        },
        nics: Part::of(nics.collect()),
        outlets: told(tree, &top("outlets")).value.unwrap_or_default(),
        hardware: HardwareDraft {
            architecture: told_or(tree, &hardware("architecture"), usual.map(|usual| usual.architecture.clone())),
            level: told_or(tree, &hardware("level"), usual.map(|usual| usual.level)),
            memory: told_or(tree, &hardware("memory"), usual.map(|usual| usual.memory)),
            threads: told_or(tree, &hardware("threads"), usual.map(|usual| usual.threads)),
            firmware: told_or(tree, &hardware("firmware"), usual.map(|usual| usual.firmware.clone())),
            unrevocable_storage: told_or(tree, &hardware("unrevocable_storage"), usual.map(|usual| usual.unrevocable_storage)),
        },
    }
}

fn at<'t>(tree: &'t Node, path: &[String]) -> Option<&'t Node> {
    path.iter().try_fold(tree, |node, key| match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| &entry.key == key).map(|entry| &entry.node),
        _ => None,
    })
}

fn told<T: DeserializeOwned>(tree: &Node, path: &[String]) -> Part<T> {
    told_or(tree, path, None)
}

fn told_or<T: DeserializeOwned>(tree: &Node, path: &[String], usual: Option<T>) -> Part<T> {
    let told = at(tree, path).filter(|node| !node.is_nothing()).and_then(|node| read(node).ok());
    Part::known(told.or(usual), "")
}
