//! What operators do to documents, as data. Must never tell of a change that the controller has taken up: that is its own business.

use std::fmt;
use vocabulary::MachineId;

/// A change of the documents. It lies there until the controller is started the next time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Edit {
    /// Another owner and another contact for every group: nothing moves.
    Contacts,
    /// A machine's last NIC is said to end at another port, of the same switch: what its bars and grants are about.
    Cabling(MachineId),
    /// Everything is as it was at this world's begin.
    Back,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Contacts => f.write_str("contacts"),
            Edit::Cabling(machine) => write!(f, "cabling {machine}"),
            Edit::Back => f.write_str("back"),
        }
    }
}

/// What was written.
pub(super) fn read(words: &[&str]) -> Option<Edit> {
    Some(match words {
        ["contacts"] => Edit::Contacts,
        ["cabling", machine] => Edit::Cabling(machine.parse().ok()?),
        ["back"] => Edit::Back,
        _ => return None,
    })
}
