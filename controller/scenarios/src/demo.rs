//! The demo: a data centre is raised, a production server is killed, and a person watches Understudy bring it back.

use std::path::Path;
use std::time::{Duration, Instant};

use api::view::{FailoverView, PlanSummary};
use lab::control::Act;
use serde::Serialize;

use crate::clock::wall_ms;
use crate::e2e;
use crate::library;
use crate::limits::{DRAW, MOVED, RECORDS, SERVES};
use crate::oracle::Verdict;
use crate::places::Places;
use crate::run::{self, Run};
use crate::screen::Screen;
use crate::seconds::{self, Known, Span};
use crate::signals;
use crate::trouble::{Done, Trouble, at};

/// The scenario that is shown.
const SCENARIO: &str = "crash";
const SERVER: &str = "web1";
const OTHER: &str = "web2";
const MACHINE: &str = "m1";
const SPARE: &str = "m3";
/// The lab estate's `fencing.settle`, milliseconds.
pub const SETTLE_MS: u64 = 300;

/// What came of it, as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario.
    pub scenario: String,
    /// `cold` or `parked`.
    pub spare: &'static str,
    /// From the fault to the end of the failover, seconds.
    pub total_s: f64,
    /// Understudy's own time, milliseconds.
    pub own_ms: u64,
    /// Where the seconds went.
    pub stages: Vec<Span>,
    /// The most machines ever effective at once.
    pub effective_machines: u64,
    /// Records acknowledged before the fault.
    pub acknowledged: u64,
    /// Of those, found again in order.
    pub recovered: u64,
}

impl Outcome {
    /// Whether the promise was kept.
    pub fn is_good(&self) -> bool {
        self.recovered == self.acknowledged && self.acknowledged > 0 && self.effective_machines == 1
    }
}

/// How the demo is to be shown.
pub struct Wishes<'a> {
    /// Lines instead of a live screen.
    pub headless: bool,
    /// Where the outcome goes.
    pub json: Option<&'a Path>,
    /// Leave the data centre up afterwards.
    pub keep: bool,
}

/// Shows it; true if the promise was kept.
pub fn show(places: &Places, wishes: &Wishes<'_>) -> bool {
    let mut screen = Screen::new(wishes.headless);
    screen
        .line("Three machines, a switch and a storage target are raised here as QEMU machines; two servers run on two of them.");
    screen.line(&format!(
        "Then {SERVER}'s machine is killed, and Understudy brings {SERVER} back on the spare. This takes about a minute."
    ));
    let scenario = match library::find(SCENARIO) {
        Some(Ok(scenario)) => scenario,
        Some(Err(_)) | None => return false,
    };
    let told = std::cell::RefCell::new(&mut screen);
    let raised = run::up(places, &scenario, false, &|text| told.borrow_mut().told(text));
    let mut run = match raised {
        Ok(run) => run,
        Err(trouble) => {
            screen.line(&format!("FAILED while the data centre was raised: {trouble}"));
            return false;
        }
    };
    let outcome = play(&mut run, &mut screen);
    let good = match outcome {
        Ok((outcome, gone)) => finish(&mut screen, wishes, &outcome, gone),
        Err(trouble) => {
            let stage = latest(&run).and_then(|plan| plan.stage).unwrap_or_else(|| "before a failover began".to_owned());
            let logs = e2e::logs(&run, places, "demo").unwrap_or_else(|| "could not be kept".to_owned());
            screen.line(&format!("FAILED in stage {stage}: {trouble}"));
            screen.line(&format!("logs: {logs}"));
            false
        }
    };
    if wishes.keep && !signals::interrupted() {
        screen.line(&format!("The data centre stays up: {}", run.rig.product.typed("status")));
        screen.line("Ctrl-C ends it.");
        while run.rig.lab_ended().is_none() {
            std::thread::sleep(DRAW);
        }
    }
    good
}

fn finish(screen: &mut Screen, wishes: &Wishes<'_>, outcome: &Outcome, gone: Duration) -> bool {
    screen.line("");
    screen.line(&table(outcome));
    let machines = match outcome.effective_machines {
        1 => "one machine is effective".to_owned(),
        other => format!("{other} machines were effective at once"),
    };
    screen.line(&format!(
        "{SERVER} was gone for {:.1} s; {} of {} acknowledged writes are there; {machines}.",
        gone.as_secs_f64(),
        outcome.recovered,
        outcome.acknowledged
    ));
    let written = wishes.json.map_or(Ok(()), |path| write(path, outcome));
    if let Err(trouble) = &written {
        screen.line(&format!("FAILED: {trouble}"));
    }
    if !outcome.is_good() {
        screen.line("FAILED: that is not what Understudy promises.");
    }
    written.is_ok() && outcome.is_good()
}

fn write(path: &Path, outcome: &Outcome) -> Done {
    let text = serde_json::to_string_pretty(outcome).unwrap_or_default() + "\n";
    at(path, std::fs::write(path, text))
}

fn table(outcome: &Outcome) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).force_no_tty();
    table.set_header(["STAGE", "FROM", "TO", "SECONDS"]);
    for span in &outcome.stages {
        let name = if span.name.contains('.') { format!("  {}", span.name) } else { span.name.to_owned() };
        let cell = |seconds: f64| format!("{seconds:8.3}");
        table.add_row([name, cell(span.start_s), cell(span.end_s), cell(span.end_s - span.start_s)]);
    }
    table.add_row(["total".to_owned(), String::new(), String::new(), format!("{:8.3}", outcome.total_s)]);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of one failover")]
    let own = outcome.own_ms as f64 / 1000.0;
    table.add_row(["of it Understudy's own".to_owned(), String::new(), String::new(), format!("{own:8.3}")]);
    table.to_string()
}

/// The newest failover, if there is one.
fn latest(run: &Run<'_>) -> Option<PlanSummary> {
    run.rig.product.failovers().ok().and_then(|all| all.into_iter().next_back())
}

/// From running servers to the oracle's word.
fn play(run: &mut Run<'_>, screen: &mut Screen) -> Done<(Outcome, Duration)> {
    start(run, screen)?;
    watch_until(run, screen, None, SERVES, "both servers answer", &mut |run| {
        Ok(run.rig.eyes.seen(SERVER)?.since.is_some() && run.rig.eyes.seen(OTHER)?.since.is_some())
    })?;
    screen.told("both servers answer");
    screen.line(&format!("Meanwhile, in another shell:  {}", run.rig.product.typed("watch")));
    let from = run.rig.eyes.seen(SERVER)?.answer.map_or(0, |(_, answer)| answer.last);
    watch_until(run, screen, None, SERVES, "records", &mut |run| {
        Ok(run.rig.eyes.seen(SERVER)?.answer.is_some_and(|(_, answer)| answer.last >= from + RECORDS))
    })?;
    let before = run.rig.eyes.seen(SERVER)?.answer.map(|(_, answer)| answer.incarnation).unwrap_or_default();
    let fault = wall_ms();
    run.rig.hand()?.machine(MACHINE, Act::Kill)?;
    run.fault = Some(fault);
    screen.told(&format!("{MACHINE} is killed: its power is gone, and {SERVER} with it"));
    let name = SERVER.to_owned();
    watch_until(run, screen, Some(fault), MOVED, "the failover's end", &mut |run| {
        let seen = run.rig.eyes.seen(&name)?;
        let new = seen.answer.is_some_and(|(_, answer)| answer.incarnation != before) && seen.since.is_some();
        Ok(new && latest(run).is_some_and(|plan| plan.state != "open"))
    })?;
    let seen = run.rig.eyes.seen(SERVER)?;
    let new = seen.answer.clone().map(|(_, answer)| answer);
    let answered = new.as_ref().and_then(|answer| seen.first.get(&answer.incarnation).copied()).unwrap_or_else(wall_ms);
    screen.told(&format!("{SERVER} answers again, on {SPARE}"));
    let last = new.map_or(0, |answer| answer.last);
    watch_until(run, screen, None, SERVES, "records after the failover", &mut |run| {
        Ok(run.rig.eyes.seen(SERVER)?.answer.is_some_and(|(_, answer)| answer.last >= last + RECORDS))
    })?;
    let plan = latest(run).ok_or_else(|| Trouble::Wrong("there was no failover".to_owned()))?;
    if plan.state != "done" {
        return Err(Trouble::Wrong(format!("{} is {}: {}", plan.id, plan.state, plan.result.unwrap_or_default())));
    }
    let failover = run.rig.product.failover(&plan.id)?;
    let verdict = run.rig.oracle.judge(Some((SERVER, fault)))?;
    Ok((outcome(run, &failover, &verdict, (fault, answered)), Duration::from_millis(answered.saturating_sub(fault))))
}

fn outcome(run: &Run<'_>, failover: &FailoverView, verdict: &Verdict, (fault, answered): (u64, u64)) -> Outcome {
    let (story, console) = (run.rig.product.story(), run.rig.consoles.since(SPARE, fault));
    let known = Known { fault, failover, story: &story, console: &console, answered, settle: SETTLE_MS };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of one failover")]
    let total_s = known.closed().max(answered).saturating_sub(fault) as f64 / 1000.0;
    Outcome {
        scenario: SCENARIO.to_owned(),
        spare: "cold",
        total_s,
        own_ms: known.own_ms(),
        stages: known.stages(),
        effective_machines: verdict.effective,
        acknowledged: verdict.acknowledged,
        recovered: verdict.recovered,
    }
}

/// Takes the machines in and starts the servers, and shows what is meanwhile.
fn start(run: &Run<'_>, screen: &mut Screen) -> Done {
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| run.rig.start_servers(&|_| {}));
        while !starting.is_finished() {
            screen.now(&present(run, None)?);
            std::thread::sleep(DRAW);
        }
        starting.join().unwrap_or_else(|_| Err(Trouble::Wrong("the start of the servers was lost".to_owned())))
    })
}

/// Shows what is until something is so.
fn watch_until(
    run: &mut Run<'_>,
    screen: &mut Screen,
    fault: Option<u64>,
    within: Duration,
    what: &str,
    so: &mut dyn FnMut(&Run<'_>) -> Done<bool>,
) -> Done {
    let start = Instant::now();
    loop {
        if so(run)? {
            return Ok(());
        }
        if start.elapsed() > within {
            let last = run.rig.product.last_sentence().map_or_else(String::new, |line| line.text);
            return Err(Trouble::Late { what: what.to_owned(), within, last });
        }
        if let Some(words) = run.rig.lab_ended() {
            return Err(Trouble::NotUp { reason: words });
        }
        let lines = present(run, fault)?;
        screen.now(&lines);
        signals::sleep(DRAW)?;
    }
}

/// The two servers' answers, the stage in progress, and the last sentence.
fn present(run: &Run<'_>, fault: Option<u64>) -> Done<Vec<String>> {
    let now = wall_ms();
    let status = run.rig.product.status().ok();
    let mut lines = vec![String::new()];
    for server in [SERVER, OTHER] {
        let seen = run.rig.eyes.seen(server)?;
        let machine = status
            .as_ref()
            .and_then(|status| status.servers.iter().find(|view| view.name == server))
            .and_then(|view| view.machine.clone())
            .unwrap_or_else(|| "-".to_owned());
        let word = match (&seen.answer, seen.since) {
            (Some((_, answer)), Some(_)) => format!("answers, record {}", answer.last),
            (Some((last, _)), None) => format!("silent for {:.1} s", tenths(now.saturating_sub(*last))),
            (None, _) if machine == "-" => "has no machine yet".to_owned(),
            (None, _) => "boots".to_owned(),
        };
        lines.push(format!("  {server} on {machine}  {word}"));
    }
    if let Some(fault) = fault {
        lines.push(format!("  {}", stage(run, status.as_ref(), fault, now)));
    }
    if let Some(last) = run.rig.product.last_sentence() {
        lines.push(format!("  {}", last.text));
    }
    Ok(lines)
}

fn tenths(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

fn stage(run: &Run<'_>, status: Option<&api::view::StatusView>, fault: u64, now: u64) -> String {
    let total = tenths(now.saturating_sub(fault));
    let plan = status.and_then(|status| status.plans.iter().find(|plan| plan.kind == "failover"));
    let Some(plan) = plan else { return format!("detect {total:.1} s") };
    let story = run.rig.product.story();
    let of_plan = story.iter().rfind(|line| line.kind == "entered" && line.plan.as_deref() == Some(plan.id.as_str()));
    let mut since = of_plan.map_or(plan.sealed, |line| line.at);
    let mut name = plan.stage.clone().unwrap_or_else(|| "decide".to_owned());
    if name == "verify" {
        // the service can only be waited for: what the machine does meanwhile stands on its console
        let (phase, begun) = seconds::phase(&run.rig.consoles.since(SPARE, fault), since);
        (name, since) = (phase.to_owned(), begun);
    }
    format!("{} {name} {:.1} s, {total:.1} s since the fault", plan.id, tenths(now.saturating_sub(since)))
}
