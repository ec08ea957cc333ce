//! Real processes: shell scripts that answer, lie, are late, die and have children.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use program::{Config, Kind, Program, Trouble};
use serde_json::{Map, Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than a busy host stands still.
const LIMIT: Duration = Duration::from_secs(30);
const HELLO: &str = r#"echo '{"understudy-driver":1,"kind":"switch"}'"#;

struct Bench {
    folder: TempDir,
    program: Program,
}

impl Bench {
    /// A program of this script, which knows the folder as `$HERE`.
    fn new(script: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("driver");
        std::fs::write(&file, format!("#!/bin/sh\necho begun >>$HERE/begun\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let here = folder.path().display().to_string();
        // through the shell: a file that another thread's child still holds open for writing cannot be executed
        let command = vec!["/bin/sh".to_owned(), file.display().to_string()];
        let program = Program::open(Config { command, environment: [("HERE".to_owned(), here)].into() }, Kind::Switch).unwrap();
        Bench { folder, program }
    }

    /// A program that greets and then does this with each `$line`, which is question `$n` of its life and has the number `$id`.
    fn answering(each: &str) -> Bench {
        let number = r#"id=${line##*\"id\":}; id=${id%%[,\}]*}"#;
        Bench::new(&format!("{HELLO}\nn=0\nwhile read -r line; do n=$((n+1)); {number}\n{each}\ndone"))
    }

    async fn ask(&self, what: &str) -> Result<Value, Trouble> {
        self.ask_within(what, LIMIT).await
    }

    async fn ask_within(&self, what: &str, limit: Duration) -> Result<Value, Trouble> {
        self.program.ask(what, &Map::new(), limit).await
    }

    fn begun(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("begun")).unwrap_or_default().lines().count()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap().trim().to_owned()
    }

    /// Waits until the program has written this.
    async fn there(&self, name: &str) {
        while std::fs::read_to_string(self.file(name)).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn lost(result: Result<Value, Trouble>, word: &str) {
    match result {
        Err(Trouble::Lost(reason)) if reason.contains(word) => {}
        other => panic!("wanted an answer lost for `{word}`, got {other:?}"),
    }
}

fn not_asked(result: Result<Value, Trouble>, word: &str) {
    match result {
        Err(Trouble::NotAsked(reason)) if reason.contains(word) => {}
        other => panic!("wanted a question not asked for `{word}`, got {other:?}"),
    }
}

#[tokio::test]
async fn questions_are_answered_by_one_process_until_it_ends() {
    let bench =
        Bench::answering(r#"echo $$ >$HERE/pid; echo "{\"id\":$id,\"answer\":{\"n\":$n,\"was\":$line}}"; [ $n = 3 ] && exit 0"#);
    for number in [1, 2, 3] {
        let answer = bench.ask("read").await.unwrap();
        assert_eq!((&answer["n"], &answer["was"]["do"]), (&json!(number), &json!("read")));
    }
    assert_eq!(bench.begun(), 1);
    ended(&bench.read("pid")).await;
    assert_eq!(bench.ask("read").await.unwrap()["n"], json!(1));
    assert_eq!(bench.begun(), 2);
}

#[tokio::test]
async fn a_program_that_counts_by_itself_is_found_out() {
    let bench = Bench::answering(r#"echo "{\"id\":$n,\"answer\":{}}""#);
    lost(bench.ask("read").await, "answers question 1, and was asked");
}

#[tokio::test]
async fn a_line_too_many_answers_nothing() {
    let bench = Bench::answering(r#"echo "{\"id\":$id,\"answer\":$n}"; echo "{\"id\":$id,\"answer\":7}"; echo >$HERE/said"#);
    assert_eq!(bench.ask("read").await, Ok(json!(1)));
    bench.there("said").await;
    let second = bench.ask("read").await;
    // the line is seen before the question, and there is a new life, or after it, and there is no answer
    assert!(second == Ok(json!(1)) && bench.begun() == 2 || matches!(second, Err(Trouble::Lost(_))), "{second:?}");
}

#[tokio::test]
async fn a_no_is_told_and_the_program_lives_on() {
    let bench = Bench::answering(r#"echo "{\"id\":$id,\"error\":\"rejected\",\"reason\":\"no port $n\"}""#);
    for number in [1, 2] {
        let Err(Trouble::Refused(_, reason)) = bench.ask("read").await else { panic!("a refusal") };
        assert!(reason.contains(&format!("no port {number}")), "{reason}");
    }
    assert_eq!(bench.begun(), 1);
}

#[tokio::test]
async fn who_is_late_is_ended_with_its_children_and_begins_anew() {
    let each = r#"sleep 1000 & echo $! >$HERE/child; [ -e $HERE/well ] || sleep 1000; echo "{\"id\":$id,\"answer\":1}""#;
    let bench = Bench::answering(each);
    lost(bench.ask_within("read", Duration::from_secs(5)).await, "no answer to `read`");
    ended(&bench.read("child")).await;
    std::fs::write(bench.file("well"), "").unwrap();
    assert_eq!(bench.ask("read").await, Ok(json!(1)));
    assert_eq!(bench.begun(), 2);
}

/// Waits until nobody has this number any more, or only a dead one that nobody has asked about yet.
async fn ended(pid: &str) {
    let state = format!("/proc/{pid}/stat");
    for _ in 0..1_000 {
        match std::fs::read_to_string(&state) {
            Ok(text) if !text.contains(") Z ") => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => return,
        }
    }
    panic!("process {pid} lives on");
}

#[tokio::test]
async fn who_ends_by_itself_leaves_no_child_behind() {
    for end in ["exit 0", r#"echo "{\"id\":$id,\"answer\":1}"; exit 0"#] {
        let bench = Bench::answering(&format!("sleep 1000 >/dev/null 2>&1 </dev/null & echo $! >$HERE/child; {end}"));
        let _ = bench.ask("read").await;
        let child = bench.read("child");
        // long enough for the second one to have ended by itself
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(bench.program);
        ended(&child).await;
    }
}

#[tokio::test]
async fn whoever_gives_up_leaves_no_answer_for_the_next_one() {
    let each = r#"echo $$ >$HERE/pid; [ -e $HERE/well ] || sleep 1000; echo "{\"id\":$id,\"answer\":$n}""#;
    let bench = Bench::answering(each);
    tokio::select! {
        answer = bench.ask("set") => panic!("{answer:?}"),
        () = bench.there("pid") => {}
    }
    ended(&bench.read("pid")).await;
    std::fs::write(bench.file("well"), "").unwrap();
    assert_eq!(bench.ask("read").await, Ok(json!(1)));
    assert_eq!(bench.begun(), 2);
}

#[tokio::test]
async fn one_question_at_a_time_and_a_queue_that_ends() {
    let bench = Bench::answering(r#"sleep 0.5; echo "{\"id\":$id,\"answer\":$n}""#);
    let (one, two, three) = tokio::join!(bench.ask("a"), bench.ask("b"), bench.ask_within("c", Duration::from_millis(100)));
    assert_eq!((one, two), (Ok(json!(1)), Ok(json!(2))));
    not_asked(three, "busy");
    assert_eq!(bench.begun(), 1);
}

#[tokio::test]
async fn what_is_no_answer_is_none() {
    for (each, word) in [
        ("echo hello", "not understood"),
        (r#"echo '{"id":99,"answer":{}}'"#, "answers question 99"),
        (r#"printf '{"id":1,'; exit 0"#, "broke off"),
        ("head -c 300000 /dev/zero | tr '\\0' x; echo", "longer than"),
        ("exit 3", "exit status: 3"),
        ("kill -9 $$", "signal: 9"),
    ] {
        let bench = Bench::answering(each);
        lost(bench.ask("set").await, word);
    }
    let bench = Bench::answering(r#"echo "{\"id\":$id,\"answer\":\"text\"}""#);
    let number: Result<u32, Trouble> = bench.program.ask("read", &Map::new(), LIMIT).await;
    assert!(matches!(number, Err(Trouble::Lost(reason)) if reason.contains("not understood")));
}

#[tokio::test]
async fn who_does_not_greet_is_asked_nothing() {
    for (script, word) in [
        ("echo '{\"understudy-driver\":1,\"kind\":\"outlets\"}'; cat", "drives `outlets`"),
        ("echo '{\"understudy-driver\":9,\"kind\":\"switch\"}'; cat", "schema 9"),
        ("echo welcome; cat", "no greeting"),
        ("cat", "said nothing in time"),
        ("exit 7", "exit status: 7"),
    ] {
        not_asked(Bench::new(script).ask("set").await, word);
    }
}

#[tokio::test]
async fn its_environment_is_what_is_given_and_complaints_hold_nobody_up() {
    let names = r#"$(env | cut -d= -f1 | sort | tr '\n' ' ')"#;
    let bench = Bench::answering(&format!(r#"head -c 1000000 /dev/zero >&2; echo "{{\"id\":$id,\"answer\":\"{names}\"}}""#));
    let Ok(Value::String(names)) = bench.ask("read").await else { panic!("names") };
    let names: Vec<&str> = names.split_whitespace().collect();
    assert!(["HERE", "LANG", "PATH"].iter().all(|name| names.contains(name)), "{names:?}");
    // and what a shell adds by itself
    let own = ["HERE", "LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| own.contains(name)), "{names:?}");
}

#[test]
fn a_program_that_cannot_be_is_told_before_it_is_needed() {
    let open = |command: &[&str], environment: &[(&str, &str)]| {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Program::open(Config { command, environment }, Kind::Switch).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(open(&["/bin/sh", "-c", "x"], &[("A", "b")]), Ok(()));
    for (command, environment, word) in [
        (&[][..], &[][..], "empty"),
        (&["sh"], &[], "absolute"),
        (&["/nowhere/driver"], &[], "install it"),
        (&["/bin"], &[], "no file"),
        (&["/bin/sh", "a\0b"], &[], "no such word"),
        (&["/bin/sh"], &[("A=B", "c")], "no such word"),
    ] {
        let complaint = open(command, environment).unwrap_err();
        assert!(complaint.contains(word), "{complaint}");
    }
    assert!(open(&["/bin/sh"; 65], &[]).is_err());
}
