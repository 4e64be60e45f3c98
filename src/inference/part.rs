//! The images of one shard, and where they stand among all.

use std::path::Path;

use crate::data::Dataset;
use crate::data::manifest::Manifest;
use crate::error::{Error, Result};
use crate::files;
use crate::shard::Shard;

/// A shard, cut out of a dataset.
pub struct Part {
    /// Which one.
    pub shard: Shard,
    /// Of the whole dataset: [`Manifest::listing_sha256`].
    pub listing_sha256: String,
    positions: Vec<usize>,
}

impl Part {
    /// Leaves in `dataset` only the samples of `shard`, in their order.
    pub fn cut(dataset: &mut Dataset, shard: Shard) -> Self {
        let listing_sha256 = Manifest::new(dataset, []).listing_sha256();
        let held = dataset.samples.iter().map(|sample| shard.holds(&sample.id));
        let positions = held.enumerate().filter_map(|(i, held)| held.then_some(i)).collect();
        dataset.samples.retain(|sample| shard.holds(&sample.id));
        Self { shard, listing_sha256, positions }
    }

    /// Writes the positions of the samples in the whole dataset, counted from 0: a column `position`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let lines: String = self.positions.iter().map(|p| format!("{p}\n")).collect();
        files::write(path, format!("position\n{lines}").as_bytes())
    }
}

/// Reads what [`Part::write`] wrote.
pub fn positions(path: &Path) -> Result<Vec<usize>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let fault = |line: usize| Error::new("not a position").at(format_args!("{}, line {line}", path.display()));
    let mut lines = text.lines();
    if lines.next() != Some("position") {
        return Err(fault(1));
    }
    lines.enumerate().map(|(i, line)| line.parse().map_err(|_| fault(i + 2))).collect()
}
