//! The lines in which the lab answers its callers. Must stay readable by yesterday's caller: a line is added, never changed.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A line of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// A piece of a command's standard output.
    Out(String),
    /// A piece of its standard error.
    Err(String),
    /// A fact of the switch.
    Fact(crate::facts::Fact),
    /// Done; what came of it.
    Ok(Value),
    /// Not done, and why.
    Error(String),
}

/// Writes one line of an answer.
pub(crate) fn write_reply(mut stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_form_that_callers_know() {
        let line = |reply: Reply| serde_json::to_string(&reply).unwrap();
        assert_eq!(line(Reply::Out("a\n".into())), r#"{"out":"a\n"}"#);
        assert_eq!(line(Reply::Ok(serde_json::json!({"code": 0}))), r#"{"ok":{"code":0}}"#);
        assert_eq!(line(Reply::Error("no".into())), r#"{"error":"no"}"#);
    }
}
