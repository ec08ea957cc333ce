//! Which x86-64 level a processor has, by its number (CPUID family and model) or by its name.
//! Must never answer for a processor that is not in the tables: a level that is too high would place a server where it cannot run.

/// What a BMC tells of a processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// Vendor's mark or name.
    pub vendor: &'a str,
    /// CPUID family, as the BMC tells it.
    pub family: Option<u32>,
    /// CPUID model, as the BMC tells it.
    pub model: Option<u32>,
    /// The processor's own name.
    pub name: &'a str,
}

/// The level: 1 to 4. The number counts before the name, because names are marketing; but some BMCs tell the family of SMBIOS instead of
/// CPUID's (iLO 5: 107), which is in no row.
pub fn level(told: &Told<'_>) -> Option<u8> {
    by_number(told).or_else(|| by_name(told.name))
}

fn by_number(told: &Told<'_>) -> Option<u8> {
    let (family, model) = (told.family?, told.model?);
    let vendor = told.vendor.to_ascii_lowercase();
    if vendor.contains("intel") && family == 6 {
        return intel(model);
    }
    if vendor.contains("amd") || vendor.contains("advanced micro devices") {
        return amd(family, model);
    }
    None
}

/// Family 6; server parts, whose members of one model are all alike.
fn intel(model: u32) -> Option<u8> {
    match model {
        // Nehalem, Westmere, Sandy Bridge, Ivy Bridge
        0x1a | 0x1e | 0x2e | 0x25 | 0x2c | 0x2f | 0x2d | 0x3e => Some(2),
        // Haswell, Broadwell, Sierra Forest
        0x3f | 0x4f | 0x56 | 0xaf => Some(3),
        // Skylake (Scalable) and its successors, Ice Lake, Sapphire Rapids, Emerald Rapids, Granite Rapids
        0x55 | 0x6a | 0x6c | 0x8f | 0xcf | 0xad | 0xae => Some(4),
        _ => None,
    }
}

fn amd(family: u32, model: u32) -> Option<u8> {
    match (family, model) {
        // Bulldozer and Piledriver; Excavator
        (0x15, 0x00..=0x2f) => Some(2),
        (0x15, 0x60..=0x7f) | (0x17, _) => Some(3),
        // Zen 4 in the family of Zen 3
        (0x19, 0x10..=0x1f | 0x60..=0x7f | 0xa0..=0xaf) => Some(4),
        (0x19, 0x00..=0x0f | 0x20..=0x5f) => Some(3),
        (0x1a, _) => Some(4),
        _ => None,
    }
}

fn by_name(name: &str) -> Option<u8> {
    let plain = name.replace("(R)", " ").replace("(r)", " ").to_ascii_lowercase();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let after = |word: &str| words.iter().position(|one| *one == word).and_then(|at| words.get(at + 1)).copied();
    if let Some(number) = after("epyc") {
        return epyc(number);
    }
    if !words.contains(&"xeon") {
        return None;
    }
    let scalable = ["platinum", "gold", "silver", "bronze"].into_iter().find_map(after);
    // all of the Scalable line, first to fifth generation, have four digits, then a letter or none
    if scalable.is_some_and(|number| number.chars().take_while(char::is_ascii_digit).count() == 4) {
        return Some(4);
    }
    let classic = words.iter().position(|word| ["e5-", "e7-"].iter().any(|line| word.starts_with(line)))?;
    match words.get(classic + 1).copied() {
        Some("v3" | "v4") => Some(3),
        _ => Some(2),
    }
}

/// 7001 to 7003: Zen to Zen 3; four digits that begin with 8 or 9: Zen 4 and 5. The last digit is the generation.
fn epyc(number: &str) -> Option<u8> {
    let digits: Vec<char> = number.chars().take_while(char::is_ascii_alphanumeric).take(4).collect();
    match digits.as_slice() {
        ['7', _, _, '1' | '2' | '3'] => Some(3),
        ['8' | '9', _, _, '4' | '5'] => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(name: &str) -> Option<u8> {
        level(&Told { name, ..Told::default() })
    }

    #[test]
    fn names_of_servers_processors_are_known_and_others_are_not_guessed() {
        assert_eq!(named("AMD EPYC 7763 64-Core Processor                "), Some(3));
        assert_eq!(named("AMD EPYC 7F72 24-Core Processor"), Some(3));
        assert_eq!(named("AMD EPYC 9654 96-Core Processor"), Some(4));
        assert_eq!(named("Intel(R) Xeon(R) Gold 6354 CPU @ 3.00GHz"), Some(4));
        assert_eq!(named("Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz"), Some(3));
        assert_eq!(named("Intel(R) Xeon(R) CPU E5-2690 0 @ 2.90GHz"), Some(2));
        for unknown in
            ["", "QEMU Virtual CPU", "ARMv9", "Xeon", "Intel(R) Xeon(R) 6780E", "Xeon Gold", "EPYC", "EPYC 4564P", "epyc 7"]
        {
            assert_eq!(named(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn numbers_count_before_names_and_smbios_families_count_for_nothing() {
        let of = |vendor, family, model| level(&Told { vendor, family: Some(family), model: Some(model), name: "AMD EPYC 7763" });
        assert_eq!(of("GenuineIntel", 6, 0x6a), Some(4));
        assert_eq!(of("GenuineIntel", 6, 0x2d), Some(2));
        assert_eq!(of("AuthenticAMD", 0x19, 0x11), Some(4));
        assert_eq!(of("Advanced Micro Devices, Inc.", 107, 1), Some(3), "by the name");
        assert_eq!(level(&Told { vendor: "GenuineIntel", family: Some(0x42), model: Some(0x61), name: "" }), None);
    }

    proptest! {
        #[test]
        fn any_text_has_a_level_of_one_to_four_or_none(vendor in ".{0,20}", name in "(Intel|AMD|Xeon|EPYC|Gold|E5-|v3|[0-9]{0,5}| ){0,8}.{0,8}", family: Option<u32>, model: Option<u32>) {
            let told = level(&Told { vendor: &vendor, family, model, name: &name });
            prop_assert!(told.is_none_or(|level| (1..=4).contains(&level)));
        }
    }
}
