//! The one event stream that is kept open to a BMC: opened when somebody waits for a change, on a connection of its own, and read no faster
//! than somebody waits. A stream that breaks, floods or sends garbage is closed and opened again after a pause that grows.
//! Must never make anything of an event but a wake-up, and never cost more than itself: looks and commands do not pass here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::events::{Budget, Decoder, Flaw};
use super::http::Http;
use super::session::Session;
use super::transport::Chunks;
use super::trouble::Trouble;
use crate::given::{Given, now, since};
use crate::limits;

/// Parts of which the jitter of a pause is drawn.
const JITTER: u32 = 1_000;

/// See the module.
#[derive(Debug)]
pub struct Ear {
    stream: Option<Stream>,
    /// Attempts in a row that came to nothing good.
    failures: u32,
    /// Not before this.
    again: Option<Instant>,
    given: Given,
}

/// An open stream.
#[derive(Debug)]
struct Stream {
    /// It was opened on this session, and ends with it.
    session: Arc<Session>,
    body: Box<dyn Chunks>,
    decoder: Decoder,
    budget: Budget,
    opened: Instant,
}

impl Ear {
    /// Without a stream.
    pub fn new(given: Given) -> Ear {
        Ear { stream: None, failures: 0, again: None, given }
    }

    /// Waits for the next event. A stream that was just opened counts as one: what happened since the last look, and before, it does not tell.
    /// An error says why there is no stream any more; the next call waits out the pause and opens another.
    /// Who gives up waiting loses nothing: the stream stays as it is.
    pub async fn next(&mut self, http: &Http, session: &Arc<Session>, path: &str) -> Result<(), Trouble> {
        if self.stream.as_ref().is_some_and(|stream| !Arc::ptr_eq(&stream.session, session)) {
            self.close();
        }
        let Some(stream) = &mut self.stream else {
            self.stream = Some(self.open(http, session, path).await?);
            return Ok(());
        };
        let ended = loop {
            match stream.body.next().await {
                Ok(Some(bytes)) => match stream.heard(&bytes) {
                    Ok(0) => {}
                    Ok(_) => return Ok(()),
                    Err(flaw) => break flaw.to_string(),
                },
                Ok(None) => break "the BMC has closed its event stream".to_owned(),
                Err(why) => break format!("its event stream broke: {why}"),
            }
        };
        // it was counted when it was opened; the pause begins now
        self.failures = self.failures.saturating_sub(1);
        self.close();
        self.failed();
        Err(Trouble::Answer(ended))
    }

    async fn open(&mut self, http: &Http, session: &Arc<Session>, path: &str) -> Result<Stream, Trouble> {
        if let Some(again) = self.again {
            tokio::time::sleep_until(again.into()).await;
        }
        // before it is tried: an attempt that is given up on was one
        self.failed();
        let body = http.listen(path, &session.credential).await?.body;
        let now = now();
        tracing::debug!(path, "listening to the BMC's events");
        Ok(Stream { session: Arc::clone(session), body, decoder: Decoder::default(), budget: Budget::new(now), opened: now })
    }

    fn close(&mut self) {
        if self.stream.take().is_some_and(|stream| since(stream.opened) >= limits::STREAM_PROVEN) {
            self.failures = 0;
        }
    }

    fn failed(&mut self) {
        self.again = Some(now() + pause(self.failures, self.given.number(JITTER)));
        self.failures = self.failures.saturating_add(1);
    }
}

impl Stream {
    /// How many events these bytes complete.
    fn heard(&mut self, bytes: &[u8]) -> Result<u32, Flaw> {
        let events = self.decoder.feed(bytes)?;
        self.budget.spend(now(), bytes.len(), events > 0)?;
        Ok(events)
    }
}

/// The pause after so many failures before: half of it and so many parts of the other half, of [`JITTER`].
fn pause(failures: u32, parts: u32) -> Duration {
    let grown = 2u32.checked_pow(failures).map_or(limits::STREAM_PAUSE_MAX, |factor| limits::STREAM_PAUSE.saturating_mul(factor));
    let half = grown.min(limits::STREAM_PAUSE_MAX) / 2;
    half + half * parts / JITTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_and_is_bounded() {
        assert_eq!(pause(0, JITTER), limits::STREAM_PAUSE);
        assert_eq!(pause(3, JITTER), limits::STREAM_PAUSE * 8);
        assert_eq!(pause(3, 0), limits::STREAM_PAUSE * 4);
        assert!([9, 31, 32, u32::MAX].iter().all(|failures| pause(*failures, JITTER) == limits::STREAM_PAUSE_MAX));
    }
}
