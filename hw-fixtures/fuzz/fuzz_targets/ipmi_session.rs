//! A whole session over IPMI, by a script. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bmc::ipmi::hostile::SESSION.feed(input));
