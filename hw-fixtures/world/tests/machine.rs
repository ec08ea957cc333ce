//! A machine's lives in a small hall, minutes of them in milliseconds: boots by kernel and by SAN, hangs, panics, cuts of power and of
//! sessions. Judged by what is on the volume and by what clients were told, never by what a machine thinks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod hall;

use async_trait::async_trait;
use hall::{Hall, Provisioning, TARGET, build, events, machine, nic};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;
use world::machine::frames::udp;
use world::machine::{Accident, BootDevice, Build, Console, Event, LoginError, Mac, Machine, Page, Refused, Stage};

const INITIATOR: &str = "iqn.2026-01.org.understudy:web1.e5";
const KERNEL: &str = "#!ipxe\necho hello\nkernel http://10.10.0.1/kernel initrd=initrd understudy.claim=http://10.10.0.1/claim \
    understudy.mac=52:54:00:0c:01:01 understudy.ip=10.10.0.11/24 quiet || goto failed\ninitrd http://10.10.0.1/initrd || goto failed\n\
    boot || goto failed\n:failed\nsleep 5\nreboot\n";
const SAN: &str = "#!ipxe\nset idx:int32 0\n:next\nisset ${net${idx}/mac} || goto failed\n\
    iseq ${net${idx}/mac} 52:54:00:0c:01:02 && goto found ||\ninc idx\ngoto next\n:found\nset net${idx}/ip 10.30.0.11\n\
    set net${idx}/netmask 255.255.255.0\nifopen net${idx} || goto failed\nchain http://10.10.0.1/san.ipxe || goto failed\n\
    :failed\nsleep 5\nreboot\n";
const LOGIN: &str = "#!ipxe\nset initiator-iqn iqn.2026-01.org.understudy:web1.e5\nset username web1\nset password s3cret\n\
    sanboot iscsi:10.30.0.1::3260:1:iqn.2026-01.lab.understudy:web1-root\n";

/// A provisioning service that keeps no secret: reservations and pages.
#[derive(Default)]
struct Office {
    reserved: Mutex<BTreeMap<Mac, Ipv4Addr>>,
    pages: Mutex<BTreeMap<String, String>>,
}

impl Office {
    /// Serves machine 1 with this script.
    fn open(script: &str) -> Arc<Office> {
        let office = Office::default();
        let claim = format!(
            "SERVER=web1\nINITIATOR={INITIATOR}\nCHAP_USER=web1\nCHAP_PASSWORD=s3cret\nPORTAL=10.30.0.1:3260\nTARGET={TARGET}\nLUN=1\n\
             NIC_PRODUCTION_MAC=52:54:00:0c:01:03\nNIC_PRODUCTION_ADDRESS=10.20.0.11/24\nNIC_STORAGE_MAC=52:54:00:0c:01:02\n\
             NIC_STORAGE_ADDRESS=10.30.0.11/24\n"
        );
        let pages = [("boot.ipxe", script), ("kernel", "vmlinuz"), ("initrd", "cpio"), ("claim", &claim), ("san.ipxe", LOGIN)];
        *office.pages.lock().unwrap() = pages.map(|(name, text)| (format!("/{name}"), text.to_owned())).into();
        office.reserved.lock().unwrap().insert(nic(1, 1), [10, 10, 0, 11].into());
        Arc::new(office)
    }

    fn close(&self) {
        self.reserved.lock().unwrap().clear();
    }
}

#[async_trait]
impl Provisioning for Office {
    fn dhcp(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let mac: Mac = packet[28..34].try_into().unwrap();
        let address = *self.reserved.lock().unwrap().get(&mac)?;
        let asked = packet[240..].windows(3).find(|option| option[..2] == [53, 1]).map(|option| option[2])?;
        let mut answer = vec![2, 1, 6, 0];
        answer.extend(&packet[4..8]);
        answer.resize(16, 0);
        answer.extend(address.octets());
        answer.resize(28, 0);
        answer.extend(mac);
        answer.resize(236, 0);
        answer.extend([99, 130, 83, 99, 53, 1, if asked == 1 { 2 } else { 5 }, 54, 4, 10, 10, 0, 1, 1, 4, 255, 255, 255, 0]);
        let file = b"http://10.10.0.1/boot.ipxe";
        answer.extend([67, file.len() as u8]);
        answer.extend(file);
        answer.push(255);
        Some(udp(([2, 0, 0, 0, 0, 1], mac), "10.10.0.1:67".parse().unwrap(), "255.255.255.255:68".parse().unwrap(), &answer))
    }

    async fn page(&self, from: Ipv4Addr, path: &str) -> Option<Page> {
        self.reserved.lock().unwrap().values().find(|address| **address == from)?;
        let text = self.pages.lock().unwrap().get(path).cloned();
        Some(Page { status: if text.is_some() { 200 } else { 404 }, body: text.unwrap_or_default().into_bytes() })
    }
}

struct Lab {
    office: Arc<Office>,
    hall: Hall,
    machine: Machine,
}

fn lab_of(seed: u64, script: &str, build: Build) -> Lab {
    let office = Office::open(script);
    let hall = Hall::new(seed, office.clone());
    hall.bind(INITIATOR, "web1", "s3cret");
    let machine = machine(seed, build, &hall);
    Lab { office, hall, machine }
}

impl Lab {
    fn start(&self) {
        drop(self.machine.start(None, Arc::new(())).unwrap());
    }

    async fn serves(&self) {
        if self.machine.service().is_none() {
            self.machine.sees(|event| matches!(event, Event::Serves { .. })).await;
        }
    }

    fn health(&self) -> Option<u16> {
        self.machine.answer(nic(1, 3), [10, 20, 0, 11].into(), "/healthz")?.ok().map(|page| page.status)
    }

    fn told(&self) -> usize {
        self.hall.acknowledged().len()
    }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn it_boots_by_kernel_and_by_san_and_acknowledges_what_is_on_the_volume() {
    for script in [KERNEL, SAN] {
        let lab = lab_of(1, script, build(1));
        assert_eq!((lab.health(), lab.machine.is_on()), (None, false));
        lab.start();
        lab.serves().await;
        sleep(s(60)).await;
        assert_eq!(lab.health(), Some(200));
        assert_eq!(lab.machine.answer(nic(1, 2), [10, 20, 0, 11].into(), "/healthz"), None, "not over another NIC");
        assert_eq!(lab.machine.answer(nic(1, 3), [10, 20, 0, 12].into(), "/healthz"), None, "nor at another address");
        assert!((500..=601).contains(&lab.told()), "{}", lab.told());
        lab.hall.judge();
        assert_eq!(lab.hall.sessions(), 1, "the firmware's session ended");
        assert!(lab.hall.sent(nic(1, 3)) > 503 && lab.hall.sent(nic(1, 2)) == 0);

        let before = lab.machine.service().unwrap();
        assert!(lab.machine.befall(Accident::Reboot));
        lab.machine.sees(|event| matches!(event, Event::Serves { .. })).await;
        sleep(s(1)).await;
        let after = lab.machine.service().unwrap();
        assert!(after.incarnation != before.incarnation && after.last > before.last);
        lab.hall.judge();
    }
}

/// What a BMC would hear.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Console for Notes {
    fn reset(&self, cause: &'static str) {
        self.0.lock().unwrap().push(cause.to_owned());
    }
    fn reached(&self, stage: Stage) {
        self.0.lock().unwrap().push(format!("{stage:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn power_is_gone_when_the_life_has_ended_and_not_before() {
    let mut slow = build(1);
    slow.times.falls = (s(3), s(3));
    let lab = lab_of(2, KERNEL, slow);
    let notes = Arc::new(Notes::default());
    let life = lab.machine.start(None, notes.clone()).unwrap();
    assert_eq!(lab.machine.start(None, notes.clone()).err(), Some(Refused::On));
    lab.machine.press();
    lab.serves().await;
    assert_eq!(
        *notes.0.lock().unwrap(),
        ["HardwareInitialized", "SystemStarted", "SystemRuns"],
        "firmware does not look at its button"
    );
    let before = lab.told();
    lab.machine.kill().unwrap();
    lab.machine.kill().unwrap();
    sleep(s(2)).await;
    assert!(lab.machine.is_on() && lab.told() > before, "it runs on while its power falls");
    assert_eq!(life.await, "its power was cut");
    assert_eq!((lab.machine.is_on(), lab.health(), lab.machine.kill()), (false, None, Err(Refused::Off)));
    let (told, sent) = (lab.told(), lab.hall.sent(nic(1, 3)));
    sleep(s(600)).await;
    assert_eq!((lab.told(), lab.hall.sent(nic(1, 3))), (told, sent));
    assert_eq!(lab.hall.sessions(), 1, "nobody logged out");
    lab.hall.judge();
    lab.start();
    lab.serves().await;
    sleep(s(1)).await;
    lab.hall.judge();
}

#[tokio::test(start_paused = true)]
async fn a_press_ends_a_system_in_order() {
    let lab = lab_of(3, KERNEL, build(1));
    let life = lab.machine.start(None, Arc::new(())).unwrap();
    lab.serves().await;
    lab.machine.press();
    assert_eq!(life.await, "the system switched it off");
    assert_eq!((lab.hall.sessions(), lab.health(), lab.machine.is_on()), (0, None, false));
}

#[tokio::test(start_paused = true)]
async fn who_thaws_too_late_tries_with_what_it_remembers_and_tells_nobody_of_a_record() {
    let lab = lab_of(4, KERNEL, build(1));
    lab.start();
    lab.serves().await;
    sleep(s(5)).await;
    lab.machine.freeze().unwrap();
    let told = lab.told();
    sleep(s(300)).await;
    assert_eq!((lab.told(), lab.health(), lab.machine.is_on()), (told, None, true));
    lab.hall.unbind_all();
    lab.hall.cut_sessions();
    lab.machine.thaw().unwrap();
    sleep(s(60)).await;
    // one record may have been on the volume before it froze
    assert!(lab.told() <= told + 1 && lab.health() == Some(503), "{} {told} {:?}", lab.told(), lab.health());
    lab.hall.judge();
    let denied = lab.hall.tried().iter().filter(|(name, let_in)| name == INITIATOR && !let_in).count();
    assert!(denied > 20, "{denied}");
    let seen = events(&lab.machine);
    assert!(seen.contains(&Event::VolumeFailed) && seen.contains(&Event::LoginFailed(LoginError::Denied)));
    // even a right that comes back lets it write no more: its file system went away under it
    lab.hall.bind(INITIATOR, "web1", "s3cret");
    sleep(s(60)).await;
    assert!(lab.told() <= told + 1 && lab.hall.sessions() == 1);
    lab.hall.unbind_all();
    lab.hall.cut_sessions();
    let tried = lab.hall.tried().len();
    sleep(s(60)).await;
    assert!(lab.hall.sessions() == 0 && lab.hall.tried().len() > tried + 20, "and tries on");
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_replaced_in_time_without_a_hole() {
    let lab = lab_of(5, SAN, build(1));
    lab.start();
    lab.serves().await;
    for _ in 0..5 {
        sleep(s(7)).await;
        lab.hall.cut_sessions();
    }
    sleep(s(7)).await;
    assert_eq!(lab.health(), Some(200));
    lab.hall.bar(nic(1, 2), true);
    lab.hall.cut_sessions();
    sleep(s(2)).await;
    lab.hall.bar(nic(1, 2), false);
    sleep(s(20)).await;
    assert_eq!(lab.health(), Some(503), "a login that hung in a barred port outlasts the wait for a new session");
    lab.hall.judge();
    assert_eq!(events(&lab.machine).iter().filter(|event| **event == Event::SessionLost).count(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_loss_of_power_forgets_all_but_what_is_on_a_local_disk() {
    for local_disk in [false, true] {
        let order = vec![BootDevice::Network, BootDevice::Disk];
        let lab = lab_of(6, KERNEL, Build { local_disk, order, ..build(1) });
        lab.start();
        lab.serves().await;
        lab.machine.mains(false);
        lab.machine.sees(|event| matches!(event, Event::Off(_))).await;
        sleep(s(1)).await;
        assert_eq!(lab.machine.start(None, Arc::new(())).err(), Some(Refused::NoMains));
        lab.office.close();
        lab.hall.unbind_all();
        let (tried, told) = (lab.hall.tried().len(), lab.told());
        lab.machine.mains(true);
        assert!(!lab.machine.is_on());
        lab.start();
        sleep(s(1_800)).await;
        let tried: Vec<_> = lab.hall.tried().split_off(tried);
        assert_eq!(tried.is_empty(), !local_disk, "{tried:?}");
        assert!(tried.iter().all(|(name, let_in)| name == INITIATOR && !let_in));
        assert_eq!((lab.told(), lab.health()), (told, None));
        assert!(events(&lab.machine).iter().filter(|event| **event == Event::NotBootable(BootDevice::Network)).count() > 5);
        lab.hall.judge();
    }
}

#[tokio::test(start_paused = true)]
async fn panics_dumps_halts_and_deaths_are_what_they_are() {
    let lab = lab_of(7, KERNEL, build(1));
    assert!(!lab.machine.befall(Accident::Halt), "off");
    let notes = Arc::new(Notes::default());
    let life = lab.machine.start(None, notes.clone()).unwrap();
    assert!(!lab.machine.befall(Accident::Panic(s(1))), "no kernel runs yet");
    lab.serves().await;
    assert!(lab.machine.befall(Accident::Panic(s(120))));
    sleep(s(1)).await;
    let told = lab.told();
    sleep(s(118)).await;
    assert_eq!((lab.told(), lab.health(), lab.machine.is_on(), lab.hall.sessions()), (told, None, true, 1));
    lab.serves().await;
    assert_eq!(notes.0.lock().unwrap()[3], "OSSoftRestart");
    assert!(lab.machine.befall(Accident::Halt));
    sleep(s(3_600)).await;
    assert_eq!((lab.health(), lab.machine.is_on()), (None, true));
    assert!(lab.machine.befall(Accident::Die));
    assert_eq!(life.await, "its hardware failed");
    assert_eq!(lab.machine.start(None, notes).err(), Some(Refused::Broken));
    lab.machine.repair();
    lab.start();
    lab.serves().await;
    lab.hall.judge();
}

#[tokio::test(start_paused = true)]
async fn a_script_that_is_not_understood_fails_loudly() {
    for strange in ["imgtrust --permanent || goto failed", "chain --replace http://10.10.0.1/x ||", "set net0/dns 10.0.0.1 ||"] {
        let lab = lab_of(8, &format!("#!ipxe\n{strange}\n:failed\nreboot\n"), build(1));
        lab.start();
        lab.machine.sees(|event| matches!(event, Event::ScriptUnknown(_))).await;
        assert!(!events(&lab.machine).contains(&Event::Reset), "{strange}");
    }
}

#[test]
fn a_seed_tells_one_story() {
    let story = |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let lab = lab_of(seed, SAN, build(1));
            lab.start();
            lab.serves().await;
            sleep(s(30)).await;
            lab.hall.cut_sessions();
            lab.machine.befall(Accident::Panic(s(20)));
            lab.serves().await;
            lab.machine.kill().unwrap();
            sleep(s(5)).await;
            lab.start();
            lab.serves().await;
            lab.hall.judge();
            (lab.machine.trace(), lab.hall.acknowledged())
        })
    };
    let one = story(11);
    assert_eq!(one, story(11));
    assert_ne!(one.0, story(12).0);
    assert!(one.0.last().unwrap().at > s(200), "{:?}", one.0.last());
}
