//! The benchmark of watching: what a poll of a BMC costs, and whether dead ones delay the others. Ours is `understudy serve` itself, with an
//! estate of that many machines; the rival is FreeIPMI's `ipmipower` with its best settings, in turn in one run against the same BMCs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use api::view::PollsView;
use lab::packages::Packages;
use lab::sys::{Preparation, prepare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde_json::json;

use super::crowd::{self, Crowd, Kind};
use super::{Ended, Row, about, at_most, ended, median};
use crate::command;
use crate::places::Places;
use crate::product::Product;
use crate::run::until;
use crate::signals;
use crate::trouble::{Done, Trouble, at};

/// BMCs of the comparison.
const BMCS: usize = 1_000;
/// Of these, so many hang in the second part.
const FROZEN: usize = 20;
/// Pairs of the comparison.
const PAIRS: usize = 3;
/// Sizes at which the cost of one poll is compared.
const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// A file of an estate has a largest size.
const MACHINES_PER_FILE: usize = 1_000;
/// How often each BMC is polled: the default of an estate.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long is measured.
const WINDOW: Duration = Duration::from_secs(30);
/// After every BMC has answered once, so long until the measurement: sessions are made, the start is over.
const SETTLE: Duration = Duration::from_secs(10);
/// How often it is looked whether all have answered.
const LOOK: Duration = Duration::from_secs(1);
/// How long all BMCs may take to answer for the first time.
const ALL_ANSWER: Duration = Duration::from_secs(120);
/// How long a round of the rival may take.
const ROUND: Duration = Duration::from_secs(120);
/// The goals of the design.
const CPU_S_AT_MOST: f64 = 0.10;
const LATE_S_AT_MOST: f64 = 1.0;
const GROWTH_AT_MOST: f64 = 1.3;
const MEMORY_MB_AT_MOST: f64 = 200.0;
/// The share of the others' answers that must not be later.
const PUNCTUAL_PERCENT: u64 = 99;
/// The rival's number of BMCs asked at once, the best that was found for it.
const FANOUT: &str = "64";

/// Measures everything. Must run as the first process of its own namespaces.
pub fn measure(places: &Places, visible: &[PathBuf]) -> Done<(Vec<Row>, Ended)> {
    lab::inside::settle(visible).map_err(|error| Trouble::Wrong(error.to_string()))?;
    let packages = Packages::open(&places.packages).map_err(|error| Trouble::Wrong(error.to_string()))?;
    let mut loopback = packages.command(&["sbin/ip", "bin/ip"]).map_err(|error| Trouble::Wrong(error.to_string()))?;
    command::output(loopback.args(["link", "set", "lo", "up"]), ROUND)?;
    let hall = Hall { places, packages, folder: std::env::temp_dir().join("poll") };
    let mut rows = hall.against_the_rival()?;
    rows.extend(hall.over_redfish()?);
    rows.extend(hall.by_size()?);
    let ended = ended(&rows);
    Ok((rows, ended))
}

/// Where it all takes place.
struct Hall<'a> {
    places: &'a Places,
    packages: Packages,
    folder: PathBuf,
}

/// What a controller did in a window.
#[derive(Clone, Debug)]
struct Watched {
    polls: PollsView,
    cpu_s: f64,
    memory_mb: f64,
}

impl Watched {
    /// CPU seconds for a thousand answered polls.
    fn per_thousand(&self) -> f64 {
        self.cpu_s * 1_000.0 / self.polls.answered as f64
    }

    /// How late so many of a hundred answers were at most, seconds; without a bound, infinite.
    fn late_s(&self) -> f64 {
        self.polls.late_ms(PUNCTUAL_PERCENT).map_or(f64::INFINITY, |ms| Duration::from_millis(ms).as_secs_f64())
    }
}

/// What a round of the rival took.
#[derive(Clone, Copy, Debug)]
struct Round {
    cpu_s: f64,
    took_s: f64,
    unanswered: usize,
}

impl Hall<'_> {
    fn crowd(&self, kind: Kind, count: usize) -> Done<Crowd> {
        let folder = self.folder.join(format!("{kind:?}-{count}"));
        Crowd::start(kind, count, &folder, &self.packages, &self.places.program("bmc-sim"))
    }

    fn against_the_rival(&self) -> Done<Vec<Row>> {
        let crowd = self.crowd(Kind::IpmiSim, BMCS)?;
        // once, unmeasured: the processes have to be there
        until("an answer of every ipmi_sim", ALL_ANSWER, || {
            let round = self.round()?;
            Ok(if round.unanswered == 0 { Ok(()) } else { Err(format!("{} of {BMCS} do not answer", round.unanswered)) })
        })?;
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for pair in 1..=PAIRS {
            let round = self.round()?;
            let watched = self.controller(Kind::IpmiSim, BMCS)?.watched(BMCS)?;
            println!(
                "pair {pair} of {PAIRS}: ours {:.3} CPU-s per 1,000 polls, {} silent, ipmipower {:.3} CPU-s in {:.2} s, {} silent",
                watched.per_thousand(),
                watched.polls.silent,
                round.cpu_s,
                round.took_s,
                round.unanswered
            );
            ours.push(watched);
            peer.push(round);
        }
        let (our_cpu, peer_cpu) =
            (median(ours.iter().map(Watched::per_thousand).collect()), median(peer.iter().map(|one| one.cpu_s).collect()));
        let silent: u64 = ours.iter().map(|one| one.polls.silent).sum();
        let unanswered: usize = peer.iter().map(|one| one.unanswered).sum();
        let mut rows = vec![
            Row {
                peer: Some(peer_cpu),
                ratio: Some(our_cpu / peer_cpu),
                ..at_most("1,000 IPMI BMCs polled: CPU", our_cpu, "s", CPU_S_AT_MOST)
            },
            Row {
                peer: Some(unanswered as f64),
                ..at_most("the same: polls that falsely met silence", silent as f64, "polls", 0.0)
            },
        ];
        let controller = self.controller(Kind::IpmiSim, BMCS)?;
        controller.settled(BMCS)?;
        crowd.freeze(FROZEN, true);
        // until they count as silent
        signals::sleep(SETTLE * 2)?;
        let watched = controller.window()?;
        drop(controller);
        let round = self.round()?;
        let what = "20 of 1,000 hang: lateness of the others' answers, 99 of 100 (ours), whole round (ipmipower)";
        rows.push(Row { peer: Some(round.took_s), ..at_most(what, watched.late_s(), "s", LATE_S_AT_MOST) });
        // a window holds six polls of each of the others
        let expected = (BMCS - FROZEN) as f64 * WINDOW.as_secs_f64() / INTERVAL.as_secs_f64();
        rows.push(at_least(
            "the same: share of the others' polls that were answered",
            watched.polls.answered as f64 / expected,
            0.99,
        ));
        Ok(rows)
    }

    fn over_redfish(&self) -> Done<Vec<Row>> {
        let _crowd = self.crowd(Kind::Redfish, BMCS)?;
        let watched = self.controller(Kind::Redfish, BMCS)?.watched(BMCS)?;
        let cpu =
            Row { ours: Some(watched.per_thousand()), ..about("1,000 Redfish BMCs polled over kept TLS connections: CPU", "s") };
        Ok(vec![
            cpu,
            at_most("the same: polls that falsely met silence", watched.polls.silent as f64, "polls", 0.0),
            at_most("the same: lateness of 99 of 100 answers", watched.late_s(), "s", LATE_S_AT_MOST),
        ])
    }

    /// What one poll costs must not depend on how many there are.
    fn by_size(&self) -> Done<Vec<Row>> {
        let mut rows = Vec::new();
        let mut smallest = None;
        for count in SIZES {
            let _crowd = self.crowd(Kind::Ipmi, count)?;
            let watched = self.controller(Kind::Ipmi, count)?.watched(count)?;
            let cost = watched.per_thousand();
            let first = *smallest.get_or_insert(cost);
            let (goal, met) = (json!({"of": "ratio", "at_most": GROWTH_AT_MOST}), Some(cost / first <= GROWTH_AT_MOST));
            let what = format!("1,000 polls with {count} BMCs in all: CPU, against {} in all", SIZES[0]);
            rows.push(Row { ours: Some(cost), peer: Some(first), ratio: Some(cost / first), goal, met, ..about(&what, "s") });
            rows.push(at_most(&format!("{count} BMCs: lateness of 99 of 100 answers"), watched.late_s(), "s", LATE_S_AT_MOST));
            rows.push(at_most(&format!("{count} BMCs: memory of the controller"), watched.memory_mb, "MB", MEMORY_MB_AT_MOST));
        }
        Ok(rows)
    }

    /// One round of the rival over every `ipmi_sim`.
    fn round(&self) -> Done<Round> {
        let mut power = self.packages.command(&["sbin/ipmipower"]).map_err(|error| Trouble::Wrong(error.to_string()))?;
        let blocks: Vec<String> = (0..BMCS / 250).map(|block| format!("127.1.{block}.[1-250]")).collect();
        let account = ["-D", "LAN_2_0", "-I", "3", "-u", crowd::USER, "-p", crowd::PASSWORD, "-l", "USER"];
        // the simulator hashes the privilege as it was in the Open Session request
        let workaround = ["-W", "opensesspriv"];
        power.args(["-h", &blocks.join(",")]).args(account).args(workaround).args(["-F", FANOUT, "--stat"]);
        let (before, start) = (children_cpu_s()?, Instant::now());
        let told = command::output_of_any_end(&mut power, ROUND)?;
        let (took_s, cpu_s) = (start.elapsed().as_secs_f64(), children_cpu_s()? - before);
        let answered = told.lines().filter(|line| line.ends_with(": on") || line.ends_with(": off")).count();
        Ok(Round { cpu_s, took_s, unanswered: BMCS.saturating_sub(answered) })
    }

    fn controller(&self, kind: Kind, count: usize) -> Done<Controller> {
        let folder = self.folder.join(format!("controller-{kind:?}-{count}"));
        // what an earlier controller left
        let _ = fs::remove_dir_all(&folder);
        let (estate, state, socket) = (folder.join("estate"), folder.join("state"), folder.join("socket"));
        write_estate(&estate, kind, count)?;
        let program = self.places.program("understudy");
        let product = Product::at(&program, &socket)?;
        let words = |path: &Path| path.display().to_string();
        product.offline(&["estate", "init", "--state", &words(&state), &words(&estate)])?;
        let log = folder.join("log");
        let mut serve = Command::new(&program);
        serve.args(["serve", "--state", &words(&state), "--estate", &words(&estate), "--socket", &words(&socket)]);
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(at(&log, fs::File::create(&log))?);
        prepare(&mut serve, Preparation { die_with_parent: Some(Signal::SIGKILL), ..Preparation::default() });
        let child = serve.spawn().map_err(|source| Trouble::Start { program, source })?;
        Ok(Controller { child, product, log })
    }
}

fn at_least(what: &str, ours: f64, least: f64) -> Row {
    let goal = json!({"of": "ours", "at_least": least});
    Row { ours: Some(ours), goal, met: Some(ours >= least), ..about(what, "share") }
}

/// A running controller. Dropping it ends it.
struct Controller {
    child: Child,
    product: Product,
    log: PathBuf,
}

impl Drop for Controller {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Controller {
    /// Waits until every BMC has answered, and a while longer.
    fn settled(&self, count: usize) -> Done {
        let all = u64::try_from(count).unwrap_or(u64::MAX);
        until("an answer of every BMC", ALL_ANSWER, || {
            // a large estate is a large answer, and it is not what is measured
            signals::sleep(LOOK)?;
            // it may not listen yet
            let polls = self
                .product
                .status()
                .map(|status| (status.polls, status.machines.iter().filter(|m| m.read_ms_ago.is_some()).count()));
            Ok(match polls {
                Ok((polls, read)) if polls.answered >= all && read == count => Ok(()),
                Ok((polls, read)) => {
                    Err(format!("{read} of {count} were read; {} polls answered, {} silent", polls.answered, polls.silent))
                }
                Err(trouble) => Err(format!("{trouble}; its log ends: {}", self.last_words())),
            })
        })?;
        signals::sleep(SETTLE)
    }

    /// The last line of its log: the namespaces' files are gone when this ends.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().next_back().unwrap_or("(no words)").to_owned()
    }

    fn watched(&self, count: usize) -> Done<Watched> {
        self.settled(count)?;
        self.window()
    }

    fn window(&self) -> Done<Watched> {
        let before = self.product.status()?.polls;
        let cpu_before = cpu_s(&self.child)?;
        signals::sleep(WINDOW)?;
        let cpu_s = cpu_s(&self.child)? - cpu_before;
        let polls = self.product.status()?.polls.since(&before);
        Ok(Watched { polls, cpu_s, memory_mb: memory_mb(&self.child)? })
    }
}

/// What a process has used of the processors, all its threads together, in and out of the kernel.
fn cpu_s(child: &Child) -> Done<f64> {
    let pid = i32::try_from(child.id()).map_err(|_| Trouble::Wrong("a process without a number".to_owned()))?;
    let used = ClockId::pid_cpu_clock_id(Pid::from_raw(pid)).and_then(clock_gettime);
    used.map(|used| Duration::from(used).as_secs_f64())
        .map_err(|errno| Trouble::Wrong(format!("the controller's CPU clock: {errno}")))
}

fn children_cpu_s() -> Done<f64> {
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|errno| Trouble::Wrong(format!("the rival's CPU time: {errno}")))?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(used.user_time()) + seconds(used.system_time()))
}

/// The memory that a process holds now.
fn memory_mb(child: &Child) -> Done<f64> {
    let path = PathBuf::from(format!("/proc/{}/status", child.id()));
    let text = at(&path, fs::read_to_string(&path))?;
    let held = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    held.map(|kib| kib * 1024.0 / 1e6).ok_or_else(|| Trouble::Wrong("the controller's memory is not told".to_owned()))
}

/// An estate of machines that are only watched.
fn write_estate(folder: &Path, kind: Kind, count: usize) -> Done {
    let secrets = folder.join("secrets");
    at(&secrets, fs::create_dir_all(&secrets))?;
    let (protocol, access) = match kind {
        Kind::IpmiSim => ("ipmi", ", ipmi: {weakest_suite: 3, privilege: user}"),
        Kind::Ipmi => ("ipmi", ", ipmi: {privilege: user}"),
        Kind::Redfish => ("redfish", ""),
    };
    let machine = |number: usize| {
        format!(
            "machine: m{number}\nserial: B{number}\nuuid: {}\nsite: hall\nrack: r{}\nfeeds: [f1]\n\
             bmc: {{protocol: {protocol}, address: \"{}\", user: {}, password: file:secrets/bmc, certificate: enrol{access}}}\n\
             nics: []\nhardware: {{level: 2, memory: 1GiB, threads: 1, firmware: [bios]}}\n",
            crowd::uuid(number),
            number / 20,
            crowd::address(kind, number),
            crowd::USER,
        )
    };
    let machines: Vec<String> = (1..=count).map(machine).collect();
    let estate = format!(
        "estate: poll\nvlans: {{quarantine: 99, parking: 98, patrol: 97}}\ndetection: {{power_every: {}s}}\n",
        INTERVAL.as_secs()
    );
    let files = [
        ("estate.yaml", estate),
        ("site.yaml", "site: hall\ndescription: Very many BMCs\n".to_owned()),
        ("secrets/bmc", format!("{}\n", crowd::PASSWORD)),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text)).into_iter();
    let machines = machines.chunks(MACHINES_PER_FILE).enumerate();
    let machines = machines.map(|(number, some)| (format!("machines-{number}.yaml"), some.join("---\n")));
    for (name, text) in files.chain(machines) {
        let path = folder.join(name);
        at(&path, fs::write(&path, text))?;
    }
    use std::os::unix::fs::PermissionsExt as _;
    let secret = secrets.join("bmc");
    at(&secret, fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)))
}
