//! Is the box behind the address the machine that is meant?
//! Must never answer yes for a box that tells nothing about itself, or that contradicts the estate in anything it tells.

use vocabulary::power::Identity;

use super::trouble::Trouble;

/// How what a system tells compares with what is expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Likeness {
    /// UUID or serial agrees and neither contradicts.
    Same,
    /// Something it tells contradicts.
    Other,
    /// It tells nothing that could be compared.
    Untold,
}

/// Compares; both in the form of [`super::view::told`].
pub fn likeness(expected: &Identity, told: &Identity) -> Likeness {
    let pairs = [(&expected.uuid, &told.uuid), (&expected.serial, &told.serial)];
    let comparable = || pairs.iter().filter(|(expected, told)| !expected.is_empty() && !told.is_empty());
    if comparable().any(|(expected, told)| expected != told) {
        Likeness::Other
    } else if comparable().next().is_none() {
        Likeness::Untold
    } else {
        Likeness::Same
    }
}

/// Refuses everything but [`Likeness::Same`].
pub fn check(expected: &Identity, told: &Identity) -> Result<(), Trouble> {
    match likeness(expected, told) {
        Likeness::Same => Ok(()),
        Likeness::Other => Err(Trouble::Identity(format!(
            "the box behind this address is {}, expected is {}; check cabling and address of the machine's `bmc`",
            shown(told),
            shown(expected)
        ))),
        Likeness::Untold => Err(Trouble::Identity(format!(
            "the box behind this address tells neither UUID nor serial ({}), expected is {}; nothing is sent to a box that may be another",
            shown(told),
            shown(expected)
        ))),
    }
}

/// For people.
pub fn shown(identity: &Identity) -> String {
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    format!("serial {}, UUID {}", or_none(&identity.serial), or_none(&identity.uuid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(uuid: &str, serial: &str) -> Identity {
        Identity { uuid: uuid.into(), serial: serial.into() }
    }

    #[test]
    fn one_agreement_and_no_contradiction() {
        let expected = of("u1", "s1");
        for (uuid, serial, likeness_expected) in [
            ("u1", "s1", Likeness::Same),
            ("u1", "", Likeness::Same),
            ("", "s1", Likeness::Same),
            ("u1", "s2", Likeness::Other),
            ("u2", "s1", Likeness::Other),
            ("u2", "", Likeness::Other),
            ("", "", Likeness::Untold),
        ] {
            assert_eq!(likeness(&expected, &of(uuid, serial)), likeness_expected, "{uuid} {serial}");
        }
        assert_eq!(likeness(&of("", ""), &of("u1", "s1")), Likeness::Untold);
        assert_eq!(likeness(&of("u1", ""), &of("", "s1")), Likeness::Untold);
    }

    proptest! {
        #[test]
        fn nothing_is_the_same_as_nothing(uuid in "[a-c]{0,2}", serial in "[a-c]{0,2}", uuid2 in "[a-c]{0,2}", serial2 in "[a-c]{0,2}") {
            let (expected, told) = (of(&uuid, &serial), of(&uuid2, &serial2));
            let same = check(&expected, &told).is_ok();
            let uuid_agrees = !uuid.is_empty() && uuid == uuid2;
            let serial_agrees = !serial.is_empty() && serial == serial2;
            prop_assert!(!same || uuid_agrees || serial_agrees);
            prop_assert!(same || !(uuid_agrees && serial_agrees));
        }
    }
}
