//! Tests of what the unit shows by SNMP: every object says what the administration says, and a SET does nothing else.

use super::mib::{Dark, Metered, Mib, SetError, Value};
use super::*;

const ROW: &str = "1.3.6.1.4.1.318.1.1.26";

struct Heater;

impl Load for Heater {
    fn fed(&self, _: usize, _: bool) {}
    fn watts(&self, _: usize) -> u32 {
        460
    }
}

fn oid(text: &str) -> Vec<u32> {
    text.split('.').map(|arc| arc.parse().unwrap()).collect()
}

fn row(tail: &str) -> Vec<u32> {
    oid(&format!("{ROW}.{tail}"))
}

fn mib() -> Mib {
    let unit = Unit::new("pdu1", 1..=3).with_serial("5A1234E00001");
    assert!(unit.plug(2, Arc::new(Heater), 0));
    Mib::of(unit)
}

async fn shown(mib: &Mib, tails: &[&str]) -> Vec<i32> {
    let mut all = Vec::new();
    for tail in tails {
        match mib.get(&row(tail)).await.unwrap() {
            Value::Integer(value) => all.push(value),
            other => panic!("{tail}: {other:?}"),
        }
    }
    all
}

/// Power-on time, state, pending, command, current, power of outlet 2.
const TWO: [&str; 6] = ["9.2.1.1.5.2", "9.2.3.1.5.2", "9.2.3.1.6.2", "9.2.4.1.5.2", "9.4.3.1.6.2", "9.4.3.1.7.2"];

#[tokio::test(start_paused = true)]
async fn it_shows_what_the_administration_says() {
    let mib = mib();
    assert_eq!(mib.get(&row("2.1.9.1")).await, Ok(Value::Text("5A1234E00001".into())));
    assert_eq!(mib.get(&row("9.2.1.1.3.2")).await, Ok(Value::Text("Outlet 2".into())));
    assert_eq!(shown(&mib, &["4.2.1.4.1", "9.1.0", "9.3.0", "9.2.3.1.4.2"]).await, [3, 3, 3, 2]);
    assert_eq!(shown(&mib, &TWO).await, [0, 2, 2, 1, 20, 460]);
    mib.unit().takes(2, Duration::from_secs(3));
    assert_eq!(mib.set(&row("9.2.1.1.5.2"), &Value::Integer(-1)).await, Ok(()));
    assert_eq!(mib.set(&row("9.2.4.1.5.2"), &Value::Integer(2)).await, Ok(()));
    assert_eq!(shown(&mib, &TWO).await, [-1, 2, 1, 1, 20, 460], "accepted is not done");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(shown(&mib, &TWO).await, [-1, 1, 2, 2, 0, 0]);
    assert_eq!(mib.get(&oid("1.3.6.1.2.1.1.3.0")).await, Ok(Value::Ticks(400)));
    mib.set(&row("9.2.1.1.5.2"), &Value::Integer(300)).await.unwrap();
    mib.set(&row("9.2.4.1.5.2"), &Value::Integer(1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(shown(&mib, &TWO).await, [0, 2, 2, 1, 20, 460]);
    mib.unit().set_on_return(2, OnReturn::AsBefore).await.unwrap();
    assert!(!(-1..=300).contains(&shown(&mib, &TWO[..1]).await[0]), "what the table cannot say is no documented value");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_told_and_what_makes_no_sense_is_refused() {
    let mib = mib();
    for tail in ["9.2.3.1.5.4", "9.2.3.1.5.0", "9.2.3.1.5.4294967295", "9.2.3.1.5", "9.2.3.1.5.2.1"] {
        assert_eq!(mib.get(&row(tail)).await, Ok(Value::NoInstance), "{tail}");
    }
    for other in [row("9.2.3.1.99.2"), row("2.1.9.2"), oid("1.3.6.1.2.1.1.1.0"), vec![], UNITS_ALONE.to_vec()] {
        assert_eq!(mib.get(&other).await, Ok(Value::NoObject), "{other:?}");
        assert_eq!(mib.set(&other, &Value::Integer(2)).await, Err(SetError::NotWritable));
    }
    let refusals = [
        ("9.2.4.1.5.9", Value::Integer(2), SetError::NoCreation),
        ("9.2.4.1.5.2", Value::Text("2".into()), SetError::WrongType),
        ("9.2.4.1.5.2", Value::Integer(4), SetError::WrongValue),
        ("9.2.1.1.5.2", Value::Integer(301), SetError::WrongValue),
        ("9.2.1.1.5.2", Value::Integer(-2), SetError::WrongValue),
        ("9.2.3.1.5.2", Value::Integer(1), SetError::NotWritable),
        ("2.1.9.1", Value::Text("x".into()), SetError::NotWritable),
    ];
    for (tail, value, error) in refusals {
        assert_eq!(mib.set(&row(tail), &value).await, Err(error), "{tail} {value:?}");
    }
    mib.unit().has(2, Quirk::Refuses);
    assert_eq!(mib.set(&row("9.2.4.1.5.2"), &Value::Integer(2)).await, Err(SetError::General));
    assert_eq!(mib.set(&row("9.2.1.1.5.2"), &Value::Integer(-1)).await, Err(SetError::General));
    assert_eq!(shown(&mib, &TWO).await, [0, 2, 2, 1, 20, 460], "nothing of all that did anything");
    assert_eq!(mib.unit().switchings(), 0);
}

const UNITS_ALONE: [u32; 10] = [1, 3, 6, 1, 4, 1, 318, 1, 1, 26];

#[tokio::test(start_paused = true)]
async fn a_model_without_meters_says_so_and_a_dark_unit_says_nothing() {
    let mib = mib();
    let objects = mib.objects();
    assert!(objects.is_sorted() && objects.len() == 17 * 3 + 7, "{}", objects.len());
    for object in &objects {
        let value = mib.get(object).await.unwrap();
        assert!(!matches!(value, Value::NoObject | Value::NoInstance), "{object:?}");
    }
    let amperes = mib.clone().measuring(Metered::Amperes);
    assert_eq!(shown(&amperes, &TWO).await, [0, 2, 2, 1, 20, -1]);
    let nothing = mib.clone().measuring(Metered::Nothing);
    assert_eq!((nothing.get(&row(TWO[5])).await, shown(&nothing, &["9.3.0"]).await), (Ok(Value::NoObject), vec![0]));
    assert_eq!(nothing.objects().len(), 13 * 3 + 7);
    mib.unit().feed(false);
    for object in objects.iter().chain([&row("9.2.3.1.5.4"), &vec![]]) {
        assert_eq!(mib.get(object).await, Err(Dark));
        assert_eq!(mib.set(object, &Value::Integer(1)).await, Err(SetError::Dark));
    }
}
