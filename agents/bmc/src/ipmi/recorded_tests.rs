//! The driver against a recording of IPMI: the lines of `tests/recordings/*.ipmi`, answered over a real socket by a peer that keeps to the
//! specification. Must never invent an answer that was not recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use vocabulary::Secret;
use vocabulary::estate::{Bmc, BmcAccess, BmcProtocol, SecretReference};
use vocabulary::power::{Identity, PowerState, RestorePolicy};

use super::peer::{Peer, account};
use crate::driver::{Door, Purpose};
use crate::findings::{Can, name};
use crate::given::Given;

/// Completion code and data by netfn, command and data.
fn recording(text: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let bytes = |part: &str| -> Vec<u8> { part.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect() };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once('>').unwrap()).map(|(asked, told)| (bytes(asked), bytes(told))).collect()
}

#[tokio::test]
async fn the_recorded_bmc_of_this_repository_reads_as_it_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/bmc-sim.ipmi");
    let recording = recording(&std::fs::read_to_string(file).unwrap());
    let on = recording[&vec![0x00, 0x01]][1] & 1 == 1;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let peer = Arc::new(Mutex::new(Peer::new(account("secret"))));
    peer.lock().unwrap().recording = Some(recording);
    let served = Arc::clone(&peer);
    let serve = tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let reply = served.lock().unwrap().receive(&buffer[..length]);
            if let Some(reply) = reply {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    });
    let bmc = Bmc {
        protocol: BmcProtocol::Ipmi,
        address,
        user: "controller".into(),
        password: SecretReference("file:unused".into()),
        agent: None,
        certificate: "enrol".into(),
        access: BmcAccess::Command,
        ipmi: None,
    };
    let identity = Identity { uuid: "00000000-0000-4000-8000-000000000001".into(), serial: String::new() };
    let driver = super::open(
        &Door::new(bmc, identity.clone(), Secret::new("secret"), None),
        Purpose::Act,
        &Given::by_the_machine(),
        &super::Lines::of_the_process(),
    )
    .unwrap();
    let reading = driver.read().await.unwrap();
    assert_eq!(reading.identity, identity);
    assert!(on, "the recording was made of a machine that was on");
    assert_eq!((reading.system_power, reading.chassis_power), (PowerState::On, None));
    assert_eq!((reading.restore_policy, reading.health.as_deref()), (RestorePolicy::LastState, None));
    let found = driver.found().unwrap();
    assert!(found.platform.contains("firmware") && found.session.contains("cipher suite 17"), "{found:?}");
    assert!(found.abilities.iter().any(|able| able.name == name::RAIL && able.can == Can::No));
    // nothing in it ever changes: a command that it has no answer for is refused
    assert!(driver.power_off().await.is_err());
    assert_eq!(peer.lock().unwrap().controls, 0);
    serve.abort();
}
