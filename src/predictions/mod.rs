//! The predictions table: who was scored, what the data say and what the model says. Everything right of the model
//! works from this table alone.
//!
//! Files are CSV: delimited by `,`, `;` or tab, with or without a byte order mark, CRLF or gzip. Columns are joined by
//! name, in any order, and there are two shapes:
//!
//! 1. `image` (or `id`), optional `patient` and `study`, any attributes (`age`, `sex`, `view`, ...), then `y_LABEL`
//!    with the truths (0, 1, -1 = uncertain, empty = not mentioned) and `p_LABEL` (probability) and/or `logit_LABEL`.
//!    A file is of this shape if it has a `y_`, `p_` or `logit_` column.
//! 2. `ID,LABEL,...`: scores in one file, truths in another. Columns named `patient`, `study`, `age`, `sex` or `view`
//!    are what they say. Of the other columns of a truth file that the predictions lack, those holding truths only are
//!    labels (listed and left out), the rest are attributes.
//!
//! Findings are matched as [`crate::labels`] does, so `y_Effusion` joins `p_Pleural Effusion`; the spelling of the
//! truths is kept.

mod aggregate;
mod condition;
mod file;
mod join;
mod policy;
mod read;
mod table;
mod write;

pub use aggregate::Aggregate;
pub use condition::Condition;
pub use join::{align, read_with_truth};
pub use policy::{Policy, Uncertain, Unmentioned};
pub use read::read;
pub use table::{Attribute, Label, Predictions, Truth};
