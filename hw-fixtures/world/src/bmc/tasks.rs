//! The tasks of a BMC: what was accepted and goes on, and how each will end.
//! Must never do the work of a task: it only knows when, and whether, it is done.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::bmc::limits;
use crate::bmc::quirks::{RedfishQuirks, TaskBehaviour};
use crate::clock::{now, since};

/// One task.
#[derive(Debug)]
pub struct Task {
    /// Its name.
    pub id: u64,
    /// How it ends.
    behaviour: TaskBehaviour,
    begun: Instant,
    length: Duration,
    hidden: Duration,
    goes: bool,
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// TaskState.
    pub state: &'static str,
    /// TaskStatus.
    pub status: &'static str,
    /// The maker's own state of a job, where it has one.
    pub job: Option<&'static str>,
    /// It will not change any more.
    pub ended: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Tasks {
    next: u64,
    list: VecDeque<Task>,
}

impl Task {
    /// How it stands now.
    pub fn standing(&self) -> Standing {
        let over = since(self.begun) >= self.length;
        let (state, status, job, ended) = match (self.behaviour, over) {
            (TaskBehaviour::Schedules, false) => ("New", "OK", Some("New"), false),
            (TaskBehaviour::Schedules, true) => ("Starting", "OK", Some("Scheduled"), false),
            (TaskBehaviour::Completes, true) => ("Completed", "OK", None, true),
            (TaskBehaviour::Fails, true) => ("Exception", "Critical", None, true),
            (TaskBehaviour::None | TaskBehaviour::Completes | TaskBehaviour::Fails | TaskBehaviour::Stalls, _) => {
                ("Running", "OK", None, false)
            }
        };
        Standing { state, status, job, ended }
    }

    fn is_told(&self) -> bool {
        since(self.begun) >= self.hidden && !(self.goes && self.standing().ended)
    }
}

impl Tasks {
    /// A new task as the quirks say; its id. The oldest goes when there are too many.
    pub fn open(&mut self, quirks: &RedfishQuirks) -> u64 {
        self.next += 1;
        if self.list.len() >= limits::TASKS_MAX {
            self.list.pop_front();
        }
        self.list.push_back(Task {
            id: self.next,
            behaviour: quirks.task,
            begun: now(),
            length: Duration::from_millis(quirks.task_ms),
            hidden: Duration::from_millis(quirks.task_hidden_ms),
            goes: quirks.task_goes,
        });
        self.next
    }

    /// Those that the BMC tells of.
    pub fn told(&self) -> impl Iterator<Item = &Task> {
        self.list.iter().filter(|task| task.is_told())
    }

    /// One of them.
    pub fn get(&self, id: u64) -> Option<&Task> {
        self.told().find(|task| task.id == id)
    }

    /// Deletes one.
    pub fn delete(&mut self, id: u64) {
        self.list.retain(|task| task.id != id);
    }
}
