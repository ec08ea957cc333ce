//! Values in bodies that a client sent: how one is taken out.
//! Must never take a value that is not of its type, or longer than a BMC would.

use serde_json::Value;

use super::Answer;
use super::message::property_error;
use crate::bmc::limits;

/// A text, if it is one.
pub fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, Answer> {
    match value.as_str() {
        Some(text) if text.chars().count() <= limits::TEXT_MAX => Ok(text),
        Some(_) => Err(property_error("PropertyValueNotInList", name, &["(too long)", name])),
        None => Err(property_error("PropertyValueTypeError", name, &["(not a string)", name])),
    }
}

/// One of the values listed.
pub fn one_of<'a>(name: &str, value: &'a Value, allowed: &[&str]) -> Result<&'a str, Answer> {
    let given = text(name, value)?;
    if allowed.contains(&given) { Ok(given) } else { Err(property_error("PropertyValueNotInList", name, &[given, name])) }
}
