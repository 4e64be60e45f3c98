//! Calibrating a whole table: one map a label, fitted on tuning rows, kept in a TOML file, applied to other rows.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::calibration::{Forecast, ece};
use super::calibrator::{Calibrator, Method};
use super::comparison::LeftOut;
use super::evaluation::BINS;
use super::roc::Ranked;
use super::smooth_ece::smece;
use crate::error::{Error, Result};
use crate::labels;
use crate::predictions::{Label, Policy, Predictions};

/// The schema that a calibrator file names.
pub const SCHEMA: &str = "roentgen/calibrator/1";

/// The schema of [`Report`].
pub const REPORT_SCHEMA: &str = "roentgen/calibration/1";

/// A fitted map for each label, as the TOML file holds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrators {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The model whose probabilities they map, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What they were fitted on.
    pub fitted_on: FittedOn,
    /// By label, as the tuning table spells it.
    pub labels: BTreeMap<String, Calibrator>,
}

/// The tuning rows behind [`Calibrators`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedOn {
    /// Images.
    pub images: usize,
    /// Their patients, when they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patients: Option<usize>,
    /// SHA-256 of the tuning predictions file, in hex.
    pub sha256: String,
    /// What became of uncertain and unmentioned labels.
    pub policy: Policy,
}

/// What calibration did to a test table: `calibrate --format json`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Always [`REPORT_SCHEMA`].
    pub schema: &'static str,
    /// How the maps were fitted.
    pub method: Method,
    /// What they were fitted on.
    pub fitted_on: FittedOn,
    /// Images that they were applied to.
    pub n_images: usize,
    /// Their patients, when they are known.
    pub n_patients: Option<usize>,
    /// One for each label with a map.
    pub labels: Vec<LabelReport>,
    /// The labels without.
    pub left_out: Vec<LeftOut>,
}

/// One label before and after.
#[derive(Debug, Clone, Serialize)]
pub struct LabelReport {
    /// As the test table spells it.
    pub label: String,
    /// Its map.
    pub calibrator: Calibrator,
    /// Test rows that count under the policy.
    pub n: usize,
    /// Positives among them.
    pub n_pos: usize,
    /// `None` where the test rows have no truths.
    pub before: Option<Quality>,
    /// The same of the calibrated probabilities.
    pub after: Option<Quality>,
}

/// How good probabilities are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// Area under the ROC curve; `None` with one class only. Temperature and a rising Platt map leave it as it is,
    /// isotonic ties some ranks.
    pub auroc: Option<f64>,
    /// Brier score.
    pub brier: f64,
    /// Log loss, nats.
    pub log_loss: f64,
    /// Expected calibration error over 15 bins of equal width.
    pub ece: f64,
    /// Smooth ECE.
    pub smece: f64,
}

impl Calibrators {
    /// Fits a map for every label of `tuning` that has scores, truths and both classes; tells which have not. `sha256`
    /// is that of the tuning file.
    ///
    /// # Errors
    /// A score that is no probability, a label for which the method has no finite fit, no label to fit.
    pub fn fit(
        tuning: &Predictions,
        method: Method,
        policy: Policy,
        model: Option<String>,
        sha256: String,
    ) -> Result<(Self, Vec<LeftOut>)> {
        let fit = |label: &Label| -> Result<std::result::Result<(String, Calibrator), LeftOut>> {
            let left_out = |reason: &str| Ok(Err(LeftOut { label: label.name.clone(), reason: reason.into() }));
            let Some(scores) = &label.scores else { return left_out("the tuning table has no scores of it") };
            let Some(truths) = &label.truths else { return left_out("the tuning table has no truths of it") };
            let (rows, y) = policy.rows(truths);
            if !(y.contains(&true) && y.contains(&false)) {
                return left_out("the tuning rows do not have both classes");
            }
            check_probabilities(tuning, label)?;
            let p: Vec<f64> = rows.iter().map(|&row| scores[row as usize]).collect();
            let fitted = Forecast::new(&y, &p).and_then(|f| Calibrator::fit(method, &f));
            fitted.map(|map| Ok((label.name.clone(), map))).map_err(|e| e.at(format_args!("label {}", label.name)))
        };
        let fitted: Vec<_> = tuning.labels.par_iter().map(fit).collect::<Result<_>>()?;
        let (mut maps, mut left_out) = (BTreeMap::new(), Vec::new());
        for label in fitted {
            match label {
                Ok((name, map)) => drop(maps.insert(name, map)),
                Err(label) => left_out.push(label),
            }
        }
        if maps.is_empty() {
            let all: Vec<String> = left_out.iter().map(|l| format!("{}: {}", l.label, l.reason)).collect();
            return Err(Error::new(format!("no label can be calibrated ({})", all.join("; ")))
                .mend("the tuning table needs scores, truths and both classes of a label"));
        }
        let fitted_on = FittedOn { images: tuning.len(), patients: distinct_patients(tuning), sha256, policy };
        Ok((Self { schema: SCHEMA.into(), model, fitted_on, labels: maps }, left_out))
    }

    /// The map of a finding, in whichever spelling.
    pub fn get(&self, label: &str) -> Option<&Calibrator> {
        let alias = || self.labels.iter().find(|(name, _)| labels::same(name, label)).map(|(_, map)| map);
        self.labels.get(label).or_else(alias)
    }

    /// Refuses a calibrator that was fitted for another model or lacks one of the model's labels.
    pub fn check_fits(&self, model: &str, labels: &[String]) -> Result<()> {
        if let Some(other) = self.model.as_ref().filter(|other| *other != model) {
            return Err(Error::new(format!("it was fitted for the model {other}, not for {model}"))
                .mend("fit one on this model's tuning predictions with `roentgen calibrate`"));
        }
        let lacking: Vec<&str> = labels.iter().filter(|l| self.get(l).is_none()).map(String::as_str).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(Error::new(format!("it has no map for the model's label {}", lacking.join(", ")))
            .mend("fit one on tuning data that have every label of the model"))
    }

    /// Maps the scores of every label that has a map; logits and other labels stay as they are. Errors where such a
    /// score is no probability.
    pub fn apply(&self, table: &mut Predictions) -> Result<()> {
        let mapped: Vec<Option<Vec<f64>>> = table
            .labels
            .par_iter()
            .map(|label| match (self.get(&label.name), &label.scores) {
                (Some(map), Some(scores)) => {
                    check_probabilities(table, label)?;
                    Ok(Some(scores.iter().map(|&p| map.apply(p)).collect()))
                }
                _ => Ok(None),
            })
            .collect::<Result<_>>()?;
        for (label, scores) in table.labels.iter_mut().zip(mapped) {
            label.scores = scores.or(label.scores.take());
        }
        Ok(())
    }

    /// The text of the file.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::new(e.to_string()).at("the calibrator"))
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self> {
        let read: Self = toml::from_str(text).map_err(|e| {
            let error = Error::new(e.message()).mend("give a file that `roentgen calibrate --save` wrote");
            match e.span() {
                Some(span) => error.at(format_args!("line {}", 1 + text[..span.start].matches('\n').count())),
                None => error,
            }
        })?;
        if read.schema != SCHEMA {
            let cause = format!("`{}` is not known here", read.schema);
            return Err(Error::new(cause).at("`schema`").mend(format!("write \"{SCHEMA}\"")));
        }
        for (label, map) in &read.labels {
            map.check().map_err(|e| e.at(format_args!("label {label}")))?;
        }
        Ok(read)
    }
}

/// Refuses tuning and test tables that share patients (where both know them) or images.
pub fn check_apart(tuning: &Predictions, test: &Predictions) -> Result<()> {
    let shared = |what: &str, a: &[String], b: &[String]| {
        let known: HashSet<&String> = a.iter().collect();
        let mut seen = HashSet::new();
        let both: Vec<&str> = b.iter().filter(|v| known.contains(v) && seen.insert(*v)).map(String::as_str).collect();
        if both.is_empty() {
            return Ok(());
        }
        let more = if both.len() > 3 { ", ..." } else { "" };
        let cause = format!(
            "the tuning and the test table share {} {what}{} ({}{more}): the test would flatter the fit",
            both.len(),
            if both.len() == 1 { "" } else { "s" },
            both[..both.len().min(3)].join(", ")
        );
        Err(Error::new(cause).mend("fit on other patients, or say --same-patients"))
    };
    if let (Some(a), Some(b)) = (&tuning.patients, &test.patients) {
        shared("patient", a, b)?;
    }
    shared("image", &tuning.images, &test.images)
}

/// Compares a test table with what `calibrators` made of it.
pub fn report(
    calibrators: &Calibrators,
    method: Method,
    mut left_out: Vec<LeftOut>,
    before: &Predictions,
    after: &Predictions,
) -> Result<Report> {
    let policy = calibrators.fitted_on.policy;
    let one = |(label, mapped): (&Label, &Label)| -> Option<Result<LabelReport>> {
        let calibrator = calibrators.get(&label.name)?.clone();
        let (scores, mapped) = (label.scores.as_ref()?, mapped.scores.as_ref()?);
        let (rows, y) = label.truths.as_ref().map(|t| policy.rows(t)).unwrap_or_default();
        let quality = |all: &[f64]| {
            let p: Vec<f64> = rows.iter().map(|&row| all[row as usize]).collect();
            (!y.is_empty()).then(|| Quality::of(&y, &p)).transpose()
        };
        let told = || -> Result<LabelReport> {
            Ok(LabelReport {
                label: label.name.clone(),
                n: y.len(),
                n_pos: y.iter().filter(|y| **y).count(),
                before: quality(scores)?,
                after: quality(mapped)?,
                calibrator,
            })
        };
        Some(told().map_err(|e| e.at(format_args!("label {}", label.name))))
    };
    for label in before.labels.iter().filter(|l| l.scores.is_some() && calibrators.get(&l.name).is_none()) {
        if !left_out.iter().any(|known| labels::same(&known.label, &label.name)) {
            left_out.push(LeftOut { label: label.name.clone(), reason: "the tuning table does not have it".into() });
        }
    }
    let labels: Vec<(&Label, &Label)> = before.labels.iter().zip(&after.labels).collect();
    Ok(Report {
        schema: REPORT_SCHEMA,
        method,
        fitted_on: calibrators.fitted_on.clone(),
        n_images: before.len(),
        n_patients: distinct_patients(before),
        labels: labels.into_par_iter().filter_map(one).collect::<Result<_>>()?,
        left_out,
    })
}

impl Quality {
    fn of(y: &[bool], p: &[f64]) -> Result<Self> {
        let forecast = Forecast::new(y, p)?;
        Ok(Self {
            auroc: Ranked::new(y, p)?.auroc(),
            brier: forecast.brier(),
            log_loss: forecast.log_loss(),
            ece: ece(&forecast.equal_width(BINS)),
            smece: smece(&forecast),
        })
    }
}

/// Refuses scores outside [0, 1], naming the first.
fn check_probabilities(table: &Predictions, label: &Label) -> Result<()> {
    let outside =
        |scores: &Vec<f64>| scores.iter().position(|p| !(0.0..=1.0).contains(p)).map(|row| (row, scores[row]));
    match label.scores.as_ref().and_then(outside) {
        None => Ok(()),
        Some((row, p)) => Err(Error::new(format!("{p} is no probability"))
            .at(format_args!("image {}, column p_{}", table.images[row], label.name))
            .mend("only probabilities can be calibrated; give logits as logit_ columns")),
    }
}

fn distinct_patients(table: &Predictions) -> Option<usize> {
    table.clusters().map(|ids| ids.iter().max().map_or(0, |m| *m as usize + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictions::Truth;
    use proptest::prelude::*;

    fn table(rows: &[(bool, u8)], names: &[&str]) -> Predictions {
        let label = |name: &&str| Label {
            name: (*name).into(),
            truths: Some(rows.iter().map(|r| if r.0 { Truth::Positive } else { Truth::Negative }).collect()),
            logits: None,
            scores: Some(rows.iter().map(|r| f64::from(r.1) / 40.0).collect()),
        };
        let images = (0..rows.len()).map(|i| format!("{i}.png")).collect();
        Predictions { images, labels: names.iter().map(label).collect(), ..Predictions::default() }
    }

    fn fit(tuning: &Predictions, method: Method) -> Result<(Calibrators, Vec<LeftOut>)> {
        Calibrators::fit(tuning, method, Policy::default(), Some("m".into()), "0".into())
    }

    proptest! {
        #[test]
        fn what_is_saved_maps_the_same(rows in prop::collection::vec((any::<bool>(), 0u8..=40), 2..60), kind in 0usize..3) {
            let table = table(&rows, &["Mass", "Pleural Effusion"]);
            let method = [Method::Temperature, Method::Platt, Method::Isotonic][kind];
            let Ok((fitted, left_out)) = fit(&table, method) else { return Ok(()) };
            prop_assert!(left_out.is_empty());
            let read = Calibrators::parse(&fitted.to_toml().unwrap()).unwrap();
            prop_assert_eq!(&read, &fitted);
            let (mut ours, mut theirs) = (table.clone(), table.clone());
            ours.labels[1].name = "Effusion".into();
            fitted.apply(&mut ours).unwrap();
            read.apply(&mut theirs).unwrap();
            prop_assert_eq!(&ours.labels[1].scores, &theirs.labels[1].scores);
            // The fit is at least as good on its own rows.
            let report = report(&fitted, method, left_out, &table, &theirs).unwrap();
            let (before, after) = (report.labels[0].before.unwrap(), report.labels[0].after.unwrap());
            match method {
                Method::Isotonic => prop_assert!(after.brier <= before.brier + 1e-12),
                _ => prop_assert!(after.log_loss <= before.log_loss + 1e-6),
            }
        }
    }

    #[test]
    fn a_label_without_both_classes_is_left_out() {
        let mut tuning = table(&[(true, 30), (false, 10), (true, 9)], &["Mass", "Edema"]);
        tuning.labels[1].truths = Some(vec![Truth::Positive; 3]);
        let (fitted, left_out) = fit(&tuning, Method::Temperature).unwrap();
        assert_eq!(left_out[0].label, "Edema");
        assert!(fitted.get("Edema").is_none() && fitted.get("mass").is_some());
        let lacking = fitted.check_fits("m", &["Mass".into(), "Edema".into()]).unwrap_err().to_string();
        insta::assert_snapshot!(lacking, @"it has no map for the model's label Edema; fit one on tuning data that have every label of the model");
        assert!(fitted.check_fits("m", &["Mass".into()]).is_ok());
        assert!(fitted.check_fits("n", &["Mass".into()]).is_err());
    }

    #[test]
    fn shared_patients_and_images_are_told() {
        let whole = table(&[(true, 30), (false, 10)], &["Mass"]);
        assert!(check_apart(&whole, &whole).unwrap_err().to_string().contains("share 2 images (0.png, 1.png): "));
        let mut other = whole.clone();
        other.images = vec!["x".into(), "y".into()];
        assert!(check_apart(&whole, &other).is_ok());
        let patients = |names: [&str; 2]| Some(names.map(String::from).to_vec());
        let of = |names| Predictions { patients: patients(names), ..other.clone() };
        let tuning = Predictions { patients: patients(["1", "2"]), ..whole };
        assert!(check_apart(&tuning, &of(["3", "4"])).is_ok());
        assert!(check_apart(&tuning, &of(["2", "2"])).unwrap_err().to_string().contains("share 1 patient (2): "));
    }
}
