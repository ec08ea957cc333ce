//! `understudy machine`: boxes with a BMC.

mod confirm_off;
mod discover;
mod enroll;
mod identify;
mod list;
mod probe;
mod release;
mod show;

use crate::cli::{BmcKey, Machine};
use crate::exit::Failure;
use crate::session::Session;
use api::bmc::ScopeWord;
use vocabulary::estate::SecretReference;

/// Runs a verb.
pub async fn run(session: &Session, verb: Machine) -> Result<(), Failure> {
    match verb {
        Machine::List => list::list(session).await,
        Machine::Show { machine, facts, log } => {
            let survey = if log { Some(ScopeWord::Log) } else { facts.then_some(ScopeWord::Facts) };
            show::show(session, &machine, survey).await
        }
        Machine::Probe(asked) => probe::probe(session, asked).await,
        Machine::Discover(asked) => discover::discover(session, asked).await,
        Machine::Identify { machine, off, seconds } => identify::identify(session, &machine, off, seconds).await,
        Machine::Enroll { machines, wait } => enroll::enroll(session, &machines, wait).await,
        Machine::ConfirmOff(said) => confirm_off::confirm_off(session, said).await,
        Machine::Release { machine, yes, wait } => release::release(session, &machine, yes, wait).await,
    }
}

/// The password that a file or a variable of the environment holds, as a reference.
fn password(file: Option<&str>, variable: Option<&str>) -> SecretReference {
    SecretReference(file.map_or_else(|| format!("env:{}", variable.unwrap_or_default()), |path| format!("file:{path}")))
}

/// The BMC key in the same way, where one was named.
fn key(asked: &BmcKey) -> Option<SecretReference> {
    let BmcKey { key_file, key_env } = asked;
    (key_file.is_some() || key_env.is_some()).then(|| password(key_file.as_deref(), key_env.as_deref()))
}
