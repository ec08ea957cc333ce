//! The README's commands, run as they stand there, so that none can go stale. It executes what the README says and nothing else; a command
//! that nothing here runs is a failure.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::check;
use crate::report;
use crate::run;
use crate::signals;
use crate::tree::Tree;

/// Commands of the real estate that need its hardware: what they end with where there is none, and the fault they name.
const WITHOUT_HARDWARE: &[(&str, i32, &str)] =
    &[("understudy machine enroll ", 1, "F0105"), ("understudy server start ", 5, "F0403")];

/// How long the commands of the real estate may take together, seconds.
const ESTATE_S: u32 = 120;

/// The commands of a section: what stands behind `$ ` in its console blocks, a line that ends with `\` with the next ones.
pub fn commands(readme: &str, section: &str) -> Vec<String> {
    let heading = format!("## {section}");
    let inside =
        readme.lines().skip_while(|line| !line.starts_with(&heading)).skip(1).take_while(|line| !line.starts_with("## "));
    let (mut all, mut console, mut open) = (Vec::<String>::new(), false, false);
    for line in inside {
        if line.starts_with("```") {
            (console, open) = (line == "```console", false);
            continue;
        }
        match (console.then(|| line.strip_prefix("$ ")).flatten(), all.last_mut()) {
            (Some(command), _) => all.push(command.to_owned()),
            (None, Some(last)) if open => {
                last.push('\n');
                last.push_str(line);
            }
            (None, _) => continue,
        }
        open = line.ends_with('\\');
    }
    all
}

/// The section `name` of the tree's README; none of its commands is no section.
fn section(tree: &Tree, name: &str) -> Result<Vec<String>> {
    let file = tree.root().join("README.md");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let found = commands(&text, name);
    if found.is_empty() {
        bail!("README.md has no command below `## {name}`");
    }
    Ok(found)
}

/// Runs the commands of "Try it". `cargo xtask test` is what runs right now; what it or another one is to show is looked at afterwards.
pub fn try_it(tree: &Tree, demo_json: &std::path::Path) -> Result<()> {
    let mut demo = false;
    for command in section(tree, "Try it")? {
        match command.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["cargo", "xtask", "test"] => {}
            ["cargo", "xtask", "demo", flags @ ..] => {
                let mut own = Command::new(std::env::current_exe().context("this program has no name")?);
                own.arg("demo").args(flags).args(["--yes", "--headless", "--json"]).arg(demo_json);
                run::succeed(&mut own)?;
                report::read_demo(demo_json)?.check()?;
                demo = true;
            }
            _ => bail!("README.md has the command `{command}` below `## Try it`, and no test runs it"),
        }
    }
    if !demo {
        bail!("README.md does not have the demo below `## Try it`");
    }
    Ok(())
}

/// Runs the commands of "A real estate" in an empty folder and a network without anybody, which vanish with it.
pub fn real_estate(tree: &Tree) -> Result<()> {
    let commands = section(tree, "A real estate")?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &ESTATE_S.to_string(), "unshare"]);
    if !check::is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--kill-child", "--mount", "--net", "sh", "-c", &script(&commands), "sh"]);
    command.arg(tree.lab_programs()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = run::spawn(&mut command, "the README's commands")?;
    let mut told = String::new();
    let read =
        child.stdout.take().context("a piped stdout").and_then(|mut out| Ok(std::io::Read::read_to_string(&mut out, &mut told)?));
    let status = child.wait();
    signals::child_ended();
    read?;
    let status = status?;
    if !status.success() {
        bail!("the README's commands ended with {status}: {told}");
    }
    judge(&commands, &told)
}

/// Each command as written, one after the other in one shell, what it said and how it ended. `$1` is where our programs are.
fn script(commands: &[String]) -> String {
    let mut lines = vec![
        "exec 2>&1".to_owned(),
        "mount -t tmpfs tmpfs /run && mkdir /run/here && cd /run/here && echo secret >/run/typed || exit 1".to_owned(),
        "PATH=$1:$PATH".to_owned(),
    ];
    for command in commands {
        lines.push(format!("{{ {command}\n}} </run/typed"));
        lines.push("code=$?; echo; echo \"=> $code\"".to_owned());
        if command.ends_with('&') {
            // a person needs longer to type the next one
            lines.push("for turn in $(seq 100); do understudy status >/dev/null 2>&1 && break; sleep 0.1; done".to_owned());
        }
    }
    lines.push("exit 0".to_owned());
    lines.join("\n")
}

/// Whether each ended as it should.
fn judge(commands: &[String], told: &str) -> Result<()> {
    let mut said = told.split_inclusive('\n').fold(vec![(String::new(), None)], |mut all, line| {
        let code = line.strip_prefix("=> ").and_then(|code| code.trim().parse::<i32>().ok());
        match (code, all.last_mut()) {
            (Some(_), Some(last)) => {
                last.1 = code;
                all.push((String::new(), None));
            }
            (None, Some(last)) => last.0.push_str(line),
            (_, None) => {}
        }
        all
    });
    said.truncate(commands.len());
    let wrong: Vec<String> = commands
        .iter()
        .enumerate()
        .filter_map(|(place, command)| {
            let (words, code) = said.get(place).cloned().unwrap_or_default();
            let bare = WITHOUT_HARDWARE.iter().find(|(start, ..)| command.starts_with(start));
            let (wanted, fault) = bare.map_or((0, ""), |(_, code, fault)| (*code, *fault));
            let right = code == Some(wanted) && words.contains(fault);
            (!right).then(|| format!("`{command}` ended with {code:?}, not with {wanted} {fault}: {}", words.trim()))
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_and_output_is_not() {
        let text = "# T\n## One: x\n```console\n$ a b\nout\n$ c \\\n    d\n```\n```\n$ e\n```\n## Two\n```console\n$ f\n```\n";
        assert_eq!(commands(text, "One"), ["a b", "c \\\n    d"]);
        assert_eq!(commands(text, "Two"), ["f"]);
        assert!(commands(text, "Three").is_empty());
    }

    #[test]
    fn an_end_that_is_not_the_expected_one_is_told() {
        let all = ["understudy estate check estate", "understudy server start web1"].map(str::to_owned);
        assert!(judge(&all, "well\n\n=> 0\nF0403: not enrolled\n\n=> 5\n").is_ok());
        for wrong in ["\n=> 1\nF0403\n=> 5\n", "\n=> 0\nF0403\n=> 0\n", "\n=> 0\nno\n=> 5\n", "\n=> 0\n"] {
            assert!(judge(&all, wrong).is_err(), "{wrong}");
        }
    }
}
