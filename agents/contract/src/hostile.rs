//! What comes over the agents' wire and what lies in a gate's file, under hostile bytes, a decoder a line, with the laws that hold whatever
//! comes. For tests and fuzzers alone. Must never call anything understood that reads otherwise when it is written again.

use std::fmt::Debug;

use ::hostile::{Group, decoder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vocabulary::request::{AgentError, Request};

use crate::agent::Readopt;
use crate::gate::memory::{Memory, framed};
use crate::wire::{AnswerReply, ReadoptReply};

/// See the module.
pub const WIRE: Group = Group {
    name: "agents_wire",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: 16 * 1024,
    memory_max: 1024 * 1024,
    words: &[
        b"null",
        b"{}",
        b"[]",
        b"\"\"",
        b"-1",
        b"18446744073709551615",
        b"1e999",
        b"\"ok\":",
        b"\"error\":",
        b"\"epoch\":",
        b"\\u0000",
        b"\\ud800",
        b"[[[[[[[[",
        b"{\"\":{\"\":",
        b"\xff",
    ],
    decoders: &[
        decoder("request", whole::<Request>),
        decoder("ledger", whole::<Readopt>),
        decoder("answer", |input| reply(serde_json::from_slice::<AnswerReply>(input).map(Into::into))),
        decoder("answer to a ledger", |input| reply(serde_json::from_slice::<ReadoptReply>(input).map(Into::into))),
        // as it is, and as a body whose sum is right
        decoder("gate file", |input| gate_file(input) | gate_file(&framed(input).unwrap_or_default())),
    ],
};

/// Understood means: written again it is the same thing.
fn same<T: DeserializeOwned + Serialize + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let again = serde_json::from_slice::<T>(&text).ok();
    assert_eq!(Some(value), again.as_ref(), "{}", text.escape_ascii());
}

fn whole<T: DeserializeOwned + Serialize + PartialEq + Debug>(input: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<T>(input) else { return false };
    same(&value);
    true
}

fn reply<T: DeserializeOwned + Serialize + PartialEq + Debug>(reply: serde_json::Result<Result<T, AgentError>>) -> bool {
    match reply {
        Err(_) => return false,
        Ok(Ok(value)) => same(&value),
        Ok(Err(error)) => same(&error),
    }
    true
}

fn gate_file(input: &[u8]) -> bool {
    let Ok(memory) = Memory::decode(input) else { return false };
    let written = memory.encode().unwrap_or_default();
    assert!(Memory::decode(&written).is_ok_and(|again| again.encode().is_ok_and(|again| again == written)));
    // a file that lost its end, or a byte, is none
    for cut in [0, 1, written.len() / 2, written.len().saturating_sub(1)] {
        assert!(written.get(..cut).is_none_or(|torn| Memory::decode(torn).is_err()));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_under_hostile_bytes() {
        ::hostile::run(&WIRE);
    }
}
