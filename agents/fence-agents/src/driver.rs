//! What is answered to a question. A reading has two halves: the fence agent's status, and what fence agents cannot tell, from the reader.
//! Must never take a fence agent's exit status for what it did, nor call an outlet off of which one half says otherwise.

use crate::config::Config;
use crate::limits::{CHANGE_MAX, READ_MAX, READER_MAX, WORDS_MAX};
use crate::metadata::{self, Abilities};
use crate::run::{Ran, Trouble, run};
use contract::AgentError;
use outlet::ProgramUnit;
use outlet::unit::{Order, Row, Unit};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::time::{Instant, timeout};
use vocabulary::outlet::Relay;
use zeroize::Zeroizing;

/// A question of schema 1.
#[derive(Debug, Deserialize)]
pub struct Question {
    /// Its number.
    pub id: u64,
    #[serde(rename = "do")]
    what: String,
    outlet: u16,
}

/// Why it was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct No {
    /// The schema's word for it.
    pub error: &'static str,
    /// In words.
    pub reason: String,
    /// A fence agent still runs, and has to be ended.
    pub astray: bool,
}

fn rejected(reason: impl Into<String>) -> No {
    No { error: "rejected", reason: reason.into(), astray: false }
}

fn unreachable(reason: impl Into<String>) -> No {
    No { error: "unreachable", reason: reason.into(), astray: false }
}

fn unconfirmed(reason: impl Into<String>) -> No {
    No { error: "unconfirmed", reason: reason.into(), astray: false }
}

/// What a reader's trouble means to who asked.
fn of_reader(error: AgentError) -> No {
    match error {
        AgentError::Unreachable { reason } => unreachable(reason),
        AgentError::Unconfirmed { reason } => unconfirmed(reason),
        other => rejected(other.to_string()),
    }
}

/// What a fence agent says of an outlet: its words and its exit status have to agree. `None` if it says nothing.
fn status(ran: &Ran) -> Option<Relay> {
    let said: BTreeSet<&str> = ran.out.lines().filter_map(|line| line.trim().strip_prefix("Status: ")).collect();
    let said: Vec<&str> = said.into_iter().collect();
    match (ran.code, said.as_slice()) {
        (Some(0), ["ON"]) => Some(Relay::On),
        (Some(2), ["OFF"]) => Some(Relay::Off),
        (Some(0 | 2), _) => Some(Relay::Unknown),
        _ => None,
    }
}

/// What both halves say together. A reader that does not tell says nothing against it.
fn both(status: Relay, told: Relay) -> Relay {
    match (status, told) {
        (status, Relay::Unknown) => status,
        (_, Relay::Switching) => Relay::Switching,
        (status, told) if status == told => status,
        _ => Relay::Unknown,
    }
}

/// A driver's program.
pub struct Driver {
    config: Config,
    reader: ProgramUnit,
    abilities: Option<Abilities>,
}

impl Driver {
    /// Of this configuration. Starts nothing yet.
    pub fn new(config: Config) -> Result<Driver, String> {
        let name = "unit".parse().map_err(|error| format!("{error:?}"))?;
        let mut reader = config.reader.clone();
        reader.environment.insert("UNIT_ADDRESS".to_owned(), config.address.clone());
        let reader = ProgramUnit::open(name, reader).map_err(|error| format!("`reader`: {error}"))?;
        Ok(Driver { config, reader, abilities: None })
    }

    /// The answer.
    pub async fn answer(&mut self, asked: &Question) -> Result<Value, No> {
        let Some(plug) = self.config.outlets.get(&asked.outlet).cloned() else {
            return Err(rejected(format!("outlet {} is not in the configuration", asked.outlet)));
        };
        match asked.what.as_str() {
            "read" => self.read(asked.outlet, &plug, Instant::now() + READ_MAX).await,
            "on" | "off" => self.switch(&asked.what, &plug, Instant::now() + CHANGE_MAX).await,
            "stay-off" => self.keep(asked.outlet, Order::StayOff).await,
            "return" => self.keep(asked.outlet, Order::Return).await,
            other => Err(rejected(format!("schema 1 does not know `{other}`"))),
        }
    }

    async fn read(&mut self, outlet: u16, plug: &str, until: Instant) -> Result<Value, No> {
        let row = timeout(READER_MAX, self.reader.look(outlet)).await;
        let row = row.map_err(|_| unreachable("the reader did not answer in time"))?.map_err(of_reader)?;
        let Row { serial, there, relay: told, watts, on_return } = row;
        let relay = if there {
            let ran = self.ask("status", plug, until).await?;
            both(status(&ran).ok_or_else(|| unreachable(self.words("tells no status", &ran)))?, told)
        } else {
            Relay::Unknown
        };
        Ok(json!({
            "outlet": outlet, "serial": serial, "there": there, "relay": relay, "watts": watts, "on_return": on_return,
        }))
    }

    /// Whatever it says afterwards, who asked has to look.
    async fn switch(&mut self, action: &str, plug: &str, until: Instant) -> Result<Value, No> {
        let ran = match self.ask(action, plug, until).await {
            // it may have been at it
            Err(no) if no.astray => return Err(No { error: "unconfirmed", ..no }),
            other => other?,
        };
        if ran.code == Some(0) { Ok(json!({})) } else { Err(unconfirmed(self.words(&format!("says no to `{action}`"), &ran))) }
    }

    /// Fence agents know nothing of what an outlet does when its unit gets power back.
    async fn keep(&self, outlet: u16, order: Order) -> Result<Value, No> {
        let told = timeout(CHANGE_MAX, self.reader.tell(outlet, order)).await;
        told.map_err(|_| unconfirmed("the reader did not answer in time"))?.map_err(of_reader)?;
        Ok(json!({}))
    }

    async fn ask(&mut self, action: &str, plug: &str, until: Instant) -> Result<Ran, No> {
        let abilities = match self.abilities.take() {
            Some(abilities) => abilities,
            None => self.learn(until).await?,
        };
        let abilities = self.abilities.insert(abilities);
        let mut input = Zeroizing::new(self.config.lines(abilities, action, plug).into_bytes());
        let secrets = self.config.secrets().map_err(rejected)?;
        for (name, secret) in &secrets {
            for part in [name, "=", secret.expose(), "\n"] {
                input.extend_from_slice(part.as_bytes());
            }
        }
        let mut ran = self.run(action, &input, until).await?;
        ran.mask(secrets.values());
        Ok(ran)
    }

    /// What the fence agent says of itself; speaks with no unit.
    async fn learn(&self, until: Instant) -> Result<Abilities, No> {
        let ran = self.run("metadata", b"action=metadata\n", until).await?;
        let abilities = metadata::read(&ran.out).map_err(|why| rejected(format!("{}: {why}", self.config.agent.display())))?;
        match self.config.unfit(&abilities) {
            Some(reason) => Err(rejected(reason)),
            None => Ok(abilities),
        }
    }

    async fn run(&self, action: &str, input: &[u8], until: Instant) -> Result<Ran, No> {
        let named = |reason| format!("{}, asked for `{action}`: {reason}", self.config.agent.display());
        run(&self.config.agent, input, until).await.map_err(|trouble| match trouble {
            Trouble::NotStarted(reason) => unreachable(named(reason)),
            Trouble::Astray(reason) => No { astray: true, ..unreachable(named(reason)) },
        })
    }

    /// The end of what a fence agent said, without secrets.
    fn words(&self, what: &str, ran: &Ran) -> String {
        let text = format!("{} {}", ran.out.trim(), ran.err.trim());
        let skipped = text.chars().count().saturating_sub(WORDS_MAX);
        let end: String = text.chars().skip(skipped).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let code = ran.code.map_or("a signal".to_owned(), |code| code.to_string());
        format!("{} {what}, and ends with {code}: {end}", self.config.agent.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_exit_status_have_to_agree() {
        for (code, out, seen) in [
            (Some(0), "Status: ON\n", Some(Relay::On)),
            (Some(2), "Status: OFF\n", Some(Relay::Off)),
            (Some(0), "Status: OFF\n", Some(Relay::Unknown)),
            (Some(2), "Status: ON\n", Some(Relay::Unknown)),
            (Some(2), "", Some(Relay::Unknown)),
            (Some(2), "Status: OFF\nStatus: ON\n", Some(Relay::Unknown)),
            (Some(1), "Status: OFF\n", None),
            (None, "Status: OFF\n", None),
        ] {
            assert_eq!(status(&Ran { code, out: out.to_owned(), err: String::new() }), seen, "{code:?} {out}");
        }
    }

    #[test]
    fn off_needs_both_halves_unless_one_does_not_tell() {
        let all = [Relay::On, Relay::Off, Relay::Switching, Relay::Unknown];
        for status in all {
            for told in all {
                let off = both(status, told) == Relay::Off;
                assert_eq!(off, status == Relay::Off && matches!(told, Relay::Off | Relay::Unknown), "{status:?} {told:?}");
            }
        }
    }
}
