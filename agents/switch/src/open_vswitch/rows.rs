//! Rows of Open vSwitch's database as its answers hold them. Pure and total: a value that is not what its column may hold makes the row an
//! error, never an empty column.

use super::columns::{Columns, Mode};
use super::trouble::{Trouble, silent};
use crate::limits::OVS_MEMBERS_MAX;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const DATABASE: &str = "ovsdb-server";

/// One row, by the names of its columns.
pub type Row = Map<String, Value>;

fn odd(column: &str) -> Trouble {
    silent(DATABASE, format!("the column {column} holds what it cannot hold"))
}

fn pair<'a>(value: &'a Value, head: &str) -> Option<&'a Value> {
    match value.as_array()?.as_slice() {
        [Value::String(first), second] if first == head => Some(second),
        _ => None,
    }
}

/// The members of a set; one value alone stands for a set of one.
fn members<T>(row: &Row, column: &str, member: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Trouble> {
    let value = row.get(column).ok_or_else(|| odd(column))?;
    let all = match pair(value, "set") {
        Some(set) => set.as_array().and_then(|all| all.iter().map(&member).collect()),
        None => member(value).map(|one| vec![one]),
    };
    all.ok_or_else(|| odd(column))
}

/// A column that holds one value or none.
fn optional<T>(row: &Row, column: &str, member: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, Trouble> {
    let mut all = members(row, column, member)?;
    let one = all.pop();
    if all.is_empty() { Ok(one) } else { Err(odd(column)) }
}

/// A column that holds exactly one value.
fn single<T>(row: &Row, column: &str, member: impl Fn(&Value) -> Option<T>) -> Result<T, Trouble> {
    optional(row, column, member)?.ok_or_else(|| odd(column))
}

fn uuid(value: &Value) -> Option<String> {
    pair(value, "uuid")?.as_str().map(str::to_owned)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn vlan(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number <= 4095)
}

fn one<'a>(rows: &'a [Row], what: &str) -> Result<&'a Row, Trouble> {
    match rows {
        [row] => Ok(row),
        [] => Err(Trouble::Unfit(format!("Open vSwitch has no {what}"))),
        _ => Err(silent(DATABASE, format!("there is more than one {what}"))),
    }
}

/// Which switch this is to be.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its bridge.
    pub bridge: String,
    /// Its own identity, if that is known.
    pub system_id: Option<String>,
}

/// How far the database's contents are in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What clients ask for.
    pub next: i64,
    /// What the daemon has done.
    pub current: i64,
}

/// The bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bridge {
    /// Its row.
    pub uuid: String,
    /// Its identity as the daemon has it; none before the daemon has made it.
    pub datapath: Option<u64>,
    /// Ports to which frames of others are copied.
    pub mirrors_to: BTreeSet<String>,
    /// Why the VLANs of its ports mean nothing, if they do not.
    pub unfit: Option<String>,
}

impl Bridge {
    /// Fails where the VLANs of its ports mean nothing.
    pub fn must_forward_by_vlan(&self) -> Result<(), Trouble> {
        self.unfit.clone().map_or(Ok(()), |why| Err(Trouble::Unfit(why)))
    }
}

/// One port of that bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Its row.
    pub uuid: String,
    /// Its VLANs.
    pub columns: Columns,
    /// Its interfaces, more than one for a bond.
    pub interfaces: Vec<String>,
}

/// One interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its OpenFlow number.
    pub number: u16,
    /// What it has.
    pub mtu: Option<i64>,
    /// What it was asked to have.
    pub mtu_wanted: Option<i64>,
}

/// A port with the switch around it, all of one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// How far it is in force.
    pub progress: Progress,
    /// The bridge.
    pub bridge: Bridge,
    /// The port.
    pub port: Port,
}

impl Found {
    /// The port's VLANs, and whether others leave it too: a port that frames are copied to sends those of any VLAN.
    pub fn setting(&self) -> (vocabulary::PortSetting, bool) {
        let (setting, leaks) = self.port.columns.setting();
        (setting, leaks || self.bridge.mirrors_to.contains(&self.port.uuid))
    }
}

/// What to ask for to make a [`Found`].
pub fn questions(target: &Target, port: &str) -> Vec<Value> {
    let select = |table: &str, condition: Value, columns: &[&str]| json!({"op": "select", "table": table, "where": condition, "columns": columns});
    vec![
        select("Open_vSwitch", json!([]), &["next_cfg", "cur_cfg", "external_ids"]),
        select(
            "Bridge",
            json!([["name", "==", target.bridge]]),
            &["_uuid", "datapath_id", "ports", "controller", "fail_mode", "mirrors"],
        ),
        select("Mirror", json!([]), &["_uuid", "output_port", "output_vlan"]),
        select("Port", json!([["name", "==", port]]), &["_uuid", "tag", "trunks", "vlan_mode", "cvlans", "interfaces"]),
    ]
}

/// The answers to [`questions`], in their order.
pub fn found(target: &Target, name: &str, answers: &[Vec<Row>]) -> Result<Found, Trouble> {
    let [switches, bridges, mirrors, ports] = answers else { return Err(silent(DATABASE, "an answer is missing")) };
    let switch = one(switches, "row of its own")?;
    check_identity(target, switch)?;
    let number = |column| single(switch, column, Value::as_i64);
    let progress = Progress { next: number("next_cfg")?, current: number("cur_cfg")? };
    let row = one(bridges, &format!("bridge {}", target.bridge))?;
    let bridge = bridge(target, row, mirrors)?;
    let port = port(one(ports, &format!("port {name}"))?)?;
    if !members(row, "ports", uuid)?.contains(&port.uuid) {
        return Err(Trouble::Unfit(format!("the port {name} is not one of the bridge {}", target.bridge)));
    }
    Ok(Found { progress, bridge, port })
}

fn check_identity(target: &Target, switch: &Row) -> Result<(), Trouble> {
    let Some(wanted) = &target.system_id else { return Ok(()) };
    let all = switch.get("external_ids").and_then(|value| pair(value, "map")).and_then(Value::as_array);
    let all = all.ok_or_else(|| odd("external_ids"))?;
    let told = all.iter().find_map(|entry| match entry.as_array().map(Vec::as_slice) {
        Some([Value::String(key), Value::String(value)]) if key == "system-id" => Some(value),
        _ => None,
    });
    if told == Some(wanted) {
        return Ok(());
    }
    let told = told.map_or_else(|| "none".to_owned(), |told| format!("`{}`", told.escape_debug()));
    Err(Trouble::Unfit(format!("this is the database of another switch: its system-id is {told}, not `{wanted}`")))
}

fn bridge(target: &Target, row: &Row, mirrors: &[Row]) -> Result<Bridge, Trouble> {
    let mut unfit = None;
    if !members(row, "controller", uuid)?.is_empty() {
        unfit = Some("is under an OpenFlow controller");
    }
    if optional(row, "fail_mode", text)?.as_deref() == Some("secure") {
        unfit = Some("has the fail_mode `secure` and forwards by OpenFlow rules");
    }
    let own = members(row, "mirrors", uuid)?;
    let mut mirrors_to = BTreeSet::new();
    for mirror in mirrors {
        if own.contains(&single(mirror, "_uuid", uuid)?) {
            if optional(mirror, "output_vlan", vlan)?.is_some() {
                unfit = Some("copies frames into a VLAN");
            }
            mirrors_to.extend(optional(mirror, "output_port", uuid)?);
        }
    }
    let hexadecimal = |value: &Value| u64::from_str_radix(value.as_str()?, 16).ok();
    let unfit = unfit.map(|why| format!("the bridge {} {why}, so the VLANs of its ports mean nothing", target.bridge));
    Ok(Bridge { uuid: single(row, "_uuid", uuid)?, datapath: optional(row, "datapath_id", hexadecimal)?, mirrors_to, unfit })
}

fn port(row: &Row) -> Result<Port, Trouble> {
    let set = |column| members(row, column, vlan).map(|all| all.into_iter().collect());
    let mode = |value: &Value| Mode::of(value.as_str()?);
    let columns = Columns {
        tag: optional(row, "tag", vlan)?,
        trunks: set("trunks")?,
        mode: optional(row, "vlan_mode", mode)?,
        cvlans: set("cvlans")?,
    };
    let interfaces = members(row, "interfaces", uuid)?;
    if interfaces.is_empty() || interfaces.len() > OVS_MEMBERS_MAX {
        return Err(odd("interfaces"));
    }
    Ok(Port { uuid: single(row, "_uuid", uuid)?, columns, interfaces })
}

/// What to ask for to make an [`Interface`].
pub fn question_of_interface(interface: &str) -> Value {
    let columns = ["name", "ofport", "error", "mtu", "mtu_request"];
    json!({"op": "select", "table": "Interface", "where": [["_uuid", "==", ["uuid", interface]]], "columns": columns})
}

/// The answer to that. One that the daemon could not open is unfit: it forwards nothing, and nobody knows for how long.
pub fn interface(rows: &[Row]) -> Result<Interface, Trouble> {
    let row = one(rows, "such interface")?;
    let name = single(row, "name", text)?;
    let number =
        optional(row, "ofport", Value::as_i64)?.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    let Some(number) = number else {
        let error = optional(row, "error", text)?.unwrap_or_else(|| "nobody says why".to_owned());
        return Err(Trouble::Unfit(format!("the interface {name} is not in the switch: {error}")));
    };
    Ok(Interface { number, mtu: optional(row, "mtu", Value::as_i64)?, mtu_wanted: optional(row, "mtu_request", Value::as_i64)? })
}

fn set(members: impl Iterator<Item = Value>) -> Value {
    json!(["set", members.collect::<Vec<_>>()])
}

/// The columns as the database takes them.
pub fn written(columns: &Columns) -> Row {
    let vlans = |vlans: &BTreeSet<u16>| set(vlans.iter().map(|vlan| json!(vlan)));
    Row::from_iter([
        ("tag".to_owned(), set(columns.tag.iter().map(|tag| json!(tag)))),
        ("trunks".to_owned(), vlans(&columns.trunks)),
        ("vlan_mode".to_owned(), set(columns.mode.iter().map(|mode| json!(mode.word())))),
        ("cvlans".to_owned(), vlans(&columns.cvlans)),
    ])
}

/// Fails unless the port is in the bridge and as it was read: to stand before a change, in the same transaction.
pub fn guards(found: &Found) -> [Value; 2] {
    let Found { bridge, port, .. } = found;
    let mut row = written(&port.columns);
    row.insert("interfaces".to_owned(), set(port.interfaces.iter().map(|interface| json!(["uuid", interface]))));
    let columns: Vec<&String> = row.keys().collect();
    let same = json!({"op": "wait", "timeout": 0, "table": "Port", "where": [["_uuid", "==", ["uuid", port.uuid]]],
        "columns": columns, "until": "==", "rows": [row]});
    let there = json!({"op": "wait", "timeout": 0, "table": "Bridge",
        "where": [["_uuid", "==", ["uuid", bridge.uuid]], ["ports", "includes", ["uuid", port.uuid]]],
        "columns": ["_uuid"], "until": "!=", "rows": []});
    [same, there]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(value: Value) -> Vec<Row> {
        value.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect()
    }

    fn target() -> Target {
        Target { bridge: "br0".into(), system_id: Some("s1".into()) }
    }

    fn answers() -> [Value; 4] {
        let none = json!(["set", []]);
        [
            json!([{"next_cfg": 5, "cur_cfg": 4, "external_ids": ["map", [["x", "y"], ["system-id", "s1"]]]}]),
            json!([{"_uuid": ["uuid", "b"], "datapath_id": "000000000000000a", "ports": ["set", [["uuid", "q"], ["uuid", "p"]]],
                "controller": none, "fail_mode": none, "mirrors": ["uuid", "m"]}]),
            json!([{"_uuid": ["uuid", "m"], "output_port": ["uuid", "q"], "output_vlan": none}]),
            json!([{"_uuid": ["uuid", "p"], "tag": 10, "trunks": none, "vlan_mode": "access", "cvlans": none, "interfaces": ["uuid", "i"]}]),
        ]
    }

    fn read(answers: [Value; 4]) -> Result<Found, Trouble> {
        found(&target(), "p1", &answers.map(rows))
    }

    #[test]
    fn a_port_is_found_with_its_bridge() {
        let found = read(answers()).unwrap();
        assert_eq!(found.progress, Progress { next: 5, current: 4 });
        assert_eq!((found.bridge.datapath, found.port.interfaces.as_slice()), (Some(10), &["i".to_owned()][..]));
        assert_eq!(found.setting(), (vocabulary::PortSetting::access(vocabulary::VlanId::constant(10)), false));
    }

    #[test]
    fn a_port_that_is_mirrored_to_leaks() {
        let mut mirrored = answers();
        mirrored[2][0]["output_port"] = json!(["uuid", "p"]);
        assert!(read(mirrored).unwrap().setting().1);
    }

    #[test]
    fn equipment_that_is_not_as_configured_is_unfit() {
        for (at, column, value) in [
            (0, "external_ids", json!(["map", [["system-id", "s2"]]])),
            (0, "external_ids", json!(["map", []])),
            (1, "controller", json!(["uuid", "c"])),
            (1, "fail_mode", json!("secure")),
            (1, "ports", json!(["uuid", "q"])),
            (2, "output_vlan", json!(7)),
        ] {
            let mut wrong = answers();
            wrong[at][0][column] = value;
            let unfit = read(wrong).and_then(|found| found.bridge.must_forward_by_vlan());
            assert!(matches!(unfit, Err(Trouble::Unfit(_))), "{column}");
        }
        for at in [1, 3] {
            let mut wrong = answers();
            wrong[at] = json!([]);
            assert!(matches!(read(wrong), Err(Trouble::Unfit(_))), "{at}");
        }
    }

    #[test]
    fn a_column_that_is_missing_or_odd_is_no_empty_column() {
        for (at, answer) in answers().iter().enumerate() {
            for column in answer[0].as_object().unwrap().keys() {
                for odd in [None, Some(json!({})), Some(json!(["set", [{}]])), Some(json!(["set"])), Some(json!(-1))] {
                    let mut wrong = answers();
                    let row = wrong[at][0].as_object_mut().unwrap();
                    row.remove(column);
                    row.extend(odd.clone().map(|odd| (column.clone(), odd)));
                    let outcome = read(wrong);
                    let number = odd == Some(json!(-1)) && at == 0 && column != "external_ids";
                    assert_eq!(outcome.is_err(), !number, "{column} {odd:?}: {outcome:?}");
                }
            }
        }
        let mut unknown = answers();
        unknown[3][0]["vlan_mode"] = json!("all");
        assert!(read(unknown).is_err());
    }

    #[test]
    fn an_interface_without_a_number_is_not_in_the_switch() {
        let none = json!(["set", []]);
        let mut row = json!([{"name": "p1", "ofport": 7, "error": none, "mtu": 1500, "mtu_request": none}]);
        assert_eq!(interface(&rows(row.clone())), Ok(Interface { number: 7, mtu: Some(1500), mtu_wanted: None }));
        for number in [json!(-1), none, json!(0), json!(70_000)] {
            row[0]["ofport"] = number;
            row[0]["error"] = json!("No such device");
            assert!(matches!(interface(&rows(row.clone())), Err(Trouble::Unfit(reason)) if reason.contains("No such device")));
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(|number| json!(number)),
            (0u16..5000).prop_map(|number| json!(number)),
            "set|uuid|map|access|secure|system-id|p|".prop_map(|text| json!(text)),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::Array))
    }

    proptest! {
        #[test]
        fn total(at in 0usize..4, column in 0usize..6, value in json_value()) {
            let mut hostile = answers();
            let row = hostile[at][0].as_object_mut().unwrap();
            let name = row.keys().nth(column % row.len()).unwrap().clone();
            row.insert(name, value.clone());
            let _ = (read(hostile), interface(&[Row::from_iter([("ofport".to_owned(), value)])]));
        }

        #[test]
        fn what_is_written_reads_back(tag in prop::option::of(0u16..=4095), trunks in prop::collection::btree_set(0u16..=4095, 0..5)) {
            let columns = Columns { tag, trunks, mode: Some(Mode::NativeUntagged), cvlans: BTreeSet::from([7]) };
            let mut row = written(&columns);
            row.extend([("_uuid".to_owned(), json!(["uuid", "p"])), ("interfaces".to_owned(), json!(["uuid", "i"]))]);
            prop_assert_eq!(port(&row).unwrap().columns, columns);
        }
    }
}
