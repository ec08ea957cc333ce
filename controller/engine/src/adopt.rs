//! Backup and adoption, seen from the shell: what a backup holds beside the entries, and how a restored store asks all agents, takes what they
//! know, and has them obey it. It decides nothing: what is taken is the core's.

use crate::handle::{Handle, Origin};
use crate::history::History;
use journal::backup::{Backup, Header};
use journal::chain::{Base, Head, Line};
use journal::{Error, Reader};
use pipeline::State;
use pipeline::adopt;
use pipeline::adoption::Adoption;
use pipeline::event::Intent;
use vocabulary::{AgentId, Fault};

/// What became of an agent when a store was adopted.
#[derive(Clone, Debug)]
pub struct Seeded {
    /// Which.
    pub agent: String,
    /// Whether it obeys this store now, or why not.
    pub outcome: Result<(), Fault>,
}

impl Reader for History {
    fn base(&mut self) -> Result<Option<Base>, Error> {
        self.with_reader(|reader| reader.base())
    }

    fn lines(&mut self, after: u64, limit: usize) -> Result<(Head, Vec<Line>), Error> {
        self.with_reader(|reader| reader.lines(after, limit))
    }
}

impl Handle {
    /// A backup of all that is durable now, for somebody. It holds secrets, so that it is told in the log.
    pub fn backup(&self, principal: &str) -> Backup {
        tracing::warn!(%principal, "a backup is being read: it holds the estate's keys");
        let Origin { meta, files } = &*self.origin;
        let header = Header::new(self.clock().wall(), meta.clone(), files.clone());
        let handle = self.clone();
        Backup::new(Box::new(self.history().clone()), Box::new(move || handle.revision()), header)
    }

    /// Asks every agent, then the core with what they said.
    pub async fn hear<T: Send + 'static>(&self, question: impl FnOnce(&State) -> T + Send + 'static) -> Result<T, Fault> {
        // what each says is told to the core before this returns
        self.agents.views().await;
        self.query(question).await
    }

    /// What would be taken from the agents, asked now; `None` if there is nothing to adopt.
    pub async fn adoption(&self) -> Result<Option<Adoption>, Fault> {
        let clock = self.clock().clone();
        self.hear(move |state| state.ledger.has_to_adopt().then(|| adopt::read(state, clock.now()))).await
    }

    /// A person agrees to an adoption. If that was the last word needed, it is taken, and each agent that was heard is had to obey this store.
    /// Empty if others have to agree as well.
    pub async fn adopt(&self, principal: String, hash: String, reason: String) -> Result<Vec<Seeded>, Fault> {
        self.agents.views().await;
        self.intent(principal.clone(), Intent::Adopt { hash, reason }).await?;
        let mut seeded = Vec::new();
        for agent in self.query(adopt::to_seed).await? {
            let outcome = match agent.parse::<AgentId>() {
                Ok(id) => self.seed(principal.clone(), id).await.map(drop),
                Err(_) => Err(Fault::new(1003, format!("`{agent}` is no agent's name"), "report this")),
            };
            seeded.push(Seeded { agent, outcome });
        }
        Ok(seeded)
    }
}
