//! VLANs with a meaning for Understudy are used for nothing else (F0016): a fenced machine must not meet a server there, and a
//! server must not lose its VLAN to a quarantine.

use super::{Desk, field, item};
use crate::codes;
use crate::documents::Kind;
use crate::places::Word;
use vocabulary::VlanId;

const REMEDY: &str = "choose another VLAN; quarantine, parking and patrol each need one that nothing else uses";

pub fn check(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    let vlans = &estate.settings.vlans;
    let special = [("quarantine", vlans.quarantine), ("parking", vlans.parking), ("patrol", vlans.patrol)];
    let meaning = |vlan: VlanId| special.iter().find(|(_, number)| *number == vlan).map(|(name, _)| *name);
    for (index, (name, vlan)) in special.iter().enumerate() {
        if let Some((other, _)) = special.iter().take(index).find(|(_, number)| number == vlan) {
            let message = format!("VLAN {vlan} is the {other} VLAN already");
            desk.tell_settings(&[field("vlans"), field(name)], Word::error(codes::VLAN, message, REMEDY));
        }
    }
    for (name, server) in &estate.servers {
        for (index, network) in server.networks.iter().enumerate() {
            if let Some(use_) = meaning(network.vlan) {
                let message = format!("network {} of {name} uses VLAN {}, the {use_} VLAN", network.role, network.vlan);
                let path = item("networks", index, "vlan");
                desk.tell(Kind::Server, name.as_str(), &path, Word::error(codes::VLAN, message, REMEDY));
            }
            let path = item("networks", index, "tagged");
            for vlan in &network.tagged {
                if let Some(use_) = meaning(*vlan) {
                    let message = format!("network {} of {name} carries VLAN {vlan}, the {use_} VLAN", network.role);
                    desk.tell(Kind::Server, name.as_str(), &path, Word::error(codes::VLAN, message, REMEDY));
                }
            }
            if network.tagged.contains(&network.vlan) {
                let message =
                    format!("network {} of {name} carries VLAN {} both tagged and untagged", network.role, network.vlan);
                let word = Word::error(codes::VLAN, message, "leave it out of `tagged:`");
                desk.tell(Kind::Server, name.as_str(), &path, word);
            }
        }
    }
    for (name, storage) in &estate.storages {
        if let Some(use_) = meaning(storage.vlan) {
            let message = format!("storage {name} is reached in VLAN {}, the {use_} VLAN", storage.vlan);
            desk.tell(Kind::Storage, name.as_str(), &[field("vlan")], Word::error(codes::VLAN, message, REMEDY));
        }
    }
    for (name, service) in &estate.boot_services {
        if service.vlans.contains(&vlans.quarantine) {
            let message = format!("boot service {name} serves VLAN {}, the quarantine VLAN", vlans.quarantine);
            let word = Word::error(codes::VLAN, message, "leave it out: a fenced machine must find nobody who boots it");
            desk.tell(Kind::Boot, name.as_str(), &[field("vlans")], word);
        }
    }
}
