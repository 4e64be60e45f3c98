//! Batch normalisation in training (Ioffe and Szegedy, 2015): with the mean and variance of the batch at hand.

use std::hint::black_box;

use candle_core::{Result, Tensor, Var, bail};
use rayon::prelude::*;

use super::kernels::{Set, sums_with};
use super::tape::{Node, Tape};
use super::{Activation, composed, cpu};

/// What a norm learns and what it remembers of the batches, `[channels]` each.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// Scale of the normed values.
    pub weight: Var,
    /// Added to them.
    pub bias: Var,
    /// Running mean.
    pub mean: Var,
    /// Running variance, unbiased.
    pub variance: Var,
    /// Added to the variance.
    pub eps: f64,
}

/// Part of a batch's mean and variance in the running ones: PyTorch's default.
pub(super) const MOMENTUM: f64 = 0.1;

/// What is said of a channel of a single value.
pub(super) const TOO_FEW: &str =
    "batch norm in training needs more than one value in a channel: more images or larger ones";

/// Planes that a task works on at least.
pub(super) const PLANES: usize = 4;

impl BatchNorm {
    /// Adds a batch to what is remembered, as PyTorch does.
    pub(super) fn remember(&self, moments: &[Moments]) -> Result<()> {
        let update = |var: &Var, of: &dyn Fn(&Moments) -> f64| {
            cpu::write(var.as_tensor(), |values| {
                for (value, moments) in values.iter_mut().zip(moments) {
                    *value = ((1.0 - MOMENTUM) * f64::from(*value) + MOMENTUM * of(moments)) as f32;
                }
                Ok(())
            })
        };
        update(&self.mean, &|m| m.mean)?;
        update(&self.variance, &|m| m.variance * m.count / (m.count - 1.0))
    }

    /// Scale and shift of every channel in a batch with these moments.
    pub(super) fn scale_and_shift(&self, moments: &[Moments]) -> Result<(Vec<f32>, Vec<f32>)> {
        cpu::read(self.weight.as_tensor(), |weight| {
            cpu::read(self.bias.as_tensor(), |bias| {
                Ok(weight.iter().zip(bias).zip(moments).map(|((w, b), m)| m.fold(*w, *b, self.eps)).unzip())
            })
        })
    }
}

/// What a channel is like over a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moments {
    pub mean: f64,
    /// Biased.
    pub variance: f64,
    /// Values.
    pub count: f64,
}

impl Moments {
    /// Of every channel of `x`, some images of as many planes of `area` values. A channel of a single value is an error.
    pub fn of(x: &[f32], channels: usize, area: usize) -> Result<Vec<Self>> {
        let count = x.len() / channels;
        if count < 2 {
            bail!("{TOO_FEW}");
        }
        let set = Set::best();
        let planes = x.par_chunks_exact(area).with_min_len(PLANES);
        let sums: Vec<_> = planes.map(|plane| sums_with(set, plane, plane)).collect();
        Ok(Self::from_sums(&sums, channels, count as f64))
    }

    /// From the sums of all planes and of their squares, image after image, of `count` values a channel.
    pub fn from_sums(sums: &[(f64, f64)], channels: usize, count: f64) -> Vec<Self> {
        let each = per_channel(sums, channels).into_iter().map(|(sum, squares)| {
            let mean = sum / count;
            Self { mean, variance: (squares / count - mean * mean).max(0.0), count }
        });
        each.collect()
    }

    /// Scale and shift of a norm's weight and bias.
    pub fn fold(&self, weight: f32, bias: f32, eps: f64) -> (f32, f32) {
        let scale = f64::from(weight) * self.inverse(eps);
        (scale as f32, (f64::from(bias) - self.mean * scale) as f32)
    }

    /// One over the standard deviation.
    pub fn inverse(&self, eps: f64) -> f64 {
        1.0 / (self.variance + eps).sqrt()
    }
}

/// Sums of planes as sums of channels, image after image.
pub(super) fn per_channel(planes: &[(f64, f64)], channels: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); channels];
    for image in planes.chunks_exact(channels) {
        for (sum, part) in sums.iter_mut().zip(image) {
            *sum = (sum.0 + part.0, sum.1 + part.1);
        }
    }
    sums
}

/// `activation(scale * x + shift + residual)` of a plane.
#[inline(always)]
pub(super) fn apply(
    x: &[f32],
    (scale, shift): (f32, f32),
    residual: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    let (low, high) = activation.limits();
    match residual {
        Some(residual) => {
            let values = x.iter().zip(residual);
            out.iter_mut().zip(values).for_each(|(out, (x, r))| *out = (x * scale + shift + r).clamp(low, high));
        }
        None => out.iter_mut().zip(x).for_each(|(out, x)| *out = (x * scale + shift).clamp(low, high)),
    }
}

/// Sets the gradients to 0 where the activation's result `y` is a limit.
#[inline(always)]
pub(super) fn mask(grad: &mut [f32], y: &[f32], activation: Activation) {
    // Limits that the compiler knows would become a test of classes of numbers, one by one.
    let (low, high) = black_box(activation.limits());
    grad.iter_mut().zip(y).for_each(|(g, y)| *g = if *y > low && *y < high { *g } else { 0.0 });
}

/// What the gradient of a channel's normed values is to the values before the norm: `a * grad + b * (x - mean) + c`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coefficients {
    a: f32,
    b: f32,
    c: f32,
    mean: f32,
}

impl Coefficients {
    /// From the sum of the channel's gradients and of their products with the values before the norm.
    fn new(weight: f32, (sum, products): (f64, f64), moments: &Moments, eps: f64) -> Self {
        let inverse = moments.inverse(eps);
        let a = f64::from(weight) * inverse;
        let b = -a * inverse * inverse * (products - moments.mean * sum) / moments.count;
        Self { a: a as f32, b: b as f32, c: (-a * sum / moments.count) as f32, mean: moments.mean as f32 }
    }

    #[inline(always)]
    fn apply(&self, grad: f32, x: f32) -> f32 {
        self.a * grad + self.b * (x - self.mean) + self.c
    }
}

/// The gradients of a norm's weight and bias, and how those of its input come about.
pub(super) struct Backward {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    coefficients: Vec<Coefficients>,
}

impl Backward {
    /// From the sums, per channel, of the gradients of the normed values and of their products with the values before.
    pub fn new(sums: &[(f64, f64)], weight: &[f32], moments: &[Moments], eps: f64) -> Self {
        let each = || sums.iter().zip(moments);
        let product = |((sum, products), m): (&(f64, f64), &Moments)| (products - m.mean * sum) * m.inverse(eps);
        Self {
            weight: each().map(|of| product(of) as f32).collect(),
            bias: sums.iter().map(|(sum, _)| *sum as f32).collect(),
            coefficients: each().zip(weight).map(|((s, m), w)| Coefficients::new(*w, *s, m, eps)).collect(),
        }
    }

    /// Turns gradients of normed values, planes of `area` values, into those of the values `x` before.
    pub fn apply(&self, x: &[f32], grad: &mut [f32], area: usize) {
        let set = Set::best();
        let planes = x.par_chunks_exact(area).zip(grad.par_chunks_exact_mut(area)).enumerate();
        planes.with_min_len(PLANES).for_each(|(i, (x, grad))| {
            let coefficients = self.coefficients[i % self.coefficients.len()];
            set.compile(|| grad.iter_mut().zip(x).for_each(|(g, x)| *g = coefficients.apply(*g, *x)));
        });
    }
}

/// Sums per channel of the gradients and of their products with `x`, planes of `area` values; where an activation with the
/// results `y` follows, after the gradients have become those before it.
pub(super) fn gradient_sums(
    x: &[f32],
    grad: &mut [f32],
    behind: Option<(&[f32], Activation)>,
    channels: usize,
    area: usize,
) -> Vec<(f64, f64)> {
    let set = Set::best();
    let planes = x.par_chunks_exact(area).zip(grad.par_chunks_exact_mut(area)).enumerate().with_min_len(PLANES);
    let each = planes.map(|(i, (x, grad))| {
        if let Some((y, activation)) = behind {
            set.compile(|| mask(grad, &y[i * area..][..area], activation));
        }
        sums_with(set, grad, x)
    });
    per_channel(&each.collect::<Vec<_>>(), channels)
}

impl Tape {
    /// `activation(norm(x) + residual)` of `[n, channels, h, w]`, where the norm uses the batch's own mean and biased
    /// variance and adds them to the running ones. A channel of a single value is an error.
    pub fn batch_norm(
        &mut self,
        x: Node,
        norm: &BatchNorm,
        residual: Option<Node>,
        activation: Activation,
    ) -> Result<Node> {
        if self.precision().is_some() {
            return composed::batch_norm(self, x, norm, residual, activation);
        }
        let (_, channels, h, w) = x.value().dims4()?;
        let area = h * w;
        let (weight, bias) = (self.parameter(&norm.weight), self.parameter(&norm.bias));
        if weight.value().dims() != [channels]
            || residual.as_ref().is_some_and(|r| r.value().dims() != x.value().dims())
        {
            bail!("a norm of {:?} over {:?}", weight.value().shape(), x.value().shape());
        }
        let moments = cpu::read(x.value(), |x| Moments::of(x, channels, area))?;
        norm.remember(&moments)?;
        let (scale, shift) = norm.scale_and_shift(&moments)?;
        let forward = |residual: Option<&[f32]>| {
            cpu::read(x.value(), |x| {
                let (set, mut out) = (Set::best(), cpu::zeros(x.len()));
                let planes = x.par_chunks_exact(area).zip(out.par_chunks_exact_mut(area)).enumerate();
                planes.with_min_len(PLANES).for_each(|(i, (x, out))| {
                    let channel = (scale[i % channels], shift[i % channels]);
                    let residual = residual.map(|r| &r[i * area..][..area]);
                    set.compile(|| apply(x, channel, residual, activation, out));
                });
                Ok(out)
            })
        };
        let y = match &residual {
            Some(residual) => cpu::read(residual.value(), |r| forward(Some(r)))?,
            None => forward(None)?,
        };
        let y = Tensor::from_vec(y, x.value().shape(), x.value().device())?;
        let inputs = [Some(&x), Some(&weight), Some(&bias), residual.as_ref()];
        let (saved, results, weights, eps) = (x.value().clone(), y.clone(), weight.value().clone(), norm.eps);
        let with_residual = residual.is_some();
        Ok(self.push(&inputs.into_iter().flatten().collect::<Vec<_>>(), y, move |grad| {
            let backward = cpu::read(&saved, |x| {
                cpu::read(&results, |y| {
                    cpu::read(&weights, |weight| {
                        cpu::write(&grad, |grad| {
                            let behind = (activation != Activation::Identity).then_some((y, activation));
                            let sums = gradient_sums(x, grad, behind, channels, area);
                            Ok(Backward::new(&sums, weight, &moments, eps))
                        })
                    })
                })
            })?;
            drop(results);
            let before = if with_residual { grad.copy()? } else { grad.clone() };
            let onward = with_residual.then_some(grad);
            cpu::read(&saved, |x| {
                cpu::write(&before, |grad| {
                    backward.apply(x, grad, area);
                    Ok(())
                })
            })?;
            let vector = |values: Vec<f32>| Tensor::from_vec(values, channels, saved.device());
            let mut gradients = vec![Some(before), Some(vector(backward.weight)?), Some(vector(backward.bias)?)];
            gradients.extend(onward.map(Some));
            Ok(gradients)
        }))
    }
}
