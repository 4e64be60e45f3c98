//! `clinical_report.csv`: one row an image, for whoever looks at the images next.

use super::escape;
use crate::error::{Error, Result};

/// One image.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The image.
    pub image: String,
    /// One for each label.
    pub probabilities: Vec<f64>,
    /// Overlays of the findings.
    pub overlays: Vec<String>,
}

/// What holds for all images.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings<'a> {
    /// The labels.
    pub labels: &'a [String],
    /// `probability >= threshold` is a finding; one for each label.
    pub thresholds: Vec<f64>,
    /// Which labels' probabilities went through a calibration map.
    pub calibrated: Vec<bool>,
}

/// The table: `image,findings`, then `p_LABEL,uncertainty_LABEL,threshold_LABEL` for each label, `calibrated`, `overlay`,
/// `notice`. The findings stand from the surest to the least sure; the uncertainty is the entropy of the probability in
/// bits, 0 when certain and 1 at one half.
pub fn to_csv(rows: &[Row], settings: &Settings) -> Result<Vec<u8>> {
    let fault = |e: String| Error::new(e).at("clinical_report.csv");
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header = vec!["image".to_owned(), "findings".to_owned()];
    for label in settings.labels {
        header.extend([format!("p_{label}"), format!("uncertainty_{label}"), format!("threshold_{label}")]);
    }
    header.extend(["calibrated", "overlay", "notice"].map(String::from));
    writer.write_record(&header).map_err(|e| fault(e.to_string()))?;
    let uncalibrated: Vec<&str> =
        settings.labels.iter().zip(&settings.calibrated).filter(|(_, c)| !**c).map(|(l, _)| l.as_str()).collect();
    let calibrated = match uncalibrated.len() {
        0 => "yes".to_owned(),
        n if n == settings.labels.len() => "no".to_owned(),
        _ => format!("all but {}", uncalibrated.join("; ")),
    };
    for row in rows {
        let names = findings(row, settings).into_iter().map(|i| settings.labels[i].as_str()).collect::<Vec<_>>();
        let findings = if names.is_empty() { "none above threshold".to_owned() } else { names.join("; ") };
        let mut record = vec![escape::cell(&row.image), escape::cell(&findings)];
        for (p, threshold) in row.probabilities.iter().zip(&settings.thresholds) {
            record.extend([format!("{p:.4}"), format!("{:.3}", entropy(*p)), threshold.to_string()]);
        }
        record.extend([
            escape::cell(&calibrated),
            escape::cell(&row.overlays.join("; ")),
            "research use only".to_owned(),
        ]);
        writer.write_record(&record).map_err(|e| fault(e.to_string()))?;
    }
    writer.into_inner().map_err(|e| fault(e.to_string()))
}

/// The numbers of the labels at or above their thresholds, the surest first.
pub fn findings(row: &Row, settings: &Settings) -> Vec<usize> {
    let mut found: Vec<usize> =
        (0..settings.labels.len()).filter(|&i| row.probabilities[i] >= settings.thresholds[i]).collect();
    found.sort_by(|&a, &b| row.probabilities[b].total_cmp(&row.probabilities[a]));
    found
}

/// The entropy of a yes-or-no of probability `p`, bits.
fn entropy(p: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * libm::log2(p) } else { 0.0 };
    part(p) + part(1.0 - p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_an_image() {
        let labels = ["Mass".to_owned(), "Effusion".to_owned()];
        let settings = Settings { labels: &labels, thresholds: vec![0.5, 0.25], calibrated: vec![false, true] };
        let row = |image: &str, p: [f64; 2], overlays| Row { image: image.into(), probabilities: p.into(), overlays };
        let rows =
            [row("=a.png", [0.5, 0.75], vec!["overlays/a--effusion.png".into()]), row("b.png", [0.0, 0.2], vec![])];
        assert_eq!(
            String::from_utf8(to_csv(&rows, &settings).unwrap()).unwrap(),
            "image,findings,p_Mass,uncertainty_Mass,threshold_Mass,p_Effusion,uncertainty_Effusion,threshold_Effusion,\
             calibrated,overlay,notice\n\
             '=a.png,Effusion; Mass,0.5000,1.000,0.5,0.7500,0.811,0.25,all but Mass,overlays/a--effusion.png,research use only\n\
             b.png,none above threshold,0.0000,0.000,0.5,0.2000,0.722,0.25,all but Mass,,research use only\n"
        );
    }
}
