//! What the three sockets of Open vSwitch answer, under hostile bytes, a decoder a line, with the laws that hold whatever comes. For tests
//! and fuzzers alone. Must never let a port that carries every VLAN be one that does not leak, nor a rule more than the usual one be none.

use super::control::{is_normal, learnt};
use super::database::{Outcome, outcome};
use super::frames::Frames;
use super::rows::{self, Target};
use super::{openflow, watch};
use ::hostile::{Group, decoder};
use serde_json::{Map, Value};

/// See the module.
pub const ANSWERS: Group = Group {
    name: "open_vswitch",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: 16 * 1024,
    memory_max: 2 * 1024 * 1024,
    words: &[
        b"null",
        b"[]",
        b"{}{}",
        b"-1",
        b"4095",
        b"1e999",
        b"[\"set\",[]]",
        b"[\"uuid\",\"p\"]",
        b"\"native-untagged\"",
        b"\"error\":\"timed out\"",
        b"\\u0000",
        b"\\ud800",
        b"[[[[[[[[",
        b"\"\\\"",
        b"priority=0,actions=NORMAL\n",
        b"table_id=254,",
        b"LOCAL",
        b"static",
        b"\xff",
    ],
    decoders: &[
        decoder("messages", |input| !messages(input).is_empty()),
        decoder("transaction", |input| messages(input).into_iter().any(transaction)),
        decoder("note", |input| {
            messages(input).iter().any(|note| note.get("params").is_some_and(|note| watch::changed(note).is_some()))
        }),
        decoder("addresses", |input| {
            std::str::from_utf8(input).is_ok_and(|table| learnt(table).is_ok_and(|all| !all.is_empty()))
        }),
        decoder("rules", |input| std::str::from_utf8(input).is_ok_and(rules)),
        decoder("ports", |input| openflow::features(input).is_some_and(|told| !told.ports.is_empty())),
        decoder("frames in", |input| (0..8).any(|port| openflow::frames_in(input, port).is_some())),
    ],
};

/// The messages in these bytes: the same, however they are cut.
fn messages(input: &[u8]) -> Vec<Map<String, Value>> {
    let read = |pieces: &[&[u8]]| {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        for piece in pieces {
            frames.add(piece);
            while let Ok(Some(message)) = frames.next() {
                all.push(message);
            }
        }
        all
    };
    let whole = read(&[input]);
    let (head, rest) = input.split_at(input.len() / 2);
    // what is broken stays broken, so only whole streams are the same
    if !whole.is_empty() && serde_json::from_slice::<Value>(input).is_ok() {
        assert_eq!(whole, read(&[head, rest]));
    }
    whole
}

/// A port as a transaction's answer tells it, with its interface.
fn transaction(mut message: Map<String, Value>) -> bool {
    let answer = message.remove("result").unwrap_or_default();
    let count = answer.as_array().map_or(0, Vec::len);
    let Ok(Outcome::Done(answers)) = outcome(answer, count) else { return false };
    let target = Target { bridge: "br0".to_owned(), system_id: Some("s1".to_owned()) };
    let Some((of_port, of_interfaces)) = answers.split_at_checked(4) else { return false };
    for rows in of_interfaces {
        assert!(rows::interface(rows).is_ok_and(|interface| interface.number > 0) || rows::interface(rows).is_err());
    }
    let Ok(found) = rows::found(&target, "p1", of_port) else { return false };
    let (setting, leaks) = found.setting();
    assert!(leaks || !found.port.columns.is_everything());
    assert!(leaks || found.port.columns.is_exactly(&setting));
    assert!(setting.native.is_none_or(|native| !setting.tagged.contains(&native)));
    true
}

fn rules(text: &str) -> bool {
    let normal = is_normal(text);
    let more = format!("{text}\nduration=1s, n_packets=0, n_bytes=0, in_port=1,actions=output:2\n");
    assert!(!is_normal(&more));
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn inputs() -> Vec<(&'static str, Vec<u8>)> {
        let none = json!(["set", []]);
        let answer = json!({"id": 1, "error": null, "result": [{}, {"rows": [
                {"next_cfg": 5, "cur_cfg": 4, "external_ids": ["map", [["system-id", "s1"]]]}]},
            {"rows": [{"_uuid": ["uuid", "b"], "datapath_id": "000000000000000a", "ports": ["set", [["uuid", "q"], ["uuid", "p"]]],
                "controller": none, "fail_mode": none, "mirrors": ["uuid", "m"]}]},
            {"rows": [{"_uuid": ["uuid", "m"], "output_port": ["uuid", "q"], "output_vlan": none}]},
            {"rows": [{"_uuid": ["uuid", "p"], "tag": 10, "trunks": ["set", [20, 30]], "vlan_mode": "native-untagged", "cvlans": none,
                "interfaces": ["uuid", "i"]}]},
            {"rows": [{"name": "p1", "ofport": 7, "error": none, "mtu": 1500, "mtu_request": none}]}]});
        let note = json!({"id": null, "method": "update",
            "params": ["watch", {"Port": {"p": {"old": {"tag": 10}, "new": {"name": "p1", "tag": 20}}}}]});
        let addresses =
            " port  VLAN  MAC                Age\n    1    10  02:00:00:00:00:01    3\nLOCAL     0  02:00:00:00:00:02    0\n";
        let rules = "duration=2s, n_packets=0, n_bytes=0, priority=0,actions=NORMAL\n\
                     table_id=254, duration=2s, n_packets=0, n_bytes=0, priority=0,reg0=0x2,actions=drop\n";
        let mut ports = vec![0; 24 + 48];
        ports.splice(24..34, [0, 7, 2, 0, 0, 0, 0, 7, b'p', b'1']);
        let mut frames = vec![0, 4, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0];
        frames.extend(9_u64.to_be_bytes());
        vec![
            ("transaction", answer.to_string().into_bytes()),
            ("note", note.to_string().into_bytes()),
            ("addresses", addresses.into()),
            ("rules", rules.into()),
            ("ports", ports),
            ("frames-in", frames),
        ]
    }

    #[test]
    fn answers_under_hostile_bytes() {
        ::hostile::capture(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/open_vswitch"), &inputs());
        ::hostile::run(&ANSWERS);
    }
}
