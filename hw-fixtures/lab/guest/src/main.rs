//! One program for every first process of the lab: which one it is stands in the image, in `/etc/lab-role`.
//!
//! If a role cannot go on, the machine says why on its console and boots again through its firmware; it never stands still in silence.

use std::process::ExitCode;
use std::thread;

use guest::limits::FAILED_BOOT_PAUSE;
use guest::{facts, kernel, root, server, switch};

const ROLE: &str = "/etc/lab-role";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("switch-facts") {
        return match facts::report(&mut std::io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("switch-facts: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if std::process::id() != 1 {
        eprintln!("lab-guest is the first process of a lab machine; outside of one only `lab-guest switch-facts` does something");
        return ExitCode::from(2);
    }
    let role = std::fs::read_to_string(ROLE).unwrap_or_default();
    let end = match role.trim() {
        "switch" => switch::main(),
        "server" => server::main(),
        "root" => root::main(&arguments),
        other => Err(format!("{ROLE} names no role of the lab: {other:?}").into()),
    };
    if let Err(error) = end {
        kernel::say(&format!("FAILED {error}"));
    }
    thread::sleep(FAILED_BOOT_PAUSE);
    kernel::say(&format!("not even a restart: {}", kernel::restart()));
    ExitCode::FAILURE
}
