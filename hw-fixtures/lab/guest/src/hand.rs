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
    /// Kill the switch's agent (its init starts it again).
    KillAgent,
    /// Start the switch's machine again.
    Reboot,
}

/// Reads an order: `access PORT VID`, `down PORT`, `kill-agent`, `reboot`.
#[must_use]
pub fn parse(line: &str) -> Option<Order> {
    let mut words = line.split_whitespace();
    let order = match words.next()? {
        "access" => Order::Access {
            port: words.next()?.to_owned(),
            vid: words.next()?.parse().ok().filter(|vid| (1..4095).contains(vid))?,
        },
        "down" => Order::Down { port: words.next()?.to_owned() },
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
        for bad in
            ["", "access p3", "access p3 0", "access p3 4095", "access p3 x", "access p3 20 30", "down", "up p1", "reboot now"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
