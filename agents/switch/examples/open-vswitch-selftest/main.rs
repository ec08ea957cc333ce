//! Proves the driver of Open vSwitch on a real one in user space: the conformance suite, real frames, foreign hands, dead and hung daemons.
//! Runs in a network namespace of its own (`open-vswitch-selftest PACKAGES FOLDER`), prints a line a law, exits 0 if all hold. It starts the
//! switch in the folder and ends it.
#![expect(clippy::print_stdout, reason = "its lines are its result")]

mod lab;
mod laws;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [packages, folder] = arguments.as_slice() else {
        println!("usage: open-vswitch-selftest PACKAGES FOLDER");
        return ExitCode::from(2);
    };
    let all = match laws::Bench::open(packages, folder) {
        Ok(mut bench) => laws::run(&mut bench).await,
        Err(reason) => {
            println!("FAIL open: {reason}");
            false
        }
    };
    println!("SELFTEST {}", if all { "PASS" } else { "FAIL" });
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
