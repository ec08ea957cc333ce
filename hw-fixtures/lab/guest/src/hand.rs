//! The foreign hand on the switch: what a careless engineer could type at its console, for tests of drift and for the oracle's negative control.
//!
//! It goes past every gate on purpose. The product never speaks to it.

use std::collections::BTreeMap;

use crate::facts::{Port, collect};
use crate::links::{LinkError, add_access_vlan, remove_vlan, set_up};
use crate::netlink::Netlink;

/// One order of the hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Make a port an access port of one VLAN (and of no other) and set it up.
    Access {
        /// The port.
        port: String,
        /// The VLAN.
        vid: u16,
    },
    /// Take a port out of all VLANs and set it down.
    Down {
        /// The port.
        port: String,
    },
    /// Lay a file onto the switch's small disk, as an engineer does who enrols its agent.
    Put {
        /// Its name there.
        name: String,
        /// Its content.
        content: Vec<u8>,
    },
    /// Kill the switch's agent (its init starts it again).
    KillAgent,
    /// Start the switch's machine again.
    Reboot,
}

/// The line that lays a file onto the switch's disk.
#[must_use]
pub fn put_line(name: &str, content: &[u8]) -> String {
    let hex: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("put {name} {hex}")
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// A name that stays in its folder.
fn plain_name(name: &str) -> Option<String> {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-');
    (plain && !name.starts_with('.') && !name.is_empty()).then(|| name.to_owned())
}

/// Reads an order: `access PORT VID`, `down PORT`, `put NAME HEX`, `kill-agent`, `reboot`.
#[must_use]
pub fn parse(line: &str) -> Option<Order> {
    let mut words = line.split_whitespace();
    let order = match words.next()? {
        "access" => Order::Access {
            port: words.next()?.to_owned(),
            vid: words.next()?.parse().ok().filter(|vid| (1..4095).contains(vid))?,
        },
        "down" => Order::Down { port: words.next()?.to_owned() },
        "put" => Order::Put { name: plain_name(words.next()?)?, content: from_hex(words.next()?)? },
        "kill-agent" => Order::KillAgent,
        "reboot" => Order::Reboot,
        _ => return None,
    };
    words.next().is_none().then_some(order)
}

/// Makes a port an access port of one VLAN, or of none.
pub fn set_port(port: &str, vid: Option<u16>) -> Result<(), LinkError> {
    let mut netlink = Netlink::open(0)?;
    let ports: BTreeMap<String, Port> = collect(&mut netlink)?;
    let state = ports.get(port).cloned().ok_or_else(|| LinkError::NoSuchName(port.to_owned()))?;
    if let Some(vid) = vid {
        add_access_vlan(&mut netlink, port, vid)?;
    }
    for old in state.untagged.iter().chain(&state.tagged).filter(|old| Some(**old) != vid) {
        remove_vlan(&mut netlink, port, *old)?;
    }
    set_up(&mut netlink, port, vid.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_whole_or_not_at_all() {
        assert_eq!(parse("access p3 20"), Some(Order::Access { port: "p3".into(), vid: 20 }));
        assert_eq!(parse(" down p1 "), Some(Order::Down { port: "p1".into() }));
        assert_eq!(parse("kill-agent"), Some(Order::KillAgent));
        assert_eq!(
            parse(&put_line("bundle.json", b"{\n}")),
            Some(Order::Put { name: "bundle.json".into(), content: b"{\n}".to_vec() })
        );
        for bad in ["put ../x 00", "put .x 00", "put a/b 00", "put x 0", "put x zz", "put x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for bad in
            ["", "access p3", "access p3 0", "access p3 4095", "access p3 x", "access p3 20 30", "down", "up p1", "reboot now"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
