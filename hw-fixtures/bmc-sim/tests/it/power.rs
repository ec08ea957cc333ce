//! Power follows the process: On is a live child, Off a reaped one. Must never take the simulator's word where /proc can be asked.

use std::time::Duration;

use bmc_sim::{MachineConfig, Request};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{MANAGER, SYSTEM, exists, rig, rig_with};

fn name() -> String {
    "m1".into()
}

#[tokio::test]
async fn a_power_cycle_starts_a_child_and_off_means_reaped() {
    let rig = rig().await;
    assert_eq!(rig.power().await, "Off");
    assert_eq!(rig.rail().await, "Off");
    assert_eq!(rig.reset("On").await, StatusCode::NO_CONTENT);
    assert_eq!(rig.power().await, "On");
    assert_eq!(rig.rail().await, "On");
    let pid = rig.pid().unwrap();
    assert!(exists(pid));
    let group = nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(pid))).unwrap();
    assert_eq!(group.as_raw(), pid, "the machine has a process group of its own");
    assert_eq!(rig.reset("ForceOff").await, StatusCode::NO_CONTENT);
    rig.until_power("Off").await;
    assert!(!exists(pid), "Off, but the process (or its zombie) is there");
    assert_eq!(rig.rail().await, "Off");
    let system = rig.get(SYSTEM).await;
    assert_eq!(system["LastResetCause"], "ManagementCommand");
}

#[tokio::test]
async fn a_machine_killed_from_outside_reads_off() {
    let rig = rig().await;
    rig.reset("On").await;
    let pid = rig.pid().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    rig.until_power("Off").await;
    assert!(!exists(pid));
}

#[tokio::test]
async fn a_machine_that_ends_by_itself_reads_off() {
    let mut machine = MachineConfig::for_test("m1");
    machine.argv = vec!["sleep".into(), "2".into()];
    let rig = rig_with(machine).await;
    rig.reset("On").await;
    assert_eq!(rig.power().await, "On");
    rig.until_power("Off").await;
}

#[tokio::test]
async fn a_frozen_machine_reads_on_and_dies_by_force_off_only() {
    let rig = rig().await;
    rig.reset("On").await;
    let pid = rig.pid().unwrap();
    rig.simulator.control.perform(Request::Freeze { name: name() }).await.unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(stat.contains(") T "), "not stopped: {stat}");
    assert_eq!(rig.power().await, "On");
    assert_eq!(rig.reset("GracefulShutdown").await, StatusCode::NO_CONTENT);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(rig.power().await, "On");
    assert_eq!(rig.reset("ForceOff").await, StatusCode::NO_CONTENT);
    rig.until_power("Off").await;
    assert!(!exists(pid));
}

#[tokio::test]
async fn graceful_shutdown_and_thaw_end_a_machine() {
    let rig = rig().await;
    rig.reset("On").await;
    rig.simulator.control.perform(Request::Freeze { name: name() }).await.unwrap();
    rig.reset("GracefulShutdown").await;
    rig.simulator.control.perform(Request::Thaw { name: name() }).await.unwrap();
    rig.until_power("Off").await;
}

#[tokio::test]
async fn force_restart_is_a_new_process_and_never_reads_off() {
    let rig = rig().await;
    rig.reset("On").await;
    let old = rig.pid().unwrap();
    let (answer, readings) = tokio::join!(rig.reset("ForceRestart"), async {
        let mut readings = Vec::new();
        for _ in 0..10 {
            readings.push(rig.power().await);
        }
        readings
    });
    assert_eq!(answer, StatusCode::NO_CONTENT);
    assert!(readings.iter().all(|r| r == "On"), "{readings:?}");
    let new = rig.pid().unwrap();
    assert_ne!(old, new);
    assert!(!exists(old) && exists(new));
}

#[tokio::test]
async fn the_whole_group_dies_with_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("grandchild");
    let mut machine = MachineConfig::for_test("m1");
    machine.argv = vec!["sh".into(), "-c".into(), format!("sleep 1000 & echo $! > {}; wait", file.display())];
    let rig = rig_with(machine).await;
    rig.reset("On").await;
    let mut grandchild = String::new();
    for _ in 0..200 {
        grandchild = std::fs::read_to_string(&file).unwrap_or_default();
        if grandchild.ends_with('\n') {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let grandchild: i32 = grandchild.trim().parse().unwrap();
    rig.reset("ForceOff").await;
    rig.until_power("Off").await;
    // Its reaper is somebody else (init), so a zombie is the most that may be left of it.
    for _ in 0..200 {
        let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the grandchild {grandchild} lives on");
}

#[tokio::test]
async fn the_power_button_starts_a_dead_machine() {
    let rig = rig().await;
    rig.simulator.control.perform(Request::PressPowerButton { name: name() }).await.unwrap();
    assert_eq!(rig.power().await, "On");
    assert_eq!(rig.get(SYSTEM).await["LastResetCause"], "PowerButtonPress");
}

#[tokio::test]
async fn after_a_power_loss_the_active_restore_policy_decides() {
    for (policy, ran, comes_back) in
        [("AlwaysOn", false, true), ("AlwaysOff", true, false), ("LastState", true, true), ("LastState", false, false)]
    {
        let rig = rig().await;
        assert_eq!(rig.patch(json!({ "PowerRestorePolicy": policy })).await.status(), StatusCode::OK);
        if ran {
            rig.reset("On").await;
        }
        let control = &rig.simulator.control;
        control.perform(Request::PowerLoss { name: name() }).await.unwrap();
        assert_eq!(rig.pid(), None, "{policy}: runs without mains power");
        let dark = tokio::time::timeout(Duration::from_millis(200), rig.try_get(SYSTEM)).await;
        assert!(dark.is_err(), "{policy}: the BMC answers without mains power");
        assert!(control.perform(Request::PowerOn { name: name() }).await.is_err());
        control.perform(Request::PowerReturn { name: name() }).await.unwrap();
        assert_eq!(rig.pid().is_some(), comes_back, "{policy}, ran before: {ran}");
        assert_eq!(rig.power().await, if comes_back { "On" } else { "Off" });
        if comes_back {
            assert_eq!(rig.get(SYSTEM).await["LastResetCause"], "PowerRestorePolicy");
        }
    }
}

#[tokio::test]
async fn a_boot_override_of_once_is_consumed_by_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("boots");
    let mut machine = MachineConfig::for_test("m1");
    let script = format!("echo $BMC_SIM_BOOT_TARGET $* >> {}; exec sleep 1000", file.display());
    machine.argv = ["sh", "-c", &script, "machine"].map(String::from).to_vec();
    machine.boot_args.insert("Pxe".into(), vec!["from-network".into()]);
    let rig = rig_with(machine).await;
    let boot = json!({ "BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe" });
    assert_eq!(rig.patch(json!({ "Boot": boot })).await.status(), StatusCode::OK);
    assert_eq!(rig.get(SYSTEM).await["Boot"]["BootSourceOverrideTarget"], "Pxe");
    for _ in 0..2 {
        rig.reset("On").await;
        assert_eq!(rig.get(SYSTEM).await["Boot"]["BootSourceOverrideEnabled"], "Disabled");
        let lines = std::fs::read_to_string(&file).unwrap_or_default().lines().count();
        for _ in 0..200 {
            if std::fs::read_to_string(&file).unwrap_or_default().lines().count() > lines {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        rig.reset("ForceOff").await;
        rig.until_power("Off").await;
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "Pxe from-network\nNone\n");
}

#[tokio::test]
async fn a_program_that_is_not_there_fails_the_start_and_stays_off() {
    let mut machine = MachineConfig::for_test("m1");
    machine.argv = vec!["/nonexistent/machine".into()];
    let rig = rig_with(machine).await;
    assert_eq!(rig.reset("On").await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(rig.power().await, "Off");
}

#[tokio::test]
async fn a_dropped_handle_kills_its_machines() {
    let rig = rig().await;
    rig.reset("On").await;
    let pid = rig.pid().unwrap();
    rig.simulator.shutdown().await;
    assert!(!exists(pid));
}

#[tokio::test]
async fn boot_progress_is_read_from_the_console() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("serial.log");
    std::fs::write(&log, "login: of an earlier run\n").unwrap();
    let mut machine = MachineConfig::for_test("m1");
    machine.serial_log = Some(log.clone());
    let rig = rig_with(machine).await;
    assert_eq!(rig.get(SYSTEM).await["BootProgress"]["LastState"], "None");
    rig.reset("On").await;
    assert_eq!(rig.get(SYSTEM).await["BootProgress"]["LastState"], "PrimaryProcessorInitializationStarted");
    std::fs::write(&log, "SeaBIOS (version 1)\n[    0.000000] Linux vers").unwrap();
    assert_eq!(rig.get(SYSTEM).await["BootProgress"]["LastState"], "SystemHardwareInitializationComplete");
    std::fs::write(&log, "SeaBIOS (version 1)\n[    0.000000] Linux version 6.1\n").unwrap();
    assert_eq!(rig.get(SYSTEM).await["BootProgress"]["LastState"], "OSBootStarted");
    assert!(rig.get(MANAGER).await["LastResetTime"].is_string());
}
