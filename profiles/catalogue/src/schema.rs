//! The form of every document as JSON Schema, made from the types that read them, so that the two cannot differ.

use crate::documents::Kind;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::sync::OnceLock;
use vocabulary::NAME_LENGTH_MAX;
use vocabulary::estate;

/// JSON Schema (draft 2020-12) of all documents of an estate: a document is one of `$defs/<kind>-document`.
pub fn schema() -> Value {
    built().clone()
}

fn built() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(build)
}

fn build() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut choices = Vec::new();
    let mut documents = Map::new();
    for kind in Kind::ALL {
        let name = format!("{kind}-document");
        choices.push(json!({"$ref": format!("#/$defs/{name}")}));
        documents.insert(name, with_header(*kind, root(*kind, &mut generator)));
    }
    let mut definitions = generator.take_definitions(true);
    definitions.extend(documents);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A document of an Understudy estate",
        "description": "One document a file. The first key is kind and name, such as `server: web1`.",
        "oneOf": choices,
        "$defs": definitions,
    })
}

/// The schema of a kind's fields, written out in place.
fn root(kind: Kind, generator: &mut SchemaGenerator) -> Value {
    let schema = match kind {
        Kind::Estate => generator.root_schema_for::<estate::Settings>(),
        Kind::Site => generator.root_schema_for::<estate::Site>(),
        Kind::Tier => generator.root_schema_for::<estate::Tier>(),
        Kind::Group => generator.root_schema_for::<estate::Group>(),
        Kind::Pool => generator.root_schema_for::<estate::Pool>(),
        Kind::BmcAgent => generator.root_schema_for::<estate::BmcAgent>(),
        Kind::Switch => generator.root_schema_for::<estate::Switch>(),
        Kind::Storage => generator.root_schema_for::<estate::Storage>(),
        Kind::Boot => generator.root_schema_for::<estate::BootService>(),
        Kind::Pdu => generator.root_schema_for::<estate::Pdu>(),
        Kind::Image => generator.root_schema_for::<estate::Image>(),
        Kind::Machine => generator.root_schema_for::<estate::Machine>(),
        Kind::Server => generator.root_schema_for::<estate::Server>(),
    };
    schema.to_value()
}

fn with_header(kind: Kind, mut schema: Value) -> Value {
    let Some(object) = schema.as_object_mut() else { return schema };
    object.remove("$schema");
    object.remove("$defs");
    let name = json!({
        "type": "string",
        "pattern": format!("^[a-z0-9][a-z0-9-]{{0,{}}}$", NAME_LENGTH_MAX - 1),
        "description": format!("the {kind}'s name; the first key of the document"),
    });
    if let Value::Object(properties) = object.entry("properties").or_insert_with(|| json!({})) {
        properties.insert(kind.word().to_owned(), name);
    }
    if let Value::Array(required) = object.entry("required").or_insert_with(|| json!([])) {
        required.insert(0, json!(kind.word()));
    }
    schema
}

/// The fields that must be there: of a document itself, or of a type inside one.
pub fn required(kind: Kind, of: &str, root: bool) -> Vec<String> {
    let name = if root { format!("{kind}-document") } else { of.to_owned() };
    let fields = built().get("$defs").and_then(|all| all.get(&name)).and_then(|one| one.get("required"));
    let fields = fields.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    fields.iter().filter_map(Value::as_str).filter(|field| !root || *field != kind.word()).map(str::to_owned).collect()
}
