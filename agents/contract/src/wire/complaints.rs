//! How often a failed connection is worth a warning: once a minute for each peer, with the number of those that were not told of.
//! Must never grow with what strangers send.

use crate::limits;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What was said last about whom.
#[derive(Default)]
pub(super) struct Complaints(Mutex<BTreeMap<IpAddr, Last>>);

struct Last {
    said: Instant,
    unsaid: u64,
}

impl Complaints {
    /// A connection of this peer failed. `Some` if that is to be said now: how many failed unsaid since it was said last.
    pub(super) fn about(&self, peer: IpAddr, now: Instant) -> Option<u64> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = peers.get_mut(&peer) {
            if now.duration_since(last.said) < limits::COMPLAINT_EVERY {
                last.unsaid = last.unsaid.saturating_add(1);
                return None;
            }
        } else if peers.len() >= limits::COMPLAINTS_MAX
            && let Some(longest) = peers.iter().min_by_key(|(_, last)| last.said).map(|(peer, _)| *peer)
        {
            peers.remove(&longest);
        }
        let before = peers.insert(peer, Last { said: now, unsaid: 0 });
        Some(before.map_or(0, |last| last.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn peer(n: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, n])
    }

    #[test]
    fn once_a_minute_for_each_peer_with_the_count() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(complaints.about(peer(1), at(0)), Some(0));
        assert_eq!((complaints.about(peer(1), at(2)), complaints.about(peer(1), at(59))), (None, None));
        assert_eq!(complaints.about(peer(2), at(59)), Some(0), "another peer has a minute of its own");
        assert_eq!(complaints.about(peer(1), at(60)), Some(2));
        assert_eq!((complaints.about(peer(1), at(61)), complaints.about(peer(1), at(120))), (None, Some(1)));
    }

    #[test]
    fn strangers_do_not_fill_it() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        for n in 0..=255 {
            complaints.about(peer(n), start + Duration::from_millis(u64::from(n)));
        }
        assert_eq!(complaints.0.lock().unwrap().len(), limits::COMPLAINTS_MAX);
        assert_eq!(complaints.about(peer(255), start + Duration::from_secs(1)), None, "the latest is remembered");
        assert_eq!(complaints.about(peer(0), start + Duration::from_secs(1)), Some(0), "the first is forgotten");
    }
}
