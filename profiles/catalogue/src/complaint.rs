//! What is wrong, where, and what to do: one complaint, as text for compilers' readers, as data for programs, and with the
//! source around it for terminals. It never shows the line of a secret.

use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use vocabulary::fault::Code;

/// How much a complaint weighs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The estate is not used.
    Error,
    /// The estate is used; someone should look.
    Warning,
}

/// One complaint about an estate's files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Complaint {
    /// How much it weighs.
    pub severity: Severity,
    /// Its code; the page of that name says more.
    pub code: Code,
    /// The file, below the folder that was given.
    pub file: String,
    /// Line, from 1; 0 where the fault is about the file or folder itself.
    pub line: u32,
    /// Column, from 1; 0 where the fault is about the file or folder itself.
    pub column: u32,
    /// What and why.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The source, for terminals. `None` where it might show a secret.
    #[serde(skip)]
    pub source: Option<Source>,
}

/// The piece of source that a complaint is about.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's text.
    pub text: Arc<str>,
    /// Where the piece begins, in bytes.
    pub offset: usize,
    /// How long it is, in bytes.
    pub length: usize,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({}+{})", self.offset, self.length)
    }
}

impl Severity {
    /// As compilers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {} {}: {}\n  help: {}", self.severity.as_str(), self.code, self.message, self.remedy)
    }
}

impl std::error::Error for Complaint {}

/// A complaint as miette sees it.
#[derive(Debug)]
struct Diagnosis<'a> {
    complaint: &'a Complaint,
    named: Option<miette::NamedSource<Arc<str>>>,
}

impl fmt::Display for Diagnosis<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.named.is_none() {
            f.write_str(&self.complaint.file)?;
            if self.complaint.line > 0 {
                write!(f, ":{}:{}", self.complaint.line, self.complaint.column)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.complaint.message)
    }
}

impl std::error::Error for Diagnosis<'_> {}

impl miette::Diagnostic for Diagnosis<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.complaint.code))
    }
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.complaint.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.complaint.remedy))
    }
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.named.as_ref().map(|named| named as &dyn miette::SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let source = self.complaint.source.as_ref()?;
        Some(Box::new(std::iter::once(miette::LabeledSpan::new_primary_with_span(
            Some("here".to_owned()),
            (source.offset, source.length),
        ))))
    }
}

/// How complaints are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// One or two lines each, as compilers do: for pipes and editors.
    Plain,
    /// With the source around it, drawn for a terminal of this width.
    Snippet {
        /// Whether the terminal shows colours.
        colour: bool,
        /// Columns of the terminal.
        width: usize,
    },
}

/// All complaints as text, in order.
pub fn render(complaints: &[Complaint], look: Look) -> String {
    let mut text = String::new();
    for complaint in complaints {
        match look {
            Look::Plain => text.push_str(&format!("{complaint}\n")),
            Look::Snippet { colour, width } => draw(complaint, colour, width, &mut text),
        }
    }
    text
}

fn draw(complaint: &Complaint, colour: bool, width: usize, text: &mut String) {
    let theme = if colour { miette::GraphicalTheme::unicode() } else { miette::GraphicalTheme::unicode_nocolor() };
    let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
    let named = complaint.source.as_ref().map(|source| miette::NamedSource::new(&complaint.file, Arc::clone(&source.text)));
    let before = text.len();
    if handler.render_report(text, &Diagnosis { complaint, named }).is_err() {
        // drawing failed: the plain form says the same
        text.truncate(before);
        text.push_str(&format!("{complaint}\n"));
    }
}

/// Foreign text, short and printable, for a message.
pub(crate) fn shortened(text: &str) -> String {
    let mut short: String =
        text.chars().take(crate::limits::QUOTED_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(crate::limits::QUOTED_CHARS_MAX).is_some() {
        short.push_str("...");
    }
    short
}
