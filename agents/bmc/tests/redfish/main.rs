//! The Redfish driver against BMCs on real TLS sockets: the simulator, scripted servers, replayed trees, the contract's own suite.
//! Must never reach further than loopback.

#[cfg(test)]
mod common;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod happy;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod trees;
#[cfg(test)]
mod wire;
