//! The invariants of one state that go beyond "effective": one writer a volume (I3), one usable permit a server (I7), a machine that lost its
//! server is cut off until it is released (I8), and who mounts finds what was acknowledged (I10). They must never look at anything but facts
//! and, for I8, at the releases that the store records.

use super::{Inner, Lost};
use oracle::fact::{Atom, Change, Key, Ns};
use oracle::judge::Clause;
use oracle::limits::FOREIGN_OVERLAP_MAX_NS;
use std::collections::{BTreeMap, BTreeSet};
use vocabulary::{MachineId, ServerId};

/// A state that breaks a law and lasts.
pub(super) struct Breach {
    from_ns: Ns,
    /// A foreign hand on a switch or target made it, and nobody else added to it.
    foreign: bool,
    /// It was told as a violation.
    told: bool,
    who: BTreeSet<String>,
    sentence: String,
}

impl Inner {
    /// Judges what these changes may have broken or mended.
    pub(super) fn laws(&mut self, changes: &[Change], servers: &BTreeSet<ServerId>, by_hand: bool, at_ns: Ns) {
        for server in servers {
            self.one_writer(server, by_hand, at_ns);
        }
        if changes.iter().any(|change| matches!(change.key, Key::Permit(_))) {
            for change in changes {
                for atom in change.was.iter().chain(&change.is) {
                    if let Atom::MayBoot(server) = atom {
                        self.one_permit(server, at_ns);
                    }
                }
            }
        }
        if !self.lost.is_empty() {
            self.quarantine(by_hand, at_ns);
        }
    }

    /// I3: one writer of a server's exclusive volumes in every state.
    fn one_writer(&mut self, server: &ServerId, by_hand: bool, at_ns: Ns) {
        let Some(course) = self.courses.get(server) else { return };
        let writes = |reasons: &BTreeSet<oracle::judge::Reason>| reasons.iter().any(|reason| reason.clause == Clause::Volume);
        if course.now().values().filter(|reasons| writes(reasons)).count() < 2 {
            return self.holds("I3", server.as_str(), at_ns);
        }
        let mut texts = Vec::new();
        let mut who = BTreeSet::new();
        for (actor, reasons) in course.now().iter().filter(|(_, reasons)| writes(reasons)) {
            who.insert(actor.clone());
            let why: Vec<&str> =
                reasons.iter().filter(|reason| reason.clause == Clause::Volume).map(|reason| reason.text.as_str()).collect();
            texts.push(format!("{actor} ({})", why.join("; ")));
        }
        let sentence = format!("{} can write the volumes of {server} at once: {}", who.len(), texts.join(", "));
        self.broken("I3", server.to_string(), who, sentence, by_hand, at_ns);
    }

    /// I7: one usable permit a server.
    fn one_permit(&mut self, server: &ServerId, at_ns: Ns) {
        let state = self.book.state();
        let may = |machine: &MachineId| {
            let atoms = state.get(&Key::Permit(machine.clone()));
            atoms.is_some_and(|atoms| atoms.contains(&Atom::MayBoot(server.clone())))
        };
        let who: BTreeSet<String> = self.roster.machines.keys().filter(|machine| may(machine)).map(ToString::to_string).collect();
        if who.len() < 2 {
            return self.holds("I7", server.as_str(), at_ns);
        }
        let names: Vec<&str> = who.iter().map(String::as_str).collect();
        let sentence = format!("a boot service would boot each of {} as {server}", names.join(", "));
        // permits stand at no switch and at no target
        self.broken("I7", server.to_string(), who, sentence, false, at_ns);
    }

    /// I8: a machine that lost its server writes nothing and may boot as nobody, until it is released; and it is in no server's VLAN. Where its
    /// power and its storage were proven, its ports may be barred later, by a standing order: a port counts from when it was barred, or if
    /// the machine could send as the server there.
    fn quarantine(&mut self, by_hand: bool, at_ns: Ns) {
        let before: Vec<MachineId> = self.lost.keys().cloned().collect();
        for machine in &before {
            let ports = self.ports_in_vlans(machine);
            let sends = self.could_send(machine);
            let barred = self.barred(machine);
            let Some(lost) = self.lost.get_mut(machine) else { continue };
            lost.barred.extend(barred);
            let counts = |port: &String| sends || lost.barred.contains(port);
            let mut why: BTreeSet<String> = ports.iter().filter(|(port, _)| counts(port)).map(told).collect();
            why.extend(self.writes_or_boots(machine));
            if why.is_empty() {
                self.holds("I8", machine.as_str(), at_ns);
                continue;
            }
            // it may have been released since this was last looked at
            self.read_store();
            let Some(server) = self.lost.get(machine).map(|lost| lost.server.clone()) else {
                self.holds("I8", machine.as_str(), at_ns);
                continue;
            };
            let texts: Vec<&str> = why.iter().map(String::as_str).collect();
            let sentence = format!("{machine}, which lost {server} and was not released, is not cut off: {}", texts.join("; "));
            self.broken("I8", machine.to_string(), why, sentence, by_hand, at_ns);
        }
    }

    /// I8 at the end: no port has been left for later.
    pub(super) fn still_open(&mut self) {
        self.read_store();
        let at_ns = self.now_ns();
        let open = |(machine, lost): (&MachineId, &Lost)| {
            let mut ports = self.ports_in_vlans(machine);
            ports.retain(|port, _| !lost.barred.contains(port));
            let texts: Vec<String> = ports.iter().map(told).collect();
            let sentence = || format!("{machine}, which lost {}, was never cut off: {}", lost.server, texts.join("; "));
            (!texts.is_empty()).then(|| (machine.to_string(), sentence()))
        };
        let open: Vec<(String, String)> = self.lost.iter().filter_map(open).collect();
        for (subject, sentence) in open {
            self.violated("I8", at_ns, subject, sentence);
        }
    }

    /// The machine's ports that are in a server's VLAN, and in which.
    pub(super) fn ports_in_vlans(&self, machine: &MachineId) -> BTreeMap<String, BTreeSet<u16>> {
        let state = self.book.state();
        let servers: BTreeSet<u16> = self.roster.servers.values().flat_map(|server| server.vlans.values().copied()).collect();
        let nics = self.roster.machines.get(machine).into_iter().flat_map(|machine| machine.nics.values());
        let ports = nics.map(|nic| {
            let atoms = state.get(&Key::Port(nic.port.clone()));
            let of_server = |vlan: &u16| atoms.is_some_and(|atoms| atoms.contains(&Atom::Vlan(*vlan)));
            (nic.port.clone(), servers.iter().copied().filter(of_server).collect::<BTreeSet<u16>>())
        });
        ports.filter(|(_, vlans)| !vlans.is_empty()).collect()
    }

    /// The machine's ports that are set to no server's VLAN. A port without a link forwards nothing, and is not barred for that.
    fn barred(&self, machine: &MachineId) -> Vec<String> {
        let servers: BTreeSet<u16> = self.roster.servers.values().flat_map(|server| server.vlans.values().copied()).collect();
        let nics = self.roster.machines.get(machine).into_iter().flat_map(|machine| machine.nics.values());
        let is_barred = |port: &String| self.carried.get(port).is_none_or(|carried| carried.is_disjoint(&servers));
        nics.map(|nic| nic.port.clone()).filter(is_barred).collect()
    }

    /// Whether it is powered and has run a server's image since.
    fn could_send(&self, machine: &MachineId) -> bool {
        let state = self.book.state();
        let on = state.get(&Key::Power(machine.clone())).is_some_and(|atoms| atoms.contains(&Atom::On));
        on && state.get(&Key::Ran(machine.clone())).is_some_and(|atoms| !atoms.is_empty())
    }

    fn writes_or_boots(&self, machine: &MachineId) -> BTreeSet<String> {
        let mut why = BTreeSet::new();
        for course in self.courses.values() {
            let reasons = course.now().get(machine.as_str()).into_iter().flatten();
            why.extend(reasons.filter(|reason| reason.clause == Clause::Volume).map(|reason| reason.text.clone()));
        }
        let permits = self.book.state().get(&Key::Permit(machine.clone())).into_iter().flatten();
        why.extend(permits.filter_map(|atom| match atom {
            Atom::MayBoot(server) => Some(format!("a permit of {server} stands")),
            _ => None,
        }));
        why
    }

    /// I10: whoever serves found on its volume every record that a client was told of. One that is behind its bars serves nobody: a start that
    /// froze after it had mounted goes on there when it thaws, however long ago that was.
    pub(super) fn found_all(&mut self, machine: &MachineId, server: &ServerId, at_ns: Ns) {
        if !self.courses.get(server).is_some_and(|course| course.now().contains_key(machine.as_str())) {
            return;
        }
        let (found, told) = (self.mounted.get(machine).copied().unwrap_or(0), self.highest.get(server).copied().unwrap_or(0));
        if found < told {
            let sentence = format!("{machine} serves {server} with {found} records, and clients were told of {told}");
            self.violated("I10", at_ns, server.to_string(), sentence);
        }
    }

    /// The law is broken from now on, if it was not yet.
    fn broken(
        &mut self,
        invariant: &'static str,
        subject: String,
        who: BTreeSet<String>,
        sentence: String,
        by_hand: bool,
        at_ns: Ns,
    ) {
        let key = (invariant, subject.clone());
        match self.breaches.get_mut(&key) {
            None => {
                let told = !by_hand;
                let breach = Breach { from_ns: at_ns, foreign: by_hand, told, who, sentence: sentence.clone() };
                self.breaches.insert(key, breach);
                if told {
                    self.violated(invariant, at_ns, subject, sentence);
                }
            }
            Some(breach) => {
                let more = who.iter().any(|one| !breach.who.contains(one));
                breach.who = who;
                breach.foreign &= by_hand || !more;
                if !breach.told && (!breach.foreign || at_ns.saturating_sub(breach.from_ns) > FOREIGN_OVERLAP_MAX_NS) {
                    breach.told = true;
                    self.violated(invariant, at_ns, subject, sentence);
                }
            }
        }
    }

    /// The law holds.
    fn holds(&mut self, invariant: &'static str, subject: &str, at_ns: Ns) {
        if self.breaches.is_empty() {
            return;
        }
        let Some(breach) = self.breaches.remove(&(invariant, subject.to_owned())) else { return };
        if breach.told {
            return;
        }
        let until_ns = breach.from_ns + FOREIGN_OVERLAP_MAX_NS;
        if at_ns > until_ns {
            self.violated(invariant, until_ns, subject.to_owned(), breach.sentence);
        } else {
            self.by_hand(invariant, subject.to_owned(), breach.from_ns, at_ns, breach.sentence);
        }
    }

    /// Time alone breaks what a foreign hand made and nobody ended.
    pub(super) fn settle(&mut self) {
        let at_ns = self.now_ns().max(self.last_ns);
        let servers: Vec<ServerId> = self.roster.servers.keys().cloned().collect();
        servers.iter().for_each(|server| self.overlaps(server, at_ns));
        let mut due = Vec::new();
        for ((invariant, subject), breach) in &mut self.breaches {
            let until_ns = breach.from_ns + FOREIGN_OVERLAP_MAX_NS;
            if !breach.told && at_ns > until_ns {
                breach.told = true;
                due.push((*invariant, until_ns, subject.clone(), breach.sentence.clone()));
            }
        }
        for (invariant, until_ns, subject, sentence) in due {
            self.violated(invariant, until_ns, subject, sentence);
        }
    }
}

fn told((port, vlans): (&String, &BTreeSet<u16>)) -> String {
    let vlans: Vec<String> = vlans.iter().map(ToString::to_string).collect();
    format!("its port {port} is in VLAN {}", vlans.join(", "))
}
