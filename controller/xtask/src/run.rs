//! Running other programs: one at a time, in a process group of its own, with signals passed on, and with the tests it reports counted. It
//! ends with us.
//! It must never leave a child behind, nor call a run without a single test a success.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::signals;
use crate::tree::Tree;

/// What `cargo run` tells a program of its own package, by the beginnings of the names.
const OWN: [&str; 5] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// cargo, as the one that started us.
pub fn cargo(tree: &Tree) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(tree.root());
    // set by `cargo run` for xtask itself; a build script would take them for its own, and be run again whenever they come or go
    let own = |name: &str| OWN.iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        command.env_remove(name);
    }
    command
}

/// Whether a program is there and answers to these arguments.
pub fn answers(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs to the end with our own output.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    let name = name_of(command);
    if signals::interrupted() {
        bail!("interrupted");
    }
    let mut child = spawn(command.stdin(Stdio::null()), &name)?;
    let status = child.wait();
    signals::child_ended();
    status.with_context(|| format!("{name} was lost"))
}

/// Starts a child that signals go to from now on and that ends with this thread; whoever waits for it says `child_ended`.
pub fn spawn(command: &mut Command, name: &str) -> Result<Child> {
    signals::child_starts();
    signals::die_with_us(command);
    match command.process_group(0).spawn() {
        Ok(child) => {
            signals::child_is(child.id());
            Ok(child)
        }
        Err(error) => {
            signals::child_ended();
            Err(error).with_context(|| format!("{name} does not start"))
        }
    }
}

/// Runs to the end; anything but success is an error that names the command.
pub fn succeed(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    let status = status(command)?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// What test runners reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tests {
    pub passed: u64,
    pub failed: u64,
}

/// Runs a test runner, shows its output as it comes, and counts; no test at all is a failure.
pub fn tests(command: &mut Command) -> Result<Tests> {
    tests_shown_on(command, std::io::stdout(), std::io::stderr())
}

fn tests_shown_on(command: &mut Command, out: impl Write, err: impl Write + Send) -> Result<Tests> {
    let line = line_of(command);
    if signals::interrupted() {
        bail!("interrupted");
    }
    let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()), &line)?;
    let stdout = child.stdout.take().context("a piped stdout")?;
    let stderr = child.stderr.take().context("a piped stderr")?;
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| count(stderr, err));
        let first = count(stdout, out);
        (first, other.join().unwrap_or_default())
    });
    let status = child.wait();
    signals::child_ended();
    let tests = Tests { passed: first.passed + second.passed, failed: first.failed + second.failed };
    let status = status?;
    if !status.success() {
        bail!("`{line}` failed ({status}): {} passed, {} failed", tests.passed, tests.failed);
    }
    if tests.passed == 0 {
        bail!("`{line}` ran no test at all, which proves nothing");
    }
    Ok(tests)
}

fn count(from: impl Read, mut to: impl Write) -> Tests {
    let mut tests = Tests::default();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let _ = to.write_all(&line).and_then(|()| to.write_all(b"\n"));
        if let Some(found) = report(&String::from_utf8_lossy(&line)) {
            tests.passed += found.passed;
            tests.failed += found.failed;
        }
    }
    tests
}

/// The summary lines of `cargo test` ("test result: ok. 3 passed; 0 failed; ...") and of nextest ("Summary [..] 3 tests run: 3 passed").
fn report(line: &str) -> Option<Tests> {
    let is_summary = line.starts_with("test result:") || (line.trim_start().starts_with("Summary [") && line.contains(" run: "));
    if !is_summary {
        return None;
    }
    let words: Vec<&str> = line.split([' ', ';', ',']).filter(|word| !word.is_empty()).collect();
    let before = |label: &str| {
        words
            .windows(2)
            .find_map(|pair| match pair {
                [number, word] if *word == label => number.parse().ok(),
                _ => None,
            })
            .unwrap_or(0)
    };
    Some(Tests { passed: before("passed"), failed: before("failed") })
}

fn name_of(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned()
}

fn line_of(command: &Command) -> String {
    let mut words = vec![name_of(command)];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runners_are_understood() {
        let cargo = report("test result: ok. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        assert_eq!(cargo, Some(Tests { passed: 12, failed: 1 }));
        let nextest = report("     Summary [   0.024s] 34 tests run: 33 passed, 1 failed, 0 skipped");
        assert_eq!(nextest, Some(Tests { passed: 33, failed: 1 }));
        assert_eq!(report("test foo ... ok"), None);
    }

    #[test]
    fn a_runner_without_a_test_is_a_failure() {
        let quiet = tests_shown_on(&mut Command::new("true"), std::io::sink(), std::io::sink()).unwrap_err();
        assert!(quiet.to_string().contains("no test at all"), "{quiet}");
        let mut one = Command::new("echo");
        one.arg("test result: ok. 1 passed; 0 failed;");
        assert_eq!(tests_shown_on(&mut one, std::io::sink(), std::io::sink()).unwrap(), Tests { passed: 1, failed: 0 });
    }
}
