//! Questions to Open vSwitch's daemon on its control socket, as `ovs-appctl` asks them (JSON-RPC, one answer a question). It decides nothing.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::limits::{OVS_ANSWER, OVS_ANSWER_BYTES_MAX};

/// A conversation with the daemon that runs now.
pub struct Control(BufReader<UnixStream>);

/// A question: the command and its words.
pub type Question = (&'static str, Vec<String>);

#[derive(Deserialize)]
struct Answer {
    id: u64,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Value,
}

impl Control {
    /// Connects to the daemon whose process number lies in this folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let pid: u32 = std::fs::read_to_string(folder.join("ovs-vswitchd.pid"))?.trim().parse().map_err(io::Error::other)?;
        let stream = UnixStream::connect(folder.join(format!("ovs-vswitchd.{pid}.ctl")))?;
        stream.set_read_timeout(Some(OVS_ANSWER))?;
        stream.set_write_timeout(Some(OVS_ANSWER))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks all of them in one go, so that little time passes between the first answer and the last; the answers in their order. After an
    /// error this conversation is over.
    pub fn ask(&mut self, questions: &[Question]) -> io::Result<Vec<String>> {
        let mut text = Vec::new();
        for (id, (method, params)) in (0_u64..).zip(questions) {
            serde_json::to_writer(&mut text, &json!({"id": id, "method": method, "params": params}))?;
        }
        self.0.get_mut().write_all(&text)?;
        (0_u64..).zip(questions).map(|(id, (method, _))| self.answer(id, method)).collect()
    }

    fn answer(&mut self, id: u64, method: &str) -> io::Result<String> {
        // an object ends with its brace: nothing of the next answer is taken
        let mut reader = serde_json::Deserializer::from_reader((&mut self.0).take(OVS_ANSWER_BYTES_MAX));
        let answer = Answer::deserialize(&mut reader)?;
        match answer {
            Answer { id: of, result: Value::String(text), error: Value::Null } if of == id => Ok(text),
            Answer { id: of, error, .. } => Err(io::Error::other(format!("{method} ({id}) was answered ({of}) with {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    #[test]
    fn answers_come_in_their_order_and_a_wrong_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ovs-vswitchd.pid"), "7\n").unwrap();
        let listener = UnixListener::bind(folder.path().join("ovs-vswitchd.7.ctl")).unwrap();
        let daemon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let length = stream.read(&mut asked).unwrap();
            stream.write_all(b"{\"id\":0,\"result\":\"one }\",\"error\":null}{\"id\":1,").unwrap();
            stream.write_all(b"\"result\":\"two\",\"error\":null}{\"id\":5,\"result\":\"\",\"error\":null}").unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let mut control = Control::open(folder.path()).unwrap();
        let questions = [("fdb/show", vec!["br0".to_owned()]), ("dpif/show", vec![])];
        assert_eq!(control.ask(&questions).unwrap(), ["one }", "two"]);
        assert!(daemon.join().unwrap().starts_with("{\"id\":0,\"method\":\"fdb/show\",\"params\":[\"br0\"]}"));
        let error = control.ask(&questions).unwrap_err();
        assert!(error.to_string().contains("(5)") || error.kind() == io::ErrorKind::BrokenPipe, "{error}");
    }
}
