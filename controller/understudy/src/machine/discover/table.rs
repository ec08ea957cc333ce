//! What a search found, for people: a line a BMC. It formats what it is given and asks nobody.

use super::known::Difference;
use super::view::{BmcView, DiscoverView};
use crate::render::{clean, count, table};
use std::collections::BTreeMap;
use vocabulary::Fault;

/// Longest difference that is spelled out, characters; a fingerprint is cut.
const SHOWN_MAX: usize = 16;

/// Longest trouble in the table, characters; what to do stands below it.
const TROUBLE_MAX: usize = 60;
/// How many fields of the hardware can be missing: then it is the hardware as a whole.
const HARDWARE_FIELDS: usize = 6;

/// Where the hardware's fields are.
const HARDWARE: &str = "hardware.";

/// The table, or a sentence where there is nothing to show.
pub fn text(view: &DiscoverView, width: Option<usize>) -> String {
    if view.bmcs.is_empty() {
        return "no BMC was found".to_owned();
    }
    let rows = view.bmcs.iter().map(row).collect();
    table(&["BMC", "SPEAKS", "MAKE AND MODEL", "SERIAL", "MACHINE", "MISSING OR DIFFERENT"], rows, width)
}

fn row(bmc: &BmcView) -> Vec<String> {
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { clean(text) };
    let also = if bmc.also.is_empty() { String::new() } else { format!(" (and {})", bmc.also.join(", ")) };
    let machine = match (&bmc.known, &bmc.draft) {
        (Some(known), _) => format!("{}, known", known.machine),
        (None, Some(draft)) => format!("{}, new", draft.machine),
        (None, None) => "-".to_owned(),
    };
    let make = if bmc.make.is_empty() { &bmc.platform } else { &bmc.make };
    let address = format!("{}{also}", bmc.address);
    vec![address, bmc.protocols.join(", "), dash(make), dash(&bmc.serial), machine, dash(&remark(bmc))]
}

fn remark(bmc: &BmcView) -> String {
    if let Some(fault) = &bmc.trouble {
        let said: String = said(&fault.message).chars().take(TROUBLE_MAX).collect();
        return format!("{}: {}", fault.code, said.trim_end());
    }
    let unread = bmc.unread.then(|| "interrupted before its hardware was read".to_owned());
    let known = bmc.known.iter().flat_map(|known| {
        let agrees = known.differs.is_empty().then(|| "nothing".to_owned());
        agrees.into_iter().chain(known.differs.iter().map(differs))
    });
    let missing = bmc.draft.iter().map(|draft| missing(&draft.gaps)).filter(|text| !text.is_empty());
    let left = bmc.draft.iter().filter_map(|draft| draft.left.as_ref()).map(|file| format!("{file} stands already"));
    unread.into_iter().chain(known).chain(missing).chain(left).collect::<Vec<_>>().join("; ")
}

fn differs(one: &Difference) -> String {
    format!("{}: {}, document: {}", one.field, cut(&one.told), cut(one.document.as_deref().unwrap_or("nothing")))
}

/// A fault's message without the address, which stands in the same line.
fn said(message: &str) -> &str {
    let rest = message.strip_prefix("BMC ").and_then(|rest| rest.split_once(": "));
    rest.map_or(message, |(_, said)| said)
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_MAX).collect();
    if short.len() < text.len() && text.chars().all(|c| c.is_ascii_hexdigit()) { format!("{short}...") } else { text.to_owned() }
}

/// Gaps in few words: fields of ports are counted, fields of a group lose its name.
pub fn missing(gaps: &[String]) -> String {
    let hardware = gaps.iter().filter(|gap| gap.starts_with(HARDWARE)).count() == HARDWARE_FIELDS;
    let mut single = Vec::new();
    let mut of_ports: BTreeMap<&str, usize> = BTreeMap::new();
    for gap in gaps {
        match gap.strip_prefix("nics[").and_then(|rest| rest.split_once("].")) {
            Some((_, field)) => *of_ports.entry(field).or_default() += 1,
            None if hardware && gap.starts_with(HARDWARE) => {}
            None => single.push(gap.rsplit('.').next().unwrap_or(gap).to_owned()),
        }
    }
    single.extend(hardware.then(|| "hardware".to_owned()));
    let mut by_count: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for (field, number) in of_ports {
        by_count.entry(number).or_default().push(field);
    }
    let ports = by_count.iter().rev().map(|(number, fields)| format!("{} of {}", fields.join(" and "), count(*number, "port")));
    single.into_iter().chain(ports).collect::<Vec<_>>().join(", ")
}

/// How much was found.
pub fn summary(view: &DiscoverView) -> String {
    let new = view.drafts().count();
    let known = view.bmcs.iter().filter(|bmc| bmc.known.is_some()).count();
    let asked = if view.asked == 1 { "1 address was".to_owned() } else { format!("{} addresses were", view.asked) };
    format!("{asked} asked: {}, {new} new, {known} known", count(view.bmcs.len(), "BMC"))
}

/// One fault of each kind, for its remedy.
pub fn remedies(view: &DiscoverView) -> Vec<&Fault> {
    let by_code: BTreeMap<_, _> =
        view.bmcs.iter().filter_map(|bmc| bmc.trouble.as_ref()).map(|fault| (fault.code, fault)).collect();
    by_code.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn gaps_are_told_in_few_words() {
        let of = |gaps: &[&str]| missing(&gaps.iter().map(|gap| (*gap).to_owned()).collect::<Vec<_>>());
        let gaps = ["site", "bmc.user", "nics[0].role", "nics[0].switch", "nics[1].role", "nics[1].port", "hardware.level"];
        assert_eq!(of(&gaps), "site, user, level, role of 2 ports, port and switch of 1 port");
        let hardware = ["architecture", "level", "memory", "threads", "firmware", "unrevocable_storage"]
            .map(|one| format!("hardware.{one}"));
        let all: Vec<&str> = std::iter::once("nics").chain(hardware.iter().map(String::as_str)).collect();
        assert_eq!(of(&all), "nics, hardware");
        assert_eq!(of(&[]), "");
    }
}
