//! A profile holds what every server needs (F0030), agrees with its image (F0023), and can be asked whether it answers (F0024).

use super::{Desk, field, item};
use crate::codes;
use crate::documents::Kind;
use crate::places::Word;
use crate::read::Step;
use std::collections::BTreeSet;
use std::net::IpAddr;
use vocabulary::ServerId;
use vocabulary::boot::BootMethod;
use vocabulary::check::Check;
use vocabulary::estate::{Image, Server};
use vocabulary::lack::PROVISIONING;
use vocabulary::storage::Access;

pub fn check(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    for (name, image) in &estate.images {
        image_files(desk, name.as_str(), image);
    }
    for (name, server) in &estate.servers {
        image_of(desk, name, server);
        checks_of(desk, name, server);
        networks_of(desk, name, server);
        volumes_of(desk, name, server);
    }
}

fn image_files(desk: &mut Desk<'_>, name: &str, image: &Image) {
    if !desk.sound(Kind::Image, name) {
        return;
    }
    if image.firmware.is_empty() {
        let word = Word::error(
            codes::IMAGE,
            format!("image {name} boots with no firmware"),
            "write bios, uefi or both under `firmware:`",
        );
        desk.tell(Kind::Image, name, &[field("firmware")], word);
    }
    for (key, file) in [("kernel", &image.kernel), ("initrd", &image.initrd)] {
        let message = match (image.method, file) {
            (BootMethod::Kernel, None) => format!("image {name} boots by `kernel` and names no {key}"),
            (BootMethod::San, Some(_)) => format!("image {name} boots by `san`, which needs no {key}"),
            (BootMethod::Kernel, Some(file)) if !is_file_name(file) => {
                format!("`{}` is not a plain file name", crate::complaint::shortened(file))
            }
            _ => continue,
        };
        let remedy = match image.method {
            BootMethod::Kernel => format!("write the file's name in the boot service's folder, as in `{key}: vmlinuz`"),
            BootMethod::San => format!("remove `{key}:`, or write `method: kernel`"),
        };
        desk.tell(Kind::Image, name, &[field(key)], Word::error(codes::IMAGE, message, remedy));
    }
}

/// A file name that can stand in a boot address as it is, and that leaves no folder.
fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    !name.is_empty() && name.bytes().all(plain) && !name.starts_with('.')
}

fn image_of(desk: &mut Desk<'_>, name: &ServerId, server: &Server) {
    let Some(image) = desk.estate.images.get(&server.boot.image) else { return };
    let image_name = &server.boot.image;
    if image.method != server.boot.method {
        let words = |method| if method == BootMethod::San { "san" } else { "kernel" };
        let message =
            format!("{name} boots by `{}`, its image {image_name} by `{}`", words(server.boot.method), words(image.method));
        let path = [field("boot"), field("method")];
        let word = Word::error(codes::IMAGE, message, "write the method of the image, or name another image");
        desk.tell(Kind::Server, name.as_str(), &path, word);
    }
    if let Some(mode) = server.requires.firmware
        && !image.firmware.contains(&mode)
        && desk.sound(Kind::Image, image_name.as_str())
    {
        let message = format!("{name} requires a firmware mode with which its image {image_name} does not boot");
        let path = [field("requires"), field("firmware")];
        let word = Word::error(codes::IMAGE, message, "require a mode that the image names under `firmware:`");
        desk.tell(Kind::Server, name.as_str(), &path, word);
    }
}

fn checks_of(desk: &mut Desk<'_>, name: &ServerId, server: &Server) {
    let own: BTreeSet<IpAddr> = server.networks.iter().filter_map(|network| network.address).map(|cidr| cidr.address).collect();
    if server.checks.is_empty() && desk.sound(Kind::Server, name.as_str()) {
        let message = format!("{name} has no health check: nobody could tell that it is back");
        let remedy = "write at least one, such as `- tcp: {address: 10.20.0.11:22}` under `checks:`";
        desk.tell(Kind::Server, name.as_str(), &[field("checks")], Word::error(codes::CHECKS, message, remedy));
    }
    for (index, check) in server.checks.iter().enumerate() {
        let (path, asked, deadline) = match check {
            Check::Tcp(tcp) => {
                ([field("checks"), Step::Item(index), field("tcp"), field("address")], Ok(tcp.address.ip()), tcp.deadline)
            }
            Check::Http(http) => {
                ([field("checks"), Step::Item(index), field("http"), field("url")], host(&http.url), http.deadline)
            }
        };
        match asked {
            Err(why) => {
                let word = Word::error(
                    codes::CHECKS,
                    format!("this address cannot be asked: {why}"),
                    "write http://ADDRESS[:PORT]/PATH",
                );
                desk.tell(Kind::Server, name.as_str(), &path, word);
            }
            Ok(address) if !own.contains(&address) => {
                let message = format!("this check asks {address}, which is no address of {name}");
                let remedy = "ask one of the server's own addresses, unless this one really follows the server";
                desk.tell(Kind::Server, name.as_str(), &path, Word::warning(codes::CHECKS, message, remedy));
            }
            Ok(_) => {}
        }
        if deadline.0 == 0 {
            let word = Word::error(codes::CHECKS, "a check with no time to answer always fails", "write a deadline, such as 1s");
            desk.tell(Kind::Server, name.as_str(), path.get(..3).unwrap_or_default(), word);
        }
    }
}

/// The host of a check's URL. A name would need a resolver, which may be one of the servers.
fn host(url: &str) -> Result<IpAddr, &'static str> {
    let rest = url.strip_prefix("http://").ok_or("it does not begin with http://")?;
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it contains white space");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("it contains a user");
    }
    if let Ok(address) = authority.parse::<std::net::SocketAddr>() {
        return Ok(address.ip());
    }
    let bare = authority.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(authority);
    bare.parse().map_err(|_| "its host is not an IP address")
}

fn networks_of(desk: &mut Desk<'_>, name: &ServerId, server: &Server) {
    let mut seen = BTreeSet::new();
    for (index, network) in server.networks.iter().enumerate() {
        if !seen.insert(&network.role) {
            let message = format!("{name} has two networks of role {}", network.role);
            let word =
                Word::error(codes::PROFILE, message, "give each network a role of its own; further VLANs go under `tagged:`");
            desk.tell(Kind::Server, name.as_str(), &item("networks", index, "role"), word);
        }
    }
    if !desk.sound(Kind::Server, name.as_str()) {
        return;
    }
    let provisioning = server.networks.iter().find(|network| network.role.as_str() == PROVISIONING);
    let word = |message: String, remedy: &str| Word::error(codes::PROFILE, message, remedy);
    match provisioning {
        None => {
            let message = format!("{name} has no network of role {PROVISIONING}: no boot service could answer it");
            let remedy = "write a network of that role, with the VLAN of a boot service and an address";
            desk.tell(Kind::Server, name.as_str(), &[field("networks")], word(message, remedy));
        }
        Some(network) if network.address.is_none() => {
            let message = format!("{name}'s {PROVISIONING} network has no address: no boot service could offer one");
            let index = server.networks.iter().position(|it| std::ptr::eq(it, network)).unwrap_or(0);
            let path = [field("networks"), Step::Item(index)];
            desk.tell(Kind::Server, name.as_str(), &path, word(message, "write the server's address there, as in 10.10.0.11/24"));
        }
        Some(_) => {}
    }
}

fn volumes_of(desk: &mut Desk<'_>, name: &ServerId, server: &Server) {
    let estate = desk.estate;
    let mut seen = BTreeSet::new();
    for (index, volume) in server.volumes.iter().enumerate() {
        if !seen.insert(&volume.name) {
            let message = format!("{name} has two volumes called {}", volume.name);
            let word = Word::error(codes::PROFILE, message, "give each volume a name of its own within the server");
            desk.tell(Kind::Server, name.as_str(), &item("volumes", index, "name"), word);
        }
        let Some(storage) = estate.storages.get(&volume.storage) else { continue };
        let reached = server.networks.iter().any(|network| network.vlans().contains(&storage.vlan));
        if !reached && desk.sound(Kind::Server, name.as_str()) {
            let message =
                format!("{name} has no network in VLAN {}, in which storage {} is reached", storage.vlan, volume.storage);
            let word = Word::error(codes::PROFILE, message, format!("add a network with `vlan: {}`", storage.vlan));
            desk.tell(Kind::Server, name.as_str(), &item("volumes", index, "storage"), word);
        }
    }
    if !desk.sound(Kind::Server, name.as_str()) {
        return;
    }
    match server.volumes.first() {
        None => {
            let message = format!("{name} has no volume: there is nothing that it could be booted from on another machine");
            let word = Word::error(codes::PROFILE, message, "write its root volume first under `volumes:`");
            desk.tell(Kind::Server, name.as_str(), &[field("volumes")], word);
        }
        Some(root) if root.access != Access::Exclusive => {
            let message = format!("{name}'s first volume, its root, is not exclusive");
            let word = Word::error(codes::PROFILE, message, "write `access: exclusive` for the root volume");
            desk.tell(Kind::Server, name.as_str(), &item("volumes", 0, "access"), word);
        }
        Some(_) => {}
    }
}
