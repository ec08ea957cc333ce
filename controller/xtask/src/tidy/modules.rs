//! Imports point down only, inside a crate: no circle between modules, and in the pure core each stage uses only smaller stages and the
//! foot. A module's own children are part of it; what tests import does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{self, Use};
use super::manifest::Crate;
use super::source::Source;
use super::{Breach, Law};

/// The crate with stages, and the modules of its foot that DESIGN names.
const CORE: &str = "pipeline";
const FOOT: &[&str] = &["event", "effect", "record", "plan", "state", "fit"];

/// The module through which everything enters, above all stages.
const DOOR: &str = "step";

/// One module that has a file of its own.
struct Module<'a> {
    path: Vec<String>,
    source: &'a Source,
    uses: Vec<Use>,
}

/// An import between two modules that share a parent, with the file and line of one example.
type Edges = BTreeMap<String, BTreeMap<String, (String, usize)>>;

/// Breaches inside crates.
pub fn check(crates: &[Crate], sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for one in crates {
        let modules = modules(one, sources);
        let edges = edges(&modules);
        breaches.extend(circles(&edges));
        if one.name == CORE {
            breaches.extend(stages(&edges));
        }
    }
    breaches
}

fn modules<'a>(one: &Crate, sources: &'a [Source]) -> Vec<Module<'a>> {
    let prefix = format!("{}/src/", one.folder);
    sources
        .iter()
        .filter_map(|source| {
            let path = module_path(source.path.strip_prefix(&prefix)?)?;
            let uses = imports::uses(source, &path);
            Some(Module { path, source, uses })
        })
        .collect()
}

/// `a/b.rs` is a::b, `a/mod.rs` is a, `lib.rs` and `main.rs` are the root; programs in `bin/` are crates of their own.
fn module_path(file: &str) -> Option<Vec<String>> {
    let stem = file.strip_suffix(".rs")?;
    if stem.starts_with("bin/") {
        return None;
    }
    let mut path: Vec<String> = stem.split('/').map(str::to_owned).collect();
    let is_root = path.len() == 1 && matches!(stem, "lib" | "main");
    if is_root || path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    Some(path)
}

/// Edges between siblings: a use of x::b::T in x::a::c is an edge from x::a to x::b.
fn edges(modules: &[Module]) -> Edges {
    let known: BTreeSet<&[String]> = modules.iter().map(|module| module.path.as_slice()).collect();
    let aliases = aliases(modules, &known);
    let mut edges = Edges::new();
    for module in modules {
        for one in &module.uses {
            let path = match one.path.as_slice() {
                [first, ..] if !known.contains(&[first.clone()][..]) => aliases.get(first).unwrap_or(&one.path),
                _ => &one.path,
            };
            let Some(target) = (1..=path.len()).rev().filter_map(|length| path.get(..length)).find(|part| known.contains(part))
            else {
                continue;
            };
            let shared = module.path.iter().zip(target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.path.get(..=shared), target.get(..=shared)) {
                let example = (module.source.path.clone(), one.line);
                edges.entry(from.join("::")).or_default().entry(to.join("::")).or_insert(example);
            }
        }
    }
    edges
}

/// What the root re-exports: `crate::Plan` means `crate::plan::Plan`.
fn aliases(modules: &[Module], known: &BTreeSet<&[String]>) -> BTreeMap<String, Vec<String>> {
    modules
        .iter()
        .filter(|module| module.path.is_empty())
        .flat_map(|root| imports::reexports(root.source))
        .filter(|path| path.first().is_some_and(|first| known.contains(&[first.clone()][..])))
        .filter_map(|path| Some((path.last()?.clone(), path)))
        .collect()
}

/// The shortest circles; a longer one that shares a module with them is mended by mending them, or shows afterwards.
fn circles(edges: &Edges) -> Vec<Breach> {
    let mut found: Vec<(BTreeSet<String>, Breach)> = Vec::new();
    for (from, targets) in edges {
        for (to, (file, line)) in targets {
            let Some(back) = way(edges, to, from) else { continue };
            let members: BTreeSet<String> = back.iter().cloned().collect();
            if found.iter().all(|(other, _)| *other != members) {
                let names = format!("{from} -> {}", back.join(" -> "));
                let what = format!("import circle {names}");
                found.push((
                    members,
                    Breach::new(Law::Circles, file, *line, what, "move what both need into a module below them"),
                ));
            }
        }
    }
    found.sort_by_key(|(members, _)| members.len());
    let mut kept: Vec<(BTreeSet<String>, Breach)> = Vec::new();
    for (members, breach) in found {
        if !kept.iter().any(|(shorter, _)| shorter.len() < members.len() && !shorter.is_disjoint(&members)) {
            kept.push((members, breach));
        }
    }
    kept.into_iter().map(|(_, breach)| breach).collect()
}

/// The shortest way along imports, both ends included.
fn way(edges: &Edges, from: &str, to: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<String, Option<String>> = BTreeMap::from([(from.to_owned(), None)]);
    let mut queue = std::collections::VecDeque::from([from.to_owned()]);
    while let Some(here) = queue.pop_front() {
        if here == to {
            let mut path = vec![here.clone()];
            let mut at = here;
            while let Some(Some(before)) = came_from.get(&at).cloned() {
                path.push(before.clone());
                at = before;
            }
            path.reverse();
            return Some(path);
        }
        for next in edges.get(&here).into_iter().flat_map(BTreeMap::keys) {
            if !came_from.contains_key(next) {
                came_from.insert(next.clone(), Some(here.clone()));
                queue.push_back(next.clone());
            }
        }
    }
    None
}

/// Stages use smaller stages and the foot. The foot is what DESIGN names, and whatever else a stage uses; it knows no stage.
fn stages(edges: &Edges) -> Vec<Breach> {
    let foot = foot(edges);
    let mut breaches = Vec::new();
    for (from, targets) in edges {
        for (to, (file, line)) in targets {
            let breach =
                |why: &str, remedy: &str| Breach::new(Law::Stages, file, *line, format!("{from} imports {to}, {why}"), remedy);
            match (stage_number(from), stage_number(to)) {
                (Some(here), Some(there)) if there >= here => {
                    breaches.push(breach(
                        "a later stage",
                        "a stage uses only smaller stages: hand it on through the state or an effect",
                    ));
                }
                (Some(_), None) if to == DOOR => {
                    breaches.push(breach("the door itself", "a stage uses only smaller stages and the foot"));
                }
                (None, Some(_)) if foot.contains(from.as_str()) => {
                    breaches.push(breach("though stages stand on it", "the foot knows no stage: move the shared noun down"));
                }
                _ => {}
            }
        }
    }
    breaches
}

/// Modules that are no stage and that some stage reaches, and those that DESIGN names.
fn foot(edges: &Edges) -> BTreeSet<&str> {
    let mut foot: BTreeSet<&str> = FOOT.iter().copied().collect();
    let mut from: Vec<&str> = edges.keys().map(String::as_str).filter(|name| stage_number(name).is_some()).collect();
    from.extend(FOOT);
    while let Some(module) = from.pop() {
        for to in edges.get(module).into_iter().flat_map(BTreeMap::keys) {
            if stage_number(to).is_none() && to != DOOR && foot.insert(to) {
                from.push(to);
            }
        }
    }
    foot
}

/// The number of a top-level module that is a stage; what lies inside a stage is that stage's own business.
fn stage_number(module: &str) -> Option<u32> {
    if module.contains("::") {
        return None;
    }
    let digits: String = module.strip_prefix('s')?.chars().take_while(char::is_ascii_digit).collect();
    module.get(1 + digits.len()..)?.starts_with('_').then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_modules() {
        assert_eq!(module_path("lib.rs"), Some(vec![]));
        assert_eq!(module_path("a/mod.rs").unwrap(), ["a"]);
        assert_eq!(module_path("a/b.rs").unwrap(), ["a", "b"]);
        assert_eq!(module_path("bin/tool.rs"), None);
    }

    #[test]
    fn stages_are_known_by_their_number() {
        assert_eq!(stage_number("s3_fence"), Some(3));
        assert_eq!(stage_number("s10_more"), Some(10));
        assert_eq!(stage_number("s3_fence::send"), None);
        assert_eq!(stage_number("stage"), None);
        assert_eq!(stage_number("state"), None);
    }
}
