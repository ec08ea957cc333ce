//! The Redfish and IPMI drivers against simulated BMCs on real sockets, every quirk in turn, and the contract's own suite.
//! It lives here because the simulator lies above the driver. Must never reach further than loopback.

#[cfg(test)]
mod common;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod discover;
#[cfg(test)]
mod events;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hands;
#[cfg(test)]
mod happy;
#[cfg(test)]
mod ipmi;
#[cfg(test)]
mod ipmi_common;
#[cfg(test)]
mod ipmi_conformance;
#[cfg(test)]
mod ipmi_survey;
#[cfg(test)]
mod redfish_survey;
#[cfg(test)]
mod watching;
