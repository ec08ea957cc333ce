//! Laws of a single Rust file: it opens by saying what it is for, it stays short, and so do its functions.

use super::source::{Source, closing, word_offsets};
use super::{Breach, Law};

/// Most lines of a file.
pub const FILE_LINES_MOST: usize = 600;
/// Most lines of code of a function, from `fn` to its closing brace; blank lines and comments are free.
pub const FUNCTION_LINES_MOST: usize = 70;

/// Breaches in one file.
pub fn check(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    if !source.text.starts_with("//!") {
        breaches.push(Breach::new(
            Law::Opening,
            &source.path,
            1,
            "the file does not open with `//!`",
            "say in its first line what it is for and what it must never do",
        ));
    }
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MOST {
        breaches.push(Breach {
            size: lines as u64,
            ..Breach::new(
                Law::FileLength,
                &source.path,
                lines,
                format!("{lines} lines, {FILE_LINES_MOST} are allowed"),
                "split it by thought, not by size",
            )
        });
    }
    breaches.extend(functions(source));
    breaches
}

fn functions(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for at in word_offsets(&source.code, "fn") {
        let Some((name, open)) = function(&source.code, at) else {
            continue;
        };
        let body = source.code.get(at..closing(&source.code, open)).unwrap_or_default();
        let lines = body.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > FUNCTION_LINES_MOST {
            breaches.push(Breach {
                subject: format!("{}::{name}", source.path),
                size: lines as u64,
                ..Breach::new(
                    Law::FunctionLength,
                    &source.path,
                    source.line_of(at),
                    format!("`{name}` has {lines} lines of code, {FUNCTION_LINES_MOST} are allowed"),
                    "give its parts names of their own",
                )
            });
        }
    }
    breaches
}

/// Name and opening brace of the function whose `fn` stands here; `None` for a type or a declaration without body.
fn function(code: &str, at: usize) -> Option<(&str, usize)> {
    let after = code.get(at + "fn".len()..)?;
    let name_start = after.find(|c: char| !c.is_whitespace())?;
    let rest = after.get(name_start..)?;
    let name = rest.get(..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()))?;
    if name.is_empty() {
        return None;
    }
    let mut nesting = 0_usize;
    for (offset, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' | b'[' => nesting += 1,
            b')' | b']' => nesting = nesting.saturating_sub(1),
            b';' if nesting == 0 => return None,
            b'{' if nesting == 0 => return Some((name, at + "fn".len() + name_start + offset)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(lines: usize) -> String {
        format!("//! x\nfn f(a: [u8; 2]) -> u8\n{{\n{}}}\n", "    a();\n".repeat(lines))
    }

    #[test]
    fn a_function_may_be_as_long_as_the_limit_and_no_longer() {
        let frame = 3;
        assert_eq!(check(&Source::new("a.rs", &long(FUNCTION_LINES_MOST - frame))), vec![]);
        let breaches = check(&Source::new("a.rs", &long(FUNCTION_LINES_MOST - frame + 1)));
        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].line, breaches[0].subject.as_str(), breaches[0].size), (2, "a.rs::f", 71));
    }

    #[test]
    fn comments_and_blank_lines_of_a_function_are_free() {
        let text =
            format!("//! x\nfn f() {{\n{}\n}}\ntrait T {{ fn g(&self); }}\ntype F = fn(u8);\n", "    // why\n\n".repeat(100));
        assert_eq!(check(&Source::new("a.rs", &text)), vec![]);
    }

    #[test]
    fn length_and_opening_of_a_file_are_held() {
        let text = "// x\n".repeat(FILE_LINES_MOST + 1);
        let laws: Vec<Law> = check(&Source::new("a.rs", &text)).iter().map(|breach| breach.law).collect();
        assert_eq!(laws, [Law::Opening, Law::FileLength]);
    }
}
