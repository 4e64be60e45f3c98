//! What is known of a card.

use std::fmt;

use serde::Serialize;

/// A card.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// Its number, as `--device cuda:N` has it.
    pub number: usize,
    /// Its name, the driver's.
    pub name: String,
    /// Its memory, now.
    pub memory: Memory,
    /// Compute capability: what its processors can do.
    pub capability: (u32, u32),
    /// Streaming multiprocessors.
    pub processors: u32,
    /// Their highest clock, Hz.
    pub clock: u64,
    /// Highest rate of the memory, bytes a second.
    pub bandwidth: u64,
    /// The CUDA version of the driver.
    pub driver: (u32, u32),
}

/// Memory of a device, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What nobody uses.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

impl Card {
    /// What decides the last digits of its results, besides its name.
    pub fn instructions(&self) -> String {
        let ((major, minor), driver) = (self.capability, self.driver);
        format!("sm_{major}{minor}, CUDA driver {}.{}", driver.0, driver.1)
    }
}

impl fmt::Display for Memory {
    /// As `12.3 of 79.6 GiB used`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} GiB used", gib(self.total.saturating_sub(self.free)), gib(self.total))
    }
}

/// Bytes in GiB, with one decimal.
pub fn gib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 30))
}
