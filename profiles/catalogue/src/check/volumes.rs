//! No two servers write to one volume (F0017), under whatever name they know it, and no two read one of which a single reader could not be
//! cut off (F0404).

use super::{Desk, field, item};
use crate::codes;
use crate::documents::Kind;
use crate::places::Word;
use crate::read::Step;
use std::collections::BTreeMap;
use vocabulary::storage::Access;
use vocabulary::{ServerId, VolumeId};

pub fn check(desk: &mut Desk<'_>) {
    doubled(desk);
    shared(desk);
}

/// Two volumes of the estate that are one at the target.
fn doubled(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let mut seen = BTreeMap::new();
    for (name, storage) in &estate.storages {
        for (volume, paths) in &storage.volumes {
            if paths.paths.is_empty() && desk.sound(Kind::Storage, name.as_str()) {
                let message = format!("volume {volume} has no path");
                let word = Word::error(codes::VOLUME, message, "write at least one portal and target under `paths:`");
                desk.tell(Kind::Storage, name.as_str(), &[field("volumes"), field(volume.as_str())], word);
            }
            for (index, path) in paths.paths.iter().enumerate() {
                let here = VolumeId { storage: name.clone(), volume: volume.clone() };
                let key = (path.portal, path.target.clone(), path.lun);
                let Some(other) = seen.insert(key, here.clone()) else { continue };
                let message = if other == here {
                    format!("volume {volume} has this path twice")
                } else {
                    format!("{} LUN {} at {} is volume {other} already", path.target, path.lun, path.portal)
                };
                let remedy = "one path leads to one volume: under two names two servers could write to it";
                let path = [field("volumes"), field(volume.as_str()), field("paths"), Step::Item(index)];
                desk.tell(Kind::Storage, name.as_str(), &path, Word::error(codes::VOLUME, message, remedy));
            }
        }
    }
}

/// One volume, several uses.
fn shared(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let mut uses: BTreeMap<VolumeId, (&ServerId, usize, Access)> = BTreeMap::new();
    for (name, server) in &estate.servers {
        for (index, volume) in server.volumes.iter().enumerate() {
            let Some((other, first, access)) = uses.get(&volume.id()).copied() else {
                uses.insert(volume.id(), (name, index, volume.access));
                continue;
            };
            let any = |kind| access == kind || volume.access == kind;
            let (code, message) = if other == name {
                (codes::VOLUME, format!("{name} uses volume {} twice", volume.id()))
            } else if any(Access::Exclusive) {
                let used = format!("volume {} is used by {other} as well", volume.id());
                (codes::VOLUME, format!("{used}, and one of the two uses is exclusive"))
            } else if any(Access::ReadOnly) {
                // a failover of one revokes every initiator
                let used = format!("volume {} is used by {other} as well", volume.id());
                (codes::UNMOVABLE, format!("{used}, and no storage driver revokes a single reader of several yet"))
            } else {
                continue;
            };
            let at = desk.line_of(Kind::Server, other.as_str(), &item("volumes", first, "volume"));
            let message = format!("{message} ({at})");
            let remedy = "give each server a volume of its own; only volumes that all users call `shared` may have several";
            let path = item("volumes", index, "volume");
            desk.tell(Kind::Server, name.as_str(), &path, Word::error(code, message, remedy));
        }
    }
}
