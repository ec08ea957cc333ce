//! `understudy driver test`: the suite that every driver within passes, run against a program of the site. It asks no controller, goes through
//! no gate, and touches nothing but the ports or the outlet that it is given.

use crate::cli::{Driver, DriverProgram, DriverTest, OutletsTest, SwitchTest};
use crate::exit::{Exit, Failure};
use crate::forms::Output;
use crate::{confirm, limits, out};
use async_trait::async_trait;
use contract::conformance::{self, OutletFixture, SwitchFixture, Verdict};
use contract::outlet::Outlets;
use contract::switch::Switch;
use indicatif::ProgressBar;
use outlet::OutletsProgram;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Instant;
use switch::{Kept, ProgramConfig, SwitchProgram};
use vocabulary::{Fault, OutletId, PduId, PortName, PortSetting, SwitchId, VlanId};

/// A port and an outlet that no equipment has.
const NO_SUCH_PORT: &str = "no-such-port";
const NO_SUCH_OUTLET: u16 = 9_999;
/// What the equipment is called in readings; it is in no estate.
const NAME: &str = "tried";

/// Runs a verb.
pub async fn run(verb: Driver, output: Output) -> Result<(), Failure> {
    match verb {
        Driver::Test(DriverTest::Switch(arguments)) => switch(arguments, output).await,
        Driver::Test(DriverTest::Outlets(arguments)) => outlets(arguments, output).await,
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, Fault::new(69, message, "`understudy driver test --help` shows how it is meant"))
}

fn unsound(reason: impl std::fmt::Display) -> Failure {
    let remedy = "mend the program as docs/drivers.md says, and try again; no agent should run it before";
    Failure::new(Exit::No, Fault::new(76, format!("the driver's program is not sound: {reason}"), remedy))
}

/// As an agent's configuration would name it.
fn program(given: &DriverProgram) -> Result<program::Config, Failure> {
    let mut command = given.command.clone();
    if let Some(file) = command.first_mut() {
        let path = std::path::absolute(&*file).map_err(|error| usage(format!("`{file}`: {error}")))?;
        *file = path.to_string_lossy().into_owned();
    }
    let mut environment = BTreeMap::new();
    for pair in &given.environment {
        let (name, value) = pair.split_once('=').ok_or_else(|| usage(format!("`{pair}` is not NAME=VALUE")))?;
        environment.insert(name.to_owned(), value.to_owned());
    }
    Ok(program::Config { command, environment })
}

async fn tried(kind: &str, output: Output, suite: impl Future<Output = Verdict>) -> Result<(), Failure> {
    // drawn only on a terminal
    let spinner = ProgressBar::new_spinner().with_message("the program is tried; this takes up to some minutes");
    spinner.enable_steady_tick(limits::DRAW);
    let begun = Instant::now();
    let verdict = tokio::select! {
        verdict = suite => Some(verdict),
        // what cannot be listened to does not interrupt; dropped, the program ends
        Ok(()) = tokio::signal::ctrl_c() => None,
    };
    spinner.finish_and_clear();
    let Some(verdict) = verdict else {
        let remedy = "look at what is there now: it is as the last question left it";
        return Err(Failure::new(Exit::Interrupted, Fault::new(76, "the driver's program was not tried to the end", remedy)));
    };
    verdict.map_err(unsound)?;
    if output == Output::Json {
        return out::json(&json!({"kind": kind, "sound": true, "seconds": begun.elapsed().as_secs_f64()}));
    }
    out::line(&format!("the program keeps every law of a driver for {kind} ({:.1} s)", begun.elapsed().as_secs_f64()))
}

struct TriedSwitch {
    driver: SwitchProgram,
    ports: [PortName; 2],
    vlans: [VlanId; 3],
    nowhere: PortName,
}

#[async_trait]
impl SwitchFixture for TriedSwitch {
    fn switch(&self) -> &dyn Switch {
        &self.driver
    }
    fn ports(&self) -> [PortName; 2] {
        self.ports.clone()
    }
    fn no_such_port(&self) -> PortName {
        self.nowhere.clone()
    }
    fn vlans(&self) -> [VlanId; 3] {
        self.vlans
    }
    /// Nobody else's hand is at this switch here.
    async fn add_vlan(&self, _: &PortName, _: VlanId) -> Option<Verdict> {
        None
    }
    fn tells(&self) -> bool {
        false
    }
}

async fn switch(arguments: SwitchTest, output: Output) -> Result<(), Failure> {
    let given = arguments.ports.len();
    let ports: [PortName; 2] = arguments.ports.try_into().map_err(|_| usage(format!("it needs two ports, not {given}")))?;
    let given = arguments.vlans.len();
    let vlans: [VlanId; 3] = arguments.vlans.try_into().map_err(|_| usage(format!("it needs three VLANs, not {given}")))?;
    let ([one, other], [a, b, c]) = (&ports, vlans);
    if one == other || a == b || b == c || a == c {
        return Err(usage("its two ports and three VLANs are different ones"));
    }
    // asked about like every other, so that the program itself has to say no
    let nowhere: PortName = NO_SUCH_PORT.parse().map_err(unsound)?;
    let program::Config { command, environment } = program(&arguments.program)?;
    let owned = [one.clone(), other.clone(), nowhere.clone()].into();
    let name: SwitchId = NAME.parse().map_err(unsound)?;
    let driver = SwitchProgram::open(name, ProgramConfig { command, environment, ports: owned });
    let driver = driver.map_err(|error| unsound(error.reason))?;
    let consequence = format!(
        "Ports {one} and {other} are set to VLANs {a}, {b} and {c} again and again: what hangs there loses its network.\n\
         If every law holds, both carry VLAN {a} afterwards."
    );
    confirm::typed(one.as_str(), &consequence, arguments.program.yes)?;
    let fixture = TriedSwitch { driver, ports, vlans, nowhere };
    tried("a switch", output, async {
        conformance::switch(&fixture).await?;
        of_a_program(&fixture).await
    })
    .await
}

/// What else is asked of a program: it saves, since its switch restarts alone, and it can shut a port.
async fn of_a_program(fixture: &TriedSwitch) -> Verdict {
    let ([port, _], [a, ..]) = (&fixture.ports, fixture.vlans);
    let broken = |law: &str| format!("{law}; else nothing that it reads can ever prove a port to be barred");
    let read = fixture.driver.read(port).await.map_err(|error| error.to_string())?;
    if !read.saved {
        return Err(broken("what was set is saved, and a reading says so"));
    }
    let shut = fixture.driver.shut(port).await.map_err(|error| format!("a port can be shut; seen: {error}"))?;
    if !shut.saved {
        return Err(broken("a port that was shut is saved so"));
    }
    let back = fixture.driver.set(port, &PortSetting::access(a)).await;
    back.map(drop).map_err(|error| format!("a port that was shut can be set; seen: {error}"))
}

struct TriedUnit {
    driver: OutletsProgram,
    outlet: OutletId,
    neighbours: Vec<u16>,
}

#[async_trait]
impl OutletFixture for TriedUnit {
    fn outlets(&self) -> &dyn Outlets {
        &self.driver
    }
    fn outlet(&self) -> OutletId {
        self.outlet.clone()
    }
    fn neighbours(&self) -> Vec<u16> {
        self.neighbours.clone()
    }
    fn no_such_outlet(&self) -> u16 {
        NO_SUCH_OUTLET
    }
    /// Nobody presses its button here.
    async fn press(&self, _: bool) -> Option<Verdict> {
        None
    }
}

async fn outlets(arguments: OutletsTest, output: Output) -> Result<(), Failure> {
    let number = arguments.outlet.get();
    let neighbours: Vec<u16> = arguments.neighbours.iter().map(|neighbour| neighbour.get()).collect();
    if arguments.serial.trim().is_empty() {
        return Err(usage("it needs the unit's serial number: one that tells another is not switched"));
    }
    if neighbours.contains(&number) {
        return Err(usage(format!("outlet {number} cannot be its own neighbour")));
    }
    let pdu: PduId = NAME.parse().map_err(unsound)?;
    let driver = OutletsProgram::open(pdu.clone(), &arguments.serial, program(&arguments.program)?);
    let driver = driver.map_err(|error| unsound(error.reason))?;
    let consequence = format!(
        "Outlet {number} is switched off and on again and again: what hangs there loses its power.\nIf every law holds, it is off afterwards, and stays off."
    );
    confirm::typed(&number.to_string(), &consequence, arguments.program.yes)?;
    let fixture = TriedUnit { driver, outlet: OutletId { pdu, outlet: number }, neighbours };
    tried("a power distribution unit", output, conformance::outlet(&fixture)).await
}
