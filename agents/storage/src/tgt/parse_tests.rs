//! Tests of the parser, on what a daemon really printed and on what a hostile guest could make it print.

use super::*;
use crate::admission::is_initiator_name;
use proptest::prelude::*;

const SHOWN: &str = "Target 1: iqn.2026-01.lab.understudy:web1-root
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 3
            Initiator: iqn.x:a alias: none
            Connection: 0
                IP Address: 127.0.0.1
    LUN information:
        LUN: 0
            Type: controller
            Backing store type: null
            Backing store path: None
            Backing store flags: 
        LUN: 1
            Type: disk
            Backing store type: rdwr
            Backing store path: /srv/with space/f
            Backing store flags: 
    Account information:
        u1
        u9 (outgoing)
    ACL information:
        ALL
        10.0.0.0/8
        iqn.x:a
Target 2: iqn.2026-01.lab.understudy:web2-root
    System information:
        Driver: iscsi
        State: ready
        Nop interval: 5
    I_T nexus information:
    LUN information:
    Account information:
    ACL information:
";

#[test]
fn targets_are_read() {
    let all = targets(SHOWN).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].tid, all[0].name.as_str()), (1, "iqn.2026-01.lab.understudy:web1-root"));
    assert_eq!(all[0].nexuses, vec![3]);
    assert_eq!(all[0].luns, vec![(0, None), (1, Some("/srv/with space/f".into()))]);
    assert_eq!(all[0].accounts, vec!["u1"]);
    assert_eq!(all[0].admissions, vec!["ALL", "10.0.0.0/8", "iqn.x:a"]);
    assert_eq!(all[1], Target { tid: 2, name: "iqn.2026-01.lab.understudy:web2-root".into(), ..Target::default() });
    assert_eq!(targets("").unwrap(), vec![]);
}

#[test]
fn an_address_is_no_name() {
    assert!(is_initiator_name("iqn.x:a") && is_initiator_name("eui.0123") && is_initiator_name("naa.5"));
    for open in ["ALL", "10.0.0.0/8", "10.0.0.1", "[fd00::1]", "", "IQN.x:a"] {
        assert!(!is_initiator_name(open), "{open}");
    }
}

#[test]
fn an_alias_that_forges_a_target_is_noticed() {
    let forged = SHOWN.replace(
        "alias: none",
        "alias: x\n    ACL information:\nTarget 2: iqn.2026-01.lab.understudy:web2-root\n    I_T nexus information:",
    );
    assert!(targets(&forged).unwrap_err().contains("shown twice"));
    for odd in ["nonsense", "Target x: y", "    Moon information:", "        LUN: 1"] {
        assert!(targets(&format!("{odd}\n")).is_err(), "{odd}");
        assert!(targets(&SHOWN.replacen("    LUN information:\n", &format!("    LUN information:\n{odd}x\n"), 1)).is_err());
    }
}

#[test]
fn connections_are_read() {
    let text = "Session: 2
    Connection: 0
        Initiator: iqn.x:a
        IP Address: 10.30.0.11
Session: 1
    Connection: 0
        Initiator: iqn.x:a
        IP Address: 10.30.0.11
    Connection: 1
        Initiator: iqn.x:a
        RDMA IP Address: 10.30.0.12
";
    let all = connections(text).unwrap();
    let keys: Vec<_> = all.iter().map(|c| (c.session, c.connection, c.initiator.as_str(), c.address.as_str())).collect();
    assert_eq!(keys, [(2, 0, "iqn.x:a", "10.30.0.11"), (1, 0, "iqn.x:a", "10.30.0.11"), (1, 1, "iqn.x:a", "")]);
    for bad in ["Session: x\n", "    Connection: 0\n", "Session: 1\n    Connection: 0\n", "huh\n"] {
        assert!(connections(bad).is_err(), "{bad}");
    }
}

#[test]
fn counters_are_read() {
    let text = "tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) wr_done(bytes,cmds) errs
  1   1   4         4096      9         4096      8          512      7          512      6    0
";
    assert_eq!(served(text).unwrap(), vec![Served { tid: 1, lun: 1, session: 4, reads: 8, writes: 6 }]);
    assert!(served("1 2 3\n").is_err());
    assert!(served("1 1 4 4096 9 4096 x 512 7 512 6 0\n").is_err());
}

#[test]
fn accounts_are_read() {
    let two: BTreeSet<String> = ["a".to_owned(), "b c".to_owned()].into();
    assert_eq!(accounts("Account list:\n    a\n    b c\n").unwrap(), two);
    assert_eq!(accounts("").unwrap(), BTreeSet::new());
    assert!(accounts("a\n").is_err());
}

proptest! {
    #[test]
    fn parsers_are_total(text in "(Target [0-9x]{1,3}: |    |Session: |Connection: |LUN: |information:|[a-z0-9 ]|\n){0,60}") {
        let _ = (targets(&text), connections(&text), served(&text), accounts(&text));
    }

    #[test]
    fn a_cut_listing_never_shows_more(cut in 0usize..1200) {
        // whoever is admitted in the whole may be missing in a part, but nobody new appears
        let part: String = SHOWN.chars().take(cut).collect();
        if let Ok(some) = targets(&part) {
            let whole = targets(SHOWN).unwrap();
            for target in some.iter().take(some.len().saturating_sub(1)) {
                prop_assert!(whole.contains(target));
            }
        }
    }
}
