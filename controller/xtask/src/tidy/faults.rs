//! Every fault code in the code has a page, and every page a code: an operator who meets F0000-like words must find what to do.

use std::collections::BTreeMap;

use super::imports::test_ranges;
use super::source::{Source, is_word, word_offsets};
use super::walk::Files;
use super::{Breach, Law};

/// Where the pages stand, one a code.
const PAGES: &str = "controller/docs/faults/";
/// Folder whose examples are no faults of the product.
const OURSELVES: &str = "controller/xtask/";
/// Digits of a code after its `F`.
const DIGITS: usize = 4;
/// Constructors that take a code as a number.
const CONSTRUCTORS: &[&str] = &["Fault::new(", "Code("];
/// What a page must speak of, beside its code.
const REMEDY: &str = "what to do";

/// Breaches between code and pages.
pub fn check(files: &Files, sources: &[Source]) -> Vec<Breach> {
    let mut used: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.path.starts_with(OURSELVES)) {
        for (code, line) in codes(source) {
            used.entry(code).or_insert((&source.path, line));
        }
    }
    let mut breaches = Vec::new();
    for (code, (path, line)) in &used {
        if files.get(&format!("{PAGES}{code}.md")).is_none() {
            let remedy = format!("write {PAGES}{code}.md: what it means, why it comes, what to do");
            breaches.push(Breach::new(Law::FaultPages, path, *line, format!("{code} has no page"), remedy));
        }
    }
    for file in &files.texts {
        let Some(code) = file.path.strip_prefix(PAGES).and_then(|name| name.strip_suffix(".md")) else {
            continue;
        };
        if is_code(code) && !used.contains_key(code) {
            let what = format!("no code mentions {code}");
            breaches.push(Breach::new(Law::FaultPages, &file.path, 1, what, "remove the page, or use the code"));
        }
        let text = file.text.to_lowercase();
        if is_code(code) && !text.contains(REMEDY) && !text.contains("remedy") {
            let what = format!("the page of {code} names no remedy");
            breaches.push(Breach::new(Law::FaultPages, &file.path, 1, what, "say what to do"));
        }
    }
    breaches
}

/// Codes written out (`F0123`, in code or strings) or given as a number to a constructor (`Fault::new(123, ...)`),
/// outside tests.
fn codes(source: &Source) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    let tests = test_ranges(&source.code);
    let tested = |at: usize| tests.iter().any(|range| range.contains(&at));
    let text = &source.uncommented;
    for (at, _) in text.match_indices('F') {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        let after = text.as_bytes().get(at + 1 + DIGITS);
        if let Some(code) = text.get(at..at + 1 + DIGITS)
            && is_code(code)
            && !tested(at)
            && !before.is_some_and(|byte| is_word(*byte))
            && !after.is_some_and(|byte| is_word(*byte))
        {
            found.push((code.to_owned(), source.line_of(at)));
        }
    }
    for constructor in CONSTRUCTORS {
        let (name, _) = constructor.split_once(['(', ':']).unwrap_or((constructor, ""));
        for at in word_offsets(&source.code, name) {
            let number = source.code.get(at..).and_then(|rest| rest.strip_prefix(constructor)).map(digits).unwrap_or_default();
            if let Ok(number) = number.parse::<u16>()
                && !tested(at)
                && !of_another_type(&source.code, at)
            {
                found.push((format!("F{number:04}"), source.line_of(at)));
            }
        }
    }
    found
}

/// `Self::Code(1)` is a variant of something else; `fault::Code(1)` is a fault's code.
fn of_another_type(code: &str, at: usize) -> bool {
    let before = code.get(..at).unwrap_or_default();
    before.ends_with("::") && !before.ends_with("fault::") && !before.ends_with("vocabulary::")
}

fn digits(rest: &str) -> String {
    rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '_').filter(|c| *c != '_').collect()
}

fn is_code(word: &str) -> bool {
    word.strip_prefix('F').is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_words_and_in_numbers() {
        let text = "// F0001 is only spoken of\nlet a = \"F0002: x\"; let b = Fault::new(103, m, r);\nlet c = Code(1_004); let d = 0xF0005; let e = Code(n); let f = Exit::Code(7);\n\
                    #[cfg(test)]\nmod tests { const F: &str = \"F0006\"; }\n";
        let found: Vec<String> = codes(&Source::new("a.rs", text)).into_iter().map(|(code, _)| code).collect();
        assert_eq!(found, ["F0002", "F0103", "F1004"]);
    }
}
