//! The oracle's mouth: one JSON question a line on a unix socket, one JSON answer a line.
//!
//! `{"ask":"now"}` tells what is true now; `{"ask":"verdict"}` reads the volumes and judges the run so far (with `"before_ms"`, wall-clock
//! milliseconds since 1970, it also counts what was acknowledged before then); `{"tell":"hand","port":"p3"}` or `"target":"iqn..."` says
//! that a foreign hand is at work there. Nothing said here can make a verdict better but the last, and that for 5 s only.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::collect::Shared;
use crate::fact::{Key, Ns, Observation, Seen};
use crate::limits::{CALLER_TIME, CALLERS_MAX, MILLISECOND_NS, QUESTION_BYTES_MAX};
use crate::sys::now_ns;
use crate::verdict::{Logs, Verdict, judge};
use crate::volume;

/// What may be said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Question {
    Ask {
        ask: Asked,
        #[serde(default)]
        before_ms: Option<u64>,
    },
    Tell {
        tell: Told,
        #[serde(default)]
        port: Option<String>,
        #[serde(default)]
        target: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
    Now,
    Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Hand,
}

/// Opens the socket; questions are answered until the process ends.
pub fn open(shared: &Shared, verdict: &Path) -> io::Result<()> {
    let path = &shared.config.query;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let (shared, verdict) = (shared.clone(), verdict.to_owned());
    thread::spawn(move || {
        let callers = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming().flatten() {
            if callers.fetch_add(1, Ordering::SeqCst) >= CALLERS_MAX {
                callers.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let (shared, verdict, callers) = (shared.clone(), verdict.clone(), Arc::clone(&callers));
            thread::spawn(move || {
                if let Err(error) = serve(&shared, &verdict, &stream) {
                    tracing::debug!(%error, "a caller");
                }
                callers.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    Ok(())
}

fn serve(shared: &Shared, verdict: &Path, stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(CALLER_TIME))?;
    stream.set_write_timeout(Some(CALLER_TIME))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let bound = u64::try_from(QUESTION_BYTES_MAX).unwrap_or(u64::MAX);
        if reader.by_ref().take(bound).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(question) => answer(shared, verdict, question),
            Err(error) => json!({"error": format!(r#"not understood: {error}; ask {{"ask":"now"}} or {{"ask":"verdict"}}"#)}),
        };
        (&mut &*stream).write_all(format!("{answer}\n").as_bytes())?;
    }
}

fn answer(shared: &Shared, path: &Path, question: Question) -> Value {
    match question {
        Question::Ask { ask: Asked::Now, .. } => shared.lock().now(now_ns()),
        Question::Ask { ask: Asked::Verdict, before_ms } => {
            let verdict = take(shared, before_ms.map(monotonic));
            match write(path, &verdict) {
                Ok(()) => json!(verdict),
                Err(error) => json!({"error": format!("{}: {error}", path.display())}),
            }
        }
        Question::Tell { tell: Told::Hand, port, target } => {
            let keys = port.map(Key::Port).into_iter().chain(target.map(Key::Target));
            let now_ns = now_ns();
            let told = keys.map(|key| shared.lock().see(Seen::exactly(now_ns, Observation::Hand(key)))).count();
            if told > 0 { json!({"ok": true}) } else { json!({"error": "name the port or the target that the hand is at"}) }
        }
    }
}

/// A wall-clock time of this computer on the monotonic clock.
fn monotonic(wall_ms: u64) -> Ns {
    let wall_now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    now_ns().saturating_sub(wall_now.saturating_sub(wall_ms).saturating_mul(MILLISECOND_NS))
}

/// Reads the volumes and judges the run so far. Acknowledgements count up to the moment before the first volume is read.
#[must_use]
pub fn take(shared: &Shared, before_ns: Option<Ns>) -> Verdict {
    let (run, end_ns) = {
        let oracle = shared.lock();
        (oracle.run().clone(), now_ns())
    };
    let config = &shared.config;
    let mut logs = Logs::new();
    for (name, server) in &config.roster.servers {
        for volume in &server.volumes {
            if let Some(file) = &volume.records {
                let log = volume::read(&config.debugfs, &volume.image, file).map_err(|error| error.to_string());
                logs.insert(name.clone(), log);
            }
        }
    }
    judge(&config.roster, &run, &logs, end_ns, before_ns)
}

/// Writes a verdict; whoever reads the file reads all of it or the one before.
pub fn write(path: &Path, verdict: &Verdict) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    fs::write(&new, serde_json::to_vec_pretty(verdict)?)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_as_written_in_the_manual() {
        let read = |text: &str| serde_json::from_str::<Question>(text);
        assert_eq!(read(r#"{"ask":"now"}"#).unwrap(), Question::Ask { ask: Asked::Now, before_ms: None });
        assert_eq!(
            read(r#"{"ask":"verdict","before_ms":7}"#).unwrap(),
            Question::Ask { ask: Asked::Verdict, before_ms: Some(7) }
        );
        assert!(
            matches!(read(r#"{"tell":"hand","port":"p3"}"#).unwrap(), Question::Tell { port: Some(port), .. } if port == "p3")
        );
        assert!(read(r#"{"ask":"mercy"}"#).is_err() && read(r#"{"ask":"now","why":1}"#).is_err());
    }

    #[test]
    fn a_wall_clock_time_is_found_on_the_monotonic_clock() {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let ago = monotonic(u64::try_from(wall).unwrap() - 500);
        let passed = now_ns() - ago;
        assert!((490 * MILLISECOND_NS..900 * MILLISECOND_NS).contains(&passed), "{passed}");
    }
}
