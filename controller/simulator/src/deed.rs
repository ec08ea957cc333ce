//! What can happen to a world, as data: accidents, weather, foreign hands, operators. Each is one line of text and can be read back from it,
//! so that what a seed drew can be told, shortened and played again. Must never be done by the controller: these are the others' deeds.

mod edit;
mod outlet;

pub use edit::Edit;
pub use outlet::{Cords, ToOutlet};

use pipeline::stage::Stage;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use vocabulary::estate::Mode;
use vocabulary::{AgentId, MachineId, ServerId};

/// One thing that happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// To a machine.
    Machine(MachineId, ToMachine),
    /// To its BMC.
    Bmc(MachineId, ToBmc),
    /// To the way between the controller and somebody.
    Way(Place, Road),
    /// To an agent that is a process of its own.
    Agent(AgentId, ToProcess),
    /// To the controller.
    Controller(ToController),
    /// To the switch.
    Switch(ToSwitch),
    /// To the storage target.
    Target(ToTarget),
    /// To outlets.
    Outlet(Cords, ToOutlet),
    /// An operator presses a button.
    Operator(Button),
}

/// Somebody to whom a way leads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// The BMC of a machine.
    Bmc(MachineId),
    /// An agent.
    Agent(AgentId),
}

/// See [`Deed::Machine`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToMachine {
    /// Its hardware dies.
    Die,
    /// Its power goes by itself; it can be switched on again.
    Fail,
    /// Broken hardware is exchanged.
    Repair,
    /// It hangs, its power on.
    Freeze,
    /// It goes on where it hung.
    Thaw,
    /// Its kernel panics, writes its memory away for so long, and restarts.
    Panic(Duration),
    /// Its kernel panics and stops for ever.
    Halt,
    /// Its system restarts in order, from inside.
    Reboot,
    /// The process of its service ends.
    Crash,
    /// A finger on its power button.
    Press,
    /// Mains power goes, for machine and BMC.
    LoseMains,
    /// And returns.
    RegainMains,
}

/// See [`Deed::Bmc`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToBmc {
    /// It has this quirk from now on: its name and its value, as JSON without spaces.
    Has(String, String),
    /// It has no quirks any more.
    Well,
    /// It restarts itself, is away for so long, and reads `Off` for as long again.
    Restart(Duration),
}

/// How a way is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Road {
    /// Nothing passes.
    Cut,
    /// Everything comes by so much later.
    Late(Duration),
    /// Of a million packets so many are lost.
    Loses(u32),
    /// A quiet network.
    Fair,
}

/// See [`Deed::Agent`], and of the controller's process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToProcess {
    /// kill -9.
    Kill,
    /// It is started, unless it runs.
    Start,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    GoOn,
    /// Its disk is full.
    Full,
    /// Its disk has room again.
    Room,
    /// Another plan wants of it what it did last, at the same epoch: that of a controller that has drawn it from a copy of the store.
    AskedAnew,
    /// Another estate wants of it what it did last, at an epoch far above all that it has seen.
    AskedFromElsewhere,
    /// What its disk keeps is lost, and it is enrolled again.
    Forget,
    /// What its disk keeps is what it was so many writes ago: a restored backup, a snapshot of its machine.
    RollBack(u32),
    /// It dies of its so manieth write from now on: just before it is durable, or just after.
    KillAtWrite(u32, When),
}

/// On which side of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Nothing of it is there.
    Before,
    /// It is there, and nobody was told.
    After,
}

/// See [`Deed::Controller`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToController {
    /// As with every process.
    Process(ToProcess),
    /// Its next write is there, and it is told that it failed.
    LoseAnswer,
    /// It dies when a failover enters this stage, from its next start on, once.
    CrashAfter(Stage),
    /// Another one is started on a copy of its store, beside it.
    Double,
    /// A backup of its store is taken, instead of the last one.
    BackUp,
    /// Its machine is lost with its store and all that lay with it; the last backup is restored, and it is started on that.
    Restore,
    /// One of another estate is started beside it, whose documents name the same equipment, and its operator takes all of it in.
    AnotherEstate,
    /// Its time of day jumps, seconds.
    Jump(i64),
    /// It sees nothing of production any more, not even the canaries.
    LoseUplink,
    /// It does again.
    RegainUplink,
}

/// See [`Deed::Switch`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToSwitch {
    /// It restarts, is away for so long, and comes up with its start-up configuration.
    Restart(Duration),
    /// A colleague puts a port into this VLAN.
    Join(String, u16),
    /// A colleague clears a port.
    Clear(String),
    /// A colleague pushes a configuration in which all machines' ports are as they were at this world's begin.
    Push,
    /// A cable is pulled.
    Unplug(String),
    /// And plugged in again.
    Plug(String),
    /// Of a million calls so many are refused, never answered, or late.
    Weather(u32),
}

/// See [`Deed::Target`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToTarget {
    /// Its daemon dies and starts again after so long, empty.
    Restart(Duration),
    /// It does not move for so long.
    Freeze(Duration),
    /// Its disk does nothing for so long.
    Stall(Duration),
    /// Of a million calls so many are refused, garbled, ended or late.
    Weather(u32),
}

/// See [`Deed::Operator`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Button {
    /// Releases a machine from quarantine.
    Release(MachineId),
    /// Starts a server.
    Start(ServerId),
    /// Stops a server.
    Stop(ServerId),
    /// Restarts a server.
    Restart(ServerId),
    /// Fails a server over, be it dead or not.
    Failover(ServerId),
    /// Has an agent's memory seeded from the ledger.
    Readopt(AgentId),
    /// Has a restored store adopted, or what was not heard then.
    Adopt,
    /// Holds a server, or everything.
    Hold(Option<ServerId>),
    /// Lets that go.
    Resume(Option<ServerId>),
    /// Works on a machine, for so long at most.
    Maintain(MachineId, Duration),
    /// Has done that work.
    EndMaintenance(MachineId),
    /// Agrees to the failover of a server that waits for it.
    Approve(ServerId),
    /// Has the whole site started, as after a blackout.
    StartSite,
    /// Gives a server's failover up.
    Abort(ServerId),
    /// Agrees that all goes on that the guard holds.
    LetGo,
    /// Goes to each machine whose failover has waited for its proof for long, pulls its cords, reads its serial number, and says so.
    ConfirmOff,
    /// The same by the serial number of another machine, whose cords he has pulled.
    ConfirmsAnother,
    /// Sets how far the controller may go by itself, in every tier.
    SetMode(Mode),
    /// Edits the documents.
    Edit(Edit),
}

impl Deed {
    /// What kind of deed it is, for counting.
    pub fn kind(&self) -> String {
        match self {
            Deed::Machine(_, what) => format!("machine {}", first(&what.to_string())),
            Deed::Bmc(_, ToBmc::Has(quirk, value)) => format!("bmc {quirk}={value}"),
            Deed::Bmc(_, what) => format!("bmc {}", first(&what.to_string())),
            Deed::Way(Place::Bmc(_), road) => format!("way to BMC {}", first(&road.to_string())),
            Deed::Way(Place::Agent(_), road) => format!("way to agent {}", first(&road.to_string())),
            Deed::Agent(agent, ToProcess::KillAtWrite(_, when)) => format!("agent {agent} killed {when} a write"),
            Deed::Agent(agent, what) => format!("agent {agent} {}", first(&what.to_string())),
            Deed::Controller(ToController::Process(ToProcess::KillAtWrite(_, when))) => format!("serve killed {when} a record"),
            Deed::Controller(ToController::CrashAfter(stage)) => format!("serve crash-after {stage}"),
            Deed::Controller(what) => format!("serve {}", first(&what.to_string())),
            Deed::Switch(what) => format!("switch {}", first(&what.to_string())),
            Deed::Target(what) => format!("target {}", first(&what.to_string())),
            Deed::Outlet(_, ToOutlet::Has(quirk)) => format!("outlet has {}", first(&quirk.to_string())),
            Deed::Outlet(_, what) => format!("outlet {}", first(&what.to_string())),
            Deed::Operator(what) => format!("operator {}", first(&what.to_string())),
        }
    }
}

fn first(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

// -- as text --

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Machine(machine, what) => write!(f, "machine {machine} {what}"),
            Deed::Bmc(machine, what) => write!(f, "bmc {machine} {what}"),
            Deed::Way(Place::Bmc(machine), road) => write!(f, "way bmc {machine} {road}"),
            Deed::Way(Place::Agent(agent), road) => write!(f, "way agent {agent} {road}"),
            Deed::Agent(agent, what) => write!(f, "agent {agent} {what}"),
            Deed::Controller(what) => write!(f, "serve {what}"),
            Deed::Switch(what) => write!(f, "switch {what}"),
            Deed::Target(what) => write!(f, "target {what}"),
            Deed::Outlet(cords, what) => write!(f, "outlet {cords} {what}"),
            Deed::Operator(what) => write!(f, "operator {what}"),
        }
    }
}

impl fmt::Display for ToMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToMachine::Die => f.write_str("dies"),
            ToMachine::Fail => f.write_str("fails"),
            ToMachine::Repair => f.write_str("repaired"),
            ToMachine::Freeze => f.write_str("freezes"),
            ToMachine::Thaw => f.write_str("thaws"),
            ToMachine::Panic(dump) => write!(f, "panics {}", span(*dump)),
            ToMachine::Halt => f.write_str("halts"),
            ToMachine::Crash => f.write_str("crashes"),
            ToMachine::Reboot => f.write_str("reboots"),
            ToMachine::Press => f.write_str("pressed"),
            ToMachine::LoseMains => f.write_str("dark"),
            ToMachine::RegainMains => f.write_str("lit"),
        }
    }
}

impl fmt::Display for ToBmc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToBmc::Has(quirk, value) => write!(f, "has {quirk} {value}"),
            ToBmc::Well => f.write_str("well"),
            ToBmc::Restart(away) => write!(f, "restarts {}", span(*away)),
        }
    }
}

impl fmt::Display for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Road::Cut => f.write_str("cut"),
            Road::Late(by) => write!(f, "late {}", span(*by)),
            Road::Loses(share) => write!(f, "loses {share}"),
            Road::Fair => f.write_str("fair"),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            When::Before => "before",
            When::After => "after",
        })
    }
}

impl fmt::Display for ToProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToProcess::Kill => f.write_str("killed"),
            ToProcess::Start => f.write_str("started"),
            ToProcess::Stop => f.write_str("stopped"),
            ToProcess::GoOn => f.write_str("continued"),
            ToProcess::Full => f.write_str("full"),
            ToProcess::Room => f.write_str("room"),
            ToProcess::AskedAnew => f.write_str("asked-by-another-plan"),
            ToProcess::AskedFromElsewhere => f.write_str("asked-by-another-estate"),
            ToProcess::Forget => f.write_str("forgets"),
            ToProcess::RollBack(writes) => write!(f, "rolled-back {writes}"),
            ToProcess::KillAtWrite(number, when) => write!(f, "dies {when} write {number}"),
        }
    }
}

impl fmt::Display for ToController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToController::Process(what) => what.fmt(f),
            ToController::LoseAnswer => f.write_str("unanswered"),
            ToController::CrashAfter(stage) => write!(f, "crash-after {stage}"),
            ToController::Double => f.write_str("doubled"),
            ToController::BackUp => f.write_str("backed-up"),
            ToController::Restore => f.write_str("restored"),
            ToController::AnotherEstate => f.write_str("another-estate"),
            ToController::Jump(seconds) => write!(f, "jumps {seconds}"),
            ToController::LoseUplink => f.write_str("blind"),
            ToController::RegainUplink => f.write_str("sighted"),
        }
    }
}

impl fmt::Display for ToSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToSwitch::Restart(away) => write!(f, "restarts {}", span(*away)),
            ToSwitch::Join(port, vlan) => write!(f, "joins {port} {vlan}"),
            ToSwitch::Clear(port) => write!(f, "clears {port}"),
            ToSwitch::Push => f.write_str("pushed"),
            ToSwitch::Unplug(port) => write!(f, "unplugs {port}"),
            ToSwitch::Plug(port) => write!(f, "plugs {port}"),
            ToSwitch::Weather(share) => write!(f, "ails {share}"),
        }
    }
}

impl fmt::Display for ToTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToTarget::Restart(after) => write!(f, "restarts {}", span(*after)),
            ToTarget::Freeze(time) => write!(f, "freezes {}", span(*time)),
            ToTarget::Stall(time) => write!(f, "stalls {}", span(*time)),
            ToTarget::Weather(share) => write!(f, "ails {share}"),
        }
    }
}

impl fmt::Display for Button {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Button::Release(machine) => write!(f, "releases {machine}"),
            Button::Start(server) => write!(f, "starts {server}"),
            Button::Stop(server) => write!(f, "stops {server}"),
            Button::Restart(server) => write!(f, "restarts {server}"),
            Button::Failover(server) => write!(f, "moves {server}"),
            Button::Readopt(agent) => write!(f, "readopts {agent}"),
            Button::Hold(None) => write!(f, "holds everything"),
            Button::Hold(Some(server)) => write!(f, "holds {server}"),
            Button::Resume(None) => write!(f, "resumes everything"),
            Button::Resume(Some(server)) => write!(f, "resumes {server}"),
            Button::Maintain(machine, time) => write!(f, "maintains {machine} {}", span(*time)),
            Button::EndMaintenance(machine) => write!(f, "has-done {machine}"),
            Button::Approve(server) => write!(f, "approves {server}"),
            Button::StartSite => f.write_str("starts the site"),
            Button::Abort(server) => write!(f, "aborts {server}"),
            Button::LetGo => write!(f, "lets-go"),
            Button::Adopt => write!(f, "adopts"),
            Button::ConfirmOff => write!(f, "confirms-off"),
            Button::ConfirmsAnother => write!(f, "confirms-another"),
            Button::SetMode(mode) => write!(f, "sets-mode {}", mode.word()),
            Button::Edit(edit) => write!(f, "edits-estate {edit}"),
        }
    }
}

/// A time as it is written: whole milliseconds.
pub fn span(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// A time as it was written.
pub fn read_span(text: &str) -> Option<Duration> {
    text.strip_suffix("ms")?.parse().ok().map(Duration::from_millis)
}

/// A line that tells of no deed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no deed; one is, for example, `machine m1 dies`, `bmc m1 has reach \"unreachable\"`, `way agent sw1 cut` or `serve killed`"
)]
pub struct NoDeed(pub String);

impl FromStr for Deed {
    type Err = NoDeed;

    fn from_str(text: &str) -> Result<Deed, NoDeed> {
        let words: Vec<&str> = text.split_whitespace().collect();
        read(&words).ok_or_else(|| NoDeed(text.to_owned()))
    }
}

fn read(words: &[&str]) -> Option<Deed> {
    Some(match words {
        ["machine", machine, what @ ..] => Deed::Machine(machine.parse().ok()?, to_machine(what)?),
        ["bmc", machine, what @ ..] => Deed::Bmc(machine.parse().ok()?, to_bmc(what)?),
        ["way", "bmc", machine, road @ ..] => Deed::Way(Place::Bmc(machine.parse().ok()?), to_road(road)?),
        ["way", "agent", agent, road @ ..] => Deed::Way(Place::Agent(agent.parse().ok()?), to_road(road)?),
        ["agent", agent, what @ ..] => Deed::Agent(agent.parse().ok()?, to_process(what)?),
        ["serve", what @ ..] => Deed::Controller(to_controller(what)?),
        ["switch", what @ ..] => Deed::Switch(to_switch(what)?),
        ["target", what @ ..] => Deed::Target(to_target(what)?),
        ["outlet", cords, what @ ..] => Deed::Outlet(cords.parse().ok()?, outlet::read(what)?),
        ["operator", what @ ..] => Deed::Operator(button(what)?),
        _ => return None,
    })
}

fn to_machine(words: &[&str]) -> Option<ToMachine> {
    Some(match words {
        ["dies"] => ToMachine::Die,
        ["fails"] => ToMachine::Fail,
        ["repaired"] => ToMachine::Repair,
        ["freezes"] => ToMachine::Freeze,
        ["thaws"] => ToMachine::Thaw,
        ["panics", dump] => ToMachine::Panic(read_span(dump)?),
        ["halts"] => ToMachine::Halt,
        ["crashes"] => ToMachine::Crash,
        ["reboots"] => ToMachine::Reboot,
        ["pressed"] => ToMachine::Press,
        ["dark"] => ToMachine::LoseMains,
        ["lit"] => ToMachine::RegainMains,
        _ => return None,
    })
}

fn to_bmc(words: &[&str]) -> Option<ToBmc> {
    Some(match words {
        ["has", quirk, value] => ToBmc::Has((*quirk).to_owned(), (*value).to_owned()),
        ["well"] => ToBmc::Well,
        ["restarts", away] => ToBmc::Restart(read_span(away)?),
        _ => return None,
    })
}

fn to_road(words: &[&str]) -> Option<Road> {
    Some(match words {
        ["cut"] => Road::Cut,
        ["late", by] => Road::Late(read_span(by)?),
        ["loses", share] => Road::Loses(share.parse().ok()?),
        ["fair"] => Road::Fair,
        _ => return None,
    })
}

fn to_process(words: &[&str]) -> Option<ToProcess> {
    Some(match words {
        ["killed"] => ToProcess::Kill,
        ["started"] => ToProcess::Start,
        ["stopped"] => ToProcess::Stop,
        ["continued"] => ToProcess::GoOn,
        ["full"] => ToProcess::Full,
        ["room"] => ToProcess::Room,
        ["asked-by-another-plan"] => ToProcess::AskedAnew,
        ["asked-by-another-estate"] => ToProcess::AskedFromElsewhere,
        ["forgets"] => ToProcess::Forget,
        ["rolled-back", writes] => ToProcess::RollBack(writes.parse().ok()?),
        ["dies", "before", "write", number] => ToProcess::KillAtWrite(number.parse().ok()?, When::Before),
        ["dies", "after", "write", number] => ToProcess::KillAtWrite(number.parse().ok()?, When::After),
        _ => return None,
    })
}

fn to_controller(words: &[&str]) -> Option<ToController> {
    Some(match words {
        ["unanswered"] => ToController::LoseAnswer,
        ["crash-after", stage] => ToController::CrashAfter(Stage::ALL.into_iter().find(|known| known.name() == *stage)?),
        ["doubled"] => ToController::Double,
        ["backed-up"] => ToController::BackUp,
        ["restored"] => ToController::Restore,
        ["another-estate"] => ToController::AnotherEstate,
        ["jumps", seconds] => ToController::Jump(seconds.parse().ok()?),
        ["blind"] => ToController::LoseUplink,
        ["sighted"] => ToController::RegainUplink,
        other => ToController::Process(to_process(other)?),
    })
}

fn to_switch(words: &[&str]) -> Option<ToSwitch> {
    Some(match words {
        ["restarts", away] => ToSwitch::Restart(read_span(away)?),
        ["joins", port, vlan] => ToSwitch::Join((*port).to_owned(), vlan.parse().ok()?),
        ["clears", port] => ToSwitch::Clear((*port).to_owned()),
        ["pushed"] => ToSwitch::Push,
        ["unplugs", port] => ToSwitch::Unplug((*port).to_owned()),
        ["plugs", port] => ToSwitch::Plug((*port).to_owned()),
        ["ails", share] => ToSwitch::Weather(share.parse().ok()?),
        _ => return None,
    })
}

fn to_target(words: &[&str]) -> Option<ToTarget> {
    Some(match words {
        ["restarts", after] => ToTarget::Restart(read_span(after)?),
        ["freezes", time] => ToTarget::Freeze(read_span(time)?),
        ["stalls", time] => ToTarget::Stall(read_span(time)?),
        ["ails", share] => ToTarget::Weather(share.parse().ok()?),
        _ => return None,
    })
}

fn button(words: &[&str]) -> Option<Button> {
    Some(match words {
        ["releases", machine] => Button::Release(machine.parse().ok()?),
        ["starts", server] => Button::Start(server.parse().ok()?),
        ["stops", server] => Button::Stop(server.parse().ok()?),
        ["restarts", server] => Button::Restart(server.parse().ok()?),
        ["moves", server] => Button::Failover(server.parse().ok()?),
        ["readopts", agent] => Button::Readopt(agent.parse().ok()?),
        ["holds", "everything"] => Button::Hold(None),
        ["holds", server] => Button::Hold(Some(server.parse().ok()?)),
        ["resumes", "everything"] => Button::Resume(None),
        ["resumes", server] => Button::Resume(Some(server.parse().ok()?)),
        ["maintains", machine, time] => Button::Maintain(machine.parse().ok()?, read_span(time)?),
        ["has-done", machine] => Button::EndMaintenance(machine.parse().ok()?),
        ["approves", server] => Button::Approve(server.parse().ok()?),
        ["starts", "the", "site"] => Button::StartSite,
        ["aborts", server] => Button::Abort(server.parse().ok()?),
        ["lets-go"] => Button::LetGo,
        ["adopts"] => Button::Adopt,
        ["confirms-off"] => Button::ConfirmOff,
        ["confirms-another"] => Button::ConfirmsAnother,
        ["sets-mode", mode] => Button::SetMode(Mode::ALL.into_iter().find(|known| known.word() == *mode)?),
        ["edits-estate", what @ ..] => Button::Edit(edit::read(what)?),
        _ => return None,
    })
}
