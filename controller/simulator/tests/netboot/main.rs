//! Machines of the simulated world boot through the real boot service: gate, desk, permits, tokens, DHCP, scripts and HTTP answers are the
//! product's own, the rest is the world's. Judged by what machines get, and by what is on the volume; minutes and days in milliseconds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../../../../hw-fixtures/world/tests/hall/mod.rs"]
mod hall;
mod service;

use hall::{Hall, Provisioning, build, events, machine, nic};
use service::{INITRD_BYTES, KERNEL_BYTES, Service, permit};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use vocabulary::boot::{BootMethod, BootStep, Permit};
use world::machine::{Accident, BootDevice, Event, Machine, Page};

const METHODS: [BootMethod; 2] = [BootMethod::Kernel, BootMethod::San];

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A world in paused time.
fn world<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

struct Site {
    service: Arc<Service>,
    hall: Hall,
    m1: Machine,
}

impl Site {
    async fn raise(seed: u64) -> Site {
        let service = Service::start(seed).await;
        let hall = Hall::new(seed, service.clone());
        let mut build = build(1);
        // a cut hits where a test aims it
        build.times.falls = (Duration::ZERO, Duration::ZERO);
        let m1 = machine(seed, build, &hall);
        Site { service, hall, m1 }
    }

    /// As a plan does it: the volume, then the permit.
    async fn place(&self, permit: &Permit) {
        let root = &permit.root;
        self.hall.bind(&root.initiator.0, &root.user, root.secret.expose());
        self.service.grant(permit).await;
    }

    fn start(&self) {
        drop(self.m1.start(None, Arc::new(())).unwrap());
    }

    async fn until(&self, wanted: impl Fn(&Event) -> bool) {
        self.m1.sees(wanted).await;
    }

    async fn serves(&self) {
        if self.m1.service().is_none() {
            self.until(serves).await;
        }
    }

    fn health(&self) -> Option<u16> {
        health(&self.m1, 1)
    }
}

fn serves(event: &Event) -> bool {
    matches!(event, Event::Serves { .. })
}

fn health(machine: &Machine, n: u8) -> Option<u16> {
    machine.answer(nic(n, 3), [10, 20, 0, 11].into(), "/healthz").and_then(Result::ok).map(|page| page.status)
}

fn count(machine: &Machine, wanted: impl Fn(&Event) -> bool) -> usize {
    events(machine).iter().filter(|event| wanted(event)).count()
}

#[test]
fn a_permitted_machine_boots_to_its_service_by_both_methods() {
    for (method, first) in METHODS.into_iter().flat_map(|method| [(method, None), (method, Some(BootDevice::Http))]) {
        world(async {
            let site = Site::raise(1).await;
            site.place(&permit(1, 5, method)).await;
            drop(site.m1.start(first, Arc::new(())).unwrap());
            site.serves().await;
            sleep(s(30)).await;
            assert_eq!(site.health(), Some(200));
            site.hall.judge();
            assert!(site.hall.acknowledged().len() > 250);
            let steps: Vec<BootStep> = site.service.contacts().iter().map(|contact| contact.step).collect();
            use BootStep::{Claim, Dhcp, Initrd, Kernel, Script};
            let after = if method == BootMethod::Kernel { vec![Script, Kernel, Initrd, Claim] } else { vec![Script, Claim] };
            assert!(steps.ends_with(&after) && steps[..steps.len() - after.len()].iter().all(|step| *step == Dhcp), "{steps:?}");
            let images: Vec<usize> = events(&site.m1)
                .iter()
                .filter_map(|event| if let Event::Image { bytes } = event { Some(*bytes) } else { None })
                .collect();
            let ipxe = first.map(|_| 180_000);
            let kernel = if method == BootMethod::Kernel { vec![KERNEL_BYTES, INITRD_BYTES] } else { vec![] };
            assert_eq!(images, ipxe.into_iter().chain(kernel).collect::<Vec<_>>());
        });
    }
}

#[test]
fn without_a_permit_there_is_silence_and_the_machine_asks_on() {
    world(async {
        let site = Site::raise(2).await;
        site.start();
        sleep(s(3_600)).await;
        assert_eq!(count(&site.m1, |event| matches!(event, Event::Offered(_))), 0);
        assert!(count(&site.m1, |event| *event == Event::NotBootable(BootDevice::Network)) > 100);
        assert!(site.service.contacts().iter().all(|contact| contact.step == BootStep::Dhcp && contact.epoch.is_none()));
        assert!(!site.service.contacts().is_empty(), "the controller is told that it asked");
        // a permit that comes late finds it still asking
        site.place(&permit(1, 5, BootMethod::Kernel)).await;
        site.serves().await;
        site.hall.judge();
    });
}

#[test]
fn a_revocation_at_any_step_before_the_secrets_stops_the_boot() {
    type Step = fn(&Event) -> bool;
    let steps: [(&str, BootMethod, Step); 6] = [
        ("leased", BootMethod::Kernel, |event| matches!(event, Event::Leased(_))),
        ("script", BootMethod::Kernel, |event| *event == Event::Script),
        ("kernel", BootMethod::Kernel, |event| *event == Event::Image { bytes: KERNEL_BYTES }),
        ("initrd", BootMethod::Kernel, |event| *event == Event::Image { bytes: INITRD_BYTES }),
        ("system", BootMethod::Kernel, |event| *event == Event::System),
        ("leased", BootMethod::San, |event| matches!(event, Event::Leased(_))),
    ];
    for (name, method, step) in steps {
        world(async {
            let site = Site::raise(3).await;
            let given = permit(1, 5, method);
            site.place(&given).await;
            site.start();
            site.until(step).await;
            site.service.revoke(&given.machine, 6).await;
            sleep(s(3_600)).await;
            assert_eq!((site.health(), site.hall.tried().len(), site.hall.sessions()), (None, 0, 0), "{name} {method:?}");
            let told = [site.service.asked("/claim"), site.service.asked("/san.ipxe")].concat();
            assert!(told.iter().all(|(_, status)| *status == 0), "{name}: {told:?}");
        });
    }
}

#[test]
fn a_token_is_good_once_and_the_owners_next_boot_gets_another() {
    for method in METHODS {
        world(async {
            let site = Site::raise(4).await;
            site.place(&permit(1, 5, method)).await;
            site.start();
            site.serves().await;
            let secrets = if method == BootMethod::Kernel { "/claim" } else { "/san.ipxe" };
            let (first, status) = site.service.asked(secrets)[0].clone();
            assert_eq!(status, 200);
            let here = [10, 10, 0, 11].into();
            let again = site.service.page(here, &first).await;
            assert_eq!(again, Some(Page { status: 410, body: Vec::new() }));
            assert_eq!(site.service.page([10, 10, 0, 12].into(), &first).await, None, "a stranger is hung up on");
            let before = site.m1.service().unwrap();
            assert!(site.m1.befall(Accident::Reboot));
            site.until(serves).await;
            let asked: Vec<(String, u16)> =
                site.service.asked(secrets).into_iter().filter(|(_, status)| *status == 200).collect();
            assert!(asked.len() == 2 && asked[0].0 != asked[1].0, "{asked:?}");
            assert_eq!(site.service.page(here, &first).await.unwrap().status, 404, "voided by the next boot");
            assert!(site.m1.service().unwrap().incarnation != before.incarnation);
            site.hall.judge();
        });
    }
}

#[test]
fn after_the_lease_a_running_server_runs_on_and_boots_no_more_until_a_controller_is_heard() {
    world(async {
        let site = Site::raise(5).await;
        site.place(&permit(1, 5, BootMethod::Kernel)).await;
        site.start();
        site.serves().await;
        site.m1.freeze().unwrap();
        sleep(s(6 * 86_400)).await;
        site.m1.thaw().unwrap();
        assert!(site.m1.befall(Accident::Reboot), "six days without a controller");
        site.until(serves).await;
        site.m1.freeze().unwrap();
        sleep(s(86_400)).await;
        // a restart of the service does not make it younger
        site.service.restart().await;
        site.m1.thaw().unwrap();
        sleep(s(2)).await;
        assert_eq!(site.health(), Some(200));
        let offered = count(&site.m1, |event| matches!(event, Event::Offered(_)));
        assert!(site.m1.befall(Accident::Reboot), "seven days");
        sleep(s(3_600)).await;
        assert_eq!((site.health(), site.m1.is_on()), (None, true));
        assert_eq!(count(&site.m1, |event| matches!(event, Event::Offered(_))), offered, "silence, from the first packet on");
        site.service.hello().await;
        site.serves().await;
        site.hall.judge();
    });
}

#[test]
fn a_disk_that_went_back_boots_nobody_whom_the_gate_knows_revoked() {
    world(async {
        let site = Site::raise(6).await;
        let given = permit(1, 5, BootMethod::Kernel);
        site.place(&given).await;
        let (permits, gate) = (site.service.permits.copy(), site.service.gate.copy());
        site.service.revoke(&given.machine, 6).await;
        site.service.permits.put_back(permits.clone());
        site.service.restart().await;
        site.start();
        sleep(s(1_800)).await;
        assert_eq!((site.health(), count(&site.m1, |event| matches!(event, Event::Offered(_)))), (None, 0));
        // both as they were before the revocation: what this service cannot know, and why storage is fenced as well
        site.hall.unbind_all();
        site.service.permits.put_back(permits);
        site.service.gate.put_back(gate);
        site.service.restart().await;
        sleep(s(1_800)).await;
        assert!(count(&site.m1, |event| matches!(event, Event::Claimed(_))) > 0);
        assert_eq!((site.health(), site.hall.sessions(), site.hall.acknowledged().len()), (None, 0, 0));
    });
}

#[test]
fn while_the_gates_memory_is_lost_nobody_boots_and_no_permit_is_forgotten() {
    world(async {
        let site = Site::raise(6).await;
        let given = permit(1, 5, BootMethod::San);
        site.place(&given).await;
        site.service.gate.put_back(std::collections::BTreeMap::new());
        site.service.restart().await;
        site.start();
        sleep(s(1_800)).await;
        assert!(!site.service.hello().await.2, "not trusted");
        assert_eq!((site.health(), count(&site.m1, |event| matches!(event, Event::Offered(_)))), (None, 0));
        site.service.readopt(&given).await;
        assert!(site.service.hello().await.2);
        site.serves().await;
        site.hall.judge();
    });
}

/// How many events a boot has from power to service.
async fn steps(method: BootMethod, seed: u64) -> usize {
    let site = Site::raise(seed).await;
    site.place(&permit(1, 5, method)).await;
    site.start();
    site.serves().await;
    site.m1.trace().len()
}

#[test]
fn power_may_fail_at_every_step_of_a_boot_and_again() {
    for method in METHODS {
        let steps = world(steps(method, 7));
        assert!(steps > 10, "{steps}");
        for step in 1..=steps {
            world(async {
                let site = Site::raise(7).await;
                site.place(&permit(1, 5, method)).await;
                for _ in 0..2 {
                    let before = site.m1.trace().len();
                    let life = site.m1.start(None, Arc::new(())).unwrap();
                    while site.m1.trace().len() < before + step {
                        site.until(|_| true).await;
                    }
                    site.m1.kill().unwrap();
                    assert_eq!(life.await, "its power was cut");
                    sleep(s(20)).await;
                    assert!(!site.m1.is_on() && site.health().is_none());
                }
                site.start();
                site.serves().await;
                sleep(s(3)).await;
                assert_eq!(site.health(), Some(200), "{method:?}, step {step}");
                site.hall.judge();
            });
        }
    }
}

/// A server moves from m1, which comes back, to m3; all that both did and what clients were told.
async fn story(seed: u64) -> String {
    let site = Site::raise(seed).await;
    let m3 = machine(seed, build(3), &site.hall);
    let first = permit(1, 5, BootMethod::Kernel);
    site.place(&first).await;
    site.start();
    site.serves().await;
    sleep(s(20)).await;
    site.m1.freeze().unwrap();
    // fenced: its permit, its right to the volume, its session
    site.service.revoke(&first.machine, 6).await;
    site.hall.unbind_all();
    site.hall.cut_sessions();
    let told = site.hall.acknowledged().len();
    site.place(&permit(3, 6, BootMethod::San)).await;
    drop(m3.start(Some(BootDevice::Network), Arc::new(())).unwrap());
    m3.sees(serves).await;
    site.m1.thaw().unwrap();
    sleep(s(120)).await;
    assert_eq!((site.health(), health(&m3, 3)), (Some(503), Some(200)));
    site.m1.befall(Accident::Panic(s(30)));
    sleep(s(600)).await;
    assert_eq!((site.health(), health(&m3, 3)), (None, Some(200)), "it asks, and gets silence");
    let late = site.hall.acknowledged().split_off(told);
    // the one record that lay in its hands when it hung may have been on the volume already
    assert!(late.iter().filter(|(from, _)| *from == nic(1, 3)).count() <= 1);
    assert!(late.len() > 1_000);
    site.hall.judge();
    format!("{:?}\n{:?}\n{:?}\n{:?}", site.m1.trace(), m3.trace(), site.hall.acknowledged(), site.service.contacts())
}

#[test]
fn two_machines_with_one_seed_tell_one_story() {
    let one = world(story(8));
    assert!(one == world(story(8)), "the same seed, another story");
    assert!(one != world(story(9)), "another seed, the same story");
}
