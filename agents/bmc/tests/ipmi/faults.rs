//! What goes wrong on real sockets, each under its own name, none of it ever taken for "the machine is off".

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use contract::AgentError;
use vocabulary::Secret;
use vocabulary::estate::{CipherSuite, IpmiAccess, IpmiPrivilege};
use vocabulary::power::{BootTarget, PowerState};

use crate::proxy::Proxy;
use crate::sim::{LONG_PASSWORD, Sim, UUID, door};

fn reason<T: std::fmt::Debug>(outcome: Result<T, AgentError>) -> String {
    match outcome {
        Err(AgentError::Rejected { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_tried_again_at_once() {
    let sim = Sim::start(UUID);
    let proxy = Proxy::start(sim.address).await;
    let mut door = door(proxy.address);
    door.password = Secret::new("wrong");
    let driver = bmc::open(&door).unwrap();
    let said = reason(driver.read().await);
    assert!(said.starts_with("F1009: BMC ") && said.contains("another password"), "{said}");
    let asked = proxy.with(|orders| orders.asked);
    for outcome in [driver.read().await, driver.power_off().await, driver.power_on().await] {
        assert!(reason(outcome).contains("another password"));
    }
    assert_eq!((proxy.with(|orders| orders.asked), sim.commands()), (asked, 0));
}

#[tokio::test]
async fn a_password_that_the_bmc_has_cut_is_named() {
    let sim = Sim::start(UUID);
    let mut door = door(sim.address);
    (door.bmc.user, door.password) = ("long".into(), Secret::new(LONG_PASSWORD));
    let said = reason(bmc::open(&door).unwrap().read().await);
    assert!(said.starts_with("F1009: BMC ") && said.contains("only the first 19 bytes"), "{said}");
    door.password = Secret::new(&LONG_PASSWORD[..19]);
    bmc::open(&door).unwrap().read().await.unwrap();
}

#[tokio::test]
async fn a_user_who_is_locked_or_unknown_is_named() {
    let sim = Sim::start(UUID);
    for user in ["locked", "nobody"] {
        let mut door = door(sim.address);
        door.bmc.user = user.into();
        let said = reason(bmc::open(&door).unwrap().read().await);
        assert!(said.starts_with("F1010: ") && said.contains("does not take this user"), "{user}: {said}");
    }
}

#[tokio::test]
async fn a_door_for_watching_never_commands() {
    let sim = Sim::start(UUID);
    let proxy = Proxy::start(sim.address).await;
    let mut door = door(proxy.address);
    // the simulator would let this user do more: it is the driver that does not
    door.bmc.user = "watcher".into();
    door.bmc.ipmi = Some(IpmiAccess { privilege: IpmiPrivilege::User, ..IpmiAccess::default() });
    let driver = bmc::open(&door).unwrap();
    assert_eq!(driver.read().await.unwrap().system_power, PowerState::Off);
    let asked = proxy.with(|orders| orders.asked);
    let outcomes = [
        driver.power_off().await,
        driver.power_on().await,
        driver.shut_down().await,
        driver.set_boot_target(BootTarget::Pxe).await,
        driver.set_restore_policy_off().await,
    ];
    for outcome in outcomes {
        assert!(reason(outcome).contains("nothing was sent"));
    }
    assert_eq!(proxy.with(|orders| orders.asked), asked);
}

#[tokio::test]
async fn no_weaker_suite_than_allowed_is_spoken() {
    let sim = Sim::start(UUID);
    let mut door = door(sim.address);
    door.bmc.ipmi = Some(IpmiAccess { weakest_suite: CipherSuite::Seventeen, ..IpmiAccess::default() });
    let said = reason(bmc::open(&door).unwrap().read().await);
    assert!(said.contains("none of the cipher suites"), "{said}");
}

#[tokio::test]
async fn a_bmc_that_restarts_is_read_again_on_another_session() {
    let mut sim = Sim::start(UUID);
    let driver = bmc::open(&door(sim.address)).unwrap();
    let before = driver.read().await.unwrap();
    assert_eq!(driver.read().await.unwrap().session, before.session);
    sim.kill();
    sim.again();
    let after = driver.read().await.unwrap();
    assert_ne!(after.session, before.session, "what was read before and after is not one unbroken look");
    let power = (before.system_power, after.system_power);
    assert_eq!(power, (PowerState::Off, PowerState::Unknown), "the Off of a BMC that may just have started is not believed");
    sim.kill();
    let outcome = driver.read().await;
    assert!(matches!(outcome, Err(AgentError::Unreachable { .. })), "{outcome:?}");
    sim.again();
    // sent to a session that the BMC has forgotten: the command waits until it is known again who answers
    driver.read().await.unwrap();
    sim.kill();
    sim.again();
    driver.power_on().await.unwrap();
    assert_eq!((sim.is_on(), sim.commands()), (true, 1));
}

#[tokio::test]
async fn one_late_reply_does_not_shift_the_answers() {
    let sim = Sim::start(UUID);
    let proxy = Proxy::start(sim.address).await;
    let driver = bmc::open(&door(proxy.address)).unwrap();
    driver.read().await.unwrap();
    for round in 0..20 {
        let on = round % 2 == 0;
        sim.switch(on);
        proxy.with(|orders| orders.hold = true);
        let wanted = if on { PowerState::On } else { PowerState::Off };
        assert_eq!(driver.read().await.unwrap().system_power, wanted, "round {round}");
    }
    assert!(proxy.with(|orders| orders.late) >= 20);
}

#[tokio::test]
async fn a_session_is_given_back_when_its_driver_goes() {
    // more drivers, one after the other, than the simulator has sessions
    let sim = Sim::start(UUID);
    for _ in 0..70 {
        let driver = bmc::open(&door(sim.address)).unwrap();
        driver.read().await.unwrap();
        drop(driver);
    }
}

#[tokio::test]
async fn a_full_table_of_sessions_is_named() {
    let sim = Sim::start(UUID);
    let mut drivers = Vec::new();
    let said = loop {
        let driver = bmc::open(&door(sim.address)).unwrap();
        match driver.read().await {
            Ok(_) => drivers.push(driver),
            Err(error) => break error.to_string(),
        }
        assert!(drivers.len() < 100, "the simulator has no end of sessions");
    };
    assert!(said.contains("F1013: ") && said.contains("no free session"), "after {}: {said}", drivers.len());
    // one goes, one comes
    drivers.pop().unwrap().close().await;
    bmc::open(&door(sim.address)).unwrap().read().await.unwrap();
}

#[tokio::test]
async fn the_dead_do_not_delay_the_living() {
    let sim = Sim::start(UUID);
    let driver = bmc::open(&door(sim.address)).unwrap();
    driver.read().await.unwrap();
    let sockets: Vec<UdpSocket> = (0..50).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let dead: Vec<_> = sockets
        .iter()
        .map(|socket| {
            let driver = bmc::open(&door(socket.local_addr().unwrap())).unwrap();
            tokio::spawn(async move { driver.read().await })
        })
        .collect();
    let begun = Instant::now();
    let mut reads = 0;
    while begun.elapsed() < Duration::from_millis(1_500) {
        let before = Instant::now();
        driver.read().await.unwrap();
        assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
        reads += 1;
    }
    assert!(reads > 5, "{reads}");
    for outcome in dead {
        assert!(matches!(outcome.await.unwrap(), Err(AgentError::Unreachable { .. })));
    }
}
