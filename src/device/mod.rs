//! What networks run on: the processor and graphics cards; which there are, and why one cannot be used.
//!
//! Built with the feature `cuda`, NVIDIA's libraries are looked for when a card is asked for, not when the program starts.

mod card;
#[cfg(feature = "cuda")]
mod cuda;
mod fault;
mod place;
mod precision;
#[cfg(not(feature = "cuda"))]
mod without;

#[cfg(feature = "cuda")]
pub use cuda::{Upload, cards, memory, peak};
#[cfg(feature = "cuda")]
use cuda::{name, open};
#[cfg(not(feature = "cuda"))]
pub use without::{Upload, cards, memory, peak};
#[cfg(not(feature = "cuda"))]
use without::{name, open};

pub use card::{Card, Memory, gib};
pub use fault::{Fault, memory_is_full};
pub use place::{Place, Wanted, instruction_set};
pub use precision::Precision;
