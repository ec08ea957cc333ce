//! Proves the LIO driver on a real kernel with real iSCSI sessions: the conformance suite, what a revocation cuts, foreign hands, restarts.
//! Runs inside a machine of its own (`lio-selftest FOLDER DEVICE`), prints a line a law, exits 0 if all hold. It needs an empty target, and
//! changes nothing but that, the folder and the device.
#![allow(clippy::print_stdout, reason = "its lines are its result")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "the initiator belongs to tests")]

#[path = "../tests/support/initiator.rs"]
mod initiator;
#[path = "../tests/support/md5.rs"]
mod md5;

use async_trait::async_trait;
use contract::AgentError;
use contract::conformance::{self, StorageFixture, Verdict};
use contract::storage::{Admission, Storage};
use initiator::{Failed, Initiator};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use storage::lio::{Export, LioConfig};
use storage::registry::Driver;
use storage::{Kept, StorageConfig};
use vocabulary::storage::{InitiatorName, VolumeReading};
use vocabulary::{Secret, VolumeName};

const ROOT: &str = "/sys/kernel/config/target";
const PORT: u16 = 3260;
/// The kernel ends a login that says nothing any more after 15 s.
const LOGIN_ENDS: Duration = Duration::from_secs(40);

fn ensure(holds: bool, law: &str, seen: impl Debug) -> Verdict {
    if holds { Ok(()) } else { Err(format!("{law}; seen: {seen:?}")) }
}

fn told<T>(what: &str, result: Result<T, impl Debug>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error:?}"))
}

fn volume(name: &str) -> VolumeName {
    name.parse().expect("a name")
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

fn nobody(reading: &VolumeReading) -> bool {
    reading.allowed.is_empty() && reading.sessions.is_empty() && !reading.open_to_others && reading.exports == 1
}

fn here(path: &str) -> PathBuf {
    Path::new(ROOT).join(path)
}

/// A foreign hand: sets an attribute.
fn set(path: &str, text: &str) -> Verdict {
    told(path, std::fs::write(here(path), text))
}

/// A foreign hand: makes a folder.
fn make(path: &str) -> Verdict {
    told(path, std::fs::create_dir(here(path)))
}

/// A foreign hand: makes a link.
fn link(to: &str, path: &str) -> Verdict {
    told(path, std::os::unix::fs::symlink(here(to), here(path)))
}

struct Bench {
    folder: PathBuf,
    device: PathBuf,
    driver: Arc<dyn Kept>,
    sessions: Mutex<Vec<Initiator>>,
}

impl Bench {
    fn open(folder: &str, device: &str) -> Result<Bench, String> {
        let (folder, device) = (PathBuf::from(folder), PathBuf::from(device));
        told("folder", std::fs::create_dir_all(&folder))?;
        told("file", std::fs::File::create(folder.join("a.img")).and_then(|file| file.set_len(4 << 20)))?;
        let driver = Bench::driver(&folder, &device)?;
        Ok(Bench { folder, device, driver, sessions: Mutex::default() })
    }

    /// The driver, with its state in the folder. A second one is the agent after a restart.
    fn driver(folder: &Path, device: &Path) -> Result<Arc<dyn Kept>, String> {
        let export = |name: &str, file: PathBuf| (volume(name), Export { target: target(name), lun: 1, file });
        let config = StorageConfig {
            storage: told("id", "store1".parse())?,
            driver: Driver::Lio(LioConfig {
                configfs: ROOT.into(),
                portals: [told("portal", format!("127.0.0.1:{PORT}").parse())?].into(),
                volumes: [export("a", folder.join("a.img")), export("b", device.to_owned())].into(),
            }),
        };
        told("open", storage::open(&config, folder))
    }

    async fn grant(&self, name: &str, n: u32) -> Result<VolumeReading, String> {
        told("grant", self.driver.grant(&volume(name), &admission(n)).await)
    }

    async fn revoke(&self, name: &str) -> Result<VolumeReading, String> {
        told("revoke", self.driver.revoke(&volume(name), None).await)
    }

    async fn read(&self, name: &str) -> Result<VolumeReading, String> {
        told("read", self.driver.read(&volume(name)).await)
    }

    fn login(&self, name: &str, n: u32, isid: u8) -> Result<Initiator, String> {
        told("login", Initiator::login(PORT, &target(name), n, isid))
    }

    fn byte(&self, block: usize) -> Result<u8, String> {
        Ok(told("file", std::fs::read(self.folder.join("a.img")))?[block * 512])
    }
}

#[async_trait]
impl StorageFixture for Bench {
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
        let session =
            Initiator::begin(PORT, &target("a"), &who.initiator.0, chap, "none", 1).and_then(|pending| pending.finish());
        Some(session.map(|session| self.sessions.lock().expect("no panic").push(session)).is_ok())
    }
    async fn admit(&self, _: &VolumeName, initiator: &InitiatorName) -> Option<Result<(), String>> {
        Some(make(&format!("iscsi/{}/tpgt_1/acls/{initiator}", target("a"))))
    }
}

/// A busy writer, several sessions, and one that is silent: after the revocation not one byte more.
async fn cut(bench: &Bench) -> Verdict {
    for round in 1..=3 {
        bench.grant("a", round).await?;
        let mut idle = (2..5).map(|isid| bench.login("a", round, isid)).collect::<Result<Vec<_>, _>>()?;
        let mut server = bench.login("a", round, 1)?;
        told("write", server.write(1, b'1'))?;
        let seen = bench.read("a").await?;
        ensure(seen.sessions.iter().all(|one| one.initiator == initiator_name(round)), "sessions are its own", &seen)?;
        ensure(!seen.sessions.is_empty() && seen.persistent, "they are seen", &seen)?;
        let busy = std::thread::spawn(move || (0..u32::MAX).find(|n| server.write(n % 4000, (n % 251) as u8).is_err()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        let start = Instant::now();
        let revoked = bench.revoke("a").await?;
        let took = start.elapsed();
        let file = bench.folder.join("a.img");
        let (after, at) =
            (told("file", std::fs::read(&file))?, told("file", std::fs::metadata(&file).and_then(|of| of.modified()))?);
        ensure(nobody(&revoked) && revoked.persistent && revoked.in_flight == Some(0), "a revocation leaves nobody", &revoked)?;
        let written = busy.join().expect("no panic");
        ensure(written.is_some_and(|written| written > 10), "it was busy", written)?;
        for session in &mut idle {
            ensure(session.write(9, b'Z') == Err(Failed::Gone), "a silent session ends too", "it wrote")?;
        }
        let same = told("file", std::fs::read(&file))? == after
            && told("file", std::fs::metadata(&file).and_then(|of| of.modified()))? == at;
        ensure(same, "not one byte more", took)?;
        println!("     a busy writer of {written:?} blocks and 3 silent sessions were cut off in {took:?}");
    }
    Ok(())
}

/// A server whose cable was pulled leaves a session that the kernel keeps for a while.
async fn stale(bench: &Bench) -> Verdict {
    bench.grant("a", 8).await?;
    drop((bench.login("a", 8, 1)?, bench.login("a", 8, 2)?));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = bench.read("a").await?;
    let start = Instant::now();
    let revoked = bench.revoke("a").await?;
    println!("     {} stale sessions were seen, and were ended in {:?}", seen.sessions.len(), start.elapsed());
    ensure(nobody(&revoked), "a stale session is ended like another", revoked)
}

/// A frozen server may have been frozen in the middle of its login.
async fn pending(bench: &Bench) -> Verdict {
    bench.grant("a", 1).await?;
    let begin = || Initiator::begin(PORT, &target("a"), &initiator_name(1).0, Some(("web1.e1", "secret-of-e1")), "none", 1);
    let frozen = told("begin", begin())?;
    let start = Instant::now();
    let mut held = 0;
    loop {
        match bench.driver.revoke(&volume("a"), None).await {
            Ok(reading) if nobody(&reading) => break,
            other => {
                println!("     at {:?}: {other:?}", start.elapsed());
                held += 1;
                ensure(start.elapsed() < LOGIN_ENDS, "a login that began holds a revocation only for so long", other)?;
            }
        }
    }
    println!("     a revocation past a frozen login took {:?}, and was unconfirmed {held} times", start.elapsed());
    bench.grant("a", 2).await?;
    ensure(frozen.finish().is_err(), "a login that began before the revocation does not end well after it", "it did")?;
    let seen = bench.read("a").await?;
    ensure(seen.sessions.is_empty() && seen.allowed == [initiator_name(2)], "and leaves nothing", seen)
}

async fn foreign(bench: &Bench) -> Verdict {
    bench.grant("a", 1).await?;
    let mut server = bench.login("a", 1, 1)?;
    told("write", server.write(1, b'1'))?;
    // another target, over another backstore of the same file by another name
    let alias = bench.folder.join("alias.img");
    let _ = std::fs::remove_file(&alias);
    told("alias", std::os::unix::fs::symlink(bench.folder.join("a.img"), &alias))?;
    make("core/fileio_9")?;
    make("core/fileio_9/second")?;
    set("core/fileio_9/second/control", &format!("fd_dev_name={},fd_dev_size={}", alias.display(), 4 << 20))?;
    set("core/fileio_9/second/enable", "1")?;
    let second = "iscsi/iqn.2026-01.foreign:second";
    for folder in [second.to_owned(), format!("{second}/tpgt_1"), format!("{second}/tpgt_1/lun/lun_1")] {
        make(&folder)?;
    }
    link("core/fileio_9/second", &format!("{second}/tpgt_1/lun/lun_1/x"))?;
    for (attribute, value) in [("generate_node_acls", "1"), ("authentication", "0"), ("demo_mode_write_protect", "0")] {
        set(&format!("{second}/tpgt_1/attrib/{attribute}"), value)?;
    }
    make(&format!("{second}/tpgt_1/np/127.0.0.1:{PORT}"))?;
    set(&format!("{second}/tpgt_1/enable"), "1")?;
    let name = "iqn.2026-01.foreign:y";
    let backdoor =
        Initiator::begin(PORT, "iqn.2026-01.foreign:second", name, None, "none", 1).and_then(|pending| pending.finish());
    let mut backdoor = told("back door", backdoor)?;
    told("back door", backdoor.write(6000, b'b'))?;
    let seen = bench.read("a").await?;
    let strange = seen.sessions.iter().any(|session| session.initiator.0 == name);
    ensure(seen.exports == 2 && seen.open_to_others && strange && !seen.persistent, "a second export is seen", seen)?;
    told("restore", bench.driver.restore().await)?;
    ensure(backdoor.write(6001, b'b').is_err() && bench.byte(6001)? == 0, "a second export ends by the clock", "it wrote")?;
    told("kept", server.write(2, b'2'))?;
    let seen = bench.read("a").await?;
    ensure(seen.exports == 1 && !seen.open_to_others && seen.allowed == [initiator_name(1)], "and only that", seen)?;
    // everybody is let in at the volume's own target
    let own = format!("iscsi/{}/tpgt_1", target("a"));
    set(&format!("{own}/attrib/generate_node_acls"), "1")?;
    set(&format!("{own}/attrib/authentication"), "0")?;
    let stranger = Initiator::begin(PORT, &target("a"), name, None, "none", 2).and_then(|pending| pending.finish());
    let mut stranger = told("demo mode", stranger)?;
    let seen = bench.read("a").await?;
    let strange = seen.sessions.iter().any(|session| session.initiator.0 == name);
    ensure(seen.open_to_others && strange, "an open target is seen, and who came in", seen)?;
    // closed again by hand, which the kernel's own memory of the stranger outlives
    told("restore", bench.driver.restore().await)?;
    ensure(stranger.write(13, b's').is_err(), "a stranger's session ends", "it wrote")?;
    let again = Initiator::begin(PORT, &target("a"), name, None, "none", 3).and_then(|pending| pending.finish());
    ensure(again.is_err(), "and it does not come back", "it did")?;
    let mut server = bench.login("a", 1, 4)?;
    told("the holder", server.write(3, b'3'))?;
    let revoked = bench.revoke("a").await?;
    ensure(nobody(&revoked) && revoked.persistent, "a revocation leaves nobody", revoked)
}

/// Empties the kernel's target, as a restart of the machine does.
fn forget() -> Verdict {
    let list = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).map(|found| found.filter_map(|one| Some(one.ok()?.path())).collect()).unwrap_or_default()
    };
    let unlinked = |folder: &Path| {
        for unit in list(folder) {
            for link in list(&unit).iter().filter(|path| path.is_symlink()) {
                let _ = std::fs::remove_file(link);
            }
            let _ = std::fs::remove_dir(unit);
        }
    };
    for target in list(&here("iscsi")).into_iter().filter(|path| path.is_dir()) {
        for group in list(&target).into_iter().filter(|path| path.ends_with("tpgt_1")) {
            for acl in list(&group.join("acls")) {
                unlinked(&acl);
                let _ = std::fs::remove_dir(acl);
            }
            unlinked(&group.join("lun"));
            unlinked(&group.join("np"));
            told("group", std::fs::remove_dir(group))?;
        }
        let _ = std::fs::remove_dir(target);
    }
    told("fabric", std::fs::remove_dir(here("iscsi")))?;
    for adapter in list(&here("core")).into_iter().filter(|path| !path.ends_with("alua")) {
        unlinked(&adapter);
        told("adapter", std::fs::remove_dir(adapter))?;
    }
    Ok(())
}

async fn restart(bench: &Bench) -> Verdict {
    let serial = |name: &str| -> Result<String, String> {
        let adapter = if name == "a" { "fileio_0" } else { "iblock_0" };
        told("serial", std::fs::read_to_string(here(&format!("core/{adapter}/understudy-{name}/wwn/vpd_unit_serial"))))
    };
    bench.grant("a", 5).await?;
    bench.grant("b", 6).await?;
    let mut server = bench.login("b", 6, 1)?;
    told("write", server.write(1, b'b'))?;
    let before = (serial("a")?, serial("b")?);
    let again = Bench::driver(&bench.folder, &bench.device)?;
    for _ in 0..3 {
        told("restore", again.restore().await)?;
    }
    told("an agent that starts again disturbs no session", server.write(2, b'b'))?;
    bench.revoke("a").await?;
    forget()?;
    ensure(server.write(3, b'b').is_err(), "an empty target serves nobody", "it wrote")?;
    let again = Bench::driver(&bench.folder, &bench.device)?;
    told("restore", again.restore().await)?;
    ensure((serial("a")?, serial("b")?) == before, "a disk keeps its name", before)?;
    told("what was decided is back", bench.login("b", 6, 1)?.write(4, b'b'))?;
    let out = Initiator::login(PORT, &target("a"), 5, 1).err();
    ensure(out.is_some(), "a revocation survives the restart", out)?;
    let (a, b) = (bench.read("a").await?, bench.read("b").await?);
    ensure(nobody(&a) && a.persistent && b.allowed == [initiator_name(6)] && b.persistent, "as decided", (a, b))?;
    let revoked = bench.revoke("b").await?;
    ensure(nobody(&revoked), "a block device is revoked like a file", revoked)
}

async fn life(bench: &Bench) -> Verdict {
    bench.grant("a", 7).await?;
    let mut server = bench.login("a", 7, 1)?;
    told("write", server.write(1, b'l'))?;
    let mut last = bench.read("a").await?.operations;
    for n in 0..5 {
        told("write", server.write(n, b'l'))?;
        let now = bench.read("a").await?.operations;
        ensure(now > last, "a write is a sign of life", (last, now))?;
        last = now;
    }
    let still = bench.read("a").await?.operations;
    ensure(still == last, "looking is no sign of life", (last, still))?;
    let alias = "x\nNo active iSCSI Session\nLIO Session ID: 9\n   Address 192.0.2.66 TCP";
    let name = initiator_name(7).0;
    let hostile = Initiator::begin(PORT, &target("a"), &name, Some(("web1.e7", "secret-of-e7")), alias, 2);
    let mut hostile = told("alias", hostile.and_then(|pending| pending.finish()))?;
    let seen = bench.read("a").await?;
    let honest = seen.sessions.iter().any(|session| session.initiator.0 == name && session.address == "127.0.0.1");
    ensure(honest, "an alias hides no session", seen)?;
    let wrong = Initiator::begin(PORT, &target("a"), &name, Some(("web1.e7", "a-wrong-secret")), "none", 3);
    ensure(wrong.is_err(), "a wrong secret", "it got in")?;
    let without = Initiator::begin(PORT, &target("a"), &name, None, "none", 4).and_then(|pending| pending.finish());
    ensure(without.is_err(), "no secret at all", "it got in")?;
    bench.revoke("a").await?;
    ensure(hostile.write(2, b'h').is_err(), "a hostile alias does not save its session", "it wrote")?;
    let rounds = 20;
    let start = Instant::now();
    for _ in 0..rounds {
        bench.read("a").await?;
    }
    let read = start.elapsed() / rounds;
    let start = Instant::now();
    for round in 0..rounds {
        bench.grant("a", 100 + round).await?;
    }
    println!("     one reading {read:?}, one grant to another initiator {:?}", start.elapsed() / rounds);
    bench.revoke("a").await.map(drop)
}

async fn refused(bench: &Bench) -> Verdict {
    let wrong = bench.driver.read(&volume("nope")).await;
    ensure(matches!(wrong, Err(AgentError::Rejected { .. })), "an unknown volume is rejected", wrong)?;
    let mut shouting = admission(1);
    shouting.initiator.0 = "iqn.2026-01.org.understudy:WEB1".into();
    let wrong = bench.driver.grant(&volume("a"), &shouting).await;
    ensure(matches!(wrong, Err(AgentError::Rejected { .. })), "a name that the kernel would not find is rejected", wrong)
}

async fn run(bench: &Bench) -> bool {
    let mut all = true;
    let mut note = |law: &str, verdict: Verdict| {
        all &= verdict.is_ok();
        match verdict {
            Ok(()) => println!("PASS {law}"),
            Err(reason) => println!("FAIL {law}: {reason}"),
        }
    };
    note("conformance", conformance::storage(bench).await);
    bench.sessions.lock().expect("no panic").clear();
    note("cut", cut(bench).await);
    note("stale sessions", stale(bench).await);
    note("signs of life", life(bench).await);
    note("foreign hands", foreign(bench).await);
    note("restart", restart(bench).await);
    note("a frozen login", pending(bench).await);
    note("refused", refused(bench).await);
    all
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, device] = arguments.as_slice() else {
        println!("usage: lio-selftest FOLDER DEVICE");
        return ExitCode::from(2);
    };
    let all = match Bench::open(folder, device) {
        Ok(bench) => run(&bench).await,
        Err(reason) => {
            println!("FAIL open: {reason}");
            false
        }
    };
    println!("SELFTEST {}", if all { "PASS" } else { "FAIL" });
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
