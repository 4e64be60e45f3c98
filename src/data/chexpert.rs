//! CheXpert's tables. Uncertain (-1) and not mentioned (empty) are kept apart; what they count as is chosen later.
//!
//! Irvin et al., "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert Comparison", AAAI 2019.

use super::dataset::Loaded;
use super::root::Root;
use super::table::{self, Query, Row};
use crate::cards::dataset::{DatasetCard, Table};
use crate::error::{Error, Result};

pub(super) fn load(card: &DatasetCard, root: &Root, wanted: Option<&str>) -> Result<Loaded> {
    let chexpert = card.of_layout(&card.chexpert)?;
    let attributes = [("age", "Age"), ("projection", "Frontal/Lateral"), ("sex", "Sex"), ("view", "AP/PA")];
    let spec = Table {
        files: chexpert.files.clone(),
        image: "Path".into(),
        attributes: attributes.iter().map(|(name, column)| (name.to_string(), column.to_string())).collect(),
        ..Table::default()
    };
    let mut notes = Vec::new();
    // The labels of the test set came later, without age and sex.
    let query = Query { spec: &spec, labels: &card.labels, wanted, attributes_may_lack: true };
    let mut parts = table::read(&query, root, &mut notes)?;
    for part in &mut parts {
        for row in &mut part.rows {
            (row.patient, row.study) = patient_and_study(row).map_err(|e| e.at(part.path.display()))?;
        }
    }
    table::with_files(&spec, parts, root, notes)
}

/// `.../patient00001/study1/view1_frontal.jpg`: the patient, and the study, whose number is the patient's own.
fn patient_and_study(row: &Row) -> Result<(Option<String>, Option<String>)> {
    let parts: Vec<&str> = row.image.split('/').collect();
    let at = parts.iter().position(|part| part.starts_with("patient"));
    let patient_and_study = at.and_then(|i| Some((parts[i], parts.get(i + 1).filter(|s| s.starts_with("study"))?)));
    match patient_and_study {
        Some((patient, study)) => Ok((Some(patient.to_owned()), Some(format!("{patient}/{study}")))),
        None => Err(Error::new(format!("`{}` does not tell patient and study", row.image))
            .at(format_args!("line {}, column `Path`", row.line))
            .mend("use the official table: its paths are .../patient00001/study1/view1_frontal.jpg")),
    }
}
