//! Reads how long things take in a data centre, and how long they may.

use super::Setup;
use super::words::{Complaint, Words};
use crate::limits::POST_MAX;

/// The second word of each, after the first.
const SECOND: [(&str, &str); 4] = [("post", "takes"), ("dumps", "take"), ("recovery", "target"), ("lease", "addresses")];

/// True if the line begins with one.
pub fn is_one(verb: &str, words: &Words<'_>) -> bool {
    SECOND.iter().any(|(first, second)| *first == verb && words.clone().take(&[second]))
}

/// `post takes 20s`, `dumps take 10s`, `recovery target 60s`, `lease addresses 5m`.
pub fn take(verb: &str, words: &mut Words<'_>, setup: &mut Setup) -> Result<(), Complaint> {
    // which of them it is was asked before
    words.need("what takes so long")?;
    let time = words.time()?;
    match verb {
        "post" if time > POST_MAX => {
            return Err(format!("firmware can be told to take {} s longer, and no more", POST_MAX.as_secs()));
        }
        "post" => setup.post = time,
        "dumps" => setup.dump = time,
        "recovery" => setup.recovery_target = Some(time),
        _ => setup.address_lease = Some(time),
    }
    Ok(())
}
