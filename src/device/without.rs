//! The same in a build without cards.

use candle_core::{Device, Tensor};

use super::{Card, Fault, Memory};
use crate::error::Result;

/// The cards of this machine.
pub fn cards() -> std::result::Result<Vec<Card>, Fault> {
    Err(Fault::NotBuilt)
}

/// The name of a card.
pub fn name(_: usize) -> std::result::Result<String, Fault> {
    Err(Fault::NotBuilt)
}

/// A card, ready to compute.
pub fn open(_: usize) -> std::result::Result<(Device, Card), Fault> {
    Err(Fault::NotBuilt)
}

/// The memory of a device, if it is a card.
pub fn memory(_: &Device) -> Option<Memory> {
    None
}

/// The most memory that `work` takes of a device at once, bytes, if it can tell.
pub fn peak(_: &Device, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<u64>> {
    work().map(|()| None)
}

/// Copies to a card beside its work.
pub enum Upload {}

impl Upload {
    /// For a card; none for other devices.
    pub fn new(_: &Device) -> Result<Option<Self>> {
        Ok(None)
    }

    /// A tensor of the values that `fill` writes.
    pub fn send(
        &mut self,
        _: (usize, usize, usize, usize),
        _: &mut dyn FnMut(&mut [f32]),
    ) -> candle_core::Result<Tensor> {
        match *self {}
    }
}
