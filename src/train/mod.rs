//! Training: recipes, and what changes a network's weights by them.

mod checkpoint;
mod loss;
mod optimizer;
mod partition;
mod pictures;
pub mod recipe;
mod sampling;
mod schedule;
mod trainer;
mod validate;

pub use loss::{Loss, Targets};
pub use optimizer::Optimizer;
pub use partition::{Part, stratify};
pub use recipe::Recipe;
pub use schedule::{Pace, Schedule};
pub use trainer::{News, Plan, Trainer};
