//! A program that is started when it is needed, asked one question at a time, and ended when it is late or garbled: it is in step with its
//! questions, or it is gone.

use crate::limits::{ARGUMENTS_MAX, NUMBER_BITS, START_MAX};
use crate::line::{Kind, Refusal, Said, greets, question, said, shown};
use crate::process::{Config, Process};
use contract::AgentError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// Why a program cannot be used at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the driver's program cannot be used: {0}")]
pub struct Error(pub String);

/// Why a question has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It was not asked.
    NotAsked(String),
    /// It was asked, and what came of it is not known. The program is gone.
    Lost(String),
    /// The program says no.
    Refused(Refusal, String),
}

impl Trouble {
    /// What it means where only a reading was asked for.
    pub fn of_reading(self) -> AgentError {
        match self {
            Trouble::NotAsked(reason) | Trouble::Lost(reason) => AgentError::Unreachable { reason },
            Trouble::Refused(Refusal::Rejected, reason) => AgentError::Rejected { reason },
            Trouble::Refused(Refusal::Unreachable | Refusal::Unconfirmed, reason) => AgentError::Unreachable { reason },
        }
    }

    /// What it means where something was to be changed.
    pub fn of_change(self) -> AgentError {
        match self {
            Trouble::NotAsked(reason) => AgentError::Unreachable { reason },
            Trouble::Lost(reason) | Trouble::Refused(Refusal::Unconfirmed, reason) => AgentError::Unconfirmed { reason },
            Trouble::Refused(Refusal::Rejected, reason) => AgentError::Rejected { reason },
            Trouble::Refused(Refusal::Unreachable, reason) => AgentError::Unreachable { reason },
        }
    }
}

/// A driver's program.
pub struct Program {
    config: Config,
    kind: Kind,
    /// Who runs now.
    talk: Mutex<Option<Process>>,
    /// Questions have numbers that no program can know before: one that counts by itself is found out at once.
    numbers: RandomState,
    asked: AtomicU64,
}

impl Program {
    /// Makes sure that there is such a program; starts nothing.
    pub fn open(config: Config, kind: Kind) -> Result<Program, Error> {
        let Some(file) = config.command.first() else { return Err(Error("`command` is empty".to_owned())) };
        let path = Path::new(file);
        if !path.is_absolute() {
            return Err(Error(format!("`{}` is no absolute path", file.escape_debug())));
        }
        if !path.is_file() {
            return Err(Error(format!("{} is no file; install it, or correct `command`", path.display())));
        }
        if config.command.len() > ARGUMENTS_MAX || config.environment.len() > ARGUMENTS_MAX {
            return Err(Error(format!("`command` and `environment` hold {ARGUMENTS_MAX} entries at most")));
        }
        let odd = |word: &str| word.contains('\0');
        let named = |name: &str| !name.is_empty() && !name.contains('=');
        if config.command.iter().any(|word| odd(word))
            || config.environment.iter().any(|(name, value)| odd(name) || odd(value) || !named(name))
        {
            return Err(Error("a word of `command` or `environment` holds what no such word can".to_owned()));
        }
        Ok(Program { config, kind, talk: Mutex::default(), numbers: RandomState::new(), asked: AtomicU64::new(0) })
    }

    /// Asks one question. It waits at most half of the time for the question before it, so that what is asked has time. Whoever gives up
    /// meanwhile ends the program: its answer would be taken for the next one's.
    pub async fn ask<T: DeserializeOwned>(&self, what: &str, about: &Map<String, Value>, limit: Duration) -> Result<T, Trouble> {
        let begun = Instant::now();
        let until = begun + limit;
        let named = |reason: String| {
            let program = self.config.command.first().map_or("", String::as_str);
            shown(format!("the program {program}: {reason}").as_bytes())
        };
        let not_asked = |reason| Trouble::NotAsked(named(reason));
        let lost = |reason| Trouble::Lost(named(reason));

        let Ok(mut talk) = timeout_at(begun + limit / 2, self.talk.lock()).await else {
            return Err(not_asked(format!("it was busy with other questions for {} ms", (limit / 2).as_millis())));
        };
        // from here to a whole answer nobody has it but this question
        let in_step = talk.take().filter(|process| !process.is_astray());
        let mut process = match in_step {
            Some(process) => process,
            None => self.start(until).await.map_err(not_asked)?,
        };
        let id = self.number();
        let exchange = async {
            process.tell(&question(id, what, about)).await?;
            said(&process.line().await?, id)
        };
        let late = |_| lost(format!("no answer to `{what}` within {} ms", limit.as_millis()));
        let said = timeout_at(until, exchange).await.map_err(late)?.map_err(lost)?;
        *talk = Some(process);
        match said {
            Said::Answer(answer) => Ok(answer),
            Said::Refused(refusal, reason) => Err(Trouble::Refused(refusal, named(reason))),
        }
    }

    fn number(&self) -> u64 {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        self.numbers.hash_one(asked) >> (u64::BITS - NUMBER_BITS)
    }

    async fn start(&self, until: Instant) -> Result<Process, String> {
        let mut process = Process::start(&self.config)?;
        let until = until.min(Instant::now() + START_MAX);
        let first = timeout_at(until, process.line()).await;
        let first = first.map_err(|_| "it said nothing in time after its start".to_owned())??;
        greets(&first, self.kind)?;
        Ok(process)
    }
}
