//! Fault codes: every fault that an operator can meet has one, with a page in controller/docs/faults and a remedy.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A fault as people and programs see it: what (code and message), and what to do (remedy). The API's error body is exactly this.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// `F` and four digits: F00nn estate and CLI, F01nn-F09nn stages, F10nn agents, F11nn store, F12nn boot.
    pub code: Code,
    /// What, where and why, in one sentence.
    pub message: String,
    /// What to do about it, in one sentence.
    pub remedy: String,
}

/// A fault code. Its text is `F` and four digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(pub u16);

impl Fault {
    /// A fault with its remedy.
    pub fn new(code: u16, message: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault { code: Code(code), message: message.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{:04}", self.0)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.strip_prefix('F')
            .and_then(|digits| digits.parse().ok())
            .map(Code)
            .ok_or_else(|| serde::de::Error::custom("a fault code is F and four digits"))
    }
}
