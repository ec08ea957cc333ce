//! Deeds done to outlets: by an administrator at their units, who is told what the units say. Must never move a relay past its unit but to end
//! all mishaps.

use super::Play;
use crate::deed::{Cords, ToOutlet};
use crate::mains::Socket;
use std::time::Duration;
use vocabulary::MachineId;
use world::outlet::Error;

fn there(is_there: bool) -> Result<(), String> {
    if is_there { Ok(()) } else { Err(Error::NoOutlet.to_string()) }
}

/// How long an administrator waits for a unit's answer.
const ANSWER: Duration = Duration::from_secs(5);

impl Play {
    /// What is done to several outlets is done to one after the other; false if one of them said no, or nothing.
    pub(super) async fn strike_outlet(&mut self, cords: &Cords, what: ToOutlet) -> bool {
        let Some(stand) = self.site.stands.get(&cords.machine) else { return false };
        let meant = |place: &usize| cords.supply.is_none_or(|supply| usize::from(supply) == *place);
        let meant: Vec<Socket> =
            (1..).zip(&stand.sockets).filter(|(place, _)| meant(place)).map(|(_, socket)| socket.clone()).collect();
        let mut done = !meant.is_empty();
        for Socket { unit, number } in meant {
            let said = match what {
                ToOutlet::On | ToOutlet::Off => {
                    let switching = unit.switch(number, what == ToOutlet::On);
                    let said = tokio::time::timeout(ANSWER, switching).await;
                    said.map_or(Err("no answer yet".to_owned()), |said| said.map_err(|error| error.to_string()))
                }
                ToOutlet::Takes(time) => there(unit.takes(number, time)),
                ToOutlet::Has(quirk) => there(unit.has(number, quirk)),
                ToOutlet::Well => there(unit.well(number)),
            };
            if let Err(why) = said {
                self.tell(format!("{} {number}: {why}", unit.name()));
                done = false;
            }
        }
        done
    }

    /// A person puts right all outlets of a machine, and switches them on.
    pub(super) fn light(&self, machine: &MachineId) {
        for Socket { unit, number } in self.site.stands.get(machine).into_iter().flat_map(|stand| &stand.sockets) {
            // it is there: the machine hangs at it
            let _ = unit.well(*number) && unit.by_hand(*number, true);
        }
    }
}
