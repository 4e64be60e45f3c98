//! Looks at labels and some pictures before a run, and says what is probably wrong with them.

use candle_core::{Device, Tensor};

use crate::audit::preflight::{self, Facts};
use crate::cards::catalogue::Home;
use crate::cards::model::ModelCard;
use crate::data::{Dataset, Sample};
use crate::error::Result;
use crate::imaging::picture::{Picture, Pixels};
use crate::imaging::preprocess;
use crate::inference::prepare;
use crate::labels;
use crate::models::{self, Model};

/// Pictures that are looked at before a run.
const PICTURES: usize = 24;

/// What a person should know before a model runs over a dataset, a line each: what was noted as it was read, labels that only
/// one of them has, and what is probably wrong with the pictures. Those that cannot be read are the run's to tell.
pub fn before(card: &ModelCard, home: &Home, dataset: &Dataset, device: &Device) -> Result<Vec<String>> {
    let only = |of: &[String], other: &[String]| {
        let names = of.iter().filter(|name| labels::find(other, name).is_none()).map(String::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    let (lacking, unknown) = (only(&card.labels, &dataset.labels), only(&dataset.labels, &card.labels));
    let mut notes = dataset.notes.clone();
    if !lacking.is_empty() {
        notes.push(format!("the data say nothing of {lacking}: predicted, not evaluated"));
    }
    if !unknown.is_empty() {
        notes.push(format!("the model does not know {unknown}: left out"));
    }
    let with_features = card.reference.as_ref().is_some_and(|r| r.features.is_some());
    let model = if with_features { Some(models::load(card, home, device)?.0) } else { None };
    let sample = facts(card, model.as_ref(), dataset, PICTURES)?;
    notes.extend(preflight::pictures(&sample, card.reference.as_ref()).iter().map(ToString::to_string));
    Ok(notes)
}

/// The facts of at most `count` pictures, spread evenly over the dataset; with features where there is a model.
pub fn facts(card: &ModelCard, model: Option<&Model>, dataset: &Dataset, count: usize) -> Result<Vec<Facts>> {
    let n = dataset.samples.len();
    let chosen = (0..n.min(count)).map(|i| &dataset.samples[i * n / n.min(count)]);
    let mut found = Vec::new();
    for sample in chosen {
        found.extend(of_sample(card, model, sample)?);
    }
    Ok(found)
}

fn of_sample(card: &ModelCard, model: Option<&Model>, sample: &Sample) -> Result<Option<Facts>> {
    let (_, Ok(picture)) = prepare::picture(sample, &card.input) else { return Ok(None) };
    let (values, height, width) = preprocess::apply(&card.input, &picture)?;
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let std = (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let features = match model {
        None => None,
        Some(model) => {
            let x = Tensor::from_vec(values, (1, card.input.channels, height, width), &Device::Cpu);
            let x = x.map_err(|e| models::fault(e).at("preflight"))?;
            let mean = |t: Tensor| t.mean_all()?.to_scalar::<f32>();
            Some(f64::from(mean(model.features(&x)?).map_err(|e| models::fault(e).at("preflight"))?))
        }
    };
    let all = (0..picture.width * picture.height).map(|i| level(&picture, i));
    let own = all.fold([f32::MAX, f32::MIN], |[low, high], v| [low.min(v), high.max(v)]);
    let part = |x, y| part(&picture, own, x, y);
    Ok(Some(Facts {
        values: own,
        range: picture.range,
        lungs: 0.5 * (part([0.2, 0.4], [0.25, 0.65]) + part([0.6, 0.8], [0.25, 0.65])),
        spine: part([0.45, 0.55], [0.4, 0.9]),
        input_mean: mean,
        input_std: std,
        features,
    }))
}

/// A pixel's gray level; of a colour the green one, which is most of its brightness.
fn level(picture: &Picture, i: usize) -> f32 {
    match &picture.pixels {
        Pixels::Gray(v) => f32::from(v[i]),
        Pixels::Rgb(v) => f32::from(v[3 * i + 1]),
        Pixels::Float(v) => v[i],
    }
}

/// Mean of a part of the picture, as a share of its own range of values; 0 where it has none.
fn part(picture: &Picture, [low, high]: [f32; 2], x: [f64; 2], y: [f64; 2]) -> f64 {
    let span = |[from, to]: [f64; 2], size: usize| {
        let from = (from * size as f64) as usize;
        from..((to * size as f64).ceil() as usize).clamp(from + 1, size.max(from + 1)).min(size)
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for row in span(y, picture.height) {
        for column in span(x, picture.width) {
            sum += f64::from(level(picture, row * picture.width + column) - low);
            count += 1.0;
        }
    }
    if high > low && count > 0.0 { sum / count / f64::from(high - low) } else { 0.0 }
}
