//! The demo: a data centre is raised, a production server is killed, and a person watches Understudy bring it back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::view::{FailoverView, PlanSummary, WatchView};
use console::style;
use lab::control::Act;
use lab::names::SwitchKind;
use serde::Serialize;

use crate::clock::wall_ms;
use crate::console::Line;
use crate::e2e;
use crate::eyes::Seen;
use crate::library;
use crate::limits::{DRAW, MOVED, RECORDS, SERVES};
use crate::oracle::Verdict;
use crate::places::Places;
use crate::rig::Make;
use crate::run::{self, Run};
use crate::screen::Screen;
use crate::script::Scenario;
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
    /// The hall, where it was a simulated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hall: Option<SimulatedHall>,
}

/// Of a simulated hall.
#[derive(Clone, Debug, Serialize)]
pub struct SimulatedHall {
    /// How many machines it has.
    pub machines: usize,
    /// How many servers ran.
    pub live: usize,
    /// The machine that died.
    pub from: String,
    /// The machine on which its server came back.
    pub to: String,
    /// Acknowledged records of all servers, to the end, that are not on their volumes.
    pub lost: u64,
}

impl Outcome {
    /// Whether the promise was kept.
    pub fn is_good(&self) -> bool {
        let hall = self.hall.as_ref().is_none_or(|hall| hall.from != hall.to && hall.lost == 0);
        self.recovered == self.acknowledged && self.acknowledged > 0 && self.effective_machines == 1 && hall
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
    /// What the switch is.
    pub switch: SwitchKind,
}

/// Shows it; true if the promise was kept.
pub fn show(places: &Places, wishes: &Wishes<'_>) -> bool {
    let mut screen = Screen::new(wishes.headless);
    screen.say(&format!(
        "Three QEMU machines, a storage target (tgt), a switch ({}): {SERVER} will run on {MACHINE}, {OTHER} on m2; {SPARE} is the spare.",
        match wishes.switch {
            SwitchKind::Machine => "a Linux bridge, on a QEMU machine too",
            SwitchKind::OpenVswitch => "Open vSwitch",
        }
    ));
    let raised = demo().and_then(|scenario| raise(places, &scenario, wishes.switch, &mut screen));
    let good = match raised {
        Ok(mut run) => {
            let outcome = play(&mut run, &mut screen);
            screen.rest();
            let good = match outcome {
                Ok((outcome, gone)) => finish(&mut screen, wishes.json, SERVER, &outcome, gone),
                Err(trouble) => {
                    failed(&mut screen, &run, places, &trouble);
                    false
                }
            };
            if wishes.keep && !signals::interrupted() {
                stay(&mut screen, &mut run);
            }
            good
        }
        Err(trouble) => {
            screen.rest();
            if !signals::interrupted() {
                screen.say(&format!("FAILED while the data centre was raised: {trouble}"));
            }
            false
        }
    };
    if signals::interrupted() {
        screen.say("Interrupted; nothing is left running.");
    }
    good
}

/// The scenario that is shown, under a name of its own: a run folder and logs are called after it.
fn demo() -> Done<Scenario> {
    match library::find(SCENARIO) {
        Some(Ok(scenario)) => Ok(Scenario { name: "demo".to_owned(), ..scenario }),
        Some(Err(_)) | None => Err(Trouble::Wrong(format!("the scenario `{SCENARIO}` cannot be read"))),
    }
}

/// Raises the data centre on this thread, on which its life hangs; another one shows that time passes.
fn raise<'a>(places: &'a Places, scenario: &Scenario, switch: SwitchKind, screen: &mut Screen) -> Done<Run<'a>> {
    let (start, screen, done) = (Instant::now(), Mutex::new(screen), AtomicBool::new(false));
    let lock = || screen.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                lock().now(&[String::new(), format!("  raising the data centre, {:.1} s", start.elapsed().as_secs_f64())]);
                std::thread::sleep(DRAW);
            }
        });
        let raised = run::up(places, scenario, Make { switch, keep: false }, &|text| lock().told(text));
        done.store(true, Ordering::SeqCst);
        raised
    })
}

/// Tells the stage, the reason and where the logs are.
fn failed(screen: &mut Screen, run: &Run<'_>, places: &Places, trouble: &Trouble) {
    if signals::interrupted() {
        return;
    }
    let stage = latest(run).and_then(|plan| plan.stage).unwrap_or_else(|| "before a failover began".to_owned());
    screen.say(&format!("FAILED in stage {stage}: {trouble}"));
    let logs = e2e::logs(run, places, "demo").unwrap_or_else(|| "they could not be kept".to_owned());
    screen.say(&format!("logs: {logs}"));
}

/// Leaves the data centre up until somebody ends it.
fn stay(screen: &mut Screen, run: &mut Run<'_>) {
    screen.say("The data centre stays up; Ctrl-C ends it. In another shell, in this folder:");
    screen.line(&run.rig.product.typed("status"));
    while run.rig.lab_ended().is_none() {
        std::thread::sleep(DRAW);
    }
}

/// Tells how it was, and writes it; true if the promise was kept.
pub fn finish(screen: &mut Screen, json: Option<&Path>, server: &str, outcome: &Outcome, gone: Duration) -> bool {
    screen.line("");
    screen.line(&table(outcome));
    screen.line("");
    let machines = match outcome.effective_machines {
        1 => "one machine is effective".to_owned(),
        other => format!("{other} machines were effective at once"),
    };
    screen.say(&format!(
        "{server} was gone for {:.1} s; {} of {} acknowledged writes are there; {machines}.",
        gone.as_secs_f64(),
        outcome.recovered,
        outcome.acknowledged
    ));
    let written = json.map_or(Ok(()), |path| write(path, outcome));
    if let Err(trouble) = &written {
        screen.say(&format!("FAILED: {trouble}"));
    }
    if !outcome.is_good() {
        screen.say("FAILED: that is not what Understudy promises.");
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
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The newest failover, if there is one.
fn latest(run: &Run<'_>) -> Option<PlanSummary> {
    run.rig.product.failovers().ok().and_then(|all| all.into_iter().next_back())
}

/// From running servers to the oracle's word.
fn play(run: &mut Run<'_>, screen: &mut Screen) -> Done<(Outcome, Duration)> {
    start(run, screen)?;
    watch_until(run, screen, &Doing::now("the servers boot"), SERVES, &mut |run| {
        Ok(run.rig.eyes.seen(SERVER)?.since.is_some() && run.rig.eyes.seen(OTHER)?.since.is_some())
    })?;
    screen.told("both servers answer");
    screen.line("");
    screen.say("Meanwhile, in another shell, in this folder:");
    screen.line(&format!("{}\n", run.rig.product.typed("watch")));
    watch_records(run, screen, "the servers write records, and acknowledge each")?;
    let before = run.rig.eyes.seen(SERVER)?.answer.map(|(_, answer)| answer.incarnation).unwrap_or_default();
    let fault = wall_ms();
    run.rig.hand()?.machine(MACHINE, Act::Kill)?;
    run.fault = Some(fault);
    screen.told(&format!("{MACHINE} is killed: its power is gone, and {SERVER} with it"));
    watch_until(run, screen, &Doing::Failover(fault), MOVED, &mut |run| {
        let seen = run.rig.eyes.seen(SERVER)?;
        let new = seen.answer.is_some_and(|(_, answer)| answer.incarnation != before) && seen.since.is_some();
        Ok(new && latest(run).is_some_and(|plan| plan.state != "open"))
    })?;
    let seen = run.rig.eyes.seen(SERVER)?;
    let new = seen.answer.map(|(_, answer)| answer.incarnation).and_then(|start| seen.first.get(&start).copied());
    let answered = new.unwrap_or_else(wall_ms);
    screen.told(&format!("{SERVER} answers again, on {SPARE}"));
    watch_records(run, screen, &format!("{SERVER} writes on"))?;
    let plan = latest(run).ok_or_else(|| Trouble::Wrong("there was no failover".to_owned()))?;
    if plan.state != "done" {
        return Err(Trouble::Wrong(format!("{} is {}: {}", plan.id, plan.state, plan.result.unwrap_or_default())));
    }
    let failover = run.rig.product.failover(&plan.id)?;
    let verdict = run.rig.oracle.judge(Some((SERVER, fault)))?;
    if !verdict.violations.is_empty() {
        return Err(Trouble::Oracle(verdict.violations.join("; ")));
    }
    Ok((outcome(run, &failover, &verdict, (fault, answered)), Duration::from_millis(answered.saturating_sub(fault))))
}

/// Shows what is until the server has written some more.
fn watch_records(run: &mut Run<'_>, screen: &mut Screen, doing: &str) -> Done {
    let last = |run: &Run<'_>| -> Done<u64> { Ok(run.rig.eyes.seen(SERVER)?.answer.map_or(0, |(_, answer)| answer.last)) };
    let from = last(run)?;
    watch_until(run, screen, &Doing::now(doing), SERVES, &mut |run| Ok(last(run)? >= from + RECORDS))
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
        hall: None,
    }
}

/// What goes on, for the line below the servers.
enum Doing {
    /// This, since then.
    Plain(String, Instant),
    /// A failover, since a fault at this time.
    Failover(u64),
}

impl Doing {
    fn now(text: &str) -> Doing {
        Doing::Plain(text.to_owned(), Instant::now())
    }
}

/// Takes the machines in and starts the servers, and shows what is meanwhile.
fn start(run: &Run<'_>, screen: &mut Screen) -> Done {
    let doing = Doing::now("the machines are taken in, then the servers are started");
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| run.rig.start_servers(&|_| {}));
        while !starting.is_finished() {
            screen.now(&present(run, &doing)?);
            std::thread::sleep(DRAW);
        }
        starting.join().unwrap_or_else(|_| Err(Trouble::Wrong("the start of the servers was lost".to_owned())))
    })
}

/// Shows what is until something is so.
fn watch_until(
    run: &mut Run<'_>,
    screen: &mut Screen,
    doing: &Doing,
    within: Duration,
    so: &mut dyn FnMut(&Run<'_>) -> Done<bool>,
) -> Done {
    let start = Instant::now();
    loop {
        if so(run)? {
            return Ok(());
        }
        if let Some(words) = run.rig.lab_ended() {
            return Err(Trouble::NotUp { reason: words });
        }
        let lines = present(run, doing)?;
        if start.elapsed() > within {
            let told: Vec<_> = lines.iter().map(|line| console::strip_ansi_codes(line).trim().to_owned()).collect();
            return Err(Trouble::Late { what: "the next step".to_owned(), within, last: told.join(" | ") });
        }
        screen.now(&lines);
        signals::sleep(DRAW)?;
    }
}

/// The two servers' answers, what goes on, and the last sentence.
fn present(run: &Run<'_>, doing: &Doing) -> Done<Vec<String>> {
    let now = wall_ms();
    let status = run.rig.product.status().ok();
    let mut lines = vec![String::new()];
    for server in [SERVER, OTHER] {
        let seen = run.rig.eyes.seen(server)?;
        let view = status.as_ref().and_then(|status| status.servers.iter().find(|view| view.name == server));
        let machine = view.and_then(|view| view.machine.clone());
        let word = word(&seen, machine.is_some(), now);
        lines.push(format!("  {} on {}  {word}", style(server).bold(), machine.as_deref().unwrap_or("--")));
    }
    lines.push(match doing {
        Doing::Plain(text, since) => format!("  {text}, {:.1} s", since.elapsed().as_secs_f64()),
        Doing::Failover(fault) => {
            let plan = status.as_ref().and_then(|status| status.plans.iter().find(|plan| plan.kind == "failover"));
            let console = run.rig.consoles.since(SPARE, *fault);
            format!("  {}", stage(&run.rig.product.story(), plan, &console, *fault, now))
        }
    });
    let last = run.rig.product.last_sentence().map_or_else(String::new, |line| line.text);
    lines.push(format!("  {}", style(last).dim()));
    Ok(lines)
}

/// How a server is to its users.
pub fn word(seen: &Seen, has_machine: bool, now: u64) -> String {
    match (&seen.answer, seen.since, has_machine) {
        (Some((_, answer)), Some(_), _) => style("answers").green().to_string() + &format!(", record {}", answer.last),
        (Some((last, _)), None, _) => {
            style(format!("silent for {:.1} s", in_seconds(now.saturating_sub(*last)))).red().to_string()
        }
        (None, _, false) => "has no machine yet".to_owned(),
        (None, _, true) => "boots".to_owned(),
    }
}

fn in_seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

/// The failover's stage and how long it is in it. `console` is what its target showed since the fault.
pub fn stage(story: &[WatchView], plan: Option<&PlanSummary>, console: &[Line], fault: u64, now: u64) -> String {
    let total = format!("{:.1} s since the fault", in_seconds(now.saturating_sub(fault)));
    let entered = story.iter().rfind(|line| line.kind == "entered" && line.at >= fault);
    let (plan, mut name, mut since) = match (plan, entered) {
        (None, None) => return format!("detect, {total}"),
        (None, Some(_)) => return format!("the failover is closed, {total}"),
        (Some(plan), entered) => {
            let name = plan.stage.clone().unwrap_or_else(|| "decide".to_owned());
            (plan, name, entered.map_or(plan.sealed, |line| line.at))
        }
    };
    if name == "verify" {
        // the service can only be waited for: what the machine does meanwhile stands on its console
        let (phase, begun) = seconds::phase(console, since);
        (name, since) = (format!("verify: {phase}"), begun);
    }
    format!("{} {} {:.1} s, {total}", plan.id, style(name).bold(), in_seconds(now.saturating_sub(since)))
}
