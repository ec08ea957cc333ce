//! Which targets export what, of one list of the daemon. It is asked for every volume once a second, so each backing path is looked up once
//! a list, however many volumes there are. Must never take one object for another: what cannot be looked up is compared by name.

use super::Export;
use super::host::{Host, Object};
use super::parse::Target;
use std::collections::HashMap;
use std::path::Path;

/// A logical unit: the number of its target, and its own.
pub(super) type Unit = (u32, u64);

/// See the module.
pub(super) struct Exports<'a> {
    targets: HashMap<&'a str, &'a Target>,
    /// Each unit with its place in the list, by the object that it leads to.
    objects: HashMap<Object, Vec<(usize, Unit)>>,
    /// The same by its path, and whether that leads to an object.
    paths: HashMap<&'a Path, Vec<(usize, Unit, bool)>>,
}

impl<'a> Exports<'a> {
    /// Of this list.
    pub fn of(host: &dyn Host, list: &'a [Target]) -> Exports<'a> {
        let mut exports = Exports { targets: HashMap::new(), objects: HashMap::new(), paths: HashMap::new() };
        let units = |target: &'a Target| target.luns.iter().map(move |(lun, path)| ((target.tid, *lun), path));
        for (place, (unit, path)) in list.iter().flat_map(units).enumerate() {
            let Some(path) = path.as_deref().map(Path::new) else { continue };
            let object = host.object(path);
            exports.paths.entry(path).or_default().push((place, unit, object.is_some()));
            if let Some(object) = object {
                exports.objects.entry(object).or_default().push((place, unit));
            }
        }
        for target in list {
            exports.targets.entry(&target.name).or_insert(target);
        }
        exports
    }

    /// The volume's own target, and every other logical unit that exports the same object, in the order of the list.
    pub fn of_volume(&self, host: &dyn Host, export: &Export) -> (Option<&'a Target>, Vec<Unit>) {
        let own = self.targets.get(export.target.as_str()).copied();
        let object = host.object(&export.file);
        // by its name: where either cannot be looked up
        let named = self.paths.get(export.file.as_path()).into_iter().flatten();
        let named = named.filter(|(_, _, leads)| object.is_none() || !leads).map(|(place, unit, _)| (*place, *unit));
        let same = object.as_ref().and_then(|object| self.objects.get(object)).into_iter().flatten().copied();
        let mut units: Vec<(usize, Unit)> = named.chain(same).collect();
        units.sort_unstable();
        let ours = own.map(|own| (own.tid, export.lun));
        (own, units.into_iter().map(|(_, unit)| unit).filter(|unit| Some(*unit) != ours).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::super::enforce::same_object;
    use super::*;
    use crate::tgt::host::{CommandError, Ended};
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use vocabulary::WallTime;

    /// Paths lead to what their last letter says; those that end in `-` to nothing.
    #[derive(Debug, Default)]
    struct Paths(AtomicUsize);

    #[async_trait]
    impl Host for Paths {
        async fn tgtadm(&self, _: &[&str], _: Option<&str>) -> Result<Ended, CommandError> {
            panic!("nothing is asked of the daemon");
        }
        fn object(&self, path: &Path) -> Option<Object> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let last = path.to_str().and_then(|path| path.chars().last());
            last.filter(|last| *last != '-').map(|last| Object(last.to_string()))
        }
        fn now(&self) -> WallTime {
            WallTime(0)
        }
    }

    fn target(tid: u32, luns: &[(u64, &str)]) -> Target {
        let luns = luns.iter().map(|(lun, path)| (*lun, Some((*path).to_owned()))).chain([(0, None)]).collect();
        Target { tid, name: format!("iqn.{tid}"), luns, ..Target::default() }
    }

    fn export(tid: u32, lun: u64, file: &str) -> Export {
        Export { target: format!("iqn.{tid}"), lun, file: file.into() }
    }

    #[test]
    fn an_object_is_found_under_every_name_and_what_cannot_be_looked_up_by_its_own() {
        let list = [
            target(1, &[(1, "/v/a"), (2, "/v/b")]),
            target(2, &[(1, "/else/a"), (2, "/v/x-")]),
            target(3, &[(1, "/v/x-"), (5, "/v/../v/a"), (6, "/v/c")]),
        ];
        let (host, all) = (Paths::default(), |host: &Paths, export: &Export| {
            let (own, foreign) = Exports::of(host, &list).of_volume(host, export);
            (own.map(|own| own.tid), foreign)
        });
        assert_eq!(all(&host, &export(1, 1, "/v/a")), (Some(1), vec![(2, 1), (3, 5)]));
        assert_eq!(all(&host, &export(9, 1, "/v/a")), (None, vec![(1, 1), (2, 1), (3, 5)]));
        assert_eq!(all(&host, &export(2, 2, "/v/x-")), (Some(2), vec![(3, 1)]));
        assert_eq!(all(&host, &export(2, 1, "/w/x-")), (Some(2), vec![]));
        for export in ["/v/a", "/v/b", "/v/x-", "/v/c", "/y/c", "/v/"].map(|file| export(3, 6, file)) {
            let mut each = Vec::new();
            for target in &list {
                for (lun, path) in &target.luns {
                    let ours = (target.tid, *lun) == (3, 6);
                    if !ours && path.as_ref().is_some_and(|path| same_object(&host, path, &export.file)) {
                        each.push((target.tid, *lun));
                    }
                }
            }
            assert_eq!(all(&host, &export).1, each, "{export:?}");
        }
    }

    #[test]
    fn a_thousand_volumes_cost_a_thousand_looks_and_not_a_million() {
        let list: Vec<Target> = (1..=1_000).map(|tid| target(tid, &[(1, &format!("/v/{tid}-"))])).collect();
        let host = Paths::default();
        let exports = Exports::of(&host, &list);
        for tid in 1..=1_000 {
            let (own, foreign) = exports.of_volume(&host, &export(tid, 1, &format!("/v/{tid}-")));
            assert_eq!((own.map(|own| own.tid), foreign), (Some(tid), vec![]));
        }
        assert_eq!(host.0.load(Ordering::Relaxed), 2_000);
    }
}
