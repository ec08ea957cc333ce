//! A profile holds what every server needs (F0030), agrees with its image (F0023), and can be asked whether it answers (F0024).

use super::{Desk, field, item};
use crate::codes;
use crate::complaint::shortened;
use crate::documents::Kind;
use crate::limits::{CHECK_DEADLINE_MAX, KDUMP_BEGINS_MAX, KDUMP_LASTS_MAX, PLUGIN_EVERY_MAX, PLUGIN_EVERY_MIN};
use crate::places::Word;
use crate::read::Step;
use std::collections::BTreeSet;
use std::net::IpAddr;
use vocabulary::boot::BootMethod;
use vocabulary::check::Check;
use vocabulary::estate::{Image, Server, ServiceDown};
use vocabulary::lack::PROVISIONING;
use vocabulary::storage::Access;
use vocabulary::{ServerId, Span};

pub fn check(desk: &mut Desk<'_>) {
    let estate = desk.estate;
    for (name, image) in &estate.images {
        image_files(desk, name.as_str(), image);
    }
    for (name, server) in &estate.servers {
        image_of(desk, name, server);
        checks_of(desk, name, server);
        kdump_of(desk, name, server);
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

/// A restart in place rests on two vantage points: the controller is one, and each switch agent that says so another.
fn restarted_by(desk: &mut Desk<'_>, name: &ServerId, server: &Server) {
    if server.service_down == ServiceDown::Hold || desk.estate.switches.values().any(|switch| switch.vantage) {
        return;
    }
    let message = format!("{name} is never restarted by itself: the controller is its only vantage point, and two must agree");
    let remedy = "write `vantage: true` in a switch's document, if its agent is one, or leave `service_down` out";
    desk.tell(Kind::Server, name.as_str(), &[field("service_down")], Word::warning(codes::CHECKS, message, remedy));
}

/// A server that is waited for without end is never failed over.
fn kdump_of(desk: &mut Desk<'_>, name: &ServerId, server: &Server) {
    let Some(kdump) = server.kdump else { return };
    for (key, value, most) in
        [("begins_within", kdump.begins_within, KDUMP_BEGINS_MAX), ("lasts_at_most", kdump.lasts_at_most, KDUMP_LASTS_MAX)]
    {
        if value > most || value == Span(0) {
            let word =
                Word::error(codes::RANGE, format!("{key} is {value}"), format!("write a time of {most} at most, and not 0"));
            desk.tell(Kind::Server, name.as_str(), &[field("kdump"), field(key)], word);
        }
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
        check_of(desk, name, index, check, &own);
    }
    let alone = !server.checks.is_empty() && server.checks.iter().all(|check| matches!(check, Check::Exec(_)));
    restarted_by(desk, name, server);
    if alone {
        let message = format!("{name} is checked by plugins alone, and those cannot tell a dead machine from a dead service");
        let remedy = "add a check that a living machine answers, such as `- tcp: {address: 10.20.0.11:22}`";
        desk.tell(Kind::Server, name.as_str(), &[field("checks")], Word::error(codes::CHECKS, message, remedy));
    }
}

fn check_of(desk: &mut Desk<'_>, name: &ServerId, index: usize, check: &Check, own: &BTreeSet<IpAddr>) {
    let (kind, key, asked) = match check {
        Check::Tcp(tcp) => ("tcp", "address", Ok(Some(tcp.address.ip()))),
        Check::Http(http) => ("http", "url", host(&http.url).map(Some)),
        Check::Tls(tls) => ("tls", "address", Ok(Some(tls.address.ip()))),
        // whom it asks is the plugin's own affair
        Check::Exec(_) => ("exec", "plugin", Ok(None)),
    };
    let path = [field("checks"), Step::Item(index), field(kind), field(key)];
    let above = path.get(..3).unwrap_or_default();
    let mut tell = |path: &[Step], word| desk.tell(Kind::Server, name.as_str(), path, word);
    match asked {
        Err(why) => {
            let message = format!("this address cannot be asked: {why}");
            tell(&path, Word::error(codes::CHECKS, message, "write http://ADDRESS[:PORT]/PATH, or the same with https"));
        }
        Ok(Some(address)) if !own.contains(&address) => {
            let message = format!("this check asks {address}, which is no address of {name}");
            let remedy = "ask one of the server's own addresses, unless this one really follows the server";
            tell(&path, Word::warning(codes::CHECKS, message, remedy));
        }
        Ok(_) => {}
    }
    let deadline = check.deadline();
    if deadline.0 == 0 {
        let remedy = "write a deadline, such as 1s";
        tell(above, Word::error(codes::CHECKS, "a check with no time to answer always fails", remedy));
    }
    if deadline > CHECK_DEADLINE_MAX {
        let message = format!("a check may take {CHECK_DEADLINE_MAX} at most, this one takes {deadline}");
        tell(above, Word::error(codes::CHECKS, message, "write a shorter deadline; a plugin that still runs then is ended"));
    }
    if let Check::Exec(exec) = check {
        if !is_file_name(&exec.plugin) {
            let message = "a plugin is a file name in a folder that its agent knows, and nothing else";
            tell(&path, Word::error(codes::CHECKS, message, "write it without its folder, such as `check_pgsql`"));
        }
        if exec.every < PLUGIN_EVERY_MIN || exec.every > PLUGIN_EVERY_MAX {
            let message =
                format!("a plugin is run every {PLUGIN_EVERY_MIN} to {PLUGIN_EVERY_MAX}, this one every {}", exec.every);
            tell(above, Word::error(codes::CHECKS, message, "write another `every`, such as 30s"));
        }
    }
    if let Check::Tls(tls) = check
        && let Some(asked) = tls.name.as_deref().filter(|name| !is_host_name(name))
    {
        let message = format!("`{}` is no name that a server can be asked by", shortened(asked));
        tell(above, Word::error(codes::CHECKS, message, "write a whole name, such as web1.example.com: no `*`, no port"));
    }
}

/// A name as DNS has it (RFC 1123, 2.1), with underscores.
fn is_host_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}

/// The host of a check's URL. A name would need a resolver, which may be one of the servers.
fn host(url: &str) -> Result<IpAddr, &'static str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or("it begins with neither http:// nor https://")?;
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
