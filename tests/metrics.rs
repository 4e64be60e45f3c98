//! The metrics against published values and other programs' on 22,433 real predictions.

use std::collections::HashMap;
use std::fs::File;

use flate2::read::GzDecoder;
use roentgen::metrics::auroc::{Placements, auroc_delong};
use roentgen::metrics::average::{weighted_auroc, weighted_draws};
use roentgen::metrics::bootstrap::{Sample, draw, percentile, quantile};
use roentgen::metrics::calibration::{Forecast, ece, mce};
use roentgen::metrics::calibrator::Calibrator;
use roentgen::metrics::compare::paired_auroc;
use roentgen::metrics::decision_curve::net_benefit;
use roentgen::metrics::label_errors::label_errors;
use roentgen::metrics::operating_point::{FittedOn, Rule};
use roentgen::metrics::precision_recall::{average_precision, pr_auc_trapezoid};
use roentgen::metrics::roc::Ranked;
use roentgen::metrics::smooth_ece::smece;
use serde_json::Value;

use crate::support::shared;

/// A label's truths and probabilities.
struct Label {
    name: String,
    y: Vec<bool>,
    p: Vec<f64>,
}

/// The predictions of the NIH test set with a dense number for each row's patient; `None` where shared is absent.
fn nih() -> Option<(Vec<Label>, Vec<u32>)> {
    let path = shared().map(|root| root.join("real/nih/nih_chexnet_test_preds.csv.gz"))?;
    let mut reader = csv::Reader::from_reader(GzDecoder::new(File::open(path).unwrap()));
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let names: Vec<String> = header.iter().filter_map(|h| h.strip_prefix("y_").map(String::from)).collect();
    let mut labels: Vec<Label> = names.into_iter().map(|name| Label { name, y: Vec::new(), p: Vec::new() }).collect();
    let columns: Vec<(usize, usize)> =
        labels.iter().map(|l| (column(&format!("y_{}", l.name)), column(&format!("p_{}", l.name)))).collect();
    let patient = column("patient");
    let (mut numbers, mut patients) = (HashMap::new(), Vec::new());
    for record in reader.records().map(|r| r.unwrap()) {
        let next = numbers.len() as u32;
        patients.push(*numbers.entry(record[patient].to_string()).or_insert(next));
        for (label, &(y, p)) in labels.iter_mut().zip(&columns) {
            label.y.push(&record[y] == "1");
            label.p.push(record[p].parse().unwrap());
        }
    }
    Some((labels, patients))
}

fn goldens() -> Value {
    let path = shared().map(|root| root.join("goldens/metrics-nih.json")).unwrap();
    serde_json::from_reader(File::open(path).unwrap()).unwrap()
}

/// Holds `ours` against the golden `theirs` and takes it off the list of what is still unchecked.
struct Check<'a> {
    label: &'a str,
    theirs: serde_json::Map<String, Value>,
}

impl Check<'_> {
    fn number(&mut self, key: &str, ours: f64, tolerance: f64) {
        let theirs = self.theirs.remove(key).unwrap().as_f64().unwrap();
        assert!((ours - theirs).abs() <= tolerance, "{} {key}: {ours} against {theirs}", self.label);
    }
}

impl Check<'_> {
    /// Every field that the golden operating point has.
    fn point(&mut self, key: &str, ours: &Value) {
        for (field, theirs) in self.theirs.remove(key).unwrap().as_object().unwrap() {
            let (ours, theirs) = (ours[field].as_f64(), theirs.as_f64());
            match ours.zip(theirs) {
                Some((ours, theirs)) => {
                    assert!((ours - theirs).abs() < 1e-12, "{} {key} {field}: {ours} against {theirs}", self.label);
                }
                // scikit-learn prints 0 where nothing is called positive and F1 or MCC is undefined.
                None => assert!(theirs.is_none_or(|t| t == 0.0 && ours.is_none()), "{} {key} {field}", self.label),
            }
        }
    }

    fn calibrators(&mut self, forecast: &Forecast, ranked: &Ranked) {
        let map = Calibrator::fit_temperature(forecast);
        let Calibrator::Temperature { temperature } = map else { panic!("asked for a temperature") };
        let mapped: Vec<f64> = forecast.p().iter().map(|&p| map.apply(p)).collect();
        self.number("temperature", temperature, 1e-6);
        self.number("temperature_nll", Forecast::new(forecast.y(), &mapped).unwrap().log_loss(), 1e-9);
        let Calibrator::Platt { slope, intercept } = Calibrator::fit_platt(forecast).unwrap() else {
            panic!("asked for Platt's map")
        };
        self.number("platt_slope", slope, 1e-6);
        self.number("platt_intercept", intercept, 1e-6);
        let map = Calibrator::fit_isotonic(ranked);
        let mut sorted = forecast.p().to_vec();
        sorted.sort_by(f64::total_cmp);
        for (q, theirs) in self.theirs.remove("isotonic_at").unwrap().as_object().unwrap() {
            let ours = map.apply(quantile(&sorted, q.parse().unwrap()));
            assert!((ours - theirs.as_f64().unwrap()).abs() < 1e-9, "{} isotonic at {q}: {ours}", self.label);
        }
    }
}

#[test]
fn every_golden_of_the_nih_predictions() {
    let Some((labels, patients)) = nih() else { return };
    let golden = goldens();
    for label in &labels {
        let theirs = golden["labels"][&label.name].as_object().unwrap().clone();
        let mut check = Check { label: &label.name, theirs };
        let ranked = Ranked::new(&label.y, &label.p).unwrap();
        check.number("n", ranked.n() as f64, 0.0);
        check.number("n_pos", f64::from(ranked.n_pos()), 0.0);
        let delong = auroc_delong(&ranked).unwrap();
        check.number("auroc", delong.value, 1e-12);
        check.number("auroc_delong_se", delong.se.unwrap(), 1e-12);
        let ci = check.theirs.remove("auroc_delong_ci95").unwrap();
        assert!((ci[0].as_f64().unwrap() - delong.ci_low.unwrap()).abs() < 1e-12);
        assert!((ci[1].as_f64().unwrap() - delong.ci_high.unwrap()).abs() < 1e-12);
        let clustered = Placements::new(&ranked, Some(&patients)).unwrap().headline();
        check.number("auroc_obuchowski_se", clustered.estimate.se.unwrap(), 1e-12);
        check.number("average_precision", average_precision(&ranked).unwrap(), 1e-12);
        check.number("pr_auc_trapezoid", pr_auc_trapezoid(&ranked).unwrap(), 1e-12);
        let forecast = Forecast::new(&label.y, &label.p).unwrap();
        check.number("brier", forecast.brier(), 1e-12);
        check.number("log_loss", forecast.log_loss(), 1e-12);
        for bins in [10, 15] {
            let width = forecast.equal_width(bins);
            check.number(&format!("ece_{bins}"), ece(&width), 1e-12);
            check.number(&format!("mce_{bins}"), mce(&width), 1e-12);
            check.number(&format!("ece_equal_count_{bins}"), ece(&forecast.equal_count(&ranked, bins)), 1e-12);
        }
        check.number("torchmetrics_binary_calibration_error_15_l1", ece(&forecast.equal_width(15)), 1e-9);
        check.number("relplot_smece", smece(&forecast), 1e-9);
        for (key, rule) in [
            ("youden", Rule::Youden),
            ("max_sensitivity_at_specificity_0.90", Rule::Specificity(0.90)),
            ("max_specificity_at_sensitivity_0.95", Rule::Sensitivity(0.95)),
            ("at_0.5", Rule::Fixed(0.5)),
        ] {
            let ours = rule.evaluate(&ranked, FittedOn::Same, &ranked, Some(&patients)).unwrap();
            check.point(key, &serde_json::to_value(ours).unwrap());
        }
        check.calibrators(&forecast, &ranked);
        let net = check.theirs.remove("net_benefit").unwrap();
        for (threshold, theirs) in net.as_object().unwrap() {
            let ours = net_benefit(&ranked, &[threshold.parse().unwrap()])[0].model;
            assert!((ours - theirs.as_f64().unwrap()).abs() < 1e-12, "{} {threshold}", label.name);
        }
        assert!(check.theirs.is_empty(), "unchecked: {:?}", check.theirs.keys());
    }
    let equal = vec![1.0; labels.len()];
    let placements: Vec<Placements> =
        labels.iter().map(|l| Placements::new(&Ranked::new(&l.y, &l.p).unwrap(), Some(&patients)).unwrap()).collect();
    let precision: Vec<f64> =
        labels.iter().map(|l| average_precision(&Ranked::new(&l.y, &l.p).unwrap()).unwrap()).collect();
    let ranked: Vec<_> = labels.iter().map(|l| Ranked::new(&l.y, &l.p).unwrap()).collect();
    let lists: Vec<_> = ranked.iter().map(|r| (r, &patients[..])).collect();
    let close = |key: &str, ours: f64| assert!((ours - golden[key].as_f64().unwrap()).abs() < 1e-12, "{key} {ours}");
    close("macro_auroc", weighted_auroc(&placements, &equal).unwrap().estimate.value);
    close("micro_auroc", Placements::pooled(&lists).unwrap().headline().estimate.value);
    close("macro_average_precision", precision.iter().sum::<f64>() / 14.0);
}

// The analytic interval of the macro average against the joint patient bootstrap, which assumes nothing.
#[test]
fn influence_values_agree_with_the_bootstrap() {
    let Some((labels, patients)) = nih() else { return };
    let n_patients = patients.iter().max().unwrap() + 1;
    let ranked: Vec<Ranked> = labels.iter().map(|l| Ranked::new(&l.y, &l.p).unwrap()).collect();
    let samples: Vec<Sample> = labels
        .iter()
        .zip(&ranked)
        .map(|(l, r)| Sample::new(r, &patients, Some(&Forecast::new(&l.y, &l.p).unwrap())).unwrap())
        .collect();
    let draws = draw(&samples, n_patients, 2000, 1).unwrap();
    let placements: Vec<Placements> = ranked.iter().map(|r| Placements::new(r, Some(&patients)).unwrap()).collect();
    let equal = vec![1.0; labels.len()];
    let jointly = percentile(&weighted_draws(&draws, &equal, |d| &d.auroc), 0.95).unwrap();
    let analytic = weighted_auroc(&placements, &equal).unwrap().estimate.se.unwrap();
    assert!((jointly.se / analytic - 1.0).abs() < 0.1, "{} against {analytic}", jointly.se);
    for (draws, placements) in draws.iter().zip(&placements) {
        let (ours, drawn) = (placements.variance().unwrap().sqrt(), percentile(&draws.auroc, 0.95).unwrap().se);
        assert!((drawn / ours - 1.0).abs() < 0.15, "{drawn} against {ours}");
    }
}

// Mass by its own probabilities and by those of Nodule; NumPy with SciPy's rankdata, from the papers' formulas.
#[test]
fn paired_comparisons() {
    let Some((labels, patients)) = nih() else { return };
    let find = |name: &str| labels.iter().find(|l| l.name == name).unwrap();
    let (mass, nodule) = (find("Mass"), find("Nodule"));
    let compare = |ids: Option<&[u32]>| {
        let placements = |p: &[f64]| Placements::new(&Ranked::new(&mass.y, p).unwrap(), ids).unwrap();
        paired_auroc(&placements(&mass.p), &placements(&nodule.p))
    };
    let (rows, clustered) = (compare(None), compare(Some(&patients)));
    for (ours, theirs) in [
        (rows.difference, 0.116_005_877_166_139_08),
        (rows.se.unwrap(), 0.006_337_334_010_856_415),
        (clustered.se.unwrap(), 0.009_063_265_250_297_957),
        (clustered.z.unwrap(), 12.799_567_701_312_213),
    ] {
        assert!((ours / theirs - 1.0).abs() < 1e-10, "{ours} against {theirs}");
    }
    assert!((clustered.p_value.unwrap() / 1.648_664_471_557_284_3e-37 - 1.0).abs() < 1e-9);
}

// cleanlab 2.9: compute_confident_joint(y, [1 - p, p], calibrate=False).
#[test]
fn confident_joints_of_cleanlab() {
    let Some((labels, _)) = nih() else { return };
    let joints = [
        [[14216, 1512], [555, 958]],
        [[18048, 399], [92, 215]],
        [[14904, 1110], [404, 1352]],
        [[11497, 2879], [1224, 1650]],
        [[16775, 791], [304, 448]],
        [[15385, 987], [424, 430]],
        [[15320, 2041], [74, 102]],
        [[17257, 658], [238, 442]],
        [[15301, 2066], [236, 391]],
        [[17785, 804], [70, 139]],
        [[18572, 222], [68, 210]],
        [[16664, 522], [99, 105]],
        [[16086, 1276], [215, 259]],
        [[16458, 75], [4, 13]],
    ];
    for (label, joint) in labels.iter().zip(joints) {
        let found = label_errors(&Forecast::new(&label.y, &label.p).unwrap()).unwrap();
        assert_eq!(found.joint, joint, "{}", label.name);
        assert_eq!(found.suspects.len(), joint[0][1] + joint[1][0]);
    }
}

#[test]
fn published_aurocs() {
    let Some((labels, _)) = nih() else { return };
    let path = shared().map(|root| root.join("real/nih/published_aucs.csv")).unwrap();
    let published: HashMap<String, f64> =
        csv::Reader::from_path(path).unwrap().deserialize().map(|r| r.unwrap()).collect();
    assert_eq!(published.len(), 14);
    for label in &labels {
        let ours = Ranked::new(&label.y, &label.p).unwrap().auroc().unwrap();
        assert!((ours - published[&label.name]).abs() < 1e-12, "{}", label.name);
    }
}
