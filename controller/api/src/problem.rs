//! Faults on the way out: `{code, message, remedy}` with a fitting status.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use vocabulary::Fault;

/// A fault as an answer.
#[derive(Debug)]
pub struct Problem(pub Fault);

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Problem(fault)
    }
}

/// The status of a fault code: unknown names are not found, a plan that is no longer the one shown fails its precondition, everything
/// else that the core refuses is a conflict.
pub fn status(fault: &Fault) -> StatusCode {
    match fault.code.0 {
        51 => StatusCode::SERVICE_UNAVAILABLE,
        52 | 73 | 210 => StatusCode::BAD_REQUEST,
        53..=56 | 77 | 1003 => StatusCode::NOT_FOUND,
        67 => StatusCode::PRECONDITION_FAILED,
        _ => StatusCode::CONFLICT,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (status(&self.0), Json(self.0)).into_response()
    }
}
