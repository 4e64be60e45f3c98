//! Training: recipes, and what changes a network's weights by them.

mod checkpoint;
mod folder;
mod learner;
mod loss;
mod loss_scale;
mod optimizer;
mod partition;
mod pictures;
mod prevalence;
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
