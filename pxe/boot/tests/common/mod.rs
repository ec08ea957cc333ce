//! What the tests in a namespace of their own share: the namespace, a tap that plays the provisioning network, the real service as a
//! process, and a controller that speaks to it over the real wire.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod machine;
pub mod tap;

use contract::agent::{Client, Readopt};
use contract::wire::{Authority, WireClient};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vocabulary::boot::{BootContact, BootMethod, Permit, PermitNic, PermitReading, PermitRoot};
use vocabulary::request::{Action, AgentError, AgentHello, Answer, GateEntry, Request, Token};
use vocabulary::storage::InitiatorName;
use vocabulary::{Epoch, EstateUuid, Lineage, Mac, MachineId, OpId, PlanId, Secret, Span};

const MARK: &str = "UNDERSTUDY_TEST_NAMESPACE";
const READY: Duration = Duration::from_secs(20);

/// Runs a test in user, network and process namespaces of its own: there it has all ports and harms nobody. Returns true inside.
pub fn in_namespace(test: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .status()
        .expect("unshare (util-linux) runs");
    assert!(status.success(), "{test} failed in its namespace: {status}");
    false
}

/// An epoch's token counter and the way to the service.
pub struct Controller {
    authority: Authority,
    client: WireClient,
    numbers: u64,
}

impl Controller {
    /// A controller of a new estate; writes the agent's bundle into the folder.
    pub fn enrol(folder: &Path) -> Controller {
        let (estate, lineage) = (EstateUuid("e1".to_owned()), Lineage("l1".to_owned()));
        let authority = Authority::create(estate, lineage).unwrap();
        let agent = "boot1".parse().unwrap();
        authority.issue_agent(&agent).unwrap().store(&folder.join("boot1.bundle")).unwrap();
        let identity = authority.issue_controller().unwrap();
        let client = WireClient::connect("127.0.0.1:7445".parse().unwrap(), &agent, &identity).unwrap();
        Controller { authority, client, numbers: 0 }
    }

    async fn token(&mut self, epoch: u64) -> Token {
        let hello = self.hello().await;
        assert!(hello.trusted);
        self.numbers += 1;
        Token {
            estate: EstateUuid("e1".to_owned()),
            lineage: Lineage("l1".to_owned()),
            controller: vocabulary::ControllerLife::default(),
            plan: PlanId(Epoch(epoch)),
            step: "test".to_owned(),
            epoch: Epoch(epoch),
            op: OpId { epoch: Epoch(epoch), number: self.numbers },
            agent_boot: hello.boot,
            expires_tick: hello.tick + 10_000,
        }
    }

    pub async fn read(&self, action: Action) -> Result<Answer, AgentError> {
        self.client.call(Request { token: None, action }).await
    }

    pub async fn act(&mut self, epoch: u64, action: Action) -> Result<Answer, AgentError> {
        let token = Some(self.token(epoch).await);
        self.client.call(Request { token, action }).await
    }

    pub async fn grant(&mut self, permit: &Permit) -> Result<Answer, AgentError> {
        self.act(permit.epoch.0, Action::GrantPermit { permit: Box::new(permit.clone()) }).await
    }

    pub async fn reading(&self, machine: &MachineId) -> PermitReading {
        match self.read(Action::ReadPermit { machine: machine.clone() }).await.unwrap() {
            Answer::Permit(reading) => reading,
            other => panic!("{other:?}"),
        }
    }

    pub async fn contacts(&self, after: u64) -> Vec<BootContact> {
        match self.read(Action::ReadContacts { after }).await.unwrap() {
            Answer::Contacts { contacts } => contacts,
            other => panic!("{other:?}"),
        }
    }

    /// What the service's gate says of itself.
    pub async fn hello(&self) -> AgentHello {
        match self.read(Action::Hello).await.unwrap() {
            Answer::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    /// The operator's `agent readopt` with this ledger.
    pub async fn readopt(&self, entries: Vec<GateEntry>) -> AgentHello {
        let (estate, lineage) = (EstateUuid("e1".to_owned()), Lineage("l1".to_owned()));
        self.client
            .readopt(Readopt { estate, lineage, controller: None, floor: Epoch(50), entries, ports: vec![] })
            .await
            .unwrap()
    }

    /// Waits until the service answers, and tells it that its memory is current, as every controller does.
    pub async fn ready(&self) {
        let start = Instant::now();
        while let Err(error) = self.read(Action::Hello).await {
            assert!(start.elapsed() < READY, "the service does not come up: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (estate, lineage) = (EstateUuid("e1".to_owned()), Lineage("l1".to_owned()));
        let vouch = Action::Vouch {
            boot: self.hello().await.boot,
            estate,
            lineage,
            controller: vocabulary::ControllerLife::default(),
            current: true,
        };
        self.read(vouch).await.unwrap();
        // a permit that is granted before those of an earlier life are served is granted again
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The service's process; killed with the test.
pub struct Service(Child);

impl Service {
    /// Starts `understudy-boot` on `prov` with the lab's addresses and ports.
    pub fn start(folder: &Path, ipxe: &Path, images: &Path, uefi_san: &str) -> Service {
        let lease = "20s";
        let text = format!(
            r#"{{"bundle":"boot1.bundle","state_dir":"state","interface":"prov","address":"10.10.0.1/24","images_dir":"{}",
            "machines":{{"m3":{{"provisioning_mac":"52:54:00:0c:03:01"}}}},"address_lease":"{lease}",
            "images":{{"web-kernel":{{"kernel":"vmlinuz","initrd":"server.cpio"}}}},
            "ipxe":{{"bios":"{ipxe}/undionly.kpxe","uefi":"{ipxe}/snponly.efi"{uefi_san}}}}}"#,
            images.display(),
            ipxe = ipxe.display()
        );
        let path = folder.join("boot.json");
        std::fs::write(&path, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_understudy-boot"))
            .arg("--config")
            .arg(&path)
            .env("RUST_LOG", "boot=debug")
            .stdin(Stdio::null())
            .stderr(log(folder))
            .spawn()
            .unwrap();
        Service(child)
    }

    /// As a power cut would.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn log(folder: &Path) -> std::fs::File {
    std::fs::OpenOptions::new().create(true).append(true).open(folder.join("boot.log")).unwrap()
}

/// The permit of machine `m<n>` for `web1`, as the lab's estate gives it.
pub fn permit(n: u8, epoch: u64, method: BootMethod) -> Permit {
    let nic = |role: &str, mac: u8, net: u8| {
        let address = format!("10.{net}.0.11/24").parse().ok();
        (role.parse().unwrap(), PermitNic { mac: Mac([0x52, 0x54, 0, 0x0c, n, mac]), address, mtu: None })
    };
    let server = "web1".parse().unwrap();
    Permit {
        machine: format!("m{n}").parse().unwrap(),
        epoch: Epoch(epoch),
        plan: PlanId(Epoch(epoch)),
        method,
        image: "web-kernel".parse().unwrap(),
        nics: [nic("provisioning", 1, 10), nic("storage", 2, 30), nic("production", 3, 20)].into(),
        root: PermitRoot {
            path: vocabulary::storage::Path {
                portal: "10.30.0.1:3260".parse().unwrap(),
                target: "iqn.2026-01.lab.understudy:web1-root".to_owned(),
                lun: 1,
            },
            initiator: InitiatorName::of_placement(&server, Epoch(epoch)),
            user: "web1".to_owned(),
            secret: Secret::new("chapsecret0001"),
        },
        arguments: "console=ttyS0 panic=-1".to_owned(),
        lease: Span::seconds(7 * 86_400),
        server,
    }
}

/// Writes files that stand for iPXE and images where no machine runs them.
pub fn placeholder_files(folder: &Path) -> (PathBuf, PathBuf) {
    let (ipxe, images) = (folder.join("ipxe"), folder.join("images"));
    for (place, name) in [(&ipxe, "undionly.kpxe"), (&ipxe, "snponly.efi"), (&images, "vmlinuz"), (&images, "server.cpio")] {
        std::fs::create_dir_all(place).unwrap();
        std::fs::write(place.join(name), name).unwrap();
    }
    (ipxe, images)
}
