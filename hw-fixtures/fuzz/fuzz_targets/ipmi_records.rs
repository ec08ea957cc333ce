//! Inventory, sensors, log and watchdog over IPMI. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bmc::ipmi::hostile::RECORDS.feed(input));
