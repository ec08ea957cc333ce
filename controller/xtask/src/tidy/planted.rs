//! A small sound house, and one breach planted in it at a time: each law must find its own, at the right place, and nothing else.

use std::path::PathBuf;

use super::{Law, breaches};
use crate::text::scratch_folder;
use crate::tree::Tree;

struct House {
    folder: PathBuf,
}

impl House {
    /// Sound: two crates of ours below the core, three stages, a fault with its page.
    fn sound(name: &str) -> House {
        let house = House { folder: scratch_folder(&format!("tidy-{name}")) };
        house.krate("profiles/vocabulary", "vocabulary", "serde.workspace = true");
        house.put("profiles/vocabulary/src/lib.rs", "//! Nouns.\npub fn f() -> &'static str { \"F0001\" }\n");
        house.put("controller/docs/faults/F0001.md", "# F0001\nWhat to do: look.\n");
        house.krate("agents/contract", "contract", "vocabulary.workspace = true");
        house.put("agents/contract/src/lib.rs", "//! Traits. Knows iDRAC, as it may.\n");
        house.krate("controller/pipeline", "pipeline", "vocabulary.workspace = true\nserde.workspace = true");
        house.put(
            "controller/pipeline/src/lib.rs",
            "//! Core.\npub mod plan;\npub mod s1_detect;\npub mod s2_decide;\npub mod step;\npub use s1_detect::Symptom;\n",
        );
        house.put("controller/pipeline/src/plan.rs", "//! Foot.\npub struct Plan;\n");
        house.put("controller/pipeline/src/s1_detect.rs", "//! One.\nuse crate::plan::Plan;\npub struct Symptom;\n");
        house.put("controller/pipeline/src/s2_decide.rs", "//! Two.\nuse crate::{plan::Plan, s1_detect::Symptom};\n");
        house.put(
            "controller/pipeline/src/step.rs",
            "//! Door.\nuse crate::s2_decide;\n#[cfg(test)]\nmod tests { use crate::step; }\n",
        );
        house
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn krate(&self, folder: &str, name: &str, dependencies: &str) {
        let text = format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependencies}\n");
        self.put(&format!("{folder}/Cargo.toml"), &text);
    }

    fn found(&self) -> Vec<(Law, String, usize)> {
        let (found, _) = breaches(&Tree::at(&self.folder)).unwrap();
        found.into_iter().map(|breach| (breach.law, breach.file, breach.line)).collect()
    }

    #[track_caller]
    fn expect(&self, law: Law, file: &str, line: usize) {
        assert_eq!(self.found(), [(law, file.to_owned(), line)]);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_sound_house_has_no_breach() {
    assert_eq!(House::sound("sound").found(), []);
}

#[test]
fn a_dependency_upward_is_found() {
    let house = House::sound("floors");
    house.krate("agents/contract", "contract", "vocabulary.workspace = true\npipeline.workspace = true");
    house.expect(Law::Floors, "agents/contract/Cargo.toml", 5);
}

#[test]
fn a_dependency_across_a_floor_is_found() {
    let house = House::sound("across");
    house.krate("pxe/boot", "boot", "");
    house.krate("hw-fixtures/lab", "lab", "boot.workspace = true");
    house.expect(Law::Floors, "hw-fixtures/lab/Cargo.toml", 4);
}

#[test]
fn fuzz_targets_may_use_every_room_and_nobody_uses_them() {
    let house = House::sound("fuzz");
    house.krate("pxe/boot", "boot", "");
    house.krate("hw-fixtures/fuzz", "fuzz", "boot.workspace = true");
    assert_eq!(house.found(), []);
    house.krate("controller/engine", "engine", "fuzz.workspace = true");
    house.expect(Law::Floors, "controller/engine/Cargo.toml", 4);
}

#[test]
fn a_core_that_grows_a_dependency_is_found() {
    let house = House::sound("core");
    house.krate("controller/pipeline", "pipeline", "vocabulary.workspace = true\ntokio.workspace = true");
    house.expect(Law::PureCore, "controller/pipeline/Cargo.toml", 5);
}

#[test]
fn a_light_xtask_that_uses_ours_is_found() {
    let house = House::sound("light");
    house.krate("controller/xtask", "xtask", "vocabulary.workspace = true");
    house.expect(Law::Floors, "controller/xtask/Cargo.toml", 4);
}

#[test]
fn a_stage_that_imports_a_later_one_is_found() {
    let house = House::sound("stages");
    house.put("controller/pipeline/src/s2_decide.rs", "//! Two.\n");
    house.put("controller/pipeline/src/s1_detect.rs", "//! One.\npub struct Symptom;\nfn f() { crate::s2_decide::g() }\n");
    house.expect(Law::Stages, "controller/pipeline/src/s1_detect.rs", 3);
}

#[test]
fn a_stage_that_imports_the_door_is_found() {
    let house = House::sound("door");
    house.put("controller/pipeline/src/step.rs", "//! Door.\nuse crate::s1_detect;\n");
    house.put("controller/pipeline/src/s2_decide.rs", "//! Two.\nuse crate::step;\n");
    house.expect(Law::Stages, "controller/pipeline/src/s2_decide.rs", 2);
}

#[test]
fn a_foot_that_knows_a_stage_by_its_reexport_is_found() {
    let house = House::sound("foot");
    house.put("controller/pipeline/src/s1_detect.rs", "//! One.\npub struct Symptom;\n");
    house.put("controller/pipeline/src/s2_decide.rs", "//! Two.\n");
    house.put("controller/pipeline/src/plan.rs", "//! Foot.\nuse crate::Symptom;\n");
    house.expect(Law::Stages, "controller/pipeline/src/plan.rs", 2);
}

#[test]
fn what_stages_stand_on_knows_no_stage_even_at_second_hand() {
    let house = House::sound("work");
    house.put("controller/pipeline/src/s1_detect.rs", "//! One.\npub struct Symptom;\n");
    house.put("controller/pipeline/src/plan.rs", "//! Foot.\nuse crate::work;\n");
    house.put("controller/pipeline/src/work/mod.rs", "//! Work.\nmod inner;\n");
    house.put("controller/pipeline/src/work/inner.rs", "//! In.\nfn f() { crate::s1_detect::g() }\n");
    house.expect(Law::Stages, "controller/pipeline/src/work/inner.rs", 2);
}

#[test]
fn parts_of_one_stage_may_use_one_another() {
    let house = House::sound("parts");
    house.put("controller/pipeline/src/s2_decide/a.rs", "//! A.\nuse super::b::B;\nuse crate::s2_decide::b;\n");
    house.put("controller/pipeline/src/s2_decide/b.rs", "//! B.\n");
    assert_eq!(house.found(), []);
}

#[test]
fn a_circle_is_found_once() {
    let house = House::sound("circle");
    house.put("agents/contract/src/a.rs", "//! A.\nuse crate::b::B;\n");
    house.put("agents/contract/src/b.rs", "//! B.\nfn f() { crate::c::g() }\n");
    house.put("agents/contract/src/c/mod.rs", "//! C.\nmod d;\n");
    house.put("agents/contract/src/c/d.rs", "//! D.\nuse crate::a;\nuse super::e;\n");
    house.expect(Law::Circles, "agents/contract/src/a.rs", 2);
}

#[test]
fn a_file_without_opening_is_found() {
    let house = House::sound("opening");
    house.put("agents/contract/src/a.rs", "pub struct A;\n");
    house.expect(Law::Opening, "agents/contract/src/a.rs", 1);
}

#[test]
fn a_vendor_outside_the_drivers_is_found() {
    let house = House::sound("vendor");
    house.put("controller/pipeline/src/plan.rs", "//! Foot.\npub struct Plan;\nfn is_dell() {}\n");
    house.expect(Law::Vendors, "controller/pipeline/src/plan.rs", 3);
}

#[test]
fn a_code_without_page_and_a_page_without_code_are_found() {
    let house = House::sound("faults");
    house.put("agents/contract/src/lib.rs", "//! Traits.\nfn f() { Fault::new(1001, a, b) }\n");
    house.expect(Law::FaultPages, "agents/contract/src/lib.rs", 2);
    house.put("agents/contract/src/lib.rs", "//! Traits.\n");
    house.put("controller/docs/faults/F1001.md", "# F1001\nThe remedy is to wait.\n");
    house.expect(Law::FaultPages, "controller/docs/faults/F1001.md", 1);
}

#[test]
fn unfinished_work_is_found_in_comments_and_code() {
    let house = House::sound("unfinished");
    house.put("agents/contract/src/lib.rs", "//! Traits.\n// TODO: more\nfn f() { todo!() }\n#[ignore]\nfn g() {}\n");
    let lines: Vec<usize> =
        house.found().into_iter().filter(|(law, ..)| *law == Law::Unfinished).map(|(_, _, line)| line).collect();
    assert_eq!(lines, [2, 3, 4]);
}

#[test]
fn a_path_of_one_machine_is_found_in_any_text() {
    let house = House::sound("foreign");
    house.put("hw-fixtures/lab/run.sh", "#!/bin/sh\ncd /work/tree\n");
    house.expect(Law::ForeignWords, "hw-fixtures/lab/run.sh", 2);
}

#[test]
fn an_empty_house_is_no_proof() {
    let folder = scratch_folder("tidy-empty");
    assert!(breaches(&Tree::at(&folder)).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_promise_that_nothing_measures_is_found() {
    let house = House::sound("promises");
    house.put("controller/pipeline/tests/small/main.rs", "//! Tests.\nmod guard;\n");
    house.put("controller/pipeline/tests/small/guard.rs", "//! Tests.\n#[test]\nfn it_holds() {}\n");
    house.put("controller/scenarios/kill.txt", "title Killed\n");
    let page = |row: &str| house.put("controller/docs/SPECIFICATION.md", &format!("# Promises\n\n| a | 0 | {row} |\n"));
    for sound in [
        "`cargo test -p pipeline --test small`; `cargo xtask lab e2e kill`",
        "`cargo test -p pipeline --test small guard::`, `cargo test -p pipeline --test small it_holds`",
        "`cargo xtask test`",
    ] {
        page(sound);
        assert_eq!(house.found(), [], "{sound}");
    }
    for unsound in [
        "`cargo test -p pipeline --test guard`",
        "`cargo test -p pipelines --test small`",
        "`cargo test -p pipeline --test small brakes::`",
        "`cargo xtask lab e2e killed`",
    ] {
        page(unsound);
        house.expect(Law::Promises, "controller/docs/SPECIFICATION.md", 3);
    }
}
