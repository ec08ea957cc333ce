//! The estate as files: YAML to [`vocabulary::estate::Estate`] and back, with every complaint at its file, line and column.
//! It reads files and never touches equipment, never decides a placement, and never prints a secret.
#![forbid(unsafe_code)]

mod check;
pub mod codes;
mod complaint;
mod diff;
mod documents;
pub mod draft;
mod init;
mod limits;
mod load;
mod places;
mod read;
mod schema;
pub mod secrets;
mod tree;
mod write;

pub use complaint::{Complaint, Look, Severity, render};
pub use diff::{Alteration, Difference, FieldChange, diff};
pub use documents::{Kind, documents, revision, revisions};
pub use draft::Draft;
pub use init::{Flavor, init};
pub use load::{KnownMachine, KnownMachines, Loaded, load, load_for, machines};
pub use schema::schema;
pub use write::{document_to_yaml, estate_to_yaml};
