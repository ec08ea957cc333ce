//! What this program needs to know, from one file, and whether it fits the fence agent. A secret stands in a file of its own, and is given to
//! the fence agent by its standard input alone. Must never repeat a secret, nor let an option through that would write one into a log.

use crate::limits::{CONFIG_BYTES_MAX, ENTRIES_MAX, POWER_TIMEOUT_S, WORD_BYTES_MAX};
use crate::metadata::Abilities;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use vocabulary::Secret;
use vocabulary::estate::SecretReference;

/// Options that this program gives itself, and options that say more in a log than is good or do more than is asked.
const OWN: [&str; 13] = [
    "action",
    "option",
    "ip",
    "ipaddr",
    "plug",
    "port",
    "nodename",
    "method",
    "delay",
    "verbose",
    "verbose_level",
    "debug",
    "debug_file",
];
/// An option with one of these in its name is a secret.
const SECRET: [&str; 5] = ["passw", "community", "secret", "token", "identity_key"];

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The fence agent, an absolute path.
    pub agent: PathBuf,
    /// The unit's address. The reader finds the same one as `UNIT_ADDRESS`: what one reads, the other switches.
    pub address: String,
    /// Options of the fence agent.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Those that are secrets.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretReference>,
    /// Outlets, each with what the fence agent calls it.
    pub outlets: BTreeMap<u16, String>,
    /// The program that reads what fence agents cannot tell.
    pub reader: program::Config,
}

/// Reads and checks the file.
pub fn load(path: &Path) -> Result<Config, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(format!("{} is longer than {CONFIG_BYTES_MAX} bytes", path.display()));
    }
    let config: Config = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    match config.contradiction() {
        Some(reason) => Err(format!("{}: {reason}", path.display())),
        None => Ok(config),
    }
}

/// One line of a fence agent's input holds a name and a value.
fn odd(word: &str) -> bool {
    word.is_empty() || word.len() > WORD_BYTES_MAX || word.trim() != word || word.contains(char::is_control)
}

fn odd_name(name: &str) -> bool {
    odd(name) || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

impl Config {
    fn contradiction(&self) -> Option<String> {
        let Config { agent, address, options, secrets, outlets, reader: _ } = self;
        if !agent.is_absolute() || !agent.is_file() {
            return Some(format!("`agent`: {} is no absolute path of a file", agent.display()));
        }
        if outlets.is_empty() || options.len().max(secrets.len()).max(outlets.len()) > ENTRIES_MAX {
            return Some(format!("it needs 1 to {ENTRIES_MAX} outlets, and no more options"));
        }
        let names: BTreeSet<&String> = outlets.values().collect();
        if names.len() < outlets.len() || outlets.contains_key(&0) {
            return Some("`outlets`: two have one name, or one has the number 0".to_owned());
        }
        // several in one word are several outlets
        if let Some(name) = outlets.values().find(|name| odd(name) || name.contains([',', ' '])) {
            return Some(format!("`outlets`: `{}` is no name of one", name.escape_debug()));
        }
        if odd(address) {
            return Some("`address` is no address".to_owned());
        }
        if let Some(name) = options.keys().chain(secrets.keys()).find(|name| odd_name(name) || OWN.contains(&name.as_str())) {
            return Some(format!("the option `{}` is not for a configuration", name.escape_debug()));
        }
        let secret = |name: &str| SECRET.iter().any(|part| name.contains(part)) && !name.ends_with("_script");
        if let Some(name) = options.keys().find(|name| secret(name) || secrets.contains_key(*name)) {
            return Some(format!("`{name}` belongs under `secrets`, as file:/PATH, and there only"));
        }
        let value = options.iter().find(|(_, value)| odd(value));
        value.map(|(name, _)| format!("the value of `{name}` is empty, too long, or no single line"))
    }

    /// What stands against it, now that the fence agent has described itself.
    pub fn unfit(&self, abilities: &Abilities) -> Option<String> {
        let agent = self.agent.display();
        for action in ["on", "off", "status"] {
            if !abilities.actions.contains(action) {
                return Some(format!("{agent} cannot do `{action}`"));
            }
        }
        if abilities.first(&["plug", "port"]).is_none() || abilities.first(&["ip", "ipaddr"]).is_none() {
            return Some(format!("{agent} knows no `plug` or no `ip`: it does not switch outlets of units"));
        }
        let unknown = self.options.keys().chain(self.secrets.keys()).find(|name| !abilities.options.contains(*name));
        unknown.map(|name| format!("{agent} does not know the option `{name}`"))
    }

    /// The secrets, by their options.
    pub fn secrets(&self) -> Result<BTreeMap<&str, Secret>, String> {
        let mut secrets = BTreeMap::new();
        for (name, reference) in &self.secrets {
            let secret = outlet::secrets::resolve(reference)?;
            if odd(secret.expose()) {
                return Err(format!("the secret for `{name}` is no single line"));
            }
            secrets.insert(name.as_str(), secret);
        }
        Ok(secrets)
    }

    /// The lines of a fence agent's input, but for the secrets.
    pub fn lines(&self, abilities: &Abilities, action: &str, plug: &str) -> String {
        let mut lines = format!("action={action}\n");
        let mut tell = |name: &str, value: &str| lines.extend([name, "=", value, "\n"]);
        let own = [(abilities.first(&["ip", "ipaddr"]), self.address.as_str()), (abilities.first(&["plug", "port"]), plug)];
        for (name, value) in own {
            tell(name.unwrap_or_default(), value);
        }
        // some wait before they do anything, unless they are told not to
        if abilities.options.contains("delay") {
            tell("delay", "0");
        }
        if abilities.options.contains("power_timeout") && !self.options.contains_key("power_timeout") {
            tell("power_timeout", &POWER_TIMEOUT_S.to_string());
        }
        for (name, value) in &self.options {
            tell(name, value);
        }
        lines
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn loaded(change: impl FnOnce(&mut Value)) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = json!({
            "agent": "/bin/sh", "address": "192.0.2.7", "options": {"ipport": "23"}, "secrets": {"password": "file:/nowhere"},
            "outlets": {"1": "1", "2": "2"}, "reader": {"command": ["/bin/sh"]},
        });
        change(&mut whole);
        std::fs::write(folder.path().join("c"), whole.to_string()).unwrap();
        load(&folder.path().join("c"))
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(loaded(|_| {}).is_ok());
        type Change = fn(&mut Value);
        let changes: [(&str, Change); 12] = [
            ("absolute", |all| all["agent"] = json!("fence_apc")),
            ("1 to", |all| all["outlets"] = json!({})),
            ("one name", |all| all["outlets"]["2"] = json!("1")),
            ("no name of one", |all| all["outlets"]["2"] = json!("2,3")),
            ("no name of one", |all| all["outlets"]["2"] = json!("2\naction=on")),
            ("address", |all| all["address"] = json!("")),
            ("not for a configuration", |all| all["options"]["action"] = json!("reboot")),
            ("not for a configuration", |all| all["options"]["verbose"] = json!("1")),
            ("not for a configuration", |all| all["options"]["ip"] = json!("192.0.2.8")),
            ("under `secrets`", |all| all["options"]["passwd"] = json!("hunter2")),
            ("single line", |all| all["options"]["ipport"] = json!("23\naction=on")),
            ("unknown field", |all| all["more"] = json!(1)),
        ];
        for (word, change) in changes {
            let told = loaded(change).unwrap_err();
            assert!(told.contains(word) && !told.contains("hunter2"), "{word}: {told}");
        }
    }
}
