//! How much a number depends on what uncertain labels count as.

use serde::Serialize;

use super::evaluation::{Settings, evaluate};
use crate::error::Result;
use crate::predictions::{Policy, Predictions, Truth, Uncertain};

/// One label under each policy, or the macro average over the labels.
#[derive(Debug, Clone, Serialize)]
pub struct UnderPolicies {
    /// The label, or `macro`.
    pub label: String,
    /// Rows marked uncertain.
    pub n_uncertain: usize,
    /// Uncertain rows left out.
    pub ignore: Option<f64>,
    /// Uncertain rows counted as negative.
    pub zeros: Option<f64>,
    /// Uncertain rows counted as positive.
    pub ones: Option<f64>,
}

/// The AUROC of every label, and of their macro average, with uncertain rows left out, counted as negative and counted
/// as positive; everything else as in `settings`.
pub fn under_policies(predictions: &Predictions, settings: &Settings) -> Result<Vec<UnderPolicies>> {
    let under = |uncertain| {
        let policy = Policy { uncertain, ..settings.policy };
        // Neither bootstrap nor calibration has a say in the AUROC.
        let settings = Settings { policy, bootstrap: (0, 0), rank_only: true, rules: Vec::new(), ..settings.clone() };
        evaluate(predictions, None, &settings)
    };
    let [ignore, zeros, ones] = [under(Uncertain::Ignore)?, under(Uncertain::Zeros)?, under(Uncertain::Ones)?];
    let value = |auroc: &Option<super::auroc::Auroc>| auroc.as_ref().map(|a| a.estimate.value);
    let mut rows: Vec<UnderPolicies> = ignore
        .labels
        .iter()
        .zip(zeros.labels.iter().zip(&ones.labels))
        .map(|(ignore, (zeros, ones))| {
            let truths = predictions.label(&ignore.label).and_then(|l| l.truths.as_ref());
            UnderPolicies {
                label: ignore.label.clone(),
                n_uncertain: truths.map_or(0, |t| t.iter().filter(|t| **t == Truth::Uncertain).count()),
                ignore: value(&ignore.auroc),
                zeros: value(&zeros.auroc),
                ones: value(&ones.auroc),
            }
        })
        .collect();
    rows.push(UnderPolicies {
        label: "macro".into(),
        n_uncertain: rows.iter().map(|r| r.n_uncertain).sum(),
        ignore: value(&ignore.macro_average.auroc),
        zeros: value(&zeros.macro_average.auroc),
        ones: value(&ones.macro_average.auroc),
    });
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictions::Label;

    #[test]
    fn each_policy_has_its_own_number() {
        use Truth::*;
        let truths = vec![Positive, Negative, Uncertain, Positive, Negative];
        let label = Label {
            name: "Edema".into(),
            truths: Some(truths),
            logits: None,
            scores: Some(vec![0.9, 0.2, 0.1, 0.4, 0.5]),
        };
        let images = (0..5).map(|i| i.to_string()).collect();
        let table = Predictions { images, labels: vec![label], ..Predictions::default() };
        let rows = under_policies(&table, &Settings::default()).unwrap();
        assert_eq!((rows[0].n_uncertain, rows[1].label.as_str()), (1, "macro"));
        assert_eq!((rows[0].ignore, rows[0].zeros, rows[0].ones), (Some(0.75), Some(5.0 / 6.0), Some(0.5)));
    }
}
