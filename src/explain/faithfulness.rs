//! Does the model depend on what a map shows? Deletion and insertion (Petsiuk et al. 2018) and ROAD (Rong et al. 2022).

use candle_core::{Device, Tensor};

use super::map::Map;
use super::perturb::Planes;
use crate::cards::model::Output;
use crate::error::{Error, Result};
use crate::models::{self, Model, probabilities};
use crate::rng::Rng;

/// Steps from the whole image to none of it.
const STEPS: usize = 10;
/// Shares of the pixels that ROAD takes away.
const SHARES: [f64; 4] = [0.2, 0.4, 0.6, 0.8];

/// How much a label's probability depends on the places of a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Faithfulness {
    /// Area under the probability while the highest places are evened out first; low is good.
    pub deletion: f64,
    /// Area under the probability while the highest places come back first into the blurred image; high is good.
    pub insertion: f64,
    /// Half the difference of the probability with the lowest and with the highest places filled in, over four shares
    /// (ROADCombined of pytorch-grad-cam); above 0 is good.
    pub road: f64,
}

/// The image and what is asked of it.
pub struct Probe<'a> {
    /// The network.
    pub model: &'a Model,
    /// How its logits become probabilities.
    pub output: Output,
    /// Number of the label.
    pub label: usize,
    /// Decides the noise and the order of places of one value.
    pub seed: u64,
}

impl Probe<'_> {
    /// How faithful `map` is for one `image` `[1, channels, h, w]`.
    pub fn measure(&self, image: &Tensor, map: &Map) -> Result<Faithfulness> {
        let (_, channels, height, width) = image.dims4().map_err(fault)?;
        let values = image.flatten_all().and_then(|x| x.to_vec1::<f32>()).map_err(fault)?;
        let planes = Planes { values: &values, width, height };
        let order = self.order(&map.resized(width, height));
        let (mean, blurred) = (planes.mean(), planes.blurred());
        let mut batch = Vec::with_capacity((2 * STEPS + 2 + 2 * SHARES.len()) * values.len());
        let taken = |from: &[f32], to: &[f32], count: usize| {
            let mut mixed = from.to_vec();
            for at in &order[..count] {
                (0..channels).for_each(|c| mixed[c * order.len() + at] = to[c * order.len() + at]);
            }
            mixed
        };
        for step in 0..=STEPS {
            let count = order.len() * step / STEPS;
            batch.extend(taken(&values, &mean, count));
            batch.extend(taken(&blurred, &values, count));
        }
        let mut rng = Rng::new(self.seed, 1);
        for share in SHARES {
            let count = (share * order.len() as f64) as usize;
            for (first, last) in [(0, count), (order.len() - count, order.len())] {
                let mut gone = vec![false; order.len()];
                order[first..last].iter().for_each(|at| gone[*at] = true);
                batch.extend(planes.filled(&gone, &mut rng));
            }
        }
        let n = batch.len() / values.len();
        let batch = Tensor::from_vec(batch, (n, channels, height, width), &Device::Cpu).map_err(fault)?;
        let logits = self.model.forward(&batch)?.to_vec2::<f32>().map_err(fault)?;
        let p: Vec<f64> = logits.iter().map(|logits| probabilities(self.output, logits)[self.label]).collect();
        let (curves, road) = p.split_at(2 * STEPS + 2);
        let curve = |first: usize| area(curves.iter().skip(first).step_by(2).copied());
        let road = road.chunks_exact(2).map(|pair| (pair[1] - pair[0]) / 2.0).sum::<f64>() / SHARES.len() as f64;
        Ok(Faithfulness { deletion: curve(0), insertion: curve(1), road })
    }

    /// Places from the highest value to the lowest; those of one value in an order of chance.
    fn order(&self, map: &Map) -> Vec<usize> {
        let mut rng = Rng::new(self.seed, 0);
        let mut order: Vec<(f32, u64, usize)> =
            map.values.iter().enumerate().map(|(at, v)| (*v, rng.bits(), at)).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(_, _, at)| at).collect()
    }
}

/// A map of `like`'s size that knows nothing, number `number` of `seed`.
pub fn random(like: &Map, seed: u64, number: u64) -> Map {
    let mut rng = Rng::new(seed, number);
    let values = like.values.iter().map(|_| rng.uniform() as f32).collect();
    Map { values, ..like.clone() }
}

/// Area under evenly spaced values, from 0 to 1, by trapezoids.
fn area(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let last = values.len() - 1;
    let weight = |i: usize| if i == 0 || i == last { 0.5 } else { 1.0 };
    values.enumerate().map(|(i, v)| weight(i) * v).sum::<f64>() / last as f64
}

fn fault(e: candle_core::Error) -> Error {
    models::fault(e).at("faithfulness")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::catalogue;
    use crate::data::phantom::{Cohort, LABELS, render};
    use crate::models;

    #[test]
    fn a_map_of_the_finding_is_faithful_and_its_opposite_is_not() {
        let (card, home) = catalogue::model("phantom-densenet").unwrap();
        let (model, _) = models::load(&card, &home, &Device::Cpu).unwrap();
        let cohort = Cohort::new(2024, 40, 128).unwrap();
        let nodule = LABELS.iter().position(|l| *l == "Nodule").unwrap();
        let (mut right, mut wrong, mut n) = (Faithfulness::default(), Faithfulness::default(), 0);
        for phantom in cohort.images().iter().map(|id| render(&cohort, id)) {
            let Some(mask) = &phantom.masks[nodule] else { continue };
            let values = phantom.pixels.iter().map(|v| f32::from(*v) / 127.5 - 1.0).collect();
            let image = Tensor::from_vec(values, (1, 1, 128, 128), &Device::Cpu).unwrap();
            let probe = Probe { model: &model, output: card.output, label: nodule, seed: 1 };
            let map = |sign: f32| Map {
                width: 128,
                height: 128,
                values: mask.iter().map(|m| if *m { sign } else { 0.0 }).collect(),
            };
            for (sum, sign) in [(&mut right, 1.0), (&mut wrong, -1.0)] {
                let found = probe.measure(&image, &map(sign)).unwrap();
                assert_eq!(found, probe.measure(&image, &map(sign)).unwrap());
                sum.deletion += found.deletion;
                sum.insertion += found.insertion;
                sum.road += found.road;
            }
            n += 1;
            if n == 4 {
                break;
            }
        }
        assert!(right.road > 0.0 && right.road > wrong.road, "{right:?} {wrong:?}");
        assert!(right.insertion > wrong.insertion, "{right:?} {wrong:?}");
        assert_eq!(area([1.0, 1.0, 0.0].into_iter()), 0.75);
    }
}
