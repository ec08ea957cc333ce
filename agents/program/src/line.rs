//! The lines of schema 1, as pure functions of bytes. Total: whatever a program says is a meaning or a complaint.

use crate::limits::WORDS_MAX;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;

/// The one schema that is spoken.
pub const SCHEMA: u64 = 1;

/// What kind of equipment a program drives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A switch.
    Switch,
    /// A power distribution unit.
    Outlets,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Switch => "switch",
            Kind::Outlets => "outlets",
        })
    }
}

/// A program's first line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Greeting {
    #[serde(rename = "understudy-driver")]
    schema: u64,
    kind: Kind,
}

/// A program's every other line. The answer is read as what it is to be, so that one that names a field twice is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    id: u64,
    answer: Option<Box<RawValue>>,
    error: Option<Refusal>,
    reason: Option<String>,
}

/// Why a program did not do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It cannot be done, and nothing was changed.
    Rejected,
    /// The equipment does not answer.
    Unreachable,
    /// Something may have been changed.
    Unconfirmed,
}

/// What a line says of the question that was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said<T> {
    /// The answer.
    Answer(T),
    /// It was not done.
    Refused(Refusal, String),
}

/// The answer to an order: it was passed on.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {}

/// For `deserialize_with`: a field of an answer that may be null, and must be there. What is not told is not empty.
pub fn told_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// Makes sure that the first line greets as a program of this kind does.
pub fn greets(line: &[u8], wanted: Kind) -> Result<(), String> {
    let greeting: Greeting =
        serde_json::from_slice(line).map_err(|error| format!("its first line is no greeting: {error}: `{}`", shown(line)))?;
    if greeting.schema != SCHEMA {
        return Err(format!("it speaks schema {}, and only {SCHEMA} is spoken here", greeting.schema));
    }
    if greeting.kind != wanted {
        return Err(format!("it drives `{}`, not `{wanted}`", greeting.kind));
    }
    Ok(())
}

/// The line that asks.
pub fn question(id: u64, what: &str, about: &Map<String, Value>) -> Vec<u8> {
    let mut all = about.clone();
    all.insert("id".to_owned(), id.into());
    all.insert("do".to_owned(), what.into());
    let mut line = Value::Object(all).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// What the line says of question `id`. One that belongs to another question, or says two things, is a complaint.
pub fn said<T: DeserializeOwned>(line: &[u8], id: u64) -> Result<Said<T>, String> {
    let reply: Reply =
        serde_json::from_slice(line).map_err(|error| format!("its answer is not understood: {error}: `{}`", shown(line)))?;
    if reply.id != id {
        return Err(format!("it answers question {}, and was asked question {id}", reply.id));
    }
    match (reply.answer, reply.error, reply.reason) {
        (Some(answer), None, None) if !answer.get().starts_with('[') => {
            let unfit = |error| format!("its answer is not understood: {error}: `{}`", shown(line));
            serde_json::from_str(answer.get()).map(Said::Answer).map_err(unfit)
        }
        (Some(_), None, None) => Err(format!("its answer is a list: `{}`", shown(line))),
        (None, Some(refusal), Some(reason)) => Ok(Said::Refused(refusal, shown(reason.as_bytes()))),
        _ => Err(format!("a line holds either `answer`, or `error` and `reason`: `{}`", shown(line))),
    }
}

/// The beginning of what somebody said, for people: printable and short.
pub fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(WORDS_MAX).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_greeting_of_this_schema_and_kind_is_one() {
        assert_eq!(greets(br#"{"understudy-driver":1,"kind":"switch"}"#, Kind::Switch), Ok(()));
        for (wrong, word) in [
            (&br#"{"understudy-driver":2,"kind":"switch"}"#[..], "schema 2"),
            (br#"{"understudy-driver":1,"kind":"outlets"}"#, "drives `outlets`"),
            (br#"{"understudy-driver":1,"kind":"toaster"}"#, "no greeting"),
            (br#"{"understudy-driver":1,"kind":"switch","more":1}"#, "no greeting"),
            (b"Welcome to switch 7", "Welcome to switch 7"),
            (b"", "no greeting"),
        ] {
            let complaint = greets(wrong, Kind::Switch).unwrap_err();
            assert!(complaint.contains(word), "{complaint}");
        }
    }

    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(deny_unknown_fields)]
    struct Up {
        up: bool,
    }

    #[test]
    fn a_line_says_one_thing_of_the_question_that_was_asked() {
        let said = |line: &str| said::<Up>(line.as_bytes(), 7);
        assert_eq!(said(r#"{"id":7,"answer":{"up":true}}"#), Ok(Said::Answer(Up { up: true })));
        let refused = Said::Refused(Refusal::Rejected, "no such port".to_owned());
        assert_eq!(said(r#"{"id":7,"error":"rejected","reason":"no such port"}"#), Ok(refused));
        for wrong in [
            r#"{"id":6,"answer":{"up":true}}"#,
            r#"{"id":7}"#,
            r#"{"id":7,"answer":null}"#,
            r#"{"id":7,"answer":{}}"#,
            r#"{"id":7,"answer":[true]}"#,
            r#"{"id":7,"answer":{"up":true,"up":false}}"#,
            r#"{"id":7,"answer":{"up":true,"more":1}}"#,
            r#"{"id":7,"error":"rejected"}"#,
            r#"{"id":7,"error":"perhaps","reason":"x"}"#,
            r#"{"id":7,"answer":{"up":true},"error":"rejected","reason":"x"}"#,
            r#"{"id":7,"answer":{"up":true},"anser":{}}"#,
            r#"{"id":7,"id":7,"answer":{"up":true}}"#,
            r#"{"id":"7","answer":{"up":true}}"#,
            r#"{"answer":{"up":true}}"#,
            r#"{"id":7,"answer":{"up":true}"#,
            "",
        ] {
            assert!(said(wrong).is_err(), "{wrong}");
        }
        assert!(super::said::<Done>(br#"{"id":7,"answer":[]}"#, 7).is_err());
    }

    #[test]
    fn what_is_asked_about_never_changes_what_is_asked() {
        let about = serde_json::json!({"port": "p1\n", "id": 9, "do": "other"});
        let line = question(3, "read", about.as_object().unwrap());
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
        let read: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(read, serde_json::json!({"id": 3, "do": "read", "port": "p1\n"}));
    }

    proptest! {
        #[test]
        fn readers_are_total_and_what_they_repeat_is_short(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = (greets(&bytes, Kind::Outlets), said::<Done>(&bytes, 1));
            prop_assert!(shown(&bytes).chars().count() <= WORDS_MAX);
        }
    }
}
