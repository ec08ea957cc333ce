//! Reads a scenario from its text. Every fault is told with its line, all of them at once; nothing is guessed.

use super::parts;
use super::rivals;
use super::storage;
use super::times;
use super::words::{Complaint, Words};
use super::{Beside, Disturbance, Expectation, Manner, Mishap, Numbered, Outlets, Scenario, Setup, Step};
use crate::limits::{BARRED_AGAIN, MOVED, SCENARIO_BYTES_MAX, SEEN, SERVES};
use lab::names::{BMCS, BOOT_SERVICE, MACHINES, MACHINES_MAX, Machine, PDU, STORAGE_AGENT};
use pipeline::record::Found;
use std::collections::BTreeSet;
use std::time::Duration;
use vocabulary::boot::{BootMethod, Firmware};
use vocabulary::estate::{Mode, ServiceDown};
use vocabulary::{AgentId, MachineId, ServerId};

/// A fault of a scenario's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}.txt:{line}: {complaint}")]
pub struct Fault {
    /// The scenario.
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong.
    pub complaint: String,
}

/// Reads a scenario; all faults at once.
pub fn read(name: &str, text: &str) -> Result<Scenario, Vec<Fault>> {
    let fault = |line, complaint| Fault { file: name.to_owned(), line, complaint };
    if text.len() > SCENARIO_BYTES_MAX {
        return Err(vec![fault(1, format!("it is longer than {SCENARIO_BYTES_MAX} bytes"))]);
    }
    let mut setup = Setup {
        firmware: Firmware::Bios,
        method: BootMethod::Kernel,
        machines: MACHINES,
        settings: Vec::new(),
        over_ipmi: BTreeSet::new(),
        address_lease: None,
        one_rack: BTreeSet::new(),
        bmcs_outside: false,
        outlets: Outlets::Unnamed,
        local_disks: BTreeSet::new(),
        service_down: ServiceDown::Hold,
        post: Duration::ZERO,
        recovery_target: None,
        dump: Duration::ZERO,
        headstrong: false,
    };
    let (mut title, mut steps, mut faults) = (None, Vec::<Numbered>::new(), Vec::new());
    for (index, whole) in text.lines().enumerate() {
        let line = index + 1;
        let written = whole.split('#').next().unwrap_or_default().trim();
        if written.is_empty() {
            continue;
        }
        if let Some(told) = written.strip_prefix("title ") {
            title = Some(told.trim().to_owned());
            continue;
        }
        match one(written, &mut setup, steps.is_empty()) {
            Ok(None) => {}
            Ok(Some(step)) => match order(&step, &steps) {
                Ok(()) => steps.push(Numbered { line, text: written.to_owned(), step }),
                Err(complaint) => faults.push(fault(line, complaint)),
            },
            Err(complaint) => faults.push(fault(line, complaint)),
        }
    }
    setup.headstrong = steps.iter().any(|step| storage::is_headstrong(&step.step));
    let last = text.lines().count().max(1);
    if setup.method == BootMethod::San && !setup.dump.is_zero() {
        let text = "a server that boots from its volume has a kernel command line of its own: `dumps take` is not for it";
        faults.push(fault(last, text.to_owned()));
    }
    if title.is_none() {
        faults.push(fault(1, "it has no `title`".to_owned()));
    }
    if !steps.iter().any(|step| matches!(step.step, Step::Expect(_))) {
        faults.push(fault(last, "it expects nothing, so it cannot fail".to_owned()));
    }
    match (title, faults.is_empty()) {
        (Some(title), true) => Ok(Scenario { name: name.to_owned(), title, setup, steps }),
        _ => Err(faults),
    }
}

/// `up` is the first step, once.
fn order(step: &Step, before: &[Numbered]) -> Result<(), Complaint> {
    match (matches!(step, Step::Up), before.is_empty()) {
        (true, true) | (false, false) => Ok(()),
        (true, false) => Err("`up` stands there a second time".to_owned()),
        (false, true) => Err("the first step must be `up`".to_owned()),
    }
}

/// One line: a word about the data centre (which gives no step), or a step.
fn one(line: &str, setup: &mut Setup, heading: bool) -> Result<Option<Step>, Complaint> {
    let mut words = Words::of(line);
    let verb = words.need("a step")?;
    if is_heading(verb, &words) {
        if !heading {
            return Err(format!("`{verb}` describes the data centre: it stands before the first step"));
        }
        head(verb, &mut words, setup)?;
        words.end()?;
        return Ok(None);
    }
    let step = match verb {
        "up" => Step::Up,
        "wait" => wait(&mut words)?,
        "kill" if words.take(&["serve"]) => Step::KillController,
        "kill" => Step::Kill(words.parsed("a machine, or `serve`")?),
        "freeze" => Step::Freeze(words.parsed("a machine")?),
        "thaw" => Step::Thaw(words.parsed("a machine")?),
        "press" => press(&mut words)?,
        "bmc" => bmc(&mut words)?,
        "supply" | "memory" => parts::part(verb, &mut words)?,
        "feed" if words.take(&["everything"]) => Step::FeedAll(is_back(&mut words)?),
        "feed" => Step::Feed(words.parsed("a machine, or `everything`")?, is_back(&mut words)?),
        "start" => start(&mut words)?,
        "target" => Step::Target(storage::target(&mut words)?),
        "export" => Step::Target(storage::export(&mut words)?),
        "agent" => agent(&mut words)?,
        "readopt" => Step::Readopt(words.parsed("an agent")?),
        "release" => Step::Release(words.parsed("a machine")?),
        "hold" => Step::Hold(everything_or(&mut words)?),
        "resume" => Step::Resume(everything_or(&mut words)?),
        "mode" => Step::Mode(mode(&mut words)?),
        "approve" => {
            let server = words.parsed("a server")?;
            Step::Approve(server, words.take(&["in", "vain"]))
        }
        "confirm" => confirm(&mut words)?,
        "let" => let_go(&mut words)?,
        "maintenance" => maintenance(&mut words)?,
        "restart" if words.take(&["target"]) => Step::RestartTarget,
        "restart" => {
            words.word("serve")?;
            let stage = if words.take(&["crash-after"]) { Some(words.parsed("a stage")?) } else { None };
            Step::RestartController(stage)
        }
        "back" => {
            words.word("up")?;
            Step::BackUp
        }
        "restore" => {
            words.word("serve")?;
            if words.take(&["beside"]) { Step::Rival(Beside::Restored) } else { Step::RestoreController }
        }
        "stop" | "stale" | "second" | "copy" => Step::Rival(rivals::beside(verb, &mut words)?),
        "adopt" => Step::Adopt,
        "reboot" => Step::Reboot(words.parsed("a server")?),
        "crash" => Step::Crash(words.parsed("a server")?),
        "panic" => Step::Panic(words.parsed("a server")?),
        "switch" | "uplink" | "sight" | "push" => Step::Network(network(verb, &mut words)?),
        "by" => by_hand(&mut words)?,
        "expect" => Step::Expect(expect(&mut words)?),
        other => return Err(format!("`{other}` is no step; {STEPS}")),
    };
    words.end()?;
    Ok(Some(step))
}

fn start(words: &mut Words<'_>) -> Result<Step, Complaint> {
    words.word("site")?;
    Ok(Step::StartSite)
}

/// Agents whose processes a scenario can end: the switch's runs in the switch.
const AGENTS: [&str; 4] = [STORAGE_AGENT, BOOT_SERVICE, PDU, BMCS];

const STEPS: &str = "there are up, wait, kill, freeze, thaw, press, bmc, supply, memory, feed, start site, target, export, agent, readopt, release, hold, resume, maintenance, mode, approve, confirm, let go, restart, back up, restore, copy, stop, stale, second, adopt, reboot, crash, panic, switch, uplink, sight, push, by hand, expect";

fn press(words: &mut Words<'_>) -> Result<Step, Complaint> {
    words.word("power")?;
    Ok(Step::PressPower(words.parsed("a machine")?))
}

/// `switch restarts`, `unreachable`, `reachable`; `uplink lost`, `back`; `sight of web1 lost`, `back`; `push opens m1`.
fn network(verb: &str, words: &mut Words<'_>) -> Result<Disturbance, Complaint> {
    Ok(match verb {
        "switch" => match words.need("`restarts`, `unreachable` or `reachable`")? {
            "restarts" => Disturbance::SwitchRestarts,
            "unreachable" => Disturbance::SwitchReach(false),
            "reachable" => Disturbance::SwitchReach(true),
            other => return Err(format!("a switch restarts, is unreachable or reachable, not `{other}`")),
        },
        "uplink" => Disturbance::Uplink(is_back(words)?),
        "sight" => {
            words.word("of")?;
            let server = words.parsed("a server")?;
            Disturbance::Sight(server, is_back(words)?)
        }
        _ => {
            words.word("opens")?;
            Disturbance::Push(words.parsed("a machine")?)
        }
    })
}

fn mode(words: &mut Words<'_>) -> Result<Mode, Complaint> {
    let word = words.need("a mode")?;
    let known = Mode::ALL.into_iter().find(|mode| mode.word() == word);
    known.ok_or_else(|| format!("`{word}` is no mode: write observe, manual, approve or auto"))
}

fn let_go(words: &mut Words<'_>) -> Result<Step, Complaint> {
    words.word("go")?;
    let (kind, name) = (words.need("a kind of failure domain, such as rack")?, words.need("its name")?);
    Ok(Step::LetGo(format!("{kind} {name}")))
}

fn is_back(words: &mut Words<'_>) -> Result<bool, Complaint> {
    match words.need("`lost` or `back`")? {
        "lost" => Ok(false),
        "back" => Ok(true),
        other => Err(format!("a way is lost or back, not `{other}`")),
    }
}

fn confirm(words: &mut Words<'_>) -> Result<Step, Complaint> {
    let machine = words.parsed("a machine")?;
    let word = words.need("off, unplugged or removed")?;
    let found = [Found::Off, Found::Unplugged, Found::Removed].into_iter().find(|found| found.to_string() == word);
    let found = found.ok_or_else(|| format!("a machine is found off, unplugged or removed, not `{word}`"))?;
    Ok(Step::ConfirmOff(machine, found, words.take(&["in", "vain"])))
}

fn maintenance(words: &mut Words<'_>) -> Result<Step, Complaint> {
    if words.take(&["of"]) {
        let machine = words.parsed("a machine")?;
        words.word("ends")?;
        return Ok(Step::EndMaintenance(machine));
    }
    let machine = words.parsed("a machine")?;
    words.word("for")?;
    Ok(Step::Maintain(machine, words.time()?))
}

fn everything_or(words: &mut Words<'_>) -> Result<Option<ServerId>, Complaint> {
    if words.take(&["everything"]) { Ok(None) } else { words.parsed("a server, or `everything`").map(Some) }
}

fn is_heading(verb: &str, words: &Words<'_>) -> bool {
    matches!(verb, "firmware" | "method" | "machines" | "ipmi" | "rack" | "outlets" | "bmcs" | "disks" | "services" | "set")
        || times::is_one(verb, words)
}

fn head(verb: &str, words: &mut Words<'_>, setup: &mut Setup) -> Result<(), Complaint> {
    match verb {
        "firmware" => {
            setup.firmware = match words.need("`bios` or `uefi`")? {
                "bios" => Firmware::Bios,
                "uefi" => Firmware::Uefi,
                other => return Err(format!("`{other}` is no firmware: write bios or uefi")),
            }
        }
        "method" => {
            setup.method = match words.need("`kernel` or `san`")? {
                "kernel" => BootMethod::Kernel,
                "san" => BootMethod::San,
                other => return Err(format!("`{other}` is no boot method: write kernel or san")),
            }
        }
        "machines" => {
            let count: u8 = words.parsed("a number of machines")?;
            if !(MACHINES..=MACHINES_MAX).contains(&count) {
                return Err(format!("there can be {MACHINES} to {MACHINES_MAX} machines"));
            }
            setup.machines = count;
        }
        "ipmi" => {
            setup.over_ipmi.insert(number_of(words)?);
        }
        "outlets" => {
            setup.outlets = match words.need("`named` or `swapped`")? {
                "named" => Outlets::Named,
                "swapped" => Outlets::Swapped,
                other => return Err(format!("outlets are named or swapped, not `{other}`")),
            }
        }
        "bmcs" => {
            words.word("outside")?;
            setup.bmcs_outside = true;
        }
        "disks" => {
            words.word("in")?;
            numbers(words, &mut setup.local_disks)?;
        }
        "rack" => {
            words.word("r1")?;
            numbers(words, &mut setup.one_rack)?;
        }
        "services" => {
            ["are", "restarted"].into_iter().try_for_each(|word| words.word(word))?;
            setup.service_down = ServiceDown::Restart;
        }
        "post" | "dumps" | "recovery" | "lease" => times::take(verb, words, setup)?,
        _ => setup.settings.push(setting(words)?),
    }
    Ok(())
}

fn setting(words: &mut Words<'_>) -> Result<(String, String), Complaint> {
    let path = words.need("a setting of the estate, such as fencing.proof")?;
    let value = words.need("its value")?;
    if path.split('.').count() != 2 {
        return Err(format!("`{path}` is no setting: write a section and a key, such as fencing.proof"));
    }
    Ok((path.to_owned(), value.to_owned()))
}

/// The machines to the end of the line.
fn numbers(words: &mut Words<'_>, all: &mut BTreeSet<u8>) -> Result<(), Complaint> {
    while words.clone().need("").is_ok() {
        all.insert(number_of(words)?);
    }
    Ok(())
}

fn number_of(words: &mut Words<'_>) -> Result<u8, Complaint> {
    let machine: MachineId = words.parsed("a machine")?;
    let known = (1..=MACHINES_MAX).map(Machine).find(|one| one.name() == machine.as_str());
    Ok(known.ok_or_else(|| format!("`{machine}` is no machine of a data centre"))?.0)
}

fn wait(words: &mut Words<'_>) -> Result<Step, Complaint> {
    if words.take(&["serve", "dies"]) {
        return Ok(Step::WaitControllerDies(words.within(MOVED)?));
    }
    let first = words.need("a server, a number of records or a time")?;
    if let Ok(count) = first.parse() {
        words.word("records")?;
        words.word("of")?;
        let server = words.parsed("a server")?;
        return Ok(Step::WaitRecords(count, server, words.within(SERVES)?));
    }
    if first.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(Step::Pause(Words::of(first).time()?));
    }
    let server = first.parse().map_err(|_| format!("`{first}` is not a server"))?;
    words.word("serves")?;
    Ok(Step::WaitServes(server, words.within(SERVES)?))
}

fn bmc(words: &mut Words<'_>) -> Result<Step, Complaint> {
    let machine = words.parsed("a machine")?;
    let manner = match words.need("`unreachable`, `reachable`, `honest`, `ignores`, `takes`, `says` or `refuses`")? {
        "reachable" => Manner::Reachable,
        "unreachable" => Manner::Unreachable,
        "honest" => Manner::Honest,
        "ignores" => {
            words.word("off")?;
            Manner::IgnoresOff
        }
        "says" => {
            words.word("off")?;
            Manner::SaysOff
        }
        "takes" => {
            let time = words.time()?;
            ["to", "switch", "off"].into_iter().try_for_each(|word| words.word(word))?;
            Manner::SwitchesOffAfter(time)
        }
        "refuses" => {
            ["off", "when", "off"].into_iter().try_for_each(|word| words.word(word))?;
            Manner::RefusesOffWhenOff
        }
        other => {
            return Err(format!(
                "a BMC is reachable, unreachable or honest, ignores off, says off, takes a time or refuses, not `{other}`"
            ));
        }
    };
    Ok(Step::Bmc(machine, manner))
}

fn agent(words: &mut Words<'_>) -> Result<Step, Complaint> {
    let agent: AgentId = words.parsed("an agent")?;
    if !AGENTS.contains(&agent.as_str()) {
        return Err(format!("`{agent}` is no agent that a scenario can reach: {}", AGENTS.join(", ")));
    }
    match words.need("`dies`, `returns`, `forgets`, `copied`, `older` or `starts`")? {
        "dies" => Ok(Step::Agent(agent, Mishap::Dies)),
        "returns" => Ok(Step::Agent(agent, Mishap::Returns)),
        "forgets" => Ok(Step::Agent(agent, Mishap::Forgets)),
        "copied" => Ok(Step::Agent(agent, Mishap::Copied)),
        "older" => Ok(Step::Agent(agent, Mishap::Older)),
        "starts" if words.take(&["twice", "in", "vain"]) => Ok(Step::Agent(agent, Mishap::TwiceInVain)),
        "starts" if words.take(&["on", "a", "copy"]) => Ok(Step::Agent(agent, Mishap::OnACopy)),
        "starts" => Err("an agent starts twice in vain, or on a copy".to_owned()),
        other => Err(format!("an agent dies, returns, forgets, is copied, older or starts, not `{other}`")),
    }
}

fn by_hand(words: &mut Words<'_>) -> Result<Step, Complaint> {
    for word in ["hand", "move"] {
        words.word(word)?;
    }
    let server = words.parsed("a server")?;
    words.word("to")?;
    let to = words.parsed("a machine")?;
    for word in ["without", "a", "fence"] {
        words.word(word)?;
    }
    Ok(Step::ByHand { server, to })
}

fn expect(words: &mut Words<'_>) -> Result<Expectation, Complaint> {
    if words.take(&["no", "failover", "for"]) {
        return Ok(Expectation::NoFailover(words.time()?));
    }
    if words.take(&["effective", "at", "most"]) {
        return Ok(Expectation::EffectiveAtMost(words.parsed("a number")?));
    }
    if words.take(&["acknowledged", "recovered"]) {
        return Ok(Expectation::AcknowledgedRecovered);
    }
    if let Some(rival) = rivals::refused(words) {
        return Ok(Expectation::NotObeyed(rival, words.within(SEEN)?));
    }
    if words.take(&["split", "brain", "caught"]) {
        return Ok(Expectation::SplitBrainCaught);
    }
    if words.take(&["alarm"]) {
        let code = words.need("a fault code, such as F0313")?.to_owned();
        return Ok(Expectation::Alarm(code, words.within(SEEN)?));
    }
    let subject = words.need("what is expected")?;
    let server = || subject.parse().map_err(|_| format!("`{subject}` is not a server"));
    let machine = || subject.parse().map_err(|_| format!("`{subject}` is not a machine"));
    let word = words.need("on, in, foretells, fenced, held, restarted, boots, is, has, renews or failovers")?;
    Ok(match word {
        "on" => {
            let on = words.parsed("a machine")?;
            Expectation::On(server()?, on, words.within(MOVED)?)
        }
        "in" => {
            let state = words.need("a state, such as quarantine")?.to_owned();
            Expectation::In(machine()?, state, words.within(SEEN)?)
        }
        "foretells" => parts::foretells(machine()?, words)?,
        "fenced" => Expectation::FencedBy(server()?, sets(words)?),
        "held" => {
            let code = words.need("a fault code, such as F0401")?.to_owned();
            Expectation::Held(server()?, code, words.within(SEEN)?)
        }
        "restarted" => Expectation::Restarted(server()?, words.within(SERVES)?),
        "boots" => {
            words.word("nothing")?;
            words.word("for")?;
            Expectation::BootsNothing(machine()?, words.time()?)
        }
        "is" if words.take(&["barred"]) => Expectation::Barred(machine()?, words.within(BARRED_AGAIN)?),
        "is" => {
            words.word("harmless")?;
            words.word("for")?;
            Expectation::Harmless(machine()?, words.time()?)
        }
        "has" => {
            let shown = storage::shown(words)?;
            Expectation::AtTarget(server()?, shown, words.within(SEEN)?)
        }
        "renews" => {
            words.word("its")?;
            words.word("lease")?;
            Expectation::LeaseRenewed(machine()?, words.within(SEEN)?)
        }
        "failovers" => {
            words.word("of")?;
            let count = subject.parse().map_err(|_| format!("`{subject}` is not a number of failovers"))?;
            let server = words.parsed("a server")?;
            Expectation::Failovers(server, count, words.within(MOVED)?)
        }
        other => return Err(format!("`{other}` cannot be expected of `{subject}`")),
    })
}

/// `by S and N`.
fn sets(words: &mut Words<'_>) -> Result<BTreeSet<String>, Complaint> {
    words.word("by")?;
    let mut sets = BTreeSet::from([words.need("a proof set, such as P")?.to_owned()]);
    while words.take(&["and"]) {
        sets.insert(words.need("a proof set, such as N")?.to_owned());
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn faults(text: &str) -> Vec<(usize, String)> {
        read("x", text).unwrap_err().into_iter().map(|fault| (fault.line, fault.complaint)).collect()
    }

    #[test]
    fn a_scenario_is_read_as_written() {
        let text = "title T\nfirmware uefi\nset fencing.proof any # why\n\nup\nwait 20 records of web1\nrestart serve crash-after fence\n\
                    expect web1 on m3 within 90s\nexpect web1 fenced by S and N\nexpect 1 failovers of web1\n";
        let scenario = read("x", text).unwrap();
        assert_eq!(scenario.setup.firmware, Firmware::Uefi);
        assert_eq!(scenario.setup.settings, [("fencing.proof".to_owned(), "any".to_owned())]);
        let steps: Vec<_> = scenario.steps.iter().map(|step| step.line).collect();
        assert_eq!(steps, [5, 6, 7, 8, 9, 10]);
        assert!(matches!(&scenario.steps[2].step, Step::RestartController(Some(pipeline::stage::Stage::Fence))));
        assert!(matches!(&scenario.steps[3].step, Step::Expect(Expectation::On(_, _, time)) if *time == Duration::from_secs(90)));
        let by = |step: &Step| matches!(step, Step::Expect(Expectation::FencedBy(_, sets)) if sets.iter().eq(["N", "S"]));
        assert!(by(&scenario.steps[4].step));
    }

    #[test]
    fn what_happens_to_networks_is_read() {
        let text = "title T\ndumps take 10s\npost takes 20s\nrecovery target 60s\nup\nswitch restarts\nswitch unreachable\nuplink lost\nuplink back\nsight of web1 lost\n\
                    push opens m1\nexpect m1 is barred\nexpect alarm F0313 within 90s\n";
        let scenario = read("x", text).unwrap();
        assert_eq!((scenario.setup.dump, scenario.setup.post), (Duration::from_secs(10), Duration::from_secs(20)));
        assert_eq!(scenario.setup.recovery_target, Some(Duration::from_secs(60)));
        let (web1, m1) = ("web1".parse().unwrap(), "m1".parse().unwrap());
        let net = [
            Disturbance::SwitchRestarts,
            Disturbance::SwitchReach(false),
            Disturbance::Uplink(false),
            Disturbance::Uplink(true),
            Disturbance::Sight(web1, false),
            Disturbance::Push("m1".parse().unwrap()),
        ];
        let read_as: Vec<&Step> = scenario.steps.iter().skip(1).map(|step| &step.step).collect();
        assert!(read_as.iter().zip(&net).all(|(step, what)| matches!(step, Step::Network(read) if read == what)));
        assert_eq!(*read_as[6], Step::Expect(Expectation::Barred(m1, BARRED_AGAIN)));
        assert_eq!(*read_as[7], Step::Expect(Expectation::Alarm("F0313".to_owned(), Duration::from_secs(90))));
        for (bad, told) in [("switch dies", "not `dies`"), ("uplink gone", "not `gone`"), ("sight web1 lost", "`of` is expected")]
        {
            let found = faults(&format!("title T\nup\n{bad}\nexpect acknowledged recovered\n"));
            assert!(found[0].1.contains(told), "{found:?}");
        }
        assert!(faults("title T\nmethod san\ndumps take 9s\nup\nexpect acknowledged recovered\n")[0].1.contains("of its own"));
    }

    #[test]
    fn what_happens_to_agents_is_read() {
        let text = "title T\nup\nagent store1 forgets\nagent store1 starts twice in vain\nagent boot1 starts on a copy\nexpect acknowledged recovered\n";
        let steps: Vec<Step> = read("x", text).unwrap().steps.into_iter().map(|step| step.step).collect();
        let agent = |name: &str, mishap| Step::Agent(name.parse().unwrap(), mishap);
        let wanted = [agent("store1", Mishap::Forgets), agent("store1", Mishap::TwiceInVain), agent("boot1", Mishap::OnACopy)];
        assert_eq!(steps[1..4], wanted);
        for (bad, told) in
            [("starts twice", "twice in vain, or on a copy"), ("sleeps", "not `sleeps`"), ("starts on a copy x", "too many")]
        {
            let found = faults(&format!("title T\nup\nagent store1 {bad}\nexpect acknowledged recovered\n"));
            assert!(found[0].1.contains(told), "{found:?}");
        }
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let told =
            faults("title T\nup\nkil m1\nexpect web1 on\nwait 5 records web1\nfirmware bios\nup\nexpect no failover for 5\n");
        let lines: Vec<_> = told.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7, 8, 8]);
        assert!(told[0].1.contains("`kil` is no step"), "{told:?}");
        assert!(told[1].1.contains("the line ends where a machine is expected"), "{told:?}");
        assert!(told[2].1.contains("`of` is expected where `web1` stands"), "{told:?}");
        assert!(told[3].1.contains("before the first step"), "{told:?}");
        assert!(told[5].1.contains("is not a time"), "{told:?}");
    }

    #[test]
    fn a_scenario_that_expects_nothing_is_refused() {
        assert!(faults("title T\nup\nkill m1\n")[0].1.contains("expects nothing"));
        assert!(faults("up\nexpect acknowledged recovered\n")[0].1.contains("no `title`"));
        assert!(faults("title T\nkill m1\nexpect acknowledged recovered\n")[0].1.contains("first step must be `up`"));
        assert!(faults("title T\nup m1\nexpect acknowledged recovered\n")[0].1.contains("one word too many"));
    }
}
