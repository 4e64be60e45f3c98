//! Inner loops. The only place of the crate's arithmetic with `unsafe`.

mod correlation;
mod depthwise;
mod product;
mod set;
mod shared;
mod vector;

pub(super) use correlation::Correlation;
pub(super) use depthwise::Depthwise;
pub(super) use product::{Packed, Place, Product, SLACK};
pub(super) use set::Set;
