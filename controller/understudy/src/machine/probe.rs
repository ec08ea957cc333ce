//! `understudy machine probe`: looks at a BMC that is in no estate. It speaks to the BMC itself and to no controller.
//! Must never change anything there, nor print a password.

use super::show;
use crate::cli::{IPMI_PORT, Probe, ProbeAddress, REDFISH_PORT};
use crate::exit::{Exit, Failure};
use crate::out;
use crate::render::{clean, table};
use crate::session::Session;
use api::bmc::{BmcView, SurveyView};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;
use vocabulary::estate::{Bmc, BmcAccess, BmcProtocol, IpmiAccess, IpmiPrivilege};
use vocabulary::power::{Identity, MachineReading, PowerState, RestorePolicy};

/// What was seen; `--output json` prints exactly this.
#[derive(Debug, Serialize)]
struct ProbeView {
    address: String,
    protocol: BmcProtocol,
    /// Empty where the BMC does not tell.
    serial: String,
    uuid: String,
    power: PowerState,
    /// `null` where this platform has no second source.
    chassis_power: Option<PowerState>,
    health: Option<String>,
    restore_policy: RestorePolicy,
    boot_progress: Option<String>,
    bmc_started: Option<String>,
    /// SHA-256 in hex, where the protocol has one.
    certificate: Option<String>,
    #[serde(flatten)]
    bmc: BmcView,
    survey: SurveyView,
}

/// Looks, once.
pub async fn probe(session: &Session, asked: Probe) -> Result<(), Failure> {
    let no = |fault| Failure::new(Exit::No, fault);
    let reference = super::password(asked.password_file.as_deref(), asked.password_env.as_deref());
    let password = catalogue::secrets::resolve(&reference, Path::new("")).map_err(no)?;
    let key = super::key(&asked.key);
    let secret = key.as_ref().map(|key| catalogue::secrets::resolve(key, Path::new(""))).transpose().map_err(no)?;
    let protocol = asked.protocol.into();
    let address = with_port(asked.bmc, protocol);
    let privilege = asked.privilege.map_or_else(IpmiPrivilege::default, Into::into);
    let ipmi = IpmiAccess { privilege, key, ..IpmiAccess::default() };
    let account = Bmc {
        protocol,
        address,
        user: asked.user,
        password: reference,
        agent: None,
        certificate: "enrol".to_owned(),
        access: BmcAccess::Command,
        ipmi: (protocol == BmcProtocol::Ipmi).then_some(ipmi),
    };
    let nobody = Identity { uuid: String::new(), serial: String::new() };
    let scope = if asked.log { bmc::Scope::FactsAndLog } else { bmc::Scope::Facts };
    let door = bmc::Door { key: secret, ..bmc::Door::new(account, nobody, password, asked.certificate) };
    let found = bmc::probe(&door, scope).await.map_err(no)?;
    let view = view(address, protocol, found);
    if session.json() { out::json(&view) } else { out::line(&text(&view)) }
}

fn with_port(address: ProbeAddress, protocol: BmcProtocol) -> SocketAddr {
    let usual = match protocol {
        BmcProtocol::Redfish => REDFISH_PORT,
        BmcProtocol::Ipmi => IPMI_PORT,
    };
    SocketAddr::new(address.host, address.port.unwrap_or(usual))
}

fn view(address: SocketAddr, protocol: BmcProtocol, found: bmc::Probe) -> ProbeView {
    let MachineReading { identity, system_power, chassis_power, boot_progress, bmc_started, restore_policy, health, .. } =
        found.reading;
    ProbeView {
        address: address.to_string(),
        protocol,
        serial: identity.serial,
        uuid: identity.uuid,
        power: system_power,
        chassis_power,
        health,
        restore_policy,
        boot_progress,
        bmc_started,
        certificate: found.certificate,
        bmc: BmcView::from(&found.findings),
        survey: SurveyView::from(&found.survey),
    }
}

fn text(view: &ProbeView) -> String {
    let told = |text: &str| if text.is_empty() { "not told".to_owned() } else { clean(text) };
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_else(|| "not told".to_owned())
    };
    let mut rows = vec![
        ("serial", told(&view.serial)),
        ("uuid", told(&view.uuid)),
        ("power", word(serde_json::to_value(view.power))),
        ("chassis power", word(serde_json::to_value(view.chassis_power))),
        ("health", told(view.health.as_deref().unwrap_or_default())),
        ("restore policy", word(serde_json::to_value(view.restore_policy))),
        ("boot progress", told(view.boot_progress.as_deref().unwrap_or_default())),
        ("certificate", view.certificate.as_deref().map_or_else(|| "none: the protocol has none".to_owned(), told)),
    ];
    rows.extend(show::bmc(&view.bmc));
    let survey = show::survey(&view.survey).into_iter().map(|(name, value)| vec![name, value]);
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).chain(survey).collect();
    table(&["bmc", &format!("{} by {}", view.address, word(serde_json::to_value(view.protocol)))], rows, None)
}
