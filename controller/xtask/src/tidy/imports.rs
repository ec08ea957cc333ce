//! Which paths of its own crate a file uses: `use crate::...`, `crate::a::b(...)`, `super::...`, outside tests. Each path is made absolute
//! within the crate. It resolves no names: what a path means is for `modules`.

use super::source::{Source, closing, is_word, word_offsets};

/// A path as used, absolute within the crate: `["a", "b", "Item"]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub path: Vec<String>,
    pub line: usize,
}

/// An inline `mod name { ... }` of a file.
struct Inline {
    name: String,
    start: usize,
    end: usize,
    test: bool,
}

/// All uses in a file whose own module path is `module`.
pub fn uses(source: &Source, module: &[String]) -> Vec<Use> {
    let inlines = inline_modules(&source.code);
    let mut found = Vec::new();
    for keyword in ["crate", "super"] {
        for at in word_offsets(&source.code, keyword) {
            let rest = source.code.get(at + keyword.len()..).unwrap_or_default();
            let inside: Vec<&Inline> = inlines.iter().filter(|inline| (inline.start..inline.end).contains(&at)).collect();
            let follows_path = source.code.get(..at).unwrap_or_default().trim_end().ends_with("::");
            if !rest.trim_start().starts_with("::") || follows_path || inside.iter().any(|inline| inline.test) {
                continue;
            }
            let mut base: Vec<String> = Vec::new();
            if keyword == "super" {
                base = module.to_vec();
                base.extend(inside.iter().map(|inline| inline.name.clone()));
                base.pop();
            }
            let line = source.line_of(at);
            found.extend(tree(rest, base).into_iter().map(|path| Use { path, line }));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The paths of `use` trees that begin with one of the given names: what a crate root re-exports.
pub fn reexports(source: &Source) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for at in word_offsets(&source.code, "use") {
        let before = source.code.get(..at).unwrap_or_default().trim_end();
        if before.ends_with("pub") || before.ends_with(')') {
            let rest = source.code.get(at + "use".len()..).unwrap_or_default();
            found.extend(tree(&format!("::{}", rest.trim_start()), Vec::new()));
        }
    }
    found
}

/// Reads what follows a first segment: `::a::{b, c::D as E, self}` gives a::b, a::c::D, a.
fn tree(text: &str, base: Vec<String>) -> Vec<Vec<String>> {
    let mut path = base;
    let mut rest = text.trim_start();
    while let Some(after) = rest.strip_prefix("::") {
        rest = after.trim_start();
        if rest.starts_with('{') {
            let inner = rest.get(1..closing(rest, 0).saturating_sub(1)).unwrap_or_default();
            return split(inner).into_iter().flat_map(|branch| tree(&format!("::{}", branch.trim()), path.clone())).collect();
        }
        let length = rest.bytes().take_while(|byte| is_word(*byte)).count();
        match rest.get(..length).unwrap_or_default() {
            // a glob, a turbofish, the end of a list
            "" => break,
            "self" => {}
            "super" => {
                path.pop();
            }
            segment => path.push(segment.to_owned()),
        }
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    vec![path]
}

/// Splits at commas that stand in no inner braces.
fn split(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(list.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list.get(from..).unwrap_or_default());
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Where test modules stand: what is said there is said to a test.
pub fn test_ranges(code: &str) -> Vec<std::ops::Range<usize>> {
    inline_modules(code).into_iter().filter(|inline| inline.test).map(|inline| inline.start..inline.end).collect()
}

fn inline_modules(code: &str) -> Vec<Inline> {
    let mut found = Vec::new();
    for at in word_offsets(code, "mod") {
        let rest = code.get(at + "mod".len()..).unwrap_or_default();
        let name: String = rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(brace) = rest.find(['{', ';']) else { continue };
        if name.is_empty() || rest.as_bytes().get(brace) != Some(&b'{') {
            continue;
        }
        let start = at + "mod".len() + brace;
        let before = code.get(..at).unwrap_or_default().trim_end();
        let before = before.strip_suffix("pub").unwrap_or(before).trim_end();
        let test = before.rsplit(['}', ';', '{']).next().is_some_and(|attributes| attributes.contains("cfg(test)"));
        found.push(Inline { name, start, end: closing(code, start), test });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let module = ["a".to_owned(), "b".to_owned()];
        uses(&Source::new("x.rs", text), &module).into_iter().map(|one| one.path.join("::")).collect()
    }

    #[test]
    fn trees_paths_and_parents_are_seen() {
        let text = "use crate::{c::D, e::{self, F as G}};\nfn f() { crate::h::i::<u8>(); super::j::k(); other::crate_x(); }\n// crate::no::way\n";
        assert_eq!(paths(text), ["a::j::k", "c::D", "e", "e::F", "h::i"]);
    }

    #[test]
    fn inline_modules_count_and_tests_do_not() {
        let text =
            "mod limits { fn f() { super::super::c::d(); } }\n#[cfg(test)]\nmod tests { use super::*; use crate::z::Y; }\n";
        assert_eq!(paths(text), ["a::c::d"]);
    }

    #[test]
    fn reexports_of_a_root_are_seen() {
        let source = Source::new(
            "lib.rs",
            "pub use s3_fence::{FenceProof, power::Reading};\nuse private::Thing;\npub(crate) use plan::Plan;\n",
        );
        let found: Vec<String> = reexports(&source).into_iter().map(|path| path.join("::")).collect();
        assert_eq!(found, ["s3_fence::FenceProof", "s3_fence::power::Reading", "plan::Plan"]);
    }
}
