//! Whether a published table and predictions are about the same thing: counts, labels, unit, patients.

use serde::Serialize;

use super::check::Verdict;
use super::counts::Sizes;
use super::fingerprint;
use super::interval::Interval;
use super::table::audit;
use super::test_set::alternatives;
use crate::cards::published::{Metric, PublishedTable, Unit};
use crate::run::Description;

/// How one thing compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The same in both.
    Same,
    /// Not the same.
    Differs,
    /// Not stated by one of them.
    Unknown,
}

impl Status {
    /// In a word or two.
    pub fn words(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "DIFFERS",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that must be the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fairness {
    /// What it is.
    pub what: &'static str,
    /// How it compares.
    pub status: Status,
    /// Both sides, in words.
    pub detail: String,
}

/// One label's counts in the predictions.
pub struct Counted<'a> {
    /// As the table spells it.
    pub label: &'a str,
    /// Here.
    pub here: Sizes,
    /// As printed; `None` where it was not.
    pub n: Option<u64>,
    /// As printed; `None` where it was not.
    pub n_pos: Option<u64>,
    /// The printed AUROC's place in [`PublishedTable::label`].
    pub row: Option<usize>,
}

/// All that is compared.
pub struct Sides<'a> {
    /// The table.
    pub table: &'a PublishedTable,
    /// Its file or name.
    pub place: &'a str,
    /// The matched labels.
    pub counted: &'a [Counted<'a>],
    /// What a row of the predictions is.
    pub unit: Unit,
    /// Patients of the predictions.
    pub patients: Option<u64>,
    /// The run that made the predictions.
    pub run: Option<&'a Description>,
}

impl Sides<'_> {
    /// Everything that could be compared, and whether counts show that the test lists agree.
    pub fn compare(&self) -> (Vec<Fairness>, bool) {
        let mut found = vec![self.rows(), self.positives()];
        let fingerprint = self.fingerprints();
        let evidence = |f: &Fairness| f.status == Status::Same;
        let known = evidence(&found[1]) || fingerprint.as_ref().is_some_and(evidence);
        found.extend(fingerprint);
        found.push(self.patients());
        found.push(self.unit());
        found.extend(self.of_run());
        found.push(self.arithmetic());
        (found, known)
    }

    fn rows(&self) -> Fairness {
        let pairs = self.counted.iter().filter_map(|c| Some((c, c.n?, c.here.pos + c.here.neg)));
        self.counts("rows", pairs)
    }

    fn positives(&self) -> Fairness {
        self.counts("positives", self.counted.iter().filter_map(|c| Some((c, c.n_pos?, c.here.pos))))
    }

    fn counts<'a>(&self, what: &'static str, pairs: impl Iterator<Item = (&'a Counted<'a>, u64, u64)>) -> Fairness {
        let pairs: Vec<_> = pairs.collect();
        let off: Vec<String> = pairs
            .iter()
            .filter(|(_, printed, here)| printed != here)
            .map(|(c, printed, here)| format!("{} {here} ({printed} in the table)", c.label))
            .collect();
        let (status, detail) = match (pairs.len(), off.len()) {
            (0, _) => (Status::Unknown, "the table does not state them".to_owned()),
            (n, 0) if n == self.counted.len() => (Status::Same, format!("those of all {n} labels agree")),
            (n, 0) => (Status::Same, format!("those of the {n} labels that state them agree")),
            (n, k) => (Status::Differs, format!("{k} of {n} labels: {}", off.join(", "))),
        };
        Fairness { what, status, detail }
    }

    /// Whether the unrounded AUROCs belong to the positives here.
    fn fingerprints(&self) -> Option<Fairness> {
        let mut fit = 0;
        let mut off = Vec::new();
        for c in self.counted {
            let auroc = c.row.and_then(|i| self.table.label[i].values.get(&Metric::Auroc));
            let n = c.here.pos + c.here.neg;
            let Some(auroc) = auroc.filter(|a| {
                self.table.computed.is_none()
                    && a.places() >= fingerprint::decimals_needed(n)
                    && !fingerprint::is_float32(a)
            }) else {
                continue;
            };
            let within = Interval::of(auroc, self.table.rounding);
            if fingerprint::whole_numbers(&within, c.here) > 0 {
                fit += 1;
            } else {
                let candidates = fingerprint::positives(&within, n).unwrap_or_default();
                off.push(format!(
                    "{} has {} positives here, its AUROC belongs to {}",
                    c.label,
                    c.here.pos,
                    alternatives(&candidates)
                ));
            }
        }
        let (status, detail) = match (fit, off.len()) {
            (0, 0) => return None,
            (n, 0) => {
                (Status::Same, format!("the unrounded AUROCs of {n} labels are possible with the positives here"))
            }
            (n, k) => (Status::Differs, format!("{k} of {} labels: {}", n + k, off.join("; "))),
        };
        Some(Fairness { what: "fingerprint", status, detail })
    }

    fn patients(&self) -> Fairness {
        let (status, detail) = match (self.table.n_patients, self.patients) {
            (Some(a), Some(b)) if a == b => (Status::Same, format!("{a}")),
            (Some(a), Some(b)) => (Status::Differs, format!("{b} here, {a} in the table")),
            (Some(a), None) => {
                (Status::Unknown, format!("{a} in the table, not known here: intervals take rows as independent"))
            }
            (None, Some(b)) => (Status::Unknown, format!("{b} here, not stated by the table")),
            (None, None) => (Status::Unknown, "not known: intervals take rows as independent".into()),
        };
        Fairness { what: "patients", status, detail }
    }

    fn unit(&self) -> Fairness {
        let (status, detail) = match self.table.unit {
            Some(unit) if unit == self.unit => (Status::Same, word(unit).to_owned()),
            Some(unit) => (Status::Differs, format!("{} here, {} in the table", word(self.unit), word(unit))),
            None => (Status::Unknown, format!("{} here, not stated by the table", word(self.unit))),
        };
        Fairness { what: "unit", status, detail }
    }

    /// What the run's cards state.
    fn of_run(&self) -> Vec<Fairness> {
        let Some(run) = self.run else { return Vec::new() };
        let pairs = [
            ("dataset", self.table.dataset.as_ref(), Some(&run.dataset.name)),
            ("label version", self.table.label_version.as_ref(), run.dataset.label_version.as_ref()),
            ("split", self.table.split.as_ref(), run.split.as_ref()),
        ];
        let item = |(what, theirs, ours): (&'static str, Option<&String>, Option<&String>)| {
            let (theirs, ours) = (theirs?, ours?);
            let status = match theirs == ours {
                true => Status::Same,
                // Words for a split say little, and a release may stand in the dataset's name.
                false if what == "split" || ours.starts_with(theirs.as_str()) => Status::Unknown,
                false => Status::Differs,
            };
            Some(Fairness { what, status, detail: format!("`{ours}` here, `{theirs}` in the table") })
        };
        pairs.into_iter().filter_map(item).collect()
    }

    fn arithmetic(&self) -> Fairness {
        let found = audit(self.table, self.place, None);
        let wrong: Vec<String> = found
            .checks
            .iter()
            .filter(|c| c.verdict == Verdict::Inconsistent && !c.alternative)
            .map(|c| format!("{} ({}): {}", c.check, c.subject, c.detail))
            .collect();
        let (status, detail) = match found.verdict {
            Verdict::Inconsistent => (Status::Differs, format!("the table is inconsistent: {}", wrong.join("; "))),
            Verdict::NotInconsistent => (Status::Same, "the table is not inconsistent".into()),
            Verdict::Untestable => (Status::Unknown, "the table states too little to be tested".into()),
        };
        Fairness { what: "arithmetic", status, detail }
    }
}

fn word(unit: Unit) -> &'static str {
    match unit {
        Unit::Image => "image",
        Unit::Study => "study",
        Unit::Patient => "patient",
    }
}
