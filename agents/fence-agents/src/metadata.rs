//! What a fence agent tells of itself: the options that it knows, and what it can do. Total: whatever is no such description is a complaint,
//! never an empty list of options.

use std::collections::BTreeSet;

/// What an agent can be asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// Names of options.
    pub options: BTreeSet<String>,
    /// Names of actions.
    pub actions: BTreeSet<String>,
}

/// Reads a description.
pub fn read(text: &str) -> Result<Abilities, String> {
    let begun = text.find("<resource-agent").ok_or("it does not describe itself as fence agents do")?;
    let body = text.get(begun..).unwrap_or_default();
    let whole = body.find("</resource-agent>").ok_or("its description of itself is cut off")?;
    let body = body.get(..whole).unwrap_or_default();
    let abilities = Abilities { options: names(body, "<parameter "), actions: names(body, "<action ") };
    if abilities.options.is_empty() || abilities.actions.is_empty() {
        return Err("its description of itself names no option, or no action".to_owned());
    }
    Ok(abilities)
}

/// The attribute `name` of every element that begins so.
fn names(text: &str, element: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        let inside = rest.split('>').next()?;
        let (_, value) = inside.split_once("name=\"")?;
        value.split_once('"').map(|(name, _)| name.to_owned())
    };
    text.split(element).skip(1).filter_map(name).collect()
}

impl Abilities {
    /// The first of these options that it knows.
    pub fn first<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().find(|name| self.options.contains(**name)).copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: &str = r#"<?xml version="1.0" ?><resource-agent name="fence_x" shortdesc="x" ><parameters>
        <parameter name="action" unique="0" required="1"><content type="string" default="reboot" /></parameter>
        <parameter name="ip" obsoletes="ipaddr"><shortdesc lang="en">name="none"</shortdesc></parameter>
        </parameters><actions><action name="on" automatic="0"/><action name="off" /></actions></resource-agent>"#;

    #[test]
    fn options_and_actions_are_read_and_nothing_else() {
        let seen = read(WHOLE).unwrap();
        assert_eq!(seen.options.iter().collect::<Vec<_>>(), ["action", "ip"]);
        assert_eq!(seen.actions.iter().collect::<Vec<_>>(), ["off", "on"]);
        assert_eq!(seen.first(&["ipaddr", "ip"]), Some("ip"));
    }

    #[test]
    fn what_is_no_whole_description_is_none() {
        for end in (0..WHOLE.len()).filter(|end| WHOLE.is_char_boundary(*end)) {
            assert!(read(&WHOLE[..end]).is_err(), "{end}");
        }
        assert!(read("<resource-agent></resource-agent>").is_err());
    }

    proptest! {
        #[test]
        fn reading_is_total(text in "(<parameter |<action |name=|\"|>|<resource-agent|</resource-agent>|[a-z]){0,40}") {
            let _ = read(&text);
        }
    }
}
