//! Reads what the kernel's attributes show. Total; it fails closed where a list could look empty that is not.
//!
//! An initiator chooses its alias, which the kernel prints between its own lines, line ends and all; so a session's number and address are
//! taken from the last lines that could be them: the kernel prints the alias before its own, and what follows is the kernel's alone.

use std::path::PathBuf;
use vocabulary::storage::{InitiatorName, Session};

/// What was read, or what is odd.
pub(super) type Shown<T> = Result<T, String>;

/// How an admission without a session begins (6.1: `lio_target_nacl_info_show` in `iscsi_target_configfs.c`).
const NO_SESSION: &str = "No active iSCSI Session";
/// The longest oddity that is told.
const ODD_CHARS_MAX: usize = 80;

fn odd(text: &str) -> String {
    format!("`{}`", text.chars().filter(|c| !c.is_control()).take(ODD_CHARS_MAX).collect::<String>())
}

/// One line, without its end. The kernel takes `NULL` for nothing.
pub(super) fn line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.starts_with("NULL") { "" } else { text }
}

/// Yes or no.
pub(super) fn flag(text: &str) -> Shown<bool> {
    match text.trim_end() {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(odd(text)),
    }
}

/// A number.
pub(super) fn commands(text: &str) -> Shown<u64> {
    text.trim_end().parse().map_err(|_| odd(text))
}

/// Names of initiators that have a session and no admission by name; each ends with a line's end and a zero byte (6.1:
/// `target_show_dynamic_sessions` in `target_core_transport.c`).
pub(super) fn dynamic(text: &str) -> Vec<String> {
    text.split(['\n', '\0']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The newest session of an admitted initiator. With several the kernel shows the newest, and when that ends the next, so nothing is shown
/// only when none is left (6.1: `transport_deregister_session_configfs` in `target_core_transport.c`).
pub(super) fn session(admitted: &str, text: &str) -> Shown<Option<Session>> {
    if text.starts_with(NO_SESSION) {
        return Ok(None);
    }
    if text.is_empty() {
        return Err("it is empty".into());
    }
    let after = |mark: &str| {
        let line = text.lines().rev().find_map(|line| line.trim_start().strip_prefix(mark));
        line.and_then(|rest| rest.split_ascii_whitespace().next())
    };
    let number = after("LIO Session ID: ").and_then(|number| number.parse().ok()).ok_or_else(|| odd(text))?;
    let address = after("Address ").unwrap_or_default().to_owned();
    Ok(Some(Session { initiator: InitiatorName(admitted.to_owned()), number, address }))
}

/// The path that a backstore serves, and the numbers if it is a block device (6.1: `fd_show_configfs_dev_params` in `target_core_file.c`,
/// `iblock_show_configfs_dev_params` in `target_core_iblock.c`).
pub(super) fn backing(info: &str) -> (Option<PathBuf>, Option<(u64, u64)>) {
    let between = |from: &str, to: &str| {
        let rest = info.split_once(from)?.1;
        Some(rest.rsplit_once(to)?.0)
    };
    let file = between("File: ", "  Size: ");
    let numbers = || {
        // a file may have any name, this one too
        if file.is_some() {
            return None;
        }
        let mut words = info.rsplit_once("Major: ")?.1.split_ascii_whitespace();
        let major = words.next()?.parse().ok()?;
        let minor = words.next().filter(|word| *word == "Minor:").and_then(|_| words.next())?.parse().ok()?;
        Some((major, minor))
    };
    let path = file.or_else(|| between("UDEV PATH: ", "  readonly: "));
    (path.filter(|path| !path.is_empty()).map(PathBuf::from), numbers())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INFO: &str = "InitiatorName: iqn.x:a\nInitiatorAlias: \nLIO Session ID: 7   ISID: 0x80 00 00 00 00 01  TSIH: 7  \
        SessionType: Normal\nSession State: TARG_SESS_STATE_LOGGED_IN\n---[iSCSI Session Values]---\n  CmdSN/WR\n 0x40\n---[iSCSI \
        Connections]---\nCID: 1  Connection State: TARG_CONN_STATE_LOGGED_IN\n   Address 127.0.0.1 TCP  StatSN: 0x0000000a\n";

    #[test]
    fn a_session_is_read_and_no_alias_hides_it_or_forges_another() {
        let plain = session("iqn.x:a", INFO).unwrap().unwrap();
        assert_eq!((plain.initiator.0.as_str(), plain.number, plain.address.as_str()), ("iqn.x:a", 7, "127.0.0.1"));
        let forged =
            INFO.replace("Alias: ", "Alias: x\nNo active iSCSI Session\nLIO Session ID: 99 \n   Address 192.0.2.66 TCP\n");
        assert_eq!(session("iqn.x:a", &forged).unwrap().unwrap(), plain);
        assert_eq!(session("iqn.x:a", "No active iSCSI Session for Initiator Endpoint: iqn.x:a\n"), Ok(None));
        assert!(session("iqn.x:a", "").is_err() && session("iqn.x:a", "InitiatorName: a\n").is_err(), "it fails closed");
    }

    #[test]
    fn backstores_tell_what_they_serve() {
        let file = "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 16384\n        TCM FILEIO ID: 2        \
            File: /my file  Size: x.img  Size: 1048576  Mode: O_DSYNC Async: 0\n";
        assert_eq!(backing(file), (Some("/my file  Size: x.img".into()), None));
        let device = "Status: DEACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 2560\n        iBlock device: loop0  \
            UDEV PATH: /dev/loop0  readonly: 0\n        Major: 7 Minor: 3  CLAIMED: IBLOCK\n";
        assert_eq!(backing(device), (Some("/dev/loop0".into()), Some((7, 3))));
        assert_eq!(backing("Status: DEACTIVATED  Max Queue Depth: 0  SectorSize: 0  HwMaxSectors: 0\n"), (None, None));
    }

    #[test]
    fn small_attributes() {
        assert_eq!((flag("1\n"), flag("0\n"), commands("12\n")), (Ok(true), Ok(false), Ok(12)));
        assert!(flag("").is_err() && flag("2\n").is_err() && commands("-1\n").is_err());
        assert_eq!((line("u\n"), line("NULL\n"), line("")), ("u", "", ""));
        assert_eq!(dynamic("iqn.a\n\0iqn.b\n\0"), ["iqn.a", "iqn.b"]);
    }

    proptest! {
        #[test]
        fn it_is_total(text in "\\PC*", more in any::<Vec<u8>>()) {
            let more = String::from_utf8_lossy(&more).into_owned();
            for text in [text, more] {
                let _ = (session("a", &text), backing(&text), dynamic(&text), flag(&text), commands(&text), line(&text).len());
            }
        }
    }
}
