//! What one packet of IPMI holds, and a payload of the handshake. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bmc::ipmi::hostile::PACKETS.feed(input));
