//! What single platforms do otherwise than the standard, decided once per platform and firmware, asked by name.
//! Must never be asked for a vendor's name: the rest of the driver asks only the named questions below.

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
    linked_chassis_is_not_the_host_rail: bool,
    refuses_if_match: bool,
    takes_boot_override_at_settings: bool,
}

impl Quirks {
    /// The chassis that the system links to is something else than the host's power rail (a board of the BMC itself, say): it is no
    /// second source of the host's power.
    pub fn linked_chassis_is_not_the_host_rail(self) -> bool {
        self.linked_chassis_is_not_the_host_rail
    }
    /// A PATCH with If-Match fails although the ETag is the present one: it is sent without.
    pub fn refuses_if_match(self) -> bool {
        self.refuses_if_match
    }
    /// The boot override is written to the resource that `@Redfish.Settings` names, and read back there.
    pub fn takes_boot_override_at_settings(self) -> bool {
        self.takes_boot_override_at_settings
    }
}

/// One class of devices and what they do otherwise.
struct Row {
    applies: fn(&Platform) -> bool,
    /// Adds its quirks to those of the rows above.
    adds: fn(&mut Quirks),
}

const TABLE: [Row; 3] = [
    // OpenBMC: its ETags change with readings that are not settings, so a PATCH with If-Match meets 412 at random.
    Row { applies: |p| p.manager.eq_ignore_ascii_case("OpenBmc"), adds: |q| q.refuses_if_match = true },
    // NVIDIA GH200 trays: the host system links to chassis BMC_0, the board that the BMC itself runs on; it is on while the host is off.
    Row {
        applies: |p| p.vendor.eq_ignore_ascii_case("NVIDIA") && p.firmware.starts_with("GH200"),
        adds: |q| q.linked_chassis_is_not_the_host_rail = true,
    },
    // AMI MegaRAC and the boards that carry it: boot overrides are taken only at the settings resource (`.../SD`).
    Row {
        applies: |p| p.vendor.eq_ignore_ascii_case("AMI") || p.vendor.eq_ignore_ascii_case("ASRockRack"),
        adds: |q| q.takes_boot_override_at_settings = true,
    },
];

impl Platform {
    /// Decides the quirks; asked once per session.
    pub fn quirks(&self) -> Quirks {
        let mut quirks = Quirks::default();
        for row in TABLE.iter().filter(|row| (row.applies)(self)) {
            (row.adds)(&mut quirks);
        }
        quirks
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
    }

    #[test]
    fn rows_add_up() {
        let tray = Platform {
            vendor: "NVIDIA".into(),
            manager: "OpenBmc".into(),
            firmware: "GH200-24.05-2".into(),
            ..Platform::default()
        };
        assert!(tray.quirks().linked_chassis_is_not_the_host_rail() && tray.quirks().refuses_if_match());
        assert!(!tray.quirks().takes_boot_override_at_settings());
        let plain = Platform { manager: "OpenBMC".into(), ..Platform::default() };
        assert!(!plain.quirks().linked_chassis_is_not_the_host_rail() && plain.quirks().refuses_if_match());
        let megarac = Platform { vendor: "AMI".into(), ..Platform::default() };
        assert!(megarac.quirks().takes_boot_override_at_settings());
    }
}
