//! One session with one BMC: made once, kept, said farewell to. Where the BMC has no free session, each request carries the account.
//! Must never leave a session behind that it could end, and never give two sessions the same number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use vocabulary::Secret;

use super::http::{Credential, Http, NoSession, Reply};
use super::trouble::{self, Trouble};
use super::view;
use crate::fault::Kind;
use crate::given::{Given, now, since};
use crate::limits;

/// Where sessions are made on every BMC whose service root does not say otherwise.
pub const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// An account on a BMC.
#[derive(Clone, Debug)]
pub struct Account {
    /// Name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// Numbers for sessions; begins at random, so that two lives of an agent do not give the same one.
#[derive(Debug)]
pub struct Numbers(AtomicU64);

impl Numbers {
    /// Begins.
    pub fn new(given: &Given) -> Numbers {
        // 32 random bits above 20 counted ones: exact in every JSON reader.
        Numbers(AtomicU64::new(u64::from(given.number(u32::MAX)) << 20))
    }

    /// A number that was never given out before.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A session, or what stands for one.
#[derive(Debug)]
pub struct Session {
    /// What its requests carry.
    pub credential: Credential,
    number: AtomicU64,
    uri: Option<String>,
    made: Instant,
}

impl Session {
    /// Opens a session; falls back to the account itself where the BMC has no sessions or refuses one for any reason but the account.
    pub async fn open(http: &Http, sessions: Option<&str>, account: &Account, numbers: &Numbers) -> Result<Session, Trouble> {
        let Some(sessions) = sessions else {
            return Ok(Session::without(account, NoSession::Untold, numbers));
        };
        let body = json!({ "UserName": account.user, "Password": account.password.expose() });
        let asked = http.command(Method::POST, sessions, &Credential::Nobody, Some(&body), None).await;
        // a log-in changes nothing that could be half done
        let reply =
            asked.map_err(|trouble| if let Trouble::BrokenOff(why) = trouble { Trouble::Silent(why) } else { trouble })?;
        if let (200..=299, Some(token)) = (reply.status, reply.token.clone()) {
            return Ok(Session::new(Credential::Token(token), session_uri(&reply), numbers));
        }
        let (why, kind) = match Trouble::of_login(reply.status, &reply.body, reply.explained()) {
            // who may only read may read all the same, on some BMCs without a session
            Some(Trouble::Account(kind @ Kind::TooFewRights, _)) => (NoSession::Rights, kind),
            Some(refused) => return Err(refused),
            None if trouble::is_full(&reply.body) => (NoSession::Full, Kind::SessionsFull),
            None => (NoSession::Untold, Kind::Answer),
        };
        let code = kind.code();
        tracing::warn!(%code, answer = %reply.explained(), "the BMC gives no session; each request carries the account instead");
        Ok(Session::without(account, why, numbers))
    }

    /// What stands for a session: each request carries the account.
    fn without(account: &Account, why: NoSession, numbers: &Numbers) -> Session {
        let credential = Credential::Account { user: account.user.clone(), password: account.password.clone(), why };
        Session::new(credential, None, numbers)
    }

    fn new(credential: Credential, uri: Option<String>, numbers: &Numbers) -> Session {
        Session { credential, number: AtomicU64::new(numbers.next()), uri, made: now() }
    }

    /// True for a session of the BMC's own, false where the account stands in for one.
    pub fn is_kept(&self) -> bool {
        matches!(self.credential, Credential::Token(_))
    }

    /// How this client is logged in, for people.
    pub fn shown(&self) -> String {
        match &self.credential {
            Credential::Account { why, .. } => {
                let why = match why {
                    NoSession::Full => format!("{}: the BMC has no free session", Kind::SessionsFull.code()),
                    NoSession::Rights => "the account may not make a session".to_owned(),
                    NoSession::Untold => "the BMC gives no session".to_owned(),
                };
                format!("{why}; each request carries the account itself")
            }
            Credential::Token(_) | Credential::Nobody => "a session of its own".into(),
        }
    }

    /// True if a proper session should be asked for again.
    pub fn is_due(&self) -> bool {
        !self.is_kept() && since(self.made) >= limits::SESSION_RETRY
    }

    /// The number that names this session. Where the account stands in for one nothing is unbroken: every reading has its own number.
    pub fn number(&self, numbers: &Numbers) -> u64 {
        if self.is_kept() { self.number.load(Ordering::Acquire) } else { numbers.next() }
    }

    /// A request met silence: what is read from here on is not on an unbroken session any more, even if the token still holds.
    pub fn interrupted(&self, numbers: &Numbers) {
        self.number.store(numbers.next(), Ordering::Release);
    }

    /// Ends it, so that the BMC's few sessions stay free. Nobody needs the outcome: a session that cannot be ended runs out by itself.
    pub async fn close(&self, http: &Http) {
        if let Some(uri) = &self.uri {
            match http.command(Method::DELETE, uri, &self.credential, None, None).await {
                Ok(reply) => tracing::debug!(status = reply.status, "session ended"),
                Err(trouble) => tracing::debug!(%trouble, "session not ended"),
            }
        }
    }
}

fn session_uri(reply: &Reply) -> Option<String> {
    reply.location.as_deref().and_then(view::path).or_else(|| view::link(&reply.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_between_lives_and_fit_into_a_double() {
        let (one, two) = (Numbers::new(&Given::by_the_machine()), Numbers::new(&Given::by_the_machine()));
        let (a, b) = (one.next(), one.next());
        assert_ne!(a, b);
        // One chance in 2^32 of being wrong.
        assert_ne!(a, two.next());
        assert!(a < 1 << 53);
    }

    #[test]
    fn an_account_is_never_an_unbroken_session() {
        let numbers = Numbers::new(&Given::by_the_machine());
        let of = |credential| Session { credential, number: AtomicU64::new(7), uri: None, made: Instant::now() };
        let account = of(Credential::Account { user: "u".into(), password: Secret::new("p"), why: NoSession::Full });
        assert!(account.shown().starts_with("F1013: "), "{}", account.shown());
        assert_ne!(account.number(&numbers), account.number(&numbers));
        let kept = of(Credential::Token(Secret::new("t")));
        assert_eq!(kept.number(&numbers), kept.number(&numbers));
        kept.interrupted(&numbers);
        assert_ne!(kept.number(&numbers), 7);
    }
}
