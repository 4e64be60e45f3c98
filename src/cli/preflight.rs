//! What is probably wrong with a model's outputs, told before their numbers are believed.

use crate::audit::preflight;
use crate::cli::note;
use crate::error::Result;
use crate::metrics::evaluation::Evaluation;
use crate::predictions::{Policy, Predictions};

/// Tells what is probably wrong with the outputs.
pub fn after(predictions: &Predictions, evaluation: &Evaluation, policy: Policy) -> Result<()> {
    preflight::outputs(predictions, evaluation, policy)?.iter().for_each(|w| note(&w.to_string()));
    Ok(())
}
