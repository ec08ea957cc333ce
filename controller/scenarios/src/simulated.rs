//! The demo in a simulated hall: hundreds or thousands of machines on loopback addresses, one of which dies. Controller, stores, sockets and
//! drivers are the real ones; what they drive is not there. Without QEMU, without root.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use api::view::{MachineView, PlanSummary, WatchView};
use console::style;

use crate::clock::wall_ms;
use crate::demo::{self, Outcome, SimulatedHall};
use crate::eyes::Eyes;
use crate::hall::Hall;
use crate::limits::{CALM, CALM_SUSPECTS, DRAW, HALL_KEPT, MOVED, RECORDS, SEEN, SERVES};
use crate::product::Product;
use crate::screen::Screen;
use crate::seconds::Known;
use crate::signals;
use crate::trouble::{Done, Trouble};

const SCENARIO: &str = "simulated";
const SERVER: &str = "web1";
const MACHINE: &str = "m1";
/// So many servers run, one group of them; the others have their documents, volumes and homes, and stay off.
const LIVE: usize = 20;

/// The symptoms that the controller's guard counts, as its story names them.
const SUSPICIONS: [&str; 3] = ["unexpected-off", "hung", "power-suspected"];

/// How the demo is to be shown.
pub struct Wishes<'a> {
    /// Lines instead of a live screen.
    pub headless: bool,
    /// Where the outcome goes.
    pub json: Option<&'a Path>,
    /// Leave the hall up afterwards.
    pub keep: bool,
    /// How many machines.
    pub machines: usize,
}

/// Where things are.
pub struct Where<'a> {
    /// Our programs.
    pub programs: &'a Path,
    /// Where folders of runs lie.
    pub runs: &'a Path,
    /// Where the logs of a run that failed are kept.
    pub failed: &'a Path,
}

/// Shows it; true if the promise was kept.
pub fn show(places: &Where<'_>, wishes: &Wishes<'_>) -> bool {
    let mut screen = Screen::new(wishes.headless);
    screen.say(&format!(
        "{} machines with their BMCs, a switch, a storage target and a boot service, all simulated. They are taken in, {} servers \
         are started, then {MACHINE} dies, and {SERVER} with it: in all {}.",
        wishes.machines,
        live(wishes.machines).len(),
        lasts(wishes.machines)
    ));
    let good = match raise(places, wishes, screen) {
        Ok(mut show) => {
            let played = show.play();
            show.screen.rest();
            let good = match played {
                Ok((outcome, gone)) => demo::finish(&mut show.screen, wishes.json, SERVER, &outcome, gone),
                Err(trouble) => {
                    show.failed(places, &trouble);
                    false
                }
            };
            if wishes.keep && !signals::interrupted() {
                show.stay();
            }
            good
        }
        Err(failed) => {
            let (mut screen, trouble) = *failed;
            screen.rest();
            if !signals::interrupted() {
                screen.say(&format!("FAILED while the hall was raised: {trouble}"));
            }
            false
        }
    };
    if signals::interrupted() {
        Screen::new(true).say("Interrupted; nothing is left running.");
    }
    good
}

/// Raises hall and controller on this thread, on which their lives hang.
fn raise(places: &Where<'_>, wishes: &Wishes<'_>, mut screen: Screen) -> Result<Show, Box<(Screen, Trouble)>> {
    let live = live(wishes.machines);
    let start = Instant::now();
    let mut wait = || screen.now(&[String::new(), format!("  the hall is raised, {:.1} s", start.elapsed().as_secs_f64())]);
    let raised = Hall::raise(places.programs, places.runs, wishes.machines, &live, &mut wait);
    let (mut hall, bundles) = match raised {
        Ok(raised) => raised,
        Err(trouble) => return Err(Box::new((screen, trouble))),
    };
    screen.told(&format!("{} BMCs, switch, storage and boot service are up, on real sockets", wishes.machines));
    screen.now(&[String::new(), "  the controller reads its documents; the agents are enrolled".to_owned()]);
    match hall.start_controller(places.programs, &bundles) {
        Ok(()) => {
            screen.told("the controller and its agents trust each other");
            Ok(Show { hall, screen, live, machines: wishes.machines })
        }
        Err(trouble) => {
            // why it did not start stands in its logs
            let _ = hall.keep_logs(places.failed);
            Err(Box::new((screen, trouble)))
        }
    }
}

/// The servers that run: of a hall's machines all but a tenth bear one.
fn live(machines: usize) -> Vec<String> {
    let bearing = (machines - machines.div_ceil(10)).max(1);
    (1..=LIVE.min(bearing)).map(|number| format!("web{number}")).collect()
}

/// How long it lasts on two processors that others use as well, as measured: 21 s with 40 machines, 90 to 118 s with 1,000.
fn lasts(machines: usize) -> &'static str {
    match machines {
        0..=100 => "about half a minute",
        101..=1_000 => "about 2 minutes",
        _ => "some minutes",
    }
}

/// What goes on, for the line below the servers.
enum Doing {
    /// This, since then.
    Plain(String, Instant),
    /// This, and how many entries of a kind the journal has of so many.
    Counted(String, &'static str, usize, Instant),
}

impl Doing {
    fn line(&self, product: &Product) -> String {
        match self {
            Doing::Plain(text, since) => format!("{text}, {:.1} s", since.elapsed().as_secs_f64()),
            Doing::Counted(text, kind, of, since) => {
                let done = product.count(kind);
                format!("{text}: {done} of {of}, {:.1} s", since.elapsed().as_secs_f64())
            }
        }
    }
}

/// The server that is shown, the others, what goes on, and the last sentence.
fn present(product: &Product, eyes: &Eyes, live: &[String], doing: &str) -> Done<Vec<String>> {
    let (now, seen) = (wall_ms(), eyes.seen(SERVER)?);
    let machine = product.server(SERVER).ok().and_then(|view| view.machine);
    let mut answer = 0;
    for server in live {
        answer += usize::from(eyes.seen(server)?.since.is_some());
    }
    let word = demo::word(&seen, machine.is_some(), now);
    let last = product.last_sentence().map_or_else(String::new, |line| line.text);
    Ok(vec![
        String::new(),
        format!("  {} on {}  {word}", style(SERVER).bold(), machine.as_deref().unwrap_or("--")),
        format!("  {answer} of {} servers answer", live.len()),
        format!("  {doing}"),
        format!("  {}", style(last).dim()),
    ])
}

/// How many servers were suspected of having failed at this time, milliseconds since 1970, or later.
fn suspects(story: &[WatchView], since: u64) -> usize {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for line in story.iter().filter(|line| matches!(line.kind.as_str(), "suspected" | "cleared")) {
        let Some(server) = line.subject.as_deref() else { continue };
        if SUSPICIONS.iter().any(|symptom| line.text.contains(&format!(": {symptom} suspected"))) {
            last.insert(server, u64::MAX);
        } else if let Some(until) = last.get_mut(server).filter(|until| **until == u64::MAX) {
            *until = line.at;
        }
    }
    last.values().filter(|until| **until >= since).count()
}

/// A hall that is shown.
struct Show {
    hall: Hall,
    screen: Screen,
    live: Vec<String>,
    machines: usize,
}

impl Show {
    /// From machines that nobody knows to the clients' word.
    fn play(&mut self) -> Done<(Outcome, Duration)> {
        self.start()?;
        self.calm()?;
        let first = self.records("the servers write records, and acknowledge each")?;
        let fault = wall_ms();
        let told = self.hall.kill(MACHINE)?;
        self.screen.told(&format!("{MACHINE} dies: its power is gone, and {SERVER} with it"));
        let plan = self.moves(fault, &first)?;
        let seen = self.hall.eyes.seen(SERVER)?;
        let new = seen.answer.map(|(_, answer)| answer.incarnation).and_then(|start| seen.first.get(&start).copied());
        let answered = new.unwrap_or_else(wall_ms);
        if plan.state != "done" {
            return Err(Trouble::Wrong(format!("{} is {}: {}", plan.id, plan.state, plan.result.unwrap_or_default())));
        }
        self.screen.told(&format!("{SERVER} answers again, on {}", plan.to));
        self.records(&format!("{SERVER} writes on"))?;
        let outcome = self.outcome(&plan, told, (fault, answered))?;
        Ok((outcome, Duration::from_millis(answered.saturating_sub(fault))))
    }

    /// Takes all machines in, as an operator would, and starts the servers.
    fn start(&mut self) -> Done {
        let machines: Vec<String> = (1..=self.machines).map(|number| format!("m{number}")).collect();
        let doing = Doing::Counted("the machines are taken in".to_owned(), "enrolled", self.machines, Instant::now());
        self.meanwhile(&doing, |product| {
            let words = ["machine", "enroll"].into_iter().chain(machines.iter().map(String::as_str));
            product.command(&words.collect::<Vec<_>>()).map(drop)
        })?;
        self.screen.told(&format!("{} machines are taken in", self.machines));
        self.read()?;
        let live = self.live.clone();
        let doing = Doing::Plain(format!("{} servers are started", live.len()), Instant::now());
        self.meanwhile(&doing, |product| {
            std::thread::scope(|scope| {
                let start = |server| scope.spawn(move || product.command(&["server", "start", server]));
                let starts: Vec<_> = live.iter().map(|server| start(server.as_str())).collect();
                starts.into_iter().try_for_each(|start| match start.join() {
                    Ok(done) => done.map(drop),
                    Err(_) => Err(Trouble::Wrong("a start of a server was lost".to_owned())),
                })
            })
        })?;
        let doing = Doing::Plain("the servers boot".to_owned(), Instant::now());
        self.until(SERVES, &mut |show| {
            let all = show
                .live
                .iter()
                .try_fold(true, |all, server| Ok::<_, Trouble>(all && show.hall.eyes.seen(server)?.since.is_some()));
            Ok((all?, doing.line(&show.hall.product)))
        })?;
        self.screen.told(&format!("{} servers answer", self.live.len()));
        self.screen.line("");
        self.screen.say("Meanwhile, in another shell, in this folder:");
        self.screen.line(&format!("{}\n", self.hall.product.typed("status")));
        Ok(())
    }

    /// No server starts on a machine whose BMC the controller has not read yet.
    fn read(&mut self) -> Done {
        let since = Instant::now();
        self.until(SEEN, &mut |show| {
            let mut unread = 0;
            for number in 1..=show.live.len() {
                let machine: MachineView = show.hall.product.view(&format!("/v1/machines/m{number}"))?;
                unread += usize::from(machine.read_ms_ago.is_none());
            }
            let text = format!("{unread} BMCs are read for the first time");
            Ok((unread == 0, Doing::Plain(text, since).line(&show.hall.product)))
        })
    }

    /// On a busy machine servers may have been suspects while they started: then the controller's guard would hold what looks like a mass
    /// event, as it should. Waits until it has forgotten them.
    fn calm(&mut self) -> Done {
        let (window, since) = (self.hall.guard_window_ms, Instant::now());
        let (many, few) = CALM_SUSPECTS;
        let most = if self.machines < many { 0 } else { few };
        self.until(CALM, &mut |show| {
            let suspects = suspects(&show.hall.product.story(), wall_ms().saturating_sub(window));
            let text = format!("{suspects} servers were suspects within {} s; the guard is to forget them", window / 1000);
            Ok((suspects <= most, Doing::Plain(text, since).line(&show.hall.product)))
        })
    }

    /// Does something with the controller, and shows what is meanwhile.
    fn meanwhile(&mut self, doing: &Doing, work: impl FnOnce(&Product) -> Done + Send) -> Done {
        let (product, eyes) = (&self.hall.product, &self.hall.eyes);
        let (screen, live) = (&mut self.screen, &self.live);
        std::thread::scope(|scope| {
            let working = scope.spawn(move || work(product));
            while !working.is_finished() {
                screen.now(&present(product, eyes, live, &doing.line(product))?);
                std::thread::sleep(DRAW);
            }
            working.join().unwrap_or_else(|_| Err(Trouble::Wrong("what was done was lost".to_owned())))
        })
    }

    /// Shows what is until something is so; it also says what goes on.
    fn until(&mut self, within: Duration, so: &mut dyn FnMut(&mut Show) -> Done<(bool, String)>) -> Done {
        let start = Instant::now();
        loop {
            let (is_so, doing) = so(self)?;
            if is_so {
                return Ok(());
            }
            if let Some(reason) = self.hall.ended() {
                return Err(Trouble::NotUp { reason });
            }
            let lines = present(&self.hall.product, &self.hall.eyes, &self.live, &doing)?;
            if start.elapsed() > within {
                let told: Vec<_> = lines.iter().map(|line| console::strip_ansi_codes(line).trim().to_owned()).collect();
                return Err(Trouble::Late { what: "the next step".to_owned(), within, last: told.join(" | ") });
            }
            self.screen.now(&lines);
            signals::sleep(DRAW)?;
        }
    }

    /// Shows what is until the server has written some more; says which start of it that was.
    fn records(&mut self, text: &str) -> Done<String> {
        let answer = |show: &Show| -> Done<(String, u64)> {
            let answer = show.hall.eyes.seen(SERVER)?.answer;
            Ok(answer.map(|(_, answer)| (answer.incarnation, answer.last)).unwrap_or_default())
        };
        let (doing, (_, from)) = (Doing::Plain(text.to_owned(), Instant::now()), answer(self)?);
        self.until(SERVES, &mut |show| Ok((answer(show)?.1 >= from + RECORDS, doing.line(&show.hall.product))))?;
        Ok(answer(self)?.0)
    }

    /// Shows the failover until it is closed and the users are served by another start of the server.
    fn moves(&mut self, fault: u64, before: &str) -> Done<PlanSummary> {
        let mut closed = None;
        self.until(MOVED, &mut |show| {
            let seen = show.hall.eyes.seen(SERVER)?;
            let new = seen.answer.is_some_and(|(_, answer)| answer.incarnation != before) && seen.since.is_some();
            let plan = show.latest()?;
            let console = match &plan {
                Some(plan) => show.hall.console(&plan.to, fault)?,
                None => Vec::new(),
            };
            let open = plan.as_ref().filter(|plan| plan.state == "open");
            let doing = demo::stage(&show.hall.product.story(), open, &console, fault, wall_ms());
            closed = plan.filter(|plan| plan.state != "open");
            let failed = closed.as_ref().is_some_and(|plan| plan.state != "done");
            Ok((failed || (new && closed.is_some()), doing))
        })?;
        closed.ok_or_else(|| Trouble::Wrong("there was no failover".to_owned()))
    }

    fn latest(&self) -> Done<Option<PlanSummary>> {
        Ok(self.hall.product.failovers()?.into_iter().rev().find(|plan| plan.server.as_deref() == Some(SERVER)))
    }

    fn outcome(&mut self, plan: &PlanSummary, told: u64, (fault, answered): (u64, u64)) -> Done<Outcome> {
        let failover = self.hall.product.failover(&plan.id)?;
        let (story, console) = (self.hall.product.story(), self.hall.console(&plan.to, fault)?);
        let known = Known { fault, failover: &failover, story: &story, console: &console, answered, settle: self.hall.settle_ms };
        let before = self.hall.judge(SERVER, told)?;
        let (mut lost, mut effective) = (0, 0);
        for server in self.live.clone() {
            let judged = self.hall.judge(&server, u64::MAX)?;
            lost += judged.acknowledged - judged.recovered;
            effective = effective.max(judged.effective);
        }
        let on = self.hall.serving()?.remove(SERVER).unwrap_or_default();
        if on != [plan.to.clone()] {
            return Err(Trouble::Wrong(format!("{SERVER} is to run on {}, and runs on {on:?}", plan.to)));
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of one failover")]
        let total_s = known.closed().max(answered).saturating_sub(fault) as f64 / 1000.0;
        Ok(Outcome {
            scenario: SCENARIO.to_owned(),
            spare: "cold",
            total_s,
            own_ms: known.own_ms(),
            stages: known.stages(),
            effective_machines: effective,
            acknowledged: before.acknowledged,
            recovered: before.recovered,
            hall: Some(SimulatedHall {
                machines: self.machines,
                live: self.live.len(),
                from: MACHINE.to_owned(),
                to: plan.to.clone(),
                lost,
            }),
        })
    }

    /// Tells the reason and where the logs are.
    fn failed(&mut self, places: &Where<'_>, trouble: &Trouble) {
        if signals::interrupted() {
            return;
        }
        self.screen.say(&format!("FAILED: {trouble}"));
        match self.hall.keep_logs(places.failed) {
            Ok(()) => self.screen.say(&format!("logs: {}", places.failed.display())),
            Err(trouble) => self.screen.say(&format!("the logs could not be kept: {trouble}")),
        }
    }

    /// Leaves the hall up until somebody ends it, or nobody has for very long.
    fn stay(&mut self) {
        let hours = HALL_KEPT.as_secs() / 3600;
        self.screen.say(&format!("The hall stays up for {hours} hours; Ctrl-C ends it. In another shell, in this folder:"));
        let typed = self.hall.product.typed("status");
        self.screen.line(&typed);
        let begun = Instant::now();
        while begun.elapsed() < HALL_KEPT && signals::sleep(DRAW).is_ok() {
            if let Some(reason) = self.hall.ended() {
                self.screen.say(&format!("The hall has ended by itself: {reason}"));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_counts_until_it_was_well_for_a_while() {
        let line = |at, kind: &str, subject: &str, text: &str| WatchView {
            revision: at,
            at,
            kind: kind.to_owned(),
            plan: None,
            stage: None,
            subject: Some(subject.to_owned()),
            text: format!("{subject} on m1: {text}"),
        };
        let story = [
            line(1, "suspected", "web1", "hung suspected: its service is silent"),
            line(2, "suspected", "web2", "unexpected-off suspected: its BMC says Off"),
            line(3, "suspected", "web3", "rebooting suspected: it reset itself"),
            line(4, "cleared", "web1", "is well again"),
            line(5, "held", "web1", "hung suspected: no such line"),
            line(6, "suspected", "web4", "hung suspected: its service is silent"),
            line(7, "suspected", "web4", "rebooting suspected: it reset itself"),
            line(8, "cleared", "web4", "is well again"),
        ];
        assert_eq!([0, 4, 5, 7, 8, 9_999].map(|since| suspects(&story, since)), [3, 3, 2, 2, 1, 1]);
        assert_eq!(suspects(&story[..1], 9_999), 1, "it lasts");
    }
}
