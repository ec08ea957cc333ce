//! The LIO driver against a simulated kernel: what a revocation cuts, what foreign hands do, what a kernel that refuses, holds or forgets
//! makes of it. On a real kernel: `lio_machine.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod kernel;

use contract::AgentError;
use contract::conformance::{self, StorageFixture};
use contract::storage::{Admission, Storage};
use kernel::state::{Acl, Group, Store};
use kernel::{EBUSY, EINVAL, EPERM, Fake};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::Kept;
use storage::host::{Object, ThisFile};
use storage::lio::kernel::{Backing, Kernel, device};
use storage::lio::{Export, Lio, LioConfig};
use vocabulary::storage::{InitiatorName, VolumeReading};
use vocabulary::{Secret, VolumeName};

const MOMENT: Duration = Duration::from_millis(300);

fn volume(name: &str) -> VolumeName {
    name.parse().unwrap()
}

fn target(name: &str) -> String {
    format!("iqn.2026-01.lab.understudy:{name}")
}

fn initiator_name(n: u32) -> InitiatorName {
    InitiatorName(format!("iqn.2026-01.org.understudy:web1.e{n}"))
}

fn admission(n: u32) -> Admission {
    Admission { initiator: initiator_name(n), user: format!("web1.e{n}"), secret: Secret::new(format!("secret-of-e{n}")) }
}

fn names(reading: &VolumeReading) -> Vec<String> {
    reading.allowed.iter().map(|name| name.0.clone()).collect()
}

fn nobody(reading: &VolumeReading) -> bool {
    reading.allowed.is_empty()
        && reading.sessions.is_empty()
        && !reading.open_to_others
        && reading.exports == 1
        && reading.persistent
}

fn object(name: &str) -> Object {
    Object(format!("file 1:{name}"))
}

/// A kernel with the files of two volumes, and an agent's folder.
struct Host {
    kernel: Arc<Fake>,
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Host {
        let kernel = Arc::new(Fake::default());
        kernel.change(|state| {
            state.files.insert("/v/a.img".into(), Backing::File(object("a"), 4096));
            state.files.insert("/v/alias.img".into(), Backing::File(object("a"), 4096));
            state.files.insert("/dev/sdb".into(), Backing::Device(device(8, 16)));
        });
        Host { kernel, folder: tempfile::tempdir().unwrap() }
    }

    fn config() -> LioConfig {
        let export = |name: &str, file: &str| (volume(name), Export { target: target(name), lun: 1, file: file.into() });
        LioConfig {
            configfs: PathBuf::new(),
            portals: ["192.0.2.1:3260".parse().unwrap()].into(),
            volumes: [export("a", "/v/a.img"), export("b", "/dev/sdb")].into(),
        }
    }

    fn open(&self, config: LioConfig) -> Result<Lio, storage::OpenError> {
        let disk = Box::new(ThisFile(self.folder.path().join("state.json")));
        Lio::open_on("store1".parse().unwrap(), config, disk, self.kernel.clone())
    }

    /// The driver. A second one is the agent after a restart.
    fn driver(&self) -> Arc<Lio> {
        Arc::new(self.open(Host::config()).unwrap())
    }

    fn login(&self, n: u32) -> Option<u64> {
        let (user, secret) = (format!("web1.e{n}"), format!("secret-of-e{n}"));
        self.kernel.login(&target("a"), &initiator_name(n).0, Some((&user, &secret)))
    }

    fn group<T>(&self, of: &str, change: impl FnOnce(&mut Group) -> T) -> T {
        self.kernel.change(|state| change(state.group(of, "tpgt_1").unwrap()))
    }

    /// A foreign hand serves the file of volume `a` a second time, to everybody.
    fn second_export(&self) -> &'static str {
        self.export_beside("fileio_9", Some("/v/alias.img"))
    }

    /// The same of what a backstore of this kind has at this path, if that shows a path at all.
    fn export_beside(&self, adapter: &str, path: Option<&str>) -> &'static str {
        let second = "iqn.2026-01.foreign:second";
        self.kernel.change(|state| {
            let store = Store { path: path.map(Into::into), enabled: true, ..Store::default() };
            state.adapters.insert(adapter.into());
            let place = format!("core/{adapter}/second");
            state.stores.insert(place.clone(), store);
            let mut group = Group::new();
            group.attributes.insert("generate_node_acls".into(), "1".into());
            group.attributes.insert("authentication".into(), "0".into());
            group.units.insert("lun_0".into(), Some(("x".into(), place)));
            group.portals.insert("192.0.2.1:3260".into());
            group.enabled = true;
            state.targets.insert(second.into(), [("tpgt_1".to_owned(), group)].into());
        });
        second
    }
}

struct Fixture {
    host: Host,
    driver: Arc<Lio>,
}

#[async_trait::async_trait]
impl StorageFixture for Fixture {
    fn storage(&self) -> &dyn Storage {
        &*self.driver
    }
    fn volume(&self) -> VolumeName {
        volume("a")
    }
    fn no_such_volume(&self) -> VolumeName {
        volume("nope")
    }
    async fn log_in(&self, _: &VolumeName, who: &Admission) -> Option<bool> {
        Some(self.host.kernel.login(&target("a"), &who.initiator.0, Some((&who.user, who.secret.expose()))).is_some())
    }
    async fn admit(&self, _: &VolumeName, initiator: &InitiatorName) -> Option<Result<(), String>> {
        Some(self.host.kernel.make(&format!("iscsi/{}/tpgt_1/acls/{initiator}", target("a"))).map_err(|error| error.to_string()))
    }
}

#[tokio::test]
async fn it_conforms() {
    let host = Host::new();
    let driver = host.driver();
    conformance::storage(&Fixture { host, driver }).await.unwrap();
}

#[tokio::test]
async fn a_revocation_cuts_every_session_and_counts_as_one_only_when_the_last_command_is_done() {
    let host = Host::new();
    let driver = host.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let (one, other) = (host.login(1).unwrap(), host.login(1).unwrap());
    assert_eq!(host.kernel.write_as(one), Some(object("a")));
    assert_eq!(driver.read(&volume("a")).await.unwrap().operations, Some(1));
    host.kernel.change(|state| state.session(one).in_flight = 1);
    let revoke = tokio::spawn({
        let driver = driver.clone();
        async move { driver.revoke(&volume("a"), None).await }
    });
    tokio::time::sleep(MOMENT).await;
    assert!(!revoke.is_finished(), "a command is in flight");
    assert_eq!(host.login(1), None, "and nobody comes in meanwhile");
    host.kernel.change(|state| state.session(one).in_flight = 0);
    assert!(nobody(&revoke.await.unwrap().unwrap()));
    assert_eq!((host.kernel.write_as(one), host.kernel.write_as(other)), (None, None));
}

#[tokio::test]
async fn a_command_that_never_ends_is_never_called_gone() {
    let host = Host::new();
    let driver = host.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let session = host.login(1).unwrap();
    host.kernel.change(|state| state.session(session).in_flight = 1);
    let start = Instant::now();
    assert!(matches!(driver.revoke(&volume("a"), None).await, Err(AgentError::Unconfirmed { .. })));
    assert!(start.elapsed() < Duration::from_secs(20), "and it does not wait without end");
    for _ in 0..3 {
        assert!(matches!(driver.revoke(&volume("a"), None).await, Err(AgentError::Unconfirmed { .. })));
        assert!(nobody(&driver.revoke(&volume("b"), None).await.unwrap()), "another volume is fenced all the same");
    }
    let again = host.driver();
    assert!(again.restore().await.is_err());
    host.kernel.change(|state| state.session(session).in_flight = 0);
    tokio::time::sleep(MOMENT).await;
    again.restore().await.unwrap();
    assert!(nobody(&again.read(&volume("a")).await.unwrap()), "what was decided outlives the agent");
}

#[tokio::test]
async fn a_login_that_was_frozen_holds_nothing_and_ends_nowhere() {
    let host = Host::new();
    let driver = host.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    driver.grant(&volume("b"), &admission(5)).await.unwrap();
    let neighbour = host.kernel.begin(&target("b"), &initiator_name(5).0, Some(("web1.e5", "secret-of-e5")), "192.0.2.50");
    let neighbour = host.kernel.finish(neighbour.unwrap()).unwrap();
    let account = Some(("web1.e1", "secret-of-e1"));
    let frozen = host.kernel.begin(&target("a"), &initiator_name(1).0, account, "192.0.2.66").unwrap();
    assert!(nobody(&driver.revoke(&volume("a"), None).await.unwrap()));
    driver.grant(&volume("a"), &admission(2)).await.unwrap();
    assert_eq!(host.kernel.finish(frozen), None);
    assert_eq!(driver.read(&volume("a")).await.unwrap().sessions.len(), 0);
    assert_eq!(host.kernel.write_as(neighbour), Some(device(8, 16)), "a neighbour's session is left alone");
    assert_eq!(host.kernel.state().destroyed.len(), 1);
}

#[tokio::test]
async fn what_is_kept_works_on_and_all_others_go() {
    let host = Host::new();
    let driver = host.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let kept = [host.login(1).unwrap(), host.login(1).unwrap()];
    let stranger = "iqn.2026-01.foreign:x";
    host.group(&target("a"), |group| {
        let mut acl = Acl::new();
        (acl.user, acl.secret) = ("x".into(), "x".into());
        acl.units.insert("lun_1".into(), Some(("l".into(), format!("iscsi/{}/tpgt_1/lun/lun_1", target("a")))));
        group.acls.insert(stranger.into(), acl)
    });
    let strange = host.kernel.login(&target("a"), stranger, Some(("x", "x"))).unwrap();
    assert_eq!(host.kernel.write_as(strange), Some(object("a")));
    let seen = driver.read(&volume("a")).await.unwrap();
    assert!(names(&seen).len() == 2 && !seen.persistent && seen.sessions.iter().any(|one| one.initiator.0 == stranger));
    let revoked = driver.revoke(&volume("a"), Some(&initiator_name(1))).await.unwrap();
    assert_eq!((names(&revoked), host.kernel.write_as(strange)), (vec![initiator_name(1).0], None));
    for session in kept {
        assert_eq!(host.kernel.write_as(session), Some(object("a")), "its sessions were never ended");
    }
    assert!(nobody(&driver.revoke(&volume("a"), Some(&initiator_name(7))).await.unwrap()));
    assert_eq!(host.kernel.write_as(kept[0]), None, "keeping one who is not admitted keeps nobody");
}

#[tokio::test]
async fn a_second_export_is_seen_and_cut_under_whatever_name() {
    let host = Host::new();
    let driver = host.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let server = host.login(1).unwrap();
    let second = host.second_export();
    let backdoor = host.kernel.login(second, "iqn.2026-01.foreign:y", None).unwrap();
    assert_eq!(host.kernel.write_as(backdoor), Some(object("a")));
    let seen = driver.read(&volume("a")).await.unwrap();
    assert_eq!((seen.exports, seen.open_to_others, seen.persistent), (2, true, false));
    assert!(seen.sessions.iter().any(|session| session.initiator.0.ends_with(":y")));
    driver.restore().await.unwrap();
    assert_eq!((host.kernel.write_as(backdoor), host.kernel.write_as(server)), (None, Some(object("a"))));
    let seen = driver.read(&volume("a")).await.unwrap();
    assert_eq!((seen.exports, seen.open_to_others, seen.sessions.len(), seen.persistent), (1, false, 1, true));
    // a second number in the volume's own target
    host.group(&target("a"), |group| group.units.insert("lun_9".into(), Some(("x".into(), "core/fileio_9/second".into()))));
    assert_eq!(driver.read(&volume("a")).await.unwrap().exports, 2);
    assert!(nobody(&driver.revoke(&volume("a"), None).await.unwrap()));
}

#[tokio::test]
async fn what_serves_something_unknown_may_serve_any_volume() {
    for (adapter, path) in [("user_0", None), ("pscsi_0", None), ("fileio_9", Some("/v/a-name-that-is-gone.img"))] {
        let host = Host::new();
        let driver = host.driver();
        driver.grant(&volume("a"), &admission(1)).await.unwrap();
        host.export_beside(adapter, path);
        for name in ["a", "b"] {
            let told = driver.revoke(&volume(name), None).await;
            assert!(matches!(told, Err(AgentError::Unconfirmed { .. })), "{adapter} {name}: {told:?}");
            assert!(driver.read(&volume(name)).await.unwrap().open_to_others, "{adapter} {name}");
        }
        assert_eq!(host.login(1), None, "its own is cut all the same");
        host.kernel.change(|state| drop(state.targets.remove("iqn.2026-01.foreign:second")));
        assert!(nobody(&driver.revoke(&volume("a"), None).await.unwrap()));
    }
    let host = Host::new();
    let driver = host.driver();
    host.export_beside("rd_mcp_0", None);
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    assert!(nobody(&driver.revoke(&volume("a"), None).await.unwrap()), "what is in memory is no volume");
}

#[tokio::test]
async fn an_open_target_is_made_anew_since_the_kernel_remembers_whom_it_let_in() {
    let host = Host::new();
    let driver = host.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let own = target("a");
    let set = |name: &str, value: &str| host.kernel.write(&format!("iscsi/{own}/tpgt_1/attrib/{name}"), value).unwrap();
    set("generate_node_acls", "1");
    set("authentication", "0");
    let stranger = host.kernel.login(&own, "iqn.2026-01.foreign:z", None).unwrap();
    assert_eq!(host.kernel.write_as(stranger), Some(object("a")));
    let seen = driver.read(&volume("a")).await.unwrap();
    assert!(seen.open_to_others && seen.sessions.iter().any(|session| session.initiator.0.ends_with(":z")));
    // the foreign hand closes the door again, but the kernel keeps what it made
    set("generate_node_acls", "0");
    assert!(host.kernel.login(&own, "iqn.2026-01.foreign:z", None).is_some());
    driver.restore().await.unwrap();
    assert_eq!(host.kernel.write_as(stranger), None);
    assert_eq!(host.kernel.login(&own, "iqn.2026-01.foreign:z", None), None);
    host.group(&own, |group| assert!(group.hidden.is_empty()));
    let reading = driver.read(&volume("a")).await.unwrap();
    assert!(names(&reading) == [initiator_name(1).0] && reading.persistent && !reading.open_to_others);
    // an account of the whole group, a secret that is no longer asked for, a secret that is another, a disk that can only be read
    let name = initiator_name(1).0;
    let hands: [&dyn Fn(&mut Group); 5] = [
        &|group| (group.user, group.secret) = ("any".into(), "any".into()),
        &|group| group.acls.get_mut(&name).unwrap().authentication = "0".into(),
        &|group| group.acls.get_mut(&name).unwrap().secret = "known-to-all".into(),
        &|group| group.acls.get_mut(&name).unwrap().read_only = true,
        &|group| group.enabled = false,
    ];
    for (place, hand) in hands.iter().enumerate() {
        host.group(&own, |group| hand(group));
        let seen = driver.read(&volume("a")).await.unwrap();
        assert_eq!((seen.persistent, seen.open_to_others), (false, place < 2), "{place}");
        driver.restore().await.unwrap();
        assert!(driver.read(&volume("a")).await.unwrap().persistent && host.login(1).is_some(), "{place}");
    }
}

#[tokio::test]
async fn an_empty_kernel_gets_back_what_was_decided_and_nothing_more() {
    let host = Host::new();
    let driver = host.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    driver.grant(&volume("b"), &admission(2)).await.unwrap();
    driver.revoke(&volume("b"), None).await.unwrap();
    let server = host.login(1).unwrap();
    host.kernel.change(|state| state.writes.clear());
    let again = host.driver();
    for _ in 0..3 {
        again.restore().await.unwrap();
    }
    again.grant(&volume("a"), &admission(1)).await.unwrap();
    assert_eq!(host.kernel.write_as(server), Some(object("a")), "an agent that starts again disturbs no session");
    let serials =
        || host.kernel.state().stores.iter().map(|(path, store)| (path.clone(), store.serial.clone())).collect::<Vec<_>>();
    let before = serials();
    assert!(before.len() == 2 && before.iter().all(|(_, serial)| serial.len() == 24), "{before:?}");
    host.kernel.change(|state| state.restart());
    let empty = driver.read(&volume("a")).await.unwrap();
    assert_eq!((empty.exports, names(&empty).len(), empty.persistent), (0, 0, false));
    let again = host.driver();
    again.restore().await.unwrap();
    assert_eq!(serials(), before, "a disk keeps its name");
    assert!(host.login(1).is_some() && nobody(&again.read(&volume("b")).await.unwrap()));
    assert!(driver.read(&volume("a")).await.unwrap().operations >= empty.operations, "what was served only grows");
    let amnesiac = Host { kernel: host.kernel.clone(), folder: tempfile::tempdir().unwrap() }.driver();
    amnesiac.restore().await.unwrap();
    assert!(
        host.login(1).is_some() && !amnesiac.read(&volume("a")).await.unwrap().persistent,
        "what it does not know it leaves alone"
    );
}

#[tokio::test]
async fn a_kernel_that_refuses_leaves_nobody_half_admitted() {
    for (call, part, number) in [
        ("write", "auth/password", EINVAL),
        ("link", "acls", EINVAL),
        ("make", "np", EINVAL),
        ("write", "enable", EPERM),
        ("make", "lun_1", EPERM),
        ("write", "vpd_unit_serial", EINVAL),
        ("list", "acls", EPERM),
    ] {
        let host = Host::new();
        let driver = host.driver();
        host.kernel.change(|state| state.refuses = Some((call.into(), part.into(), number)));
        let failed = driver.grant(&volume("a"), &admission(1)).await.unwrap_err();
        assert!(matches!(&failed, AgentError::Unconfirmed { reason } if !reason.contains("secret-of-e1")), "{part}: {failed}");
        assert_eq!(host.login(1), None, "{part}");
        host.kernel.change(|state| state.refuses = None);
        driver.restore().await.unwrap();
        assert_eq!(host.login(1), None, "{part}: whoever retries begins from nobody");
        let seen = driver.read(&volume("a")).await.unwrap();
        assert!(nobody(&seen), "{call} {part}: {seen:?}");
    }
    for (call, part) in [("remove", "acls"), ("unlink", "acls"), ("write", "enable")] {
        let host = Host::new();
        let driver = host.driver();
        driver.grant(&volume("a"), &admission(1)).await.unwrap();
        let session = host.login(1).unwrap();
        host.kernel.change(|state| state.refuses = Some((call.into(), part.into(), EBUSY)));
        assert!(matches!(driver.revoke(&volume("a"), None).await, Err(AgentError::Unconfirmed { .. })), "{part}");
        host.kernel.change(|state| state.refuses = None);
        driver.restore().await.unwrap();
        assert!(host.kernel.write_as(session).is_none() && nobody(&driver.read(&volume("a")).await.unwrap()), "{part}");
    }
}

#[tokio::test]
async fn secrets_are_written_once_to_their_place_and_told_nowhere() {
    let host = Host::new();
    let driver = host.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let writes = host.kernel.state().writes.clone();
    let told: Vec<&String> = writes.iter().filter(|(_, text)| text.contains("secret-of-e1")).map(|(file, _)| file).collect();
    assert_eq!(told, [&format!("iscsi/{}/tpgt_1/acls/{}/auth/password", target("a"), initiator_name(1))]);
    assert!(writes.iter().all(|(_, text)| !text.ends_with('\n')), "the kernel would take it into the secret");
    let last = writes.last().unwrap();
    assert_eq!(
        (last.0.as_str(), last.1.as_str()),
        (format!("iscsi/{}/tpgt_1/enable", target("a")).as_str(), "1"),
        "the door opens last"
    );
}

#[tokio::test]
async fn a_slow_kernel_is_waited_for_and_a_hanging_one_is_not() {
    let host = Host::new();
    let driver = host.driver();
    host.kernel.change(|state| state.slow = Duration::from_millis(5));
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    host.kernel.change(|state| state.slow = Duration::from_secs(2));
    let start = Instant::now();
    assert!(matches!(driver.read(&volume("a")).await, Err(AgentError::Unreachable { .. })));
    assert!(start.elapsed() < Duration::from_secs(7));
    host.kernel.change(|state| state.slow = Duration::ZERO);
}

#[tokio::test]
async fn what_cannot_be_granted_is_rejected_and_what_contradicts_itself_is_not_opened() {
    let host = Host::new();
    let driver = host.driver();
    let odd = [
        ("not an initiator name", Admission { initiator: InitiatorName("ALL".into()), ..admission(1) }),
        ("small letters", Admission { initiator: InitiatorName("iqn.2026-01.org.understudy:WEB1".into()), ..admission(1) }),
        ("small letters", Admission { initiator: InitiatorName("iqn.2026-01.org/../x".into()), ..admission(1) }),
        ("NULL", Admission { secret: Secret::new("NULL-and-void"), ..admission(1) }),
        ("CHAP user", Admission { user: "a\nb".into(), ..admission(1) }),
    ];
    for (why, admission) in odd {
        let refused = driver.grant(&volume("a"), &admission).await;
        assert!(matches!(&refused, Err(AgentError::Rejected { reason }) if reason.contains(why)), "{refused:?}");
    }
    host.kernel.change(|state| state.files.clear());
    assert!(matches!(driver.grant(&volume("a"), &admission(1)).await, Err(AgentError::Rejected { .. })));
    let host = Host::new();
    let wrong: [&dyn Fn(&mut LioConfig); 6] = [
        &|config| config.portals.clear(),
        &|config| config.volumes.get_mut(&volume("b")).unwrap().target = target("a"),
        &|config| config.volumes.get_mut(&volume("b")).unwrap().file = "/v/a.img".into(),
        &|config| config.volumes.get_mut(&volume("b")).unwrap().file = "/v/alias.img".into(),
        &|config| config.volumes.get_mut(&volume("b")).unwrap().file = "/v/a,b.img".into(),
        &|config| config.volumes.get_mut(&volume("b")).unwrap().target = "iqn.2026-01.x:UP".into(),
    ];
    for change in wrong {
        let mut config = Host::config();
        change(&mut config);
        assert!(matches!(host.open(config), Err(storage::OpenError::Config { .. })));
    }
}

#[tokio::test]
async fn an_older_copy_admits_nobody_whom_the_gate_does_not_name() {
    let host = Host::new();
    let driver = host.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    host.kernel.change(|state| state.restart());
    let again = host.driver();
    again.forget_others(&[(volume("a"), initiator_name(2))].into()).await.unwrap();
    again.restore().await.unwrap();
    assert_eq!((host.login(1), host.login(2)), (None, None));
    assert_eq!(names(&again.read(&volume("a")).await.unwrap()).len(), 0);
}
