//! What every reader makes: samples, and what is known of them.

use std::path::PathBuf;

use super::phantom::{Cohort, PhantomId};
use crate::predictions::Truth;

/// A dataset or one split of it: what is known of each image, before any image is read.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The card's name.
    pub name: String,
    /// The findings, in the card's order.
    pub labels: Vec<String>,
    /// Names of the attributes (`age`, `sex`, `view`, ...).
    pub attributes: Vec<String>,
    /// In the table's order; of folders, sorted by id.
    pub samples: Vec<Sample>,
    /// What a person should know, a line each: counts that differ from the card's, splits that are not there.
    pub notes: Vec<String>,
}

/// One image and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The `image` of every table; unique in the dataset.
    pub id: String,
    /// The patient, when known.
    pub patient: Option<String>,
    /// The study, when known.
    pub study: Option<String>,
    /// Parallel to [`Dataset::attributes`]; empty when not known.
    pub attributes: Vec<String>,
    /// Parallel to [`Dataset::labels`].
    pub truths: Vec<Truth>,
    /// Where the picture comes from.
    pub source: Source,
}

/// Where a picture comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Made on demand.
    Phantom(Cohort, PhantomId),
}

/// What a reader hands back.
pub(super) struct Loaded {
    pub attributes: Vec<String>,
    pub samples: Vec<Sample>,
    pub notes: Vec<String>,
}
