//! What became of a command, and the forms in which a PATCH is sent.
//! Must never send anything again whose reply was lost: only an answer that says "not done" leads to another form.

use reqwest::Method;
use serde_json::Value;

use super::http::{Reply, Via};
use super::layout;
use super::task::{self, End};
use super::trouble::Trouble;
use super::view::{self, Mode};
use super::{Link, Redfish};
use crate::fault::{Kind, Refusal};
use crate::limits;

/// What a BMC answered to a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It reads as wanted already: nothing was sent.
    NotNeeded,
    /// 2xx.
    Accepted,
    /// 4xx: nothing was done.
    Denied(Refusal),
    /// Anything else: whether it was done is unknown.
    Failed(String),
}

impl Verdict {
    /// Reads the answer to a command on this link.
    pub fn of(reply: &Reply, link: &Link) -> Result<Verdict, Trouble> {
        match reply.status {
            200..=299 => Ok(Verdict::Accepted),
            401 => Err(layout::lost(&link.session.credential, &reply.explained())),
            403 => Ok(Verdict::Denied(Refusal { kind: Kind::TooFewRights, why: reply.explained() })),
            400..=499 => Ok(Verdict::Denied(Refusal { kind: Kind::Answer, why: reply.explained() })),
            _ => Ok(Verdict::Failed(reply.explained())),
        }
    }
}

/// Which ETag goes with a PATCH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum IfMatch {
    /// The resource's, if it is a strong one: the standard's way.
    Strong,
    /// None: after "it does not match" although it was just read, twice, and where the platform refuses it.
    Nothing,
    /// Whatever there is: after "a condition is required".
    Anything,
}

impl IfMatch {
    fn header(self, etag: Option<&str>) -> Option<&str> {
        match (self, etag) {
            (IfMatch::Nothing, _) | (IfMatch::Strong, None) => None,
            (IfMatch::Strong, Some(etag)) => (!etag.starts_with("W/")).then_some(etag),
            (IfMatch::Anything, Some(etag)) => Some(etag.trim_start_matches("W/")),
            (IfMatch::Anything, None) => Some("*"),
        }
    }
}

/// What became of a setting, and where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// What the BMC answered.
    pub verdict: Verdict,
    /// The resource that it was written to, or would have been.
    pub at: String,
    /// The boot mode that goes with a boot override, where the platform has one.
    pub mode: Option<Mode>,
}

impl Sent {
    /// Written to the system itself, or not written because it need not be.
    pub fn to_system(link: &Link, verdict: Verdict) -> Sent {
        Sent { verdict, at: link.layout.system.clone(), mode: None }
    }
}

/// Sends the first form that the BMC takes, at the first of the places that takes one. Who answers is checked before each.
pub async fn patch(bmc: &Redfish, link: &Link, places: &[String], bodies: &[Value]) -> Result<Sent, Trouble> {
    let mut waits = 0;
    let why = "no form of the request was taken".to_owned();
    let verdict = Verdict::Denied(Refusal { kind: Kind::Answer, why });
    let mut sent = Sent::to_system(link, verdict);
    for place in places {
        sent = Sent { verdict: patch_at(bmc, link, place, bodies, &mut waits).await?, at: place.clone(), mode: None };
        // rights are the same everywhere, and what may have been done is not done elsewhere
        if !matches!(&sent.verdict, Verdict::Denied(refusal) if refusal.kind == Kind::Answer) {
            break;
        }
    }
    // refused everywhere: what is there already is read where it counts first
    if let (Verdict::Denied(_), Some(first)) = (&sent.verdict, places.first()) {
        sent.at.clone_from(first);
    }
    Ok(sent)
}

async fn patch_at(bmc: &Redfish, link: &Link, place: &str, bodies: &[Value], waits: &mut u32) -> Result<Verdict, Trouble> {
    let mut bodies = bodies.iter().peekable();
    let mut condition = if link.layout.quirks.refuses_if_match() { IfMatch::Nothing } else { IfMatch::Strong };
    let (mut raced, why) = (false, "no form of the request was taken".to_owned());
    let mut refusal = Verdict::Denied(Refusal { kind: Kind::Answer, why });
    for _ in 0..limits::PATCH_ATTEMPTS_MAX {
        let Some(body) = bodies.peek() else { break };
        let holder = match place != link.layout.system {
            true => Some(bmc.http.get(Via::Hand, place, &link.session.credential).await?),
            false => None,
        };
        let system = bmc.identified(link, Via::Hand).await?;
        let etag = holder.as_ref().map_or(system.etag.as_deref(), |reply| reply.etag.as_deref());
        let if_match = condition.header(etag);
        let reply = bmc.http.command(Method::PATCH, place, &link.session.credential, Some(body), if_match).await?;
        refusal = Verdict::of(&reply, link)?;
        match reply.status {
            202 => {
                return Ok(match task::follow(bmc, link, &reply).await? {
                    End::Well => Verdict::Accepted,
                    End::Untold(why) => Verdict::Failed(why),
                });
            }
            // another hand was faster, or the ETag wavers: read again, and once more with the new one
            412 if if_match.is_some() && !raced => raced = true,
            412 if if_match.is_some() => condition = IfMatch::Nothing,
            428 if if_match.is_none() => condition = IfMatch::Anything,
            400..=499 if is_in_post(&reply.body) && *waits < limits::POST_WAITS_MAX => {
                tracing::info!(bmc = %bmc.address, answer = %reply.explained(), "in POST; asked for again after a pause");
                tokio::time::sleep(limits::POST_PAUSE.saturating_mul(1 << *waits)).await;
                *waits += 1;
            }
            400 => drop(bodies.next()),
            _ => return Ok(refusal),
        }
    }
    Ok(refusal)
}

/// True if an error says that nothing can be set while the machine is in POST (HPE iLO's message registry: retry when it is booted or off).
fn is_in_post(body: &Value) -> bool {
    view::said(body).contains("unabletomodifyduringsystempost")
}

/// Refuses what the BMC says it does not take; where it says nothing, everything may be tried.
pub fn allowed(list: Option<&[String]>, value: &str, what: &str) -> Result<(), Trouble> {
    match list {
        Some(list) if !list.iter().any(|one| one == value) => {
            let list = view::clean(&list.join(", "), limits::EXPLANATION_MAX);
            Err(Trouble::Unsupported(format!("this platform has no {what} {value} (it has: {list}); nothing was sent")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_etags_are_sent_only_when_a_condition_is_required() {
        assert_eq!(IfMatch::Strong.header(Some("\"1\"")), Some("\"1\""));
        assert_eq!(IfMatch::Strong.header(Some("W/\"1\"")), None);
        assert_eq!(IfMatch::Anything.header(Some("W/\"1\"")), Some("\"1\""));
        assert_eq!(IfMatch::Anything.header(None), Some("*"));
        assert_eq!(IfMatch::Nothing.header(Some("\"1\"")), None);
    }

    #[test]
    fn a_list_that_is_told_is_respected() {
        let list = ["On".to_owned(), "ForceOff".to_owned()];
        assert!(allowed(Some(&list), "ForceOff", "reset").is_ok());
        assert!(matches!(allowed(Some(&list), "GracefulShutdown", "reset"), Err(Trouble::Unsupported(_))));
        assert!(allowed(None, "ForceOff", "reset").is_ok());
    }
}
