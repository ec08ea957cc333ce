//! How many worlds a property is tried in. It decides nothing else.

/// A hundred or so in every run; `PROPTEST_CASES` asks for more.
#[expect(clippy::disallowed_methods, reason = "the ban is for the core; a test asks how long it may run")]
pub fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(128)
}
