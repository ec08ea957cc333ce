//! What a BMC answers over Redfish. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bmc::hostile_redfish::DOCUMENTS.feed(input));
