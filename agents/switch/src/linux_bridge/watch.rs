//! Listens to the kernel's notes of changed interfaces and keeps the names of ports to be looked at. What may have been missed
//! makes every port suspect.

use super::kernel::{Kernel, Note};
use crate::limits::RELISTEN_PAUSE;
use crate::suspects::Suspects;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinHandle;
use vocabulary::PortName;

/// The listener; it ends when this is dropped.
pub struct Watch {
    suspects: Arc<Suspects>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to listen.
    pub fn start(kernel: Arc<dyn Kernel>, ports: BTreeSet<PortName>) -> Watch {
        let suspects = Arc::new(Suspects::default());
        let task = tokio::spawn(listen(kernel, ports, suspects.clone()));
        Watch { suspects, task }
    }

    /// Waits for the next port to be looked at.
    pub async fn next(&self) -> PortName {
        self.suspects.next().await
    }
}

async fn listen(kernel: Arc<dyn Kernel>, ports: BTreeSet<PortName>, suspects: Arc<Suspects>) {
    loop {
        match kernel.listen().await {
            Err(error) => tracing::warn!(%error, "cannot listen for changes of ports: they are read by the clock alone"),
            Ok(mut notes) => {
                // what happened before is found by looking
                suspects.add(&ports);
                while let Some(note) = notes.next().await {
                    match note {
                        Note::Changed(name) => suspects.add(ports.iter().find(|port| port.as_str() == name)),
                        Note::Missed => suspects.add(&ports),
                    }
                }
            }
        }
        tokio::time::sleep(RELISTEN_PAUSE).await;
    }
}
