//! The payloads by which an RMCP+ session is opened (Open Session, RAKP 1 to 4), and the proofs that they carry.
//! Must never take a status for success because the rest of the payload is missing, and never offer an algorithm outside the suite.

use zeroize::Zeroizing;

use super::crypto::{BLOCK, Suite, same};

/// Payload types.
pub const OPEN_REQUEST: u8 = 0x10;
pub const OPEN_REPLY: u8 = 0x11;
pub const RAKP_1: u8 = 0x12;
pub const RAKP_2: u8 = 0x13;
pub const RAKP_3: u8 = 0x14;
pub const RAKP_4: u8 = 0x15;

/// Look the user up by name alone, not by name and privilege.
const BY_NAME: u8 = 0x10;

/// The least that BMCs keep of a password that they cut without a word, bytes: the 16 of IPMI 1.5 (bmclib#327, metal-api#597), less
/// one where a text ends with a zero. OpenIPMI's simulator keeps 19 of 20 so.
const KEPT_MIN: usize = 15;

/// What a session is opened with.
pub struct Account {
    /// Up to 16 bytes.
    pub user: Vec<u8>,
    /// Up to 20 bytes.
    pub password: Zeroizing<Vec<u8>>,
    /// K_G, up to 20 bytes; where a BMC has none the password stands in for it.
    pub key: Option<Zeroizing<Vec<u8>>>,
    /// Privilege level asked for: 2 user, 3 operator, 4 administrator.
    pub privilege: u8,
    /// Allowed suites, the preferred one first.
    pub suites: Vec<Suite>,
}

/// How a BMC hashes the privilege.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// As in RAKP message 1, with the mark of a look-up by name: the specification.
    AsAsked,
    /// As in the Open Session request, without the mark: several BMCs.
    AsOpened,
    /// The highest level that the account may have, whatever is asked for, with or without the mark: other BMCs.
    OfAccount(u8),
}

impl Role {
    /// All, the most frequent first. Which one a BMC uses is seen in its own proof, so that trying them costs no attempt.
    pub const ALL: [Role; 8] = [
        Role::AsAsked,
        Role::AsOpened,
        Role::OfAccount(2),
        Role::OfAccount(3),
        Role::OfAccount(4),
        Role::OfAccount(BY_NAME | 2),
        Role::OfAccount(BY_NAME | 3),
        Role::OfAccount(BY_NAME | 4),
    ];
}

/// What both sides know of an opening after RAKP message 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Our session id.
    pub ours: u32,
    /// The BMC's session id.
    pub theirs: u32,
    /// Our random number.
    pub our_nonce: [u8; BLOCK],
    /// The BMC's random number.
    pub their_nonce: [u8; BLOCK],
    /// The GUID that the BMC tells.
    pub guid: [u8; BLOCK],
}

/// The Open Session request.
pub fn open_request(tag: u8, privilege: u8, ours: u32, suite: Suite) -> Vec<u8> {
    let [authentication, integrity, confidentiality] = suite.algorithms();
    let mut payload = vec![tag, privilege, 0, 0];
    payload.extend(ours.to_le_bytes());
    for (kind, algorithm) in [(0, authentication), (1, integrity), (2, confidentiality)] {
        payload.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
    }
    payload
}

/// What the BMC says to the Open Session request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Its session id, unless the status is an error.
    pub theirs: u32,
    /// The algorithms it means to use.
    pub algorithms: [u8; 3],
}

/// Tag, status and our session id, with which every reply of the handshake begins. A refusal may end before the session id.
pub fn head(payload: &[u8]) -> Option<(u8, u8, Option<u32>)> {
    let ([tag, status], rest) = payload.split_first_chunk::<2>()?;
    let ours = rest.get(2..).and_then(|rest| rest.first_chunk::<4>()).map(|id| u32::from_le_bytes(*id));
    Some((*tag, *status, ours))
}

/// The rest of a good Open Session reply.
pub fn opened(payload: &[u8]) -> Option<Opened> {
    let theirs = u32::from_le_bytes(*payload.get(8..)?.first_chunk::<4>()?);
    let algorithm = |at: usize| payload.get(at).copied();
    Some(Opened { theirs, algorithms: [algorithm(16)?, algorithm(24)?, algorithm(32)?] })
}

/// The rest of a good RAKP message 2: random number, GUID, code.
pub fn challenge(payload: &[u8]) -> Option<([u8; BLOCK], [u8; BLOCK], &[u8])> {
    let (nonce, rest) = payload.get(8..)?.split_first_chunk::<BLOCK>()?;
    let (guid, code) = rest.split_first_chunk::<BLOCK>()?;
    Some((*nonce, *guid, code))
}

impl Account {
    fn role(&self, role: Role) -> u8 {
        match role {
            Role::AsAsked => BY_NAME | self.privilege,
            Role::AsOpened => self.privilege,
            Role::OfAccount(level) => level,
        }
    }

    fn name(&self, role: Role) -> Vec<u8> {
        let length = u8::try_from(self.user.len()).unwrap_or(0);
        [&[self.role(role), length], self.user.as_slice()].concat()
    }

    /// RAKP message 1.
    pub fn rakp_1(&self, tag: u8, facts: &Facts) -> Vec<u8> {
        let length = u8::try_from(self.user.len()).unwrap_or(0);
        let mut payload = vec![tag, 0, 0, 0];
        payload.extend(facts.theirs.to_le_bytes());
        payload.extend(facts.our_nonce);
        payload.extend([self.role(Role::AsAsked), 0, 0, length]);
        payload.extend(&self.user);
        payload
    }

    /// How the BMC hashed the privilege in RAKP message 2, whose code proves that it knows the password; `None` if it does not.
    pub fn knows(&self, suite: Suite, facts: &Facts, code: &[u8]) -> Option<Role> {
        self.proven(&self.password, suite, facts, code)
    }

    /// How many bytes of the password the BMC kept, if the code proves that it knows its beginning alone. A session is never opened
    /// under it: it is weaker than what somebody chose.
    pub fn knows_beginning(&self, suite: Suite, facts: &Facts, code: &[u8]) -> Option<usize> {
        let proven = |beginning| self.proven(beginning, suite, facts, code).is_some();
        (KEPT_MIN..self.password.len()).find(|kept| self.password.get(..*kept).is_some_and(proven))
    }

    fn proven(&self, password: &[u8], suite: Suite, facts: &Facts, code: &[u8]) -> Option<Role> {
        Role::ALL.into_iter().find(|role| {
            let ids = [facts.ours.to_le_bytes(), facts.theirs.to_le_bytes()].concat();
            let parts: [&[u8]; 5] = [&ids, &facts.our_nonce, &facts.their_nonce, &facts.guid, &self.name(*role)];
            same(&suite.mac(password, &parts), code)
        })
    }

    /// RAKP message 3, by which we prove that we know the password.
    pub fn rakp_3(&self, tag: u8, suite: Suite, facts: &Facts, role: Role) -> Vec<u8> {
        let parts: [&[u8]; 3] = [&facts.their_nonce, &facts.ours.to_le_bytes(), &self.name(role)];
        let code = suite.mac(&self.password, &parts);
        let mut payload = vec![tag, 0, 0, 0];
        payload.extend(facts.theirs.to_le_bytes());
        payload.extend(code.iter());
        payload
    }

    /// The session integrity key.
    pub fn sik(&self, suite: Suite, facts: &Facts, role: Role) -> Zeroizing<Vec<u8>> {
        let key = self.key.as_ref().unwrap_or(&self.password);
        suite.mac(key, &[&facts.our_nonce, &facts.their_nonce, &self.name(role)])
    }
}

/// True if the code of RAKP message 4 proves that the BMC has the same session integrity key.
pub fn agrees(suite: Suite, sik: &[u8], facts: &Facts, payload: &[u8]) -> bool {
    let whole = suite.mac(sik, &[&facts.our_nonce, &facts.theirs.to_le_bytes(), &facts.guid]);
    let expected = whole.get(..suite.code());
    expected.zip(payload.get(8..)).is_some_and(|(expected, code)| same(expected, code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reading_is_total(noise in proptest::collection::vec(any::<u8>(), 0..90)) {
            let _ = (head(&noise), opened(&noise), challenge(&noise));
            prop_assert!(!agrees(Suite::Three, &[1; 20], &Facts::default(), &noise));
        }
    }

    #[test]
    fn each_suite_offers_its_algorithms_and_no_other() {
        let offer = |suite| open_request(7, 4, 0x0102_0304, suite);
        assert_eq!(offer(Suite::Three)[..8], [7, 4, 0, 0, 4, 3, 2, 1]);
        assert_eq!(offer(Suite::Three)[8..], [0, 0, 0, 8, 1, 0, 0, 0, 1, 0, 0, 8, 1, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0]);
        assert_eq!(offer(Suite::Seventeen)[8..], [0, 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0]);
    }
}
