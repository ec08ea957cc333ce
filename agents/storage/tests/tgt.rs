//! The tgt driver against a real daemon and a real initiator: what a revocation cuts, what a restart brings back, what foreign hands do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use contract::AgentError;
use contract::conformance::{self, StorageFixture};
use contract::storage::{Admission, Storage};
use std::sync::{Arc, Mutex};
use storage::Kept;
use support::initiator::{Failed, Initiator};
use support::{Daemon, admission, initiator_name, target, volume};
use vocabulary::VolumeName;
use vocabulary::storage::{InitiatorName, VolumeReading};

/// The login was refused because the target shows itself to nobody of that name.
const NOT_FOUND: Failed = Failed::Login(2, 3);

fn names(reading: &VolumeReading) -> Vec<String> {
    reading.allowed.iter().map(|name| name.0.clone()).collect()
}

#[tokio::test]
async fn a_grant_admits_exactly_one_initiator_with_its_secret() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    driver.restore().await.unwrap();
    let before = driver.read(&volume("a")).await.unwrap();
    assert_eq!((before.exports, names(&before).len(), before.sessions.len(), before.open_to_others), (1, 0, 0, false));
    assert_eq!(Initiator::login(daemon.port, &target("a"), 1, 1).err(), Some(NOT_FOUND));

    let granted = driver.grant(&volume("a"), &admission(1)).await.unwrap();
    assert_eq!(names(&granted), [initiator_name(1).0]);
    assert!(granted.persistent && !granted.open_to_others);
    let mut server = Initiator::login(daemon.port, &target("a"), 1, 1).unwrap();
    server.write(7, b'x').unwrap();
    let one = driver.read(&volume("a")).await.unwrap();
    assert_eq!(
        one.sessions.iter().map(|s| (s.initiator.clone(), s.address.as_str())).collect::<Vec<_>>(),
        [(initiator_name(1), "127.0.0.1")]
    );
    assert_eq!(std::fs::read(daemon.file("a")).unwrap()[7 * 512], b'x');

    assert_eq!(Initiator::login(daemon.port, &target("a"), 2, 2).err(), Some(NOT_FOUND), "another name");
    let name = initiator_name(1).0;
    let wrong = Initiator::begin(daemon.port, &target("a"), &name, Some(("web1.e1", "wrong-secret-99")), "none", 3);
    assert!(matches!(wrong.err(), Some(Failed::Login(2, 1))), "a wrong secret");
    let without = Initiator::begin(daemon.port, &target("a"), &name, None, "none", 4).and_then(|pending| pending.finish());
    assert!(without.is_err(), "no secret at all");
    assert_eq!(Initiator::login(daemon.port, &target("b"), 1, 5).err(), Some(NOT_FOUND), "another volume");
}

#[tokio::test]
async fn the_operations_grow_with_every_write_and_never_shrink() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let mut server = Initiator::login(daemon.port, &target("a"), 1, 1).unwrap();
    let mut last = driver.read(&volume("a")).await.unwrap().operations.unwrap();
    for n in 0..5 {
        server.write(n, b'o').unwrap();
        let now = driver.read(&volume("a")).await.unwrap().operations.unwrap();
        assert!(now > last, "a write is a sign of life");
        last = now;
    }
    let still = driver.read(&volume("a")).await.unwrap().operations.unwrap();
    assert_eq!(still, last, "looking is no sign of life");
    drop(server);
    let mut server = Initiator::login(daemon.port, &target("a"), 1, 2).unwrap();
    server.write(9, b'o').unwrap();
    assert!(driver.read(&volume("a")).await.unwrap().operations.unwrap() > last, "a new session goes on counting");
}

#[tokio::test]
async fn a_revocation_ends_live_and_stale_sessions_for_good() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let mut sessions: Vec<Initiator> =
        (1..=4).map(|isid| Initiator::login(daemon.port, &target("a"), 1, isid).unwrap()).collect();
    for (n, session) in sessions.iter_mut().enumerate() {
        session.write(u32::try_from(n).unwrap(), b'1').unwrap();
    }
    assert_eq!(driver.read(&volume("a")).await.unwrap().sessions.len(), 4);

    let revoked = driver.revoke(&volume("a"), None).await.unwrap();
    assert_eq!((revoked.sessions.len(), names(&revoked).len(), revoked.exports), (0, 0, 1));
    assert!(revoked.persistent && !revoked.open_to_others && revoked.in_flight == Some(0));
    for session in &mut sessions {
        assert_eq!(session.write(100, b'Z').err(), Some(Failed::Gone), "not one byte more");
    }
    assert_eq!(Initiator::login(daemon.port, &target("a"), 1, 9).err(), Some(NOT_FOUND));
    assert_eq!(std::fs::read(daemon.file("a")).unwrap()[100 * 512], 0);
    assert!(!daemon.adm(&["--mode", "account", "--op", "show"]).unwrap().contains("web1.e1"), "the account is gone");

    let granted = driver.grant(&volume("a"), &admission(2)).await.unwrap();
    assert_eq!(names(&granted), [initiator_name(2).0]);
    Initiator::login(daemon.port, &target("a"), 2, 1).unwrap().write(100, b'2').unwrap();
    assert_eq!(Initiator::login(daemon.port, &target("a"), 1, 1).err(), Some(NOT_FOUND), "the old incarnation stays out");
}

/// A frozen server may have been frozen in the middle of its login.
#[tokio::test]
async fn a_login_that_began_before_the_revocation_does_not_end_well_after_it() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    let begin = |n: u32| {
        let (name, user, secret) = (initiator_name(n).0, format!("web1.e{n}"), format!("secret-of-e{n}"));
        Initiator::begin(daemon.port, &target("a"), &name, Some((&user, &secret)), "none", 1).unwrap()
    };
    // the negative control: taking the admission away and ending every session, by hand, does not keep the pending login out
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let pending = begin(1);
    let tid = daemon.tid(&target("a"));
    daemon.adm(&["--mode", "target", "--op", "unbind", "--tid", &tid, "--initiator-name", &initiator_name(1).0]).unwrap();
    daemon.adm(&["--mode", "account", "--op", "unbind", "--tid", &tid, "--user", "web1.e1"]).unwrap();
    assert!(!daemon.adm(&["--mode", "conn", "--op", "show", "--tid", &tid]).unwrap().contains("Session"));
    pending.finish().unwrap().write(3, b'!').unwrap();

    driver.revoke(&volume("a"), None).await.unwrap();
    driver.grant(&volume("a"), &admission(2)).await.unwrap();
    let pending = begin(2);
    driver.revoke(&volume("a"), None).await.unwrap();
    assert!(matches!(pending.finish().err(), Some(Failed::Login(..) | Failed::Gone)));
    driver.grant(&volume("a"), &admission(3)).await.unwrap();
    let reading = driver.read(&volume("a")).await.unwrap();
    assert_eq!((reading.sessions.len(), names(&reading)), (0, vec![initiator_name(3).0]));
}

#[tokio::test]
async fn what_is_kept_works_on_and_all_others_go() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let mut kept = Initiator::login(daemon.port, &target("a"), 1, 1).unwrap();
    let tid = daemon.tid(&target("a"));
    daemon.adm(&["--mode", "target", "--op", "bind", "--tid", &tid, "--initiator-name", "iqn.2026-01.foreign:x"]).unwrap();
    let name = "iqn.2026-01.foreign:x";
    let stranger = Initiator::begin(daemon.port, &target("a"), name, Some(("web1.e1", "secret-of-e1")), "none", 2);
    let mut stranger = stranger.unwrap().finish().unwrap();
    stranger.write(1, b's').unwrap();
    let seen = driver.read(&volume("a")).await.unwrap();
    assert_eq!((seen.sessions.len(), names(&seen).len(), seen.persistent), (2, 2, false), "what a foreign hand did is seen");

    let revoked = driver.revoke(&volume("a"), Some(&initiator_name(1))).await.unwrap();
    assert_eq!((revoked.sessions.len(), names(&revoked)), (1, vec![initiator_name(1).0]));
    assert_eq!(stranger.write(2, b's').err(), Some(Failed::Gone));
    kept.write(3, b'k').unwrap();
    let gone = driver.revoke(&volume("a"), Some(&initiator_name(7))).await.unwrap();
    assert_eq!(names(&gone).len(), 0, "keeping one who is not admitted keeps nobody");
    assert_eq!(kept.write(4, b'k').err(), Some(Failed::Gone));
}

#[tokio::test]
async fn a_second_export_of_the_same_object_is_seen_and_cut() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let alias = daemon.folder.path().join("alias.img");
    std::os::unix::fs::symlink(daemon.file("a"), &alias).unwrap();
    for arguments in [
        vec!["--mode", "target", "--op", "new", "--tid", "900", "--targetname", "iqn.2026-01.foreign:second"],
        vec!["--mode", "logicalunit", "--op", "new", "--tid", "900", "--lun", "1", "--backing-store", alias.to_str().unwrap()],
        vec!["--mode", "target", "--op", "bind", "--tid", "900", "--initiator-address", "ALL"],
    ] {
        daemon.adm(&arguments).unwrap();
    }
    let backdoor = Initiator::begin(daemon.port, "iqn.2026-01.foreign:second", "iqn.2026-01.foreign:y", None, "none", 1);
    let mut backdoor = backdoor.unwrap().finish().unwrap();
    backdoor.write(11, b'b').unwrap();
    let seen = driver.read(&volume("a")).await.unwrap();
    assert_eq!((seen.exports, seen.open_to_others, seen.sessions.len(), seen.persistent), (2, true, 1, false));

    let revoked = driver.revoke(&volume("a"), None).await.unwrap();
    assert_eq!((revoked.exports, revoked.open_to_others, revoked.sessions.len()), (1, false, 0));
    assert!(backdoor.write(12, b'b').is_err());
    assert_eq!(std::fs::read(daemon.file("a")).unwrap()[12 * 512], 0, "not one byte more");
}

#[tokio::test]
async fn an_empty_daemon_gets_back_what_was_decided_and_nothing_more() {
    let mut daemon = Daemon::start();
    let driver = daemon.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    driver.grant(&volume("b"), &admission(2)).await.unwrap();
    driver.revoke(&volume("b"), None).await.unwrap();
    let serial = |daemon: &Daemon| -> Vec<String> {
        let shown = daemon.adm(&["--mode", "target", "--op", "show"]).unwrap();
        shown
            .lines()
            .filter(|line| line.contains("SCSI") && !line.contains("beaf") && !line.contains("IET"))
            .map(str::to_owned)
            .collect()
    };
    let before = serial(&daemon);
    assert_eq!(before.len(), 4);
    daemon.kill();
    assert!(matches!(driver.read(&volume("a")).await, Err(AgentError::Unreachable { .. })));
    assert!(matches!(driver.restore().await, Err(AgentError::Unreachable { .. })));
    daemon.again();
    assert_eq!(Initiator::login(daemon.port, &target("a"), 1, 1).err(), Some(Failed::Gone), "an empty daemon admits nobody");
    driver.restore().await.unwrap();
    Initiator::login(daemon.port, &target("a"), 1, 1).unwrap().write(1, b'r').unwrap();
    assert_eq!(Initiator::login(daemon.port, &target("b"), 2, 1).err(), Some(NOT_FOUND), "a revocation survives the restart");
    let mut after = serial(&daemon);
    after.sort();
    let mut before = before;
    before.sort();
    assert_eq!(after, before, "a disk keeps its name");

    daemon.kill();
    assert!(matches!(driver.revoke(&volume("a"), None).await, Err(AgentError::Unconfirmed { .. })));
    daemon.again();
    daemon.driver().restore().await.unwrap();
    assert_eq!(Initiator::login(daemon.port, &target("a"), 1, 1).err(), Some(NOT_FOUND), "decided while the daemon was down");
}

#[tokio::test]
async fn an_agent_that_starts_again_disturbs_no_session() {
    let daemon = Daemon::start();
    daemon.driver().grant(&volume("a"), &admission(1)).await.unwrap();
    let mut server = Initiator::login(daemon.port, &target("a"), 1, 1).unwrap();
    server.write(1, b'1').unwrap();
    let again = daemon.driver();
    for _ in 0..3 {
        again.restore().await.unwrap();
    }
    server.write(2, b'2').unwrap();
    let same = again.grant(&volume("a"), &admission(1)).await.unwrap();
    assert_eq!(same.sessions.len(), 1, "the same grant again is the same grant");
    server.write(3, b'3').unwrap();
    let empty = tempfile::tempdir().unwrap();
    let amnesiac = storage::open(&daemon.config(), empty.path()).unwrap();
    amnesiac.restore().await.unwrap();
    server.write(4, b'4').unwrap();
    assert!(!amnesiac.read(&volume("a")).await.unwrap().persistent, "what it does not know it does not vouch for");
}

#[tokio::test]
async fn an_admission_by_a_foreign_hand_ends_by_itself() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let mut server = Initiator::login(daemon.port, &target("a"), 1, 1).unwrap();
    let tid = daemon.tid(&target("a"));
    // two accounts, the foreign one first: taking away the first of several makes the daemon die at its next listing
    daemon.adm(&["--mode", "account", "--op", "unbind", "--tid", &tid, "--user", "web1.e1"]).unwrap();
    daemon.adm(&["--mode", "account", "--op", "new", "--user", "foreign", "--password", "foreign-secret"]).unwrap();
    daemon.adm(&["--mode", "account", "--op", "bind", "--tid", &tid, "--user", "foreign"]).unwrap();
    daemon.adm(&["--mode", "account", "--op", "bind", "--tid", &tid, "--user", "web1.e1"]).unwrap();
    daemon.adm(&["--mode", "target", "--op", "bind", "--tid", &tid, "--initiator-address", "127.0.0.1"]).unwrap();
    let name = "iqn.2026-01.foreign:z";
    let stranger = Initiator::begin(daemon.port, &target("a"), name, Some(("foreign", "foreign-secret")), "none", 2);
    let mut stranger = stranger.unwrap().finish().unwrap();
    stranger.write(1, b's').unwrap();
    assert!(driver.read(&volume("a")).await.unwrap().open_to_others);

    driver.restore().await.unwrap();
    assert_eq!(stranger.write(2, b's').err(), Some(Failed::Gone));
    server.write(3, b'1').unwrap();
    let reading = driver.read(&volume("a")).await.unwrap();
    assert_eq!((reading.sessions.len(), names(&reading), reading.open_to_others), (1, vec![initiator_name(1).0], false));
}

#[tokio::test]
async fn a_hostile_alias_does_not_save_its_session() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    let alias = format!("x\n    ACL information:\nTarget 77: {}\n    I_T nexus information:", target("a"));
    let name = initiator_name(1).0;
    let hostile = Initiator::begin(daemon.port, &target("a"), &name, Some(("web1.e1", "secret-of-e1")), &alias, 1);
    let mut hostile = hostile.unwrap().finish().unwrap();
    hostile.write(1, b'h').unwrap();
    assert!(matches!(driver.read(&volume("a")).await, Err(AgentError::Unconfirmed { .. })), "a forged listing is no reading");
    let revoked = driver.revoke(&volume("a"), None).await.unwrap();
    assert_eq!((revoked.sessions.len(), revoked.exports), (0, 1));
    assert!(hostile.write(2, b'h').is_err());
}

#[tokio::test]
async fn what_cannot_be_granted_is_rejected_with_its_reason() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    let reason = |result: Result<VolumeReading, AgentError>| match result {
        Err(AgentError::Rejected { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(driver.read(&volume("nope")).await).contains("no volume `nope`"));
    assert!(reason(driver.revoke(&volume("nope"), None).await).contains("no volume"));
    let mut odd = admission(1);
    odd.initiator.0 = "ALL".into();
    assert!(reason(driver.grant(&volume("a"), &odd).await).contains("not an initiator name"));
    let mut odd = admission(1);
    odd.user = "-h".into();
    assert!(reason(driver.grant(&volume("a"), &odd).await).contains("CHAP user"));
    driver.grant(&volume("b"), &admission(1)).await.unwrap();
    let mut odd = admission(1);
    odd.secret = vocabulary::Secret::new("another-secret");
    assert!(reason(driver.grant(&volume("a"), &odd).await).contains("another secret"));
    driver.grant(&volume("a"), &admission(1)).await.unwrap();
    driver.revoke(&volume("a"), None).await.unwrap();
    Initiator::login(daemon.port, &target("b"), 1, 1).unwrap().write(1, b'b').unwrap();
    std::fs::remove_file(daemon.file("a")).unwrap();
    assert!(reason(driver.grant(&volume("a"), &admission(3)).await).contains("does not exist"));
}

/// Whatever a server wrote before the revocation was answered, it wrote before: the file never changes afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_writer_is_cut_off_and_drained() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    for round in 1..=5 {
        driver.grant(&volume("a"), &admission(round)).await.unwrap();
        let mut server = Initiator::login(daemon.port, &target("a"), round, 1).unwrap();
        let busy = std::thread::spawn(move || (0..u32::MAX).find(|n| server.write(n % 2000, (n % 251) as u8).is_err()));
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        let revoked = driver.revoke(&volume("a"), None).await.unwrap();
        let (after, at) =
            (std::fs::read(daemon.file("a")).unwrap(), std::fs::metadata(daemon.file("a")).unwrap().modified().unwrap());
        assert_eq!(revoked.in_flight, Some(0));
        assert!(busy.join().unwrap().unwrap() > 10, "it was busy");
        assert_eq!(std::fs::metadata(daemon.file("a")).unwrap().modified().unwrap(), at);
        assert_eq!(std::fs::read(daemon.file("a")).unwrap(), after);
    }
}

/// The gate gives up on a driver that hangs, and lets the next command in. What the daemon still has before it of the one that was
/// abandoned it does before anything that is asked later.
#[tokio::test]
async fn what_a_hanging_daemon_still_does_outlives_no_revocation() {
    const MOMENT: std::time::Duration = std::time::Duration::from_millis(300);
    let daemon = Daemon::start();
    let mark = daemon.folder.path().join("hung");
    let driver = storage::open(&daemon.config_that_hangs_it(&mark), daemon.folder.path()).unwrap();
    for (round, wakes_first) in [(1, true), (2, false), (3, false)] {
        let abandoned = tokio::spawn({
            let driver = driver.clone();
            async move { driver.grant(&volume("a"), &admission(round)).await }
        });
        while !mark.exists() {
            tokio::time::sleep(MOMENT / 30).await;
        }
        tokio::time::sleep(MOMENT).await;
        abandoned.abort();
        assert!(abandoned.await.unwrap_err().is_cancelled());
        if wakes_first {
            daemon.signal("CONT");
            let seen = driver.read(&volume("a")).await.unwrap();
            assert_eq!(names(&seen), [initiator_name(round).0], "it did what nobody waited for any more");
        }
        let revoke = tokio::spawn({
            let driver = driver.clone();
            async move { driver.revoke(&volume("a"), None).await }
        });
        tokio::time::sleep(MOMENT).await;
        daemon.signal("CONT");
        assert_eq!(names(&revoke.await.unwrap().unwrap()).len(), 0);
        tokio::time::sleep(MOMENT).await;
        assert_eq!(names(&driver.read(&volume("a")).await.unwrap()).len(), 0);
        assert_eq!(Initiator::login(daemon.port, &target("a"), round, 1).err(), Some(NOT_FOUND));
        std::fs::remove_file(&mark).unwrap();
    }
}

struct Fixture {
    daemon: Daemon,
    driver: Arc<dyn Kept>,
    sessions: Mutex<Vec<Initiator>>,
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
        let chap = Some((who.user.as_str(), who.secret.expose()));
        let pending = Initiator::begin(self.daemon.port, &target("a"), &who.initiator.0, chap, "none", 1);
        let session = pending.and_then(|pending| pending.finish());
        Some(session.map(|session| self.sessions.lock().unwrap().push(session)).is_ok())
    }
    async fn admit(&self, _: &VolumeName, initiator: &InitiatorName) -> Option<Result<(), String>> {
        let tid = self.daemon.tid(&target("a"));
        Some(self.daemon.adm(&["--mode", "target", "--op", "bind", "--tid", &tid, "--initiator-name", &initiator.0]).map(drop))
    }
}

#[tokio::test]
async fn it_conforms() {
    let daemon = Daemon::start();
    let driver = daemon.driver();
    conformance::storage(&Fixture { daemon, driver, sessions: Mutex::default() }).await.unwrap();
}
