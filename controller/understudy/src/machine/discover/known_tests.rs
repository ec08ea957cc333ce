//! What differs, and what does not.

use super::*;
use std::path::Path;

fn document() -> Draft {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/catalogue/examples/lab");
    catalogue::machines(&folder).machines.remove(0).draft
}

fn shown(document: &Draft, told: &Draft) -> Vec<(String, Option<String>, String)> {
    differences(document, told).into_iter().map(|one| (one.field, one.document, one.told)).collect()
}

#[test]
fn the_same_differs_in_nothing_nor_does_what_is_not_told() {
    let document = document();
    assert_eq!(shown(&document, &document), []);
    let mut told = document.clone();
    told.uuid = Part::of(document.uuid.value.clone().unwrap().to_uppercase());
    told.serial = Part::gap("");
    told.hardware.memory = Part::gap("");
    told.nics = Part::gap("");
    told.bmc.certificate = Some(Part::of("ab".repeat(32)));
    assert_eq!(shown(&document, &told), [], "and a certificate that is still to be pinned");
}

#[test]
fn every_difference_is_told_with_both_sides() {
    let mut document = document();
    let mut told = document.clone();
    document.bmc.certificate = Some(Part::of("cd".repeat(32)));
    told.bmc.certificate = Some(Part::of("ab".repeat(32)));
    told.serial = Part::of("OTHER".into());
    document.hardware.level = Part::gap("");
    let nics = told.nics.value.as_mut().unwrap();
    nics[0].port = Part::of("p9".parse().unwrap());
    nics[1].switch = Part::gap("");
    nics[2].mac = Part::of("52:54:00:0c:01:99".parse().unwrap());
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown(&document, &told),
        [
            ("serial".into(), text("LAB0001"), "OTHER".into()),
            ("bmc.certificate".into(), text(&"cd".repeat(32)), "ab".repeat(32)),
            ("hardware.level".into(), None, "2".into()),
            ("nic 52:54:00:0c:01:01".into(), text("sw1/p1"), "sw1/p9".into()),
            ("nic 52:54:00:0c:01:03".into(), text("there"), "not there".into()),
            ("nic 52:54:00:0c:01:99".into(), None, "there".into()),
        ]
    );
}
