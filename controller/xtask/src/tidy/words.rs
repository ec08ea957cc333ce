//! Words that have no place: vendors' names outside the drivers, unfinished work, and names of one particular machine or registry. This
//! folder names them in order to forbid them and is itself not searched.

use super::source::{Source, is_word};
use super::walk::{File, Files};
use super::{Breach, Law};

/// The one folder that must spell the forbidden words.
const OURSELVES: &str = "controller/xtask/src/tidy/";

/// Vendors, their product lines and their management controllers; whole words, in any case, also inside CamelCase and snake_case.
const VENDORS: &[&str] = &[
    "dell",
    "poweredge",
    "idrac",
    "hpe",
    "proliant",
    "ilo",
    "lenovo",
    "thinksystem",
    "xcc",
    "supermicro",
    "megarac",
    "cisco",
    "cimc",
    "fujitsu",
    "irmc",
    "huawei",
    "ibmc",
    "inspur",
    "nvidia",
    "mellanox",
    "openbmc",
    "arista",
    "juniper",
    "quanta",
    "asrock",
    "netapp",
    "brocade",
];
/// Rooms whose business vendors are.
const VENDOR_ROOMS: &[&str] = &["agents/", "hw-fixtures/"];
/// Files in which a vendor's name would be code or configuration, not prose.
const VENDOR_FILES: &[&str] = &[".rs", ".toml", ".yaml", ".yml", ".json", ".sh"];

/// Marks of unfinished work, in comments as in code.
const UNFINISHED_WORDS: &[&str] = &["TODO", "FIXME", "XXX"];
/// Code that stands for code not yet written, or for a test that is not run.
const UNFINISHED_CODE: &[&str] = &["todo!", "unimplemented!", "#[ignore"];

/// Folders of one developer's machine; told from a path inside another by what stands before it.
const MACHINE_PATHS: &[&str] = &["/work/", "/root/", "/home/", "/Users/"];
/// Hosts of package registries: where packages come from is the user's configuration.
const REGISTRIES: &[&str] = &[
    "index.crates.io",
    "static.crates.io",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "pypi.org",
    "proxy.golang.org",
    "docker.io/",
];

/// Breaches in all text files.
pub fn check(files: &Files, sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in files.texts.iter().filter(|file| !file.path.starts_with(OURSELVES)) {
        for (index, line) in file.text.lines().enumerate() {
            let line_number = index + 1;
            breaches.extend(vendor(file, line, line_number));
            breaches.extend(foreign(file, line, line_number));
            if !file.path.ends_with(".md") {
                breaches.extend(unfinished_word(file, line, line_number));
            }
        }
    }
    for source in sources.iter().filter(|source| !source.path.starts_with(OURSELVES)) {
        breaches.extend(unfinished_code(source));
    }
    breaches
}

fn vendor(file: &File, line: &str, line_number: usize) -> Option<Breach> {
    if VENDOR_ROOMS.iter().any(|room| file.path.starts_with(room)) || !VENDOR_FILES.iter().any(|end| file.path.ends_with(end)) {
        return None;
    }
    let word = words(line).into_iter().find(|word| VENDORS.contains(&word.as_str()))?;
    Some(Breach::new(
        Law::Vendors,
        &file.path,
        line_number,
        format!("a vendor's name, `{word}`"),
        "ask for the quirk or the capability by name; only agents/*/ and hw-fixtures/ know vendors",
    ))
}

/// Words of letters, in lower case; a CamelCase word gives itself and its parts.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        words.push(word.to_ascii_lowercase());
        let mut part = String::new();
        for letter in word.chars() {
            if letter.is_ascii_uppercase() && part.chars().last().is_some_and(|last| last.is_ascii_lowercase()) {
                words.push(std::mem::take(&mut part).to_ascii_lowercase());
            }
            part.push(letter);
        }
        words.push(part.to_ascii_lowercase());
    }
    words
}

fn unfinished_word(file: &File, line: &str, line_number: usize) -> Option<Breach> {
    let word = line.split(|c: char| !c.is_alphanumeric() && c != '_').find(|word| UNFINISHED_WORDS.contains(word))?;
    Some(unfinished(&file.path, line_number, word))
}

fn unfinished_code(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for mark in UNFINISHED_CODE {
        for (at, _) in source.code.match_indices(mark) {
            let in_word =
                at.checked_sub(1).and_then(|before| source.code.as_bytes().get(before)).is_some_and(|byte| is_word(*byte));
            if !in_word {
                breaches.push(unfinished(&source.path, source.line_of(at), mark));
            }
        }
    }
    breaches
}

fn unfinished(path: &str, line: usize, word: &str) -> Breach {
    Breach::new(Law::Unfinished, path, line, format!("`{word}`"), "finish it, or leave it out and say so in the closing note")
}

fn foreign(file: &File, line: &str, line_number: usize) -> Option<Breach> {
    let path = MACHINE_PATHS.iter().find(|path| line.match_indices(**path).any(|(at, _)| begins_a_path(line, at)));
    let word = path.or_else(|| REGISTRIES.iter().find(|host| line.contains(**host)))?;
    Some(Breach::new(
        Law::ForeignWords,
        &file.path,
        line_number,
        format!("`{word}` belongs to one machine or registry"),
        "derive it at run time, or take it as an argument",
    ))
}

/// `/root/` at the beginning of a path, not within `packages/root/usr`.
fn begins_a_path(line: &str, at: usize) -> bool {
    let before = line.get(..at).and_then(|before| before.chars().last());
    !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | ')' | '>' | '*' | '~' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_are_found_in_any_spelling_and_only_as_words() {
        for line in ["is_dell()", "struct DellQuirk;", "// iLO 5", "\"iDRAC9\"", "SUPERMICRO"] {
            assert!(words(line).iter().any(|word| VENDORS.contains(&word.as_str())), "{line}");
        }
        for line in ["modelled", "a pilot", "silo", "dwell", "kilobyte"] {
            assert!(!words(line).iter().any(|word| VENDORS.contains(&word.as_str())), "{line}");
        }
    }

    #[test]
    fn only_paths_that_begin_there_are_foreign() {
        let at = |line: &str, path: &str| line.find(path).is_some_and(|at| begins_a_path(line, at));
        assert!(at("see /work/tree", "/work/") && at("\"/root/x\"", "/root/") && at("/home/me/x", "/home/"));
        assert!(!at("packages/root/usr", "/root/") && !at("${DIR}/work/x", "/work/"));
    }
}
