//! An iSCSI initiator: it keeps one session to one volume, and when that is lost it logs in again with what it has, for ever. A read or
//! write waits for the new session so long and then fails. It must never take a write for done that the target did not confirm.

use super::Run;
use super::cables::{Login, LoginError, Lost, Session, Source};
use super::limits::{LOGIN_PATIENCE, LOGIN_PAUSE, SESSION_SILENCE};
use super::trace::Event;
use std::net::SocketAddrV4;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// A read or write that failed for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed;

pub struct Initiator<'r> {
    run: &'r Run,
    from: Source,
    portal: SocketAddrV4,
    login: Login,
    session: Option<Session>,
    replacement: Duration,
}

impl<'r> Initiator<'r> {
    /// Logs in for the first time; whoever is refused then does not try again.
    pub async fn log_in(run: &'r Run, from: Source, portal: SocketAddrV4, login: Login) -> Result<Initiator<'r>, LoginError> {
        let replacement = run.build().times.replacement;
        let mut initiator = Initiator { run, from, portal, login, session: None, replacement };
        initiator.again().await?;
        Ok(initiator)
    }

    async fn again(&mut self) -> Result<Session, LoginError> {
        let trying = self.run.cables().log_in(self.from, self.portal, &self.login);
        let outcome = timeout(LOGIN_PATIENCE, trying).await.unwrap_or(Err(LoginError::Lost));
        match &outcome {
            Ok(session) => {
                self.session = Some(*session);
                self.run.happened(Event::LoggedIn(self.login.initiator.clone()));
            }
            Err(why) => self.run.happened(Event::LoginFailed(why.clone())),
        }
        outcome
    }

    /// A session, new if it must be, until the deadline.
    async fn session(&mut self, deadline: Instant) -> Result<Session, Failed> {
        loop {
            if let Some(session) = self.session {
                return Ok(session);
            }
            if let Ok(Ok(session)) = timeout_at(deadline, self.again()).await {
                return Ok(session);
            }
            if Instant::now() + LOGIN_PAUSE > deadline {
                return Err(Failed);
            }
            sleep(LOGIN_PAUSE).await;
        }
    }

    fn is_lost(&mut self) -> Instant {
        self.session = None;
        self.run.happened(Event::SessionLost);
        Instant::now() + self.replacement
    }

    /// Writes a block; over a new session the same block again.
    pub async fn write(&mut self, block: u64, value: u64) -> Result<(), Failed> {
        let mut deadline = Instant::now() + self.replacement;
        loop {
            let session = self.session(deadline).await?;
            match timeout(SESSION_SILENCE, self.run.cables().write(session, block, value)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Lost)) | Err(_) => deadline = self.is_lost(),
            }
        }
    }

    /// Reads a block.
    pub async fn read(&mut self, block: u64) -> Result<u64, Failed> {
        let mut deadline = Instant::now() + self.replacement;
        loop {
            let session = self.session(deadline).await?;
            match timeout(SESSION_SILENCE, self.run.cables().read(session, block)).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(Lost)) | Err(_) => deadline = self.is_lost(),
            }
        }
    }

    /// The session of the moment, if there is one.
    pub fn present(&self) -> Option<Session> {
        self.session
    }

    /// Has a session, or tries to, for ever; it writes nothing. Whether a session is still there is asked as a keep-alive asks.
    pub async fn keep_trying(&mut self) {
        loop {
            match self.session {
                Some(session) => {
                    let alive = timeout(SESSION_SILENCE, self.run.cables().read(session, 0)).await;
                    if !matches!(alive, Ok(Ok(_))) {
                        self.is_lost();
                    }
                }
                // whatever it comes to, the next look tells
                None => drop(self.again().await),
            }
            sleep(LOGIN_PAUSE).await;
        }
    }

    /// Ends the session in order.
    pub async fn log_out(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = timeout(SESSION_SILENCE, self.run.cables().log_out(session)).await;
        }
    }
}
