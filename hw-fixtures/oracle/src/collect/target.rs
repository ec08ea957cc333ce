//! The storage target's sessions and admissions, asked of its daemon all at once and all the time.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Instant;

use super::Shared;
use crate::fact::{Ns, Observation, Seen};
use crate::limits::TARGET_EVERY;
use crate::samples::Source;
use crate::sys::now_ns;
use crate::tgt::{Shown, of_volumes, read, show};

/// Watches the target for ever.
pub fn watch(shared: &Shared) -> io::Result<()> {
    let mut before_ns = 0;
    let (mut known, mut shown, mut complaint) = (None, Vec::new(), String::new());
    loop {
        let (turn, asked_ns) = (Instant::now(), now_ns());
        let looked = look(&shared.config.sources.target).and_then(|text| {
            let at_ns = now_ns();
            if known.as_ref() != Some(&text) {
                shown = read(&text)?;
                known = Some(text);
            }
            Ok(at_ns)
        });
        match looked {
            Ok(at_ns) => {
                tell(shared, &shown, before_ns, at_ns);
                before_ns = asked_ns;
            }
            // one look missed; the next may succeed, and the gap is counted
            Err(why) if why != complaint => {
                tracing::warn!(%why, "the target daemon");
                complaint = why;
            }
            Err(_) => {}
        }
        thread::sleep(TARGET_EVERY.saturating_sub(turn.elapsed()));
    }
}

/// What the daemon shows. Where no daemon is there are no targets.
fn look(socket: &Path) -> Result<String, String> {
    match show(socket) {
        Ok(text) => Ok(text),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(String::new()),
        Err(error) => Err(error.to_string()),
    }
}

fn tell(shared: &Shared, shown: &[Shown], after_ns: Ns, at_ns: Ns) {
    let mut oracle = shared.lock();
    oracle.sample(Source::Target, at_ns);
    for (target, exported) in of_volumes(&shared.config.roster, shown) {
        oracle.see(Seen::between(after_ns, at_ns, Observation::Target(target, exported)));
    }
}
