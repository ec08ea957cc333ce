//! The laws of `Switch`: exact settings, fresh readings, foreign changes seen.

use super::{Verdict, bounded, ensure, must, must_reject};
use crate::switch::Switch;
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::time::Duration;
use vocabulary::network::PortReading;
use vocabulary::request::AgentError;
use vocabulary::{PortName, PortSetting, VlanId};

const CHANGE_SEEN: Duration = Duration::from_secs(5);

/// A switch on which two ports, and three VLANs on them, may be used freely.
#[async_trait]
pub trait SwitchFixture: Send + Sync {
    /// The driver.
    fn switch(&self) -> &dyn Switch;
    /// Two ports that nothing else uses.
    fn ports(&self) -> [PortName; 2];
    /// A port that the switch does not have.
    fn no_such_port(&self) -> PortName;
    /// Three VLANs that may be used on them.
    fn vlans(&self) -> [VlanId; 3];
    /// Adds a tagged VLAN to a port past the driver, as a foreign hand would. `None` if that cannot be staged here.
    async fn add_vlan(&self, port: &PortName, vlan: VlanId) -> Option<Result<(), String>>;
    /// True if the switch can tell of changes by itself.
    fn tells(&self) -> bool;
}

fn is(reading: &PortReading, setting: &PortSetting) -> bool {
    reading.setting.native == setting.native && reading.setting.tagged == setting.tagged && !reading.leaks
}

/// Runs the suite.
pub async fn switch(fixture: &dyn SwitchFixture) -> Verdict {
    exact(fixture).await?;
    kinds(fixture).await?;
    foreign(fixture).await?;
    unknown(fixture).await?;
    let [a, ..] = fixture.vlans();
    for port in fixture.ports() {
        must("a port can be put back", fixture.switch().set(&port, &PortSetting::access(a))).await?;
    }
    Ok(())
}

async fn exact(fixture: &dyn SwitchFixture) -> Verdict {
    let (driver, [one, other], [a, b, _]) = (fixture.switch(), fixture.ports(), fixture.vlans());
    must("a port takes an access VLAN", driver.set(&other, &PortSetting::access(a))).await?;
    for vlan in [a, b, b, a] {
        let setting = PortSetting::access(vlan);
        let before = must("a port can be read", driver.read(&one)).await?;
        let answered = must("a port takes an access VLAN", driver.set(&one, &setting)).await?;
        ensure(is(&answered, &setting), "`set` answers with what was read back, exactly what was asked", &answered)?;
        ensure(answered.port.port == one, "a reading names its port", &answered)?;
        ensure(answered.admin_up, "`set` brings the port up", &answered)?;
        let read = must("a set port can be read", driver.read(&one)).await?;
        // what is plugged in there may speak between the flush and the reading, even between a reading's counter and its addresses: only
        // the next reading's counter tells
        let quiet = read.frames_in <= before.frames_in;
        ensure(!quiet || answered.learnt.is_empty(), "`set` flushes the learnt addresses", &answered)?;
        ensure(is(&read, &setting), "after `set` a reading shows exactly that and no VLAN of before", &read)?;
        let neighbour = must("a port can be read", driver.read(&other)).await?;
        ensure(is(&neighbour, &PortSetting::access(a)), "setting one port leaves its neighbour alone", neighbour)?;
    }
    Ok(())
}

async fn kinds(fixture: &dyn SwitchFixture) -> Verdict {
    let (driver, [port, _], [a, b, c]) = (fixture.switch(), fixture.ports(), fixture.vlans());
    let trunk = PortSetting { native: Some(a), tagged: BTreeSet::from([b, c]), mtu: None };
    let only_tagged = PortSetting { native: None, tagged: BTreeSet::from([b]), mtu: None };
    for setting in [trunk, only_tagged] {
        let before = must("a port can be read", driver.read(&port)).await?;
        match bounded("`set` ends", driver.set(&port, &setting)).await? {
            Ok(answered) => ensure(is(&answered, &setting), "a kind of setting is done exactly or rejected", answered)?,
            Err(AgentError::Rejected { .. }) => {
                let after = must("a port can be read", driver.read(&port)).await?;
                ensure(after.setting == before.setting, "a rejected setting changes nothing", after)?;
            }
            other => return Err(format!("a kind of setting is done exactly or rejected; seen: {other:?}")),
        }
    }
    let back = must("a port returns from a trunk to one VLAN", driver.set(&port, &PortSetting::access(a))).await?;
    ensure(is(&back, &PortSetting::access(a)), "no tagged VLAN stays behind", back)
}

async fn foreign(fixture: &dyn SwitchFixture) -> Verdict {
    let (driver, [port, _], [a, _, c]) = (fixture.switch(), fixture.ports(), fixture.vlans());
    must("a port takes an access VLAN", driver.set(&port, &PortSetting::access(a))).await?;
    let told = async {
        if !fixture.tells() {
            return Ok(());
        }
        // Our own `set` may still echo; only the fixture's port counts.
        tokio::time::timeout(CHANGE_SEEN, async { while driver.changed().await.port != port {} })
            .await
            .map_err(|_| format!("a foreign change is told within {} s; seen: nothing", CHANGE_SEEN.as_secs()))
    };
    let staged = async {
        // Give the watcher a moment to subscribe: what happened before it listens is found by reading.
        tokio::time::sleep(Duration::from_millis(200)).await;
        fixture.add_vlan(&port, c).await
    };
    let (told, staged) = tokio::join!(told, staged);
    let Some(staged) = staged else { return Ok(()) };
    staged.map_err(|error| format!("the fixture cannot make a foreign change: {error}"))?;
    told?;
    let read = must("a port can be read", driver.read(&port)).await?;
    ensure(read.setting.carries(c) || read.leaks, "a reading is fresh: a foreign VLAN is in it", &read)?;
    let mended = must("a port can be set after a foreign change", driver.set(&port, &PortSetting::access(a))).await?;
    ensure(is(&mended, &PortSetting::access(a)), "`set` removes what a foreign hand added", mended)
}

async fn unknown(fixture: &dyn SwitchFixture) -> Verdict {
    let (driver, [a, ..]) = (fixture.switch(), fixture.vlans());
    let nowhere = fixture.no_such_port();
    must_reject("reading a port that is not there is rejected", bounded("`read` ends", driver.read(&nowhere)).await?)?;
    let set = bounded("`set` ends", driver.set(&nowhere, &PortSetting::access(a))).await?;
    must_reject("setting a port that is not there is rejected", set)
}
