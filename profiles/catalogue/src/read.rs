//! A tree read as a type of the vocabulary, with the path of what does not fit. It repeats no value that might be a secret:
//! the vocabulary's own messages decide what they quote.

use crate::tree::{Entry, Node, Value};
use serde::de::{self, DeserializeSeed, Unexpected, Visitor};
use std::fmt;

/// One step from a value into its inside.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Item(usize),
}

/// Why a tree is not what it should be.
#[derive(Clone, PartialEq, Debug)]
pub enum Reason {
    /// A key that does not exist here.
    Unknown {
        /// The key.
        name: String,
        /// What would be known.
        known: &'static [&'static str],
    },
    /// A key that must be there.
    Missing {
        /// The key.
        name: &'static str,
        /// The type that misses it, where it is a struct.
        of: Option<&'static str>,
    },
    /// A value that cannot be understood.
    Bad(String),
}

/// What does not fit, and where, seen from the root of the tree.
#[derive(Clone, PartialEq, Debug)]
pub struct Misfit {
    /// Why.
    pub reason: Reason,
    /// Where, from the inside out while it rises, from the outside in when it arrives.
    pub path: Vec<Step>,
    /// True if the key is meant and not its value.
    pub at_key: bool,
}

impl Misfit {
    fn bad(message: impl Into<String>) -> Misfit {
        Misfit { reason: Reason::Bad(message.into()), path: Vec::new(), at_key: false }
    }
    fn under(mut self, step: Step) -> Misfit {
        self.path.push(step);
        self
    }
    fn of_key(mut self, key: &str) -> Misfit {
        self.at_key = true;
        self.under(Step::Key(key.to_owned()))
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.reason)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Misfit::bad(message.to_string())
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Misfit::bad(format!("expected {expected}, found {}", in_words(found)))
    }
    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Misfit::bad(format!("expected {expected}, found {}", in_words(found)))
    }
    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Misfit { reason: Reason::Unknown { name: name.to_owned(), known }, path: Vec::new(), at_key: true }
    }
    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Misfit::bad(format!("`{}` is not one of: {}", crate::complaint::shortened(name), known.join(", ")))
    }
    fn missing_field(name: &'static str) -> Self {
        Misfit { reason: Reason::Missing { name, of: None }, path: Vec::new(), at_key: false }
    }
}

fn in_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        Unexpected::Str(text) => format!("`{}`", crate::complaint::shortened(text)),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        other => other.to_string(),
    }
}

/// Reads a tree as `T`.
pub fn read<'a, T: de::Deserialize<'a>>(node: &'a Node) -> Result<T, Misfit> {
    T::deserialize(Reader { node }).map_err(|mut misfit| {
        misfit.path.reverse();
        misfit
    })
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
}

impl<'a> Reader<'a> {
    fn mismatch(&self, expected: &str) -> Misfit {
        Misfit::bad(format!("expected {expected}, found {}", self.node.in_words()))
    }
    fn text(&self) -> Result<&'a str, Misfit> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.is_nothing() => Ok(text),
            _ => Err(self.mismatch("text")),
        }
    }
    fn plain(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }
    fn map<V: Visitor<'a>>(self, of: Option<&'static str>, visitor: V) -> Result<V::Value, Misfit> {
        let Value::Map(entries) = &self.node.value else {
            return Err(self.mismatch("a mapping"));
        };
        visitor.visit_map(Entries { left: entries.iter(), now: None }).map_err(|mut misfit| {
            if let (Reason::Missing { of: unset @ None, .. }, true) = (&mut misfit.reason, misfit.path.is_empty()) {
                *unset = of;
            }
            misfit
        })
    }
    fn number<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let text = self.plain().ok_or_else(|| self.mismatch("a whole number"))?;
        if let Ok(number) = text.parse::<u64>() {
            visitor.visit_u64(number)
        } else if let Ok(number) = text.parse::<i64>() {
            visitor.visit_i64(number)
        } else {
            Err(self.mismatch("a whole number"))
        }
    }
}

impl<'a> de::Deserializer<'a> for Reader<'a> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.map(None, visitor),
            Value::Scalar { .. } if self.node.is_nothing() => visitor.visit_unit(),
            Value::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Value::Scalar { text, plain: true } => match (text.as_str(), text.parse::<u64>(), text.parse::<i64>()) {
                ("true", ..) => visitor.visit_bool(true),
                ("false", ..) => visitor.visit_bool(false),
                (_, Ok(number), _) => visitor.visit_u64(number),
                (_, _, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_borrowed_str(text),
            },
        }
    }
    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.plain() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => Err(self.mismatch("true or false")),
        }
    }
    fn deserialize_i8<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }
    fn deserialize_i16<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }
    fn deserialize_i32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }
    fn deserialize_i64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }
    fn deserialize_u8<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }
    fn deserialize_u16<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }
    fn deserialize_u32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }
    fn deserialize_u64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.number(visitor)
    }
    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        // a serial such as 0012 is text wherever text is expected: nothing is made a number by its looks
        visitor.visit_borrowed_str(self.text()?)
    }
    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }
    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.node.is_nothing() { visitor.visit_none() } else { visitor.visit_some(self) }
    }
    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.node.is_nothing() { visitor.visit_unit() } else { Err(self.mismatch("nothing")) }
    }
    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Value::List(items) = &self.node.value else {
            return Err(self.mismatch("a list"));
        };
        visitor.visit_seq(Items { left: items.iter().enumerate() })
    }
    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.map(None, visitor)
    }
    fn deserialize_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.map(Some(name), visitor)
    }
    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.is_nothing() => visitor.visit_enum(Choice { word: text, inside: None }),
            Value::Map(entries) => match entries.as_slice() {
                [Entry { key, node, .. }] => visitor.visit_enum(Choice { word: key, inside: Some(node) }),
                _ => Err(Misfit::bad(format!("expected exactly one key here, of: {}", known.join(", ")))),
            },
            _ => Err(self.mismatch(&format!("one of: {}", known.join(", ")))),
        }
    }
    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>> i128 u128 f32 f64 char bytes byte_buf unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<'a> {
    left: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'a> de::SeqAccess<'a> for Items<'a> {
    type Error = Misfit;
    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Misfit> {
        let Some((index, node)) = self.left.next() else { return Ok(None) };
        seed.deserialize(Reader { node }).map(Some).map_err(|misfit| misfit.under(Step::Item(index)))
    }
}

struct Entries<'a> {
    left: std::slice::Iter<'a, Entry>,
    now: Option<&'a Entry>,
}

impl<'a> de::MapAccess<'a> for Entries<'a> {
    type Error = Misfit;
    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Misfit> {
        let Some(entry) = self.left.next() else { return Ok(None) };
        self.now = Some(entry);
        let key = de::value::BorrowedStrDeserializer::<Misfit>::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|misfit| misfit.of_key(&entry.key))
    }
    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Misfit> {
        let entry = self.now.take().ok_or_else(|| Misfit::bad("a value was asked for before its key"))?;
        seed.deserialize(Reader { node: &entry.node }).map_err(|misfit| misfit.under(Step::Key(entry.key.clone())))
    }
}

struct Choice<'a> {
    word: &'a str,
    inside: Option<&'a Node>,
}

impl<'a> de::EnumAccess<'a> for Choice<'a> {
    type Error = Misfit;
    type Variant = Self;
    fn variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<(S::Value, Self), Misfit> {
        let word = de::value::BorrowedStrDeserializer::<Misfit>::new(self.word);
        seed.deserialize(word).map(|value| (value, self))
    }
}

impl<'a> Choice<'a> {
    fn inner(&self) -> Result<Reader<'a>, Misfit> {
        let node = self.inside.ok_or_else(|| Misfit::bad(format!("`{}` needs a mapping after it", self.word)))?;
        Ok(Reader { node })
    }
    fn stepped(&self, misfit: Misfit) -> Misfit {
        misfit.under(Step::Key(self.word.to_owned()))
    }
}

impl<'a> de::VariantAccess<'a> for Choice<'a> {
    type Error = Misfit;
    fn unit_variant(self) -> Result<(), Misfit> {
        match self.inside {
            Some(node) if !node.is_nothing() => Err(Misfit::bad(format!("`{}` takes no value", self.word))),
            _ => Ok(()),
        }
    }
    fn newtype_variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, Misfit> {
        seed.deserialize(self.inner()?).map_err(|misfit| self.stepped(misfit))
    }
    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        de::Deserializer::deserialize_seq(self.inner()?, visitor).map_err(|misfit| self.stepped(misfit))
    }
    fn struct_variant<V: Visitor<'a>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Misfit> {
        de::Deserializer::deserialize_map(self.inner()?, visitor).map_err(|misfit| self.stepped(misfit))
    }
}
