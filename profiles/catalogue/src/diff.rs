//! What differs between two estates: documents that came, went and changed, and which fields. It judges nothing: whether a
//! change may be taken is decided where open plans are known.

use crate::documents::documents;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use vocabulary::estate::Estate;

/// One document that differs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// The document's kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How it differs.
    pub change: Alteration,
}

/// How a document differs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alteration {
    /// Only the new estate has it.
    Added,
    /// Only the old estate has it.
    Removed,
    /// Both have it, with other fields.
    Changed(Vec<FieldChange>),
}

/// One field that differs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FieldChange {
    /// Its path, such as `bmc.address` or `nics[2].mac`.
    pub path: String,
    /// What it was; `None` if it was not there.
    pub before: Option<Value>,
    /// What it is; `None` if it is gone.
    pub after: Option<Value>,
}

/// The differences from one estate to another, by kind and name. Empty if and only if they say the same.
pub fn diff(before: &Estate, after: &Estate) -> Vec<Difference> {
    let (old, new) = (documents(before), documents(after));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        let change = match (old.get(key), new.get(key)) {
            (None, _) => Alteration::Added,
            (_, None) => Alteration::Removed,
            (Some(was), Some(is)) => {
                let mut fields = Vec::new();
                compare(String::new(), Some(was), Some(is), &mut fields);
                if fields.is_empty() {
                    continue;
                }
                Alteration::Changed(fields)
            }
        };
        found.push(Difference { kind: key.0.word().to_owned(), name: key.1.clone(), change });
    }
    found
}

fn compare(path: String, was: Option<&Value>, is: Option<&Value>, found: &mut Vec<FieldChange>) {
    match (was, is) {
        (Some(Value::Object(was)), Some(Value::Object(is))) => {
            let keys: BTreeSet<_> = was.keys().chain(is.keys()).collect();
            for key in keys {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(inner, was.get(key), is.get(key), found);
            }
        }
        (Some(Value::Array(was)), Some(Value::Array(is))) => {
            for index in 0..was.len().max(is.len()) {
                compare(format!("{path}[{index}]"), was.get(index), is.get(index), found);
            }
        }
        (was, is) if was != is => found.push(FieldChange { path, before: was.cloned(), after: is.cloned() }),
        _ => {}
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { kind, name, change } = self;
        match change {
            Alteration::Added => write!(f, "+ {kind} {name}"),
            Alteration::Removed => write!(f, "- {kind} {name}"),
            Alteration::Changed(fields) => {
                write!(f, "~ {kind} {name}")?;
                for field in fields {
                    let text = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
                    write!(f, "\n    {}: {} -> {}", field.path, text(&field.before), text(&field.after))?;
                }
                Ok(())
            }
        }
    }
}
