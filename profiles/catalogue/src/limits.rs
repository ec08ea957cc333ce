//! Every limit on what is read from a folder of estate files. A file beyond a limit is a complaint, never an endless read.

use vocabulary::Span;

/// Largest estate file, in bytes. The largest honest document, a storage target with thousands of volumes, stays below it.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most estate files in one estate; 10,000 machines and as many servers fit twice.
pub const FILES_MAX: usize = 50_000;
/// Most bytes in all estate files together.
pub const TOTAL_BYTES_MAX: u64 = 128 << 20;
/// Deepest folder below the estate's own.
pub const FOLDER_DEPTH_MAX: usize = 16;
/// Most entries looked at in all folders together, whatever they are.
pub const ENTRIES_MAX: usize = 200_000;
/// Deepest nesting of YAML collections; the deepest document of an estate needs 6.
pub const NESTING_MAX: usize = 32;
/// Most flaws told of one document; what is wrong so often is wrong as a whole. A draft of a machine with 64 ports has 4 a port.
pub const FLAWS_PER_DOCUMENT_MAX: usize = 300;
/// Most complaints told of one estate.
pub const COMPLAINTS_MAX: usize = 1000;
/// Largest secret file, in bytes.
pub const SECRET_BYTES_MAX: u64 = 4096;
/// Longest piece of foreign text repeated in a message, in characters.
pub const QUOTED_CHARS_MAX: usize = 60;
/// Longest deadline of a health check: a controller waits 8 s for what an agent sees, its queue included.
pub const CHECK_DEADLINE_MAX: Span = Span::seconds(6);
/// Shortest interval of a plugin.
pub const PLUGIN_EVERY_MIN: Span = Span::seconds(1);
/// Longest interval of a plugin: what it said against a server counts for so long.
pub const PLUGIN_EVERY_MAX: Span = Span::seconds(600);
/// Longest time until a crashed kernel must have told that it writes its memory away: every hang of its server is found so much later.
pub const KDUMP_BEGINS_MAX: Span = Span::seconds(600);
/// Longest time for which it is waited for after that.
pub const KDUMP_LASTS_MAX: Span = Span::seconds(14_400);
