//! The Hugging Face Hub: files fetched once, at a fixed commit, into the cache that Python's tools share.
//!
//! `hf-hub` knows the cache's layout. The requests are ours: its own transfer (0.5) sends the token to the CDN that the
//! Hub redirects to, appends a whole body to a part when a server ignores `Range`, puts a file into the cache before
//! anything about it is checked, and drops the header that tells a gated repository from a missing one.

mod download;
mod fetch;
mod lock;
mod places;

pub use fetch::{Fetched, Meter, fetch, find};
pub use lock::{Entry, Lock};
pub use places::Places;
