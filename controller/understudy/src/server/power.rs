//! `understudy server start`, `stop` and `restart`: one request each, then its plan is followed to the end.

use crate::cli::OneServer;
use crate::exit::Failure;
use crate::session::Session;
use crate::wait;
use serde_json::Value;

/// Asks for it.
pub async fn power(session: &Session, of: &OneServer, verb: &str) -> Result<(), Failure> {
    let server = &of.server;
    let idle = format!(
        "no plan was needed to {verb} {server}: its machine is not off, or nobody knows; `{}` tells",
        session.command(&format!("server show {server}"))
    );
    wait::order(session, &format!("/v1/servers/{server}/{verb}"), &Value::Null, of.wait, &idle).await
}
