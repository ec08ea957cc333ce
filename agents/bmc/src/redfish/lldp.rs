//! What LLDP told a BMC of the other end of a cable. Total over any JSON.
//! Must never make a name of what the neighbour did not send: some BMCs fill unsent fields with marks of their own.

use serde_json::Value;

use super::view;
use crate::inventory::Neighbour;

/// Forms of an id that are not readable text: those of a MAC address or a network address.
const BINARY: [&str; 2] = ["MacAddr", "NetworkAddr"];

/// The neighbour in an `LLDPReceive` object; `None` if it tells neither port nor system.
pub fn neighbour(received: &Value) -> Option<Neighbour> {
    let text = |key: &str| view::text(received, key).filter(|text| text != "NotTransmitted").unwrap_or_default();
    let address = ["ManagementAddressIPv4", "ManagementAddressIPv6"].map(text).into_iter().find(|text| !text.is_empty());
    let neighbour = Neighbour {
        system: text("SystemName"),
        chassis: id(received, "ChassisId"),
        port: id(received, "PortId"),
        address: address.unwrap_or_default(),
    };
    (!neighbour.port.is_empty() || !neighbour.system.is_empty()).then_some(neighbour)
}

/// A chassis or port id as its sender meant it: the standard writes octets in hex (`45:74:68:31`), many BMCs the text itself, and BlueField
/// puts the kind before it (`Ifname: swp5`).
fn id(received: &Value, key: &str) -> String {
    let kind = received.get(format!("{key}Subtype")).and_then(Value::as_str).unwrap_or_default();
    let Some(text) = view::text(received, key).filter(|_| kind != "NotTransmitted") else { return String::new() };
    let plain = ["Ifname: ", "MAC: "].iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(&text).to_owned();
    if BINARY.contains(&kind) { plain } else { octets(&plain).unwrap_or(plain) }
}

/// The text behind octets in hex, if all of them are readable. Six octets are an address all the same.
fn octets(text: &str) -> Option<String> {
    /// As many octets has a MAC address, which some BMCs tell without saying that it is one.
    const MAC: usize = 6;
    let parts: Vec<&str> = text.split(':').collect();
    let octet = |part: &&str| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten();
    let bytes: Vec<u8> = parts.iter().map(octet).collect::<Option<_>>()?;
    let readable = bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (bytes.len() > 1 && bytes.len() != MAC && readable).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::any_json;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn ids_read_as_their_sender_meant_them() {
        let port = |value: Value, kind: &str| {
            neighbour(&json!({ "SystemName": "tor1", "PortId": value, "PortIdSubtype": kind })).unwrap().port
        };
        assert_eq!(port(json!("45:74:68:31"), "IfName"), "Eth1");
        assert_eq!(port(json!("Ethernet1/5"), "IfName"), "Ethernet1/5");
        assert_eq!(port(json!("Ifname: swp5"), "IfName"), "swp5");
        assert_eq!(port(json!("41:42:43:44:45:46"), "MacAddr"), "41:42:43:44:45:46");
        assert_eq!(port(json!("41:42:43:44:45:46"), ""), "41:42:43:44:45:46", "six octets are an address");
        assert_eq!(port(json!("41:42:43:44"), "NetworkAddr"), "41:42:43:44");
        assert_eq!(port(json!("x"), "NotTransmitted"), "");
    }

    #[test]
    fn nothing_received_is_nobody() {
        // as iDRAC 9 and iLO 5 tell it
        let unsent = json!({
            "ChassisId": "", "ChassisIdSubtype": "NotTransmitted", "ManagementAddressIPv4": "", "ManagementVlanId": 4095,
            "PortId": "", "PortIdSubtype": "NotTransmitted",
        });
        assert_eq!(neighbour(&json!({})), None);
        assert_eq!(neighbour(&unsent), None);
    }

    proptest! {
        #[test]
        fn reading_is_total(received in any_json(), port in "([0-9a-fA-F]{2}:?){0,9}.{0,3}", kind in "(IfName|MacAddr|NotTransmitted)?") {
            let _ = neighbour(&received);
            let one = neighbour(&json!({ "PortId": port, "PortIdSubtype": kind }));
            prop_assert!(one.is_none_or(|one| !one.port.is_empty()));
        }
    }
}
