//! A Rust file seen three ways: as written, without comments, and as bare code (comments, strings and characters blanked). Blanking keeps
//! every byte's place, so that a line number found in one view holds in all. It is no parser: it knows just enough to hold the laws.

/// The views of one file.
#[derive(Debug)]
pub struct Source {
    pub path: String,
    pub text: String,
    /// comments blanked, strings kept
    pub uncommented: String,
    /// comments, strings and characters blanked
    pub code: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

impl Source {
    /// Reads the file's text into its views.
    pub fn new(path: &str, text: &str) -> Self {
        let parts = parts(text.as_bytes());
        let view = |hidden: &[Part]| -> String {
            let bytes =
                text.bytes().zip(&parts).map(|(byte, part)| if byte != b'\n' && hidden.contains(part) { b' ' } else { byte });
            String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
        };
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            uncommented: view(&[Part::Comment]),
            code: view(&[Part::Comment, Part::Literal]),
        }
    }

    /// The line (from 1) of a byte in any of the views.
    pub fn line_of(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }
}

/// What each byte belongs to.
fn parts(text: &[u8]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(text.len());
    while parts.len() < text.len() {
        let rest = text.get(parts.len()..).unwrap_or_default();
        let in_word = parts.len().checked_sub(1).and_then(|before| text.get(before)).is_some_and(|byte| is_word(*byte));
        let (length, part) = next(rest, in_word);
        parts.extend(std::iter::repeat_n(part, length.clamp(1, rest.len())));
    }
    parts
}

/// Length and kind of what starts here.
fn next(rest: &[u8], in_word: bool) -> (usize, Part) {
    if rest.starts_with(b"//") {
        return (find(rest, b"\n").unwrap_or(rest.len()), Part::Comment);
    }
    if rest.starts_with(b"/*") {
        return (block_comment(rest), Part::Comment);
    }
    if !in_word && let Some(length) = raw_string(rest) {
        return (length, Part::Literal);
    }
    match rest.first() {
        Some(b'"') => (quoted(rest, b'"'), Part::Literal),
        Some(b'\'') => character(rest).map_or((1, Part::Code), |length| (length, Part::Literal)),
        _ => (1, Part::Code),
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = rest.get(at..).unwrap_or_default();
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// `r"..."`, `r#"..."#`, `br"..."`, `cr"..."`.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = [&b"br"[..], b"cr", b"r"].into_iter().find(|prefix| rest.starts_with(prefix))?;
    let after = rest.get(prefix.len()..)?;
    let hashes = after.iter().take_while(|byte| **byte == b'#').count();
    if after.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.extend(std::iter::repeat_n(b'#', hashes));
    let start = prefix.len() + hashes + 1;
    let length = rest.get(start..).and_then(|body| find(body, &end)).map_or(rest.len(), |at| start + at + end.len());
    Some(length)
}

/// Up to the closing quote, past escapes.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match *byte {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal; `None` for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted(rest, b'\''));
    }
    let width = std::str::from_utf8(rest.get(1..rest.len().min(5))?)
        .or_else(|error| std::str::from_utf8(rest.get(1..1 + error.valid_up_to()).unwrap_or_default()))
        .ok()
        .and_then(|text| text.chars().next())?
        .len_utf8();
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Whether a byte can be part of a name.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The offset right after the brace that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Where a whole word stands in bare code.
pub fn word_offsets<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let bytes = code.as_bytes();
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let after = bytes.get(at + word.len());
        !before.is_some_and(|byte| is_word(*byte)) && !after.is_some_and(|byte| is_word(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_in_place() {
        let text = "let a = \"// no\"; // yes\nlet b = r#\"{\"#; /* { /* { */ */ let c = '{'; fn f<'a>(x: &'a str) {}\n";
        let source = Source::new("a.rs", text);
        assert_eq!(source.code.len(), text.len());
        assert_eq!(source.code.matches('{').count(), 1, "{}", source.code);
        assert!(source.uncommented.contains("// no") && !source.uncommented.contains("yes"));
        assert!(source.code.contains("fn f<'a>(x: &'a str)"), "{}", source.code);
        assert_eq!(source.line_of(text.find("let c").unwrap()), 2);
    }

    #[test]
    fn escapes_and_foreign_letters_end_where_they_end() {
        let source = Source::new("a.rs", "let a = ('\\'', 'ß', \"\\\"{\", b'\\\\'); { }");
        assert_eq!(source.code.matches('{').count(), 1, "{}", source.code);
    }

    #[test]
    fn a_brace_finds_its_partner() {
        assert_eq!(closing("a { b { } } c", 2), 11);
        assert_eq!(word_offsets("fn fnord fn", "fn").collect::<Vec<_>>(), [0, 9]);
    }
}
