//! What a person does by hand to a data centre, past the product: a boot server of one's own, an admission at the storage target, ports put
//! into a server's VLANs. It must never ask whether that is wise, and never use what the product has set up for itself.

use crate::agents::Fault;
use crate::boot_server::BootServer;
use crate::site::Site;
use std::net::Ipv4Addr;
use vocabulary::boot::{BootMethod, Permit, PermitNic, PermitRoot};
use vocabulary::storage::{InitiatorName, Path};
use vocabulary::{Epoch, MachineId, PlanId, Secret, ServerId, Span};
use world::bridge::Setting;

/// Starts a server on a machine, whatever becomes of the machine that it was on: nobody is fenced. The agents of boot service and storage must
/// be away, or they put right what is done here.
pub async fn start(site: &Site, server: &ServerId, machine: &MachineId) -> Result<(), Fault> {
    let permit = permit(site, server, machine)?;
    let storage = |words: &[&str]| {
        let ended = site.target.by_hand(words);
        if ended.code == Some(0) {
            Ok(ended.printed)
        } else {
            Err(Fault::from(format!("tgtadm {}: {}", words.join(" "), ended.said)))
        }
    };
    let target = &permit.root.path.target;
    let shown = storage(&["--mode", "target", "--op", "show"])?;
    let line = shown.lines().find(|line| line.starts_with("Target ") && line.ends_with(&format!(": {target}")));
    let tid = line.and_then(|line| line.split([' ', ':']).nth(1)).ok_or_else(|| format!("no target {target}"))?.to_owned();
    let (user, secret) = (permit.root.user.clone(), permit.root.secret.expose().to_owned());
    storage(&["--mode", "account", "--op", "new", "--user", &user, "--password", &secret])?;
    storage(&["--mode", "account", "--op", "bind", "--tid", &tid, "--user", &user])?;
    storage(&["--mode", "target", "--op", "bind", "--tid", &tid, "--initiator-name", &permit.root.initiator.0])?;
    let (profile, document) = documents(site, server, machine)?;
    for network in &profile.networks {
        for nic in document.nics.iter().filter(|nic| nic.role == network.role) {
            site.bridge.set_by_hand(nic.port.as_str(), &Setting::access(network.vlan.get()));
        }
    }
    let provisioning = permit.nics.get(&"provisioning".parse()?).ok_or("no provisioning NIC")?.mac;
    site.fabric.serve_by_hand(BootServer::new(permit, provisioning, Ipv4Addr::new(10, 10, 0, 1))?);
    let stand = site.stands.get(machine).ok_or_else(|| format!("no machine {machine}"))?;
    stand.bmc.power_on("ManualPowerOn").await.map_err(|error| error.to_string())?;
    Ok(())
}

fn documents<'a>(
    site: &'a Site,
    server: &ServerId,
    machine: &MachineId,
) -> Result<(&'a vocabulary::estate::Server, &'a vocabulary::estate::Machine), Fault> {
    let profile = site.estate.servers.get(server).ok_or_else(|| format!("no server {server}"))?;
    let document = site.estate.machines.get(machine).ok_or_else(|| format!("no machine {machine}"))?;
    Ok((profile, document))
}

/// What the machine has to know, written down as a boot service would have it.
fn permit(site: &Site, server: &ServerId, machine: &MachineId) -> Result<Permit, Fault> {
    let (profile, document) = documents(site, server, machine)?;
    let volume = profile.volumes.first().ok_or_else(|| format!("{server} has no volume"))?;
    let storage = site.estate.storages.get(&volume.storage).ok_or("no storage")?;
    let path = storage.volumes.get(&volume.volume).and_then(|paths| paths.paths.first()).ok_or("no path")?;
    let nic = |network: &vocabulary::estate::ServerNetwork| {
        let nic = document.nics.iter().find(|nic| nic.role == network.role)?;
        Some((network.role.clone(), PermitNic { mac: nic.mac, address: network.address, mtu: network.mtu }))
    };
    Ok(Permit {
        machine: machine.clone(),
        server: server.clone(),
        epoch: Epoch(0),
        plan: PlanId(Epoch(0)),
        method: BootMethod::Kernel,
        image: profile.boot.image.clone(),
        nics: profile.networks.iter().filter_map(nic).collect(),
        root: PermitRoot {
            path: Path { portal: path.portal, target: path.target.clone(), lun: path.lun },
            initiator: InitiatorName(format!("iqn.2026-01.org.understudy:{server}.by-hand")),
            user: format!("{server}-by-hand"),
            secret: Secret::new(format!("by hand {}", site.seed)),
        },
        arguments: String::new(),
        // nobody asks for it
        lease: Span::seconds(0),
    })
}
