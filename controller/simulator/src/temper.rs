//! How quick and how strict a world is: how long its machines take, how often its controller looks, what its guard allows. Drawn per seed,
//! mostly quick, since what is being searched is the order of things and not their length. Must never make a hall that `estate check` refuses.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use vocabulary::Span;
use vocabulary::estate::Settings;
use world::Dice;
use world::machine::Times;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Temper {
    /// The longest test of itself that firmware makes, seconds; `None`: everything in machines takes as long as in real ones.
    post_s: Option<u64>,
    /// Time between two records of a service, milliseconds.
    record_ms: u64,
    /// How often the controller looks, seconds.
    every_s: u64,
    /// Windows and settling times are so many times that.
    patience: u64,
    /// The guard lets a server fail over again at once.
    hurried: bool,
}

/// Of a million worlds so many have machines that boot as slowly as real ones.
const SLOW: u32 = 30_000;
/// And so many have a guard as a new estate has it.
const GUARDED: u32 = 150_000;

impl Temper {
    /// That of this seed.
    pub fn of(seed: u64) -> Temper {
        let dice = Dice::of(seed, "temper");
        let post_s = dice.between(2, 22);
        Temper {
            record_ms: dice.between(200, 2_000),
            post_s: (!dice.in_a_million(SLOW)).then_some(post_s),
            every_s: dice.pick(&[1, 1, 2, 5]).copied().unwrap_or(1),
            patience: dice.between(2, 4),
            hurried: !dice.in_a_million(GUARDED),
        }
    }

    /// How long things take in machines.
    pub fn times(&self) -> Times {
        let (s, ms) = (Duration::from_secs, Duration::from_millis);
        let Some(post_s) = self.post_s else { return Times::default() };
        Times {
            post: (s(post_s.min(2)), s(post_s)),
            falls: (Duration::ZERO, ms(300)),
            between_boots: (s(1), s(3)),
            kernel: (s(1), s(4)),
            system: (s(1), s(6)),
            stop: (s(1), s(5)),
            record_every: ms(self.record_ms),
            replacement: s(5),
        }
    }

    /// Writes what concerns the estate into its settings.
    pub fn set(&self, settings: &mut Settings) {
        let Times { post, between_boots, kernel, system, .. } = self.times();
        let boot = post.1 + between_boots.1 + kernel.1 + system.1;
        let detection = &mut settings.detection;
        (detection.power_every, detection.check_every) = (Span::seconds(self.every_s), Span::seconds(self.every_s));
        detection.off_window = Span::seconds(self.every_s * self.patience);
        detection.hung_window = Span::seconds(self.every_s * self.patience * 3);
        // half as long again as a boot takes at most that meets nothing ill
        detection.boot_time = Span::seconds(boot.as_secs() * 3 / 2);
        settings.fencing.settle = Span::seconds(self.patience);
        if self.hurried {
            let guard = &mut settings.guard;
            (guard.server_interval, guard.server_per_day) = (Span::seconds(1), 1_000);
        }
    }
}
