//! The inside of a lab before anything runs in it: private folders, two networks, the services' addresses.
//!
//! It must run as the first process of fresh namespaces; on a computer's own namespaces it would refuse to.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::agents::{SWITCH_LISTEN, SWITCH_VANTAGE};
use crate::children::Children;
use crate::limits::{LINK_QUEUE_DATAGRAMS, OVS_SEND_BYTES};
use crate::names::{
    HALL, LINKS, PROVISIONING_IPV6, SWITCH_SIDE, UPLINKS, address_batch, hall_batch, switch_side_batch, uplink_batch,
};
use crate::packages::Packages;
use crate::sys::{Preparation, open_tap, prepare};

/// Why the inside could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InsideError {
    /// This is no fresh namespace.
    #[error("the supervisor must be the first process of its namespaces; start it with: understudy-lab up")]
    NotFirst,
    /// A step failed.
    #[error("{what}: {source}")]
    Step {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Taps cannot be made.
    #[error(
        "a tap interface cannot be made: {0}; the lab needs /dev/net/tun, open to its user: modprobe tun; chmod 0666 /dev/net/tun"
    )]
    Tap(io::Error),
}

fn step<T, E: Into<io::Error>>(what: impl Into<String>, result: Result<T, E>) -> Result<T, InsideError> {
    result.map_err(|source| InsideError::Step { what: what.into(), source: source.into() })
}

/// The folders that a lab has to itself.
const PRIVATE: [&str; 2] = ["/tmp", "/run"];

/// Those of the paths that a private folder would hide, the shorter ones first.
fn hidden(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<_> = paths
        .iter()
        .filter(|path| PRIVATE.iter().any(|private| path.starts_with(private) && path.as_path() != Path::new(private)))
        .cloned()
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Makes /tmp, /run and /proc the lab's own; these folders stay visible.
pub fn settle(visible: &[PathBuf]) -> Result<(), InsideError> {
    if std::process::id() != 1 {
        return Err(InsideError::NotFirst);
    }
    step("leave the computer's mounts", unshare(CloneFlags::CLONE_NEWNS))?;
    step(
        "make the lab's mounts private",
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>),
    )?;
    let kept: Vec<(PathBuf, File)> = hidden(visible)
        .into_iter()
        .map(|path| {
            let file = step(
                format!("open {}", path.display()),
                OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(&path),
            )?;
            Ok((path, file))
        })
        .collect::<Result<_, InsideError>>()?;
    for folder in PRIVATE {
        step(
            format!("mount the lab's own {folder}"),
            mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=1777")),
        )?;
    }
    for (path, file) in kept {
        step(format!("make {}", path.display()), fs::create_dir_all(&path))?;
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        step(
            format!("show {}", path.display()),
            mount(Some(from.as_str()), &path, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>),
        )?;
    }
    step("mount the lab's own /proc", mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>))?;
    for folder in [LINKS, "/run/netns", "/run/tgtd", "/run/lock"] {
        step(format!("make {folder}"), fs::create_dir_all(folder))?;
    }
    Ok(())
}

fn set(key: &str, value: &str) -> Result<(), InsideError> {
    step(format!("set {key}"), fs::write(Path::new("/proc/sys").join(key), value))
}

/// Makes the network namespace in which all QEMUs live. It has no address and no IPv6: nobody in it can answer for anybody.
pub fn make_hall() -> Result<OwnedFd, InsideError> {
    make_network(HALL, || {
        calm()?;
        set("net/unix/max_dgram_qlen", &LINK_QUEUE_DATAGRAMS.to_string())
    })
}

/// Makes the network namespace of the own side of a switch that is no machine: the agent beside it lives there, with the switch's addresses.
pub fn make_switch_side() -> Result<OwnedFd, InsideError> {
    make_network(SWITCH_SIDE, calm)
}

/// Makes a network namespace without IPv6 that can be entered at this path; `settings` are made in it.
fn make_network(
    path: &'static str,
    settings: impl FnOnce() -> Result<(), InsideError> + Send + 'static,
) -> Result<OwnedFd, InsideError> {
    let maker = thread::spawn(move || {
        step(format!("make {path}"), unshare(CloneFlags::CLONE_NEWNET))?;
        for key in ["all", "default"] {
            // a kernel without IPv6 has nothing to switch off
            if fs::exists(format!("/proc/sys/net/ipv6/conf/{key}")).unwrap_or(false) {
                set(&format!("net/ipv6/conf/{key}/disable_ipv6"), "1")?;
            }
        }
        settings()?;
        step(format!("name {path}"), File::create(path))?;
        let own = Some("/proc/thread-self/ns/net");
        step(format!("keep {path}"), mount(own, path, None::<&str>, MsFlags::MS_BIND, None::<&str>))
    });
    maker.join().unwrap_or_else(|_| step(format!("make {path}"), Err(io::Error::other("its thread died"))))?;
    step(format!("open {path}"), File::open(path)).map(OwnedFd::from)
}

/// Makes this thread's network one of a host that routes nothing, and whose addresses are answered for, and named as a sender's, on their own
/// interfaces alone. To be called before it has interfaces, which take what it says.
pub fn calm() -> Result<(), InsideError> {
    for (key, value) in [
        ("net/ipv4/conf/all/arp_ignore", "1"),
        ("net/ipv4/conf/default/arp_ignore", "1"),
        ("net/ipv4/conf/all/arp_announce", "2"),
        ("net/ipv4/conf/default/arp_announce", "2"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        ("net/ipv4/ip_forward", "0"),
    ] {
        set(key, value)?;
    }
    Ok(())
}

/// The cables between the services and the hall.
pub enum Cables {
    /// Taps for a switch that is a machine; they live as long as the descriptors, in the order of [`UPLINKS`].
    Taps(Vec<OwnedFd>),
    /// Pairs of interfaces, and the switch's own side.
    Pairs(OwnedFd),
}

/// `ip` or `ethtool`, in this network or the supervisor's own.
fn tool(packages: &Packages, places: &[&str], network: Option<&OwnedFd>) -> io::Result<Command> {
    let mut command = packages.command(places).map_err(io::Error::other)?;
    let network = network.map(OwnedFd::try_clone).transpose()?;
    prepare(&mut command, Preparation { network, ..Preparation::default() });
    Ok(command)
}

fn batch(packages: &Packages, children: &Children, network: Option<&OwnedFd>, lines: &str) -> io::Result<String> {
    children.output(tool(packages, &["sbin/ip", "bin/ip"], network)?.args(["-batch", "-"]), lines)
}

/// Cables a switch in user space, which gets frames as they are: nothing may be left for hardware to finish.
pub fn make_pairs(packages: &Packages, children: &Children, hall: &OwnedFd, machines: u8) -> Result<Cables, InsideError> {
    let side = make_switch_side()?;
    set("net/ipv4/tcp_wmem", &format!("4096 16384 {OVS_SEND_BYTES}"))?;
    let ip_of = |text: &'static str| text.split(':').next().unwrap_or(text);
    let steps = [
        ("cable the services to the hall", None, uplink_batch()),
        ("make the hall's taps", Some(hall), hall_batch(machines, SWITCH_VANTAGE.0)),
        ("give the switch its addresses", Some(&side), switch_side_batch(ip_of(SWITCH_LISTEN), SWITCH_VANTAGE)),
    ];
    for (what, network, lines) in steps {
        step(what, batch(packages, children, network, &lines))?;
    }
    let ends = UPLINKS.iter().filter(|uplink| uplink.vlan.is_some()).map(|uplink| (uplink.tap, None));
    for (device, network) in ends.chain([(SWITCH_VANTAGE.0, Some(&side))]) {
        let ethtool = tool(packages, &["sbin/ethtool"], network);
        let plain = ethtool.and_then(|mut command| children.output(command.args(["-K", device, "tx", "off"]), ""));
        step(format!("have {device} send whole frames"), plain)?;
    }
    Ok(Cables::Pairs(side))
}

/// Makes the taps of a switch that is a machine.
pub fn make_taps() -> Result<Cables, InsideError> {
    let taps = UPLINKS.iter().map(|uplink| open_tap(uplink.tap).map_err(InsideError::Tap)).collect::<Result<Vec<_>, _>>()?;
    Ok(Cables::Taps(taps))
}

/// Gives the services their addresses; their cables are there.
pub fn address_services(packages: &Packages, children: &Children, machines: u8) -> Result<(), InsideError> {
    let addresses = address_batch(machines);
    let (six, four): (Vec<&str>, Vec<&str>) = addresses.lines().partition(|line| line.starts_with("-6"));
    let ip = |lines: &[&str]| batch(packages, children, None, &(lines.join("\n").replace("-6 ", "") + "\n"));
    step("give the services their addresses", ip(&four))?;
    if let Err(error) = ip(&six) {
        let (tap, address) = PROVISIONING_IPV6;
        tracing::warn!("{tap} has no {address}: {error}; without it every network boot waits 15 s for an IPv6 router");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_be_hidden_is_kept_visible() {
        let paths = ["/tmp/b/run", "/tmp/b", "/srv/x", "/run/user/1", "/tmp", "/tmpfoo", "/tmp/b"].map(PathBuf::from);
        assert_eq!(hidden(&paths), ["/run/user/1", "/tmp/b", "/tmp/b/run"].map(PathBuf::from));
    }

    #[test]
    fn outside_of_a_namespace_nothing_is_mounted() {
        assert!(matches!(settle(&[]), Err(InsideError::NotFirst)));
    }
}
