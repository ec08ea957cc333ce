//! Controllers beside the one that is ours, in a lab: the one whose place another took, and that of another estate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::control::Request;
use lab::exec::Exec;
use lab::names::{BOOT_SERVICE, MACHINES_MAX, Machine, SERVERS, STORAGE_AGENT, SWITCH_AGENT, server};

use crate::limits::READY;
use crate::product::Product;
use crate::rig::{SERVE, Serve, prepare_estate, serve_row};
use crate::run::{Run, until};
use crate::script::{Beside, Rival};
use crate::trouble::{Done, Trouble, at};

/// The controller on the restored backup.
const RESTORED: Serve = Serve { name: "serve-beside", state: "state-beside", estate: SERVE.estate, socket: "beside.sock" };
/// That of another estate.
const STRANGER: Serve =
    Serve { name: "serve-stranger", state: "state-stranger", estate: "estate-stranger", socket: "stranger.sock" };
/// How long a stranger waits until agents have said hello, and then until machines are taken in.
pub const HELLO: Duration = Duration::from_secs(5);
/// See [`HELLO`].
pub const TAKEN_IN: Duration = Duration::from_secs(30);
/// What a second controller on one store says as it ends.
pub const HELD: &str = " is held by ";
/// How many of its records are shown of a rival that was refused nothing.
const LAST_RECORDS: usize = 5;
/// By which words an agent tells in its log that it does not obey a command, or does not even listen to who sends it.
const TOLD: [&str; 2] = ["not obeyed", "TLS: "];

/// True of a sentence in which a controller records that an agent does not obey it; of another estate's also that it does not command it.
pub fn is_refusal(rival: Rival, text: &str) -> bool {
    let of_itself = rival == Rival::Estate && text.contains("and is only observed");
    of_itself
        || ["foreign estate", "foreign lineage", "equal epoch of another plan", "lower epoch"]
            .iter()
            .any(|reason| text.contains(reason))
}

/// True of a sentence in which a controller ends a plan because another one's is known to an agent.
fn has_given_up(text: &str) -> bool {
    text.contains("ended (F0302)") && text.contains("knows more than this store") || obeys_another(text)
}

/// True of a sentence in which a controller records that an agent obeys another process, or another store: then it asks nothing of that agent.
pub fn obeys_another(text: &str) -> bool {
    let another = ["obeys another process of a controller", "obeys another store (lineage"];
    text.contains("F0302") && another.iter().any(|whom| text.contains(whom))
}

/// Does it.
pub fn befall(run: &mut Run<'_>, what: Beside) -> Done {
    match what {
        Beside::Stops => signal(run, run.rig.serve, "STOP"),
        Beside::Restored => restored(run),
        Beside::Copied => copied(run),
        Beside::GoesOn => {
            run.rig.rivals.log_before = log(run)?.len();
            signal(run, SERVE, "CONT")
        }
        Beside::SecondInVain => second(run),
        Beside::Comes => comes(run),
    }
}

/// On the folder of ours; it has to end by itself, and name who has that.
fn second(run: &Run<'_>) -> Done {
    let second = Serve { socket: "second.sock", ..run.rig.serve };
    let argv = serve_row(run.places, &run.rig.run, &second, &[]).argv;
    let (line, mut told) = (argv.join(" "), String::new());
    let exec = Exec { argv, timeout_ms: u64::try_from(READY.as_millis()).ok(), ..Exec::default() };
    let end = run.rig.hand()?.exec_with(exec, |_, text| told.push_str(text))?;
    if !end.is_success() && told.contains(HELD) {
        return Ok(());
    }
    Err(Trouble::Wrong(format!("`{line}` is to be refused, since its store is in use: {end}; {told}")))
}

fn signal(run: &Run<'_>, serve: Serve, signal: &str) -> Done {
    let request = Request::Signal { name: serve.name.to_owned(), signal: signal.to_owned() };
    Ok(run.rig.hand()?.ask(&request).map(drop)?)
}

/// What lies in the folder of ours, which stands still, is copied as it lies, and the copy is ours from now on.
fn copied(run: &mut Run<'_>) -> Done {
    let (from, to) = (run.rig.run.join(SERVE.state), run.rig.run.join(RESTORED.state));
    crate::agents::copied(&from, &to)?;
    takes_over(run)
}

/// What the backup makes is ours from now on.
fn restored(run: &mut Run<'_>) -> Done {
    let (file, state) = (run.rig.run.join("backup"), run.rig.run.join(RESTORED.state));
    run.rig.product.offline(&["restore", &file.display().to_string(), "--state", &state.display().to_string()])?;
    takes_over(run)
}

fn takes_over(run: &mut Run<'_>) -> Done {
    let product = Product::at(&run.places.program("understudy"), &run.rig.run.join(RESTORED.socket))?;
    run.rig.serve = RESTORED;
    run.rig.start_controller(run.places, &[])?;
    product.follow();
    run.rig.rivals.stale = Some(std::mem::replace(&mut run.rig.product, product));
    Ok(())
}

/// Another estate's documents name the same equipment, and its operator does what ours does. What becomes of that stands in its records.
fn comes(run: &mut Run<'_>) -> Done {
    run.rig.rivals.log_before = log(run)?.len();
    let product = Product::at(&run.places.program("understudy"), &run.rig.run.join(STRANGER.socket))?;
    prepare_estate(&product, &run.rig.run, &STRANGER, &run.rig.setup)?;
    run.rig.hand()?.add(serve_row(run.places, &run.rig.run, &STRANGER, &[]))?;
    product.follow();
    let bundle = run.rig.run.join("stranger.bundle");
    for agent in [SWITCH_AGENT, STORAGE_AGENT, BOOT_SERVICE] {
        product.command(&["agent", "enroll", agent, "--out", &bundle.display().to_string()])?;
        at(&bundle, std::fs::remove_file(&bundle))?;
    }
    crate::signals::sleep(HELLO)?;
    let machines: Vec<String> = (1..=run.rig.setup.machines.min(MACHINES_MAX)).map(|number| Machine(number).name()).collect();
    let mut words = vec!["machine", "enroll"];
    words.extend(machines.iter().map(String::as_str));
    let taken_in = product.command(&words);
    // each waits as long as a command may, since nobody lets it in
    let commands = &product;
    let started: Vec<String> = std::thread::scope(|scope| {
        let start = |number| scope.spawn(move || commands.command(&["server", "start", &server(number)]).is_ok());
        let starts: Vec<_> = SERVERS.into_iter().map(|number| (server(number), start(number))).collect();
        starts.into_iter().filter_map(|(name, start)| start.join().unwrap_or(true).then_some(name)).collect()
    });
    if !started.is_empty() {
        return Err(Trouble::Wrong(format!("another estate has started {}", started.join(", "))));
    }
    // its BMCs may take it in or not: nothing follows from that
    drop(taken_in);
    run.rig.rivals.stranger = Some(product);
    Ok(())
}

/// The storage agent's log.
fn log(run: &Run<'_>) -> Done<String> {
    let path: PathBuf = run.rig.run.join(format!("logs/{STORAGE_AGENT}.log"));
    read(&path)
}

fn read(path: &Path) -> Done<String> {
    at(path, std::fs::read(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// It asked, was refused, and both have told so. Or the one that was left behind has heard of the other by a hello before anything of its
/// own was on its way: then it has given up, and there was nothing to refuse. Which of them comes first is up to the network.
pub fn not_obeyed(run: &Run<'_>, rival: Rival, within: Duration) -> Done {
    let product = match rival {
        Rival::Stale => &run.rig.rivals.stale,
        Rival::Estate => &run.rig.rivals.stranger,
    };
    let product = product.as_ref().ok_or_else(|| Trouble::Wrong("there is no such controller".to_owned()))?;
    until("a refusal in both logs", within, || {
        if rival == Rival::Stale && product.story().iter().any(|line| has_given_up(&line.text)) {
            return Ok(Ok(()));
        }
        if !recorded(product, rival)? {
            let story = product.story();
            let last: Vec<&str> = story.iter().rev().take(LAST_RECORDS).map(|line| line.text.as_str()).collect();
            return Ok(Err(format!("it has recorded none; its last records, newest first: {}", last.join(" | "))));
        }
        let log = log(run)?;
        let told = log.get(run.rig.rivals.log_before..).unwrap_or(&log);
        let told = TOLD.iter().any(|word| told.contains(word));
        Ok(if told { Ok(()) } else { Err(format!("{STORAGE_AGENT} tells of none")) })
    })
}

/// Whether a rival knows that it is not obeyed. A stranger is not even let in: to it an agent that trusts another authority is one that it
/// cannot reach.
fn recorded(product: &Product, rival: Rival) -> Done<bool> {
    if product.story().iter().any(|line| is_refusal(rival, &line.text)) {
        return Ok(true);
    }
    if rival == Rival::Stale {
        return Ok(false);
    }
    let agents: Vec<api::view::AgentStateView> = product.view("/v1/agents")?;
    Ok(agents.iter().any(|agent| agent.name == STORAGE_AGENT && agent.state != "trusted" && agent.reason.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_by_its_reason() {
        let refused = "P6 op 6.7 not done: refused: foreign lineage: the controller's store is not the one this agent obeys";
        let of_itself =
            "ALARM F0302: agent store1 knows more than this store, and is only observed: volume store1/a is at e5 there";
        assert!(is_refusal(Rival::Stale, refused) && is_refusal(Rival::Estate, refused));
        assert!(is_refusal(Rival::Estate, of_itself) && !is_refusal(Rival::Stale, of_itself));
        assert!(!is_refusal(Rival::Stale, "P6 op 6.7 not done: refused: barred: port sw1/m1-nic1 is barred"));
        let ended = "P6 ended (F0302): agent store1 knows more than this store: volume store1/a is at e7 there";
        assert!(has_given_up(ended) && !has_given_up(refused) && !has_given_up(of_itself));
    }
}
