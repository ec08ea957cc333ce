//! What is known of single platforms: the chassis that is the host's power rail, and what they do otherwise than the standard. Decided
//! once per platform and firmware, asked by name.
//! Must never be asked for a vendor's name: the rest of the driver asks only the named questions below. Must never guess a host rail:
//! a platform without a record of its own has none, and its power proof is weak.

use std::fmt;

/// Who the BMC says it is. Only this table reads it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Platform {
    /// Vendor as the service root tells it.
    pub vendor: String,
    /// Product as the service root tells it.
    pub product: String,
    /// Manufacturer as the system tells it.
    pub manufacturer: String,
    /// Model as the system tells it.
    pub model: String,
    /// Model of the manager.
    pub manager: String,
    /// Firmware of the manager.
    pub firmware: String,
}

/// The answers for one platform. The default is a BMC that keeps to the standard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quirks {
    host_rail: Option<&'static str>,
    refuses_if_match: bool,
    takes_boot_override_at_settings: bool,
    restore_attribute: Option<RestoreAttribute>,
}

/// A BIOS attribute that is the restore policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestoreAttribute {
    /// Its name.
    pub name: &'static str,
    /// Its value for "stays off".
    pub off: &'static str,
}

impl Quirks {
    /// The Id of the chassis whose power state is the host's rail: the second source of a strong power proof. `None` where nobody has
    /// seen on this platform that it falls with the host's power, and only then: a linked chassis may be an enclosure or a board of
    /// the BMC itself.
    pub fn host_rail(self) -> Option<&'static str> {
        self.host_rail
    }
    /// A PATCH with If-Match fails although the ETag is the present one: it is sent without.
    pub fn refuses_if_match(self) -> bool {
        self.refuses_if_match
    }
    /// The boot override is written to the resource that `@Redfish.Settings` names, and read back there.
    pub fn takes_boot_override_at_settings(self) -> bool {
        self.takes_boot_override_at_settings
    }
    /// The BIOS attribute that is the restore policy where the system tells none.
    pub fn restore_attribute(self) -> Option<RestoreAttribute> {
        self.restore_attribute
    }
}

/// One class of devices and what they do otherwise.
struct Row {
    /// For logs and for people.
    name: &'static str,
    applies: fn(&Platform) -> bool,
    /// Adds its quirks to those of the rows above.
    adds: fn(&mut Quirks),
}

static TABLE: &[Row] = &[
    // The laboratory: its one chassis follows the machine's process, and Off means that the process was reaped.
    Row {
        name: "laboratory",
        applies: |p| p.product == "bmc-sim" && p.manager == "bmc-sim",
        adds: |q| q.host_rail = Some("Enclosure-1"),
    },
    // OpenBMC: its ETags change with readings that are not settings, so a PATCH with If-Match meets 412 at random. No host rail: the
    // boards that carry it link systems to anything, some to the board that the BMC itself runs on, which is on while the host is off.
    Row { name: "OpenBMC", applies: |p| p.manager.eq_ignore_ascii_case("OpenBmc"), adds: |q| q.refuses_if_match = true },
    // AMI MegaRAC and the boards that carry it: boot overrides are taken only at the settings resource (`.../SD`).
    Row {
        name: "MegaRAC",
        applies: |p| p.vendor.eq_ignore_ascii_case("AMI") || p.vendor.eq_ignore_ascii_case("ASRockRack"),
        adds: |q| q.takes_boot_override_at_settings = true,
    },
    // Dell PowerEdge: the restore policy is a BIOS attribute alone, with the values Off, On, Last (Dell's reference guides of BIOS
    // attributes, "AC Power Recovery").
    Row {
        name: "iDRAC",
        applies: |p| p.vendor.eq_ignore_ascii_case("Dell"),
        adds: |q| q.restore_attribute = Some(RestoreAttribute { name: "AcPwrRcvry", off: "Off" }),
    },
    // HPE ProLiant: the same, with the values AlwaysPowerOn, AlwaysPowerOff, RestoreLastState (HPE's resource definitions of iLO 5 and 6,
    // Bios, "Automatic Power-On").
    Row {
        name: "iLO",
        applies: |p| p.vendor.eq_ignore_ascii_case("HPE"),
        adds: |q| q.restore_attribute = Some(RestoreAttribute { name: "AutoPowerOn", off: "AlwaysPowerOff" }),
    },
];

impl Platform {
    /// Decides the quirks; asked once per session.
    pub fn quirks(&self) -> Quirks {
        let mut quirks = Quirks::default();
        for row in self.rows() {
            tracing::debug!(record = row.name, platform = %self, "platform known");
            (row.adds)(&mut quirks);
        }
        quirks
    }

    /// The names of the records that apply, for people.
    pub fn records(&self) -> Vec<String> {
        self.rows().map(|row| row.name.to_owned()).collect()
    }

    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        TABLE.iter().filter(move |row| (row.applies)(self))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.manufacturer, &self.model, &self.manager, &self.firmware];
        let told: Vec<&str> = parts.into_iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        if told.is_empty() { f.write_str("unknown platform") } else { f.write_str(&told.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_platform_keeps_to_the_standard() {
        let unknown = Platform { vendor: "Nobody".into(), manager: "X".into(), ..Platform::default() };
        assert_eq!(unknown.quirks(), Quirks::default());
        assert_eq!(Platform::default().quirks(), Quirks::default());
        assert!(unknown.records().is_empty());
    }

    #[test]
    fn rows_add_up() {
        let board = Platform { vendor: "AMI".into(), manager: "OpenBMC".into(), ..Platform::default() };
        assert!(board.quirks().refuses_if_match() && board.quirks().takes_boot_override_at_settings());
        assert_eq!(board.records(), ["OpenBMC", "MegaRAC"]);
        assert!(!Platform { vendor: "AMI".into(), ..Platform::default() }.quirks().refuses_if_match());
    }

    #[test]
    fn attributes_are_known_of_named_platforms_alone() {
        let of = |vendor: &str| {
            let known = Platform { vendor: vendor.into(), ..Platform::default() }.quirks().restore_attribute();
            known.map(|attribute| attribute.name)
        };
        assert_eq!((of("Dell"), of("HPE"), of("Nobody"), of("")), (Some("AcPwrRcvry"), Some("AutoPowerOn"), None, None));
    }

    #[test]
    fn only_a_platform_of_the_table_has_a_host_rail() {
        let lab = Platform { product: "bmc-sim".into(), manager: "bmc-sim".into(), ..Platform::default() };
        assert_eq!(lab.quirks().host_rail(), Some("Enclosure-1"));
        let tray = Platform {
            vendor: "NVIDIA".into(),
            manager: "OpenBmc".into(),
            firmware: "GH200-24.05-2".into(),
            ..Platform::default()
        };
        let half = Platform { product: "bmc-sim".into(), manager: "X".into(), ..Platform::default() };
        for without in [Platform::default(), tray, half] {
            assert_eq!(without.quirks().host_rail(), None, "{without}");
        }
    }
}
