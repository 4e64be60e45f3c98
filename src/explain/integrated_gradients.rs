//! Integrated Gradients (Sundararajan et al. 2017): the gradient on the way from a baseline to the image.

use candle_core::Tensor;

use super::map::Map;
use super::perturb::Planes;
use crate::cards::model::Input;
use crate::error::{Error, Result};
use crate::imaging::picture::{Picture, Pixels};
use crate::imaging::preprocess;
use crate::models::{self, Model};

/// How the integral is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Gauss and Legendre's points and weights.
    GaussLegendre,
    /// Even steps from baseline to image. As in Captum each weighs 1 / steps and the two ends half of it, though there is
    /// one interval less than steps: totals are low by one part in `steps`.
    Trapezoid,
}

/// Where the way begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// Zeros at the network's input: Captum's default, the mean picture of a normalised input.
    Zeros,
    /// A black picture.
    Black,
    /// The mean of the image, channel by channel.
    Mean,
}

/// How the gradient is integrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Points on the way, at least 2.
    pub steps: usize,
    /// How they are weighed.
    pub rule: Rule,
    /// Where it begins.
    pub baseline: Baseline,
}

impl Default for Settings {
    fn default() -> Self {
        Self { steps: 32, rule: Rule::GaussLegendre, baseline: Baseline::Black }
    }
}

/// An integral and how well it adds up.
#[derive(Debug, Clone, PartialEq)]
pub struct Integral {
    /// What each pixel adds to the logit, its channels summed.
    pub map: Map,
    /// The sum over the map.
    pub total: f64,
    /// The sum's difference from the logit of the image less that of the baseline, which it would equal with steps
    /// enough.
    pub completeness_error: f64,
    /// All logits of the image.
    pub logits: Vec<f32>,
}

/// The integrated gradients of logit number `label` from `baseline` to `image`, both `[1, channels, h, w]`. Steps go
/// through the network as many at a time as there are threads, so memory does not grow with their number.
pub fn integrate(
    model: &Model,
    image: &Tensor,
    baseline: &Tensor,
    label: usize,
    steps: usize,
    rule: Rule,
) -> Result<Integral> {
    if steps < 2 {
        return Err(Error::usage(format!("an integral of {steps} steps")).mend("take 2 or more"));
    }
    let way = (image - baseline).map_err(fault)?;
    let ends = Tensor::cat(&[image, baseline], 0).map_err(fault)?;
    let ends = model.forward(&ends)?.to_vec2::<f32>().map_err(fault)?;
    let logit = |row: usize| ends[row].get(label).copied().map(f64::from);
    let Some((at_image, at_baseline)) = logit(0).zip(logit(1)) else {
        return Err(Error::usage(format!("label number {label} of a model with {}", ends[0].len())));
    };
    let mut sums = vec![0f64; image.elem_count()];
    for points in rule.points(steps).chunks(rayon::current_num_threads().max(2)) {
        let at = |(alpha, _): &(f64, f64)| baseline + (&way * *alpha)?;
        let batch = points.iter().map(at).collect::<candle_core::Result<Vec<_>>>();
        let batch = batch.and_then(|batch| Tensor::cat(&batch, 0)).map_err(fault)?;
        let (gradients, _) = model.input_gradients(&batch, label)?;
        let gradients = gradients.flatten_from(1).and_then(|g| g.to_vec2::<f32>()).map_err(fault)?;
        for (gradient, (_, weight)) in gradients.iter().zip(points) {
            sums.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += weight * f64::from(*g));
        }
    }
    let way = way.flatten_all().and_then(|w| w.to_vec1::<f32>()).map_err(fault)?;
    sums.iter_mut().zip(&way).for_each(|(sum, way)| *sum *= f64::from(*way));
    let total = sums.iter().sum();
    let completeness_error = total - (at_image - at_baseline);
    Ok(Integral { map: summed(image, &sums)?, total, completeness_error, logits: ends[0].clone() })
}

/// The gradient of logit number `label` with respect to one image's pixels, its channels summed (Simonyan et al. 2013,
/// with its sign), and the image's logits.
pub fn gradient(model: &Model, image: &Tensor, label: usize) -> Result<(Map, Vec<f32>)> {
    let (gradient, logits) = model.input_gradients(image, label)?;
    let values = gradient.flatten_all().and_then(|g| g.to_vec1::<f32>()).map_err(fault)?;
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let logits = logits.flatten_all().and_then(|l| l.to_vec1()).map_err(fault)?;
    Ok((summed(image, &values)?, logits))
}

/// The values of one image summed over its channels.
fn summed(image: &Tensor, values: &[f64]) -> Result<Map> {
    let (_, _, height, width) = image.dims4().map_err(fault)?;
    let mut sums = vec![0f64; width * height];
    for plane in values.chunks_exact(width * height) {
        sums.iter_mut().zip(plane).for_each(|(sum, v)| *sum += v);
    }
    Ok(Map { width, height, values: sums.into_iter().map(|v| v as f32).collect() })
}

impl Baseline {
    /// The baseline of an image that was made by the steps of `input` from a picture of `size` (width, height).
    pub fn of(self, image: &Tensor, input: &Input, size: (usize, usize)) -> Result<Tensor> {
        match self {
            Self::Zeros => image.zeros_like().map_err(fault),
            Self::Mean => {
                let (_, _, height, width) = image.dims4().map_err(fault)?;
                let values = image.flatten_all().and_then(|x| x.to_vec1::<f32>()).map_err(fault)?;
                let mean = Planes { values: &values, width, height }.mean();
                Tensor::from_vec(mean, image.shape(), image.device()).map_err(fault)
            }
            Self::Black => {
                let pixels = Pixels::Gray(vec![0; size.0 * size.1]);
                let black = Picture { width: size.0, height: size.1, pixels, range: [0.0, 255.0] };
                let (values, ..) = preprocess::apply(input, &black)?;
                Tensor::from_vec(values, image.shape(), image.device()).map_err(fault)
            }
        }
    }
}

impl Rule {
    /// The points on the way, from 0 to 1, and their weights.
    fn points(self, n: usize) -> Vec<(f64, f64)> {
        match self {
            Self::GaussLegendre => gauss_legendre(n),
            Self::Trapezoid => {
                let weight = |i: usize| if i == 0 || i + 1 == n { 0.5 } else { 1.0 } / n as f64;
                (0..n).map(|i| (i as f64 / (n - 1) as f64, weight(i))).collect()
            }
        }
    }
}

/// Gauss and Legendre's rule of `n` points over 0 to 1: the roots of the Legendre polynomial by Newton's steps.
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let root = |i: usize| {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut p, mut before) = (1.0, 0.0);
            for k in 0..n {
                let k = k as f64;
                (p, before) = (((2.0 * k + 1.0) * x * p - k * before) / (k + 1.0), p);
            }
            slope = n as f64 * (x * p - before) / (x * x - 1.0);
            let step = p / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        (0.5 * (1.0 - x), 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..n).map(root).collect()
}

fn fault(e: candle_core::Error) -> Error {
    models::fault(e).at("Integrated Gradients")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::catalogue;
    use crate::models;
    use candle_core::Device;

    #[test]
    fn gauss_and_legendre_integrate_polynomials() {
        for n in [2, 5, 16, 33, 200] {
            let points = gauss_legendre(n);
            for power in [0, 1, 2 * n - 1] {
                let integral: f64 = points.iter().map(|(x, w)| w * x.powi(power as i32)).sum();
                assert!((integral - 1.0 / (power as f64 + 1.0)).abs() < 1e-12, "{n} {power} {integral}");
            }
            assert!(points.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn it_adds_up_and_does_not_depend_on_threads() {
        let (card, home) = catalogue::model("phantom-densenet").unwrap();
        let (model, _) = models::load(&card, &home, &Device::Cpu).unwrap();
        let values: Vec<f32> = (0..64 * 64).map(|i| (i * 7 % 251) as f32 / 125.0 - 1.0).collect();
        let image = Tensor::from_vec(values, (1, 1, 64, 64), &Device::Cpu).unwrap();
        let baseline = Baseline::Black.of(&image, &card.input, (64, 64)).unwrap();
        assert_eq!(baseline.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [-1.0; 64 * 64]);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| integrate(&model, &image, &baseline, 1, 64, Rule::GaussLegendre)).unwrap()
        };
        let integral = run(1);
        assert_eq!(run(3), integral);
        let gained = integral.total - integral.completeness_error;
        assert!(integral.completeness_error.abs() < 0.05 * gained.abs().max(1.0), "{integral:?}");
        // A constant image is its mean to the last bit.
        let constant = Tensor::full(0.501_960_8f32, (1, 1, 33, 31), &Device::Cpu).unwrap();
        let mean = Baseline::Mean.of(&constant, &card.input, (33, 31)).unwrap();
        let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&mean), values(&constant));
        // A constant image on the way to itself gains nothing.
        let nothing = integrate(&model, &baseline, &baseline, 1, 2, Rule::Trapezoid).unwrap();
        assert_eq!((nothing.total, nothing.completeness_error, nothing.map.highest()), (0.0, 0.0, 0.0));
        assert!(integrate(&model, &image, &baseline, 9, 8, Rule::Trapezoid).is_err());
        assert!(integrate(&model, &image, &baseline, 0, 1, Rule::Trapezoid).is_err());
    }
}
