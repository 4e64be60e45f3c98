//! Pictures of right and wrong calls for a report: drawn once, into the run's `explain/`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Device;

use crate::cards::catalogue;
use crate::cli::explain_work;
use crate::data::{self, Dataset, Sample};
use crate::error::{Error, Result};
use crate::explain::explainer::{Explainer, Method};
use crate::explain::gradcam::Cam;
use crate::explain::overlay::{self, Caption};
use crate::imaging::encode;
use crate::metrics::operating_point::Rule;
use crate::metrics::roc::Ranked;
use crate::models::{self, Model};
use crate::predictions::{self, Predictions};
use crate::report::examples::{self, Example, Outcome};
use crate::run::{Description, RunFolder};

/// Labels that pictures are drawn of.
const LABELS: usize = 20;

/// Draws for each label, at Youden's threshold, the surest true positive, the surest false positive and the surest false
/// negative with the model's Grad-CAM over them, into the run's `explain/`. `model` names the model's card where it is not
/// bundled, `root` the folder of the images where the dataset's card does not.
pub fn draw(folder: &RunFolder, run: &Description, model: Option<&str>, root: Option<&Path>) -> Result<()> {
    let (_, home) = catalogue::model(model.unwrap_or(&run.model.name))?;
    let (network, weights) = models::load(&run.model, &home, &Device::Cpu)?;
    if weights != run.hashes.weights {
        return Err(Error::new("the weights are not those of the run").at(format_args!("model `{}`", run.model.name)));
    }
    let dataset = data::load(&run.dataset, root, run.split.as_deref())?;
    let (list, pictures) = make(folder, run, &network, &dataset)?;
    examples::write(folder, &list, &pictures)
}

/// The same in memory: the examples and their pictures.
pub fn make(
    folder: &RunFolder,
    run: &Description,
    network: &Model,
    dataset: &Dataset,
) -> Result<(Vec<Example>, Vec<Vec<u8>>)> {
    let chosen = choose(&predictions::read(&folder.predictions(), None)?, run)?;
    let samples: HashMap<&str, &Sample> = dataset.samples.iter().map(|s| (s.id.as_str(), s)).collect();
    let explainer = Explainer::new(network, &run.model, Method::Cam(Cam::GradCam), None)?;
    let picture = |(example, label): &(Example, usize)| {
        let sample = samples.get(example.image.as_str()).ok_or_else(|| {
            Error::new(format!("image `{}` is not there", example.image))
                .mend("give the folder of the images with --root")
        })?;
        overlaid(&explainer, sample, *label, example)
    };
    let pictures = chosen.iter().map(picture).collect::<Result<_>>()?;
    Ok((chosen.into_iter().map(|(example, _)| example).collect(), pictures))
}

/// The examples with the number of their label in the model.
fn choose(table: &Predictions, run: &Description) -> Result<Vec<(Example, usize)>> {
    let mut chosen = Vec::new();
    for (number, name) in run.model.labels.iter().enumerate().take(LABELS) {
        let Some(label) = table.labels.iter().find(|l| l.name == *name) else { continue };
        let (Some(truths), Some(scores)) = (&label.truths, &label.scores) else { continue };
        let (rows, y) = run.policy.rows(truths);
        let p: Vec<f64> = rows.iter().map(|&row| scores[row as usize]).collect();
        if y.is_empty() {
            continue;
        }
        let Some(&threshold) = Rule::Youden.fit(&Ranked::new(&y, &p)?).first() else { continue };
        let surest = |positive: bool, called: bool| {
            let of = (0..y.len()).filter(|&i| y[i] == positive && (p[i] >= threshold) == called);
            // Ties go to the first row.
            let better = |i: usize, best: usize| if called { p[i] > p[best] } else { p[i] < p[best] };
            of.reduce(|best, i| if better(i, best) { i } else { best })
        };
        for (outcome, word, i) in [
            (Outcome::Tp, "tp", surest(true, true)),
            (Outcome::Fp, "fp", surest(false, true)),
            (Outcome::Fn, "fn", surest(true, false)),
        ] {
            let Some(i) = i else { continue };
            let example = Example {
                file: format!("{:02}_{word}.png", number + 1),
                label: name.clone(),
                outcome,
                image: table.images[rows[i] as usize].clone(),
                probability: p[i],
                threshold,
                method: "Grad-CAM, last feature maps".into(),
            };
            chosen.push((example, number));
        }
    }
    Ok(chosen)
}

/// The picture of `sample` with the map of the label number `label` over it, as a PNG.
fn overlaid(explainer: &Explainer, sample: &Sample, label: usize, example: &Example) -> Result<Vec<u8>> {
    let caption = |_| Caption {
        image: example.image.clone(),
        label: example.label.clone(),
        probability: example.probability,
        threshold: example.threshold,
        method: example.method.clone(),
    };
    let drawn = explain_work::overlays(explainer, sample, &[label], caption)?;
    let small = overlay::thumbnail(&drawn[0]);
    encode::png_rgb(small.width, small.height, &small.rgb)
}
