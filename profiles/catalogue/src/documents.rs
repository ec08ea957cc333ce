//! Kinds of documents, and an estate taken apart into its documents again: for revisions, differences and writing.
//! It holds no rule about what a document may say.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use vocabulary::estate::Estate;

macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident = $word:literal in $field:ident),+ $(,)?) => {
        /// A kind of document; the first key of a file.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Kind {
            /// The estate's own settings; exactly one.
            Estate,
            $($(#[$doc])+ $variant),+
        }
        impl Kind {
            /// All kinds, in the order in which an estate reads best.
            pub const ALL: &[Kind] = &[Kind::Estate, $(Kind::$variant),+];
            /// The word in the file.
            pub fn word(self) -> &'static str {
                match self { Kind::Estate => "estate", $(Kind::$variant => $word),+ }
            }
        }
        /// Every document of an estate as JSON, by kind and name.
        pub fn documents(estate: &Estate) -> BTreeMap<(Kind, String), Value> {
            let mut all = BTreeMap::new();
            all.insert((Kind::Estate, estate.name().to_owned()), as_json(&estate.settings));
            $(for (name, document) in &estate.$field {
                all.insert((Kind::$variant, name.to_string()), as_json(document));
            })+
            all
        }
    };
}

kinds! {
    /// A data centre or room.
    Site = "site" in sites,
    /// Rank and service level.
    Tier = "tier" in tiers,
    /// Servers that belong together.
    Group = "group" in groups,
    /// A set of spares.
    Pool = "pool" in pools,
    /// An agent that owns BMCs.
    BmcAgent = "bmc-agent" in bmc_agents,
    /// A switch.
    Switch = "switch" in switches,
    /// A storage target.
    Storage = "storage" in storages,
    /// A boot service.
    Boot = "boot" in boot_services,
    /// A power distribution unit.
    Pdu = "pdu" in pdus,
    /// A stored server image.
    Image = "image" in images,
    /// A box with a BMC.
    Machine = "machine" in machines,
    /// A server's profile.
    Server = "server" in servers,
}

impl Kind {
    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.word() == word)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

fn as_json<T: serde::Serialize>(document: &T) -> Value {
    // every document is a struct with text keys, for which this conversion has no failing case
    serde_json::to_value(document).unwrap_or(Value::Null)
}

/// A value's canonical text: keys sorted, no spaces.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            text.push('{');
            for (index, (key, inner)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                canonical(inner, text);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (index, inner) in list.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                canonical(inner, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

/// The revision of one document: SHA-256 over its canonical JSON, in hex. Comments and the order of keys do not change it.
pub fn revision(document: &Value) -> String {
    let mut text = String::new();
    canonical(document, &mut text);
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The revisions of all documents of an estate, by `kind/name`.
pub fn revisions(estate: &Estate) -> BTreeMap<String, String> {
    documents(estate).iter().map(|((kind, name), document)| (format!("{kind}/{name}"), revision(document))).collect()
}
