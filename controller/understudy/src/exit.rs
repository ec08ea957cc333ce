//! How the process ends: one exit code a meaning, and a fault that says what, where, why and what to do. Codes are a promise to
//! scripts: a meaning is never given another number.

use crate::render;
use api::client;
use std::process::ExitCode;
use vocabulary::Fault;

/// The meaning of an exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The answer is no: a check found faults, a plan failed.
    No = 1,
    /// The command line is not understood.
    Usage = 2,
    /// No controller answers.
    Unreachable = 3,
    /// There is nothing of that name.
    NotFound = 4,
    /// The controller refuses it, or it is held.
    Refused = 5,
    /// What was shown is no longer what would be done.
    Changed = 6,
    /// The deadline passed; what was begun goes on.
    Deadline = 7,
    /// A bug of ours.
    Bug = 70,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An end that is not `Done`, and why; without a fault there is nothing left to say.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What to say.
    pub fault: Option<Fault>,
}

impl Failure {
    /// An end with its reason.
    pub fn new(exit: Exit, fault: Fault) -> Failure {
        Failure { exit, fault: Some(fault) }
    }

    /// An end without a word: everything was said already.
    pub fn silent(exit: Exit) -> Failure {
        Failure { exit, fault: None }
    }

    /// As text for people.
    pub fn text(&self) -> Option<String> {
        self.fault.as_ref().map(|fault| {
            let (message, remedy) = (render::clean(&fault.message), render::clean(&fault.remedy));
            format!("understudy: {}: {message}\n  help: {remedy}\n  more: understudy explain {}", fault.code, fault.code)
        })
    }

    /// As data for programs: `{code, message, remedy}`.
    pub fn json(&self) -> Option<String> {
        self.fault.as_ref().and_then(|fault| serde_json::to_string(fault).ok())
    }
}

/// The meaning of a status that the controller answered with.
pub fn of_status(status: u16) -> Exit {
    match status {
        404 => Exit::NotFound,
        409 => Exit::Refused,
        412 => Exit::Changed,
        503 => Exit::Unreachable,
        400..=499 => Exit::Usage,
        _ => Exit::Bug,
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Failure {
        match error {
            client::Error::Unreachable(fault) => Failure::new(Exit::Unreachable, fault),
            client::Error::Fault { status, fault } => Failure::new(of_status(status), fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_the_controller_has_a_meaning() {
        let met = [404, 409, 412, 503, 400, 422, 500].map(of_status);
        let meant = [Exit::NotFound, Exit::Refused, Exit::Changed, Exit::Unreachable, Exit::Usage, Exit::Usage, Exit::Bug];
        assert_eq!(met, meant);
    }

    #[test]
    fn what_comes_from_outside_cannot_steer_the_terminal() {
        let failure = Failure::new(Exit::No, Fault::new(401, "no \u{1b}[2Jspare\n", "wait"));
        let text = failure.text().unwrap();
        assert!(!text.contains('\u{1b}') && text.lines().count() == 3, "{text:?}");
        assert_eq!(failure.json().unwrap(), r#"{"code":"F0401","message":"no \u001b[2Jspare\n","remedy":"wait"}"#);
    }
}
