//! Initiators: how they log in, write, and are cut off. An admission is asked at the first step of a login and never again; a deleted
//! connection with a write at the disk stays listed until that is done, and what was written then nobody acknowledges.

use super::daemon::{Daemon, Export};
use super::{BLOCK_BYTES, State, Target, Waiting, Writer};
use crate::clock::now;
use crate::limits::REQUESTS_MAX;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who logs in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Initiator {
    /// The name it claims.
    pub name: String,
    /// From where.
    pub address: IpAddr,
    /// Its own number for the session: a second login with the same replaces the first.
    pub isid: u64,
    /// What it calls itself besides; may be anything.
    pub alias: String,
}

/// Why a login failed: status class and detail (RFC 7143, 11.13.5), or the end of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoginError {
    /// 2, 1: a secret is demanded, and this is not it.
    Authentication,
    /// 2, 3: no such target, as far as this initiator may know.
    NotFound,
    /// 3, 0: the target went away between two steps.
    Target,
    /// The daemon is not there, or not any more.
    Gone,
}

/// A login that passed everything but its last step.
#[derive(Clone, Debug)]
pub struct Pending {
    life: u64,
    tid: u32,
    initiator: Initiator,
    admitted: Instant,
}

/// A session, as its initiator knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId {
    life: u64,
    tid: u32,
    /// The daemon's number for it.
    pub number: u64,
}

/// Why a write failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// The connection is gone: whether it was done is unknown.
    Lost,
    /// There is no such logical unit (any more), or no such block: nothing was done.
    Refused,
}

/// Operations of a session on one logical unit, since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub submitted: u64,
    pub done: u64,
    pub errors: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub initiator: Initiator,
    admitted: Instant,
    since: Instant,
    /// Its connection was deleted; it waits for what is at the disk.
    pub closing: bool,
    /// The first command is answered with a unit attention and sent again.
    pub attention: bool,
    pub counts: BTreeMap<u64, Counts>,
    pub flights: u32,
}

impl Session {
    pub fn writer(&self) -> Writer {
        Writer { name: self.initiator.name.clone(), admitted: self.admitted, since: self.since }
    }
}

type Outcome = Arc<Mutex<Option<Result<(), WriteError>>>>;

/// A write between its beginning and its end.
pub(super) struct Flight {
    session: SessionId,
    unit: u64,
    pub object: String,
    pub block: u64,
    pub value: u64,
    pub due: Instant,
    takes: Duration,
    /// The daemon has taken it and given it to the disk.
    pub submitted: bool,
    outcome: Outcome,
}

/// A write that was begun.
pub struct Write {
    target: Target,
    session: SessionId,
    number: u64,
    outcome: Outcome,
}

/// True if an admission by address takes this one in: `ALL`, an address, or an address with a prefix length. The daemon binds any other
/// text as well, and it admits nobody.
fn admits(bound: &str, address: IpAddr) -> bool {
    if bound == "ALL" {
        return true;
    }
    let (base, prefix) = bound.split_once('/').map_or((bound, None), |(base, prefix)| (base, prefix.parse::<u32>().ok()));
    match (base.trim_matches(['[', ']']).parse(), address) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address)) => {
            let shift = 32_u32.saturating_sub(prefix.unwrap_or(32).min(32));
            u64::from(base.to_bits()) >> shift == u64::from(address.to_bits()) >> shift
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(address)) => {
            let shift = 128_u32.saturating_sub(prefix.unwrap_or(128).min(128));
            base.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
        }
        _ => false,
    }
}

impl Daemon {
    fn begin(&self, target: &str, initiator: &Initiator, chap: Option<(&str, &str)>) -> Result<u32, LoginError> {
        let found = self.exports.iter().find(|(_, export)| export.name == target);
        let (tid, export) = found.ok_or(LoginError::NotFound)?;
        let by_address = export.addresses.iter().any(|bound| admits(bound, initiator.address));
        if !by_address && !export.names.contains(&initiator.name) {
            return Err(LoginError::NotFound);
        }
        if export.accounts.iter().flatten().next().is_some() {
            let (user, secret) = chap.ok_or(LoginError::Authentication)?;
            let account = self.account(user).filter(|account| account.secret == secret);
            let account = account.ok_or(LoginError::Authentication)?;
            if !export.accounts.contains(&Some(account.number)) {
                return Err(LoginError::Authentication);
            }
        }
        Ok(*tid)
    }

    fn finish(&mut self, Pending { life, tid, initiator, admitted }: Pending) -> Result<SessionId, LoginError> {
        let export = self.exports.get_mut(&tid).ok_or(LoginError::Target)?;
        let same = |session: &Session| session.initiator.name == initiator.name && session.initiator.isid == initiator.isid;
        let before: Vec<u64> = export.sessions.iter().filter(|(_, session)| same(session)).map(|(number, _)| *number).collect();
        before.iter().for_each(|number| export.close(*number));
        self.last_session += 1;
        let session =
            Session { initiator, admitted, since: now(), closing: false, attention: true, counts: BTreeMap::new(), flights: 0 };
        export.sessions.insert(self.last_session, session);
        Ok(SessionId { life, tid, number: self.last_session })
    }
}

impl Export {
    /// Ends a session's connection; the session goes with it, unless the disk is still at work for it.
    pub fn close(&mut self, number: u64) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.closing = true;
        if session.flights == 0 {
            self.sessions.remove(&number);
        }
    }
}

impl State {
    fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        let daemon = self.daemon.as_mut().filter(|_| id.life == self.life)?;
        daemon.exports.get_mut(&id.tid)?.sessions.get_mut(&id.number)
    }

    fn connected(&mut self, id: SessionId) -> bool {
        self.session(id).is_some_and(|session| !session.closing)
    }

    /// The daemon takes a write from its connection, if that still stands.
    pub(super) fn submit(&mut self, number: u64) {
        let Some(flight) = self.flights.get(&number) else { return };
        let (id, unit) = (flight.session, flight.unit);
        let state = self.disk_until;
        let exported = self.daemon.as_ref().and_then(|daemon| daemon.exports.get(&id.tid)?.units.get(&unit)?.object.clone());
        let blocks = exported.as_ref().and_then(|object| self.objects.get(object)).map(|object| object.bytes / BLOCK_BYTES);
        let Some(session) = self.session(id).filter(|session| !session.closing) else {
            return self.drop_flight(number, WriteError::Lost);
        };
        let attention = std::mem::take(&mut session.attention);
        let sent = if attention { 2 } else { 1 };
        let Some(object) = exported else {
            // a unit that is not there is answered for by unit 0
            let counts = session.counts.entry(0).or_default();
            (counts.submitted, counts.done, counts.errors) = (counts.submitted + sent, counts.done + sent, counts.errors + sent);
            return self.drop_flight(number, WriteError::Refused);
        };
        let counts = session.counts.entry(unit).or_default();
        counts.submitted += sent;
        counts.done += sent - 1;
        counts.errors += sent - 1;
        let Some(flight) = self.flights.get_mut(&number) else { return };
        if blocks.is_none_or(|blocks| flight.block >= blocks) {
            if let Some(counts) = self.session(id).and_then(|session| session.counts.get_mut(&unit)) {
                (counts.done, counts.errors) = (counts.done + 1, counts.errors + 1);
            }
            return self.drop_flight(number, WriteError::Refused);
        }
        (flight.submitted, flight.object, flight.due) = (true, object, (now() + flight.takes).max(state));
        if let Some(session) = self.session(id) {
            session.flights += 1;
        }
    }

    fn drop_flight(&mut self, number: u64, error: WriteError) {
        if let Some(flight) = self.flights.remove(&number) {
            *flight.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(Err(error));
        }
    }

    pub(super) fn writer(&mut self, flight: &Flight) -> Option<Writer> {
        self.session(flight.session).map(|session| session.writer())
    }

    /// The disk has done a write.
    pub(super) fn land(&mut self, number: u64) {
        let Some(flight) = self.flights.remove(&number) else { return };
        // a session stays until its last write is done
        let Some(by) = self.writer(&flight) else { return };
        self.put_down(&flight, by, flight.due);
        let connected = self.connected(flight.session);
        let last = self.session(flight.session).is_some_and(|session| {
            session.flights -= 1;
            let counts = session.counts.entry(flight.unit).or_default();
            counts.done += 1;
            session.closing && session.flights == 0
        });
        if last && let Some(export) = self.daemon.as_mut().and_then(|daemon| daemon.exports.get_mut(&flight.session.tid)) {
            export.sessions.remove(&flight.session.number);
            self.moved = true;
        }
        let outcome = if connected { Ok(()) } else { Err(WriteError::Lost) };
        *flight.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// True if a write is at the disk for this unit of this target.
    pub(super) fn busy(&self, tid: u32, unit: u64) -> bool {
        self.flights.values().any(|flight| flight.submitted && flight.session.tid == tid && flight.unit == unit)
    }
}

impl Target {
    /// Waits until the daemon moves.
    async fn moving(&self) {
        loop {
            let Some(thaws) = self.lock().frozen else { return };
            tokio::time::sleep_until(thaws.into()).await;
        }
    }

    /// Says who it is, and proves it where that is demanded; the session is not made yet, and no list shows this.
    pub async fn begin_login(
        &self,
        target: &str,
        initiator: &Initiator,
        chap: Option<(&str, &str)>,
    ) -> Result<Pending, LoginError> {
        self.moving().await;
        let state = self.lock();
        let tid = state.daemon.as_ref().ok_or(LoginError::Gone)?.begin(target, initiator, chap)?;
        Ok(Pending { life: state.life, tid, initiator: initiator.clone(), admitted: now() })
    }

    /// Makes the session, wherever the login's target number leads by now.
    pub async fn finish_login(&self, pending: Pending) -> Result<SessionId, LoginError> {
        self.moving().await;
        let mut state = self.lock();
        let life = state.life;
        state.moved = true;
        let daemon = state.daemon.as_mut().filter(|_| life == pending.life).ok_or(LoginError::Gone)?;
        daemon.finish(pending)
    }

    /// Both steps at once.
    pub async fn log_in(&self, target: &str, initiator: &Initiator, chap: Option<(&str, &str)>) -> Result<SessionId, LoginError> {
        let pending = self.begin_login(target, initiator, chap).await?;
        self.finish_login(pending).await
    }

    /// The initiator closes its connection in good order. One that just dies says nothing, and its session stays.
    pub fn log_out(&self, session: SessionId) {
        let mut state = self.lock();
        let life = state.life;
        state.moved = true;
        let daemon = state.daemon.as_mut().filter(|_| life == session.life);
        if let Some(export) = daemon.and_then(|daemon| daemon.exports.get_mut(&session.tid)) {
            export.close(session.number);
        }
    }

    /// True while the session's connection stands, as its initiator sees it.
    pub fn connected(&self, session: SessionId) -> bool {
        self.lock().connected(session)
    }

    /// Begins to write one block, for which the disk takes this time.
    pub fn begin_write(
        &self,
        session: SessionId,
        unit: u64,
        block: u64,
        value: u64,
        takes: Duration,
    ) -> Result<Write, WriteError> {
        let mut state = self.lock();
        if !state.connected(session) {
            return Err(WriteError::Lost);
        }
        let (number, outcome, due) = (state.next_flight, Outcome::default(), now() + takes);
        state.next_flight += 1;
        let (object, outcome_too) = (String::new(), outcome.clone());
        let flight = Flight { session, unit, object, block, value, due, takes, submitted: false, outcome: outcome_too };
        state.flights.insert(number, flight);
        if state.frozen.is_some() && state.waiting.len() < REQUESTS_MAX {
            state.waiting.push_back(Waiting::Submission(number));
        } else if state.frozen.is_none() {
            state.submit(number);
        } else {
            state.drop_flight(number, WriteError::Lost);
        }
        Ok(Write { target: self.clone(), session, number, outcome })
    }

    /// Writes one block and waits for the acknowledgement.
    pub async fn write(&self, session: SessionId, unit: u64, block: u64, value: u64, takes: Duration) -> Result<(), WriteError> {
        self.begin_write(session, unit, block, value, takes)?.done().await
    }
}

impl Write {
    /// `Ok` is the acknowledgement. A connection that is deleted first ends the wait at once, whatever the disk still does.
    pub async fn done(self) -> Result<(), WriteError> {
        loop {
            let news = self.target.shared.news.notified();
            let next = {
                let mut state = self.target.lock();
                if let Some(outcome) = *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
                    return outcome;
                }
                if !state.connected(self.session) {
                    return Err(WriteError::Lost);
                }
                let due = state.flights.get(&self.number).map(|flight| flight.due);
                let Some(due) = due else { return Err(WriteError::Lost) };
                state.frozen.map_or(due, |thaws| due.max(thaws))
            };
            drop(tokio::time::timeout_at(next.into(), news).await);
        }
    }

    /// How it ended, if it did; does not wait.
    pub fn outcome(&self) -> Option<Result<(), WriteError>> {
        drop(self.target.lock());
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
