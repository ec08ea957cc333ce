//! `understudy estate`: the estate's files and its store. These verbs ask no controller and touch no equipment.

mod check;
pub mod init;

use crate::cli::Estate;
use crate::exit::Failure;
use crate::forms::Output;
use crate::out;
use crate::render::Look;

/// Runs a verb.
pub fn run(verb: Estate, output: Output, look: Look) -> Result<(), Failure> {
    match verb {
        Estate::Init(arguments) => init::init(&arguments, output),
        Estate::Check { dir, lab } => check::check(&dir, lab, output, look),
        Estate::Schema => out::json(&catalogue::schema()),
    }
}
