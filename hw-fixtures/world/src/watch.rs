//! A value that others watch: they see its newest state, not each one. Unlike tokio's, which spreads those who wait by chance, it wakes them
//! in the order in which they began to wait, so that a world of one seed tells one story. It must never wake anybody by chance.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

#[derive(Debug)]
struct Shared<T> {
    /// The value, and how often it was changed.
    held: Mutex<(T, u64)>,
    moved: Notify,
}

impl<T: Copy> Shared<T> {
    fn now(&self) -> (T, u64) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the value is changed.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// Where it is seen. A clone has seen what the other has.
#[derive(Debug, Clone)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T: Copy> Sender<T> {
    /// A value.
    pub fn new(value: T) -> Sender<T> {
        Sender(Arc::new(Shared { held: Mutex::new((value, 0)), moved: Notify::new() }))
    }

    /// What it is now.
    pub fn get(&self) -> T {
        self.0.now().0
    }

    /// Changes it, and wakes who waits, where `change` says that it did.
    pub fn change(&self, change: impl FnOnce(&mut T) -> bool) {
        {
            let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
            if !change(&mut held.0) {
                return;
            }
            held.1 += 1;
        }
        self.0.moved.notify_waiters();
    }

    /// Replaces it.
    pub fn set(&self, value: T) {
        self.change(|held| {
            *held = value;
            true
        });
    }

    /// One who has seen it as it is now.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver { shared: Arc::clone(&self.0), seen: self.0.now().1 }
    }
}

impl<T: Copy> Receiver<T> {
    /// What it is now.
    pub fn get(&self) -> T {
        self.shared.now().0
    }

    /// The same, which counts as seen.
    pub fn see(&mut self) -> T {
        let (value, seen) = self.shared.now();
        self.seen = seen;
        value
    }

    /// Waits until it has been changed since it was last seen; that is seen then. Cancelling the wait loses nothing.
    pub async fn changed(&mut self) {
        let seen = self.seen;
        self.until(|(_, changes)| changes != seen).await;
    }

    /// Waits until it is so.
    pub async fn wait_for(&mut self, mut is_so: impl FnMut(T) -> bool) {
        self.until(|(value, _)| is_so(value)).await;
    }

    async fn until(&mut self, mut is_so: impl FnMut((T, u64)) -> bool) {
        let shared = Arc::clone(&self.shared);
        loop {
            // who looks first and waits then misses what happens in between
            let moved = shared.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let now = shared.now();
            if is_so(now) {
                self.seen = now.1;
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_in_order_and_by_a_change_alone() {
        let (value, woken) = (Arc::new(Sender::new(0)), Arc::new(Mutex::new(Vec::new())));
        for name in 0..50 {
            let (mut seen, woken) = (value.subscribe(), Arc::clone(&woken));
            tokio::spawn(async move {
                seen.wait_for(|value| value >= 2).await;
                woken.lock().unwrap().push(name);
            });
        }
        let mut late = value.subscribe();
        for change in [1, 2] {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(woken.lock().unwrap().is_empty());
            value.set(change);
        }
        value.change(|_| false);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*woken.lock().unwrap(), (0..50).collect::<Vec<_>>());
        late.changed().await;
        assert_eq!((late.get(), late.see(), value.get()), (2, 2, 2));
        assert!(tokio::time::timeout(Duration::from_secs(1), late.changed()).await.is_err());
    }

    #[tokio::test]
    async fn no_change_is_missed_between_threads() {
        let value = Sender::new(0u32);
        let mut seen = value.subscribe();
        let changer = std::thread::spawn(move || (1..=10_000).for_each(|number| value.set(number)));
        while seen.get() < 10_000 {
            seen.changed().await;
        }
        changer.join().unwrap();
    }
}
