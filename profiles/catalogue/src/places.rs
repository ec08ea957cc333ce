//! Where everything of an estate stands: from a document and a path to file, line and column, and the list of complaints.
//! It holds the text of the files for as long as complaints are made, and shows no line that might hold a secret.

use crate::complaint::{Complaint, Severity, Source};
use crate::documents::Kind;
use crate::limits::COMPLAINTS_MAX;
use crate::read::Step;
use crate::tree::{Node, Place, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vocabulary::fault::Code;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path, as people know it.
    pub path: String,
    /// Its text.
    pub text: Arc<str>,
}

/// A document that was read.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its file.
    pub file: File,
    /// Where its name stands.
    pub name: Place,
    /// Its tree, without what could not be read.
    pub tree: Node,
    /// True if something in it could not be read: then what it lacks is not judged.
    pub broken: bool,
}

/// All documents, by kind and name.
#[derive(Default, Debug)]
pub struct Places {
    /// The folder that was read; relative secret files are found from here.
    pub folder: PathBuf,
    /// The documents.
    pub documents: BTreeMap<(Kind, String), Written>,
    /// True if some text could not be read, so that what seems missing may stand there.
    pub holes: bool,
}

/// Complaints as they are found, no more than [`COMPLAINTS_MAX`]. An error takes the place of a warning where there is no room for both.
#[derive(Default, Debug)]
pub struct Complaints {
    list: Vec<Complaint>,
    /// Errors and warnings that found no room.
    beyond: (usize, usize),
}

/// What to say of a place.
#[derive(Clone, Debug)]
pub struct Word {
    /// How much it weighs.
    pub severity: Severity,
    /// Its code.
    pub code: u16,
    /// What and why.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Word {
    /// An error.
    pub fn error(code: u16, message: impl Into<String>, remedy: impl Into<String>) -> Word {
        Word { severity: Severity::Error, code, message: message.into(), remedy: remedy.into() }
    }
    /// A warning.
    pub fn warning(code: u16, message: impl Into<String>, remedy: impl Into<String>) -> Word {
        Word { severity: Severity::Warning, code, message: message.into(), remedy: remedy.into() }
    }
}

impl Complaints {
    fn push(&mut self, complaint: Complaint) {
        if self.list.len() < COMPLAINTS_MAX {
            return self.list.push(complaint);
        }
        if complaint.severity == Severity::Warning {
            self.beyond.1 += 1;
            return;
        }
        match self.list.iter_mut().rev().find(|kept| kept.severity == Severity::Warning) {
            Some(kept) => {
                *kept = complaint;
                self.beyond.1 += 1;
            }
            None => self.beyond.0 += 1,
        }
    }

    /// Something about a file or folder as a whole.
    pub fn about_file(&mut self, path: &Path, word: Word) {
        self.push(Complaint {
            severity: word.severity,
            code: Code(word.code),
            file: path.display().to_string(),
            line: 0,
            column: 0,
            message: word.message,
            remedy: word.remedy,
            source: None,
        });
    }

    /// Something about a place in a file.
    pub fn at(&mut self, file: &File, place: Place, word: Word) {
        let source = Source { text: Arc::clone(&file.text), offset: place.offset, length: place.length };
        self.push(Complaint {
            severity: word.severity,
            code: Code(word.code),
            file: file.path.clone(),
            line: place.line,
            column: place.column,
            message: word.message,
            remedy: word.remedy,
            source: (!looks_secret(&file.text, place)).then_some(source),
        });
    }

    /// All of them, in the order of files, lines and columns.
    pub fn finish(mut self, folder: &Path) -> Vec<Complaint> {
        let (errors, warnings) = self.beyond;
        if errors + warnings > 0 {
            let message = format!("{} more complaints are not shown", errors + warnings);
            // what is not shown must not hide an error, and warnings alone are no error, however many
            let word = if errors > 0 { Word::error } else { Word::warning };
            let word = word(crate::codes::TOO_MANY, message.as_str(), "mend the ones above first, then check again");
            let shown = std::mem::take(&mut self.list);
            self.about_file(folder, word);
            self.list.extend(shown);
        }
        let place = |c: &Complaint| (c.file.clone(), c.line, c.column, c.severity, c.code);
        self.list.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.message.cmp(&b.message)));
        self.list.dedup();
        self.list
    }
}

/// True if the lines around a place may hold a secret that someone wrote by mistake. A snippet shows a line before and after.
fn looks_secret(text: &str, place: Place) -> bool {
    let near = usize::try_from(place.line).unwrap_or(0).saturating_sub(3);
    text.lines().skip(near).take(5).any(|line| {
        let key = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let named = ["pass", "secret", "token", "pwd"].iter().any(|word| line.to_ascii_lowercase().contains(word));
        let referenced = ["file:", "env:", "credential:"].iter().any(|kind| line.contains(kind));
        (named || key.contains("key")) && !referenced
    })
}

/// The place that a path leads to; as near as the tree goes where something is not written out. `by_key`: of a mapping's
/// entry the key is meant.
pub fn place_of(tree: &Node, path: &[Step], by_key: bool) -> Option<Place> {
    let (mut node, mut place) = (tree, None);
    for (depth, step) in path.iter().enumerate() {
        let last = depth + 1 == path.len();
        match (&node.value, step) {
            (Value::Map(entries), Step::Key(key)) => {
                let Some(entry) = entries.iter().find(|entry| &entry.key == key) else { break };
                let container = !matches!(entry.node.value, Value::Scalar { .. }) || entry.node.is_nothing();
                place = Some(if container || (by_key && last) { entry.key_place } else { entry.node.place });
                node = &entry.node;
            }
            (Value::List(items), Step::Item(index)) => {
                let Some(item) = items.get(*index) else { break };
                place = Some(item.place);
                node = item;
            }
            _ => break,
        }
    }
    place
}
