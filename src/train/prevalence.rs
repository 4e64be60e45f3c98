//! How frequent each label is among the images to learn from.

use super::pictures::Pictures;
use super::recipe::Loss;
use crate::cards::model::ModelCard;
use crate::error::{Error, Result};
use crate::run::Prevalence;

/// Positives and negatives of each label.
pub(super) fn counts(pictures: &Pictures) -> Vec<(usize, usize)> {
    let labels = pictures.truths().first().map_or(0, Vec::len);
    let count = |label: usize, of: bool| pictures.truths().iter().filter(|t| t[label] == Some(of)).count();
    (0..labels).map(|label| (count(label, true), count(label, false))).collect()
}

/// What the images to learn from say of each label; a label of one class only is an error.
pub(super) fn prevalences(card: &ModelCard, loss: Loss, train: &Pictures) -> Result<Vec<Prevalence>> {
    let prevalence = |(label, (positives, negatives)): (&String, (usize, usize))| {
        if positives == 0 || negatives == 0 {
            let none = if positives == 0 { "positive" } else { "negative" };
            return Err(Error::new(format!("none of the images to learn from is {none}"))
                .at(format_args!("label {label}"))
                .mend("take the label out of `model.labels`, or give data that have both classes"));
        }
        let share = positives as f64 / (positives + negatives) as f64;
        let weights = match loss {
            Loss::Bce => [1.0, 1.0],
            Loss::PrevalenceWeightedBce => [1.0 - share, share],
        };
        Ok(Prevalence { label: label.clone(), positives, negatives, weights })
    };
    card.labels.iter().zip(counts(train)).map(prevalence).collect()
}
