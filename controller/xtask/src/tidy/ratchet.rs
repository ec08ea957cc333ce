//! The ratchet: breaches that stood when a law came, allowed until they are mended. It may only shrink: a breach that got smaller must be
//! written down smaller, and the number of entries has a ceiling in the code, where raising it shows in review.

use std::collections::BTreeMap;

use super::walk::Files;
use super::{Breach, Law};

/// Where it stands. A line is `law subject size`; `#` begins a comment.
pub const FILE: &str = "controller/xtask/tidy.ratchet";

/// The most entries it may have. Lower it with every entry that goes; never raise it.
const ENTRIES_MOST: usize = 0;

struct Entry {
    law: String,
    subject: String,
    size: u64,
    line: usize,
}

/// Leaves out what the ratchet allows; adds a breach for each entry that is stale, too large or malformed.
pub fn apply(files: &Files, found: Vec<Breach>) -> Vec<Breach> {
    apply_at_most(files, found, ENTRIES_MOST)
}

/// See `apply`; the ceiling is an argument for tests.
pub fn apply_at_most(files: &Files, found: Vec<Breach>, entries_most: usize) -> Vec<Breach> {
    let text = files.get(FILE).map_or("", |file| file.text.as_str());
    let (entries, mut kept) = parse(text);
    if entries.len() > entries_most {
        let what = format!("{} entries, {entries_most} are allowed", entries.len());
        kept.push(complaint(1, what, "the ratchet may only shrink: mend the new breach instead"));
    }
    let mut sizes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for breach in &found {
        *sizes.entry((breach.law.name(), breach.subject.as_str())).or_default() += breach.size;
    }
    for entry in &entries {
        let size = sizes.get(&(entry.law.as_str(), entry.subject.as_str())).copied().unwrap_or(0);
        if size == 0 {
            kept.push(complaint(entry.line, format!("{} of {} is mended", entry.law, entry.subject), "remove this line"));
        } else if size < entry.size {
            kept.push(complaint(entry.line, format!("{} of {} shrank", entry.law, entry.subject), &format!("write {size}")));
        }
    }
    let allowed = |breach: &Breach| {
        let size = sizes.get(&(breach.law.name(), breach.subject.as_str()));
        entries.iter().any(|entry| {
            entry.law == breach.law.name() && entry.subject == breach.subject && size.is_some_and(|size| *size <= entry.size)
        })
    };
    let outside: Vec<Breach> = found.iter().filter(|breach| !allowed(breach)).cloned().collect();
    kept.extend(outside);
    kept
}

fn parse(text: &str) -> (Vec<Entry>, Vec<Breach>) {
    let (mut entries, mut malformed) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [law, subject, size] if size.parse::<u64>().is_ok() => entries.push(Entry {
                law: (*law).to_owned(),
                subject: (*subject).to_owned(),
                size: size.parse().unwrap_or_default(),
                line: line_number,
            }),
            _ => malformed.push(complaint(line_number, format!("`{line}` is no entry"), "write `law subject size`")),
        }
    }
    (entries, malformed)
}

fn complaint(line: usize, what: String, remedy: &str) -> Breach {
    Breach::new(Law::Ratchet, FILE, line, what, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::walk::File;
    use super::*;

    fn run(ratchet: &str, size: u64, entries_most: usize) -> Vec<String> {
        let files = Files { texts: vec![File { path: FILE.into(), text: ratchet.into() }] };
        let breach = Breach { size, ..Breach::new(Law::FileLength, "a.rs", 1, "long", "split") };
        let found = if size == 0 { vec![] } else { vec![breach] };
        apply_at_most(&files, found, entries_most).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_stood_is_allowed_and_may_not_grow() {
        assert_eq!(run("file-length a.rs 700 # since the beginning\n", 700, 1), Vec::<String>::new());
        assert!(run("file-length a.rs 700\n", 701, 1)[0].starts_with("a.rs:1: file-length"));
    }

    #[test]
    fn what_shrank_must_be_written_down_smaller() {
        assert!(run("file-length a.rs 700\n", 650, 1)[0].ends_with("write 650"));
        assert!(run("file-length a.rs 700\n", 0, 1)[0].ends_with("remove this line"));
    }

    #[test]
    fn there_may_never_be_more_entries() {
        assert!(run("file-length a.rs 700\n", 700, 0)[0].contains("may only shrink"));
        assert!(run("file-length\n", 0, 1)[0].contains("is no entry"));
    }
}
