//! The rules of an estate, a file a family. Every rule looks at all documents and tells all it finds; none stops another, and
//! none judges what a document lacks when a part of that document could not be read.

use crate::documents::Kind;
use crate::init::Flavor;
use crate::places::{Complaints, Places, Word, Written, place_of};
use crate::read::Step;
use vocabulary::estate::Estate;

mod addresses;
mod cabling;
mod networks;
mod numbers;
mod placement;
mod profile;
mod references;
mod volumes;

/// Tells everything that is wrong with an estate.
pub fn check(estate: &Estate, places: &Places, flavor: Option<Flavor>, complaints: &mut Complaints) {
    let mut desk = Desk { estate, places, flavor, complaints };
    references::check(&mut desk);
    cabling::check(&mut desk);
    networks::check(&mut desk);
    addresses::check(&mut desk);
    volumes::check(&mut desk);
    profile::check(&mut desk);
    placement::check(&mut desk);
    numbers::check(&mut desk);
}

/// What a rule works with.
struct Desk<'a> {
    estate: &'a Estate,
    places: &'a Places,
    flavor: Option<Flavor>,
    complaints: &'a mut Complaints,
}

impl Desk<'_> {
    fn written(&self, kind: Kind, name: &str) -> Option<&Written> {
        self.places.documents.get(&(kind, name.to_owned()))
    }

    /// True if a document stands in the files, or may stand where a file could not be read.
    fn exists(&self, kind: Kind, name: &str) -> bool {
        self.places.holes || self.written(kind, name).is_some()
    }

    /// True if a document was read as a whole.
    fn sound(&self, kind: Kind, name: &str) -> bool {
        self.written(kind, name).is_some_and(|written| !written.broken)
    }

    /// Tells something at a path of a document; at its name where the path is not written out.
    fn tell(&mut self, kind: Kind, name: &str, path: &[Step], word: Word) {
        match self.places.documents.get(&(kind, name.to_owned())) {
            Some(written) => {
                let place = place_of(&written.tree, path, false).unwrap_or(written.name);
                self.complaints.at(&written.file, place, word);
            }
            None => self.complaints.about_file(&self.places.folder, word),
        }
    }

    /// Tells something of the estate document.
    fn tell_settings(&mut self, path: &[Step], word: Word) {
        let name = self.estate.name().to_owned();
        self.tell(Kind::Estate, &name, path, word);
    }

    /// True if the estate document was read as a whole.
    fn settings_sound(&self) -> bool {
        self.sound(Kind::Estate, self.estate.name())
    }

    /// Where something stands, for a message about something else.
    fn line_of(&self, kind: Kind, name: &str, path: &[Step]) -> String {
        match self.written(kind, name) {
            Some(written) => {
                let line = place_of(&written.tree, path, false).unwrap_or(written.name).line;
                let file = std::path::Path::new(&written.file.path);
                format!("{}:{line}", file.strip_prefix(&self.places.folder).unwrap_or(file).display())
            }
            None => format!("{kind} {name}"),
        }
    }
}

/// A step into a field.
fn field(name: &str) -> Step {
    Step::Key(name.to_owned())
}

/// A path into a list's item, and a field there.
fn item(list: &str, index: usize, name: &str) -> [Step; 3] {
    [field(list), Step::Item(index), field(name)]
}
