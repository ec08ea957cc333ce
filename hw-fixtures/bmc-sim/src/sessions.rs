//! Sessions of one BMC: a cap, an idle time-out, tokens that cannot be guessed.
//! Must never show a token after the answer that made it, nor grow beyond the cap.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;

use crate::config::Secret;

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
    pub fn open(&mut self, cap: usize, timeout: Duration) -> Option<(String, String)> {
        self.expire(timeout);
        if self.0.len() >= cap {
            return None;
        }
        let text = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let (id, token) = (text(&rand::random::<[u8; 8]>()), text(&rand::random::<[u8; 24]>()));
        self.0.push_back(Session {
            id: id.clone(),
            created: SystemTime::now(),
            token: Secret::from(token.as_str()),
            used: Instant::now(),
        });
        Some((id, token))
    }

    /// True if the token belongs to an open session, which then counts as used.
    pub fn touch(&mut self, token: &str, timeout: Duration) -> bool {
        self.expire(timeout);
        self.0.iter_mut().find(|s| s.token.is(token.as_bytes())).map(|s| s.used = Instant::now()).is_some()
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
        self.0.retain(|s| s.used.elapsed() <= timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cap_and_timeout_hold() {
        let long = Duration::from_secs(60);
        let mut sessions = Sessions::default();
        let (id, token) = sessions.open(1, long).unwrap();
        assert!(sessions.open(1, long).is_none());
        assert!(sessions.touch(&token, long) && !sessions.touch("other", long));
        assert!(sessions.close(&id) && !sessions.close(&id));
        let (_, token) = sessions.open(1, long).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert!(!sessions.touch(&token, Duration::from_millis(1)));
    }
}
