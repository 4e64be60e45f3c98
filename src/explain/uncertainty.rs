//! How sure a model is: several probabilities of one image, from changed images (test-time augmentation), dropped units of
//! the head (Gal and Ghahramani 2016) or several models, and what their spread says.

use candle_core::{Device, Tensor};

use crate::cards::model::{ModelCard, Output};
use crate::error::{Error, Result};
use crate::imaging::picture::Picture;
use crate::imaging::preprocess;
use crate::labels;
use crate::models::{Model, probabilities};
use crate::rng::Rng;

/// Where the probabilities of one model differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Nowhere: one probability a model.
    None,
    /// Between slightly turned, zoomed and moved images. None is mirrored: the heart has its side.
    Augmented,
    /// Between draws of the head's dropped units.
    Dropout {
        /// How many draws.
        samples: usize,
        /// Decides them.
        seed: u64,
    },
}

/// Degrees, zoom and shift (in shares of the side) of the augmented images; the first is the image itself.
const AUGMENTED: [(f32, f32, f32, f32); 9] = [
    (0.0, 1.0, 0.0, 0.0),
    (3.0, 1.0, 0.0, 0.0),
    (-3.0, 1.0, 0.0, 0.0),
    (0.0, 1.04, 0.0, 0.0),
    (0.0, 0.96, 0.0, 0.0),
    (0.0, 1.0, 0.03, 0.0),
    (0.0, 1.0, -0.03, 0.0),
    (0.0, 1.0, 0.0, 0.03),
    (0.0, 1.0, 0.0, -0.03),
];

/// What several probabilities of an image's labels say together, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Uncertainty {
    /// The means, one a label.
    pub probabilities: Vec<f64>,
    /// Entropy of the means; of labels that do not exclude each other the sum.
    pub entropy: f64,
    /// The part of it that is disagreement: the entropy less the mean entropy of each.
    pub mutual_information: f64,
}

/// A model among others.
pub struct Member<'a> {
    /// The network.
    pub model: &'a Model,
    /// Its card.
    pub card: &'a ModelCard,
    /// Where the labels of the first member are among its own.
    order: Vec<usize>,
}

impl<'a> Member<'a> {
    /// A member of an ensemble that speaks of `names`. A model that lacks one of them, or whose labels exclude each other
    /// where the first's do not, is an error; so is dropout without any.
    pub fn new(model: &'a Model, card: &'a ModelCard, first: &ModelCard, spread: Spread) -> Result<Self> {
        let place = |e: Error| e.at(format_args!("model `{}`", card.name));
        if matches!(spread, Spread::Dropout { .. }) && !model.has_dropout() {
            let e = Error::usage("the head drops no units").mend("take tta, or set `dropout` in the card's `[[head]]`");
            return Err(place(e));
        }
        if card.output != first.output || card.labels.len() != first.labels.len() {
            return Err(place(Error::usage(format!("its outputs are not those of `{}`", first.name))));
        }
        let number = |name: &String| {
            labels::find(&card.labels, name)
                .ok_or_else(|| place(Error::usage(format!("it does not know {name} of `{}`", first.name))))
        };
        let order = first.labels.iter().map(number).collect::<Result<_>>()?;
        Ok(Self { model, card, order })
    }

    /// The probabilities of a picture, one list a view of it, in the order of the first member's labels.
    pub fn probabilities(&self, picture: &Picture, spread: Spread) -> Result<Vec<Vec<f64>>> {
        let (values, height, width) = preprocess::apply(&self.card.input, picture)?;
        let channels = self.card.input.channels;
        let fault = |e: candle_core::Error| Error::new(e.to_string()).at("uncertainty");
        let views = match spread {
            Spread::Augmented => AUGMENTED.iter().flat_map(|a| moved(&values, width, height, *a)).collect(),
            Spread::None | Spread::Dropout { .. } => values,
        };
        let n = views.len() / (channels * height * width);
        let x = Tensor::from_vec(views, (n, channels, height, width), &Device::Cpu).map_err(fault)?;
        let logits = match spread {
            Spread::Dropout { samples, seed } => {
                let mut rng = Rng::new(seed, 0);
                self.model.dropped(&x, samples, &mut || rng.uniform())?
            }
            Spread::None | Spread::Augmented => self.model.forward(&x)?.to_vec2::<f32>().map_err(fault)?,
        };
        let ordered = |logits: &Vec<f32>| {
            let p = probabilities(self.card.output, logits);
            self.order.iter().map(|i| p[*i]).collect()
        };
        Ok(logits.iter().map(ordered).collect())
    }
}

impl Uncertainty {
    /// Of lists of probabilities, at least one, each of the same labels.
    pub fn of(views: &[Vec<f64>], output: Output) -> Self {
        let n = views.len() as f64;
        let labels = views.first().map_or(0, Vec::len);
        let means: Vec<f64> = (0..labels).map(|l| views.iter().map(|p| p[l]).sum::<f64>() / n).collect();
        let total = entropy(&means, output);
        let each = views.iter().map(|p| entropy(p, output)).sum::<f64>() / n;
        Self { probabilities: means, entropy: total, mutual_information: (total - each).max(0.0) }
    }
}

fn entropy(p: &[f64], output: Output) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    match output {
        Output::Softmax => p.iter().map(|p| part(*p)).sum(),
        Output::Sigmoid => p.iter().map(|p| part(*p) + part(1.0 - p)).sum(),
    }
}

/// Planes turned by degrees, zoomed and shifted around their middle; the edge goes on outside.
fn moved(values: &[f32], width: usize, height: usize, (degrees, zoom, dx, dy): (f32, f32, f32, f32)) -> Vec<f32> {
    if (degrees, zoom, dx, dy) == (0.0, 1.0, 0.0, 0.0) {
        return values.to_vec();
    }
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (middle_x, middle_y) = (width as f32 / 2.0, height as f32 / 2.0);
    let mut out = Vec::with_capacity(values.len());
    for plane in values.chunks_exact(width * height) {
        let value = |x: usize, y: usize| plane[y * width + x];
        let along = |v: f32, n: usize| {
            let at = (v - 0.5).clamp(0.0, (n - 1) as f32);
            (at as usize, (at as usize + 1).min(n - 1), at.fract())
        };
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (u, v) = ((x as f32 + 0.5 - middle_x) / zoom, (y as f32 + 0.5 - middle_y) / zoom);
            let (x0, x1, sx) = along(u * cos + v * sin + middle_x + dx * width as f32, width);
            let (y0, y1, sy) = along(v * cos - u * sin + middle_y + dy * height as f32, height);
            let row = |y: usize| value(x0, y) * (1.0 - sx) + value(x1, y) * sx;
            out.push(row(y0) * (1.0 - sy) + row(y1) * sy);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agreement_has_no_mutual_information() {
        let same = Uncertainty::of(&[vec![0.5, 0.0], vec![0.5, 0.0]], Output::Sigmoid);
        assert_eq!((same.entropy, same.mutual_information), (2f64.ln(), 0.0));
        let apart = Uncertainty::of(&[vec![1.0, 0.0], vec![0.0, 1.0]], Output::Softmax);
        assert_eq!(
            (apart.probabilities, apart.entropy, apart.mutual_information),
            (vec![0.5, 0.5], 2f64.ln(), 2f64.ln())
        );
    }

    #[test]
    fn moving_moves() {
        let plane: Vec<f32> = (0..100).map(|i| (i % 10) as f32).collect();
        let right = moved(&plane, 10, 10, (0.0, 1.0, 0.1, 0.0));
        assert!(right.iter().zip(&plane).all(|(a, b)| (a - (b + 1.0).min(9.0)).abs() < 1e-4));
        let turned = moved(&plane, 10, 10, (90.0, 1.0, 0.0, 0.0));
        // What was to the right is now on top or below.
        assert!((0..10).all(|x| (turned[x] - turned[0]).abs() < 1e-3) && (turned[0] - turned[90]).abs() > 8.0);
    }

    proptest! {
        #[test]
        fn it_lies_between_nothing_and_the_entropy(views in prop::collection::vec(prop::collection::vec(0f64..=1.0, 3), 1..6)) {
            let u = Uncertainty::of(&views, Output::Sigmoid);
            prop_assert!(u.mutual_information >= 0.0 && u.mutual_information <= u.entropy + 1e-12);
        }
    }
}
