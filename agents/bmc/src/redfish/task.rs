//! Tasks: what becomes of a setting that the BMC answers with "accepted, and goes on" (202).
//! Must never GET a task monitor (on Lenovo XCC that deletes the task), never take a task that has neither ended nor been scheduled for
//! done, and never outlast its own patience.

use serde_json::Value;

use super::http::{Reply, Via};
use super::trouble::Trouble;
use super::{Link, Redfish, layout, view};
use crate::fault::Kind;
use crate::given::{now, since};
use crate::limits;

/// What became of a task that is not open any more, and did not fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It has ended well, or stands ready and waits for the machine's next start.
    Well,
    /// Nobody can tell; why.
    Untold(String),
}

/// How a task stands.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Progress {
    /// It has ended well, or stands ready and waits for the machine's next start.
    Done,
    /// It has ended badly, and what it says about that.
    Failed(String),
    /// It has not ended.
    Open(String),
}

/// Where a task is told, as far as the answer says.
enum Place {
    /// The task itself.
    Task(String),
    /// Something that belongs to it, in most cases its monitor.
    Near(String),
}

/// Follows the task of an answer 202 until it has ended or is scheduled. [`End::Well`] says no more than that: what is read back decides. A task
/// that failed is an answer; one that does not end in time, or that cannot be found, leaves open what is, whatever reads as set
/// meanwhile: a job that is not yet scheduled when the machine starts boots it from the wrong device (Dell iDRAC).
pub async fn follow(bmc: &Redfish, link: &Link, reply: &Reply) -> Result<End, Trouble> {
    let (begun, wait) = (now(), bmc.patience.task);
    let Some(place) = place(reply) else {
        return Ok(End::Untold("it was accepted, and no task is told that could be followed".into()));
    };
    let mut pause = limits::TASK_PAUSE;
    let (mut seen, mut told) = (false, "not to be found".to_owned());
    loop {
        match look(bmc, link, &place).await? {
            Some(task) => {
                seen = true;
                match progress(&task) {
                    Progress::Done => return Ok(End::Well),
                    Progress::Failed(why) => return Err(Trouble::Answer(format!("its task failed: {why}"))),
                    Progress::Open(state) => told = state,
                }
            }
            // iDRAC takes a task away seconds after its end: how it ended is read from what it was to change
            None if seen => return Ok(End::Untold(format!("its task is gone; it was last {told}"))),
            // iDRAC answers 404 for the first seconds of a job: not yet
            None if since(begun) >= limits::TASK_APPEARS => break,
            None => {}
        }
        if since(begun) + pause >= wait {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(limits::TASK_PAUSE_MAX);
    }
    Err(open(format!("its task is {told} after {:.1} s; whether it will be done is unknown", since(begun).as_secs_f64())))
}

fn open(text: String) -> Trouble {
    Trouble::Unconfirmed(Kind::Answer, text)
}

/// By the standard the Location of a 202 is the task's monitor and its body the task; there are BMCs that leave out the body, or name the task
/// as Location.
fn place(reply: &Reply) -> Option<Place> {
    let is_task = ["TaskState", "JobState"].iter().any(|key| reply.body.get(key).is_some());
    match view::link(&reply.body).filter(|_| is_task) {
        Some(path) => Some(Place::Task(path)),
        None => reply.location.as_deref().and_then(view::path).map(Place::Near),
    }
}

/// The task, if it is there. A trouble on the way is none of the command's: that was accepted.
async fn look(bmc: &Redfish, link: &Link, place: &Place) -> Result<Option<Value>, Trouble> {
    let found = match place {
        Place::Task(path) => Ok(Some(path.clone())),
        Place::Near(location) => listed(bmc, link, location).await,
    };
    let who = &link.session.credential;
    let task = match found {
        Ok(Some(path)) => bmc.http.get(Via::Eyes, &path, who).await.map(Some),
        Ok(None) => Ok(None),
        Err(trouble) => Err(trouble),
    };
    match task {
        Ok(Some(reply)) if reply.is_success() => Ok(Some(reply.body)),
        Ok(Some(reply)) if reply.status == 401 => Err(open("the session ended while its task was followed".into())),
        Ok(_) => Ok(None),
        Err(trouble) => {
            Err(Trouble::Unconfirmed(trouble.kind().in_mid_operation(), format!("its task cannot be followed: {trouble}")))
        }
    }
}

/// The member of the task service's list to which this path belongs: itself, one below which it is, or one of the same Id. The path alone
/// does not tell whether it is a task or a monitor, and a monitor is not to be touched.
async fn listed(bmc: &Redfish, link: &Link, location: &str) -> Result<Option<String>, Trouble> {
    let who = &link.session.credential;
    let service = layout::optional(&bmc.http, link.layout.tasks.as_deref(), who).await?;
    let list = service.get("Tasks").and_then(view::link);
    let list = layout::optional(&bmc.http, list.as_deref(), who).await?;
    let members = list.get("Members").and_then(Value::as_array).into_iter().flatten().filter_map(view::link);
    Ok(belongs(members, location))
}

fn belongs(mut members: impl Iterator<Item = String>, location: &str) -> Option<String> {
    let location = location.trim_end_matches('/');
    members.find(|member| {
        let member = member.trim_end_matches('/');
        location.strip_prefix(member).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || view::id(member) == view::id(location)
    })
}

/// Reads a Task, or a Job, in the words of their schemas. Where a maker tells a job's state of its own beside the standard's, that one
/// counts: iDRAC's `Scheduled` is the standard's `Starting`.
fn progress(task: &Value) -> Progress {
    let state = view::text(task, "TaskState").or_else(|| view::text(task, "JobState")).unwrap_or_default();
    let makers = task.get("Oem").and_then(Value::as_object).into_iter().flat_map(|oem| oem.values());
    let job = makers.filter_map(|maker| view::text(maker, "JobState")).next();
    let critical = task.get("TaskStatus").and_then(Value::as_str) == Some("Critical");
    let shown = || job.clone().unwrap_or_else(|| if state.is_empty() { "without a state".into() } else { state.clone() });
    match (job.as_deref(), state.as_str()) {
        (Some("Failed" | "CompletedWithErrors" | "RebootFailed"), _) | (_, "Exception" | "Killed" | "Cancelled") => {
            Progress::Failed(messages(task, &shown()))
        }
        (_, "Completed") if critical => Progress::Failed(messages(task, &shown())),
        (Some("Scheduled" | "Completed"), _) | (None, "Pending") | (_, "Completed") => Progress::Done,
        _ => Progress::Open(shown()),
    }
}

/// What a task says about itself, for people; bounded.
fn messages(task: &Value, state: &str) -> String {
    let list = task.get("Messages").and_then(Value::as_array).into_iter().flatten().take(limits::TASK_MESSAGES_MAX);
    let texts: Vec<String> = list.filter_map(|one| view::text(one, "Message").or_else(|| view::text(one, "MessageId"))).collect();
    if texts.is_empty() { state.to_owned() } else { format!("{state}: {}", texts.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redfish::view::tests::any_json;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn reading_is_total(task in any_json()) {
            let _ = progress(&task);
            prop_assert!(messages(&task, "x").chars().count() <= limits::TASK_MESSAGES_MAX * (limits::TEXT_MAX + 1) + 3);
        }
    }

    #[test]
    fn only_what_has_ended_or_is_scheduled_is_done() {
        let of = |state: &str| progress(&json!({ "TaskState": state }));
        for state in ["Completed", "Pending"] {
            assert_eq!(of(state), Progress::Done, "{state}");
        }
        for state in ["New", "Starting", "Running", "Suspended", "Interrupted", "Stopping", "Service", "Cancelling", ""] {
            assert!(matches!(of(state), Progress::Open(_)), "{state}");
        }
        for state in ["Exception", "Killed", "Cancelled"] {
            assert_eq!(of(state), Progress::Failed(state.into()));
        }
        assert!(matches!(progress(&Value::Null), Progress::Open(_)));
        let job = |state: &str, job: &str| progress(&json!({ "TaskState": state, "Oem": { "Dell": { "JobState": job } } }));
        assert_eq!(job("Starting", "Scheduled"), Progress::Done);
        assert_eq!(job("Pending", "New"), Progress::Open("New".into()));
        assert_eq!(job("Completed", "CompletedWithErrors"), Progress::Failed("CompletedWithErrors".into()));
        let told = json!({ "TaskState": "Completed", "TaskStatus": "Critical", "Messages": [{ "Message": "No." }] });
        assert_eq!(progress(&told), Progress::Failed("Completed: No.".into()));
    }

    #[test]
    fn a_location_is_brought_to_the_list_s_member() {
        let list = || ["/redfish/v1/TaskService/Tasks/1", "/redfish/v1/TaskService/Tasks/12"].map(str::to_owned).into_iter();
        let of = |location: &str| belongs(list(), location);
        assert_eq!(of("/redfish/v1/TaskService/Tasks/12").as_deref(), Some("/redfish/v1/TaskService/Tasks/12"));
        assert_eq!(of("/redfish/v1/TaskService/Tasks/12/Monitor").as_deref(), Some("/redfish/v1/TaskService/Tasks/12"));
        assert_eq!(of("/redfish/v1/TaskService/TaskMonitors/1/").as_deref(), Some("/redfish/v1/TaskService/Tasks/1"));
        assert_eq!(of("/redfish/v1/TaskService/TaskMonitors/3"), None);
    }
}
