//! ChestX-ray14: the official table of the 2017 or the 2020 release, and its lists.
//!
//! Wang et al., "ChestX-ray8", CVPR 2017.

use super::dataset::Loaded;
use super::root::Root;
use super::table::{self, Query};
use crate::cards::dataset::{DatasetCard, LabelList, Table};
use crate::error::{Error, Result};
use crate::labels;

/// The findings of the table. A card may use some of them; any other name in the table is an error.
const FINDINGS: [&str; 15] = [
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
    "No Finding",
];

pub(super) fn load(card: &DatasetCard, root: &Root, wanted: Option<&str>) -> Result<Loaded> {
    let nih = card.of_layout(&card.nih)?;
    let place = |label: &String| {
        labels::find(&FINDINGS, label).ok_or_else(|| {
            Error::new(format!("{label:?} is no finding of ChestX-ray14"))
                .at("`labels`")
                .mend(format!("it has {}", FINDINGS.join(", ")))
        })
    };
    let places = card.labels.iter().map(place).collect::<Result<Vec<usize>>>()?;
    let attributes = [("age", "Patient Age"), ("sex", "Patient Gender"), ("view", "View Position")];
    let spec = Table {
        file: Some(nih.file.clone()),
        lists: nih.lists.clone(),
        image: "Image Index".into(),
        patient: Some("Patient ID".into()),
        attributes: attributes.iter().map(|(name, column)| (name.to_string(), column.to_string())).collect(),
        list: Some(LabelList {
            column: "Finding Labels".into(),
            separator: Some("|".into()),
            none: Vec::new(),
            ignore_others: false,
        }),
        ..Table::default()
    };
    let query = Query { spec: &spec, labels: &FINDINGS.map(String::from), wanted, attributes_may_lack: false };
    let mut parts = table::read(&query, root, &mut Vec::new())?;
    for row in parts.iter_mut().flat_map(|part| &mut part.rows) {
        row.truths = places.iter().map(|p| row.truths[*p]).collect();
    }
    table::with_files(&spec, parts, root, Vec::new())
}
