//! The task service: what each task reads, and what its monitor does.
//! Must never end a task: only time does.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Answer;
use super::body::put;
use super::message::{self, error};
use crate::bmc::quirks::{RedfishQuirks, TaskBehaviour};
use crate::bmc::tasks::Task;
use crate::bmc::{Bmc, State};

const SERVICE: &str = "/redfish/v1/TaskService";

/// The task service itself.
pub fn service(now: String) -> Value {
    json!({
        "@odata.id": SERVICE,
        "@odata.type": "#TaskService.v1_2_1.TaskService",
        "Id": "TaskService",
        "Name": "Task Service",
        "ServiceEnabled": true,
        "DateTime": now,
        "CompletedTaskOverWritePolicy": "Oldest",
        "LifeCycleEventOnTaskStateChange": false,
        "Status": { "State": "Enabled", "Health": "OK" },
        "Tasks": { "@odata.id": format!("{SERVICE}/Tasks") },
    })
}

/// The names of all tasks.
pub fn ids(state: &State) -> Vec<String> {
    state.tasks.told().map(|task| task.id.to_string()).collect()
}

/// One task, if it is told of.
pub fn view(state: &State, id: u64) -> Option<Value> {
    state.tasks.get(id).map(body)
}

fn body(task: &Task) -> Value {
    let (id, standing) = (task.id, task.standing());
    let mut body = json!({
        "@odata.id": format!("{SERVICE}/Tasks/{id}"),
        "@odata.type": "#Task.v1_7_1.Task",
        "Id": id.to_string(),
        "Name": format!("Task {id}"),
        "TaskState": standing.state,
        "TaskStatus": standing.status,
        "TaskMonitor": monitor_path(id),
    });
    if let Some(job) = standing.job {
        put(&mut body, "Oem", json!({ "Dell": { "JobState": job } }));
    }
    if standing.state == "Exception" {
        put(&mut body, "Messages", json!([message::entry("PropertyNotUpdated", &[])]));
    }
    body
}

fn monitor_path(id: u64) -> String {
    format!("{SERVICE}/TaskMonitors/{id}")
}

/// The answer to a request that goes on as a task, which begins now.
pub fn accepted(state: &mut State) -> Answer {
    let quirks: &RedfishQuirks = &state.quirks.redfish;
    let id = state.tasks.open(quirks);
    let told = json!({
        "@odata.id": format!("{SERVICE}/Tasks/{id}"),
        "@odata.type": "#Task.v1_7_1.Task",
        "Id": id.to_string(),
        "Name": format!("Task {id}"),
        "TaskState": "New",
        "TaskStatus": "OK",
    });
    let answer = match quirks.task_in_body {
        true => Answer::new(StatusCode::ACCEPTED, told),
        false => Answer { status: StatusCode::ACCEPTED, body: None, headers: Vec::new(), events: None },
    };
    answer.with("location", monitor_path(id))
}

/// True if settings are taken as tasks.
pub fn is_wanted(quirks: &RedfishQuirks) -> bool {
    quirks.task != TaskBehaviour::None
}

/// A look at a task's monitor: it deletes the task when that has ended, or (quirk) at once.
pub fn monitor(bmc: &Bmc, id: u64) -> Answer {
    let mut state = bmc.state();
    let Some(ended) = state.tasks.get(id).map(|task| task.standing().ended) else {
        return error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", &[&monitor_path(id)]);
    };
    if ended || state.quirks.redfish.monitor_deletes {
        state.tasks.delete(id);
    }
    if ended {
        Answer::no_content()
    } else {
        Answer { status: StatusCode::ACCEPTED, body: None, headers: Vec::new(), events: None }
    }
}
