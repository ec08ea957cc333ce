//! Example permits for the tests of this crate. Never part of the product.

use vocabulary::boot::{BootMethod, Permit, PermitNic, PermitRoot};
use vocabulary::storage::{InitiatorName, Path};
use vocabulary::{Epoch, Mac, PlanId, Secret, ServerId, Span};

/// The permit of machine `m<n>` for a server of the lab, method `kernel`.
pub fn permit(n: u8, server: &str, epoch: u64) -> Permit {
    let server: ServerId = server.parse().unwrap();
    let last = if server.as_str() == "web2" { 12 } else { 11 };
    let nic = |role: &str, mac: u8, net: u8, mtu| {
        let address = format!("10.{net}.0.{last}/24").parse().ok();
        (role.parse().unwrap(), PermitNic { mac: Mac([0x52, 0x54, 0, 0x0c, n, mac]), address, mtu })
    };
    Permit {
        machine: format!("m{n}").parse().unwrap(),
        epoch: Epoch(epoch),
        plan: PlanId(Epoch(epoch)),
        method: BootMethod::Kernel,
        image: "web-kernel".parse().unwrap(),
        nics: [nic("provisioning", 1, 10, None), nic("storage", 2, 30, Some(9000)), nic("production", 3, 20, None)].into(),
        root: PermitRoot {
            path: Path {
                portal: "10.30.0.1:3260".parse().unwrap(),
                target: format!("iqn.2026-01.lab.understudy:{server}-root"),
                lun: 1,
            },
            initiator: InitiatorName::of_placement(&server, Epoch(epoch)),
            user: server.to_string(),
            secret: Secret::new("chap-secret-0001"),
        },
        arguments: "console=ttyS0 quiet panic=-1".to_owned(),
        lease: Span::seconds(7 * 86_400),
        server,
    }
}
