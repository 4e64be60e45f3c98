//! How often do the intervals of the AUROC hold the true value? Prints a Markdown table.
//!
//! Binormal scores with the AUROC known, at least 1,000 negative images. Images come in patients of one class; half of
//! a score's variance is the patient's where patients have several images.

use rayon::prelude::*;
use roentgen::metrics::auroc::{Placements, auroc_delong};
use roentgen::metrics::bootstrap::{Sample, draw, percentile};
use roentgen::metrics::confidence::normal_quantile;
use roentgen::metrics::roc::Ranked;
use roentgen::rng::Rng;

const TRIALS: usize = 2000;
const REPLICATES: usize = 500;

/// Whether Wald's (DeLong), the logit (DeLong), the clustered logit and the bootstrap interval hold `auroc` in one
/// simulated test set.
fn trial(auroc: f64, positives: u32, images: u32, seed: u64) -> [bool; 4] {
    let mut rng = Rng::new(seed, 0);
    let shift = 2.0f64.sqrt() * normal_quantile(auroc);
    let (mut y, mut scores, mut patients) = (Vec::new(), Vec::new(), Vec::new());
    let mut patient = 0;
    for (positive, count) in [(true, positives), (false, positives.max(1000))] {
        let mut common = 0.0;
        for image in 0..count {
            if image % images == 0 {
                patient += 1;
                common = rng.normal();
            }
            let own = rng.normal();
            let noise = if images == 1 { own } else { 0.5f64.sqrt() * (common + own) };
            y.push(positive);
            scores.push(noise + if positive { shift } else { 0.0 });
            patients.push(patient - 1);
        }
    }
    let ranked = Ranked::new(&y, &scores).expect("simulated scores are finite");
    let headline = |ids| {
        let e = Placements::new(&ranked, ids).map(|p| p.headline().estimate);
        e.and_then(|e| e.ci_low.zip(e.ci_high))
    };
    let wald = auroc_delong(&ranked).and_then(|e| e.ci_low.zip(e.ci_high));
    let sample = Sample::new(&ranked, &patients, None).expect("one patient for each row");
    let draws = draw(&[sample], patient, REPLICATES, seed).expect("few rows");
    let drawn = percentile(&draws[0].auroc, 0.95).map(|p| (p.low, p.high));
    [wald, headline(None), headline(Some(&patients)), drawn]
        .map(|ci| ci.is_some_and(|(low, high)| low <= auroc && auroc <= high))
}

fn main() {
    println!(
        "Coverage in percent of nominal 95% intervals; {TRIALS} test sets a row, {REPLICATES} bootstrap replicates.\n"
    );
    println!(
        "| AUROC | positives | images a patient | Wald (DeLong) | logit (DeLong) | logit (clustered) | patient bootstrap |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for images in [1, 4] {
        for positives in [15, 50, 200, 2000] {
            for auroc in [0.7, 0.85, 0.95, 0.98] {
                let held: Vec<[bool; 4]> =
                    (0..TRIALS as u64).into_par_iter().map(|seed| trial(auroc, positives, images, seed)).collect();
                let share = |k: usize| 100.0 * held.iter().filter(|h| h[k]).count() as f64 / TRIALS as f64;
                print!("| {auroc} | {positives} | {images} |");
                println!(" {:.1} | {:.1} | {:.1} | {:.1} |", share(0), share(1), share(2), share(3));
            }
        }
    }
}
