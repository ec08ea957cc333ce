//! The storage network: which machine logs in under which name, seen on the wire. The target's own list names addresses, which move with
//! the server; a MAC address does not.

use std::io;
use std::mem::MaybeUninit;

use super::Shared;
use crate::fact::{Observation, Seen};
use crate::frames::login;
use crate::limits::{FRAME_BYTES_MAX, READ_TURN};
use crate::samples::Source;
use crate::sys::{Wire, filters, now_ns};

/// Watches the storage network until its interface goes away.
pub fn watch(shared: &Shared) -> io::Result<()> {
    let sources = &shared.config.sources;
    let wire = Wire::open(&sources.storage.name, &filters::pushed_tcp(sources.portal_port), READ_TURN)?;
    let mut buffer = [MaybeUninit::uninit(); FRAME_BYTES_MAX];
    loop {
        let Some(frame) = wire.next(&mut buffer)? else { continue };
        let at_ns = now_ns();
        let Some(login) = login(frame, sources.portal_port) else { continue };
        let mut oracle = shared.lock();
        oracle.sample(Source::Storage, at_ns);
        let machine = shared.config.roster.machine_of(login.mac).cloned();
        let whose = machine.as_ref().map_or_else(|| "no machine's".to_owned(), ToString::to_string);
        oracle.note(at_ns, &format!("login of {} from {} ({whose})", login.initiator, login.mac));
        if let Some(machine) = machine {
            oracle.see(Seen::exactly(at_ns, Observation::Login(machine, login.initiator, login.target)));
        }
    }
}
