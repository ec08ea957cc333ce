//! The fault codes of the estate. Each has a page in controller/docs/faults; a code once published never changes its meaning.

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = Code($number:literal)),+ $(,)?) => {
        $($(#[$doc])+ pub const $name: u16 = $number;)+
        /// Every code of this crate.
        pub const ALL: &[u16] = &[$($number),+];
    };
}

codes! {
    /// A file or folder of the estate cannot be read.
    UNREADABLE = Code(1),
    /// A file is not YAML as an estate uses it.
    NOT_YAML = Code(2),
    /// A document does not begin with a known kind.
    KIND = Code(3),
    /// A document's name is not a name.
    NAME = Code(4),
    /// A field that its kind does not have.
    UNKNOWN_FIELD = Code(5),
    /// A field that must be there is missing.
    MISSING_FIELD = Code(6),
    /// A value that cannot be understood.
    BAD_VALUE = Code(7),
    /// A key stands twice in one mapping.
    DUPLICATE_KEY = Code(8),
    /// Two documents of one kind have one name.
    DUPLICATE_DOCUMENT = Code(9),
    /// The estate document is missing, or there are two.
    ESTATE_DOCUMENT = Code(10),
    /// A reference to something that does not exist.
    DANGLING = Code(11),
    /// Two NICs are cabled to one port.
    PORT_TWICE = Code(12),
    /// A MAC address stands twice, or cannot be a NIC's.
    MAC = Code(13),
    /// A serial or UUID stands twice, or identifies nothing.
    IDENTITY = Code(14),
    /// Addresses are doubled or overlap.
    ADDRESS = Code(15),
    /// A VLAN with a meaning for Understudy is used for something else.
    VLAN = Code(16),
    /// A volume is used in a way that lets two write.
    VOLUME = Code(17),
    /// No machine fits a server.
    NO_FIT = Code(18),
    /// A server's home does not fit it.
    HOME_UNFIT = Code(19),
    /// A machine can reach no proof set.
    NO_PROOF = Code(20),
    /// A machine can reach only one proof set.
    ONE_PROOF = Code(21),
    /// The controller depends on a server that it manages.
    LOOP = Code(22),
    /// Server, image and firmware do not agree on how to boot.
    IMAGE = Code(23),
    /// A server's health checks cannot tell whether it answers.
    CHECKS = Code(24),
    /// Groups wait for each other in a circle.
    CYCLE = Code(25),
    /// Two servers have one home.
    HOME_TWICE = Code(26),
    /// A machine is promised twice: as a home and as a spare, or in two pools.
    SPARE_TWICE = Code(27),
    /// A number or text out of its range.
    RANGE = Code(28),
    /// A setting that only a lab may use.
    LAB_ONLY = Code(29),
    /// A profile that lacks what every server needs.
    PROFILE = Code(30),
    /// No spare fits a server.
    NO_SPARE = Code(31),
    /// A secret cannot be had.
    SECRET = Code(32),
    /// A secret's file can be read by everyone.
    SECRET_OPEN = Code(33),
    /// `estate init` was pointed at a folder that is not empty.
    INIT_NOT_EMPTY = Code(34),
    /// `estate init` could not write.
    INIT_FAILED = Code(35),
    /// Two devices share an agent.
    AGENT_TWICE = Code(36),
    /// Two machines share a BMC address.
    BMC_TWICE = Code(37),
    /// A machine that is neither a home nor a spare.
    IDLE = Code(38),
    /// No canary: the controller cannot tell whether it is the isolated one.
    NO_CANARY = Code(39),
    /// More complaints than are told.
    TOO_MANY = Code(40),
    /// Two power supplies hang at one outlet.
    OUTLET_TWICE = Code(41),
}

/// A kind of volume that no storage driver can move safely yet. A code of the core, which refuses to move such a server; here it is told
/// before anything is placed.
pub const UNMOVABLE: u16 = 404;

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The catalogue's share of the F00nn codes; the CLI's begin above it.
    const OURS: std::ops::RangeInclusive<u16> = 1..=49;

    fn pages() -> BTreeSet<u16> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../controller/docs/faults");
        std::fs::read_dir(folder)
            .expect("the folder of fault pages")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix('F')?.strip_suffix(".md")?.parse().ok())
            .filter(|code| OURS.contains(code))
            .collect()
    }

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let codes: BTreeSet<u16> = ALL.iter().copied().collect();
        assert_eq!(codes.len(), ALL.len(), "a code stands twice");
        assert_eq!(pages(), codes);
    }

    #[test]
    fn every_page_says_what_shows_an_example_and_says_what_to_do() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../controller/docs/faults");
        for code in ALL {
            let page = std::fs::read_to_string(folder.join(format!("F{code:04}.md"))).expect("a page");
            assert!(page.starts_with(&format!("# F{code:04}: ")), "F{code:04}: the title names the code");
            for part in ["## Example", "## What to do"] {
                assert!(page.contains(part), "F{code:04} lacks `{part}`");
            }
        }
    }
}
