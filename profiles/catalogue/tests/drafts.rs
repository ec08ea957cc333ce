//! Drafts of machines' documents: what is whole reads back as it was, and every gap is named by the check, each with its line and no other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

use catalogue::draft::{Draft, NicDraft, Part};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use vocabulary::MachineId;
use vocabulary::estate::{Estate, Machine};

fn example(name: &str) -> Estate {
    catalogue::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).estate.unwrap()
}

/// A folder with this one file.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("draft.yaml"), text).unwrap();
    folder
}

/// The machine that a draft reads as, if it is whole.
fn read(draft: &Draft) -> Draft {
    let text = draft.to_yaml().unwrap();
    let folder = folder(&text);
    let known = catalogue::machines(folder.path());
    assert!(!known.holes, "{text}");
    let [machine] = known.machines.as_slice() else { panic!("{text}") };
    machine.draft.clone()
}

/// Takes out as the bits say.
fn gapped(mut draft: Draft, bits: u32) -> Draft {
    fn cut<T>(part: &mut Part<T>, out: bool) {
        if out {
            *part = Part::gap("fill\nme \u{2028} in: [}#");
        }
    }
    let bit = |at: u32| bits >> at & 1 == 1;
    cut(&mut draft.serial, bit(0));
    cut(&mut draft.uuid, bit(1));
    cut(&mut draft.site, bit(2));
    cut(&mut draft.rack, bit(3));
    cut(&mut draft.feeds, bit(4));
    cut(&mut draft.bmc.protocol, bit(5));
    cut(&mut draft.bmc.address, bit(6));
    cut(&mut draft.bmc.user, bit(7));
    cut(&mut draft.bmc.password, bit(8));
    cut(draft.bmc.certificate.as_mut().unwrap(), bit(9));
    for (at, nic) in (10..).step_by(4).zip(draft.nics.value.as_mut().unwrap()) {
        let NicDraft { role, mac, switch, port, .. } = nic;
        cut(role, bit(at));
        cut(mac, bit(at + 1));
        cut(switch, bit(at + 2));
        cut(port, bit(at + 3));
    }
    cut(&mut draft.hardware.architecture, bit(22));
    cut(&mut draft.hardware.level, bit(23));
    cut(&mut draft.hardware.memory, bit(24));
    cut(&mut draft.hardware.threads, bit(25));
    cut(&mut draft.hardware.firmware, bit(26));
    cut(&mut draft.hardware.unrevocable_storage, bit(27));
    draft
}

/// Without the remarks, which nobody reads back; a certificate that is a gap is none.
fn unremarked(draft: &mut Draft) {
    fn bare<T>(part: &mut Part<T>) {
        part.remark = String::new();
    }
    bare(&mut draft.serial);
    bare(&mut draft.uuid);
    bare(&mut draft.site);
    bare(&mut draft.rack);
    bare(&mut draft.feeds);
    let bmc = &mut draft.bmc;
    bare(&mut bmc.protocol);
    bare(&mut bmc.address);
    bare(&mut bmc.user);
    bare(&mut bmc.password);
    bmc.certificate = bmc.certificate.take().filter(|part| part.value.is_some());
    for nic in draft.nics.value.iter_mut().flatten() {
        bare(&mut nic.role);
        bare(&mut nic.mac);
        bare(&mut nic.switch);
        bare(&mut nic.port);
    }
    let hardware = &mut draft.hardware;
    bare(&mut hardware.architecture);
    bare(&mut hardware.level);
    bare(&mut hardware.memory);
    bare(&mut hardware.threads);
    bare(&mut hardware.firmware);
    bare(&mut hardware.unrevocable_storage);
}

/// The lines of a text that are marked as gaps.
fn marked(text: &str) -> BTreeSet<u32> {
    let lines = text.lines().zip(1u32..).filter(|(line, _)| line.contains("# GAP"));
    lines.map(|(_, number)| number).collect()
}

/// The lines that the check calls empty; a complaint of any other kind fails.
fn named(text: &str) -> BTreeSet<u32> {
    let folder = folder(text);
    let errors = |one: &catalogue::Complaint| one.line > 0 && one.severity == catalogue::Severity::Error;
    let complaints = catalogue::load(folder.path()).complaints.into_iter().filter(errors);
    let lines = complaints.filter(|one| !one.message.starts_with("there is no ")).map(|one| {
        assert_eq!((one.code.0, one.message.contains("found nothing")), (catalogue::codes::BAD_VALUE, true), "{one}\n{text}");
        one.line
    });
    lines.collect()
}

fn drafts() -> Vec<(MachineId, Machine)> {
    ["lab", "starter"].into_iter().flat_map(|name| example(name).machines).collect()
}

#[test]
fn a_whole_document_reads_back_as_it_was() {
    for (name, machine) in drafts() {
        let draft = Draft::from((name.clone(), machine.clone()));
        assert_eq!(draft.gaps(), [""; 0]);
        assert_eq!(read(&draft), draft);
        // and through the door that everybody uses
        let folder = tempfile::tempdir().unwrap();
        let estate = example(if machine.site.as_str() == "lab" { "lab" } else { "starter" });
        for (path, text) in catalogue::estate_to_yaml(&estate).unwrap() {
            let text = if path == format!("machines/{name}.yaml") { draft.to_yaml().unwrap() } else { text };
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(catalogue::load(folder.path()).estate.unwrap().machines[&name], machine);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn exactly_the_gaps_are_marked_told_and_named_by_the_check(bits: u32, which in 0usize..5) {
        let drafts = drafts();
        let (name, machine) = drafts[which % drafts.len()].clone();
        let draft = gapped(Draft::from((name, machine)), bits);
        let text = draft.to_yaml().unwrap();
        prop_assert_eq!(marked(&text).len(), draft.gaps().len(), "{}", text);
        prop_assert_eq!(named(&text), marked(&text), "{}", text);
        let mut meant = draft.clone();
        unremarked(&mut meant);
        prop_assert_eq!(read(&draft), meant, "what stands beside a gap is read all the same");
    }

    #[test]
    fn no_text_from_outside_breaks_out_of_its_place(text in "\\PC{0,40}|[ -~\\n\\r\\t\u{2028}\u{85}]{0,40}", serial in "[ -~]{1,30}") {
        let (name, machine) = drafts().remove(0);
        let mut draft = Draft::from((name, Machine { serial, ..machine }));
        draft.remarks = vec![text.clone()];
        draft.site.remark.clone_from(&text);
        draft.rack = Part::gap(&text);
        draft.nics.value.as_mut().unwrap()[0].remark = text;
        let mut meant = draft.clone();
        meant.remarks = Vec::new();
        (meant.site.remark, meant.rack.remark, meant.nics.value.as_mut().unwrap()[0].remark) = Default::default();
        prop_assert_eq!(read(&draft), meant);
    }
}

#[test]
fn a_folder_of_drafts_tells_its_machines_though_it_is_no_estate() {
    let (name, machine) = drafts().remove(0);
    let draft = gapped(Draft::from((name, machine.clone())), 0b1100);
    let folder = folder(&draft.to_yaml().unwrap());
    std::fs::write(folder.path().join("switch.yaml"), "switch: tor1\nsite: x\n").unwrap();
    let known = catalogue::machines(folder.path());
    assert!(catalogue::load(folder.path()).estate.is_none());
    assert_eq!(known.machines[0].draft.serial.value, Some(machine.serial));
    assert_eq!((known.machines[0].place.as_str(), known.holes), ("draft.yaml:1", false));
    assert_eq!(known.switches, BTreeSet::from(["tor1".to_owned()]));
    std::fs::write(folder.path().join("broken.yaml"), "machine: [").unwrap();
    assert!(catalogue::machines(folder.path()).holes);
}

#[test]
fn every_gap_of_a_machine_with_many_ports_is_named() {
    let (name, machine) = drafts().remove(0);
    let mut draft = Draft::from((name, machine));
    let nics = draft.nics.value.as_mut().unwrap();
    let port = nics[0].clone();
    *nics = (0..64u8)
        .map(|number| NicDraft { mac: Part::of(vocabulary::network::Mac([2, 0, 0, 0, 0, number])), ..port.clone() })
        .collect();
    for nic in nics {
        (nic.role, nic.switch, nic.port) = (Part::gap("a"), Part::gap("b"), Part::gap("c"));
    }
    let text = draft.to_yaml().unwrap();
    assert_eq!(marked(&text).len(), 3 * 64);
    assert_eq!(named(&text), marked(&text));
}
