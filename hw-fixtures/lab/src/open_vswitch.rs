//! The lab's fast switch: Open vSwitch in user space, in the hall, on the machines' taps. Its database, its daemon and the agent beside it are
//! processes of the lab's table, never detached ones.
//!
//! What it does is read from its daemon (see `sight`) by code of this crate alone, never by that of the driver that is tried on it.

mod actions;
mod control;
mod hand;
mod sight;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::agents::{self, SWITCH_LISTEN};
use crate::children::Children;
use crate::limits::OVS_REVALIDATE_MS;
use crate::names::{
    OVS_BRIDGE, OVS_DAEMON, OVS_DATABASE, OVS_FOLDER, OVS_NOTHING_VLAN, OVS_SYSTEM, SWITCH_AGENT, machine_ports, ovs_uplinks,
};
use crate::packages::{PackageError, Packages};
use crate::services::{Namespace, Ready, Service, ServiceError, Services};

pub use hand::Hand;
pub use sight::{Sight, Watcher};

/// Why the switch cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// Its packages are not there.
    #[error(transparent)]
    Packages(#[from] PackageError),
    /// One of its processes cannot be started.
    #[error(transparent)]
    Services(#[from] ServiceError),
    /// A step failed.
    #[error("Open vSwitch: {0}")]
    Step(#[from] io::Error),
}

/// The variables under which its programs find each other.
fn variables() -> BTreeMap<String, String> {
    ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"].map(|name| (name.to_owned(), OVS_FOLDER.to_owned())).into()
}

fn in_folder(name: &str) -> PathBuf {
    Path::new(OVS_FOLDER).join(name)
}

fn database() -> String {
    format!("unix:{OVS_FOLDER}/db.sock")
}

/// Where its database lies: like the switch's small disk it outlives a loss of power.
fn database_file(run: &Path) -> PathBuf {
    run.join("switch/conf.db")
}

/// One of its tools, in the lab's environment.
fn tool(services: &Services, program: &str) -> Command {
    let mut command = Command::new(program);
    command.envs(services.environment()).envs(variables());
    command
}

fn row(name: &str, argv: Vec<String>, ready: Ready, remove_before_start: Vec<PathBuf>) -> Service {
    Service {
        name: name.to_owned(),
        argv,
        env: variables(),
        namespace: Namespace::Hall,
        ready: Some(ready),
        remove_before_start,
        ..Service::default()
    }
}

/// The rows of its database and its daemon. The daemon is ready when its bridge is there.
fn rows(packages: &Packages, run: &Path) -> Result<[Service; 2], PackageError> {
    // logs go to the table's files
    let words = ["--pidfile", "-vconsole:info", "-vsyslog:off"];
    let start = |program: PathBuf, first: &[String]| -> Vec<String> {
        let own = words.iter().map(|word| (*word).to_owned());
        std::iter::once(program.display().to_string()).chain(first.iter().cloned()).chain(own).collect()
    };
    let socket = in_folder("db.sock");
    let server = start(
        packages.path(&["sbin/ovsdb-server"])?,
        &[database_file(run).display().to_string(), format!("--remote=p{}", database())],
    );
    let daemon = start(packages.path(&["lib/openvswitch-switch/ovs-vswitchd"])?, &[database(), "--disable-system".to_owned()]);
    let bridge = in_folder(&format!("{OVS_BRIDGE}.mgmt"));
    Ok([
        row(OVS_DATABASE, server, Ready::Unix(socket.clone()), vec![socket, in_folder("ovsdb-server.pid")]),
        row(OVS_DAEMON, daemon, Ready::Unix(bridge.clone()), vec![bridge, in_folder("ovs-vswitchd.pid")]),
    ])
}

/// What `ovs-vsctl` is told before the daemon's first start: uplinks open, machine ports in no VLAN (and their taps are down).
fn first_words(machines: u8) -> Vec<String> {
    let mut lines = vec![
        "--no-wait init".to_owned(),
        format!("set Open_vSwitch . external_ids:system-id={OVS_SYSTEM} other_config:max-revalidator={OVS_REVALIDATE_MS}"),
        format!("add-br {OVS_BRIDGE}"),
        format!("set bridge {OVS_BRIDGE} datapath_type=netdev fail_mode=standalone"),
    ];
    for (number, port) in machine_ports(machines) {
        lines.push(format!("add-port {OVS_BRIDGE} {port} vlan_mode=trunk trunks={OVS_NOTHING_VLAN}"));
        // so that its learnt addresses name the port
        lines.push(format!("set interface {port} ofport_request={number}"));
    }
    for (uplink, vid) in ovs_uplinks() {
        lines.push(format!("add-port {OVS_BRIDGE} {uplink} vlan_mode=access tag={vid}"));
    }
    lines.join(" -- ").split(' ').map(str::to_owned).collect()
}

/// Makes its database.
pub fn make(packages: &Packages, children: &Children, run: &Path) -> Result<(), SwitchError> {
    fs::create_dir_all(OVS_FOLDER)?;
    let mut command = packages.command(&["bin/ovsdb-tool"])?;
    command.arg("create").arg(database_file(run)).arg(packages.path(&["share/openvswitch/vswitch.ovsschema"])?);
    children.output(&mut command, "")?;
    Ok(())
}

/// Starts it; its agent waits in the table for its bundle.
pub fn start(packages: &Packages, services: &Services, run: &Path, bin_dir: &Path, machines: u8) -> Result<(), SwitchError> {
    let [server, daemon] = rows(packages, run)?;
    services.add(server, Vec::new())?;
    let mut command = tool(services, "ovs-vsctl");
    command.arg(format!("--db={}", database())).args(first_words(machines));
    services.children().output(&mut command, "")?;
    services.add(daemon, Vec::new())?;
    services.define(agent(run, bin_dir));
    Ok(())
}

/// The row of the agent, on the switch's own side of the hall.
fn agent(run: &Path, bin_dir: &Path) -> Service {
    let (program, config) = (bin_dir.join("understudy-agent"), agents::folder(run, SWITCH_AGENT).join("agent.json"));
    let argv = [program.as_path(), Path::new("--config"), &config];
    Service {
        name: SWITCH_AGENT.to_owned(),
        argv: argv.map(|word| word.display().to_string()).to_vec(),
        namespace: Namespace::Switch,
        ready: SWITCH_LISTEN.parse().ok().map(Ready::Tcp),
        ..Service::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_uplinks_open_and_machine_ports_in_no_vlan() {
        let words = first_words(3).join(" ");
        assert!(words.contains("add-port br0 p9 vlan_mode=trunk trunks=4095 -- set interface p9 ofport_request=9"), "{words}");
        assert!(words.contains("add-port br0 u20 vlan_mode=access tag=20") && words.contains("add-port br0 s20 "), "{words}");
        assert!(!words.contains("p10"), "{words}");
        assert!(words.starts_with("--no-wait init -- set "), "{words}");
    }

    #[test]
    fn its_processes_stay_the_labs_children() {
        let root = tempfile::tempdir().unwrap();
        for file in ["usr/sbin/ovsdb-server", "usr/lib/openvswitch-switch/ovs-vswitchd"] {
            fs::create_dir_all(root.path().join(file).parent().unwrap()).unwrap();
            fs::write(root.path().join(file), "").unwrap();
        }
        let rows = rows(&Packages::open(root.path()).unwrap(), Path::new("/r")).unwrap();
        for row in rows {
            assert!(!row.argv.iter().any(|word| word.starts_with("--detach")), "{row:?}");
            assert_eq!(row.namespace, Namespace::Hall);
        }
        assert_eq!(agent(Path::new("/r"), Path::new("/b")).namespace, Namespace::Switch);
    }
}
