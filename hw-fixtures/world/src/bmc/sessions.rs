//! Sessions of one BMC: a cap, an idle time-out, tokens that cannot be guessed.
//! Must never show a token after the answer that made it, nor grow beyond the cap.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;

use crate::bmc::machine::Secret;
use crate::clock::{Wall, now, since};
use crate::dice::Dice;

/// One open session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its id in the collection.
    pub id: String,
    /// When it was opened.
    pub created: SystemTime,
    token: Secret,
    used: Instant,
}

/// All sessions of a BMC, oldest first.
#[derive(Debug, Default)]
pub struct Sessions(VecDeque<Session>);

impl Sessions {
    /// Opens a session: its id and token; None if the cap is reached.
    pub fn open(&mut self, cap: usize, timeout: Duration, wall: &Wall, dice: &Dice) -> Option<(String, String)> {
        self.expire(timeout);
        if self.0.len() >= cap {
            return None;
        }
        let text = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let (id, token) = (text(&dice.bytes::<8>()), text(&dice.bytes::<24>()));
        self.0.push_back(Session { id: id.clone(), created: wall.now(), token: Secret::from(token.as_str()), used: now() });
        Some((id, token))
    }

    /// True if the token belongs to an open session, which then counts as used.
    pub fn touch(&mut self, token: &str, timeout: Duration) -> bool {
        self.expire(timeout);
        self.0.iter_mut().find(|s| s.token.is(token.as_bytes())).map(|s| s.used = now()).is_some()
    }

    /// True while the token belongs to an open session; asking is no use of it.
    pub fn is_open(&self, token: &str) -> bool {
        self.0.iter().any(|s| s.token.is(token.as_bytes()))
    }

    /// Closes a session; false if there is none of that id.
    pub fn close(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|s| s.id != id);
        self.0.len() < before
    }

    /// Forgets all of them, as a BMC that restarted.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The open ones.
    pub fn list(&mut self, timeout: Duration) -> impl ExactSizeIterator<Item = &Session> {
        self.expire(timeout);
        self.0.iter()
    }

    fn expire(&mut self, timeout: Duration) {
        self.0.retain(|s| since(s.used) <= timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn cap_and_timeout_hold() {
        let (long, wall, dice) = (Duration::from_secs(60), Wall::from(std::time::UNIX_EPOCH), Dice::of(1, "sessions"));
        let mut sessions = Sessions::default();
        let (id, token) = sessions.open(1, long, &wall, &dice).unwrap();
        assert!(sessions.open(1, long, &wall, &dice).is_none());
        assert!(sessions.touch(&token, long) && !sessions.touch("other", long));
        assert!(sessions.close(&id) && !sessions.close(&id));
        let (_, token) = sessions.open(1, long, &wall, &dice).unwrap();
        tokio::time::sleep(long).await;
        assert!(sessions.is_open(&token) && sessions.list(long).len() == 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!sessions.touch(&token, long));
    }
}
