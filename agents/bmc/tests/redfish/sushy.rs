//! The driver against OpenStack's `sushy-emulator` with its fake machines: a Redfish service that others wrote, which takes up to eleven
//! seconds for a power command and forgets half of what a boot override said.
//! Must never ask the emulator through the driver how it truly is: its log and its files tell.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bmc::findings::{Can, name};
use bmc::{Door, Driver};
use contract::AgentError;
use contract::bmc::Bmc;
use contract::conformance::{self, BmcFixture};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use vocabulary::Secret;
use vocabulary::power::{BootTarget, Identity, PowerState};

use crate::common::{UUID, door, fingerprint, identity, is_rejected};

const OTHER_UUID: &str = "00000000-0000-4000-8000-000000000002";

/// How long the emulator may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// `controller` with the password `lab`, as bcrypt.
const ACCOUNTS: &str = "controller:$2b$04$wTDGvX/jSnSVr/x4OZFJNeBEHqkXl5U6679HjWLMkr2kfzyNg3fsa\n";

/// A running emulator of one machine that is off, ended when dropped.
struct Sushy {
    address: SocketAddr,
    pin: String,
    folder: tempfile::TempDir,
    child: Child,
}

impl Sushy {
    async fn start(uuid: &str) -> Sushy {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["bmc".into()]).unwrap().self_signed(&key).unwrap();
        let machine = format!(
            "{{'uuid': '{uuid}', 'name': 'm1', 'power_state': 'Off', 'external_notifier': False, \
             'nics': [{{'mac': '02:00:00:00:00:01', 'ip': '127.0.0.1'}}]}}"
        );
        let settings = format!(
            "SUSHY_EMULATOR_FAKE_DRIVER = True\nSUSHY_EMULATOR_STATE_DIR = '{}'\nSUSHY_EMULATOR_AUTH_FILE = '{}'\n\
             SUSHY_EMULATOR_FAKE_SYSTEMS = [{machine}]\n",
            at("state").display(),
            at("accounts").display(),
        );
        std::fs::create_dir(at("state")).unwrap();
        for (name, text) in [
            ("settings", settings),
            ("accounts", ACCOUNTS.to_owned()),
            ("key", key.serialize_pem()),
            ("certificate", certificate.pem()),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        let (address, child) = running(folder.path()).await;
        Sushy { address, pin: fingerprint(&certificate.pem()), folder, child }
    }

    /// Power commands that were answered.
    fn commands(&self) -> u64 {
        resets(self.folder.path())
    }
}

impl Drop for Sushy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/peers/bin/sushy-emulator");
    assert!(program.exists(), "no {}: run `cargo xtask packages`", program.display());
    program
}

/// Starts it on a port that was free a moment ago, until it is there.
async fn running(folder: &Path) -> (SocketAddr, Child) {
    let until = tokio::time::Instant::now() + START;
    loop {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(program());
        command.arg("--config").arg(folder.join("settings")).args(["-i", "127.0.0.1", "-p", &address.port().to_string()]);
        command.arg("--ssl-certificate").arg(folder.join("certificate")).arg("--ssl-key").arg(folder.join("key"));
        let mut child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            if TcpStream::connect(address).await.is_ok() {
                return (address, child);
            }
            assert!(tokio::time::Instant::now() < until, "{}", std::fs::read_to_string(folder.join("log")).unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(tokio::time::Instant::now() < until, "{}", std::fs::read_to_string(folder.join("log")).unwrap());
    }
}

/// The emulator notes each request before the first byte of its answer leaves.
fn resets(folder: &Path) -> u64 {
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    u64::try_from(log.lines().filter(|line| line.contains("\"POST ") && line.contains("ComputerSystem.Reset")).count()).unwrap()
}

/// What the wire between driver and emulator does.
#[derive(Default)]
struct Orders {
    to: Option<SocketAddr>,
    /// Nothing passes from the moment that more power commands than so many were noted in this folder.
    lose_after: Option<(u64, PathBuf)>,
}

struct Wire {
    address: SocketAddr,
    orders: Arc<Mutex<Orders>>,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    async fn start(to: SocketAddr) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let orders = Arc::new(Mutex::new(Orders { to: Some(to), lose_after: None }));
        let shared = Arc::clone(&orders);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&shared)));
            }
        });
        Wire { address, orders, task }
    }

    fn with(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().unwrap());
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection; without a place to go to it is closed at once.
async fn carry(mut client: TcpStream, orders: Arc<Mutex<Orders>>) {
    let Some(to) = orders.lock().unwrap().to else { return };
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    let (mut asked, mut told) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            came = client.read(&mut asked) => {
                let Some(length) = came.ok().filter(|length| *length > 0) else { return };
                if server.write_all(&asked[..length]).await.is_err() { return }
            }
            came = server.read(&mut told) => {
                let Some(length) = came.ok().filter(|length| *length > 0) else { return };
                let lost = orders.lock().unwrap().lose_after.as_ref().is_some_and(|(so_many, folder)| resets(folder) > *so_many);
                if lost || client.write_all(&told[..length]).await.is_err() { return }
            }
        }
    }
}

struct Fixture {
    sushy: Sushy,
    stranger: Sushy,
    wire: Wire,
    driver: Arc<dyn Driver>,
}

/// The emulator tells no serial number.
fn named() -> Identity {
    identity(UUID, "")
}

fn door_to(address: SocketAddr, sushy: &Sushy) -> Door {
    Door { identity: named(), ..door(address, Some(sushy.pin.clone())) }
}

impl Fixture {
    async fn new() -> Fixture {
        let (sushy, mut stranger) = tokio::join!(Sushy::start(UUID), Sushy::start(OTHER_UUID));
        // the same certificate on another box: the pin does not tell them apart, so who it is must
        stranger.pin = sushy.pin.clone();
        let _ = stranger.child.kill();
        let _ = stranger.child.wait();
        for file in ["certificate", "key"] {
            std::fs::copy(sushy.folder.path().join(file), stranger.folder.path().join(file)).unwrap();
        }
        (stranger.address, stranger.child) = running(stranger.folder.path()).await;
        let wire = Wire::start(sushy.address).await;
        let driver = bmc::open(&door_to(wire.address, &sushy)).unwrap();
        Fixture { sushy, stranger, wire, driver }
    }
}

#[async_trait]
impl BmcFixture for Fixture {
    fn bmc(&self) -> &dyn Bmc {
        &*self.driver
    }
    fn identity(&self) -> Identity {
        named()
    }
    async fn truth(&self) -> Option<PowerState> {
        None
    }
    async fn power_commands(&self) -> Option<u64> {
        Some(self.sushy.commands() + self.stranger.commands())
    }
    async fn swap_box(&self) -> bool {
        self.wire.with(|orders| orders.to = Some(self.stranger.address));
        true
    }
    async fn tell_no_power(&self) -> bool {
        false
    }
    async fn lose_next_reply(&self) -> bool {
        let sofar = (self.sushy.commands(), self.sushy.folder.path().to_owned());
        self.wire.with(|orders| orders.lose_after = Some(sofar));
        true
    }
    async fn cut_off(&self) -> bool {
        self.wire.with(|orders| orders.to = None);
        true
    }
    async fn mend(&self) {
        self.wire.with(|orders| *orders = Orders { to: Some(self.sushy.address), lose_after: None });
    }
    fn has_sessions(&self) -> bool {
        false
    }
    fn patience(&self) -> Duration {
        // it takes one to eleven seconds, drawn by chance
        Duration::from_secs(15)
    }
}

#[tokio::test]
async fn the_driver_keeps_the_laws() {
    let fixture = Fixture::new().await;
    conformance::bmc(&fixture).await.unwrap();
    assert!(fixture.sushy.commands() > 0 && fixture.stranger.commands() == 0);
}

#[tokio::test]
async fn a_boot_override_that_stays_for_ever_is_not_taken_for_one_boot() {
    let sushy = Sushy::start(UUID).await;
    let driver = bmc::open(&door_to(sushy.address, &sushy)).unwrap();
    // it keeps the device and calls each override Continuous: such a machine would come from the network at every boot
    let outcome = driver.set_boot_target(BootTarget::Pxe).await;
    assert!(matches!(&outcome, Err(AgentError::Unconfirmed { reason }) if reason.contains("Continuous")), "{outcome:?}");
    assert_eq!(sushy.commands(), 0);
}

#[tokio::test]
async fn it_is_told_apart_from_a_stranger_and_its_refusal_from_silence() {
    let sushy = Sushy::start(UUID).await;
    let stranger = bmc::open(&Door { identity: identity(OTHER_UUID, ""), ..door_to(sushy.address, &sushy) }).unwrap();
    assert!(is_rejected(&stranger.read().await) && is_rejected(&stranger.power_off().await));
    let refused = bmc::open(&Door { password: Secret::new("other"), ..door_to(sushy.address, &sushy) }).unwrap();
    let outcome = refused.read().await;
    assert!(
        matches!(&outcome, Err(AgentError::Unconfirmed { reason } | AgentError::Rejected { reason }) if reason.contains("F1009")),
        "{outcome:?}"
    );
    assert_eq!(sushy.commands(), 0);
}

#[tokio::test]
async fn a_probe_tells_what_it_can_do() {
    let sushy = Sushy::start(UUID).await;
    let found = bmc::probe(&door_to(sushy.address, &sushy), bmc::Scope::Facts).await.unwrap();
    assert_eq!((found.matches, found.reading.identity.uuid.as_str(), found.reading.system_power), (true, UUID, PowerState::Off));
    let can = |name| found.findings.abilities.iter().find(|ability| ability.name == name).unwrap().can;
    assert_eq!(
        (can(name::POWER_OFF), can(name::BOOT_PXE), can(name::BOOT_HTTP), can(name::TELLS)),
        (Can::Yes, Can::Yes, Can::Yes, Can::No)
    );
    assert!(!found.findings.session.is_empty(), "{:?}", found.findings);
    assert_eq!(sushy.commands(), 0);
}
