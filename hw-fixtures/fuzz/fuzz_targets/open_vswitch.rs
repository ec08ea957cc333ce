//! What the three sockets of Open vSwitch answer. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| switch::open_vswitch::hostile::ANSWERS.feed(input));
