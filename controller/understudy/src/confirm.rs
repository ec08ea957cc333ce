//! Dangerous things make a person type the name of what they touch. Only the exact name is a yes.

use crate::exit::{Exit, Failure};
use crate::{limits, out};
use std::io::{BufRead, Read};
use vocabulary::Fault;

/// Says what will happen and reads the name. `yes` stands for it.
pub fn typed(name: &str, consequence: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    out::talk(consequence);
    out::talk(&format!("Type {name} to go on:"));
    let mut answer = String::new();
    // what cannot be read is no yes
    let _ = std::io::stdin().lock().take(limits::CONFIRMATION_BYTES).read_line(&mut answer);
    if answer.trim() == name {
        return Ok(());
    }
    let message = format!("`{name}` was not typed, so nothing was done");
    Err(Failure::new(Exit::Refused, Fault::new(62, message, "type the name when asked, or give --yes in automation")))
}
