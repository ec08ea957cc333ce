//! Listens to the database's notes of changed ports, on a connection of its own, and keeps the names of those to be looked at. What may have
//! been missed, and any change of the bridge itself, makes every port suspect.

use super::connection::{Address, Connection, Message};
use super::database::NAME;
use super::trouble::{Trouble, silent};
use crate::limits::{OVS_ANSWER_TIMEOUT, OVS_PROBE_PERIOD, RELISTEN_PAUSE};
use crate::suspects::Suspects;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinHandle;
use vocabulary::PortName;

const DATABASE: &str = "ovsdb-server";

/// The listener; it ends when this is dropped.
pub struct Watch {
    suspects: Arc<Suspects>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to listen.
    pub fn start(database: Address, ports: BTreeSet<PortName>) -> Watch {
        let suspects = Arc::new(Suspects::default());
        let heard = suspects.clone();
        let task = tokio::spawn(async move {
            let mut told = None;
            loop {
                let Err(trouble) = listen(&database, &ports, &heard).await;
                // a database that stays away is told of once
                if told.as_ref() != Some(&trouble) {
                    tracing::warn!(%trouble, "cannot listen for changes of ports: they are read by the clock alone");
                    told = Some(trouble);
                }
                tokio::time::sleep(RELISTEN_PAUSE).await;
            }
        });
        Watch { suspects, task }
    }

    /// Waits for the next port to be looked at.
    pub async fn next(&self) -> PortName {
        self.suspects.next().await
    }
}

/// The names of the changed ports; `None` if all may have changed.
pub(super) fn changed(update: &Value) -> Option<BTreeSet<String>> {
    let tables = update.as_array()?.get(1)?.as_object()?;
    let mut names = BTreeSet::new();
    for (table, rows) in tables {
        if table != "Port" {
            return None;
        }
        for row in rows.as_object()?.values() {
            // a renamed port was two
            let sides: Vec<&str> = ["old", "new"].iter().filter_map(|side| row.get(side)?.get("name")?.as_str()).collect();
            if sides.is_empty() {
                return None;
            }
            names.extend(sides.into_iter().map(str::to_owned));
        }
    }
    Some(names)
}

async fn listen(address: &Address, ports: &BTreeSet<PortName>, suspects: &Suspects) -> Result<std::convert::Infallible, Trouble> {
    let mut connection = Connection::open(DATABASE, address).await?;
    let of = |columns: &[&str]| json!([{"columns": columns, "select": {"initial": false}}]);
    let tables = json!({
        "Port": of(&["name", "tag", "trunks", "vlan_mode", "cvlans", "interfaces"]),
        "Bridge": of(&["name", "ports", "controller", "fail_mode", "mirrors"]),
        "Mirror": of(&["output_port", "output_vlan"]),
    });
    let agreed = connection.call("monitor", &json!([NAME, "watch", tables]), OVS_ANSWER_TIMEOUT).await?;
    agreed.map_err(|reason| silent(DATABASE, reason))?;
    // what happened before is found by looking
    suspects.add(ports);
    let mut probed = false;
    loop {
        let patience = if probed { OVS_ANSWER_TIMEOUT } else { OVS_PROBE_PERIOD };
        match tokio::time::timeout(patience, connection.message()).await {
            Ok(message) => {
                probed = false;
                if let Message::Note { method, params } = message?
                    && method == "update"
                {
                    match changed(&params) {
                        Some(names) => suspects.add(ports.iter().filter(|port| names.contains(port.as_str()))),
                        None => suspects.add(ports),
                    }
                }
            }
            Err(_) if probed => return Err(silent(DATABASE, "it gives no sign of life")),
            Err(_) => {
                connection.ask("echo", &json!([])).await?;
                probed = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_may_be_any_port() {
        let note = |tables: Value| changed(&json!(["watch", tables]));
        let row = |old: Value, new: Value| json!({"Port": {"u": {"old": old, "new": new}}});
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
        assert_eq!(note(row(json!({"tag": 1}), json!({"name": "p1", "tag": 2}))), names(&["p1"]));
        assert_eq!(note(json!({"Port": {"u": {"old": {"name": "p1"}}}})), names(&["p1"]));
        assert_eq!(note(row(json!({"name": "p1"}), json!({"name": "p2"}))), names(&["p1", "p2"]));
        for any in [
            json!({"Bridge": {}}),
            json!(1),
            json!({"Port": 1}),
            json!({"Port": {"u": {}}}),
            json!({"Port": {"u": {"new": {"name": 1}}}}),
        ] {
            assert_eq!(note(any.clone()), None, "{any}");
        }
        assert_eq!(changed(&json!([])), None);
    }
}
