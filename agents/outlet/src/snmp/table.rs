//! What the driver must know of a vendor's table. A table names objects and says what their values mean; it must never ask for anything.

use super::talk::{Oid, Value};
use crate::unit::Row;

/// A vendor's table.
pub trait Table: Send + Sync {
    /// Everything that one GET asks for to tell about an outlet; few enough for one packet.
    fn asked(&self, outlet: u16) -> Vec<Oid>;
    /// What the values mean, which are in the order of the objects asked for. A value that is missing or not understood is unknown.
    fn row(&self, outlet: u16, values: &[Value]) -> Row;
    /// The SET by which an outlet stays off when the unit gets power back.
    fn to_stay_off(&self, outlet: u16) -> (Oid, Value);
    /// The SET by which it goes on then.
    fn to_return(&self, outlet: u16) -> (Oid, Value);
    /// The SET that switches it off at once.
    fn to_go_off(&self, outlet: u16) -> (Oid, Value);
    /// The SET that switches it on at once.
    fn to_go_on(&self, outlet: u16) -> (Oid, Value);
}
