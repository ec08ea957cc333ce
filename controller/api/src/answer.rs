//! What every route answers with: a view, or a problem. It knows no route.

use crate::problem::Problem;
use axum::Json;
use vocabulary::Fault;

/// Most entries of the journal that are read at a time.
pub const PAGE: usize = 1000;

/// A view, or why there is none.
pub type Answer<T> = Result<Json<T>, Problem>;

/// The fault of what does not exist.
pub fn missing(what: &str) -> Fault {
    Fault::new(56, format!("there is no such {what}"), "the `list` verbs of the command line show what there is")
}

/// A name in a path: a bad one is a name that does not exist.
pub fn name<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem(missing(what)))
}
