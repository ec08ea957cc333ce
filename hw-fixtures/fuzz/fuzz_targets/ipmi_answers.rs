//! The data of answers over IPMI. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bmc::ipmi::hostile::ANSWERS.feed(input));
