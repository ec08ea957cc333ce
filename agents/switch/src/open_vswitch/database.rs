//! Transactions with Open vSwitch's database (RFC 7047). Every change is one transaction that first makes sure that nobody was faster. What
//! the database says that it holds proves nothing about the switch: [`Database::applied`] waits until the daemon says that it is in force.

use super::columns::Columns;
use super::connection::{Address, Connection};
use super::rows::{self, Found, Interface, Row, Target};
use super::trouble::{Trouble, silent};
use crate::limits::{OVS_ANSWER_TIMEOUT, OVS_APPLY_TIMEOUT};
use serde_json::{Value, json};
use std::time::Duration;

const DATABASE: &str = "ovsdb-server";
/// The database's name in the protocol.
pub const NAME: &str = "Open_vSwitch";
/// The database's word for a `wait` that did not come true.
const NOT_SO: &str = "timed out";

/// One conversation with the database.
pub struct Database<'a> {
    connection: Connection,
    target: &'a Target,
}

/// What a transaction came to.
pub(super) enum Outcome {
    /// All of it was done: the rows of each operation that has rows.
    Done(Vec<Vec<Row>>),
    /// The `wait` at this place did not come true; nothing was done.
    NotSo(usize),
}

/// The number that a client's change gets, to be told apart when the daemon has taken it up.
fn count() -> Value {
    json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]})
}

/// The transaction ends only when it is on the disk, and with it everything before it.
fn to_disk() -> Value {
    json!({"op": "commit", "durable": true})
}

/// The answer to a transaction of so many operations. Whole, or an error.
pub(super) fn outcome(answer: Value, operations: usize) -> Result<Outcome, Trouble> {
    let Value::Array(results) = answer else { return Err(silent(DATABASE, "a transaction was not answered by a list")) };
    for (at, result) in results.iter().enumerate() {
        if let Some(error) = result.get("error").filter(|error| !error.is_null()) {
            if error == NOT_SO && at < operations {
                return Ok(Outcome::NotSo(at));
            }
            let details = result.get("details").and_then(Value::as_str).unwrap_or_default();
            return Err(silent(DATABASE, format!("{}: {details}", error.as_str().unwrap_or("an error"))));
        }
    }
    if results.len() != operations || !results.iter().all(Value::is_object) {
        return Err(silent(DATABASE, "a transaction was not answered whole"));
    }
    let all = results.into_iter().filter_map(|mut result| result.get_mut("rows").map(Value::take));
    let rows = |value: Value| match value {
        Value::Array(rows) => rows.into_iter().map(|row| if let Value::Object(row) = row { Some(row) } else { None }).collect(),
        _ => None,
    };
    all.map(rows).collect::<Option<_>>().map(Outcome::Done).ok_or_else(|| silent(DATABASE, "odd rows"))
}

impl<'a> Database<'a> {
    /// Connects.
    pub async fn open(address: &Address, target: &'a Target) -> Result<Database<'a>, Trouble> {
        Ok(Database { connection: Connection::open(DATABASE, address).await?, target })
    }

    async fn transact(&mut self, operations: Vec<Value>, limit: Duration) -> Result<Outcome, Trouble> {
        let count = operations.len();
        let params: Vec<Value> = [json!(NAME)].into_iter().chain(operations).collect();
        let answer = self.connection.call("transact", &Value::Array(params), limit).await?;
        outcome(answer.map_err(|reason| silent(DATABASE, reason))?, count)
    }

    /// The port as the database holds it; whether that is in force nobody says.
    pub async fn look(&mut self, port: &str) -> Result<Found, Trouble> {
        match self.transact(rows::questions(self.target, port), OVS_ANSWER_TIMEOUT).await? {
            Outcome::Done(answers) => rows::found(self.target, port, &answers),
            Outcome::NotSo(_) => Err(silent(DATABASE, NOT_SO)),
        }
    }

    /// The same, with a number of its own for [`Database::applied`]: the port as the disk has it. Nothing is written to the database of
    /// another switch.
    pub async fn look_and_count(&mut self, port: &str) -> Result<Found, Trouble> {
        self.look(port).await?;
        let mut operations = vec![count()];
        operations.extend(rows::questions(self.target, port));
        operations.push(to_disk());
        match self.transact(operations, OVS_ANSWER_TIMEOUT).await? {
            Outcome::Done(answers) => rows::found(self.target, port, &answers),
            Outcome::NotSo(_) => Err(silent(DATABASE, NOT_SO)),
        }
    }

    /// Makes the port carry these columns, and its interfaces ask for that MTU, if it still is as it was found. Answers with the change's
    /// number; `Raced` if it is not any more, and then nothing was done.
    pub async fn change(&mut self, found: &Found, columns: &Columns, mtu: Option<u16>) -> Result<i64, Trouble> {
        let mut operations = rows::guards(found).to_vec();
        let guards = operations.len();
        let own = json!([["_uuid", "==", ["uuid", found.port.uuid]]]);
        operations.push(json!({"op": "update", "table": "Port", "where": own, "row": rows::written(columns)}));
        if let Some(mtu) = mtu {
            operations.extend(ask_for_mtu(found, &json!(mtu)));
        }
        self.counted(operations, guards).await
    }

    /// Lets the interfaces ask for that MTU, or for what they were asked for before.
    pub async fn set_mtu(&mut self, found: &Found, mtu: Option<i64>) -> Result<i64, Trouble> {
        let mut operations = rows::guards(found).to_vec();
        let guards = operations.len();
        operations.extend(ask_for_mtu(found, &mtu.map_or_else(|| json!(["set", []]), |mtu| json!(mtu))));
        self.counted(operations, guards).await
    }

    async fn counted(&mut self, mut operations: Vec<Value>, guards: usize) -> Result<i64, Trouble> {
        operations.push(count());
        operations.push(json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]}));
        operations.push(to_disk());
        match self.transact(operations, OVS_ANSWER_TIMEOUT).await? {
            Outcome::Done(answers) => {
                let number = answers.first().and_then(|rows| rows.first()).and_then(|row| row.get("next_cfg")?.as_i64());
                number.ok_or_else(|| silent(DATABASE, "it does not say which number the change has"))
            }
            Outcome::NotSo(at) if at < guards => Err(Trouble::Raced),
            Outcome::NotSo(_) => Err(silent(DATABASE, NOT_SO)),
        }
    }

    /// Waits until the daemon has taken up everything up to that number, and reads the port and its interfaces in the same moment.
    pub async fn applied(&mut self, port: &str, before: &Found, number: i64) -> Result<(Found, Vec<Interface>), Trouble> {
        let patience = u64::try_from(OVS_APPLY_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        let mut operations = vec![json!({"op": "wait", "timeout": patience, "table": "Open_vSwitch",
            "where": [["cur_cfg", ">=", number]], "columns": ["_uuid"], "until": "!=", "rows": []})];
        operations.extend(rows::questions(self.target, port));
        let of_port = operations.len() - 1;
        operations.extend(before.port.interfaces.iter().map(|interface| rows::question_of_interface(interface)));
        match self.transact(operations, OVS_APPLY_TIMEOUT + OVS_ANSWER_TIMEOUT).await? {
            Outcome::Done(answers) => {
                let (of_port, of_interfaces) =
                    answers.split_at_checked(of_port).ok_or_else(|| silent(DATABASE, "an answer is missing"))?;
                let found = rows::found(self.target, port, of_port)?;
                let interfaces = of_interfaces.iter().map(|rows| rows::interface(rows)).collect::<Result<_, _>>()?;
                Ok((found, interfaces))
            }
            Outcome::NotSo(_) => {
                Err(silent("ovs-vswitchd", format!("it has not taken up the database within {} s", OVS_APPLY_TIMEOUT.as_secs())))
            }
        }
    }

    /// Waits a while for the interfaces to have that MTU. True if they do.
    pub async fn has_mtu(&mut self, found: &Found, mtu: u16, patience: Duration) -> Result<bool, Trouble> {
        let wait = |interface: &String| {
            json!({"op": "wait", "timeout": u64::try_from(patience.as_millis()).unwrap_or(u64::MAX), "table": "Interface",
                "where": [["_uuid", "==", ["uuid", interface]]], "columns": ["mtu"], "until": "==", "rows": [{"mtu": mtu}]})
        };
        let operations = found.port.interfaces.iter().map(wait).collect();
        Ok(matches!(self.transact(operations, patience + OVS_ANSWER_TIMEOUT).await?, Outcome::Done(_)))
    }
}

fn ask_for_mtu(found: &Found, mtu: &Value) -> Vec<Value> {
    let update = |interface: &String| json!({"op": "update", "table": "Interface", "where": [["_uuid", "==", ["uuid", interface]]], "row": {"mtu_request": mtu}});
    found.port.interfaces.iter().map(update).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_done_whole_was_not_done() {
        let done = |answer: Value| matches!(outcome(answer, 2), Ok(Outcome::Done(_)));
        assert!(done(json!([{}, {"rows": [{"a": 1}]}])));
        for bad in [
            json!(null),
            json!([]),
            json!([{}]),
            json!([{}, null]),
            json!([{}, {}, {}]),
            json!([{}, {"rows": 1}]),
            json!([{}, {"rows": [1]}]),
            json!([{}, {"error": "constraint violation", "details": "x"}]),
            // an error of the whole comes as one result more
            json!([{}, {}, {"error": "timed out"}]),
        ] {
            assert!(outcome(bad.clone(), 2).is_err(), "{bad}");
        }
        assert!(matches!(outcome(json!([{"error": "timed out"}, null]), 2), Ok(Outcome::NotSo(0))));
    }
}
