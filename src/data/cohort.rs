//! Phantoms as a dataset.

use super::dataset::Loaded;
use super::phantom::{Cohort, LABELS, attributes, truths};
use super::{Sample, Source};
use crate::cards::dataset::DatasetCard;
use crate::error::{Error, Result};
use crate::labels;
use crate::predictions::Truth;

pub(super) fn load(card: &DatasetCard) -> Result<Loaded> {
    let phantom = card.of_layout(&card.phantom)?;
    let cohort =
        Cohort::new(phantom.seed, phantom.patients, phantom.size).and_then(|all| all.after(phantom.after.unwrap_or(0)));
    let cohort = cohort.map_err(|e| e.at("`[phantom]`"))?;
    let findings: Vec<usize> = card
        .labels
        .iter()
        .map(|label| {
            labels::find(&LABELS, label).ok_or_else(|| {
                Error::new(format!("{label:?} is no finding of the phantoms"))
                    .at("`labels`")
                    .mend(format!("they have {}", LABELS.join(", ")))
            })
        })
        .collect::<Result<_>>()?;
    let sample = |id| {
        let ((age, sex, view), truths) = (attributes(&cohort, &id), truths(&cohort, &id));
        let truth = |&f: &usize| if truths[f] { Truth::Positive } else { Truth::Negative };
        Sample {
            id: id.name(),
            patient: Some(id.patient_name()),
            study: None,
            attributes: vec![age.to_string(), sex.into(), view.into()],
            truths: findings.iter().map(truth).collect(),
            source: Source::Phantom(cohort, id),
        }
    };
    Ok(Loaded {
        attributes: ["age", "sex", "view"].map(String::from).into(),
        samples: cohort.images().into_iter().map(sample).collect(),
        notes: Vec::new(),
    })
}
