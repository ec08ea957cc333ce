//! One tree made one document of the estate. When a part does not fit it is told and taken out, and the rest is read again,
//! so that all flaws of a document are told at once. It never fills in what was not written.

use crate::codes;
use crate::complaint::shortened;
use crate::documents::Kind;
use crate::limits::FLAWS_PER_DOCUMENT_MAX;
use crate::places::{Complaints, File, Places, Word, Written, place_of};
use crate::read::{Misfit, Reason, Step, read};
use crate::tree::{Node, Place, Value};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use vocabulary::estate::{self, Estate};

/// Takes one document into the estate.
pub fn take(file: &File, tree: Node, mut broken: bool, estate: &mut Estate, places: &mut Places, complaints: &mut Complaints) {
    if tree.is_nothing() {
        return;
    }
    let (kind, name, at, mut tree) = match header(file, tree, complaints) {
        Ok(header) => header,
        Err(remains) => {
            note(file, remains, places);
            return;
        }
    };
    if let Some(first) = places.documents.get(&(kind, name.clone())) {
        let message = format!("{kind} {name} is written already, in {}:{}", first.file.path, first.name.line);
        return complaints.at(file, at, Word::error(codes::DUPLICATE_DOCUMENT, message, "rename or remove one of the two"));
    }
    // the estate's kind sorts first
    let first = places.documents.keys().next().filter(|(other, _)| kind == Kind::Estate && *other == Kind::Estate);
    if let Some((_, other)) = first {
        let message = format!("this is the second estate document: the estate is {other} already");
        return complaints.at(file, at, Word::error(codes::ESTATE_DOCUMENT, message, "keep one estate in one folder"));
    }
    macro_rules! into {
        ($field:ident, $type:ty) => {
            match (name.parse(), whole::<$type>(file, kind, at, &mut tree, &mut broken, complaints)) {
                (Ok(id), Some(document)) => {
                    estate.$field.insert(id, document);
                }
                _ => broken = true,
            }
        };
    }
    match kind {
        Kind::Estate => match whole(file, kind, at, &mut tree, &mut broken, complaints) {
            Some(settings) => estate.settings = settings,
            None => broken = true,
        },
        Kind::Site => into!(sites, estate::Site),
        Kind::Tier => into!(tiers, estate::Tier),
        Kind::Group => into!(groups, estate::Group),
        Kind::Pool => into!(pools, estate::Pool),
        Kind::BmcAgent => into!(bmc_agents, estate::BmcAgent),
        Kind::Switch => into!(switches, estate::Switch),
        Kind::Storage => into!(storages, estate::Storage),
        Kind::Boot => into!(boot_services, estate::BootService),
        Kind::Pdu => into!(pdus, estate::Pdu),
        Kind::Image => into!(images, estate::Image),
        Kind::Machine => into!(machines, estate::Machine),
        Kind::Server => into!(servers, estate::Server),
    }
    places.documents.insert((kind, name), Written { file: file.clone(), name: at, tree, broken });
}

/// Notes that a document exists of which only the beginning could be read. False if not even its kind and name could.
pub fn note(file: &File, remains: Node, places: &mut Places) -> bool {
    let Value::Map(entries) = &remains.value else { return false };
    let Some(first) = entries.first() else { return false };
    let Value::Scalar { text, .. } = &first.node.value else { return false };
    // a slip in the kind is told elsewhere; the document is there all the same
    let words = Kind::ALL.iter().map(|kind| kind.word());
    let Some(kind) = near(&first.key, words).and_then(Kind::of_word) else { return false };
    let (name, at) = (text.clone(), first.node.place);
    places.documents.entry((kind, name)).or_insert_with(|| Written { file: file.clone(), name: at, tree: remains, broken: true });
    true
}

/// Reads and removes the first key.
fn header(file: &File, tree: Node, complaints: &mut Complaints) -> Result<(Kind, String, Place, Node), Node> {
    let kinds = || Kind::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ");
    let remedy = || format!("begin with kind and name, such as `server: web1`; kinds are: {}", kinds());
    let place = tree.place;
    let first = match &tree.value {
        Value::Map(entries) => entries.first(),
        _ => None,
    };
    let Some(first) = first else {
        complaints.at(file, place, Word::error(codes::KIND, "a document is a mapping that begins with its kind", remedy()));
        return Err(tree);
    };
    let Some(kind) = Kind::of_word(&first.key) else {
        let message = format!("`{}` is not a kind of document", shortened(&first.key));
        let remedy = match near(&first.key, Kind::ALL.iter().map(|kind| kind.word())) {
            Some(word) => format!("did you mean `{word}`? {}", remedy()),
            None => remedy(),
        };
        complaints.at(file, first.key_place, Word::error(codes::KIND, message, remedy));
        return Err(tree);
    };
    let name = match &first.node.value {
        Value::Scalar { text, .. } if !first.node.is_nothing() => text.clone(),
        _ => String::new(),
    };
    // all names follow one rule, whatever they name
    if let Err(error) = name.parse::<vocabulary::MachineId>() {
        let word = Word::error(codes::NAME, format!("this {kind} has no usable name: {error}"), "choose a name of that form");
        complaints.at(file, first.node.place, word);
        return Err(tree);
    }
    let at = first.node.place;
    let mut entries = if let Value::Map(entries) = tree.value { entries } else { Vec::new() };
    entries.remove(0);
    Ok((kind, name, at, Node { place, value: Value::Map(entries) }))
}

/// Reads a document as often as it takes to tell all its flaws. `None` if it lacks something without which it is none.
fn whole<T: DeserializeOwned>(
    file: &File,
    kind: Kind,
    at: Place,
    tree: &mut Node,
    broken: &mut bool,
    complaints: &mut Complaints,
) -> Option<T> {
    let mut taken_out: BTreeSet<Vec<Step>> = BTreeSet::new();
    for _ in 0..FLAWS_PER_DOCUMENT_MAX {
        let misfit = match read::<T>(tree) {
            Ok(document) => return Some(document),
            Err(misfit) => misfit,
        };
        *broken = true;
        let place = place_of(tree, &misfit.path, misfit.at_key).unwrap_or(at);
        match &misfit.reason {
            Reason::Missing { name, of } => {
                for field in missing(tree, &misfit.path, name, *of, kind) {
                    let mut path = misfit.path.clone();
                    path.push(Step::Key(field.clone()));
                    if !taken_out.contains(&path) {
                        complaints.at(file, place, missing_word(&field, &misfit.path, kind));
                    }
                }
            }
            Reason::Unknown { name, known } => complaints.at(file, place, unknown_word(name, known, &misfit.path, kind)),
            Reason::Bad(message) => complaints.at(file, place, bad_word(message, &misfit)),
        }
        if misfit.path.is_empty() || !take_out(tree, &misfit.path) {
            return None;
        }
        taken_out.insert(misfit.path);
    }
    let word = Word::error(
        codes::TOO_MANY,
        format!("this {kind} has more flaws than are told"),
        "mend those that are told, then check again",
    );
    complaints.at(file, at, word);
    None
}

/// Every field that is missing where one is: the schema knows which ones must be there.
fn missing(tree: &Node, path: &[Step], name: &str, of: Option<&str>, kind: Kind) -> Vec<String> {
    let mut fields = vec![name.to_owned()];
    let here = path.iter().try_fold(tree, |node, step| match (&node.value, step) {
        (Value::Map(entries), Step::Key(key)) => entries.iter().find(|entry| &entry.key == key).map(|entry| &entry.node),
        (Value::List(items), Step::Item(index)) => items.get(*index),
        _ => None,
    });
    if let (Some(Node { value: Value::Map(entries), .. }), Some(of)) = (here, of) {
        let required = crate::schema::required(kind, of, path.is_empty());
        fields.extend(required.into_iter().filter(|field| field != name && !entries.iter().any(|entry| &entry.key == field)));
    }
    fields
}

fn whose(path: &[Step], kind: Kind) -> String {
    let field = path.iter().rev().find_map(|step| if let Step::Key(key) = step { Some(shortened(key)) } else { None });
    match (field, path.last()) {
        (Some(field), Some(Step::Item(_))) => format!("an entry of `{field}`"),
        (Some(field), _) => format!("`{field}`"),
        (None, _) => format!("this {kind}"),
    }
}

fn missing_word(field: &str, path: &[Step], kind: Kind) -> Word {
    Word::error(
        codes::MISSING_FIELD,
        format!("{} lacks `{field}`", whose(path, kind)),
        format!("add `{field}:`; `understudy estate schema` describes it"),
    )
}

fn unknown_word(name: &str, known: &[&str], path: &[Step], kind: Kind) -> Word {
    let outer = path.split_last().map_or(path, |(_, outer)| outer);
    let list = if known.is_empty() { "no field".to_owned() } else { known.join(", ") };
    let remedy = match near(name, known.iter().copied()) {
        Some(word) => format!("did you mean `{word}`? known here: {list}"),
        None => format!("remove it; known here: {list}"),
    };
    Word::error(codes::UNKNOWN_FIELD, format!("{} has no field `{}`", whose(outer, kind), shortened(name)), remedy)
}

fn bad_word(message: &str, misfit: &Misfit) -> Word {
    // the standard library's parsers speak to programmers
    let message = match message {
        "invalid socket address syntax" => "expected an address and a port, such as 10.255.0.2:7443",
        other => other,
    };
    let field = misfit.path.iter().rev().find_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None });
    let field = shortened(field.unwrap_or_default());
    let remedy = format!("write `{field}` as described; `understudy estate schema` has the exact form");
    Word::error(codes::BAD_VALUE, format!("`{field}`: {message}"), remedy)
}

/// Takes the value at a path out of the tree.
fn take_out(tree: &mut Node, path: &[Step]) -> bool {
    let Some((last, outer)) = path.split_last() else { return false };
    let mut node = tree;
    for step in outer {
        let next = match (&mut node.value, step) {
            (Value::Map(entries), Step::Key(key)) => {
                entries.iter_mut().find(|entry| &entry.key == key).map(|entry| &mut entry.node)
            }
            (Value::List(items), Step::Item(index)) => items.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        node = next;
    }
    match (&mut node.value, last) {
        (Value::Map(entries), Step::Key(key)) => {
            let before = entries.len();
            entries.retain(|entry| &entry.key != key);
            entries.len() < before
        }
        (Value::List(items), Step::Item(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

/// The known word that someone most likely meant.
fn near<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    const SLIPS_MAX: usize = 2;
    known
        .map(|other| (distance(word, other), other))
        .filter(|(slips, other)| *slips <= SLIPS_MAX && *slips < other.len())
        .min()
        .map(|(_, other)| other)
}

/// Levenshtein's distance, of words short enough to be a slip of the other.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 4 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (to, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(from != to)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = here;
            left = here;
        }
    }
    row.last().copied().unwrap_or(0)
}
