//! What is written reads back, what differs is told, and the schema says what the reader takes.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use catalogue::{Alteration, Flavor, diff, documents, estate_to_yaml, load_for, revisions, schema};
use proptest::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use vocabulary::estate::Estate;

fn example(name: &str) -> Estate {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    load_for(&folder, Some(Flavor::Lab)).estate.expect("a clean example")
}

fn written_and_read(estate: &Estate) -> Estate {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in estate_to_yaml(estate).unwrap() {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let loaded = load_for(folder.path(), Some(Flavor::Lab));
    loaded.estate.unwrap_or_else(|| panic!("{:#?}", loaded.complaints))
}

#[test]
fn examples_read_back_as_they_were_written() {
    for name in ["lab", "starter"] {
        let estate = example(name);
        assert_eq!(written_and_read(&estate), estate);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_text_reads_back_as_it_was_written(
        description in "\\PC{0,120}", owner in "([ \\t\n'\"#:&*!|>%@`\\-\\[\\]{},?~]|null|true|[a-z0-9]){0,40}",
        contact in "[ -~]{1,20}", serial in "[A-Za-z0-9.]{1,12}", arguments in "[ -~\n]{0,200}",
        rank in 1u32.., settle in 100u64..600_000, memory in 384u64.., threads in 1u32..,
    ) {
        let mut estate = example("lab");
        estate.sites.values_mut().for_each(|it| it.description.clone_from(&description));
        estate.groups.values_mut().for_each(|it| {
            it.owner.clone_from(&owner);
            it.contacts = vec![contact.clone()];
        });
        estate.tiers.values_mut().for_each(|it| it.rank = rank);
        estate.images.values_mut().for_each(|it| it.arguments.clone_from(&arguments));
        estate.settings.fencing.settle = vocabulary::Span(settle);
        let memory = vocabulary::quantity::Bytes((memory % (1 << 40)).max(384) << 20);
        for (index, it) in estate.machines.values_mut().enumerate() {
            it.serial = format!("{serial}x{index}");
            it.hardware.memory = memory;
            it.hardware.threads = threads;
        }
        estate.revisions = revisions(&estate);
        prop_assert_eq!(written_and_read(&estate), estate);
    }
}

#[test]
fn a_revision_changes_with_what_a_document_says_and_with_nothing_else() {
    let estate = example("lab");
    assert_eq!(estate.revisions.len(), 15);
    assert!(estate.revisions.contains_key("server/web1") && estate.revisions.contains_key("estate/lab"));
    assert!(estate.revisions.values().all(|revision| revision.len() == 64));
    let commented = written_and_read(&estate);
    assert_eq!(commented.revisions, estate.revisions);
    let mut changed = estate.clone();
    changed.groups.values_mut().for_each(|it| it.owner = "other".into());
    let changed = written_and_read(&changed);
    let different: Vec<_> = estate.revisions.iter().filter(|(key, value)| changed.revisions.get(*key) != Some(value)).collect();
    assert_eq!(different.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["group/web"]);
}

#[test]
fn a_difference_names_documents_and_fields() {
    let before = example("lab");
    assert!(diff(&before, &before).is_empty());
    let mut after = before.clone();
    after.images.remove(&"web-san".parse().unwrap());
    let spare = after.machines.get(&"m3".parse().unwrap()).unwrap().clone();
    after.machines.insert("m4".parse().unwrap(), spare);
    let web1 = after.servers.get_mut(&"web1".parse().unwrap()).unwrap();
    web1.requires.threads = 2;
    web1.checks.clear();
    let text = diff(&before, &after).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!("diff", text);
    let back = diff(&after, &before);
    assert_eq!(back.len(), 3);
    assert!(back.iter().any(|one| one.name == "m4" && one.change == Alteration::Removed));
}

#[test]
fn the_schema_knows_every_document_and_its_references_hold() {
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut references = Vec::new();
    collect(&schema, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let name = reference.strip_prefix("#/$defs/").unwrap();
        assert!(definitions.contains_key(name), "{reference}");
    }
    for ((kind, _), document) in documents(&example("lab")) {
        let form = &definitions[&format!("{kind}-document")];
        assert_eq!(form["additionalProperties"], Value::Bool(false), "{kind}");
        let fields = form["properties"].as_object().unwrap();
        for field in document.as_object().unwrap().keys() {
            assert!(fields.contains_key(field), "{kind} lacks {field}");
        }
        assert_eq!(form["required"][0], Value::String(kind.to_string()));
    }
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| match inner {
            Value::String(text) if key == "$ref" => found.push(text.clone()),
            inner => collect(inner, found),
        }),
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, found)),
        _ => {}
    }
}
