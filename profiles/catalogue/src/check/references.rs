//! Everything that is named exists (F0011), and groups do not wait for each other in a circle (F0025).

use super::{Desk, field, item};
use crate::codes;
use crate::documents::Kind;
use crate::places::Word;
use crate::read::Step;
use std::collections::BTreeMap;
use vocabulary::GroupId;

pub fn check(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    for server in &estate.settings.depends_on {
        if !desk.exists(Kind::Server, server.as_str()) {
            desk.tell_settings(&[field("depends_on")], dangling(Kind::Server, server.as_str()));
        }
    }
    for (name, group) in &estate.groups {
        need(desk, (Kind::Group, name.as_str()), &[field("tier")], (Kind::Tier, group.tier.as_str()));
        for (index, other) in group.after.iter().enumerate() {
            need(desk, (Kind::Group, name.as_str()), &[field("after"), Step::Item(index)], (Kind::Group, other.as_str()));
        }
    }
    for (name, pool) in &estate.pools {
        for (index, machine) in pool.machines.iter().enumerate() {
            let path = [field("machines"), Step::Item(index)];
            need(desk, (Kind::Pool, name.as_str()), &path, (Kind::Machine, machine.as_str()));
        }
    }
    for (name, agent) in &estate.bmc_agents {
        need(desk, (Kind::BmcAgent, name.as_str()), &[field("site")], (Kind::Site, agent.site.as_str()));
    }
    for (name, switch) in &estate.switches {
        need(desk, (Kind::Switch, name.as_str()), &[field("site")], (Kind::Site, switch.site.as_str()));
    }
    for (name, storage) in &estate.storages {
        need(desk, (Kind::Storage, name.as_str()), &[field("site")], (Kind::Site, storage.site.as_str()));
    }
    for (name, service) in &estate.boot_services {
        need(desk, (Kind::Boot, name.as_str()), &[field("site")], (Kind::Site, service.site.as_str()));
    }
    for (name, pdu) in &estate.pdus {
        need(desk, (Kind::Pdu, name.as_str()), &[field("site")], (Kind::Site, pdu.site.as_str()));
    }
    for (name, machine) in &estate.machines {
        let this = (Kind::Machine, name.as_str());
        need(desk, this, &[field("site")], (Kind::Site, machine.site.as_str()));
        if let Some(agent) = &machine.bmc.agent {
            need(desk, this, &[field("bmc"), field("agent")], (Kind::BmcAgent, agent.as_str()));
        }
        for (index, nic) in machine.nics.iter().enumerate() {
            need(desk, this, &item("nics", index, "switch"), (Kind::Switch, nic.switch.as_str()));
        }
        for (index, outlet) in machine.outlets.iter().enumerate() {
            need(desk, this, &item("outlets", index, "pdu"), (Kind::Pdu, outlet.pdu.as_str()));
        }
    }
    servers(desk);
    circles(desk);
}

fn servers(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    for (name, server) in &estate.servers {
        let this = (Kind::Server, name.as_str());
        need(desk, this, &[field("group")], (Kind::Group, server.group.as_str()));
        need(desk, this, &[field("home")], (Kind::Machine, server.home.as_str()));
        need(desk, this, &[field("pool")], (Kind::Pool, server.pool.as_str()));
        need(desk, this, &[field("boot"), field("image")], (Kind::Image, server.boot.image.as_str()));
        for (index, other) in server.requires.apart_from.iter().enumerate() {
            let path = [field("requires"), field("apart_from"), Step::Item(index)];
            need(desk, this, &path, (Kind::Server, other.as_str()));
        }
        for (index, volume) in server.volumes.iter().enumerate() {
            need(desk, this, &item("volumes", index, "storage"), (Kind::Storage, volume.storage.as_str()));
            let Some(storage) = estate.storages.get(&volume.storage) else { continue };
            if !storage.volumes.contains_key(&volume.volume) && desk.sound(Kind::Storage, volume.storage.as_str()) {
                let message = format!("storage {} has no volume {}", volume.storage, volume.volume);
                let remedy =
                    format!("write {} under `volumes:` of storage {}, or name one that is there", volume.volume, volume.storage);
                desk.tell(this.0, this.1, &item("volumes", index, "volume"), Word::error(codes::DANGLING, message, remedy));
            }
        }
    }
}

fn need(desk: &mut Desk<'_>, from: (Kind, &str), path: &[Step], to: (Kind, &str)) {
    if !desk.exists(to.0, to.1) {
        desk.tell(from.0, from.1, path, dangling(to.0, to.1));
    }
}

fn dangling(kind: Kind, name: &str) -> Word {
    let message = format!("there is no {kind} {name}");
    Word::error(codes::DANGLING, message, format!("write a document `{kind}: {name}`, or name one that is there"))
}

/// Tells each circle of `after:` once, at its alphabetically first group.
fn circles(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    // 0: not seen, 1: on the way, 2: done
    let mut colour: BTreeMap<&GroupId, u8> = BTreeMap::new();
    for start in estate.groups.keys() {
        let mut way: Vec<(&GroupId, usize)> = vec![(start, 0)];
        if colour.get(start).is_some_and(|seen| *seen > 0) {
            continue;
        }
        colour.insert(start, 1);
        while let Some((group, next)) = way.last_mut() {
            let after = estate.groups.get(*group).and_then(|document| document.after.get(*next));
            let Some((other, _)) = after.map(|id| estate.groups.get_key_value(id)).unwrap_or(None) else {
                let more = after.is_some();
                *next += 1;
                if !more {
                    colour.insert(*group, 2);
                    way.pop();
                }
                continue;
            };
            *next += 1;
            match colour.get(other).copied().unwrap_or(0) {
                0 => {
                    colour.insert(other, 1);
                    way.push((other, 0));
                }
                1 => tell_circle(desk, &way, other),
                _ => {}
            }
        }
    }
}

fn tell_circle(desk: &mut Desk<'_>, way: &[(&GroupId, usize)], back_to: &GroupId) {
    let members: Vec<&str> = way.iter().map(|(group, _)| group.as_str()).skip_while(|name| *name != back_to.as_str()).collect();
    let Some(first) = members.first() else { return };
    let message = format!("groups wait for each other in a circle: {} -> {first}", members.join(" -> "));
    let word = Word::error(codes::CYCLE, message, "take one of these out of an `after:`, so that a cold start has a beginning");
    desk.tell(Kind::Group, first, &[field("after")], word);
}
