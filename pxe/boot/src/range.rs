//! Which part of a file a `Range` header asks for (RFC 9110, 14). Pure and total.

/// What is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The whole file: no range, or one that this service does not understand, which the RFC says to ignore.
    All,
    /// From `start` up to but not including `end`.
    Part {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// Nothing of the file lies there.
    Impossible,
}

/// Reads the header against a file of this length. Several ranges at once are answered with the whole file.
pub fn wanted(header: Option<&str>, length: u64) -> Wanted {
    let Some((first, last)) = header.and_then(|text| text.trim().strip_prefix("bytes=")).and_then(|text| text.split_once('-'))
    else {
        return Wanted::All;
    };
    let part = |start: u64, end: u64| if start < end { Wanted::Part { start, end } } else { Wanted::Impossible };
    match (first.trim(), last.trim()) {
        ("", suffix) => suffix.parse::<u64>().map_or(Wanted::All, |count| part(length.saturating_sub(count), length)),
        (first, "") => first.parse().map_or(Wanted::All, |start| part(start, length)),
        (first, last) => match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(start), Ok(last)) if start <= last => part(start, last.saturating_add(1).min(length)),
            _ => Wanted::All,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_as_the_rfc_says() {
        let part = |start, end| Wanted::Part { start, end };
        for (header, expected) in [
            (None, Wanted::All),
            (Some("bytes=0-99"), part(0, 100)),
            (Some("bytes=10-"), part(10, 1000)),
            (Some("bytes=-10"), part(990, 1000)),
            (Some("bytes=-5000"), part(0, 1000)),
            (Some("bytes=990-5000"), part(990, 1000)),
            (Some("bytes=1000-"), Wanted::Impossible),
            (Some("bytes=-0"), Wanted::Impossible),
            (Some("bytes=9-1"), Wanted::All),
            (Some("bytes=0-1,5-6"), Wanted::All),
            (Some("lines=0-1"), Wanted::All),
        ] {
            assert_eq!(wanted(header, 1000), expected, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(text in "(bytes=)?[0-9]{0,20}-?[0-9]{0,20}", length in any::<u64>()) {
            if let Wanted::Part { start, end } = wanted(Some(&text), length) {
                prop_assert!(start < end && end <= length);
            }
        }
    }
}
