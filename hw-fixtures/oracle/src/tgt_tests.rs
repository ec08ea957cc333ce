//! Tests of the reading of the target daemon, on what a daemon really printed, and on what it must not be trusted with.

use super::*;
use proptest::prelude::*;
use std::os::unix::net::UnixListener;

const SHOWN: &str = "Target 1: iqn.2026-01.lab.understudy:web1-root
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 5
            Initiator: iqn.x:web1.e9 alias: (none)
            Connection: 0
                IP Address: 10.30.0.11
        I_T nexus: 3
            Initiator: iqn.x:web1.e5 alias: none
            Connection: 0
                IP Address: 10.30.0.11
    LUN information:
        LUN: 0
            Type: controller
            Backing store type: null
            Backing store path: None
            Backing store flags: 
        LUN: 1
            Type: disk
            Size: 67 MB, Block size: 512
            Backing store type: rdwr
            Backing store path: /r/volumes/web1-root.img
            Backing store flags: 
    Account information:
        web1.e9
    ACL information:
        iqn.x:web1.e9
Target 2: iqn.foreign:copy
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 1
            Initiator: iqn.x:thief alias: none
            Connection: 0
                IP Address: 10.30.0.99
    LUN information:
        LUN: 1
            Type: disk
            Backing store path: /r/volumes/web1-root.img
    Account information:
    ACL information:
        ALL
";

fn name(text: &str) -> InitiatorName {
    InitiatorName(text.to_owned())
}

#[test]
fn sessions_and_admissions_are_read() {
    let all = read(SHOWN).unwrap();
    assert_eq!(all[0].sessions, [(3, name("iqn.x:web1.e5")), (5, name("iqn.x:web1.e9"))].into());
    assert_eq!(all[0].admissions, ["iqn.x:web1.e9"]);
    assert_eq!(all[0].files, [PathBuf::from("/r/volumes/web1-root.img")]);
    assert_eq!(read("").unwrap(), vec![]);
}

#[test]
fn a_second_export_of_the_same_file_counts_as_the_volume() {
    let config = crate::for_lab::config(Path::new("/r"), 3).unwrap().roster;
    let volumes = of_volumes(&config, &read(SHOWN).unwrap());
    let (target, web1) = &volumes[0];
    assert_eq!(target, "iqn.2026-01.lab.understudy:web1-root");
    assert!(web1.open, "a foreign target admits everybody");
    assert_eq!(web1.admitted, [name("iqn.x:web1.e9")].into());
    assert_eq!(web1.sessions.len(), 3);
    assert_eq!(web1.sessions[&((2 << 32) | 1)], name("iqn.x:thief"));
    assert_eq!(volumes[1].1, Exported::default(), "web2's target is not there: nobody writes");
}

#[test]
fn what_is_not_understood_is_an_error() {
    for (from, to) in [
        ("Target 2: iqn.foreign:copy", "Target 1: iqn.foreign:copy"),
        ("I_T nexus: 3", "I_T nexus: x"),
        ("I_T nexus: 3", "I_T nexus: 5"),
        ("            Initiator: iqn.x:web1.e5 alias: none\n", ""),
        ("ACL information:", "Moon information:"),
    ] {
        assert!(read(&SHOWN.replace(from, to)).is_err(), "{from} -> {to}");
    }
}

#[test]
fn the_question_has_the_daemons_form_and_its_answer_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    assert_eq!(show(&socket).unwrap_err().kind(), io::ErrorKind::NotFound);
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        for (error, text) in [(0u32, "Target 1: iqn.x:a\n\0"), (22, "")] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; REQUEST_BYTES];
            stream.read_exact(&mut asked).unwrap();
            assert_eq!(asked[..13], *b"\x01\0\0\0\x02\0\0\0iscsi");
            assert_eq!(asked[72..80], [120, 0, 0, 0, 255, 255, 255, 255]);
            assert_eq!(asked[88..96], [255; 8]);
            let length = u32::try_from(8 + text.len()).unwrap();
            stream.write_all(&[error.to_ne_bytes(), length.to_ne_bytes()].concat()).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    assert_eq!(show(&socket).unwrap(), "Target 1: iqn.x:a\n");
    assert!(show(&socket).unwrap_err().to_string().contains("22"));
    daemon.join().unwrap();
}

proptest! {
    #[test]
    fn the_reader_is_total(text in "(Target [0-9x]{1,3}: |    |I_T nexus: |Initiator: |ACL information:|[a-z0-9 ]|\n){0,60}") {
        let _ = read(&text);
    }
}
