//! What happens to the storage target of a lab. The daemon, its sessions, its exports and what it shows are the real ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::control::Request;
use lab::names::{TGT_CONTROL, TGTD};
use lab::services::{Ready, Service, Standing};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use oracle::tgt;
use vocabulary::ServerId;

use crate::between::{self, KEEPS_EXPORTS, KEEPS_SESSIONS};
use crate::run::{Run, until};
use crate::script::{AtTarget, Shown};
use crate::trouble::{Done, Trouble, at};

/// By what a second name of a volume's object is told from the first.
pub const AGAIN: &str = ".again";
/// The number of a colleague's own targets begins here; the agent takes higher ones from then on.
const HIS_TARGETS: u32 = 900;

/// Does it.
pub fn befall(run: &Run<'_>, what: &AtTarget) -> Done {
    match what {
        AtTarget::KeepsSessions(keeps) => between::mark(&run.rig.run, KEEPS_SESSIONS, *keeps),
        AtTarget::KeepsExports(keeps) => between::mark(&run.rig.run, KEEPS_EXPORTS, *keeps),
        AtTarget::Stalls(time) => stall(run, *time),
        AtTarget::ExportsAgain(server) => export_again(run, server),
    }
}

/// By the same name of its file, since the judge tells files by their names.
fn export_again(run: &Run<'_>, server: &ServerId) -> Done {
    let file = file(run, server);
    let admitted = Seen::of(&asked(run, SHOW)?, &file).map_err(Trouble::Wrong)?.admitted;
    second_export(server, &file, &admitted).iter().try_for_each(|words| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        asked(run, &words).map(drop)
    })
}

/// What a colleague tells the target so that it exports a file a second time, to these.
pub fn second_export(server: &ServerId, file: &str, admitted: &BTreeSet<String>) -> Vec<Vec<String>> {
    let digits: String = server.as_str().chars().filter(char::is_ascii_digit).collect();
    let tid = HIS_TARGETS.saturating_add(digits.parse().unwrap_or_default()).to_string();
    let name = format!("iqn.2026-01.org.colleague:{server}");
    let mut all = vec![
        vec!["--mode", "target", "--op", "new", "--tid", &tid, "--targetname", &name],
        vec!["--mode", "logicalunit", "--op", "new", "--tid", &tid, "--lun", "1", "--backing-store", file],
    ];
    let admits = |initiator| vec!["--mode", "target", "--op", "bind", "--tid", &tid, "--initiator-name", initiator];
    all.extend(admitted.iter().map(|initiator| admits(initiator)));
    all.into_iter().map(|words| words.into_iter().map(str::to_owned).collect()).collect()
}

/// The threads of the target's daemon that read and write its files stand still; the one that speaks with everybody goes on.
fn stall(run: &Run<'_>, time: Duration) -> Done {
    let mut hand = run.rig.hand()?;
    let all: Vec<Standing> = serde_json::from_value(hand.ask(&Request::Services)?)
        .map_err(|error| Trouble::Wrong(format!("the lab's table of services: {error}")))?;
    let daemon = all.iter().find(|row| row.name == TGTD).and_then(|row| row.pid);
    let daemon = daemon.ok_or_else(|| Trouble::Wrong("the target's daemon does not run".to_owned()))?;
    let (own, held) = (at(Path::new("understudy-scenarios"), std::env::current_exe())?, run.rig.run.join("disk-held"));
    let words = [own.display().to_string(), "hold-disk".to_owned(), daemon.to_string(), time.as_millis().to_string()];
    hand.add(Service {
        name: "disk-hold".to_owned(),
        argv: words.into_iter().chain([held.display().to_string()]).collect(),
        ready: Some(Ready::File(held.clone())),
        remove_before_start: vec![held],
        ..Service::default()
    })?;
    Ok(())
}

/// Makes every thread of a process but its first stand still for this time; the file is made when they do. They go on when we end, however
/// that is.
pub fn hold_threads(process: i32, time: Duration, held: &Path) -> std::io::Result<()> {
    let mut threads = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = entry?.file_name().to_str().and_then(|name| name.parse().ok()).unwrap_or(process);
        if thread != process {
            threads.push(Pid::from_raw(thread));
        }
    }
    for thread in &threads {
        ptrace::seize(*thread, ptrace::Options::empty())?;
        ptrace::interrupt(*thread)?;
        waitpid(*thread, Some(WaitPidFlag::__WALL))?;
    }
    std::fs::write(held, format!("{} threads\n", threads.len()))?;
    std::thread::sleep(time);
    for thread in threads {
        // one that has ended meanwhile needs nothing
        let _ = ptrace::detach(thread, None);
    }
    Ok(())
}

/// Asked of the target itself, by its own tool.
pub fn shows(run: &Run<'_>, server: &ServerId, wanted: Shown, within: Duration) -> Done {
    let file = file(run, server);
    until(&sentence(server, wanted), within, || {
        // a list that is odd for a moment is asked for again
        let mut seen = match Seen::of(&asked(run, SHOW)?, &file) {
            Ok(seen) => seen,
            Err(why) => return Ok(Err(why)),
        };
        for tid in seen.numbers().to_vec() {
            // its agent may have made it anew meanwhile
            match asked(run, &served(&tid)) {
                Ok(rows) => seen.served(&rows),
                Err(gone) => return Ok(Err(gone.to_string())),
            }
        }
        Ok(seen.compare(wanted))
    })
}

fn file(run: &Run<'_>, server: &ServerId) -> String {
    run.rig.run.join(format!("volumes/{}.img", volume(server))).display().to_string()
}

fn asked(run: &Run<'_>, arguments: &[&str]) -> Done<String> {
    let words: Vec<&str> = ["tgtadm", "-C", TGT_CONTROL, "--lld", "iscsi"].into_iter().chain(arguments.iter().copied()).collect();
    let output = run.rig.hand()?.exec(&words)?;
    if output.end.is_success() {
        return Ok(output.stdout);
    }
    Err(Trouble::Command { command: words.join(" "), told: output.stdout + &output.stderr })
}

/// The volume of a server.
pub fn volume(server: &ServerId) -> String {
    format!("{server}-root")
}

/// What is waited for, in words.
pub fn sentence(server: &ServerId, wanted: Shown) -> String {
    match wanted {
        Shown::Sessions(number) => format!("{number} sessions of {server} at its target"),
        Shown::Exports(number) => format!("{number} exports of {server} at its target"),
        Shown::Writes => format!("a write of {server} in flight at its target"),
    }
}

/// Asks the target for all that it has.
pub const SHOW: &[&str] = &["--mode", "target", "--op", "show"];

/// Asks the target what it did at an export.
pub fn served(tid: &str) -> [&str; 6] {
    ["--mode", "target", "--op", "stat", "--tid", tid]
}

/// What the target shows of one volume.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The numbers of the exports of its file.
    exports: Vec<String>,
    sessions: usize,
    /// Writes that it took and has not done.
    writes: u64,
    /// Who is admitted at one of them.
    pub admitted: BTreeSet<String>,
}

impl Seen {
    /// Of the volume in this file, by the target's list.
    pub fn of(list: &str, file: &str) -> Result<Seen, String> {
        let targets = tgt::read(list).map_err(|why| format!("the target's list: {why}"))?;
        let mut seen = Seen::default();
        let again = format!("{file}{AGAIN}");
        let of_it = |other: &PathBuf| other == Path::new(file) || other == Path::new(&again);
        for target in targets.iter().filter(|target| target.files.iter().any(of_it)) {
            seen.admitted.extend(target.admissions.iter().cloned());
            seen.exports.push(target.number.to_string());
            seen.sessions += target.sessions.len();
        }
        Ok(seen)
    }

    /// The numbers of its exports.
    pub fn numbers(&self) -> &[String] {
        &self.exports
    }

    /// Takes what the target says that it did at one of them: after target, unit and session the bytes and commands of reads and writes,
    /// each as taken and as done.
    pub fn served(&mut self, rows: &str) {
        for row in rows.lines() {
            let words: Vec<u64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            if let [_, _, _, _, _, _, _, _, taken, _, done, ..] = words[..] {
                self.writes += taken.saturating_sub(done);
            }
        }
    }

    /// What of it is not as wanted.
    pub fn compare(&self, wanted: Shown) -> Result<(), String> {
        match wanted {
            Shown::Sessions(number) if number != self.sessions => Err(format!("there are {}", self.sessions)),
            Shown::Exports(number) if number != self.exports.len() => Err(format!("there are {}", self.exports.len())),
            Shown::Writes if self.writes == 0 => Err("all that it took is done".to_owned()),
            Shown::Sessions(_) | Shown::Exports(_) | Shown::Writes => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_volume_is_seen_at_each_of_its_exports() {
        let target = |number: u32, session: &str, file: &str| {
            let session = if session.is_empty() {
                String::new()
            } else {
                format!("        I_T nexus: {session}\n            Initiator: iqn.i:1 alias: x\n")
            };
            format!(
                "Target {number}: iqn.t:{number}\n    System information:\n        Driver: iscsi\n    I_T nexus information:\n{session}    \
                 LUN information:\n        LUN: 1\n            Backing store path: {file}\n    ACL information:\n"
            )
        };
        let list = target(1, "4", "/v/a") + &target(2, "5", "/v/b") + &target(3, "", "/v/a.again");
        let mut seen = Seen::of(&list, "/v/a").unwrap();
        assert_eq!((seen.numbers(), seen.sessions), (["1".to_owned(), "3".to_owned()].as_slice(), 1));
        assert!(seen.compare(Shown::Sessions(1)).is_ok() && seen.compare(Shown::Sessions(2)).is_err());
        assert!(seen.compare(Shown::Exports(2)).is_ok() && seen.compare(Shown::Exports(1)).is_err());
        let head = "tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) wr_done(bytes,cmds) errs\n";
        seen.served(&format!("{head}  1   1   4   0   9   0   9   1024   2   1024   2    1\n"));
        assert!(seen.compare(Shown::Writes).is_err());
        seen.served("  3   1   7   0   0   0   0   1536   3   1024   2    0\n");
        assert_eq!((seen.writes, seen.compare(Shown::Writes)), (1, Ok(())));
        assert!(Seen::of("nonsense", "/v/a").is_err());
    }

    #[test]
    fn threads_stand_still_and_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let held = folder.path().join("held");
        // no process has this number
        assert!(hold_threads(i32::MAX, Duration::ZERO, &held).is_err() && !held.exists());
        let mut alone = Command::new("sleep").arg("60").spawn().unwrap();
        let process = i32::try_from(alone.id()).unwrap();
        hold_threads(process, Duration::ZERO, &held).unwrap();
        assert_eq!(std::fs::read_to_string(&held).unwrap(), "0 threads\n");
        alone.kill().unwrap();
        alone.wait().unwrap();
    }
}
