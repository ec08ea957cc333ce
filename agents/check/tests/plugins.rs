//! Plugins as sites write them, good and bad, run by bubblewrap as an agent runs them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use check::{Checker, PluginConfig, VantageConfig};
use contract::{Action, AgentError, Answer, Device as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vocabulary::Span;
use vocabulary::check::{Check, CheckOutcome, ExecCheck};

/// Plugins in a folder of their own. Not below `/tmp`, where a plugin has a folder of its own.
struct Site {
    folder: TempDir,
    names: Vec<&'static str>,
}

impl Site {
    fn new(plugins: &[(&'static str, &str)]) -> Site {
        let folder = tempfile::Builder::new().prefix("plugins-").tempdir_in("/var/tmp").unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for (name, script) in plugins {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        Site { folder, names: plugins.iter().map(|(name, _)| *name).collect() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn checker(&self, hidden: &[PathBuf]) -> Checker {
        let names = self.names.iter().map(|name| (*name).to_owned()).collect();
        open(self.folder.path(), names, hidden).await
    }

    async fn outcome(&self, name: &str, arguments: &[&str]) -> CheckOutcome {
        outcome(&self.checker(&[]).await, name, arguments, Span::seconds(5)).await.unwrap()
    }
}

async fn open(folder: &Path, names: std::collections::BTreeSet<String>, hidden: &[PathBuf]) -> Checker {
    let user = if nix::unistd::geteuid().is_root() { "nobody" } else { "self" };
    let plugins = PluginConfig { folder: folder.to_owned(), names, user: user.to_owned() };
    Checker::open(&VantageConfig { plugins: Some(plugins), ..VantageConfig::default() }, hidden).await
}

async fn outcome(checker: &Checker, name: &str, arguments: &[&str], deadline: Span) -> Result<CheckOutcome, String> {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let check = Check::Exec(ExecCheck { plugin: name.to_owned(), arguments, every: Span::seconds(30), deadline });
    match checker.perform(&Action::RunCheck { check }).await {
        Ok(Answer::Check { outcome }) => Ok(outcome),
        Err(AgentError::Rejected { reason }) => Err(reason),
        other => panic!("{other:?}"),
    }
}

fn failed(text: &str) -> CheckOutcome {
    CheckOutcome::Failed(text.to_owned())
}

#[tokio::test]
async fn exit_codes_mean_what_they_mean_to_nagios() {
    let site =
        Site::new(&[("check_it", "echo \"WEB $1 - it is so | time=0.1s;1;2\"; echo more; exit $1"), ("check_mute", "exit 2")]);
    assert_eq!(site.outcome("check_it", &["0"]).await, CheckOutcome::Healthy);
    assert_eq!(site.outcome("check_it", &["1"]).await, CheckOutcome::Healthy, "a warning is no failure");
    assert_eq!(site.outcome("check_it", &["2"]).await, failed("check_it: WEB 2 - it is so"));
    assert_eq!(site.outcome("check_it", &["3"]).await, CheckOutcome::Unknown("check_it: WEB 3 - it is so".to_owned()));
    for strange in ["4", "126", "255"] {
        let seen = site.outcome("check_it", &[strange]).await;
        assert!(matches!(&seen, CheckOutcome::Unknown(why) if why.contains(strange)), "{seen:?}");
    }
    assert_eq!(site.outcome("check_mute", &[]).await, failed("check_mute says nothing"));
}

#[tokio::test]
async fn who_ends_by_a_signal_or_is_no_program_has_seen_nothing() {
    let site = Site::new(&[("check_dies", "kill -9 $$")]);
    std::fs::write(site.path("check_text"), "no program").unwrap();
    let site = Site { names: vec!["check_dies", "check_text"], ..site };
    for name in ["check_dies", "check_text"] {
        let seen = site.outcome(name, &[]).await;
        assert!(matches!(seen, CheckOutcome::Unknown(_)), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn arguments_are_no_shell_s() {
    let site = Site::new(&[("check_count", "echo \"$# <$1> <$2>\"; exit 2")]);
    let seen = site.outcome("check_count", &["$(touch /tmp/x); `id`", "a b\"'*"]).await;
    assert_eq!(seen, failed("check_count: 2 <$(touch /tmp/x); `id`> <a b\"'*>"));
    let many = vec!["x"; 65];
    let refused = outcome(&site.checker(&[]).await, "check_count", &many, Span::seconds(5)).await;
    assert!(refused.unwrap_err().contains("arguments"));
}

#[tokio::test]
async fn only_named_plugins_of_the_folder_are_run() {
    let site = Site::new(&[("check_named", "exit 0"), ("check_other", "exit 0")]);
    let checker = open(site.folder.path(), ["check_named".to_owned()].into(), &[]).await;
    assert_eq!(outcome(&checker, "check_named", &[], Span::seconds(5)).await, Ok(CheckOutcome::Healthy));
    for other in ["check_other", "../bin/sh", "/bin/sh", "", "check_named/"] {
        let refused = outcome(&checker, other, &[], Span::seconds(5)).await;
        assert!(refused.as_ref().is_err_and(|why| why.contains("runs no plugin")), "{other}: {refused:?}");
    }
}

/// Each of these ends with 0 if what its name says is so.
const CONTAINED: &[(&str, &str)] = &[
    ("is_not_root", "[ \"$(id -u)\" != 0 ]"),
    (
        "has_no_capability",
        "grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status && grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/self/status",
    ),
    ("gets_none_elsewhere", "! unshare --user --map-root-user true"),
    ("reads_no_secret", "! cat \"$1\""),
    ("writes_nothing", "! touch /var/tmp/planted && ! touch \"$0.planted\" && ! touch /dev/planted"),
    ("has_a_tmp_of_its_own", "echo x > /tmp/mine && [ \"$(ls /tmp)\" = mine ]"),
    ("fills_no_memory_by_tmp", "! head -c 40000000 /dev/zero > /tmp/much"),
    ("sees_no_process_but_its_own", "[ \"$(ls -d /proc/[0-9]* | wc -l)\" -lt 10 ]"),
    ("sees_no_environment_of_the_agent", "[ -z \"$HOME$CARGO_MANIFEST_DIR$USER\" ]"),
];

#[tokio::test]
async fn a_plugin_is_contained_in_every_respect() {
    let secrets = tempfile::Builder::new().prefix("secrets-").tempdir_in("/var/tmp").unwrap();
    let bundle = secrets.path().join("bundle.json");
    std::fs::write(&bundle, "key").unwrap();
    std::fs::set_permissions(&bundle, PermissionsExt::from_mode(0o600)).unwrap();
    let scripts: Vec<(&'static str, String)> =
        CONTAINED.iter().map(|(name, script)| (*name, format!("{{ {script}; }} >/dev/null && exit 0; exit 2"))).collect();
    let site = Site::new(&scripts.iter().map(|(name, script)| (*name, script.as_str())).collect::<Vec<_>>());
    let checker = site.checker(std::slice::from_ref(&bundle)).await;
    for (name, _) in CONTAINED {
        let seen = outcome(&checker, name, &[&bundle.display().to_string()], Span::seconds(5)).await;
        assert_eq!(seen, Ok(CheckOutcome::Healthy), "{name}");
    }
    assert!(!Path::new("/var/tmp/planted").exists());
}

/// Processes whose command line holds this.
fn processes(mark: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.filter(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
    })
    .count()
}

#[tokio::test]
async fn what_still_runs_at_the_deadline_is_ended_with_all_that_it_started() {
    let mark = format!("86400.{}", std::process::id());
    let site = Site::new(&[("check_hangs", "sleep $1 & setsid sleep $1 & trap '' TERM; sleep $1")]);
    let checker = site.checker(&[]).await;
    let start = Instant::now();
    let seen = outcome(&checker, "check_hangs", &[&mark], Span::ms(700)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "the deadline is kept");
    assert_eq!(seen, failed("check_hangs did not end within 700ms"));
    all_end(&mark).await;
}

async fn all_end(mark: &str) {
    for _ in 0..100 {
        if processes(mark) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} of its processes live on", processes(mark));
}

/// Who asks may go away while the plugin is being started, before anything has tied its life to that of whoever started it.
#[tokio::test]
async fn what_nobody_waits_for_any_more_ends_too() {
    let mark = format!("86401.{}", std::process::id());
    let site = Site::new(&[("check_hangs", "exec sleep $1")]);
    let checker = site.checker(&[]).await;
    let arguments = [mark.as_str()];
    for ms in 1..=30 {
        let asked = outcome(&checker, "check_hangs", &arguments, Span::seconds(1));
        assert!(tokio::time::timeout(Duration::from_millis(ms), asked).await.is_err(), "it sleeps");
    }
    all_end(&mark).await;
}

#[tokio::test]
async fn who_says_much_is_heard_in_part_and_held_up_by_nobody() {
    let site = Site::new(&[("check_floods", "head -c 20000000 /dev/zero | tr '\\0' x; exit 2")]);
    let CheckOutcome::Failed(said) = site.outcome("check_floods", &[]).await else { panic!("it ends with 2") };
    assert!(said.len() < 200 && said.contains("xxx"), "{said}");
}

#[tokio::test]
async fn more_plugins_than_run_at_once_wait_for_each_other() {
    let site = Site::new(&[("check_sleeps", "sleep 0.3")]);
    let checker = site.checker(&[]).await;
    let one = || outcome(&checker, "check_sleeps", &[], Span::seconds(7));
    let all = futures::future::join_all((0..24).map(|_| one())).await;
    assert!(all.iter().all(|seen| *seen == Ok(CheckOutcome::Healthy)), "{all:?}");
}

#[tokio::test]
async fn a_vantage_point_whose_plugins_are_missing_still_looks() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let checker = open(Path::new("/nowhere"), ["check_it".to_owned()].into(), &[]).await;
    let why = outcome(&checker, "check_it", &[], Span::seconds(1)).await.unwrap_err();
    assert!(why.contains("/nowhere/check_it") && why.contains("correct `plugins`"), "{why}");
    let check = Check::Tcp(vocabulary::check::TcpCheck { address: listener.local_addr().unwrap(), deadline: Span::seconds(1) });
    let seen = checker.perform(&Action::RunCheck { check }).await;
    assert!(matches!(seen, Ok(Answer::Check { outcome: CheckOutcome::Healthy })), "{seen:?}");
}
