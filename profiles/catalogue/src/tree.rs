//! YAML text to a tree in which every key and value knows its place. Total on any text, bounded in depth, and without
//! anchors, aliases and tags: an estate file says what it means where it says it.

use crate::limits::NESTING_MAX;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, options};
use std::collections::BTreeSet;

/// Where something stands in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// First byte.
    pub offset: usize,
    /// Length in bytes, at least 1 unless the file ends here.
    pub length: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Value {
    /// A word, number or text. Only an unquoted one can be a number, a truth value or nothing.
    Scalar {
        /// The text, escapes resolved.
        text: String,
        /// Unquoted.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file; no key stands twice.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// The key's place.
    pub key_place: Place,
    /// Its value.
    pub node: Node,
}

/// Something that is wrong with the text itself.
#[derive(Debug)]
pub enum Flaw {
    /// It is not YAML as an estate uses it: nothing after this place was read.
    Broken {
        /// Where.
        place: Place,
        /// Why.
        message: String,
    },
    /// A key stands twice; the later one was dropped.
    Twice {
        /// The later one's place.
        place: Place,
        /// The key.
        key: String,
        /// The line of the first.
        first: u32,
    },
}

/// A collection that is not closed yet.
enum Open {
    List { place: Place, items: Vec<Node> },
    Map { place: Place, entries: Vec<Entry>, seen: BTreeSet<String>, key: Option<(String, Place)> },
}

/// What the text of one file holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Its documents.
    pub documents: Vec<Node>,
    /// What could be read of a document that breaks off: good for its name, not for what it lacks.
    pub remains: Option<Node>,
    /// True if documents may follow that were not read at all.
    pub more_may_follow: bool,
    /// What is wrong with the text.
    pub flaws: Vec<Flaw>,
}

/// The documents of one file, and what is wrong with its text.
pub fn parse(text: &str) -> Parsed {
    let mut builder = Builder { text, documents: Vec::new(), open: Vec::new(), flaws: Vec::new() };
    let settings = options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        disallow_directives: true,
        flow_nesting_limit: NESTING_MAX,
        block_nesting_limit: NESTING_MAX,
    };
    for next in Parser::new_from_str_with_options(text, settings) {
        let step = match next {
            Ok((event, span)) => builder.take(&event, span),
            Err(error) => Err(broken(text, &error)),
        };
        if let Err(flaw) = step {
            return builder.broken_off(flaw);
        }
    }
    Parsed { documents: builder.documents, flaws: builder.flaws, ..Parsed::default() }
}

fn broken(text: &str, error: &ScanError) -> Flaw {
    let marker = error.marker();
    let offset = marker.byte_offset().unwrap_or(0).min(text.len());
    let place = Place {
        line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
        column: u32::try_from(marker.col().saturating_add(1)).unwrap_or(u32::MAX),
        offset,
        length: usize::from(offset < text.len()),
    };
    Flaw::Broken { place, message: error.info() }
}

struct Builder<'t> {
    text: &'t str,
    documents: Vec<Node>,
    open: Vec<Open>,
    flaws: Vec<Flaw>,
}

impl Builder<'_> {
    /// Closes what is open, as far as it was read.
    fn broken_off(mut self, flaw: Flaw) -> Parsed {
        let (Flaw::Broken { place, .. } | Flaw::Twice { place, .. }) = &flaw;
        let rest = self.text.get(place.offset..).unwrap_or_default();
        let more_may_follow = rest.contains("\n---") || rest.starts_with("---");
        self.flaws.push(flaw);
        let complete = self.documents.len();
        while let Some(open) = self.open.pop() {
            let node = match open {
                Open::List { place, items } => Node { place, value: Value::List(items) },
                Open::Map { place, entries, .. } => Node { place, value: Value::Map(entries) },
            };
            self.put(node);
        }
        let remains = if self.documents.len() > complete { self.documents.pop() } else { None };
        Parsed { documents: self.documents, remains, more_may_follow, flaws: self.flaws }
    }

    fn place(&self, span: Span) -> Place {
        let range = span.byte_range().unwrap_or(0..0);
        let offset = range.start.min(self.text.len());
        let end = range.end.clamp(offset, self.text.len());
        Place {
            line: u32::try_from(span.start.line()).unwrap_or(u32::MAX),
            column: u32::try_from(span.start.col().saturating_add(1)).unwrap_or(u32::MAX),
            offset,
            length: (end - offset).max(usize::from(offset < self.text.len())),
        }
    }

    fn take(&mut self, event: &Event<'_>, span: Span) -> Result<(), Flaw> {
        let place = self.place(span);
        let no = |message: &str| Err(Flaw::Broken { place, message: message.to_owned() });
        if event.tag().is_some() {
            return no("a tag (`!...`) has no meaning in an estate file");
        }
        if event.anchor_id().is_some_and(|id| id != 0) || event.is_alias() {
            return no("anchors (`&name`) and aliases (`*name`) are not read: write the value out");
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let plain = *style == ScalarStyle::Plain;
                self.scalar(place, text, plain)
            }
            Event::SequenceStart(..) => self.begin(Open::List { place, items: Vec::new() }),
            Event::MappingStart(..) => self.begin(Open::Map { place, entries: Vec::new(), seen: BTreeSet::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop() {
                    Some(Open::List { place, items }) => Node { place, value: Value::List(items) },
                    Some(Open::Map { place, entries, .. }) => Node { place, value: Value::Map(entries) },
                    None => return no("a collection ends that never began"),
                };
                self.put(node);
                Ok(())
            }
            Event::UnresolvedAlias(_) => no("anchors (`&name`) and aliases (`*name`) are not read: write the value out"),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), Flaw> {
        let place = match &open {
            Open::List { place, .. } | Open::Map { place, .. } => *place,
        };
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(Flaw::Broken { place, message: "a key must be a word, not a list or a mapping".to_owned() });
        }
        if self.open.len() >= NESTING_MAX {
            return Err(Flaw::Broken { place, message: format!("nested deeper than {NESTING_MAX} levels") });
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, place: Place, text: &str, plain: bool) -> Result<(), Flaw> {
        if let Some(Open::Map { key: key @ None, .. }) = self.open.last_mut() {
            *key = Some((text.to_owned(), place));
        } else {
            self.put(Node { place, value: Value::Scalar { text: text.to_owned(), plain } });
        }
        Ok(())
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, seen, key, .. }) => {
                let Some((key, key_place)) = key.take() else { return };
                if seen.insert(key.clone()) {
                    entries.push(Entry { key, key_place, node });
                } else {
                    let first = entries.iter().find(|entry| entry.key == key).map_or(0, |entry| entry.key_place.line);
                    self.flaws.push(Flaw::Twice { place: key_place, key, first });
                }
            }
        }
    }
}

impl Node {
    /// True for what YAML calls null.
    pub fn is_nothing(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }
    /// What it is, in words for people.
    pub fn in_words(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar { .. } if self.is_nothing() => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("`{}`", crate::complaint::shortened(text)),
        }
    }
}
