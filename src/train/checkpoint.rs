//! Everything that going on with a training needs, in one file that is whole or not there.
//!
//! A line that names the format, a line of JSON (where the training stands, and name and length of each list of values),
//! the values as little-endian f32, and the SHA-256 of all of that. Values come back bit by bit.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::loss_scale::LossScale;
use crate::error::{Error, Result};
use crate::files;
use crate::run::Epoch;

const MAGIC: &[u8] = b"roentgen/checkpoint/1\n";

/// Where a training stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which training it is.
    pub fingerprint: String,
    /// Steps of the optimiser.
    pub steps: u32,
    /// The factor of the loss in f16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<LossScale>,
    /// Images of the unfinished epoch that were shown.
    pub shown: usize,
    /// Sum of the losses of the unfinished epoch's batches.
    pub losses: f64,
    /// How many those are.
    pub batches: usize,
    /// The finished epochs.
    pub epochs: Vec<Epoch>,
}

/// A checkpoint.
#[derive(Debug, PartialEq)]
pub(super) struct Checkpoint {
    pub position: Position,
    /// Values by name.
    pub values: Vec<(String, Vec<f32>)>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    position: Position,
    values: Vec<(String, usize)>,
}

impl Checkpoint {
    pub fn write(&self, path: &Path) -> Result<()> {
        let values = self.values.iter().map(|(name, values)| (name.clone(), values.len())).collect();
        let header = Header { position: self.position.clone(), values };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(serde_json::to_vec(&header).map_err(|e| Error::new(e.to_string()).at(path.display()))?);
        bytes.push(b'\n');
        for (_, values) in &self.values {
            bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        }
        bytes.extend(Sha256::digest(&bytes).as_slice().to_vec());
        files::write(path, &bytes)
    }

    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&bytes)
            .ok_or_else(|| {
                Error::new("the checkpoint is damaged")
                    .mend("remove the folder and train again; its best weights so far can still be used")
            })
            .map_err(|e| e.at(path.display()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (all, sum) = bytes.split_last_chunk::<32>()?;
        if Sha256::digest(all).as_slice() != sum {
            return None;
        }
        let rest = all.strip_prefix(MAGIC)?;
        let end = rest.iter().position(|b| *b == b'\n')?;
        let header: Header = serde_json::from_slice(&rest[..end]).ok()?;
        let mut rest = &rest[end + 1..];
        let mut values = Vec::with_capacity(header.values.len());
        for (name, length) in header.values {
            let (own, others) = rest.split_at_checked(length.checked_mul(4)?)?;
            values.push((name, own.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()));
            rest = others;
        }
        rest.is_empty().then_some(Self { position: header.position, values })
    }

    /// Takes the values of this name out, which must be `length` many.
    pub fn take(&mut self, name: &str, length: usize) -> Result<Vec<f32>> {
        let at = self.values.iter().position(|(n, values)| n == name && values.len() == length);
        let at = at.ok_or_else(|| Error::new(format!("the checkpoint lacks `{name}`")))?;
        Ok(self.values.swap_remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Validation;

    #[test]
    fn comes_back_bit_by_bit_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let validation = Validation {
            loss: 0.1 + 0.2,
            auroc: 1.0 / 3.0,
            average_precision: 0.5,
            sensitivity: 0.25,
            specificity: 1.0,
        };
        let epochs = vec![Epoch { epoch: 1, rate: 1e-3 / 3.0, loss: 2.0 / 3.0, validation }];
        let scale = Some(LossScale::default());
        let position =
            Position { fingerprint: "f".into(), steps: 7, scale, shown: 3, losses: 0.1 * 3.0, batches: 3, epochs };
        let values = vec![("a".into(), vec![0.1, -0.0, f32::MIN_POSITIVE / 4.0]), ("b".into(), vec![])];
        let written = Checkpoint { position, values };
        written.write(&path).unwrap();
        let mut read = Checkpoint::read(&path).unwrap();
        assert_eq!(read, written);
        assert!(read.take("a", 2).is_err());
        assert_eq!(read.take("a", 3).unwrap()[1].to_bits(), (-0.0f32).to_bits());
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            assert!(Checkpoint::parse(&bytes[..cut]).is_none());
        }
        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] ^= 1;
            assert!(Checkpoint::parse(&changed).is_none(), "{i}");
        }
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("damaged"));
    }
}
