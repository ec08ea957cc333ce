//! The power of the unit itself: without it every relay is open and nobody answers; when it is back, each outlet does what it was told to do
//! then. Must never bring back a switching that was still to come.

use super::{OnReturn, Plug, Unit};
use crate::clock;

impl Unit {
    /// True while the unit itself has power.
    pub fn has_feed(&self) -> bool {
        self.state().fed
    }

    /// How long it runs since its power last came.
    pub fn uptime(&self) -> std::time::Duration {
        clock::since(self.state().since)
    }

    /// The unit loses its power, or gets it back. False if it was so already.
    pub fn feed(&self, on: bool) -> bool {
        if on { self.returns() } else { self.goes_dark() }
    }

    fn goes_dark(&self) -> bool {
        let dead: Vec<Plug> = {
            let mut state = self.state();
            if !std::mem::replace(&mut state.fed, false) {
                return false;
            }
            state.losses += 1;
            let mut dead = Vec::new();
            for outlet in state.outlets.values_mut() {
                outlet.coming = None;
                outlet.meter = None;
                outlet.before = std::mem::replace(&mut outlet.relay, false);
                dead.extend(outlet.plug.clone().filter(|_| outlet.before));
            }
            dead
        };
        for Plug { load, supply } in dead {
            load.fed(supply, false);
        }
        true
    }

    fn returns(&self) -> bool {
        let live: Vec<Plug> = {
            let mut state = self.state();
            if std::mem::replace(&mut state.fed, true) {
                return false;
            }
            state.since = clock::now();
            let mut live = Vec::new();
            for outlet in state.outlets.values_mut() {
                outlet.relay = match outlet.on_return {
                    OnReturn::StaysOff => false,
                    OnReturn::GoesOn => true,
                    OnReturn::AsBefore => outlet.before,
                };
                outlet.wish = outlet.relay;
                outlet.return_wish = outlet.on_return;
                live.extend(outlet.plug.clone().filter(|_| outlet.relay));
            }
            live
        };
        for Plug { load, supply } in live {
            load.fed(supply, true);
        }
        true
    }
}
