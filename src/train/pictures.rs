//! Pictures of a part of the data: decoded and brought to their size once, kept while there is room, varied anew for
//! every showing.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::loss::{self, Targets};
use super::sampling::Showing;
use crate::cards::model::Input;
use crate::data::{Dataset, Sample};
use crate::error::{Error, Result};
use crate::files;
use crate::imaging::augment::Augment;
use crate::imaging::picture::{Picture, Pixels};
use crate::imaging::preprocess;
use crate::inference::prepare;
use crate::labels;
use crate::predictions::Policy;
use crate::rng::Rng;

/// Bytes of pictures that may still be kept decoded, by all parts together.
static ROOM: AtomicUsize = AtomicUsize::new(2 << 30);

/// The pictures of a part.
pub(super) struct Pictures {
    samples: Vec<Sample>,
    /// One list an image, in the order of the network's labels.
    truths: Vec<Vec<Option<bool>>>,
    input: Input,
    shape: Input,
    rest: Input,
    kept: Vec<OnceLock<Picture>>,
}

/// How the pictures of an epoch are varied.
#[derive(Clone, Copy)]
pub(super) struct Variation<'a> {
    pub augment: &'a Augment,
    pub seed: u64,
    pub epoch: usize,
}

impl Pictures {
    /// Of `dataset`, for a network of these labels, each of which the dataset must tell.
    pub fn new(dataset: &Dataset, wanted: &[String], input: &Input, policy: Policy) -> Result<Self> {
        let place = |label: &String| {
            labels::find(&dataset.labels, label).ok_or_else(|| {
                Error::new(format!("the dataset {} says nothing of the label {label}", dataset.name))
                    .at("`model.labels`")
                    .mend(format!("it tells {}", dataset.labels.join(", ")))
            })
        };
        let places = wanted.iter().map(place).collect::<Result<Vec<_>>>()?;
        let (shape, rest) = preprocess::split(input);
        Ok(Self {
            samples: dataset.samples.clone(),
            truths: dataset.samples.iter().map(|s| loss::truths(policy, &s.truths, &places)).collect(),
            input: input.clone(),
            shape,
            rest,
            kept: dataset.samples.iter().map(|_| OnceLock::new()).collect(),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// The truths of each, `None` where not known.
    pub fn truths(&self) -> &[Vec<Option<bool>>] {
        &self.truths
    }

    /// These pictures as a network's input `[n, channels, h, w]`, and their truths. What cannot be read is an error.
    pub fn batch(&self, showings: &[Showing], variation: Option<Variation>) -> Result<(Tensor, Targets)> {
        let planes = showings.par_iter().map(|s| self.planes(*s, variation)).collect::<Result<Vec<_>>>()?;
        let (_, height, width) = planes.first().ok_or_else(|| Error::new("a batch without images"))?;
        let (height, width) = (*height, *width);
        let mut values = Vec::with_capacity(planes.len() * self.input.channels * height * width);
        for ((plane, h, w), showing) in planes.iter().zip(showings) {
            if (*h, *w) != (height, width) {
                return Err(Error::new(format!("{w}x{h} pixels, others of the batch have {width}x{height}"))
                    .at(format_args!("image {}", self.samples[showing.image].id))
                    .mend("give the recipe's `model.input.steps` a resize to one size"));
            }
            values.extend_from_slice(plane);
        }
        let x = Tensor::from_vec(values, (planes.len(), self.input.channels, height, width), &Device::Cpu)
            .map_err(|e| Error::new(e.to_string()).at("a batch of images"))?;
        let truths: Vec<_> = showings.iter().flat_map(|s| self.truths[s.image].iter().copied()).collect();
        Ok((x, Targets::new(&truths, planes.len())?))
    }

    fn planes(&self, showing: Showing, variation: Option<Variation>) -> Result<(Vec<f32>, usize, usize)> {
        let id = &self.samples[showing.image].id;
        let picture = self.picture(showing.image)?;
        let vary = |planes: &mut [Vec<f32>], size| {
            if let Some(Variation { augment, seed, epoch }) = variation {
                // The picture's own numbers, whatever others there are and in whichever order.
                let hash = files::sha256(id.as_bytes());
                let own = u64::from_str_radix(&hash[..16], 16).unwrap_or_default();
                let mut rng = Rng::new(seed, own ^ ((epoch as u64) << 32 | u64::from(showing.before)));
                augment.apply(planes, size, picture.range, &mut rng);
            }
        };
        preprocess::apply_changed(&self.rest, &picture, vary).map_err(|e| e.at(format_args!("image {id}")))
    }

    /// The picture, decoded and of its size.
    fn picture(&self, image: usize) -> Result<Cow<'_, Picture>> {
        if let Some(picture) = self.kept[image].get() {
            return Ok(Cow::Borrowed(picture));
        }
        let sample = &self.samples[image];
        let (_, picture) = prepare::picture(sample, &self.input);
        let picture = picture
            .and_then(|picture| preprocess::reshape(&self.shape, &picture))
            .map_err(|e| e.at(format_args!("image {}", sample.id)).mend("take it out of the dataset"))?;
        let bytes = match &picture.pixels {
            Pixels::Gray(values) | Pixels::Rgb(values) => values.len(),
            Pixels::Float(values) => 4 * values.len(),
        };
        let keep = ROOM.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(bytes)).is_ok();
        Ok(match keep {
            true => Cow::Borrowed(self.kept[image].get_or_init(|| picture)),
            false => Cow::Owned(picture),
        })
    }
}
