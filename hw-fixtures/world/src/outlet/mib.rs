//! What an APC rack unit of the rPDU2 kind, switched and metered by outlet, shows of a unit by SNMP: objects and values, without any packet.
//! The objects are those of PowerNet-MIB 4.2.3, by their names there; the index of an outlet is its number, and the unit is the first of its
//! chain. It must never answer for a unit that has no power, nor show anything that the administration does not say.

use super::{Error, OnReturn, Reading, Unit};

/// sysUpTime of SNMPv2-MIB.
const UP_TIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];
/// rPDU2 of PowerNet-MIB: apc.products.hardware.26.
const UNITS: [u32; 10] = [1, 3, 6, 1, 4, 1, 318, 1, 1, 26];
/// rPDU2OutletSwitchedConfigPowerOnTime: never.
const NEVER: i32 = -1;
/// The same: at once. Up to 300 are seconds.
const AT_ONCE: i32 = 0;
const DELAY_MAX_S: i32 = 300;
/// What the table does not know: a value beside those that it documents.
const OTHER: i32 = -2;
/// What the metered table says of what a model does not measure.
const NOT_MEASURED: i32 = -1;
const MAINS_V: u32 = 230;

/// An object's value, or why there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// INTEGER.
    Integer(i32),
    /// DisplayString.
    Text(String),
    /// TimeTicks, 10 ms each.
    Ticks(u32),
    /// There is no such object.
    NoObject,
    /// There is such an object, but not of this index.
    NoInstance,
}

/// Why a SET was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetError {
    /// No such object that can be set.
    NotWritable,
    /// No such outlet.
    NoCreation,
    /// Not an INTEGER.
    WrongType,
    /// An INTEGER that means nothing there.
    WrongValue,
    /// The administration refused.
    General,
    /// The unit has no power: there is no answer at all.
    Dark,
}

/// The unit has no power: there is no answer at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dark;

/// What the model measures by outlet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metered {
    /// Current and power.
    Watts,
    /// Current alone; of the power it says so.
    Amperes,
    /// Nothing: it has no such table.
    Nothing,
}

/// The columns that are shown of an outlet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    /// The index, or the outlet's number.
    Number,
    /// The outlet's name.
    Name,
    /// rPDU2OutletSwitchedConfigPowerOnTime.
    PowerOnTime,
    /// rPDU2OutletSwitchedStatusState: off 1, on 2.
    State,
    /// rPDU2OutletSwitchedStatusCommandPending: pending 1, none 2.
    Pending,
    /// rPDU2OutletSwitchedControlCommand: immediateOn 1, immediateOff 2. The other way round than the state.
    Command,
    /// rPDU2OutletMeteredStatusCurrent, tenths of an ampere.
    Current,
    /// rPDU2OutletMeteredStatusPower, watts.
    Power,
}

/// The tables, by what follows [`UNITS`]; then comes the outlet's number.
const COLUMNS: [([u32; 5], Column); 17] = [
    // rPDU2OutletSwitchedConfigEntry
    ([9, 2, 1, 1, 1], Column::Number),
    ([9, 2, 1, 1, 3], Column::Name),
    ([9, 2, 1, 1, 4], Column::Number),
    ([9, 2, 1, 1, 5], Column::PowerOnTime),
    // rPDU2OutletSwitchedStatusEntry
    ([9, 2, 3, 1, 1], Column::Number),
    ([9, 2, 3, 1, 3], Column::Name),
    ([9, 2, 3, 1, 4], Column::Number),
    ([9, 2, 3, 1, 5], Column::State),
    ([9, 2, 3, 1, 6], Column::Pending),
    // rPDU2OutletSwitchedControlEntry
    ([9, 2, 4, 1, 1], Column::Number),
    ([9, 2, 4, 1, 3], Column::Name),
    ([9, 2, 4, 1, 4], Column::Number),
    ([9, 2, 4, 1, 5], Column::Command),
    // rPDU2OutletMeteredStatusEntry
    ([9, 4, 3, 1, 1], Column::Number),
    ([9, 4, 3, 1, 4], Column::Number),
    ([9, 4, 3, 1, 6], Column::Current),
    ([9, 4, 3, 1, 7], Column::Power),
];

/// The part of a column's place that only a model with meters has.
const METERS: [u32; 2] = [9, 4];

/// What is shown of the unit itself.
const SCALARS: [(&[u32], Scalar); 6] = [
    // rPDU2IdentTableSize
    (&[1, 0], Scalar::One),
    // rPDU2IdentName, rPDU2IdentSerialNumber
    (&[2, 1, 3, 1], Scalar::Name),
    (&[2, 1, 9, 1], Scalar::Serial),
    // rPDU2DevicePropertiesNumOutlets
    (&[4, 2, 1, 4, 1], Scalar::Outlets),
    // rPDU2OutletSwitchedTableSize, rPDU2OutletMeteredTableSize
    (&[9, 1, 0], Scalar::Outlets),
    (&[9, 3, 0], Scalar::Meters),
];

#[derive(Clone, Copy)]
enum Scalar {
    One,
    Name,
    Serial,
    Outlets,
    Meters,
}

/// What an object identifier means here.
enum Meant {
    UpTime,
    Scalar(Scalar),
    Outlet(Column, u16),
    NoInstance,
    Nothing,
}

/// The objects of one unit. Clones are the same.
#[derive(Clone, Debug)]
pub struct Mib {
    unit: Unit,
    metered: Metered,
}

fn place(tail: &[u32]) -> Vec<u32> {
    UNITS.iter().chain(tail).copied().collect()
}

impl Mib {
    /// Those of this unit, a model that measures watts.
    pub fn of(unit: Unit) -> Mib {
        Mib { unit, metered: Metered::Watts }
    }

    /// The same of a model that measures this.
    pub fn measuring(self, metered: Metered) -> Mib {
        Mib { metered, ..self }
    }

    /// The unit.
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// Every object that can be had now, in their order.
    pub fn objects(&self) -> Vec<Vec<u32>> {
        let shown = |tail: &[u32]| self.metered != Metered::Nothing || !tail.starts_with(&METERS);
        let outlets = self.unit.outlets();
        let column = |(tail, _): &([u32; 5], Column)| {
            outlets.iter().map(|number| place(tail).into_iter().chain([u32::from(*number)]).collect()).collect::<Vec<_>>()
        };
        let columns = COLUMNS.iter().filter(|(tail, _)| shown(tail)).flat_map(column);
        let scalars = SCALARS.iter().map(|(tail, _)| place(tail));
        let mut all: Vec<Vec<u32>> = columns.chain(scalars).chain([UP_TIME.to_vec()]).collect();
        all.sort();
        all
    }

    fn meant(&self, oid: &[u32]) -> Meant {
        if oid == UP_TIME {
            return Meant::UpTime;
        }
        let Some(tail) = oid.strip_prefix(&UNITS) else { return Meant::Nothing };
        if let Some((_, scalar)) = SCALARS.iter().find(|(place, _)| *place == tail) {
            return Meant::Scalar(*scalar);
        }
        if self.metered == Metered::Nothing && tail.starts_with(&METERS) {
            return Meant::Nothing;
        }
        let Some((column, index)) = COLUMNS.iter().find_map(|(place, column)| Some((*column, tail.strip_prefix(place)?))) else {
            return Meant::Nothing;
        };
        match index {
            [number] => u16::try_from(*number).map_or(Meant::NoInstance, |number| Meant::Outlet(column, number)),
            _ => Meant::NoInstance,
        }
    }

    /// A GET of one object.
    pub async fn get(&self, oid: &[u32]) -> Result<Value, Dark> {
        if !self.unit.has_feed() {
            return Err(Dark);
        }
        let count = i32::try_from(self.unit.outlets().len()).unwrap_or(i32::MAX);
        let (column, number) = match self.meant(oid) {
            Meant::Nothing => return Ok(Value::NoObject),
            Meant::NoInstance => return Ok(Value::NoInstance),
            // it begins again after 497 days, as the real one
            Meant::UpTime => return Ok(Value::Ticks((self.unit.uptime().as_millis() / 10) as u32)),
            Meant::Scalar(Scalar::One) => return Ok(Value::Integer(1)),
            Meant::Scalar(Scalar::Name) => return Ok(Value::Text(self.unit.name().to_owned())),
            Meant::Scalar(Scalar::Serial) => return Ok(Value::Text(self.unit.serial().to_owned())),
            Meant::Scalar(Scalar::Outlets) => return Ok(Value::Integer(count)),
            Meant::Scalar(Scalar::Meters) => {
                return Ok(Value::Integer(if self.metered == Metered::Nothing { 0 } else { count }));
            }
            Meant::Outlet(column, number) => (column, number),
        };
        match self.unit.read(number).await {
            Ok(reading) => Ok(self.shown(column, number, reading)),
            Err(Error::Dark) => Err(Dark),
            Err(Error::NoOutlet | Error::Refused) => Ok(Value::NoInstance),
        }
    }

    fn shown(&self, column: Column, number: u16, reading: Reading) -> Value {
        Value::Integer(match column {
            Column::Name => return Value::Text(format!("Outlet {number}")),
            Column::Number => i32::from(number),
            Column::PowerOnTime => match reading.on_return {
                OnReturn::StaysOff => NEVER,
                OnReturn::GoesOn => AT_ONCE,
                OnReturn::AsBefore => OTHER,
            },
            Column::State => 1 + i32::from(reading.on),
            Column::Pending => 2 - i32::from(reading.switching),
            Column::Command => 2 - i32::from(reading.on),
            Column::Current => i32::try_from(reading.watts.saturating_mul(10) / MAINS_V).unwrap_or(i32::MAX),
            Column::Power if self.metered == Metered::Watts => i32::try_from(reading.watts).unwrap_or(i32::MAX),
            Column::Power => NOT_MEASURED,
        })
    }

    /// A SET of one object.
    pub async fn set(&self, oid: &[u32], value: &Value) -> Result<(), SetError> {
        if !self.unit.has_feed() {
            return Err(SetError::Dark);
        }
        let Meant::Outlet(column @ (Column::Command | Column::PowerOnTime), number) = self.meant(oid) else {
            return Err(SetError::NotWritable);
        };
        let Value::Integer(value) = value else { return Err(SetError::WrongType) };
        let done = match (column, *value) {
            (Column::Command, 1) => self.unit.switch(number, true).await,
            (Column::Command, 2) => self.unit.switch(number, false).await,
            (Column::PowerOnTime, NEVER) => self.unit.set_on_return(number, OnReturn::StaysOff).await,
            (Column::PowerOnTime, AT_ONCE..=DELAY_MAX_S) => self.unit.set_on_return(number, OnReturn::GoesOn).await,
            _ => return Err(SetError::WrongValue),
        };
        done.map_err(|error| match error {
            Error::NoOutlet => SetError::NoCreation,
            Error::Refused => SetError::General,
            Error::Dark => SetError::Dark,
        })
    }
}
