//! JSON messages out of a stream of bytes: Open vSwitch sends one after the other with nothing between. Pure, bounded and total: what is
//! too long or is no object is an error, after which nothing of the stream is believed.

use crate::limits::OVS_MESSAGE_BYTES_MAX;
use serde_json::{Map, Value};

/// Bytes that have come, and how far they are understood.
#[derive(Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// So many of them are looked at.
    seen: usize,
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Frames {
    /// More bytes have come.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    pub fn next(&mut self) -> Result<Option<Map<String, Value>>, String> {
        while let Some(byte) = self.bytes.get(self.seen).copied() {
            if self.depth == 0 && byte.is_ascii_whitespace() {
                self.bytes.drain(..=self.seen);
                self.seen = 0;
                continue;
            }
            self.seen += 1;
            if self.ends(byte)? {
                return self.whole().map(Some);
            }
        }
        if self.bytes.len() > OVS_MESSAGE_BYTES_MAX { Err(too_long()) } else { Ok(None) }
    }

    /// Takes one byte in; true if a message ends with it.
    fn ends(&mut self, byte: u8) -> Result<bool, String> {
        if self.depth == 0 && byte != b'{' {
            return Err("what came is not JSON-RPC".to_owned());
        }
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return Ok(false);
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        Ok(self.depth == 0)
    }

    fn whole(&mut self) -> Result<Map<String, Value>, String> {
        let message: Vec<u8> = self.bytes.drain(..self.seen).collect();
        self.seen = 0;
        if message.len() > OVS_MESSAGE_BYTES_MAX {
            return Err(too_long());
        }
        serde_json::from_slice(&message).map_err(|error| format!("what came is not JSON-RPC: {error}"))
    }
}

fn too_long() -> String {
    format!("a message has more than {OVS_MESSAGE_BYTES_MAX} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(frames: &mut Frames) -> Result<Vec<Map<String, Value>>, String> {
        let mut messages = Vec::new();
        while let Some(message) = frames.next()? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[test]
    fn messages_come_one_after_the_other_with_nothing_between() {
        let text = br#"{"id":1,"result":["}{\"\\"],"error":null}{"id":2}
          {}"#;
        for cut in 0..text.len() {
            let mut frames = Frames::default();
            frames.add(&text[..cut]);
            let mut messages = all(&mut frames).unwrap();
            frames.add(&text[cut..]);
            messages.extend(all(&mut frames).unwrap());
            assert_eq!(messages.len(), 3, "{cut}");
            assert_eq!(messages[0]["result"][0], "}{\"\\");
        }
    }

    #[test]
    fn what_is_no_message_is_an_error_and_what_has_no_end_as_well() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for bad in ["x", "[]", "}", "1", "{]", "{\"a\":1,}", &deep] {
            let mut frames = Frames::default();
            frames.add(bad.as_bytes());
            assert!(frames.next().is_err(), "{}", &bad[..bad.len().min(20)]);
        }
        let mut frames = Frames::default();
        frames.add(b"{\"a\":\"");
        frames.add(&vec![b'a'; OVS_MESSAGE_BYTES_MAX - 6]);
        assert_eq!(frames.next(), Ok(None));
        frames.add(b"aa");
        assert!(frames.next().is_err());
    }

    proptest! {
        #[test]
        fn total(parts in prop::collection::vec("[{}\\[\\]\",:\\\\a1 ]{0,20}", 0..8)) {
            let mut frames = Frames::default();
            for part in parts {
                frames.add(part.as_bytes());
                if all(&mut frames).is_err() {
                    break;
                }
            }
        }
    }
}
