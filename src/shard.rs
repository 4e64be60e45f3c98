//! A part of a dataset, so that several processes share one run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::files;

/// The `index`th of `count` parts, counted from 1; written `I/N`.
///
/// Images are dealt out by a hash of their ids: another image in the dataset moves no other to another part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// Which part it is, from 1.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many parts there are.
    pub fn count(self) -> u64 {
        self.count
    }

    /// Whether the image belongs to this part.
    pub fn holds(self, image: &str) -> bool {
        Self::number_of(image, self.count) == self.index
    }

    /// Which of `count` parts the image belongs to, from 1: the first eight bytes of its id's SHA-256, as a big-endian
    /// number, modulo the number of parts.
    pub fn number_of(image: &str, count: u64) -> u64 {
        let hash = files::sha256(image.as_bytes());
        // Sixteen hex digits are a u64.
        u64::from_str_radix(&hash[..16], 16).unwrap() % count + 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err(format!("`{text}` is no shard: write I/N with I from 1 to N, as 2/8")),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_one_part_and_stays_there() {
        let shards: Vec<Shard> = (1..=7).map(|i| format!("{i}/7").parse().unwrap()).collect();
        let mut sizes = [0; 7];
        for image in 0..7000 {
            let id = format!("{image:08}_000.png");
            let held: Vec<usize> = (0..7).filter(|i| shards[*i].holds(&id)).collect();
            assert_eq!(held.len(), 1);
            sizes[held[0]] += 1;
        }
        assert!(sizes.iter().all(|n| (900..1100).contains(n)), "{sizes:?}");
        // The definition, so that another version cuts the same way: SHA-256 of "a" begins ca978112ca1bbdca.
        let part = 0xca97_8112_ca1b_bdca_u64 % 7;
        assert!(shards[part as usize].holds("a"));
    }

    #[test]
    fn reads_what_it_writes() {
        let shard: Shard = "2/8".parse().unwrap();
        assert_eq!(shard.to_string(), "2/8");
        for text in ["0/8", "9/8", "1/0", "1", "a/b", "-1/2", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
