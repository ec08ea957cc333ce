//! The monitor of a machine: resets it tells move LastResetTime and LastResetCause, the ACPI button reaches it.
//! Must never need QEMU: the test is the other end of the socket and speaks what QEMU speaks.

use std::time::Duration;

use bmc_sim::MachineConfig;
use reqwest::StatusCode;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::support::{Rig, SYSTEM, rig_with};

const GREETING: &[u8] = b"{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n";

async fn cause_becomes(rig: &Rig, wanted: &str) {
    for _ in 0..500 {
        if rig.get(SYSTEM).await["LastResetCause"] == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("LastResetCause never became {wanted}");
}

/// Accepts the simulator's connection and takes its handshake.
async fn accept(listener: &UnixListener) -> BufReader<UnixStream> {
    let (stream, _) = tokio::time::timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
    let mut peer = BufReader::new(stream);
    peer.write_all(GREETING).await.unwrap();
    assert_eq!(command(&mut peer).await, "qmp_capabilities");
    peer.write_all(b"{\"return\": {}}\r\n").await.unwrap();
    peer
}

async fn command(peer: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    tokio::time::timeout(Duration::from_secs(5), peer.read_line(&mut line)).await.unwrap().unwrap();
    serde_json::from_str::<serde_json::Value>(&line).unwrap()["execute"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn resets_told_by_the_monitor_are_seen_after_every_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    let mut machine = MachineConfig::for_test("m1");
    machine.qmp = Some(path);
    let rig = rig_with(machine).await;
    for start in 0..2 {
        assert_eq!(rig.reset("On").await, StatusCode::NO_CONTENT);
        let mut peer = accept(&listener).await;
        let before = rig.get(SYSTEM).await["LastResetTime"].as_str().unwrap().to_owned();
        assert_eq!(rig.get(SYSTEM).await["LastResetCause"], "ManagementCommand", "start {start}");
        // LastResetTime has whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let event = b"{\"timestamp\": {}, \"event\": \"RESET\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n";
        // In two pieces, as a stream may deliver it.
        peer.write_all(&event[..20]).await.unwrap();
        assert_eq!(rig.reset("GracefulShutdown").await, StatusCode::NO_CONTENT);
        assert_eq!(command(&mut peer).await, "system_powerdown");
        peer.write_all(&event[20..]).await.unwrap();
        cause_becomes(&rig, "OSSoftRestart").await;
        assert!(rig.get(SYSTEM).await["LastResetTime"].as_str().unwrap() > before.as_str());
        drop(peer);
        // The connection broke while the machine runs: it is made again.
        let mut peer = accept(&listener).await;
        peer.write_all(b"{\"event\": \"RESET\", \"data\": {\"reason\": \"guest-panic\"}}\r\n").await.unwrap();
        cause_becomes(&rig, "SystemCrash").await;
        // Firmware resets once more on its way through a warm reset: the cause stays.
        peer.write_all(&event[..]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(rig.get(SYSTEM).await["LastResetCause"], "SystemCrash");
        rig.reset("ForceOff").await;
        rig.until_power("Off").await;
    }
}
