//! Completion for shells: what is offered comes from the command line's own description. It never disturbs a prompt.

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::forms::Shell;
use crate::{out, render};
use clap::CommandFactory;
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;
use vocabulary::Fault;

/// A shell that asks for candidates sets this to its name.
const VARIABLE: &str = "UNDERSTUDY_COMPLETE";
/// The command that is completed, and called for candidates.
const BINARY: &str = "understudy";

/// Answers a shell that asks for candidates. False if this is an ordinary run.
pub fn answered() -> Result<bool, Failure> {
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .bin(BINARY)
        .try_complete(std::env::args_os(), here.as_deref())
        .map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, Fault::new(69, render::clean(&error.to_string()), "use bash, zsh or fish"))
}

/// What a shell runs once in order to complete.
pub fn registration(shell: Shell) -> Result<(), Failure> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let shells = Shells::builtins();
    let completer = shells.completer(name).ok_or_else(|| failed(&format!("there is no completion for {name}")))?;
    let mut text = Vec::new();
    completer.write_registration(VARIABLE, BINARY, BINARY, BINARY, &mut text).map_err(|error| failed(&error))?;
    out::line(String::from_utf8_lossy(&text).trim_end())
}
