//! The inventory as a driver asks for it: the texts of its areas, and the serial number as the mark of a machine that has no usable GUID.
//! Must never answer with a serial number that was not read on the session that is asked about.

use std::ops::Range;
use std::sync::PoisonError;

use super::fault::Fault;
use super::fru::{self, Area, Reader, Size, Texts};
use super::{Ipmi, Trouble, identity};
use crate::driver::Fact;
use crate::limits;

/// What is known of a BMC's inventory: only where things lie, never what they are.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Bytes that it gives at once, where it was found to give fewer than it was asked for.
    piece: Option<usize>,
    /// Where the serial number lies.
    serial: Option<(Size, Range<usize>)>,
}

impl Ipmi {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stretch(&self, size: Size, stretch: Range<usize>, on: u64) -> Result<Vec<u8>, Trouble> {
        let piece = self.known().piece.unwrap_or(limits::IPMI_PIECE);
        let mut reader = Reader::over(size, stretch, piece);
        for _ in 0..limits::INVENTORY_QUESTIONS_MAX {
            let Some(question) = reader.ask() else {
                let (bytes, piece) = reader.done();
                self.known().piece = Some(piece);
                return Ok(bytes);
            };
            reader.take(&self.line.ask(question, Some(on)).await?.reply)?;
        }
        Err(Fault::Nonsense("an inventory in crumbs").into())
    }

    async fn size(&self, on: u64) -> Result<Size, Trouble> {
        let told = self.need("the size of the inventory", fru::area_info(), Some(on)).await?;
        Ok(fru::read_size(&told.reply.data).ok_or(Fault::Nonsense("the size of an inventory that is cut short"))?)
    }

    /// The texts of one area, and where in the inventory its serial number lies; `None` where there is no such area, or a broken one.
    async fn area(&self, area: Area, header: &[u8], size: Size, on: u64) -> Result<Option<(Texts, Range<usize>)>, Trouble> {
        let Some(begins) = area.begins(header) else { return Ok(None) };
        let first = self.stretch(size, begins..begins + 2, on).await?;
        let Some(length) = fru::length(&first) else { return Ok(None) };
        let bytes = self.stretch(size, begins..begins + length, on).await?;
        Ok(fru::texts(area, &bytes).map(|texts| {
            let at = begins + texts.serial_at.start..begins + texts.serial_at.end;
            (texts, at)
        }))
    }

    /// The serial number of the machine, fresh and on this session; empty if the inventory tells none. The product's, or the board's where
    /// the product has none: a chassis may hold several machines.
    pub(super) async fn serial(&self, on: u64) -> Result<String, Trouble> {
        let place = self.known().serial.clone();
        if let Some((size, at)) = place {
            let told = fru::field(&self.stretch(size, at, on).await?).unwrap_or_default();
            if told == self.expected.serial {
                return Ok(told);
            }
        }
        let size = self.size(on).await?;
        let header = self.stretch(size, 0..fru::HEADER, on).await?;
        for area in [Area::Product, Area::Board] {
            if let Some((texts, at)) = self.area(area, &header, size, on).await?
                && !identity::serial(&texts.serial).is_empty()
            {
                self.known().serial = Some((size, at));
                return Ok(texts.serial);
            }
        }
        Ok(String::new())
    }

    /// What the inventory tells, for people.
    pub(super) async fn inventory_facts(&self, on: u64) -> Result<Vec<Fact>, Trouble> {
        let size = self.size(on).await?;
        let header = self.stretch(size, 0..fru::HEADER, on).await?;
        let mut facts = Vec::new();
        for area in Area::ALL {
            if area.begins(&header).is_none() {
                continue;
            }
            let value = match self.area(area, &header, size, on).await? {
                Some((texts, _)) => shown(&texts),
                None => "not readable: its checksum is wrong".to_owned(),
            };
            facts.push(Fact::new(word(area), value));
        }
        Ok(facts)
    }
}

fn word(area: Area) -> &'static str {
    match area {
        Area::Chassis => "chassis",
        Area::Board => "board",
        Area::Product => "product",
    }
}

fn shown(texts: &Texts) -> String {
    let name =
        [texts.maker.as_str(), texts.name.as_str()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    let numbers = [("part", &texts.part), ("serial", &texts.serial)].into_iter().filter(|(_, text)| !text.is_empty());
    let all = std::iter::once(name).filter(|name| !name.is_empty()).chain(numbers.map(|(what, text)| format!("{what} {text}")));
    let all = all.collect::<Vec<_>>().join(", ");
    if all.is_empty() { "tells nothing".to_owned() } else { all }
}
