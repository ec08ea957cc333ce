//! Numbers and texts within their ranges (F0028), what only a lab may do (F0029), and an estate that can tell when it is the
//! isolated one (F0039).

use super::{Desk, field, item};
use crate::codes;
use crate::complaint::Severity;
use crate::documents::Kind;
use crate::init::Flavor;
use crate::places::Word;
use crate::read::Step;
use vocabulary::estate::{BmcProtocol, ProofChoice};
use vocabulary::{Span, estate};

/// Shortest pace of any polling: a BMC asked more often than this does nothing else.
const EVERY_MIN: Span = Span::ms(100);
/// Longest pace of any polling: beyond it nothing is detected in time.
const EVERY_MAX: Span = Span::seconds(600);
/// Longest detection window.
const WINDOW_MAX: Span = Span::seconds(3600);
/// Shortest settle window outside a lab, and longest anywhere.
const SETTLE_MIN: Span = Span::seconds(10);
const SETTLE_MAX: Span = Span::seconds(600);
/// Shortest settle window in a lab, where Off means that the process is reaped.
const SETTLE_LAB_MIN: Span = Span::ms(100);
/// Fewest and most reads of a power proof.
const READS: std::ops::RangeInclusive<u32> = 3..=100;
/// How long a confirmed part of a proof may count.
const FRESH: (Span, Span) = (Span::seconds(5), Span::seconds(600));
/// How long a permit may live without a controller.
const LEASE: (Span, Span) = (Span::seconds(60), Span::seconds(30 * 86_400));
/// How long records may be kept: what is reported of a month, and no end.
const HISTORY: (Span, Span) = (Span::seconds(30 * 86_400), Span::seconds(100 * 365 * 86_400));
/// Shortest in a lab.
const HISTORY_LAB_MIN: Span = Span::seconds(1);
/// So many of the newest stay at least, whatever a clock says.
const RECORDS_MIN: u64 = 1_000;
/// Longest time between two failovers of one server that can be asked for.
const INTERVAL_MAX: Span = Span::seconds(7 * 86_400);
/// How many people may have to agree.
const PEOPLE: std::ops::RangeInclusive<u32> = 1..=2;
/// Ethernet's range of MTUs that equipment takes.
const MTU: std::ops::RangeInclusive<u16> = 576..=9216;
/// x86-64 levels; 0 where they have no meaning.
const LEVEL_MAX: u8 = 4;
/// SHA-256 in hex.
const FINGERPRINT_CHARS: usize = 64;

pub fn check(desk: &mut Desk<'_>) {
    detection(desk);
    guard(desk);
    fencing(desk);
    machines(desk);
    servers(desk);
    for (name, tier) in &desk.estate.tiers {
        if tier.rank == 0 {
            let word = Word::error(codes::RANGE, "rank is 0", "write 1 for the tier that is served first, then 2, 3, ...");
            desk.tell(Kind::Tier, name.as_str(), &[field("rank")], word);
        }
    }
}

fn span(desk: &mut Desk<'_>, path: &[&str], value: Span, least: Span, most: Span) {
    if value < least || value > most {
        let path: Vec<Step> = path.iter().map(|key| field(key)).collect();
        let name =
            path.last().map(|step| if let Step::Key(key) = step { key.clone() } else { String::new() }).unwrap_or_default();
        let message = format!("{name} is {value}");
        desk.tell_settings(&path, Word::error(codes::RANGE, message, format!("write a time from {least} to {most}")));
    }
}

fn detection(desk: &mut Desk<'_>) {
    let detection = desk.estate.settings.detection.clone();
    span(desk, &["detection", "power_every"], detection.power_every, EVERY_MIN, EVERY_MAX);
    span(desk, &["detection", "check_every"], detection.check_every, EVERY_MIN, EVERY_MAX);
    span(desk, &["detection", "off_window"], detection.off_window, EVERY_MIN, WINDOW_MAX);
    span(desk, &["detection", "boot_time"], detection.boot_time, Span::seconds(1), WINDOW_MAX);
    // silence shorter than two checks is one lost packet
    let two_checks = Span(detection.check_every.0.saturating_mul(2));
    span(desk, &["detection", "hung_window"], detection.hung_window, two_checks.min(WINDOW_MAX), WINDOW_MAX);
}

fn guard(desk: &mut Desk<'_>) {
    let guard = desk.estate.settings.guard.clone();
    span(desk, &["guard", "window"], guard.window, Span::seconds(10), WINDOW_MAX);
    span(desk, &["guard", "site_window"], guard.site_window, Span::seconds(10), Span::seconds(86_400));
    span(desk, &["guard", "server_interval"], guard.server_interval, Span(0), INTERVAL_MAX);
    for (key, value, least, most) in [
        ("site_percent", guard.site_percent, 0, 100),
        ("server_per_day", guard.server_per_day, 1, 100),
        ("site_count", guard.site_count, 1, 1000),
        ("inrush", guard.inrush, 1, 1000),
    ] {
        if value < least || value > most {
            let word = Word::error(codes::RANGE, format!("{key} is {value}"), format!("write a number from {least} to {most}"));
            desk.tell_settings(&[field("guard"), field(key)], word);
        }
    }
    let history = desk.estate.settings.retention.history;
    span(desk, &["retention", "history"], history, HISTORY_LAB_MIN, HISTORY.1);
    if history >= HISTORY_LAB_MIN && history < HISTORY.0 {
        let message = format!("history is {history}: only a lab may forget what was recorded within {}", HISTORY.0);
        lab_only(desk, ["retention", "history"], message, &format!("write {} or more, or leave it out", HISTORY.0));
    }
    let at_least = desk.estate.settings.retention.at_least;
    if at_least < RECORDS_MIN {
        let message = format!("at_least is {at_least}: only a lab may forget the newest {RECORDS_MIN} records");
        lab_only(desk, ["retention", "at_least"], message, &format!("write {RECORDS_MIN} or more, or leave it out"));
    }
    let people = desk.estate.settings.consent.people;
    if !PEOPLE.contains(&people) {
        let remedy = format!("write a number from {} to {}", PEOPLE.start(), PEOPLE.end());
        let word = Word::error(codes::RANGE, format!("people is {people}"), remedy);
        desk.tell_settings(&[field("consent"), field("people")], word);
    }
    if guard.canaries.is_empty() && desk.settings_sound() {
        let message = "there is no canary: the controller cannot tell whether it is the isolated one";
        let remedy = "name addresses under `guard: {canaries: [...]}` that answer whenever the controller's network works, such as gateways";
        desk.tell_settings(&[field("guard")], Word::warning(codes::NO_CANARY, message, remedy));
    }
}

fn fencing(desk: &mut Desk<'_>) {
    let estate::Fencing { settle, reads, fresh_for, proof } = desk.estate.settings.fencing.clone();
    span(desk, &["fencing", "settle"], settle, SETTLE_LAB_MIN, SETTLE_MAX);
    span(desk, &["fencing", "fresh_for"], fresh_for, FRESH.0, FRESH.1);
    span(desk, &["permit_lease"], desk.estate.settings.permit_lease.0, LEASE.0, LEASE.1);
    if settle >= SETTLE_LAB_MIN && settle < SETTLE_MIN {
        let message =
            format!("settle is {settle}: only a lab may go below {SETTLE_MIN}, where Off means that nothing runs any more");
        lab_only(desk, ["fencing", "settle"], message, &format!("write {SETTLE_MIN} or more, or leave it out"));
    }
    if !READS.contains(&reads) {
        let message = format!("reads is {reads}");
        let remedy = format!("write a number from {} to {}: fewer reads are no proof", READS.start(), READS.end());
        desk.tell_settings(&[field("fencing"), field("reads")], Word::error(codes::RANGE, message, remedy));
    }
    if proof != ProofChoice::Any {
        let message = "only a lab may leave out a proof set, to measure the other".to_owned();
        lab_only(desk, ["fencing", "proof"], message, "leave `proof:` out, or write `any`");
    }
}

fn lab_only(desk: &mut Desk<'_>, path: [&str; 2], message: String, remedy: &str) {
    let severity = match desk.flavor {
        Some(Flavor::Lab) => return,
        Some(Flavor::Production) => Severity::Error,
        None => Severity::Warning,
    };
    let word = Word { severity, code: codes::LAB_ONLY, message, remedy: remedy.to_owned() };
    desk.tell_settings(&path.map(field), word);
}

fn machines(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    for (name, machine) in &estate.machines {
        let mut out = |path: &[Step], message: String, remedy: &str| {
            desk.tell(Kind::Machine, name.as_str(), path, Word::error(codes::RANGE, message, remedy));
        };
        let hardware = &machine.hardware;
        if hardware.level > LEVEL_MAX {
            out(
                &[field("hardware"), field("level")],
                format!("level is {}", hardware.level),
                "write an x86-64 level from 0 to 4",
            );
        }
        if hardware.firmware.is_empty() {
            let message = "a machine without a firmware mode cannot boot".to_owned();
            out(&[field("hardware"), field("firmware")], message, "write bios, uefi or both");
        }
        let pinned = machine.bmc.certificate.as_str();
        let fingerprint = pinned.len() == FINGERPRINT_CHARS && pinned.bytes().all(|byte| byte.is_ascii_hexdigit());
        if pinned != "enrol" && !fingerprint {
            let message = "certificate is neither `enrol` nor a SHA-256 fingerprint in hex".to_owned();
            out(
                &[field("bmc"), field("certificate")],
                message,
                "write `enrol` to pin what is found at `understudy machine enroll`",
            );
        }
        if machine.bmc.ipmi.is_some() && machine.bmc.protocol != BmcProtocol::Ipmi {
            let message = "`ipmi` is written for a BMC of another protocol".to_owned();
            out(&[field("bmc"), field("ipmi")], message, "remove it, or write `protocol: ipmi`");
        }
        if machine.bmc.user.is_empty() {
            out(&[field("bmc"), field("user")], "user is empty".to_owned(), "write the BMC account's name");
        }
        for (index, nic) in machine.nics.iter().enumerate() {
            if nic.speed.is_some_and(|speed| speed.0 == 0) {
                out(
                    &item("nics", index, "speed"),
                    "speed is 0".to_owned(),
                    "write the link's speed, such as 25G, or leave it out",
                );
            }
        }
    }
}

fn servers(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    for (name, server) in &estate.servers {
        if server.requires.level > LEVEL_MAX {
            let path = [field("requires"), field("level")];
            let word =
                Word::error(codes::RANGE, format!("level is {}", server.requires.level), "write an x86-64 level from 0 to 4");
            desk.tell(Kind::Server, name.as_str(), &path, word);
        }
        for (index, network) in server.networks.iter().enumerate() {
            let Some(mtu) = network.mtu.filter(|mtu| !MTU.contains(mtu)) else { continue };
            let remedy = format!("write an MTU from {} to {}, or leave it out", MTU.start(), MTU.end());
            let word = Word::error(codes::RANGE, format!("mtu is {mtu}"), remedy);
            desk.tell(Kind::Server, name.as_str(), &item("networks", index, "mtu"), word);
        }
    }
}
