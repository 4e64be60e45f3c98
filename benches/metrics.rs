//! The evaluation of the 22,433 x 14 table whose sizes, positives and patients are those of the NIH test set.

use divan::{Bencher, black_box};
use roentgen::metrics::auroc::{Placements, auroc_delong};
use roentgen::metrics::bootstrap::{Sample, draw};
use roentgen::metrics::calibrated_null::calibrated_null;
use roentgen::metrics::calibration::{Forecast, debiased_ece, ece, mce};
use roentgen::metrics::precision_recall::{average_precision, pr_auc_trapezoid};
use roentgen::metrics::roc::Ranked;
use roentgen::metrics::smooth_ece::smece;
use roentgen::rng::Rng;

const ROWS: usize = 22_433;
const PATIENTS: u32 = 6_187;
const POSITIVES: [u32; 14] = [2423, 582, 2756, 3944, 1139, 1337, 260, 1089, 957, 413, 509, 362, 734, 42];

struct Label {
    y: Vec<bool>,
    p: Vec<f64>,
}

/// Truths of those prevalences, probabilities that rank them at an AUROC near 0.85, and patients of uneven size.
fn table(times: usize) -> (Vec<Label>, Vec<u32>) {
    let rows = ROWS * times;
    let mut rng = Rng::new(1, 0);
    let label = |&positives: &u32| {
        let prevalence = f64::from(positives) / ROWS as f64;
        let (mut y, mut p) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let positive = rng.uniform() < prevalence;
            let normal = (-2.0 * rng.uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * rng.uniform()).cos();
            let logit = (prevalence / (1.0 - prevalence)).ln() - 1.0 + normal + if positive { 1.47 } else { 0.0 };
            y.push(positive);
            p.push(1.0 / (1.0 + (-logit).exp()));
        }
        Label { y, p }
    };
    let labels = POSITIVES.iter().map(label).collect();
    let patients = PATIENTS * times as u32;
    // Each patient once, the other rows to ever fewer of them.
    let patient = |row: u32| if row < patients { row } else { rng.below(patients / (1 + row % 4)) };
    let mut of_rows: Vec<u32> = (0..rows as u32).map(patient).collect();
    of_rows.sort_unstable();
    (labels, of_rows)
}

#[divan::bench(sample_count = 10)]
fn bootstrap_2000(bencher: Bencher) {
    let (labels, patients) = table(1);
    bencher.bench(|| {
        let sample = |l: &Label| {
            let ranked = Ranked::new(&l.y, &l.p).unwrap();
            Sample::new(&ranked, &patients, Some(&Forecast::new(&l.y, &l.p).unwrap())).unwrap()
        };
        let samples: Vec<Sample> = labels.iter().map(sample).collect();
        draw(&samples, PATIENTS, 2000, 1).unwrap()
    });
}

fn evaluate(labels: &[Label], patients: &[u32]) -> Vec<[f64; 10]> {
    use rayon::prelude::*;
    let one = |l: &Label| {
        let ranked = Ranked::new(&l.y, &l.p).unwrap();
        let forecast = Forecast::new(&l.y, &l.p).unwrap();
        let bins = forecast.equal_width(15);
        [
            Placements::new(&ranked, Some(patients)).unwrap().headline().estimate.value,
            auroc_delong(&ranked).unwrap().value,
            average_precision(&ranked).unwrap(),
            pr_auc_trapezoid(&ranked).unwrap(),
            forecast.brier(),
            forecast.log_loss(),
            ece(&bins),
            mce(&bins),
            debiased_ece(&bins),
            smece(&forecast),
        ]
    };
    labels.par_iter().map(one).collect()
}

#[divan::bench(sample_count = 20)]
fn without_bootstrap(bencher: Bencher) {
    let (labels, patients) = table(1);
    bencher.bench(|| evaluate(black_box(&labels), &patients));
}

#[divan::bench(sample_count = 2)]
fn a_million_rows(bencher: Bencher) {
    let (labels, patients) = table(45);
    bencher.bench(|| evaluate(black_box(&labels), &patients));
}

#[divan::bench(sample_count = 10)]
fn null_test(bencher: Bencher) {
    let (labels, _) = table(1);
    bencher.bench(|| calibrated_null(&Forecast::new(&labels[0].y, &labels[0].p).unwrap(), 15, 999, 1));
}

#[divan::bench(sample_count = 20)]
fn smooth_ece(bencher: Bencher) {
    let (labels, _) = table(1);
    bencher.bench(|| smece(&Forecast::new(&labels[0].y, &labels[0].p).unwrap()));
}

fn main() {
    divan::main();
}
