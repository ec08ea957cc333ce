//! Where things are on one BMC: found out once per session by following links, never by guessing names.
//! Must never choose a system that does not tell the expected identity (unless it is only looked at, by `probe`).

use futures::future::join_all;
use serde_json::Value;
use vocabulary::power::Identity;

use super::http::{Credential, Http, NoSession, Reply, Via};
use super::identity::{self, Likeness};
use super::session::SESSIONS;
use super::trouble::Trouble;
use super::view;
use crate::fault::Kind;
use crate::quirks::{Platform, Quirks};

/// Where the service root is, by the specification.
pub(super) const ROOT: &str = "/redfish/v1/";
/// Where systems are on every BMC whose service root does not say otherwise.
const SYSTEMS: &str = "/redfish/v1/Systems";

/// What the service root tells without an account.
#[derive(Clone, Debug)]
pub struct Root {
    /// Where sessions are made; `None` where the service says that it has none.
    pub sessions: Option<String>,
    systems: String,
    tasks: Option<String>,
    events: Option<String>,
    vendor: String,
    product: String,
}

/// Which system is wanted.
#[derive(Clone, Debug)]
pub enum Choice {
    /// Exactly this one; any other is an error.
    Expected(Identity),
    /// This one if it is there, else whatever is: for `probe`, which only looks.
    Look(Identity),
}

/// Where things are.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The system.
    pub system: String,
    /// The chassis that is the host's power rail by this platform's record; `None` where there is no such record, or the system does
    /// not link to it.
    pub chassis: Option<String>,
    /// The manager: the BMC itself.
    pub manager: Option<String>,
    /// The task service.
    pub tasks: Option<String>,
    /// Reset types by the ActionInfo resource, where there is one.
    pub resets: Option<Vec<String>>,
    /// Its event stream, where it offers one.
    pub events: Option<String>,
    /// What it does otherwise.
    pub quirks: Quirks,
}

impl Root {
    /// Reads the service root. One that cannot be read says nothing; the standard's own paths are taken then.
    pub async fn read(http: &Http) -> Result<Root, Trouble> {
        let root = match http.get(Via::Eyes, ROOT, &Credential::Nobody).await {
            Ok(reply) if reply.is_success() => reply.body,
            Ok(_) | Err(Trouble::Answer(_)) => Value::Null,
            Err(trouble) => return Err(trouble),
        };
        let named = |list: &Value, key: &str| list.get(key).and_then(view::link);
        Ok(Root {
            sessions: sessions(&root),
            systems: named(&root, "Systems").unwrap_or_else(|| SYSTEMS.to_owned()),
            tasks: named(&root, "Tasks"),
            events: named(&root, "EventService"),
            vendor: view::text(&root, "Vendor").unwrap_or_default(),
            product: view::text(&root, "Product").unwrap_or_default(),
        })
    }
}

/// Where sessions are made. A root that names systems and nothing of sessions belongs to a service without them (sushy-tools 2.2.0 answers a
/// log-in with 401 then, as if the account were refused); one that tells neither is taken to follow the standard.
fn sessions(root: &Value) -> Option<String> {
    let named = root.get("Links").and_then(|links| links.get("Sessions")).and_then(view::link);
    let has_none = root.get("Systems").is_some() && root.get("SessionService").is_none();
    named.or_else(|| (!has_none).then(|| SESSIONS.to_owned()))
}

/// The host, as it was when it was found; for people.
#[derive(Clone, Debug)]
pub struct Host {
    /// Who the BMC says it is.
    pub platform: Platform,
    /// The system's own words.
    pub system: Value,
    /// How many systems are behind the BMC.
    pub of: usize,
}

/// Follows the links from the root to everything that readings and commands need.
pub async fn discover(http: &Http, root: &Root, who: &Credential, choice: &Choice) -> Result<(Layout, Host), Trouble> {
    let members = view::members(&resource(http, &root.systems, who).await?);
    let systems = join_all(members.into_iter().map(|path| async move {
        let system = resource(http, &path, who).await;
        system.map(|body| (path, body))
    }))
    .await
    .into_iter()
    .collect::<Result<Vec<_>, Trouble>>()?;
    let behind = systems.len();
    let (path, system) = choose(systems, choice)?;
    let links = system.get("Links");
    let chassis = view::links(links.and_then(|l| l.get("Chassis")));
    let manager = view::first_link(links.and_then(|l| l.get("ManagedBy")));
    let (manager_body, resets, events) = futures::join!(
        optional(http, manager.as_deref(), who),
        resets(http, &system, who),
        optional(http, root.events.as_deref(), who)
    );
    let events = stream(&events?);
    let text = |resource: &Value, key: &str| view::text(resource, key).unwrap_or_default();
    let manager_body = manager_body?;
    let platform = Platform {
        vendor: root.vendor.clone(),
        product: root.product.clone(),
        manufacturer: text(&system, "Manufacturer"),
        model: text(&system, "Model"),
        manager: text(&manager_body, "Model"),
        firmware: text(&manager_body, "FirmwareVersion"),
    };
    let quirks = platform.quirks();
    let chassis = quirks.host_rail().and_then(|rail| chassis.into_iter().find(|path| view::id(path) == rail));
    tracing::debug!(%platform, ?quirks, system = path, "BMC discovered");
    let tasks = root.tasks.clone();
    Ok((Layout { system: path, chassis, manager, tasks, resets: resets?, events, quirks }, Host { platform, system, of: behind }))
}

/// Picks the wanted system.
pub(super) fn choose(systems: Vec<(String, Value)>, choice: &Choice) -> Result<(String, Value), Trouble> {
    let (Choice::Expected(expected) | Choice::Look(expected)) = choice;
    let told: Vec<Identity> = systems.iter().map(|(_, body)| view::identity(body)).collect();
    let wanted = told.iter().position(|told| identity::likeness(expected, told) == Likeness::Same);
    let looks = matches!(choice, Choice::Look(_));
    // A board that only groups accelerators has no reset of its own: it is not the host.
    let host = || systems.iter().position(|(_, body)| body.get("Actions").is_some());
    let position = wanted.or_else(|| looks.then(|| host().unwrap_or_default()));
    position.and_then(|position| systems.into_iter().nth(position)).ok_or_else(|| match told.as_slice() {
        [] => Trouble::Identity("the BMC lists no system; is its firmware still starting?".into()),
        [only] => identity::check(expected, only).err().unwrap_or_else(|| Trouble::Identity("no system chosen".into())),
        several => {
            let shown: Vec<String> = several.iter().map(identity::shown).collect();
            Trouble::Identity(format!(
                "none of the systems behind this address is {}: {}; check cabling and address of the machine's `bmc`",
                identity::shown(expected),
                shown.join("; ")
            ))
        }
    })
}

async fn resets(http: &Http, system: &Value, who: &Credential) -> Result<Option<Vec<String>>, Trouble> {
    let action = system.get("Actions").and_then(|actions| actions.get("#ComputerSystem.Reset"));
    let inline = action.is_some_and(|action| view::allowable(action, "ResetType").is_some());
    let info = action.and_then(|action| action.get("@Redfish.ActionInfo")).and_then(Value::as_str).and_then(view::path);
    match info {
        Some(info) if !inline => Ok(view::action_info(&optional(http, Some(&info), who).await?, "ResetType")),
        _ => Ok(None),
    }
}

/// Where an event service streams its events, unless it is switched off.
fn stream(service: &Value) -> Option<String> {
    let enabled = service.get("ServiceEnabled").and_then(Value::as_bool).unwrap_or(true);
    service.get("ServerSentEventUri").and_then(Value::as_str).and_then(view::path).filter(|_| enabled)
}

/// A resource that must be there.
pub async fn resource(http: &Http, path: &str, who: &Credential) -> Result<Value, Trouble> {
    answer(http, path, who).await.map(|reply| reply.body)
}

/// The same with all that came with it.
pub async fn answer(http: &Http, path: &str, who: &Credential) -> Result<Reply, Trouble> {
    let reply = http.get(Via::Eyes, path, who).await?;
    match reply.status {
        401 => Err(lost(who, &reply.explained())),
        _ if reply.is_success() => Ok(reply),
        _ => Err(Trouble::of(reply.status, path, &reply.explained())),
    }
}

/// A resource that may be missing or strange: then it is null. Silence and a lost session are not "missing".
pub async fn optional(http: &Http, path: Option<&str>, who: &Credential) -> Result<Value, Trouble> {
    let Some(path) = path else { return Ok(Value::Null) };
    match resource(http, path, who).await {
        Err(trouble) if trouble.is_of_one_resource() => {
            tracing::debug!(%trouble, "taken as not told");
            Ok(Value::Null)
        }
        other => other,
    }
}

/// What a 401 means: a session that is gone, or an account that is not taken.
pub fn lost(who: &Credential, explained: &str) -> Trouble {
    match who {
        Credential::Token(_) => Trouble::SessionLost,
        Credential::Account { why: NoSession::Full, .. } => {
            let why = format!("no session is free, and without one it is answered {explained}");
            Trouble::Account(Kind::SessionsFull, why)
        }
        Credential::Account { why: NoSession::Rights, .. } => {
            let why = format!("it may not make a session, and without one it is answered {explained}");
            Trouble::Account(Kind::TooFewRights, why)
        }
        Credential::Nobody | Credential::Account { .. } => Trouble::Account(Kind::WrongPassword, explained.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn systems() -> Vec<(String, Value)> {
        vec![
            ("/a".into(), json!({ "UUID": "ua", "SerialNumber": "sa" })),
            ("/b".into(), json!({ "UUID": "UB", "SerialNumber": null, "Actions": {} })),
        ]
    }

    fn of(uuid: &str, serial: &str) -> Identity {
        Identity { uuid: uuid.into(), serial: serial.into() }
    }

    #[test]
    fn the_system_is_chosen_by_who_it_says_it_is() {
        let chosen = |uuid: &str, serial: &str| choose(systems(), &Choice::Expected(of(uuid, serial))).map(|(path, _)| path);
        assert_eq!(chosen("ua", "sa").as_deref(), Ok("/a"));
        assert_eq!(chosen("ub", "anything").as_deref(), Ok("/b"));
        assert!(matches!(chosen("ua", "other"), Err(Trouble::Identity(_))));
        assert!(matches!(chosen("", ""), Err(Trouble::Identity(_))));
        assert!(matches!(choose(Vec::new(), &Choice::Expected(of("ua", "sa"))), Err(Trouble::Identity(_))));
    }

    #[test]
    fn a_service_has_no_sessions_only_if_its_root_is_told_and_names_none() {
        let systems = json!({ "@odata.id": "/redfish/v1/Systems" });
        assert_eq!(sessions(&json!({ "Systems": systems })), None);
        let elsewhere = json!({ "Sessions": { "@odata.id": "/redfish/v1/Elsewhere" } });
        assert_eq!(sessions(&json!({ "Systems": systems, "Links": elsewhere })).as_deref(), Some("/redfish/v1/Elsewhere"));
        for usual in [Value::Null, json!({}), json!({ "Systems": systems, "SessionService": {} }), json!({ "Links": {} })] {
            assert_eq!(sessions(&usual).as_deref(), Some(SESSIONS), "{usual}");
        }
    }

    #[test]
    fn an_event_stream_is_a_path_of_this_bmc_and_of_a_service_that_is_on() {
        let of = |service: Value| stream(&service);
        let uri = "/redfish/v1/EventService/SSE";
        assert_eq!(of(json!({ "ServerSentEventUri": uri })).as_deref(), Some(uri));
        assert_eq!(
            of(json!({ "ServerSentEventUri": format!("https://elsewhere{uri}"), "ServiceEnabled": true })).as_deref(),
            Some(uri)
        );
        for none in
            [json!({ "ServerSentEventUri": uri, "ServiceEnabled": false }), json!({ "ServerSentEventUri": 7 }), Value::Null]
        {
            assert_eq!(of(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn a_probe_takes_the_host_when_nothing_matches() {
        let looked = |uuid: &str| choose(systems(), &Choice::Look(of(uuid, ""))).map(|(path, _)| path);
        assert_eq!(looked("ua").as_deref(), Ok("/a"));
        assert_eq!(looked("nobody").as_deref(), Ok("/b"));
        assert!(choose(Vec::new(), &Choice::Look(of("", ""))).is_err());
    }
}
