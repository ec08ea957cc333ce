//! How the simulated kernel shows itself in configfs, and what it refuses there: recorded of Linux 6.1.0-48. Must never do what takes time;
//! that is the kernel's own file.

use super::state::{Link, State};
use super::{EBUSY, EEXIST, EINVAL, ENOENT, ENOTEMPTY, error};
use std::io;
use std::path::PathBuf;
use storage::lio::kernel::{Backing, Kind};

fn folders<'a>(names: impl IntoIterator<Item = &'a String>, fixed: &[&str]) -> Vec<(String, Kind)> {
    let names = names.into_iter().cloned().chain(fixed.iter().map(|name| (*name).to_owned()));
    names.map(|name| (name, Kind::Folder)).collect()
}

fn with_link(link: &Link) -> Vec<(String, Kind)> {
    let mut found = vec![("statistics".to_owned(), Kind::Folder), ("alua_tg_pt_gp".to_owned(), Kind::File)];
    found.extend(link.iter().map(|(name, _)| (name.clone(), Kind::Link)));
    found
}

pub fn list(state: &mut State, path: &[&str]) -> io::Result<Vec<(String, Kind)>> {
    let gone = || error(ENOENT);
    Ok(match path {
        [] => {
            let mut found = folders([], if state.fabric { &["core", "iscsi"] } else { &["core"] });
            found.push(("version".to_owned(), Kind::File));
            found
        }
        ["core"] => folders(&state.adapters, &["alua"]),
        ["core", adapter] => {
            let prefix = format!("core/{adapter}/");
            let names: Vec<String> =
                state.stores.keys().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect();
            folders(&names, &[])
        }
        ["iscsi"] if state.fabric => folders(state.targets.keys(), &["discovery_auth"]),
        ["iscsi", "discovery_auth"] => Vec::new(),
        ["iscsi", target] => folders(state.targets.get(*target).ok_or_else(gone)?.keys(), &["fabric_statistics", "param"]),
        ["iscsi", _, "fabric_statistics"] => folders([], &["iscsi_instance", "iscsi_sess_err"]),
        ["iscsi", _, "param"] => Vec::new(),
        ["iscsi", target, group] => {
            state.group(target, group)?;
            folders([], &["acls", "attrib", "auth", "fabric_statistics", "lun", "np", "param"])
        }
        ["iscsi", target, group, "lun"] => folders(state.group(target, group)?.units.keys(), &[]),
        ["iscsi", target, group, "acls"] => folders(state.group(target, group)?.acls.keys(), &[]),
        ["iscsi", target, group, "np"] => folders(&state.group(target, group)?.portals, &[]),
        ["iscsi", target, group, "lun", unit] => with_link(state.group(target, group)?.units.get(*unit).ok_or_else(gone)?),
        ["iscsi", target, group, "acls", name] => {
            let acl = state.group(target, group)?.acls.get(*name).ok_or_else(gone)?;
            folders(acl.units.keys(), &["attrib", "auth", "param", "fabric_statistics"])
        }
        ["iscsi", target, group, "acls", name, unit] => {
            let acl = state.group(target, group)?.acls.get(*name).ok_or_else(gone)?;
            with_link(acl.units.get(*unit).ok_or_else(gone)?)
        }
        _ => return Err(gone()),
    })
}

fn info_of_store(state: &State, path: &str) -> io::Result<String> {
    let store = state.stores.get(path).ok_or_else(|| error(ENOENT))?;
    let Some(file) = store.path.as_ref() else {
        return Ok("Status: DEACTIVATED  Max Queue Depth: 0  SectorSize: 0  HwMaxSectors: 0\n".into());
    };
    let status = "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 16384\n        ";
    Ok(match state.files.get(file) {
        Some(Backing::Device(object)) => {
            let (major, minor) = object.0.trim_start_matches("block ").split_once(':').unwrap();
            let file = file.display();
            format!(
                "{status}iBlock device: x  UDEV PATH: {file}  readonly: 0\n        Major: {major} Minor: {minor}  CLAIMED: IBLOCK\n"
            )
        }
        _ => format!("{status}TCM FILEIO ID: 0        File: {}  Size: 4096  Mode: O_DSYNC Async: 0\n", file.display()),
    })
}

fn info_of_acl(state: &State, target: &str, name: &str) -> String {
    let Some(newest) = state.sessions.iter().rev().find(|one| one.target == target && one.who == name && !one.dynamic) else {
        return format!("No active iSCSI Session for Initiator Endpoint: {name}\n");
    };
    format!(
        "InitiatorName: {name}\nInitiatorAlias: {}\nLIO Session ID: {}   ISID: 0x80 00 00 00 00 01  TSIH: 1  SessionType: Normal\n\
         Session State: TARG_SESS_STATE_LOGGED_IN\nCID: 1  Connection State: TARG_CONN_STATE_LOGGED_IN\n   Address {} TCP  StatSN: 0x1\n",
        newest.alias,
        newest.number,
        newest.connection.remote.ip()
    )
}

pub fn read(state: &mut State, path: &[&str]) -> io::Result<String> {
    let gone = || error(ENOENT);
    let one = |value: bool| if value { "1\n".to_owned() } else { "0\n".to_owned() };
    Ok(match path {
        ["core", adapter, store, rest @ ..] => {
            let path = format!("core/{adapter}/{store}");
            let at = state.stores.get(&path).ok_or_else(gone)?;
            match rest {
                ["enable"] => one(at.enabled),
                ["info"] => info_of_store(state, &path)?,
                ["wwn", "vpd_unit_serial"] => format!("T10 VPD Unit Serial Number: {}\n", at.serial),
                ["statistics", "scsi_lu", "num_cmds"] => format!("{}\n", at.commands),
                _ => return Err(gone()),
            }
        }
        ["iscsi", target, "fabric_statistics", "iscsi_instance", "sessions"] => {
            format!("{}\n", state.sessions.iter().filter(|session| session.target == *target).count())
        }
        ["iscsi", target, _, "dynamic_sessions"] => {
            let dynamic = state.sessions.iter().filter(|session| session.target == *target && session.dynamic);
            dynamic.map(|session| format!("{}\n\0", session.who)).collect()
        }
        ["iscsi", target, _, "acls", name, "info"] => info_of_acl(state, target, name),
        ["iscsi", target, group, rest @ ..] => {
            let at = state.group(target, group)?;
            match rest {
                ["enable"] => one(at.enabled),
                ["auth", "userid"] => format!("{}\n", at.user),
                ["auth", "password"] => format!("{}\n", at.secret),
                ["attrib", name] => format!("{}\n", at.attributes.get(*name).ok_or_else(gone)?),
                ["acls", name, of, attribute] => {
                    let acl = at.acls.get(*name).ok_or_else(gone)?;
                    match (*of, *attribute) {
                        ("auth", "userid") => format!("{}\n", acl.user),
                        ("auth", "password") => format!("{}\n", acl.secret),
                        ("attrib", "authentication") => format!("{}\n", acl.authentication),
                        (_, "write_protect") => one(acl.read_only),
                        _ => return Err(gone()),
                    }
                }
                _ => return Err(gone()),
            }
        }
        _ => return Err(gone()),
    })
}

/// True if a portal group serves this backstore.
fn exported(state: &State, store: &str) -> bool {
    let units = state.targets.values().flat_map(|groups| groups.values()).flat_map(|group| group.units.values());
    units.flatten().any(|(_, to)| to == store)
}

pub fn write(state: &mut State, path: &[&str], text: &str) -> io::Result<()> {
    let gone = || error(ENOENT);
    match path {
        ["core", adapter, name, rest @ ..] => {
            let path = format!("core/{adapter}/{name}");
            let busy = exported(state, &path);
            let files = state.files.clone();
            let store = state.stores.get_mut(&path).ok_or_else(gone)?;
            match rest {
                ["control"] => store.control = text.to_owned(),
                ["enable"] => {
                    let control = store.control.clone();
                    let value = |key: &str| control.split(',').find_map(|pair| pair.strip_prefix(key)).map(str::to_owned);
                    let file = value("fd_dev_name=").or_else(|| value("udev_path=")).map(PathBuf::from);
                    let sized = adapter.starts_with("iblock") || value("fd_dev_size=").is_some();
                    let there = file.as_ref().is_some_and(|file| files.contains_key(file));
                    if text != "1" || store.enabled || !sized || !there {
                        return Err(error(EINVAL));
                    }
                    (store.path, store.enabled) = (file, true);
                }
                ["wwn", "vpd_unit_serial"] if busy => return Err(error(EINVAL)),
                ["wwn", "vpd_unit_serial"] => store.serial = text.to_owned(),
                _ => return Err(gone()),
            }
        }
        ["iscsi", target, group, rest @ ..] => {
            let at = state.group(target, group)?;
            match rest {
                ["attrib", name] => {
                    let (name, value) = ((*name).to_owned(), text.to_owned());
                    if !["0", "1"].contains(&text) || !at.attributes.contains_key(&name) {
                        return Err(error(EINVAL));
                    }
                    if name == "generate_node_acls" && text == "1" {
                        at.attributes.insert("cache_dynamic_acls".into(), "1".into());
                    }
                    at.attributes.insert(name, value);
                }
                ["auth", "userid"] => at.user = text.to_owned(),
                ["auth", "password"] => at.secret = text.to_owned(),
                ["acls", name, of, attribute] => {
                    let acl = at.acls.get_mut(*name).ok_or_else(gone)?;
                    match (*of, *attribute) {
                        ("auth", "userid") => acl.user = text.to_owned(),
                        ("auth", "password") => acl.secret = text.to_owned(),
                        ("attrib", "authentication") => acl.authentication = text.to_owned(),
                        _ => return Err(gone()),
                    }
                }
                _ => return Err(gone()),
            }
        }
        _ => return Err(gone()),
    }
    Ok(())
}

/// True if an admission's mapped unit leads to this unit.
fn mapped(state: &mut State, target: &str, group: &str, unit: &str) -> bool {
    let leads = format!("iscsi/{target}/{group}/lun/{unit}");
    let Ok(group) = state.group(target, group) else { return false };
    group.acls.values().flat_map(|acl| acl.units.values()).flatten().any(|(_, to)| *to == leads)
}

fn removed(there: bool) -> io::Result<()> {
    if there { Ok(()) } else { Err(error(ENOENT)) }
}

pub fn remove(state: &mut State, path: &[&str]) -> io::Result<()> {
    match path {
        ["core", adapter, store] => {
            let path = format!("core/{adapter}/{store}");
            if exported(state, &path) { Err(error(EBUSY)) } else { removed(state.stores.remove(&path).is_some()) }
        }
        ["iscsi", target] => match state.targets.get(*target) {
            Some(groups) if !groups.is_empty() => Err(error(ENOTEMPTY)),
            _ => removed(state.targets.remove(*target).is_some()),
        },
        ["iscsi", target, group] => {
            let at = state.group(target, group)?;
            if !(at.units.is_empty() && at.acls.is_empty() && at.portals.is_empty()) {
                return Err(error(ENOTEMPTY));
            }
            state.sessions.retain(|session| session.target != *target);
            removed(state.targets.get_mut(*target).is_some_and(|groups| groups.remove(*group).is_some()))
        }
        ["iscsi", target, group, "lun", unit] => {
            if mapped(state, target, group, unit) {
                return Err(error(EBUSY));
            }
            let units = &mut state.group(target, group)?.units;
            if matches!(units.get(*unit), Some(Some(_))) { Err(error(ENOTEMPTY)) } else { removed(units.remove(*unit).is_some()) }
        }
        ["iscsi", target, group, "np", portal] => removed(state.group(target, group)?.portals.remove(*portal)),
        ["iscsi", target, group, "acls", name, unit] => {
            let acl = state.group(target, group)?.acls.get_mut(*name).ok_or_else(|| error(ENOENT))?;
            if matches!(acl.units.get(*unit), Some(Some(_))) {
                Err(error(ENOTEMPTY))
            } else {
                removed(acl.units.remove(*unit).is_some())
            }
        }
        _ => Err(error(ENOENT)),
    }
}

/// Where a link stands, and its name.
fn place<'a>(state: &'a mut State, path: &[&str]) -> io::Result<(&'a mut Link, String)> {
    let gone = || error(ENOENT);
    let (link, name) = match path {
        ["iscsi", target, group, "lun", unit, name] => (state.group(target, group)?.units.get_mut(*unit), name),
        ["iscsi", target, group, "acls", acl, unit, name] => {
            (state.group(target, group)?.acls.get_mut(*acl).ok_or_else(gone)?.units.get_mut(*unit), name)
        }
        _ => return Err(gone()),
    };
    Ok((link.ok_or_else(gone)?, (*name).to_owned()))
}

pub fn link(state: &mut State, to: &[&str], path: &[&str]) -> io::Result<()> {
    let leads = to.join("/");
    let there = match to {
        ["core", ..] => path.get(3) == Some(&"lun") && state.stores.get(&leads).is_some_and(|store| store.enabled),
        ["iscsi", target, group, "lun", unit] => {
            path.get(1) == Some(target)
                && path.get(2) == Some(group)
                && matches!(state.group(target, group)?.units.get(*unit), Some(Some(_)))
        }
        _ => false,
    };
    if !there {
        return Err(error(EINVAL));
    }
    let (link, name) = place(state, path)?;
    if link.is_some() {
        return Err(error(EEXIST));
    }
    *link = Some((name, leads));
    Ok(())
}

pub fn unlink(state: &mut State, path: &[&str]) -> io::Result<()> {
    let (link, name) = place(state, path)?;
    if link.as_ref().is_none_or(|(known, _)| *known != name) {
        return Err(error(ENOENT));
    }
    *link = None;
    Ok(())
}

pub fn follow(state: &mut State, path: &[&str]) -> io::Result<String> {
    let (link, name) = place(state, path)?;
    link.as_ref().filter(|(known, _)| *known == name).map(|(_, to)| to.clone()).ok_or_else(|| error(ENOENT))
}
