//! A walk over a BMC's resources along the links that it gives: so many requests in all, a few at once, and so much memory.
//! Must never change anything, never ask without bound, and never follow a link that the BMC did not hand out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures::stream::{self, StreamExt as _};
use serde_json::Value;

use super::http::{Credential, Http};
use super::trouble::Trouble;
use super::{layout, view};
use crate::limits;

/// See the module: who asks, how much may still be asked, and why it ended early if it did.
#[derive(Debug)]
pub struct Walk<'a> {
    http: &'a Http,
    who: &'a Credential,
    most: usize,
    left: AtomicUsize,
    /// What all that is told may still take in memory, bytes: a caller may keep it to the end.
    room: AtomicUsize,
    ended: Mutex<Option<Trouble>>,
    refusal: Mutex<Option<String>>,
}

/// Power supplies of a chassis.
#[derive(Debug)]
pub struct Power {
    /// They, as they are told.
    pub supplies: Vec<Value>,
    /// The resource that lists them or links to them: it tells of their redundancy.
    pub whole: Value,
}

impl<'a> Walk<'a> {
    /// A walk of at most so many requests.
    pub fn new(http: &'a Http, who: &'a Credential, most: usize) -> Walk<'a> {
        let room = AtomicUsize::new(limits::WALK_WEIGHT_MAX);
        Walk { http, who, most, left: AtomicUsize::new(most), room, ended: Mutex::default(), refusal: Mutex::default() }
    }

    /// Why nothing more is asked: a silent BMC, a lost session, too many requests. A resource that is missing or refused ends nothing.
    pub fn ended(&self) -> Option<Trouble> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A resource, or why it is not told.
    pub async fn told(&self, path: &str) -> Result<Value, String> {
        if let Some(trouble) = self.ended() {
            return Err(trouble.to_string());
        }
        let takes = |store: &AtomicUsize, much: usize| {
            store.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(much)).is_ok()
        };
        let outcome = match takes(&self.left, 1) {
            true => layout::answer(self.http, path, self.who).await,
            false => Err(Trouble::Unsupported(format!("it has more parts than {} requests tell", self.most))),
        };
        let outcome = match outcome {
            Ok(reply) if takes(&self.room, reply.weight) => Ok(reply.body),
            Ok(_) => Err(Trouble::Unsupported("it tells more than there is room for".into())),
            Err(trouble) => Err(trouble),
        };
        outcome.map_err(|trouble| {
            let why = trouble.to_string();
            if !trouble.is_of_one_resource() {
                self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(trouble);
            }
            why
        })
    }

    /// Why the first of the resources was not told that were taken for null since this was asked last.
    pub fn take_refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A resource, or null.
    pub async fn get(&self, path: Option<&str>) -> Value {
        let Some(path) = path else { return Value::Null };
        self.told(path).await.unwrap_or_else(|why| {
            tracing::debug!(why, "taken as not told");
            self.refusal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
            Value::Null
        })
    }

    /// Resources in the order of their paths, null for each that is not told.
    pub async fn all(&self, paths: impl IntoIterator<Item = String>) -> Vec<Value> {
        let read = stream::iter(paths).map(|path| async move { self.get(Some(&path)).await });
        read.buffered(limits::HARDWARE_REQUESTS_AT_ONCE).collect().await
    }

    /// The members of the collection that a resource links to under a key; `None` if it links to none.
    pub async fn members(&self, of: &Value, key: &str, most: usize) -> Option<Vec<Value>> {
        let path = of.get(key).and_then(view::link)?;
        let collection = self.get(Some(&path)).await;
        Some(self.all(view::links(collection.get("Members")).into_iter().take(most)).await)
    }

    /// Power supplies of a chassis; older BMCs list them in one resource.
    pub async fn power(&self, chassis: &Value) -> Option<Power> {
        if let Some(path) = chassis.get("PowerSubsystem").and_then(view::link) {
            let whole = self.get(Some(&path)).await;
            if let Some(supplies) = self.members(&whole, "PowerSupplies", limits::POWER_SUPPLIES_MAX).await
                && !supplies.is_empty()
            {
                return Some(Power { supplies, whole });
            }
        }
        let whole = self.get(chassis.get("Power").and_then(view::link).as_deref()).await;
        let list = whole.get("PowerSupplies")?.as_array()?;
        let supplies = list.iter().take(limits::POWER_SUPPLIES_MAX).cloned().collect();
        Some(Power { supplies, whole })
    }
}
