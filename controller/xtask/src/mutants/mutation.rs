//! A deliberate fault as a file: what it breaks, which laws should tell, and the exact text that it replaces. Pure: must never write to a disk,
//! and never take a text that stands elsewhere, or more than once, for the one that is meant.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// One text of one file, and what stands there instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Relative to the root, with `/`.
    pub file: String,
    /// Stands in it exactly once.
    pub was: String,
    /// Instead.
    pub is: String,
}

/// A deliberate fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// Its file's name.
    pub name: String,
    /// What it breaks, in one sentence.
    pub breaks: String,
    /// The laws that should tell.
    pub laws: Vec<String>,
    /// Why it is not played yet, if it is not.
    pub later: Option<String>,
    /// All of it at once: more than one where several guards hold the same.
    pub edits: Vec<Edit>,
}

/// What an edit is read into.
#[derive(Default)]
struct Draft {
    file: String,
    was: Vec<String>,
    is: Vec<String>,
}

impl Draft {
    fn end(self) -> Result<Edit> {
        ensure!(!self.was.is_empty(), "`in {}` is followed by no line that begins with `-`", self.file);
        let edit = Edit { file: self.file, was: self.was.join("\n"), is: self.is.join("\n") };
        ensure!(edit.was != edit.is, "{}: nothing changes", edit.file);
        Ok(edit)
    }
}

impl Mutation {
    /// Reads a file of this name.
    pub fn read(name: &str, text: &str) -> Result<Mutation> {
        let (mut breaks, mut laws, mut later, mut edits) = (None, Vec::new(), None, Vec::new());
        let mut draft: Option<Draft> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let place = || format!("{name}, line {number}");
            let removes = line.strip_prefix('-').map(|rest| rest.strip_prefix(' ').unwrap_or(rest).to_owned());
            let adds = line.strip_prefix('+').map(|rest| rest.strip_prefix(' ').unwrap_or(rest).to_owned());
            match (line.split_once(' '), removes, adds) {
                (_, Some(removed), _) => {
                    let now = draft.as_mut().with_context(|| format!("{}: no `in FILE` stands above", place()))?;
                    if !now.is.is_empty() {
                        // the next edit of the same file
                        let next = Draft { file: now.file.clone(), ..Draft::default() };
                        edits.push(std::mem::replace(now, next).end().with_context(place)?);
                    }
                    now.was.push(removed);
                }
                (_, _, Some(added)) => {
                    draft.as_mut().with_context(|| format!("{}: no `in FILE` stands above", place()))?.is.push(added);
                }
                (Some(("in", file)), ..) => {
                    let next = Draft { file: file.to_owned(), ..Draft::default() };
                    if let Some(ended) = draft.replace(next) {
                        edits.push(ended.end().with_context(place)?);
                    }
                }
                (Some(("breaks", sentence)), ..) => breaks = Some(sentence.to_owned()),
                (Some(("law", names)), ..) => laws.extend(names.split(' ').map(str::to_owned)),
                (Some(("later", reason)), ..) => later = Some(reason.to_owned()),
                _ if line.is_empty() || line.starts_with('#') => {}
                _ => bail!("{}: begins with none of `breaks`, `law`, `later`, `in`, `-`, `+` and `#`", place()),
            }
        }
        if let Some(ended) = draft {
            edits.push(ended.end().with_context(|| name.to_owned())?);
        }
        let breaks = breaks.with_context(|| format!("{name}: no line says what it `breaks`"))?;
        ensure!(!laws.is_empty(), "{name}: no line says which `law` should tell");
        ensure!(!edits.is_empty() || later.is_some(), "{name}: it changes nothing, and no line says why not: `later REASON`");
        Ok(Mutation { name: name.to_owned(), breaks, laws, later, edits })
    }

    /// The files as they are with this fault in them; `text_of` reads one as it is.
    pub fn applied(&self, text_of: impl Fn(&str) -> Result<String>) -> Result<BTreeMap<String, String>> {
        let mut changed: BTreeMap<String, String> = BTreeMap::new();
        for edit in &self.edits {
            let text = match changed.get(&edit.file) {
                Some(text) => text.clone(),
                None => text_of(&edit.file).with_context(|| format!("{}: {} cannot be read", self.name, edit.file))?,
            };
            let times = text.matches(&edit.was).count();
            if times != 1 {
                bail!("{} no longer applies: {} holds this {times} times instead of once:\n{}", self.name, edit.file, edit.was);
            }
            changed.insert(edit.file.clone(), text.replacen(&edit.was, &edit.is, 1));
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "# for people\nbreaks two things\nlaw I1 I8\nin a.rs\n- let a =\n-     1;\n+ let a = 2;\n- x\n+\nin b.rs\n- y\n+ z\n";

    #[test]
    fn a_file_is_read_and_applied() {
        let read = Mutation::read("two", FILE).unwrap();
        assert_eq!((read.breaks.as_str(), read.laws.len(), read.edits.len()), ("two things", 2, 3));
        let text = |file: &str| Ok(if file == "a.rs" { "let a =\n    1;\nx\n" } else { "(y)" }.to_owned());
        let applied = read.applied(text).unwrap();
        assert_eq!(applied.get("a.rs").map(String::as_str), Some("let a = 2;\n\n"));
        assert_eq!(applied.get("b.rs").map(String::as_str), Some("(z)"));
    }

    #[test]
    fn a_text_that_is_gone_or_stands_twice_is_an_error_that_says_so() {
        let read = Mutation::read("two", FILE).unwrap();
        for (a, b, times) in [("let a = 1;", "y", "0 times"), ("let a =\n    1;\nx", "y y", "2 times")] {
            let text = |file: &str| Ok(if file == "a.rs" { a } else { b }.to_owned());
            let error = read.applied(text).unwrap_err().to_string();
            assert!(error.contains("no longer applies") && error.contains(times), "{error}");
        }
    }

    #[test]
    fn a_file_that_says_too_little_is_refused() {
        let without = |line: &str| FILE.lines().filter(|one| !one.starts_with(line)).collect::<Vec<_>>().join("\n");
        for (text, why) in [
            (without("breaks"), "breaks"),
            (without("law"), "law"),
            (without("in"), "in FILE"),
            ("breaks x\nlaw I1".to_owned(), "changes nothing"),
            ("breaks x\nlaw I1\nin a\n- b\n+ b".to_owned(), "nothing changes"),
            ("breaks x\nlaw I1\nin a".to_owned(), "no line that begins"),
            ("odd".to_owned(), "begins with none"),
        ] {
            let error = format!("{:#}", Mutation::read("m", &text).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
        assert!(Mutation::read("m", "breaks x\nlaw I11\nlater y").unwrap().edits.is_empty());
    }
}
