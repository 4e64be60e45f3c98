//! Graphics cards: which there are, what is known of them, and why one cannot be used.
//!
//! Built with the feature `cuda`, NVIDIA's libraries are looked for when a card is asked for, not when the program starts.

mod card;
#[cfg(feature = "cuda")]
mod cuda;
mod fault;
#[cfg(not(feature = "cuda"))]
mod without;

#[cfg(feature = "cuda")]
pub use cuda::{Upload, cards, memory, name, open, peak};
#[cfg(not(feature = "cuda"))]
pub use without::{Upload, cards, memory, name, open, peak};

pub use card::{Card, Memory};
pub use fault::Fault;
