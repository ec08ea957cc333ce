//! iPXE, as far as boot scripts need it: settings with nested expansion, `&&` and `||`, labels, files by HTTP, and disks by iSCSI. It must
//! never pass over a command, an option or a kind of address that it does not know: such a script fails as a whole, whatever it catches.

use super::Run;
use super::cables::{Login, Mac, Session, Source};
use super::limits::{CHAIN_MAX, COMMANDS_MAX, HTTP_PATIENCE, LOGIN_PATIENCE, SCRIPT_BYTES_MAX};
use super::trace::Event;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const MAGIC: &str = "#!ipxe";

/// One NIC as iPXE and the system after it have set it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    pub mac: Mac,
    pub address: Option<Ipv4Addr>,
    pub mask: Ipv4Addr,
    pub open: bool,
}

impl Interface {
    /// As it is after power-on.
    pub fn closed(mac: Mac) -> Interface {
        Interface { mac, address: None, mask: Ipv4Addr::UNSPECIFIED, open: false }
    }
}

/// The way to an address: over the open NIC in whose network it lies.
pub fn route(interfaces: &[Interface], to: Ipv4Addr) -> Option<Source> {
    let open = interfaces.iter().filter(|one| one.open);
    open.filter_map(|one| Some((one, one.address?)))
        .find(|(one, address)| address.to_bits() & one.mask.to_bits() == to.to_bits() & one.mask.to_bits())
        .map(|(one, address)| Source { nic: one.mac, address })
}

/// Server and path of `http://A.B.C.D[:PORT]/PATH`.
pub fn url(text: &str) -> Option<(SocketAddrV4, &str)> {
    let rest = text.strip_prefix("http://")?;
    let slash = rest.find('/')?;
    let (host, path) = rest.split_at(slash);
    let server = host.parse().or_else(|_| host.parse().map(|address| SocketAddrV4::new(address, 80))).ok()?;
    Some((server, path))
}

/// What firmware leaves in memory for the system that it booted from a disk in the network (iBFT).
#[derive(Clone, Debug)]
pub struct Table {
    pub from: Source,
    pub portal: SocketAddrV4,
    pub login: Login,
}

/// How a script went over to something else.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A kernel runs, with this command line.
    Kernel(String),
    /// The boot loader of a disk runs.
    San(Table),
    /// The machine is reset.
    Reboot,
}

/// Why a script came to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A command failed, and nothing in the script caught it.
    Failed(String),
    /// The script asks for what this iPXE does not have.
    Unknown(String),
}

enum Flow {
    On,
    Goto(String),
    Over(Outcome),
}

type Done = Result<Flow, Fault>;

fn failed(why: impl Into<String>) -> Fault {
    Fault::Failed(why.into())
}

/// Settings and images, which live over chained scripts.
pub struct Shell<'r> {
    run: &'r Run,
    interfaces: Vec<Interface>,
    settings: BTreeMap<String, String>,
    kernel: Option<String>,
    commands: usize,
    scripts: usize,
}

impl<'r> Shell<'r> {
    pub fn new(run: &'r Run, interfaces: Vec<Interface>) -> Shell<'r> {
        Shell { run, interfaces, settings: BTreeMap::new(), kernel: None, commands: 0, scripts: 0 }
    }

    /// Fetches a script and runs it.
    pub fn script<'s>(&'s mut self, address: &'s str) -> Pin<Box<dyn Future<Output = Result<Outcome, Fault>> + Send + 's>> {
        Box::pin(async move {
            self.scripts += 1;
            if self.scripts > CHAIN_MAX {
                return Err(failed("too many scripts"));
            }
            let text = self.fetch(address).await?;
            if text.len() > SCRIPT_BYTES_MAX || !text.starts_with(MAGIC.as_bytes()) {
                return Err(failed(format!("{address} is no script")));
            }
            let text = String::from_utf8(text).map_err(|_| failed("the script is no text"))?;
            self.run.happened(Event::Script);
            self.lines(&text.lines().collect::<Vec<_>>()).await
        })
    }

    async fn lines(&mut self, lines: &[&str]) -> Result<Outcome, Fault> {
        let mut next = 0;
        while let Some(line) = lines.get(next) {
            next += 1;
            match self.line(line).await? {
                Flow::On => {}
                Flow::Over(outcome) => return Ok(outcome),
                Flow::Goto(label) => {
                    let there = lines.iter().position(|line| line.strip_prefix(':') == Some(&label));
                    next = there.ok_or_else(|| failed(format!("no label {label}")))?;
                }
            }
        }
        Err(failed("the script ends"))
    }

    /// One line: commands with `&&` and `||` between them. What is passed over leaves the outcome before it standing; nothing at all, as
    /// after a last `||`, succeeds.
    async fn line(&mut self, line: &str) -> Done {
        if line.starts_with(':') || line.starts_with('#') {
            return Ok(Flow::On);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let (mut outcome, mut runs) = (Ok(Flow::On), true);
        let mut rest = words.as_slice();
        loop {
            let end = rest.iter().position(|word| matches!(*word, "&&" | "||")).unwrap_or(rest.len());
            let (command, after) = rest.split_at(end);
            if runs {
                outcome = self.command(command).await;
                if matches!(outcome, Ok(Flow::Goto(_) | Flow::Over(_)) | Err(Fault::Unknown(_))) {
                    return outcome;
                }
            }
            let Some((terminator, tail)) = after.split_first() else { return outcome };
            runs = outcome.is_ok() == (*terminator == "&&");
            rest = tail;
        }
    }

    async fn command(&mut self, words: &[&str]) -> Done {
        self.commands += 1;
        if self.commands > COMMANDS_MAX {
            return Err(Fault::Unknown("a script without end".to_owned()));
        }
        let words: Vec<String> = words.iter().map(|word| self.expanded(word)).collect::<Result<_, _>>()?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let unknown = || Fault::Unknown(words.join(" "));
        match words.as_slice() {
            [] | ["echo", ..] => Ok(Flow::On),
            ["set", name, value @ ..] if !value.is_empty() => self.set(name, &value.join(" ")),
            ["inc", name] => {
                let number: i64 = self.settings.get(*name).map_or(Ok(0), |text| text.parse()).map_err(|_| failed("no number"))?;
                self.set(name, &(number + 1).to_string())
            }
            ["isset", ""] => Err(failed("not set")),
            ["isset", _] => Ok(Flow::On),
            ["iseq", one, other] if one == other => Ok(Flow::On),
            ["iseq", ..] => Err(failed("not equal")),
            ["goto", label] => Ok(Flow::Goto((*label).to_owned())),
            ["ifopen", name] => {
                self.interface(name).ok_or_else(|| failed("no such interface"))?.open = true;
                Ok(Flow::On)
            }
            ["iflinkwait", "--timeout", most, name] => {
                most.parse::<u64>().map_err(|_| unknown())?;
                // links are up as soon as there is power
                self.interface(name).map(|_| Flow::On).ok_or_else(|| failed("no such interface"))
            }
            ["kernel", address, arguments @ ..] => {
                self.image(address).await?;
                self.kernel = Some(arguments.join(" "));
                Ok(Flow::On)
            }
            ["initrd", address] => self.image(address).await.map(|()| Flow::On),
            ["boot"] => match self.kernel.take() {
                Some(line) => Ok(Flow::Over(Outcome::Kernel(line))),
                None => Err(failed("nothing to boot")),
            },
            ["chain", "--autofree", address] | ["chain", address] if !address.starts_with("--") => {
                self.script(address).await.map(Flow::Over)
            }
            ["sanboot", address] if !address.starts_with("--") => self.sanboot(address).await.map(Flow::Over),
            ["sleep", seconds] => {
                sleep(Duration::from_secs(seconds.parse().map_err(|_| unknown())?)).await;
                Ok(Flow::On)
            }
            ["reboot"] => Ok(Flow::Over(Outcome::Reboot)),
            _ => Err(unknown()),
        }
    }

    /// `${name}` from within: of `${net${idx}/mac}` first the number. What is not set is nothing.
    fn expanded(&self, word: &str) -> Result<String, Fault> {
        let mut text = word.to_owned();
        for _ in 0..COMMANDS_MAX {
            let Some(end) = text.find('}') else { break };
            let Some(start) = text.get(..end).and_then(|before| before.rfind("${")) else { break };
            let value = self.setting(text.get(start + 2..end).unwrap_or_default())?;
            text.replace_range(start..=end, &value);
        }
        Ok(text)
    }

    fn setting(&self, name: &str) -> Result<String, Fault> {
        let Some((nic, what)) = name.split_once('/') else {
            return Ok(self.settings.get(name).cloned().unwrap_or_default());
        };
        let number = nic.strip_prefix("net").and_then(|number| number.parse::<usize>().ok());
        let Some(one) = number.and_then(|number| self.interfaces.get(number)) else { return Ok(String::new()) };
        match what {
            "mac" => Ok(one.mac.map(|byte| format!("{byte:02x}")).join(":")),
            "ip" => Ok(one.address.map(|address| address.to_string()).unwrap_or_default()),
            _ => Err(Fault::Unknown(name.to_owned())),
        }
    }

    fn interface(&mut self, name: &str) -> Option<&mut Interface> {
        self.interfaces.get_mut(name.strip_prefix("net")?.parse::<usize>().ok()?)
    }

    fn set(&mut self, name: &str, value: &str) -> Done {
        let unknown = || Fault::Unknown(format!("set {name} {value}"));
        let Some((nic, what)) = name.split_once('/') else {
            let (name, kind) = name.split_once(':').unwrap_or((name, "string"));
            if !matches!(kind, "string" | "int32") {
                return Err(unknown());
            }
            self.settings.insert(name.to_owned(), value.to_owned());
            return Ok(Flow::On);
        };
        let one = self.interface(nic).ok_or_else(|| failed("no such interface"))?;
        match what {
            "ip" => one.address = Some(value.parse().map_err(|_| failed("no address"))?),
            "netmask" => one.mask = value.parse().map_err(|_| failed("no mask"))?,
            // what is sent here fits any
            "mtu" => drop(value.parse::<u16>().map_err(|_| failed("no MTU"))?),
            _ => return Err(unknown()),
        }
        Ok(Flow::On)
    }

    async fn fetch(&self, address: &str) -> Result<Vec<u8>, Fault> {
        let (server, path) = url(address).ok_or_else(|| Fault::Unknown(address.to_owned()))?;
        let from = route(&self.interfaces, *server.ip()).ok_or_else(|| failed("network unreachable"))?;
        match timeout(HTTP_PATIENCE, self.run.cables().get(from, server, path)).await {
            Ok(Ok(page)) if page.status == 200 => Ok(page.body),
            Ok(Ok(page)) => Err(failed(format!("status {}", page.status))),
            Ok(Err(_)) => Err(failed("connection lost")),
            Err(_) => Err(failed("no answer")),
        }
    }

    async fn image(&self, address: &str) -> Result<(), Fault> {
        let bytes = self.fetch(address).await?.len();
        if bytes == 0 {
            return Err(failed("an empty image"));
        }
        self.run.happened(Event::Image { bytes });
        Ok(())
    }

    /// `iscsi:<server>:<protocol>:<port>:<LUN, hexadecimal>:<target>`.
    async fn sanboot(&self, address: &str) -> Result<Outcome, Fault> {
        let unknown = || Fault::Unknown(address.to_owned());
        let parts: Vec<&str> = address.splitn(6, ':').collect();
        let ["iscsi", server, "", port, lun, target] = parts.as_slice() else { return Err(unknown()) };
        let portal = SocketAddrV4::new(server.parse().map_err(|_| unknown())?, port.parse().map_err(|_| unknown())?);
        let lun = u64::from_str_radix(lun, 16).map_err(|_| unknown())?;
        let initiator = self.settings.get("initiator-iqn").cloned().ok_or_else(unknown)?;
        let account = self.settings.get("username").cloned().zip(self.settings.get("password").cloned());
        let login = Login { initiator, target: (*target).to_owned(), lun, account };
        let from = route(&self.interfaces, *portal.ip()).ok_or_else(|| failed("network unreachable"))?;
        let session = self.log_in(from, portal, &login).await?;
        // the boot loader reads its kernel through the firmware; then the system drives the NIC, and the firmware's session ends
        let there = timeout(LOGIN_PATIENCE, self.run.cables().root(session)).await;
        self.run.cables().log_out(session).await;
        match there {
            Ok(Ok(Some(_))) => Ok(Outcome::San(Table { from, portal, login })),
            Ok(Ok(None)) => Err(failed("not a bootable disk")),
            Ok(Err(_)) | Err(_) => Err(failed("the disk is gone")),
        }
    }

    async fn log_in(&self, from: Source, portal: SocketAddrV4, login: &Login) -> Result<Session, Fault> {
        match timeout(LOGIN_PATIENCE, self.run.cables().log_in(from, portal, login)).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(why)) => Err(failed(format!("login: {why:?}"))),
            Err(_) => Err(failed("login: no answer")),
        }
    }
}

#[cfg(test)]
#[path = "ipxe_tests.rs"]
mod tests;
