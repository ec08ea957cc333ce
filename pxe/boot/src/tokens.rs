//! One-time tokens: each boot of a machine draws a new one and voids the older; it is used when the secrets are delivered.
//! Pure: no clock, no randomness of its own. A token is never printed and never written to disk: a restart of the service voids them
//! all, and the machine boots again.

use crate::limits::{DHCP_TRANSACTION_MS, TOKEN_LIFE_MS};
use std::collections::BTreeMap;
use std::fmt;
use vocabulary::MachineId;

/// 128 random bits, written as 32 hex digits: a path segment that every firmware passes on unchanged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootToken([u8; 16]);

impl BootToken {
    /// From random bits. The caller draws them from a cryptographic source.
    pub fn of(bits: u128) -> BootToken {
        BootToken(bits.to_be_bytes())
    }

    /// Reads a path segment; exactly 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<BootToken> {
        let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        plain.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(BootToken::of)
    }

    /// The path segment. It opens the boot of one machine: write it into answers to that machine alone.
    pub fn expose(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for BootToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BootToken(***)")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Drawn for a DHCP transaction; a retransmission gets the same.
    Fresh,
    /// The script was fetched: the next DHCP transaction is another boot, even if the firmware repeats its transaction id.
    Fetched,
    /// Secrets were delivered.
    Used,
}

struct Issued {
    token: BootToken,
    transaction: u32,
    at_ms: u64,
    stage: Stage,
}

/// The tokens of all machines: at most one a machine.
#[derive(Default)]
pub struct Tokens {
    issued: BTreeMap<MachineId, Issued>,
    owner: BTreeMap<BootToken, MachineId>,
}

/// What a token is good for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Never drawn, or voided by a newer boot, a new permit, a revocation, or age.
    Unknown,
    /// The machine's present token, but its secrets are gone.
    Used(MachineId),
    /// The machine's present token.
    Open(MachineId),
}

impl Tokens {
    /// The token of one boot: the same for packets of one DHCP transaction before its script is fetched, else a new one that voids the
    /// older. `bits` are fresh random bits, used only if a new one is drawn.
    pub fn of_boot(&mut self, machine: &MachineId, transaction: u32, now_ms: u64, bits: u128) -> BootToken {
        if let Some(issued) = self.issued.get(machine) {
            let same = issued.transaction == transaction
                && issued.stage == Stage::Fresh
                && now_ms.saturating_sub(issued.at_ms) < DHCP_TRANSACTION_MS;
            if same {
                return issued.token;
            }
        }
        self.void(machine);
        let token = BootToken::of(bits);
        self.owner.insert(token, machine.clone());
        self.issued.insert(machine.clone(), Issued { token, transaction, at_ms: now_ms, stage: Stage::Fresh });
        token
    }

    /// Voids the machine's token, if it has one.
    pub fn void(&mut self, machine: &MachineId) {
        if let Some(old) = self.issued.remove(machine) {
            self.owner.remove(&old.token);
        }
    }

    /// What the token is good for now.
    pub fn find(&self, token: BootToken, now_ms: u64) -> Found {
        let Some((machine, issued)) = self.owner.get(&token).and_then(|machine| Some((machine, self.issued.get(machine)?)))
        else {
            return Found::Unknown;
        };
        if now_ms.saturating_sub(issued.at_ms) > TOKEN_LIFE_MS {
            return Found::Unknown;
        }
        match issued.stage {
            Stage::Used => Found::Used(machine.clone()),
            Stage::Fresh | Stage::Fetched => Found::Open(machine.clone()),
        }
    }

    /// Notes that the script was fetched.
    pub fn fetched(&mut self, token: BootToken) {
        if let Some(issued) = self.issued_of(token).filter(|issued| issued.stage == Stage::Fresh) {
            issued.stage = Stage::Fetched;
        }
    }

    /// Uses the token up. True exactly once for each token.
    pub fn use_up(&mut self, token: BootToken, now_ms: u64) -> bool {
        let open = matches!(self.find(token, now_ms), Found::Open(_));
        if open && let Some(issued) = self.issued_of(token) {
            issued.stage = Stage::Used;
        }
        open
    }

    fn issued_of(&mut self, token: BootToken) -> Option<&mut Issued> {
        self.issued.get_mut(self.owner.get(&token)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn machine(n: u8) -> MachineId {
        format!("m{n}").parse().unwrap()
    }

    #[test]
    fn a_token_is_a_plain_path_segment_and_is_not_printed() {
        let token = BootToken::of(0xab);
        assert_eq!(token.expose(), "000000000000000000000000000000ab");
        assert_eq!(BootToken::parse(&token.expose()), Some(token));
        for bad in ["", "ab", "+00000000000000000000000000000ab", "000000000000000000000000000000AB", &"0".repeat(33)] {
            assert_eq!(BootToken::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{token:?}"), "BootToken(***)");
    }

    #[test]
    fn retransmissions_share_a_token_and_the_next_boot_voids_it() {
        let (mut tokens, m1) = (Tokens::default(), machine(1));
        let first = tokens.of_boot(&m1, 7, 1000, 1);
        assert_eq!(tokens.of_boot(&m1, 7, 3000, 2), first, "DISCOVER again, then REQUEST");
        tokens.fetched(first);
        assert_eq!(tokens.find(first, 4000), Found::Open(m1.clone()), "an interrupted fetch may begin again");
        let second = tokens.of_boot(&m1, 7, 5000, 3);
        assert_ne!(first, second, "the same transaction id after the script was fetched is a new boot");
        assert_eq!(tokens.find(first, 5000), Found::Unknown);
        assert!(tokens.use_up(second, 6000));
        assert!(!tokens.use_up(second, 6000));
        assert_eq!(tokens.find(second, 6000), Found::Used(m1.clone()));
        let third = tokens.of_boot(&m1, 9, 7000, 4);
        assert_eq!(tokens.find(second, 7000), Found::Unknown);
        assert_eq!(tokens.find(third, 7000 + TOKEN_LIFE_MS + 1), Found::Unknown, "age voids it");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Boot { machine: u8, transaction: u32 },
        Fetched(usize),
        Use(usize),
        Void(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u8..3, 0u32..3).prop_map(|(machine, transaction)| Step::Boot { machine, transaction }),
            (0usize..20).prop_map(Step::Fetched),
            (0usize..20).prop_map(Step::Use),
            (0u8..3).prop_map(Step::Void),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: a machine has at most one open token, no token is used twice, and a token once void or
        /// used never opens again.
        #[test]
        fn at_most_one_open_token_a_machine_and_none_is_used_twice(steps in proptest::collection::vec(step(), 0..80)) {
            let mut tokens = Tokens::default();
            let mut drawn: Vec<BootToken> = Vec::new();
            let mut used = std::collections::BTreeSet::new();
            let mut dead = std::collections::BTreeSet::new();
            for (n, step) in steps.into_iter().enumerate() {
                let now = n as u64 * 1000;
                match step {
                    Step::Boot { machine: m, transaction } => {
                        let token = tokens.of_boot(&machine(m), transaction, now, 1 + n as u128);
                        if !drawn.contains(&token) { drawn.push(token); }
                    }
                    Step::Fetched(i) => if let Some(token) = drawn.get(i) { tokens.fetched(*token) },
                    Step::Use(i) => if let Some(token) = drawn.get(i) && tokens.use_up(*token, now) {
                        prop_assert!(used.insert(*token), "used twice");
                    },
                    Step::Void(m) => tokens.void(&machine(m)),
                }
                let mut open = std::collections::BTreeMap::new();
                for token in &drawn {
                    match tokens.find(*token, now) {
                        Found::Open(m) => {
                            prop_assert!(!dead.contains(token), "a dead token opened again");
                            prop_assert!(open.insert(m, ()).is_none(), "two open tokens");
                        }
                        Found::Used(_) | Found::Unknown => { dead.insert(*token); }
                    }
                }
            }
        }
    }
}
