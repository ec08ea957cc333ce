//! The journal: records, hash-chained, durable before any effect. One store trait, several stores, one conformance suite.
//! It never interprets a record and never forgets one; a chain that does not verify is an error, not a guess.
#![forbid(unsafe_code)]

pub mod backup;
pub mod chain;
pub mod conformance;
pub mod lock;
pub mod open;
pub mod sled_store;
pub mod sqlite_store;
pub mod store;

pub use chain::Entry;
pub use open::{Held, create, open};
pub use store::{Error, Meta, Reader, Store};
