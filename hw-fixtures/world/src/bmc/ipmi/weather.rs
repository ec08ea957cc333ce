//! What happens to packets on the way, as the quirks say: lost, late, twice, out of order. The dice are seeded, so that a run can be had again.
//! Must never hold more than one packet back.

use crate::bmc::quirks::Quirks;

/// The quirks of the way at the moment of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Nothing is answered.
    pub off: bool,
    /// Before a request is looked at, ms.
    pub delay: u64,
    /// Before a reply leaves, ms.
    pub reply_delay: u64,
    /// Replies to requests that change something are lost.
    pub drop_reply: bool,
    /// Replies are noise.
    pub garbage: bool,
    /// So many packets at once make the BMC restart; 0: never.
    pub flood: usize,
    late: (u64, u8),
    loss: u8,
    duplicate: u8,
    reorder: u8,
    seed: u64,
}

impl Pace {
    /// Of these quirks.
    pub fn of(quirks: &Quirks) -> Pace {
        Pace {
            off: quirks.ipmi_off,
            delay: quirks.delay_ms,
            reply_delay: quirks.reply_delay_ms,
            drop_reply: quirks.drop_reply,
            flood: quirks.ipmi_flood,
            garbage: quirks.garbage_body,
            late: (quirks.ipmi_late_ms, quirks.ipmi_late_percent),
            loss: quirks.ipmi_loss_percent,
            duplicate: quirks.ipmi_duplicate_percent,
            reorder: quirks.ipmi_reorder_percent,
            seed: quirks.ipmi_seed,
        }
    }
}

/// What becomes of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fate {
    pub lost: bool,
    pub twice: bool,
    /// It leaves after the next one.
    pub held: bool,
    /// It leaves so much later, ms.
    pub late: u64,
}

/// The dice of one BMC.
#[derive(Debug)]
pub struct Weather {
    /// Tells BMCs with the same seed apart.
    own: u64,
    seed: u64,
    state: u64,
}

impl Weather {
    /// The dice of the BMC of this name.
    pub fn new(name: &str) -> Weather {
        // FNV-1a: the same in every run
        let own = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Weather { own, seed: 0, state: own }
    }

    /// True if this packet to the BMC is lost.
    pub fn loses(&mut self, pace: &Pace) -> bool {
        self.seeded(pace);
        self.chance(pace.loss)
    }

    /// What becomes of a reply.
    pub fn fate(&mut self, pace: &Pace) -> Fate {
        self.seeded(pace);
        let (late, share) = pace.late;
        Fate {
            lost: self.chance(pace.loss),
            twice: self.chance(pace.duplicate),
            held: self.chance(pace.reorder),
            late: if self.chance(share) { late } else { 0 },
        }
    }

    fn seeded(&mut self, pace: &Pace) {
        if pace.seed != self.seed {
            (self.seed, self.state) = (pace.seed, self.own ^ pace.seed);
        }
    }

    fn chance(&mut self, percent: u8) -> bool {
        match percent {
            0 => false,
            percent => self.draw() % 100 < u64::from(percent),
        }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_weather_and_the_shares_are_kept() {
        let pace = |seed| Pace::of(&Quirks { ipmi_loss_percent: 30, ipmi_seed: seed, ..Quirks::default() });
        let run = |name: &str, seed| {
            let (mut weather, pace) = (Weather::new(name), pace(seed));
            (0..1000).map(|_| weather.loses(&pace)).collect::<Vec<_>>()
        };
        assert_eq!(run("m1", 7), run("m1", 7));
        assert!(run("m1", 7) != run("m1", 8) && run("m1", 7) != run("m2", 7));
        let lost = run("m1", 7).into_iter().filter(|lost| *lost).count();
        assert!((250..350).contains(&lost), "{lost} of 1000");
        let mut calm = Weather::new("m1");
        let fate = calm.fate(&Pace::of(&Quirks::default()));
        assert_eq!(fate, Fate { lost: false, twice: false, held: false, late: 0 });
    }
}
