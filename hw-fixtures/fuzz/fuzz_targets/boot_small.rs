//! TFTP, router solicitations, ranges, tokens. Must never do anything but feed the group.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| boot::hostile::SMALL.feed(input));
