//! The control socket of ovs-vswitchd: what it has learnt, by which rules it forwards, and whether what it has cached is up to date. Its
//! answers are texts for people: a line that is not understood is an error, never an empty list.

use super::connection::{Address, Connection};
use super::trouble::{Trouble, silent};
use crate::limits::OVS_ANSWER_TIMEOUT;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use vocabulary::Mac;

const DAEMON: &str = "ovs-vswitchd";
/// Rules of that table are the switch's own, no hand reaches them.
const OWN_TABLE: &str = "table_id=254,";
/// So many rounds until one has begun after a change and is done: the first to end may have begun before it.
const ROUNDS: u32 = 2;

/// One conversation with the daemon.
pub struct Control(Connection);

/// The daemon's control socket, whose name has the process's number in it.
fn socket(folder: &Path, pid: &str) -> Option<PathBuf> {
    let pid: u32 = pid.trim().parse().ok()?;
    Some(folder.join(format!("{DAEMON}.{pid}.ctl")))
}

/// The addresses that were learnt on these ports, by the daemon's own table.
pub(super) fn learnt(table: &str) -> Result<Vec<(u16, Mac)>, String> {
    let mut all = Vec::new();
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [port, _vlan, mac, age] = words.as_slice() else { return Err(format!("odd line `{line}`")) };
        // an address that a hand has put there was learnt from no frame, and the bridge's own port is no machine's
        if *age == "static" || *port == "LOCAL" {
            continue;
        }
        let port = port.parse().map_err(|_| format!("odd port in `{line}`"))?;
        all.push((port, mac.parse()?));
    }
    Ok(all)
}

/// True if frames go by VLAN and address alone: one rule for all of them, `NORMAL`.
pub(super) fn is_normal(rules: &str) -> bool {
    let mut others = rules.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(OWN_TABLE));
    let normal = |line: &str| {
        let rule = line.find("priority=").and_then(|at| line.get(at..));
        rule.is_some_and(|rule| rule.replace(' ', ",") == "priority=0,actions=NORMAL") && !line.contains("table_id=")
    };
    others.next().is_some_and(normal) && others.next().is_none()
}

impl Control {
    /// Connects to the daemon that runs now.
    pub async fn open(folder: &Path) -> Result<Control, Trouble> {
        let file = folder.join(format!("{DAEMON}.pid"));
        let pid = tokio::fs::read_to_string(&file).await;
        let pid = pid.map_err(|error| silent(DAEMON, format!("{}: {error}; does it run?", file.display())))?;
        let path = socket(folder, &pid).ok_or_else(|| silent(DAEMON, format!("{} holds no number", file.display())))?;
        Connection::open(DAEMON, &Address::Unix(path)).await.map(Control)
    }

    async fn ask(&mut self, command: &str, words: &[&str]) -> Result<String, Trouble> {
        match self.0.call(command, &json!(words), OVS_ANSWER_TIMEOUT).await? {
            Ok(Value::String(text)) => Ok(text),
            Ok(_) => Err(silent(DAEMON, format!("`{command} {}` was not answered in words", words.join(" ")))),
            Err(reason) => Err(silent(DAEMON, format!("`{command} {}`: {}", words.join(" "), reason.trim_end()))),
        }
    }

    /// Fails if anything but VLAN and address decides where this bridge sends a frame: then the VLANs of its ports mean nothing.
    pub async fn must_be_normal(&mut self, bridge: &str) -> Result<(), Trouble> {
        if is_normal(&self.ask("bridge/dump-flows", &[bridge]).await?) {
            return Ok(());
        }
        let reason = format!(
            "OpenFlow rules other than NORMAL decide on the bridge {bridge}, so the VLANs of its ports mean nothing: remove them"
        );
        Err(Trouble::Unfit(reason))
    }

    /// The addresses learnt on this bridge, each with its port's OpenFlow number.
    pub async fn learnt(&mut self, bridge: &str) -> Result<Vec<(u16, Mac)>, Trouble> {
        let table = self.ask("fdb/show", &[bridge]).await?;
        learnt(&table).map_err(|reason| silent(DAEMON, format!("fdb/show: {reason}")))
    }

    /// Forgets all addresses of this bridge: older versions can forget no single port's. Those of the others are learnt again at once.
    pub async fn flush(&mut self, bridge: &str) -> Result<(), Trouble> {
        self.ask("fdb/flush", &[bridge]).await.map(drop)
    }

    /// Waits until every cached flow was held against what is in force now. Before, frames may still go where they went.
    pub async fn settle(&mut self) -> Result<(), Trouble> {
        for _ in 0..ROUNDS {
            self.ask("revalidator/wait", &[]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_with_their_ports_and_odd_lines_are_errors() {
        let head = " port  VLAN  MAC                Age\n";
        let table = format!(
            "{head}    1    10  02:00:00:00:00:01    3\nLOCAL     0  02:00:00:00:00:02    0\n    2     0  02:00:00:00:00:03  static\n"
        );
        assert_eq!(learnt(&table), Ok(vec![(1, Mac([2, 0, 0, 0, 0, 1]))]));
        assert_eq!(learnt(head), Ok(Vec::new()));
        for odd in ["x\n", "1 10 02:00:00:00:00:01\n", "p1 10 02:00:00:00:00:01 3\n", "1 10 02:00 3\n"] {
            assert!(learnt(&format!("{head}{odd}")).is_err(), "{odd}");
        }
    }

    #[test]
    fn any_rule_but_the_usual_one_is_seen() {
        let own = "table_id=254, duration=23s, n_packets=0, n_bytes=0, priority=2,recirc_id=0,actions=drop\n";
        let usual = "duration=23s, n_packets=0, n_bytes=0, priority=0,actions=NORMAL\n";
        assert!(is_normal(&format!("{usual}{own}")) && is_normal(&format!("{own}{usual}")));
        assert!(is_normal("duration=23s, n_packets=7, n_bytes=9, priority=0 actions=NORMAL\n"));
        for other in [
            "duration=2s, n_packets=0, n_bytes=0, in_port=1,actions=output:2\n",
            "duration=2s, n_packets=0, n_bytes=0, priority=0,in_port=1,actions=NORMAL\n",
            "duration=2s, n_packets=0, n_bytes=0, priority=7,actions=NORMAL\n",
            "table_id=1, duration=2s, n_packets=0, n_bytes=0, priority=0,actions=NORMAL\n",
        ] {
            assert!(!is_normal(other) && !is_normal(&format!("{usual}{other}{own}")), "{other}");
        }
        assert!(!is_normal("") && !is_normal(own) && !is_normal(&format!("{usual}{usual}")));
    }

    #[test]
    fn the_socket_is_named_by_a_number_alone() {
        assert_eq!(socket(Path::new("/run"), "17\n"), Some(PathBuf::from("/run/ovs-vswitchd.17.ctl")));
        assert_eq!(socket(Path::new("/run"), "../17"), None);
    }

    proptest! {
        #[test]
        fn total(text in "(port|LOCAL|table_id=254,|priority=|[0-9a-f:, \n]){0,40}") {
            let _ = (learnt(&text), is_normal(&text));
        }
    }
}
