//! Which vendors' tables there are: a line a table. Nothing else names one.

use super::apc::Apc;
use super::table::Table;
use serde::Deserialize;

/// The tables: a line a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableName {
    /// Rack units of APC with the rPDU2 tables, switched and metered by outlet.
    ApcRpdu2,
}

impl TableName {
    pub(crate) fn table(self) -> &'static dyn Table {
        match self {
            TableName::ApcRpdu2 => &Apc,
        }
    }
}
