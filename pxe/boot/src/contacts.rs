//! What machines did at this boot service, for the controller to read: a bounded ring with sequence numbers and a long poll.
//! A contact holds no token, address or secret. Slow readers lose the oldest; nothing here waits for a reader.

use crate::limits::{CONTACT_REPEAT_MS, CONTACTS_MAX, CONTACTS_PER_ANSWER, CONTACTS_WAIT};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;
use vocabulary::boot::{BootContact, BootStep};
use vocabulary::{Epoch, MachineId, WallTime};

#[derive(Default)]
struct Ring {
    last: u64,
    kept: VecDeque<BootContact>,
    /// When the machine's DHCP contact was noted last.
    asked: BTreeMap<MachineId, WallTime>,
}

/// The contacts of this life of the service. Sequence numbers begin at 1.
#[derive(Default)]
pub struct Contacts {
    ring: Mutex<Ring>,
    news: Notify,
}

impl Contacts {
    /// Notes a step. A DHCP packet within a second of the last one of the same machine is no news. Machines are known ones only, so the
    /// memory for them is bounded by the caller.
    pub fn note(&self, machine: &MachineId, step: BootStep, epoch: Option<Epoch>, at: WallTime) {
        {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            if step == BootStep::Dhcp {
                let before = ring.asked.insert(machine.clone(), at);
                if before.is_some_and(|before| at.0.abs_diff(before.0) < CONTACT_REPEAT_MS) {
                    return;
                }
            }
            ring.last += 1;
            let contact = BootContact { sequence: ring.last, machine: machine.clone(), step, epoch, at };
            ring.kept.push_back(contact);
            if ring.kept.len() > CONTACTS_MAX {
                ring.kept.pop_front();
            }
        }
        self.news.notify_waiters();
    }

    /// The contacts after a sequence number, oldest first, without waiting. A number that this life of the service never gave means a
    /// reader that remembers an earlier life: it gets all.
    pub fn after(&self, after: u64) -> Vec<BootContact> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let after = if after > ring.last { 0 } else { after };
        ring.kept.iter().filter(|contact| contact.sequence > after).take(CONTACTS_PER_ANSWER).cloned().collect()
    }

    /// The same, but waits up to some seconds for the first.
    pub async fn wait_after(&self, after: u64) -> Vec<BootContact> {
        let deadline = tokio::time::Instant::now() + CONTACTS_WAIT;
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // registered before looking, so that no contact falls between
            news.as_mut().enable();
            let found = self.after(after);
            if !found.is_empty() || tokio::time::timeout_at(deadline, news).await.is_err() {
                return found;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn machine() -> MachineId {
        "m1".parse().unwrap()
    }

    #[test]
    fn the_ring_is_bounded_and_counts_on() {
        let contacts = Contacts::default();
        for n in 0..(CONTACTS_MAX as u64 + 10) {
            contacts.note(&machine(), BootStep::Script, Some(Epoch(n)), WallTime(n));
        }
        let first = contacts.after(0);
        assert_eq!(first.len(), CONTACTS_PER_ANSWER);
        assert_eq!(first[0].sequence, 11, "the oldest ten are gone, and the numbers tell it");
        let newest = CONTACTS_MAX as u64 + 10;
        assert!(contacts.after(newest).is_empty());
        assert_eq!(contacts.after(newest - 1).len(), 1);
        assert_eq!(contacts.after(newest + 5).len(), CONTACTS_PER_ANSWER, "a reader of an earlier life gets all");
    }

    #[test]
    fn retransmitted_dhcp_packets_are_one_contact() {
        let contacts = Contacts::default();
        for at in [1000, 1001, 1500, 3000] {
            contacts.note(&machine(), BootStep::Dhcp, None, WallTime(at));
        }
        assert_eq!(contacts.after(0).iter().map(|c| c.at.0).collect::<Vec<_>>(), [1000, 3000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_waits_for_news_and_no_longer_than_the_limit() {
        let contacts = Arc::new(Contacts::default());
        let start = tokio::time::Instant::now();
        assert!(contacts.wait_after(0).await.is_empty());
        assert_eq!(start.elapsed(), CONTACTS_WAIT);
        let reader = tokio::spawn({
            let contacts = contacts.clone();
            async move { contacts.wait_after(0).await }
        });
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        contacts.note(&machine(), BootStep::Claim, Some(Epoch(3)), WallTime(1));
        let got = reader.await.unwrap();
        assert_eq!((got.len(), got[0].step, got[0].epoch), (1, BootStep::Claim, Some(Epoch(3))));
        assert!(start.elapsed() < CONTACTS_WAIT * 2);
    }
}
