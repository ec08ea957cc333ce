//! The users' side: asks every server for its answer at its address, again and again, from a process inside the data centre.
//!
//! It believes nobody: what it knows is what came over the network, and when.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lab::client::Client;
use lab::exec::Exec;
use serde::{Deserialize, Serialize};

use crate::clock::wall_ms;
use crate::limits::{ANSWER, ANSWER_BYTES_MAX, STEP_TIME_MAX, TICK};
use crate::trouble::{Done, Trouble};

/// One try to get an answer of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The server.
    pub server: String,
    /// When it was over, milliseconds since 1970.
    pub at: u64,
    /// What came: which start of the server answered, and its last durable record.
    pub answer: Option<Answer>,
}

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which start of the server.
    pub incarnation: String,
    /// The last durable record.
    pub last: u64,
}

/// What is known of a server.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The newest try.
    pub newest: Option<Tick>,
    /// The newest answer and when it came.
    pub answer: Option<(u64, Answer)>,
    /// Since when it answers without a gap; `None` while it does not.
    pub since: Option<u64>,
    /// When each start of the server answered first.
    pub first: BTreeMap<String, u64>,
}

impl Seen {
    /// Takes what came of one more try.
    pub fn take(&mut self, tick: Tick) {
        match &tick.answer {
            Some(answer) => {
                self.since.get_or_insert(tick.at);
                self.first.entry(answer.incarnation.clone()).or_insert(tick.at);
                self.answer = Some((tick.at, answer.clone()));
            }
            None => self.since = None,
        }
        self.newest = Some(tick);
    }
}

/// What the users see, kept by a thread of its own.
#[derive(Clone, Default)]
pub struct Eyes {
    seen: Arc<Mutex<BTreeMap<String, Seen>>>,
    blind: Arc<Mutex<Option<String>>>,
}

impl Eyes {
    /// Opens them in the lab of a run folder. `program` is this very program, which runs inside as `tick`.
    pub fn open(run: &Path, program: &Path, servers: &[(String, SocketAddr)]) -> Done<Eyes> {
        let eyes = Eyes::default();
        let mut argv = vec![program.display().to_string(), "tick".to_owned()];
        argv.extend(servers.iter().map(|(name, address)| format!("{name}={address}")));
        let timeout = u64::try_from(STEP_TIME_MAX.as_millis()).unwrap_or(u64::MAX);
        let exec = Exec { argv, timeout_ms: Some(timeout), ..Exec::default() };
        let mut client = Client::connect(run)?;
        let mine = eyes.clone();
        std::thread::spawn(move || {
            let mut open = String::new();
            let ended = client.exec_with(exec, |is_error, text| {
                if is_error {
                    return;
                }
                open.push_str(text);
                while let Some((line, rest)) = open.split_once('\n') {
                    if let Ok(tick) = serde_json::from_str::<Tick>(line) {
                        mine.lock().entry(tick.server.clone()).or_default().take(tick);
                    }
                    open = rest.to_owned();
                }
            });
            let told = ended.map_or_else(|error| error.to_string(), |end| end.to_string());
            *mine.blind.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        });
        Ok(eyes)
    }

    /// Opens them right here, for servers that this process reaches by itself.
    pub fn here(servers: &[(String, SocketAddr)]) -> Eyes {
        let (eyes, ticks) = (Eyes::default(), ask_all(servers));
        let seen = Arc::downgrade(&eyes.seen);
        std::thread::spawn(move || {
            for tick in ticks {
                // shut: nobody looks any more
                let Some(seen) = seen.upgrade() else { return };
                seen.lock().unwrap_or_else(PoisonError::into_inner).entry(tick.server.clone()).or_default().take(tick);
            }
        });
        eyes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a server; an error if the eyes are shut.
    pub fn seen(&self, server: &str) -> Done<Seen> {
        if let Some(told) = self.blind.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            return Err(Trouble::Wrong(format!("the watch over the servers' answers ended: {told}")));
        }
        Ok(self.lock().get(server).cloned().unwrap_or_default())
    }
}

/// Asks a server once over HTTP and gives the body of a 200 answer.
pub fn ask(method: &str, address: SocketAddr, path: &str, within: Duration) -> std::io::Result<(u16, String)> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, within)?;
    let left = within.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", address.ip())?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text)?;
    let strange = || std::io::Error::other("its answer is no HTTP");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(strange)?;
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).ok_or_else(strange)?;
    Ok((status, body.to_owned()))
}

/// `web1 incarnation=ab12cd34 last=57`.
pub fn understood(server: &str, body: &str) -> Option<Answer> {
    let mut words = body.split_whitespace();
    let named = words.next() == Some(server);
    let incarnation = words.next()?.strip_prefix("incarnation=")?.to_owned();
    let last = words.next()?.strip_prefix("last=")?.parse().ok()?;
    named.then_some(Answer { incarnation, last })
}

/// Asks these servers for ever, or until nobody listens. Each is asked by a thread of its own, so that a dead one delays no other.
fn ask_all(servers: &[(String, SocketAddr)]) -> Receiver<Tick> {
    let (sender, ticks) = std::sync::mpsc::channel();
    for (server, address) in servers.iter().cloned() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            loop {
                let start = Instant::now();
                let answer = match ask("GET", address, "/", ANSWER) {
                    Ok((200, body)) => understood(&server, &body),
                    Ok(_) | Err(_) => None,
                };
                if sender.send(Tick { server: server.clone(), at: wall_ms(), answer }).is_err() {
                    return;
                }
                std::thread::sleep(TICK.saturating_sub(start.elapsed()));
            }
        });
    }
    ticks
}

/// The process inside: prints a line a try, for ever.
pub fn tick(servers: &[(String, SocketAddr)]) {
    let ticks = ask_all(servers);
    let mut out = std::io::stdout();
    for tick in ticks {
        let line = serde_json::to_string(&tick).unwrap_or_default();
        // nobody reads any more: the scenario is over
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_own_answer_counts() {
        assert_eq!(understood("web1", "web1 incarnation=ab last=7\n"), Some(Answer { incarnation: "ab".into(), last: 7 }));
        for strange in ["", "web2 incarnation=ab last=7", "web1 last=7", "web1 incarnation=ab last=x"] {
            assert_eq!(understood("web1", strange), None, "{strange}");
        }
    }

    #[test]
    fn a_gap_ends_what_was_and_a_new_start_is_noticed() {
        let tick = |at, incarnation: Option<&str>| Tick {
            server: "web1".into(),
            at,
            answer: incarnation.map(|text| Answer { incarnation: text.into(), last: at }),
        };
        let mut seen = Seen::default();
        for (at, start) in [(1, Some("a")), (2, Some("a")), (3, None), (4, Some("b"))] {
            seen.take(tick(at, start));
        }
        assert_eq!(seen.since, Some(4));
        assert_eq!(seen.first, [("a".to_owned(), 1), ("b".to_owned(), 4)].into());
    }
}
