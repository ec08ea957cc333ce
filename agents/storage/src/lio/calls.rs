//! Asks the kernel: each call on a thread of its own, with a deadline, since the kernel may hold a call for as long as a login lasts.
//! Must never wait without end, and never let held calls pile up.

use super::kernel::Kernel;
use crate::limits::{KERNEL_CALLS_MAX, KERNEL_TIMEOUT};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Why a call did not give an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The kernel's target is not there.
    #[error("the kernel's SCSI target is not at {root}: load `target_core_mod` and `iscsi_target_mod`, and mount configfs")]
    Absent {
        /// Where it should be.
        root: String,
    },
    /// No answer in time; whether it happened, or still will, is unknown.
    #[error("the kernel still holds `{what}` after {} ms", .after.as_millis())]
    Silent {
        /// The call, without what was written.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The kernel said no.
    #[error("`{what}`: {said}")]
    Refused {
        /// The call, without what was written.
        what: String,
        /// The system's word.
        said: String,
        /// Its kind.
        kind: io::ErrorKind,
    },
    /// What it showed cannot be understood.
    #[error("{what} shows what cannot be understood: {reason}")]
    Garbled {
        /// Which attribute.
        what: String,
        /// What is odd.
        reason: String,
    },
}

/// The kernel, asked in time.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    /// The kernel.
    pub kernel: Arc<dyn Kernel>,
    /// The places of each lane; a call keeps its own until the kernel lets go of it.
    lanes: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl Calls {
    /// Of this kernel.
    pub fn of(kernel: Arc<dyn Kernel>) -> Calls {
        Calls { kernel, lanes: Arc::default() }
    }

    fn places(&self, lane: &str) -> Arc<Semaphore> {
        // nothing that holds it can fail in between
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.entry(lane.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(KERNEL_CALLS_MAX))).clone()
    }

    /// Runs it within `deadline`; what it is named is told, what it writes is not. Each lane has places of its own: what the kernel holds at
    /// one target, whose disk may hang, takes none from the others.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: &str,
        what: &str,
        deadline: Duration,
        job: impl FnOnce(&dyn Kernel) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        let silent = || CallError::Silent { what: what.to_owned(), after: deadline };
        let (kernel, places) = (self.kernel.clone(), self.places(lane));
        let work = async move {
            let Ok(place) = places.acquire_owned().await else { return None };
            let thread = tokio::task::spawn_blocking(move || {
                let done = job(&*kernel);
                drop(place);
                done
            });
            thread.await.ok()
        };
        match tokio::time::timeout(deadline, work).await {
            Ok(Some(done)) => done,
            _ => Err(silent()),
        }
    }

    /// One call, in the lane of the target or backstore that it is about.
    async fn one(
        &self,
        path: &str,
        what: String,
        deadline: Duration,
        call: impl FnOnce(&dyn Kernel) -> io::Result<()> + Send + 'static,
    ) -> Result<(), CallError> {
        let named = what.clone();
        let lane: Vec<&str> = path.split('/').take(2).collect();
        self.run(&lane.join("/"), &what, deadline, move |kernel| call(kernel).map_err(|error| refused(&named, &error))).await
    }

    /// Sets an attribute.
    pub async fn write(&self, file: &str, text: &str) -> Result<(), CallError> {
        let (file, text) = (file.to_owned(), text.to_owned());
        self.one(&file.clone(), format!("write {file}"), KERNEL_TIMEOUT, move |kernel| kernel.write(&file, &text)).await
    }

    /// Makes a folder; that it is there already is no error.
    pub async fn make(&self, folder: &str) -> Result<(), CallError> {
        let (path, what, folder) = (folder, format!("mkdir {folder}"), folder.to_owned());
        let call = move |kernel: &dyn Kernel| match kernel.make(&folder) {
            Err(there) if there.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        };
        self.one(path, what, KERNEL_TIMEOUT, call).await
    }

    /// Removes a folder; that somebody else did is no error. The kernel may hold this call.
    pub async fn remove(&self, folder: &str, deadline: Duration) -> Result<(), CallError> {
        let (path, what, folder) = (folder, format!("rmdir {folder}"), folder.to_owned());
        self.one(path, what, deadline, move |kernel| gone(kernel.remove(&folder))).await
    }

    /// Makes a link.
    pub async fn link(&self, to: &str, link: &str) -> Result<(), CallError> {
        let (path, what, to, link) = (link, format!("link {link}"), to.to_owned(), link.to_owned());
        self.one(path, what, KERNEL_TIMEOUT, move |kernel| kernel.link(&to, &link)).await
    }

    /// Removes a link; that somebody else did is no error. The kernel may hold this call while commands are in flight.
    pub async fn unlink(&self, link: &str, deadline: Duration) -> Result<(), CallError> {
        let (path, what, link) = (link, format!("unlink {link}"), link.to_owned());
        self.one(path, what, deadline, move |kernel| gone(kernel.unlink(&link))).await
    }
}

/// The kernel's no, with its call.
pub(super) fn refused(what: &str, error: &io::Error) -> CallError {
    CallError::Refused { what: what.to_owned(), said: error.to_string(), kind: error.kind() }
}

fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
