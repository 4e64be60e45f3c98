//! The rows that triage lists: which calls, which rows, in which order.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};

use crate::error::{Error, Result};
use crate::metrics::calibration::Forecast;
use crate::metrics::label_errors::label_errors;
use crate::predictions::{Condition, Predictions, Truth};
use crate::tui::analysis::Analysis;

/// With more values an attribute's are not listed.
const FEW_VALUES: usize = 6;

/// Which calls are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Wrong ones.
    Errors,
    /// Missed positives.
    FalseNegatives,
    /// False alarms.
    FalsePositives,
    /// Found positives.
    TruePositives,
    /// Rightly called negative.
    TrueNegatives,
    /// Every one.
    All,
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The most confident first.
    Confidence,
    /// The widest gap between the two runs first.
    Disagreement,
    /// The least certain first, by the table's own column of entropies.
    Uncertainty,
    /// The least probable label first (confident learning), only rows whose label looks wrong.
    LabelErrors,
    /// The table's.
    Table,
}

/// What a list was made for.
#[derive(Debug, Clone, PartialEq)]
pub struct Of {
    /// Number of the label.
    pub label: usize,
    /// Calls are positive from here on.
    pub threshold: f64,
    /// Which calls.
    pub outcome: Outcome,
    /// In which order.
    pub order: Order,
    /// A text that image, patient or an attribute holds, in small letters.
    pub search: String,
    /// A condition that rows meet.
    pub condition: String,
    /// Whether neither truths nor predictions may show through.
    pub blind: bool,
    /// Whether another run is there to disagree with.
    pub pinned: bool,
}

/// The column of the table that says how sure the model was of an image, as `predict --uncertainty` writes it.
const ENTROPY: &str = "entropy";

impl Outcome {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::FalseNegatives => "FN",
            Self::FalsePositives => "FP",
            Self::TruePositives => "TP",
            Self::TrueNegatives => "TN",
            Self::All => "all",
        }
    }

    /// The next in turn.
    pub fn next(self) -> Self {
        match self {
            Self::Errors => Self::FalseNegatives,
            Self::FalseNegatives => Self::FalsePositives,
            Self::FalsePositives => Self::TruePositives,
            Self::TruePositives => Self::TrueNegatives,
            Self::TrueNegatives => Self::All,
            Self::All => Self::Errors,
        }
    }

    fn holds(self, truth: bool, called: bool) -> bool {
        match self {
            Self::Errors => truth != called,
            Self::FalseNegatives => truth && !called,
            Self::FalsePositives => !truth && called,
            Self::TruePositives => truth && called,
            Self::TrueNegatives => !truth && !called,
            Self::All => true,
        }
    }
}

impl Order {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confidence => "most confident first",
            Self::Disagreement => "runs differ most first",
            Self::Uncertainty => "least certain first",
            Self::LabelErrors => "label looks wrong",
            Self::Table => "as in the table",
        }
    }

    /// The next in turn; another run must be there to disagree with, and entropies to order by.
    pub fn next(self, pinned: bool, entropies: bool) -> Self {
        match self {
            Self::Confidence if pinned => Self::Disagreement,
            Self::Confidence | Self::Disagreement if entropies => Self::Uncertainty,
            Self::Confidence | Self::Disagreement | Self::Uncertainty => Self::LabelErrors,
            Self::LabelErrors => Self::Table,
            Self::Table => Self::Confidence,
        }
    }
}

/// What the data say of a label of a row, under the policy; `None` where it does not count.
pub fn truth(analysis: &Analysis, label: usize, row: usize) -> Option<bool> {
    let truths = analysis.predictions.labels[analysis.labels[label].column].truths.as_deref()?;
    truths.get(row).copied().and_then(|t: Truth| analysis.overview.policy().positive(t))
}

/// Two letters for truth and call, and whether the call is wrong.
pub fn sign(truth: Option<bool>, called: bool) -> (&'static str, bool) {
    match (truth, called) {
        (Some(true), true) => ("TP", false),
        (Some(false), false) => ("TN", false),
        (Some(true), false) => ("FN", true),
        (Some(false), true) => ("FP", true),
        (None, true) => ("?P", false),
        (None, false) => ("?N", false),
    }
}

/// How uncertain the model was of each row; `None` where the table does not tell.
pub fn entropies(analysis: &Analysis) -> Option<&[String]> {
    analysis.predictions.attributes.iter().find(|a| a.name == ENTROPY).map(|a| a.values.as_slice())
}

/// The images that meet a condition.
pub fn chosen(analysis: &Analysis, condition: &str) -> Result<HashSet<String>> {
    let condition: Condition = condition.parse()?;
    if analysis.predictions.is_empty() {
        return Err(Error::new("the table is empty"));
    }
    Ok(analysis.predictions.filter(&[condition])?.images.into_iter().collect())
}

/// A number that tells nothing of the image.
fn shuffled(image: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.hash(&mut hasher);
    hasher.finish()
}

/// The rows of the table that the list shows.
pub fn listed(analysis: &Analysis, pinned: Option<&Analysis>, of: &Of) -> Vec<usize> {
    let label = &analysis.labels[of.label];
    let p = &analysis.predictions;
    let allowed = if of.condition.is_empty() { None } else { chosen(analysis, &of.condition).ok() };
    let found = |row: usize| {
        let holds = |text: &String| text.to_lowercase().contains(&of.search);
        of.search.is_empty()
            || holds(&p.images[row])
            || p.patients.as_ref().is_some_and(|v| holds(&v[row]))
            || p.attributes.iter().any(|a| holds(&a.values[row]))
    };
    let kept = |i: &usize| {
        let row = label.rows[*i] as usize;
        // Which calls are wrong would tell the truth.
        (of.blind || of.outcome.holds(label.y[*i], label.p[*i] >= of.threshold))
            && allowed.as_ref().is_none_or(|a| a.contains(&p.images[row]))
            && found(row)
    };
    let mut rows: Vec<usize> = (0..label.rows.len()).filter(kept).collect();
    let descending = |rows: &mut Vec<usize>, key: &dyn Fn(usize) -> f64| {
        rows.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
    };
    match of.order {
        // An order that tells of the prediction would make blindness a sham.
        _ if of.blind => rows.sort_by_cached_key(|&i| shuffled(&p.images[label.rows[i] as usize])),
        Order::Table => {}
        Order::Confidence => descending(&mut rows, &|i| (label.p[i] - of.threshold).abs()),
        Order::Disagreement => {
            let theirs = pinned.and_then(|b| Some((b, &b.labels[b.find(analysis.label(of.label))?])));
            let scores: HashMap<&str, f64> = theirs
                .map(|(b, l)| l.rows.iter().zip(&l.p).map(|(&r, &s)| (b.predictions.images[r as usize].as_str(), s)))
                .into_iter()
                .flatten()
                .collect();
            descending(&mut rows, &|i| {
                let other = scores.get(p.images[label.rows[i] as usize].as_str());
                other.map_or(-1.0, |s| (label.p[i] - s).abs())
            });
        }
        Order::Uncertainty => {
            let values = entropies(analysis).unwrap_or_default();
            let of = |i: usize| values.get(label.rows[i] as usize).and_then(|v| v.parse().ok()).unwrap_or(f64::MIN);
            let keys: HashMap<usize, f64> = rows.iter().map(|&i| (i, of(i))).collect();
            descending(&mut rows, &|i| keys[&i]);
        }
        Order::LabelErrors => {
            let suspects = Forecast::new(&label.y, &label.p).ok().and_then(|f| label_errors(&f));
            let kept: HashSet<usize> = rows.iter().copied().collect();
            let suspects = suspects.map(|s| s.suspects).unwrap_or_default();
            rows = suspects.iter().map(|s| s.row).filter(|row| kept.contains(row)).collect();
        }
    }
    rows.into_iter().map(|i| label.rows[i] as usize).collect()
}

/// The attributes that rows can be chosen by, with their values where they are few.
pub fn conditions(table: &Predictions) -> String {
    let one = |a: &crate::predictions::Attribute| {
        let values: BTreeSet<&str> = a.values.iter().map(String::as_str).filter(|v| !v.is_empty()).collect();
        match values.len() {
            0..=FEW_VALUES => format!("{}={}", a.name, values.into_iter().collect::<Vec<_>>().join("|")),
            _ => a.name.clone(),
        }
    };
    table.attributes.iter().map(one).collect::<Vec<_>>().join("  ")
}
