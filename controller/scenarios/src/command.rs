//! Runs a program to its end with a deadline, and hands back what it wrote. It ends with us, however we end. Its words are repeated in
//! errors, so nothing that prints a secret may be run by this.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::sys::{Preparation, prepare};
use nix::sys::signal::Signal;

use crate::limits::{LOOK, TOLD_BYTES_MAX};
use crate::signals;
use crate::trouble::{Done, Trouble};

/// What a program wrote on standard output, if it ended well.
pub fn output(command: &mut Command, deadline: Duration) -> Done<String> {
    match run(command, deadline)? {
        (true, out, _) => Ok(out),
        (false, out, err) => Err(Trouble::Command { command: line(command), told: told(&err, &out) }),
    }
}

/// What a program wrote on standard output, whether it was content or not.
pub fn output_of_any_end(command: &mut Command, deadline: Duration) -> Done<String> {
    run(command, deadline).map(|(_, out, _)| out)
}

/// Whether it ended well, and what it wrote on standard output and standard error.
fn run(command: &mut Command, deadline: Duration) -> Done<(bool, String, String)> {
    let program = Path::new(command.get_program()).to_owned();
    // this very thread waits for it, so that it never outlives the one that its life hangs on
    prepare(command, Preparation { die_with_parent: Some(Signal::SIGKILL), ..Preparation::default() });
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| Trouble::Start { program, source })?;
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let ended = end(&mut child, deadline);
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    match ended {
        Some(well) => Ok((well, out, err)),
        None if signals::interrupted() => Err(Trouble::Interrupted),
        None => {
            let told = format!("nothing within {} s; {}", deadline.as_secs(), told(&err, &out));
            Err(Trouble::Command { command: line(command), told })
        }
    }
}

fn end(child: &mut Child, deadline: Duration) -> Option<bool> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if start.elapsed() < deadline && !signals::interrupted() => std::thread::sleep(LOOK / 5),
            Ok(None) | Err(_) => {
                // it may have ended at this very moment
                let _ = child.kill().and_then(|()| child.wait());
                return None;
            }
        }
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // what came before an error still tells something
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A command as one would type it, without the folders of its program.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

fn told(err: &str, out: &str) -> String {
    let text = if err.trim().is_empty() { out.trim() } else { err.trim() };
    let mut short: String = text.chars().take(TOLD_BYTES_MAX).collect();
    if short.is_empty() {
        short.push_str("(nothing)");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_heard_or_named() {
        let second = Duration::from_secs(5);
        assert_eq!(output(Command::new("echo").arg("a"), second).unwrap(), "a\n");
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), second).unwrap_err().to_string();
        assert!(error.starts_with("`sh -c ") && error.ends_with("why"), "{error}");
        let error = output(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("nothing within"), "{error}");
        assert!(matches!(output(&mut Command::new("/nowhere/x"), second), Err(Trouble::Start { .. })));
    }
}
