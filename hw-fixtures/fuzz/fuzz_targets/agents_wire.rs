//! What comes over the agents' wire and lies in a gate's file. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| contract::hostile::WIRE.feed(input));
