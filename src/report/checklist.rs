//! The items of three reporting guidelines, in our words: which the run answers and where, which are the author's.
//!
//! CLAIM: Tejani et al., Radiology: Artificial Intelligence 2024. TRIPOD+AI: Collins et al., BMJ 2024. STARD-AI: Sounderajah
//! et al., Nature Medicine 2025; it builds on STARD 2015 (Bossuyt et al., BMJ 2015), whose item numbers are given, and what it
//! adds stands under `AI`.

use serde::Serialize;

use super::document::Document;

/// A guideline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checklist {
    /// The table's file name.
    pub key: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its items in their order.
    pub items: Vec<Item>,
}

/// An item of a guideline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// Its number there.
    pub number: &'static str,
    /// What it asks for, in our words.
    pub topic: &'static str,
    /// Who answers it.
    #[serde(flatten)]
    pub answer: Answer,
}

/// Who answers an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "answered_by", content = "where", rename_all = "snake_case")]
pub enum Answer {
    /// The run, in these sections of the report.
    Run(Vec<Place>),
    /// The run in part; the author completes it.
    Part(Vec<Place>),
    /// The author.
    Author,
}

/// A section of `report.html` and the member of `report.json` behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are the sections'
pub enum Place {
    Summary,
    Discrimination,
    Curves,
    OperatingPoints,
    Calibration,
    Subgroups,
    Labels,
    Examples,
    Maps,
    Failures,
    Provenance,
    Methods,
    Verify,
}

impl Place {
    /// The section's anchor in `report.html`.
    pub fn anchor(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Discrimination => "discrimination",
            Self::Curves => "curves",
            Self::OperatingPoints => "operating-points",
            Self::Calibration => "calibration",
            Self::Subgroups => "subgroups",
            Self::Labels => "labels",
            Self::Examples => "examples",
            Self::Maps => "maps",
            Self::Failures => "failures",
            Self::Provenance => "provenance",
            Self::Methods => "methods",
            Self::Verify => "verify",
        }
    }

    /// Whether the run has something there.
    fn there(self, d: &Document) -> bool {
        match self {
            Self::Subgroups => !d.subgroups.is_empty(),
            Self::Examples => !d.examples.is_empty(),
            Self::Maps => d.maps.is_some(),
            Self::Calibration => d.evaluation.labels.iter().any(|l| l.brier.is_some()),
            _ => true,
        }
    }
}

impl Answer {
    /// Who answers, in words.
    pub fn words(&self) -> String {
        let words = match self {
            Self::Run(_) => "the run",
            Self::Part(_) => "the run, in part",
            Self::Author => "the author",
        };
        words.to_owned()
    }

    /// The sections, as anchors of `report.html`.
    pub fn pointer(&self) -> String {
        let places = match self {
            Self::Run(places) | Self::Part(places) => places.as_slice(),
            Self::Author => &[],
        };
        places.iter().map(|p| format!("#{}", p.anchor())).collect::<Vec<_>>().join(" ")
    }
}

/// The guidelines, filled by what the report holds. An item whose section is empty is the author's.
pub fn fill(document: &Document) -> Vec<Checklist> {
    let list = |key, name, items: &[Entry]| Checklist {
        key,
        name,
        items: items
            .iter()
            .map(|&(number, topic, whole, places)| {
                let there: Vec<Place> = places.iter().copied().filter(|p| p.there(document)).collect();
                let answer = match whole {
                    _ if there.is_empty() => Answer::Author,
                    WHOLE if there.len() == places.len() => Answer::Run(there),
                    _ => Answer::Part(there),
                };
                Item { number, topic, answer }
            })
            .collect(),
    };
    vec![
        list("claim_2024", "CLAIM 2024", CLAIM),
        list("tripod_ai", "TRIPOD+AI", TRIPOD),
        list("stard_ai", "STARD-AI (numbers of STARD 2015; what STARD-AI adds under AI)", STARD),
    ]
}

/// Number, topic, whether the run answers all of it, where.
type Entry = (&'static str, &'static str, bool, &'static [Place]);

const WHOLE: bool = true;
const PART: bool = false;

use Place::{
    Calibration, Curves, Discrimination, Examples, Failures, Labels, Maps, Methods, OperatingPoints, Provenance,
    Subgroups, Summary, Verify,
};

const CLAIM: &[Entry] = &[
    ("1", "Title or abstract names the AI method", PART, &[]),
    ("2", "Abstract: design, methods, results, conclusions", PART, &[]),
    ("3", "Background, and the use the model is meant for", PART, &[]),
    ("4", "Aims and hypotheses", PART, &[]),
    ("5", "Prospective or retrospective", PART, &[]),
    ("6", "What kind of study it is", PART, &[]),
    ("7", "Where the data come from", PART, &[Provenance]),
    ("8", "Who was included and excluded", PART, &[]),
    ("9", "Preprocessing of the images", WHOLE, &[Provenance]),
    ("10", "Choice of a part of the data", WHOLE, &[Provenance]),
    ("11", "How patients were made anonymous", PART, &[]),
    ("12", "What became of missing data", WHOLE, &[Methods, Failures]),
    ("13", "How the images were acquired", PART, &[]),
    ("14", "The reference standard", PART, &[Labels]),
    ("15", "Why this reference standard", PART, &[]),
    ("16", "Who annotated", PART, &[]),
    ("17", "How the test set was annotated", PART, &[]),
    ("18", "Agreement between and within annotators", PART, &[]),
    ("19", "How data were assigned to partitions", PART, &[Provenance]),
    ("20", "At which level partitions are apart", PART, &[Summary]),
    ("21", "Sample size and its reason", PART, &[Summary]),
    ("22", "The model: architecture, inputs, outputs", WHOLE, &[Provenance]),
    ("23", "Software and its versions", WHOLE, &[Provenance]),
    ("24", "Initial parameters", PART, &[]),
    ("25", "Training", PART, &[]),
    ("26", "How the final model was chosen", PART, &[]),
    ("27", "Ensembles", PART, &[]),
    ("28", "Metrics", WHOLE, &[Methods]),
    ("29", "Uncertainty and its method", WHOLE, &[Methods, Discrimination]),
    ("30", "Robustness and sensitivity analysis", PART, &[Subgroups]),
    ("31", "How the model is explained", PART, &[Examples, Maps]),
    ("32", "Evaluation on internal data", PART, &[Provenance]),
    ("33", "Test on external data", PART, &[Provenance]),
    ("34", "Registration of a trial", PART, &[]),
    ("35", "Numbers included and excluded", PART, &[Summary, Failures]),
    ("36", "Demographics and clinical characteristics", PART, &[Subgroups, Labels]),
    ("37", "Performance on the test data", WHOLE, &[Discrimination, OperatingPoints, Calibration]),
    ("38", "Estimates with their precision", WHOLE, &[Discrimination, OperatingPoints]),
    ("39", "Analysis of failures", PART, &[Examples, Failures]),
    ("40", "Limitations", PART, &[]),
    ("41", "What it means for practice", PART, &[]),
    ("42", "Where the protocol is", PART, &[]),
    ("43", "Where code, model and data are", PART, &[Provenance, Verify]),
    ("44", "Funding and the funders' role", PART, &[]),
];

const TRIPOD: &[Entry] = &[
    ("1", "Title: model, population, outcome", PART, &[]),
    ("2", "Abstract", PART, &[]),
    ("3a", "The medical setting and why a model", PART, &[]),
    ("3b", "Whom it is for and who uses it", PART, &[]),
    ("3c", "Known inequalities between groups", PART, &[]),
    ("4", "Objectives: development, evaluation or both", PART, &[]),
    ("5a", "Sources of the data and how representative they are", PART, &[Provenance]),
    ("5b", "Dates of the data", PART, &[]),
    ("6a", "Setting and centres", PART, &[]),
    ("6b", "Who was eligible", PART, &[]),
    ("6c", "Treatments", PART, &[]),
    ("7", "Preparation of the data", WHOLE, &[Provenance]),
    ("8a", "The outcome and how it was assessed", PART, &[Labels]),
    ("8b", "Who assessed the outcome", PART, &[]),
    ("8c", "Blinding of that assessment", PART, &[]),
    ("9a", "Choice of predictors", PART, &[Provenance]),
    ("9b", "The predictors and how they were measured", PART, &[Provenance]),
    ("9c", "Who measured predictors by judgement", PART, &[]),
    ("10", "Sample size", PART, &[Summary]),
    ("11", "Missing data", WHOLE, &[Methods, Failures]),
    ("12a", "How the data were used and partitioned", PART, &[Provenance]),
    ("12b", "How predictors were handled", WHOLE, &[Provenance]),
    ("12c", "Kind of model, building and internal validation", PART, &[Provenance]),
    ("12d", "Differences between clusters (sites, patients)", PART, &[Methods]),
    ("12e", "Measures of performance and plots", WHOLE, &[Methods]),
    ("12f", "Updating of the model, such as recalibration", WHOLE, &[Provenance]),
    ("12g", "How predictions were calculated", WHOLE, &[Provenance]),
    ("13", "Class imbalance", PART, &[Labels]),
    ("14", "Fairness", PART, &[Subgroups]),
    ("15", "Output of the model and choice of thresholds", WHOLE, &[Provenance, OperatingPoints]),
    ("16", "Differences between development and evaluation data", PART, &[]),
    ("17", "Ethical approval", PART, &[]),
    ("18a", "Funding", PART, &[]),
    ("18b", "Conflicts of interest", PART, &[]),
    ("18c", "Protocol", PART, &[]),
    ("18d", "Registration", PART, &[]),
    ("18e", "Where the data are", PART, &[Provenance]),
    ("18f", "Where the code is", PART, &[Provenance, Verify]),
    ("19", "Involvement of patients and the public", PART, &[]),
    ("20a", "Flow of participants", PART, &[Summary, Failures]),
    ("20b", "Characteristics of participants", PART, &[Subgroups, Labels]),
    ("20c", "Comparison with the development data", PART, &[]),
    ("21", "Participants and events in each analysis", WHOLE, &[Discrimination, Labels]),
    ("22", "The whole model, so that others can use it", WHOLE, &[Provenance]),
    ("23a", "Performance with intervals, also by subgroup", WHOLE, &[Discrimination, Calibration, Subgroups, Curves]),
    ("23b", "Heterogeneity between clusters", PART, &[]),
    ("24", "Results of updating the model", PART, &[Provenance]),
    ("25", "Interpretation, fairness included", PART, &[]),
    ("26", "Limitations", PART, &[]),
    ("27a", "Poor or missing input at use", PART, &[Failures]),
    ("27b", "What users must do and know", PART, &[]),
    ("27c", "Next steps of research", PART, &[]),
];

const STARD: &[Entry] = &[
    ("1", "Title: a study of diagnostic accuracy with AI", PART, &[]),
    ("2", "Abstract", PART, &[]),
    ("3", "Background, intended use and role of the test", PART, &[]),
    ("4", "Objectives and hypotheses", PART, &[]),
    ("5", "Data collected before or after the tests were done", PART, &[]),
    ("6", "Eligibility", PART, &[]),
    ("7", "How participants were found", PART, &[]),
    ("8", "Setting, place and dates", PART, &[]),
    ("9", "Consecutive, random or convenience series", PART, &[]),
    ("10a", "The index test: the model, so that it can be repeated", WHOLE, &[Provenance]),
    ("10b", "The reference standard", PART, &[Labels]),
    ("11", "Why this reference standard", PART, &[]),
    ("12a", "Thresholds of the index test, fixed before or found in the data", WHOLE, &[OperatingPoints]),
    ("12b", "Thresholds of the reference standard", PART, &[Methods]),
    ("13a", "What readers of the index test knew", PART, &[]),
    ("13b", "What assessors of the reference standard knew", PART, &[]),
    ("14", "Methods for measures of accuracy", WHOLE, &[Methods]),
    ("15", "Indeterminate results", WHOLE, &[Methods, Labels]),
    ("16", "Missing data", WHOLE, &[Methods, Failures]),
    ("17", "Variability of accuracy", WHOLE, &[Subgroups]),
    ("18", "Sample size", PART, &[Summary]),
    ("19", "Flow of participants", PART, &[Summary, Failures]),
    ("20", "Characteristics of participants", PART, &[Subgroups]),
    ("21a", "Severity among those with the condition", PART, &[]),
    ("21b", "Other diagnoses among those without it", PART, &[Labels]),
    ("22", "Time and treatment between the tests", PART, &[]),
    ("23", "Cross table of both tests", WHOLE, &[OperatingPoints]),
    ("24", "Accuracy with intervals", WHOLE, &[Discrimination, OperatingPoints]),
    ("25", "Harm from the tests", PART, &[]),
    ("26", "Limitations", PART, &[]),
    ("27", "What it means for practice", PART, &[]),
    ("28", "Registration", PART, &[]),
    ("29", "Protocol", PART, &[]),
    ("30", "Funding", PART, &[]),
    ("AI", "The data sets: source, annotation, preprocessing, partitions", PART, &[Provenance]),
    ("AI", "The model's version, its training, and how it was run", PART, &[Provenance]),
    ("AI", "Input that the model could not handle", WHOLE, &[Failures]),
    ("AI", "Bias and fairness between groups", PART, &[Subgroups]),
    ("AI", "Analysis of the errors", PART, &[Examples]),
    ("AI", "How people and model work together", PART, &[]),
    ("AI", "Where code, model and data are, and an audit of them", PART, &[Provenance, Verify]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_once() {
        for (list, count) in [(CLAIM, 44), (TRIPOD, 52)] {
            let mut numbers: Vec<_> = list.iter().map(|e| e.0).collect();
            assert_eq!(numbers.len(), count);
            numbers.dedup();
            assert_eq!(numbers.len(), count);
        }
    }
}
