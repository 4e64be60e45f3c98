//! How the numbers of a report were made, and what they do not show, in words.

use super::document::{Document, Material};
use crate::metrics::auroc::FEW;
use crate::metrics::evaluation::BINS;
use crate::metrics::operating_point::FittedOn;

/// The definitions, one a line.
pub fn methods(d: &Document) -> Vec<String> {
    let e = &d.evaluation;
    let clustered = e.n_patients.is_some();
    let mut lines = vec![
        "AUROC: Mann-Whitney's statistic with midranks, counted in whole numbers.".to_owned(),
        match clustered {
            true => "Its interval: on the logit scale with a t quantile; the variance is Obuchowski's (1997) over patients, since \
                     several images of a patient are not independent."
                .to_owned(),
            false => "Its interval: on the logit scale with a t quantile; the variance is DeLong's (1988), since patients are not \
                      known."
                .to_owned(),
        },
        "AP: average precision, the sum of (R[n] - R[n-1]) P[n], without interpolation.".to_owned(),
        match e.bootstrap {
            Some(b) => format!(
                "Intervals of AP, Brier score and ECE: percentiles of {} bootstrap replicates of {}, seed {}.",
                b.replicates,
                if clustered { "patients" } else { "images" },
                b.seed
            ),
            None => "Intervals that only a bootstrap gives (of AP, Brier score and ECE) are left out: none was asked for."
                .to_owned(),
        },
        format!(
            "Operating points: `score >= threshold` is called positive; Youden's index in whole numbers; intervals are Wilson's{}.",
            if clustered { ", clustered by patient" } else { "" }
        ),
        format!(
            "ECE: of the positive class over {BINS} bins [low, high) of equal width, the last one closed; beside it bins of equal \
             count, the debiased estimate (Kumar 2019) and smECE (Blasiok & Nakkiran 2023). p, if calibrated: how often an ECE \
             at least as large comes from simulated truths when the probabilities are true."
        ),
        "Net benefit: Vickers & Elkin (2006), in true positives per image.".to_owned(),
        "Subgroups: each group against all other images; ages fall into bands of 20 years.".to_owned(),
        format!("Labels that are neither positive nor negative: {}.", e.policy.policy),
        "An image that cannot be read has no predictions and counts nowhere; it is listed under failures.".to_owned(),
    ];
    if d.maps.is_some() {
        lines.push(
            "Maps: areas under deletion and insertion (Petsiuk et al. 2018); ROAD (Rong et al. 2022), against 19 random maps, p \
             the share of all that are at least as good; Spearman's correlation with the maps of the network whose weights \
             are in random order (Adebayo et al. 2018). Faithful: p at most 0.05 and a correlation below 0.5."
                .into(),
        );
    }
    if e.labels.iter().any(|l| l.calibration_refused.is_some()) {
        lines.push("Calibration is left out for labels whose scores are no probabilities.".into());
    }
    lines
}

/// What the report does not show, one a line.
pub fn limits(material: &Material) -> Vec<String> {
    let d = &material.document;
    let e = &d.evaluation;
    let mut lines = vec![
        "A research tool, not a medical device: nothing here is a diagnosis or fit for the care of a patient."
            .to_owned(),
        "The numbers hold for these images. Other hospitals, devices and patients give others.".to_owned(),
        "The truths are the dataset's labels, with the errors that these have.".to_owned(),
    ];
    let same = e.labels.iter().flat_map(|l| &l.operating_points).any(|p| p.fitted_on == FittedOn::Same);
    if same {
        lines.push(
            "Thresholds marked `the same images` were chosen on the images they are tried on, which flatters them."
                .into(),
        );
    }
    if e.n_patients.is_none() {
        lines.push(
            "Patients are not known: images of one patient count as independent, and intervals may be too narrow."
                .into(),
        );
    }
    let few: Vec<&str> = e
        .labels
        .iter()
        .filter(|l| l.not_evaluable.is_none() && l.n_pos.min(l.n - l.n_pos) < FEW)
        .map(|l| l.label.as_str())
        .collect();
    if !few.is_empty() {
        lines.push(format!("Fewer than {FEW} images of a class, so that intervals are rough: {}.", few.join(", ")));
    }
    for label in e.labels.iter().filter(|l| l.not_evaluable.is_some()) {
        let reason = label.not_evaluable.as_deref().unwrap_or_default();
        lines.push(format!("{} could not be evaluated: {reason}.", label.label));
    }
    if d.counts.failed > 0 {
        lines.push(format!(
            "{} of {} images could not be read; they may not be missing at random.",
            d.counts.failed, d.counts.images
        ));
    }
    if let Some(limit) = material.description.limit {
        lines.push(format!("Only the first {limit} images were run."));
    }
    if d.subgroups.is_empty() {
        lines.push(
            "The data tell no attribute that images could be grouped by: nothing is known of bias between groups."
                .into(),
        );
    }
    lines
}
