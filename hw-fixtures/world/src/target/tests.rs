//! Tests of the target: its lists, letter by letter as the daemon printed them, and its rules of who gets in and who is cut off.

use super::*;
use crate::target::session::Initiator;

const UNIT: Duration = Duration::from_millis(5);

fn initiator(name: &str, isid: u64) -> Initiator {
    Initiator { name: name.to_owned(), address: "127.0.0.1".parse().unwrap(), isid, alias: "none".to_owned() }
}

fn hand(target: &Target, line: &str) -> Result<String, String> {
    let ended = target.by_hand(&line.split(' ').collect::<Vec<_>>());
    if ended.code == Some(0) && ended.said.is_empty() { Ok(ended.printed) } else { Err(ended.said.trim().to_owned()) }
}

fn exported() -> Target {
    let target = Target::start(Dice::of(1, "target"));
    target.add_object("/srv/f", 1 << 20);
    for line in [
        "--mode target --op new --tid 1 --targetname iqn.t:a",
        "--mode logicalunit --op new --tid 1 --lun 1 --backing-store /srv/f",
        "--mode account --op new --user u1 --password one",
        "--mode account --op bind --tid 1 --user u1",
        "--mode target --op bind --tid 1 --initiator-name iqn.i:1",
    ] {
        assert_eq!(hand(&target, line), Ok(String::new()), "{line}");
    }
    target
}

fn paused(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

/// Recorded of tgtd 1.0.85 with one session that wrote twice, the first time met by a unit attention.
#[test]
fn its_lists_are_the_daemons() {
    paused(async {
        let target = exported();
        let session = target.log_in("iqn.t:a", &initiator("iqn.i:1", 1), Some(("u1", "one"))).await.unwrap();
        target.write(session, 1, 1, 7, UNIT).await.unwrap();
        hand(&target, "--mode target --op bind --tid 1 --initiator-address 10.0.0.0/8").unwrap();
        assert_eq!(
            hand(&target, "--mode conn --op show --tid 1").unwrap(),
            "Session: 1\n    Connection: 0\n        Initiator: iqn.i:1\n        IP Address: 127.0.0.1\n"
        );
        assert_eq!(
            hand(&target, "--mode target --op stat --tid 1").unwrap(),
            "tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) wr_done(bytes,cmds) errs
  1   0   1            0      0            0      0            0      0            0      0    0
  1   1   1            0      0            0      0         1024      2         1024      2    1
"
        );
        let shown = hand(&target, "--mode target --op show").unwrap();
        let begin = "Target 1: iqn.t:a
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 1
            Initiator: iqn.i:1 alias: none
            Connection: 0
                IP Address: 127.0.0.1
    LUN information:
        LUN: 0
            Type: controller
            SCSI ID: IET     00010000
            SCSI SN: beaf10
            Size: 0 MB, Block size: 1
";
        assert!(shown.starts_with(begin), "{shown}");
        assert!(
            shown.ends_with("    Account information:\n        u1\n    ACL information:\n        10.0.0.0/8\n        iqn.i:1\n")
        );
    });
}

#[test]
fn either_a_name_or_an_address_lets_in_and_a_secret_is_demanded_of_both() {
    paused(async {
        let target = exported();
        let (one, two) = (initiator("iqn.i:1", 1), initiator("iqn.i:2", 2));
        let good = Some(("u1", "one"));
        assert_eq!(target.log_in("iqn.t:z", &one, good).await, Err(LoginError::NotFound));
        assert_eq!(target.log_in("iqn.t:a", &two, good).await, Err(LoginError::NotFound));
        for bad in [None, Some(("u1", "two")), Some(("u2", "one"))] {
            assert_eq!(target.log_in("iqn.t:a", &one, bad).await, Err(LoginError::Authentication));
        }
        hand(&target, "--mode account --op new --user u2 --password one").unwrap();
        assert_eq!(target.log_in("iqn.t:a", &one, Some(("u2", "one"))).await, Err(LoginError::Authentication), "not bound here");
        target.log_in("iqn.t:a", &one, good).await.unwrap();
        for (bound, enters) in [("10.0.0.0/8", false), ("banana", false), ("127.0.0.0/8", true)] {
            hand(&target, &format!("--mode target --op bind --tid 1 --initiator-address {bound}")).unwrap();
            assert_eq!(target.log_in("iqn.t:a", &two, good).await.is_ok(), enters, "{bound}");
        }
        assert_eq!(target.writers("/srv/f").len(), 2, "the address let the wrong name in");
    });
}

#[test]
fn an_admission_taken_back_cuts_nobody_off_and_a_deleted_connection_does() {
    paused(async {
        let target = exported();
        let (one, good) = (initiator("iqn.i:1", 1), Some(("u1", "one")));
        let session = target.log_in("iqn.t:a", &one, good).await.unwrap();
        let pending = target.begin_login("iqn.t:a", &initiator("iqn.i:1", 2), good).await.unwrap();
        hand(&target, "--mode target --op unbind --tid 1 --initiator-name iqn.i:1").unwrap();
        assert_eq!(target.write(session, 1, 3, 3, UNIT).await, Ok(()));
        let second = target.finish_login(pending).await.unwrap();
        assert_eq!(target.write(second, 1, 4, 4, UNIT).await, Ok(()), "a login that had begun ended well");
        assert_eq!(hand(&target, "--mode target --op delete --tid 1"), Err("tgtadm: this target is still active".to_owned()));

        let flight = target.begin_write(second, 1, 5, 5, UNIT).unwrap();
        assert_eq!(
            hand(&target, "--mode logicalunit --op delete --tid 1 --lun 1"),
            Err("tgtadm: this logical unit is still active".to_owned())
        );
        for number in [1, 2, 2] {
            hand(&target, &format!("--mode conn --op delete --tid 1 --sid {number} --cid 0")).unwrap();
        }
        assert_eq!(target.write(session, 1, 6, 6, UNIT).await, Err(WriteError::Lost));
        assert!(hand(&target, "--mode conn --op show --tid 1").unwrap().contains("Session: 2"), "the disk is still at work");
        assert_eq!(flight.done().await, Err(WriteError::Lost), "nobody acknowledges it");
        assert_eq!(target.content("/srv/f").get(&5), None);
        tokio::time::sleep(UNIT).await;
        assert_eq!(target.content("/srv/f"), [(3, 3), (4, 4), (5, 5)].into(), "but it is done");
        assert_eq!(hand(&target, "--mode conn --op show --tid 1").unwrap(), "");
        hand(&target, "--mode target --op delete --tid 1").unwrap();
    });
}

#[test]
fn a_daemon_that_starts_anew_forgets_all_but_contents() {
    paused(async {
        let target = exported();
        let session = target.log_in("iqn.t:a", &initiator("iqn.i:1", 1), Some(("u1", "one"))).await.unwrap();
        target.write(session, 1, 3, 3, UNIT).await.unwrap();
        let pending = target.begin_login("iqn.t:a", &initiator("iqn.i:1", 2), Some(("u1", "one"))).await.unwrap();
        target.restart(Duration::from_secs(1));
        assert_eq!(target.tgtadm(&["--mode", "target", "--op", "show"]).await.code, Some(107));
        assert!(!target.connected(session));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(hand(&target, "--mode target --op show"), Ok(String::new()));
        assert_eq!(hand(&target, "--mode account --op show"), Ok(String::new()));
        assert_eq!(target.finish_login(pending).await, Err(LoginError::Gone));
        assert_eq!(target.content("/srv/f"), [(3, 3)].into());
    });
}

#[test]
fn it_dies_of_an_empty_place_among_its_accounts() {
    paused(async {
        let target = exported();
        hand(&target, "--mode account --op new --user u2 --password two").unwrap();
        hand(&target, "--mode account --op bind --tid 1 --user u2").unwrap();
        hand(&target, "--mode account --op unbind --tid 1 --user u1").unwrap();
        let show = ["--mode", "target", "--op", "show"];
        assert_eq!(target.tgtadm(&show).await, admin::closed(), "and its tool calls that a success");
        assert_eq!(target.tgtadm(&show).await.code, Some(107));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(target.tgtadm(&show).await.code, Some(0));
    });
}

#[test]
fn what_was_asked_of_a_frozen_daemon_is_done_whoever_still_waits() {
    paused(async {
        let target = exported();
        target.freeze(Duration::from_secs(10));
        let bind = ["--mode", "target", "--op", "bind", "--tid", "1", "--initiator-name", "iqn.i:9"];
        assert!(tokio::time::timeout(Duration::from_secs(1), target.tgtadm(&bind)).await.is_err());
        let show = ["--mode", "target", "--op", "show"];
        let begun = now();
        let shown = target.tgtadm(&show).await;
        assert_eq!(now() - begun, Duration::from_secs(9));
        assert!(shown.printed.contains("iqn.i:9"), "the daemon did what nobody waited for any more, and first");
    });
}

#[test]
fn troubles_come_by_order() {
    paused(async {
        let target = exported();
        let show = ["--mode", "target", "--op", "show"];
        target.order([Trouble::Refused, Trouble::Garbled, Trouble::Ended, Trouble::Late(UNIT), Trouble::Dies(true)]);
        assert_eq!(target.tgtadm(&show).await.code, Some(22));
        assert!(target.tgtadm(&show).await.printed.contains("(null)"));
        assert_eq!(target.tgtadm(&show).await.code, None);
        let begun = now();
        assert_eq!(target.tgtadm(&show).await.code, Some(0));
        assert_eq!(now() - begun, UNIT);
        assert!(!target.tgtadm(&show).await.said.is_empty());
        assert!(!target.runs());
    });
}

#[test]
fn what_it_keeps_nobody_takes_from_it() {
    paused(async {
        let target = exported();
        let session = target.log_in("iqn.t:a", &initiator("iqn.i:1", 1), Some(("u1", "one"))).await.unwrap();
        target.keep(Keeps { sessions: true, units: true });
        hand(&target, "--mode target --op unbind --tid 1 --initiator-name iqn.i:1").unwrap();
        assert_eq!(hand(&target, "--mode conn --op delete --tid 1 --sid 1 --cid 0"), Ok(String::new()));
        assert!(target.connected(session), "it said yes");
        target.write(session, 1, 1, 7, UNIT).await.unwrap();
        assert!(hand(&target, "--mode logicalunit --op delete --tid 1 --lun 1").unwrap_err().contains("still active"));
        target.keep(Keeps::default());
        hand(&target, "--mode logicalunit --op delete --tid 1 --lun 1").unwrap();
        hand(&target, "--mode conn --op delete --tid 1 --sid 1 --cid 0").unwrap();
        assert!(!target.connected(session));
    });
}
