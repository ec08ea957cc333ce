//! DHCP, to the answer. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| boot::hostile::DHCP.feed(input));
