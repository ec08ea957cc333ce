//! A folder of YAML files read as an estate: every file, every document, every complaint. Total on any bytes; it never follows
//! a link to a folder, never reads what is not a plain file, and gives an estate only if nothing in it is an error.

use crate::complaint::{Complaint, Severity};
use crate::documents::Kind;
use crate::draft::{self, Draft};
use crate::init::Flavor;
use crate::limits::{ENTRIES_MAX, FILE_BYTES_MAX, FILES_MAX, FOLDER_DEPTH_MAX, TOTAL_BYTES_MAX};
use crate::places::{Complaints, File, Places, Word};
use crate::read::read;
use crate::{check, codes, documents, tree};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vocabulary::estate::{Estate, Machine};

mod document;

/// What a folder held.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The estate, if no complaint is an error.
    pub estate: Option<Estate>,
    /// The estate's name, where its document could be read.
    pub name: Option<String>,
    /// Everything that is wrong, in the order of files and lines.
    pub complaints: Vec<Complaint>,
}

impl Loaded {
    /// How many complaints are errors.
    pub fn errors(&self) -> usize {
        self.complaints.iter().filter(|complaint| complaint.severity == Severity::Error).count()
    }
    /// How many complaints are warnings.
    pub fn warnings(&self) -> usize {
        self.complaints.len() - self.errors()
    }
}

/// Reads and checks the estate in a folder, not knowing whether it is a lab's: what only a lab may do is a warning.
pub fn load(folder: &Path) -> Loaded {
    load_for(folder, None)
}

/// Reads and checks the estate in a folder. For a lab, what only a lab may do is fine; for any other, an error; where that
/// is not known, a warning.
pub fn load_for(folder: &Path, flavor: Option<Flavor>) -> Loaded {
    let mut complaints = Complaints::default();
    let mut places = Places { folder: folder.to_owned(), ..Places::default() };
    let mut estate = Estate::default();
    for file in files(folder, &mut complaints, &mut places.holes) {
        read_file(&file, &mut estate, &mut places, &mut complaints);
    }
    let name = places.documents.keys().find(|(kind, _)| *kind == Kind::Estate).map(|(_, name)| name.clone());
    match &name {
        Some(name) => {
            // the name is kept where `documents` finds it; the revisions themselves follow below
            estate.revisions.insert(format!("estate/{name}"), String::new());
        }
        None if places.holes => {}
        None => complaints.about_file(
            folder,
            Word::error(
                codes::ESTATE_DOCUMENT,
                "no document of kind `estate` is here",
                "write one, such as `estate: lab` in estate.yaml, or begin with `understudy estate init DIR`",
            ),
        ),
    }
    estate.revisions = documents::revisions(&estate);
    check::check(&estate, &places, flavor, &mut complaints);
    let complaints = complaints.finish(folder);
    let sound = complaints.iter().all(|complaint| complaint.severity != Severity::Error);
    Loaded { estate: sound.then_some(estate), name, complaints }
}

/// A machine's document as it stands in a folder.
#[derive(Clone, Debug)]
pub struct KnownMachine {
    /// What it says, as far as it can be understood.
    pub draft: Draft,
    /// Where it stands: file below the folder, and line.
    pub place: String,
}

/// The machines and switches that the files of a folder name, whether the estate as a whole is sound or not.
#[derive(Clone, Debug, Default)]
pub struct KnownMachines {
    /// The machines, by name.
    pub machines: Vec<KnownMachine>,
    /// The switches.
    pub switches: BTreeSet<String>,
    /// True if something in the folder could not be read: machines may be written there.
    pub holes: bool,
}

/// Reads the machines of a folder that may hold drafts.
pub fn machines(folder: &Path) -> KnownMachines {
    let mut known = KnownMachines::default();
    for file in files(folder, &mut Complaints::default(), &mut known.holes) {
        let parsed = tree::parse(&file.text);
        known.holes |= parsed.flaws.iter().any(|flaw| matches!(flaw, tree::Flaw::Broken { .. }));
        for document in parsed.documents {
            note_known(&file, folder, document, &mut known);
        }
    }
    known
}

fn note_known(file: &File, folder: &Path, mut document: tree::Node, known: &mut KnownMachines) {
    let tree::Value::Map(entries) = &mut document.value else { return };
    let Some(first) = entries.first().cloned() else { return };
    entries.remove(0);
    let tree::Value::Scalar { text: name, .. } = &first.node.value else { return };
    match (Kind::of_word(&first.key), name.parse()) {
        (Some(Kind::Machine), Ok(id)) => {
            let path = Path::new(&file.path);
            let place = format!("{}:{}", path.strip_prefix(folder).unwrap_or(path).display(), first.node.place.line);
            let whole = read::<Machine>(&document).is_ok();
            known.machines.push(KnownMachine { draft: draft::reread(id, &document, whole), place });
        }
        (Some(Kind::Switch), _) => {
            known.switches.insert(name.clone());
        }
        _ => {}
    }
}

fn read_file(file: &File, estate: &mut Estate, places: &mut Places, complaints: &mut Complaints) {
    let parsed = tree::parse(&file.text);
    let broken = !parsed.flaws.is_empty();
    let mut broken_off = false;
    for flaw in parsed.flaws {
        match flaw {
            tree::Flaw::Broken { place, message } => {
                broken_off = true;
                let remedy = "mend it; what follows in this file was not read";
                complaints.at(file, place, Word::error(codes::NOT_YAML, format!("this cannot be read: {message}"), remedy));
            }
            tree::Flaw::Twice { place, key, first } => complaints.at(
                file,
                place,
                Word::error(
                    codes::DUPLICATE_KEY,
                    format!("`{}` stands here already, in line {first}", crate::complaint::shortened(&key)),
                    "keep one of the two",
                ),
            ),
        }
    }
    for tree in parsed.documents {
        document::take(file, tree, broken, estate, places, complaints);
    }
    let known = parsed.remains.is_some_and(|remains| document::note(file, remains, places));
    places.holes |= broken_off && (!known || parsed.more_may_follow);
}

/// Every `*.yaml` and `*.yml` below a folder, in order of their paths. Hidden files and folders are passed over.
fn files(folder: &Path, complaints: &mut Complaints, holes: &mut bool) -> Vec<File> {
    let mut paths = Vec::new();
    let mut entries = 0;
    walk(folder, 0, &mut entries, &mut paths, complaints);
    paths.sort();
    let mut total = 0;
    let mut read = Vec::new();
    for path in paths {
        match text_of(&path) {
            Ok(text) => {
                total += text.len() as u64;
                if total > TOTAL_BYTES_MAX {
                    let message = format!("the files of this estate are larger than {} MiB together", TOTAL_BYTES_MAX >> 20);
                    complaints.about_file(folder, Word::error(codes::UNREADABLE, message, "divide it into several estates"));
                    break;
                }
                read.push(File { path: path.display().to_string(), text: Arc::from(text) });
            }
            Err(message) => {
                *holes = true;
                complaints
                    .about_file(&path, Word::error(codes::UNREADABLE, message, "make it a readable text file, or move it away"));
            }
        }
    }
    read
}

fn walk(folder: &Path, depth: usize, entries: &mut usize, found: &mut Vec<PathBuf>, complaints: &mut Complaints) {
    let unreadable = |message: String| Word::error(codes::UNREADABLE, message, "name the folder that holds the estate's files");
    let list = match std::fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) => return complaints.about_file(folder, unreadable(format!("the folder cannot be read: {error}"))),
    };
    for entry in list {
        *entries += 1;
        if *entries > ENTRIES_MAX || found.len() >= FILES_MAX {
            return complaints.about_file(folder, unreadable(format!("more than {FILES_MAX} files: this is no estate's folder")));
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return complaints.about_file(folder, unreadable(format!("the folder cannot be read: {error}"))),
        };
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && depth >= FOLDER_DEPTH_MAX {
            complaints.about_file(&path, unreadable(format!("folders are nested deeper than {FOLDER_DEPTH_MAX}")));
        } else if is_folder {
            walk(&path, depth + 1, entries, found, complaints);
        } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            found.push(path);
        }
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    if !about.is_file() {
        return Err("this is not a plain file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("the file cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("the file is larger than {} KiB", FILE_BYTES_MAX >> 10));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("the file is not UTF-8 text: byte {} is wrong", error.utf8_error().valid_up_to()))
}
