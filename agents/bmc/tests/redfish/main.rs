//! The Redfish driver against BMCs on real TLS sockets: scripted servers and replayed trees. What needs a whole simulated BMC
//! is proved one floor up, in bmc-sim.
//! Must never reach further than loopback.

#[cfg(test)]
mod account;
#[cfg(test)]
mod common;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod sushy;
#[cfg(test)]
mod trees;
#[cfg(test)]
mod wire;
