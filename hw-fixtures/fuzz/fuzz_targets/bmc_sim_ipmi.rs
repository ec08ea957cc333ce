//! The simulator's side of IPMI. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bmc_sim::hostile::PORT.feed(input));
