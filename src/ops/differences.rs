//! Steps of training against their definitions in double precision: values, and gradients as differences of values.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use proptest::prelude::*;

use super::{Activation, BatchNorm, DenseLayerTraining, Node, Tape};

const EPS: f64 = 1e-5;

/// Numbers in (-1, 1).
fn noise(seed: u64, shape: &[usize]) -> Var {
    let number = |i: u64| {
        let z = (seed.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z >> 40) as f32) / 8_388_608.0 - 1.0
    };
    let values: Vec<_> = (1..=shape.iter().product::<usize>() as u64).map(number).collect();
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
}

fn norm(seed: u64, channels: usize) -> BatchNorm {
    let var = |part| noise(seed + part, &[channels]);
    BatchNorm { weight: var(0), bias: var(1), mean: var(2), variance: var(3), eps: EPS }
}

/// Whether two lists are the same but for rounding.
fn near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |m: f64, e| m.max(e.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() < 2e-4 * scale, "{what}, value {i}: {f} for {e}");
    }
}

/// Compares what `step` makes of `inputs`, and all gradients of a weighted sum of it, with `definition`.
fn check(inputs: &[Var], step: impl FnOnce(&mut Tape) -> Result<Node>, definition: impl Fn(&[Vec<f64>]) -> Vec<f64>) {
    let mut tape = Tape::default();
    let node = step(&mut tape).unwrap();
    let values: Vec<_> = inputs.iter().map(|var| numbers(var.as_tensor())).collect();
    near("result", &numbers(node.value()), &definition(&values));
    let weights = noise(99, node.value().dims());
    let sums = numbers(weights.as_tensor());
    let loss = |values: &[Vec<f64>]| definition(values).iter().zip(&sums).map(|(y, w)| y * w).sum::<f64>();
    // A store is made by a backward pass alone.
    let mut grads: GradStore = noise(1, &[1]).sum_all().unwrap().backward().unwrap();
    tape.backward(node, weights.as_tensor(), &mut grads).unwrap();
    for (k, var) in inputs.iter().enumerate() {
        let moved = |i: usize, by: f64| {
            let mut values = values.clone();
            values[k][i] += by;
            loss(&values)
        };
        const STEP: f64 = 1e-6;
        let differences = (0..values[k].len()).map(|i| (moved(i, STEP) - moved(i, -STEP)) / (2.0 * STEP));
        near(&format!("gradient {k}"), &numbers(&grads.remove(var).unwrap()), &differences.collect::<Vec<_>>());
    }
}

/// Batch norm of planes, `[n, channels, area]`.
fn normed(x: &[f64], channels: usize, area: usize, weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let count = (x.len() / channels) as f64;
    let channel = |i: usize| i / area % channels;
    let mut mean = vec![0.0; channels];
    x.iter().enumerate().for_each(|(i, x)| mean[channel(i)] += x / count);
    let mut variance = vec![0.0; channels];
    x.iter().enumerate().for_each(|(i, x)| variance[channel(i)] += (x - mean[channel(i)]).powi(2) / count);
    let one = |(i, x): (usize, &f64)| {
        let c = channel(i);
        (x - mean[c]) / (variance[c] + EPS).sqrt() * weight[c] + bias[c]
    };
    x.iter().enumerate().map(one).collect()
}

/// Convolution of `[n, inputs, h, w]` with `side x side` taps and as much padding as keeps the size.
fn convolved(x: &[f64], inputs: usize, (h, w): (usize, usize), weight: &[f64], side: usize) -> Vec<f64> {
    let outputs = weight.len() / inputs / side / side;
    let mut y = Vec::new();
    for image in x.chunks_exact(inputs * h * w) {
        for (o, row, column) in (0..outputs).flat_map(|o| (0..h * w).map(move |p| (o, p / w, p % w))) {
            let taps = (0..inputs * side * side).map(|t| (t / side / side, t / side % side, t % side));
            y.push(taps.fold(0.0, |sum, (c, ky, kx)| {
                let (Some(at), Some(to)) = ((row + ky).checked_sub(side / 2), (column + kx).checked_sub(side / 2))
                else {
                    return sum;
                };
                if at >= h || to >= w {
                    return sum;
                }
                sum + image[(c * h + at) * w + to] * weight[((o * inputs + c) * side + ky) * side + kx]
            }));
        }
    }
    y
}

fn relu(x: Vec<f64>) -> Vec<f64> {
    x.into_iter().map(|x| x.max(0.0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn batch_norm(
        (n, channels, h, w) in (1usize..4, 1usize..4, 1usize..6, 2usize..20),
        (kind, onto, seed) in (0usize..3, any::<bool>(), 0u64..1 << 40),
    ) {
        let activation = [Activation::Identity, Activation::Relu, Activation::Relu6][kind];
        let (x, residual, norm) = (noise(seed, &[n, channels, h, w]), noise(seed + 1, &[n, channels, h, w]), norm(seed + 2, channels));
        let mut inputs = vec![x.clone(), norm.weight.clone(), norm.bias.clone()];
        inputs.extend(onto.then(|| residual.clone()));
        let before = (numbers(norm.mean.as_tensor()), numbers(norm.variance.as_tensor()));
        check(
            &inputs,
            |tape| {
                let x = tape.parameter(&x);
                let residual = onto.then(|| tape.parameter(&residual));
                tape.batch_norm(x, &norm, residual, activation)
            },
            |values| {
                let y = normed(&values[0], channels, h * w, &values[1], &values[2]);
                let y = y.iter().enumerate().map(|(i, y)| y + values.get(3).map_or(0.0, |r| r[i]));
                let (low, high) = activation.limits();
                y.map(|y| y.clamp(low.into(), high.into())).collect()
            },
        );
        // What is remembered: the mean and the unbiased variance, a tenth of the batch's.
        let (x, count) = (numbers(x.as_tensor()), (n * h * w) as f64);
        for c in 0..channels {
            let of: Vec<_> = x.iter().enumerate().filter(|(i, _)| i / (h * w) % channels == c).map(|(_, x)| *x).collect();
            let mean = of.iter().sum::<f64>() / count;
            let variance = of.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
            near("mean", &numbers(norm.mean.as_tensor())[c..=c], &[0.9 * before.0[c] + 0.1 * mean]);
            near("variance", &numbers(norm.variance.as_tensor())[c..=c], &[0.9 * before.1[c] + 0.1 * variance]);
        }
    }

    #[test]
    fn dense_block(
        (n, first, growth, middle) in (1usize..3, 1usize..4, 1usize..3, 1usize..4),
        (layers, h, w, seed) in (1usize..4, 2usize..5, 2usize..6, 0u64..1 << 40),
    ) {
        let x = noise(seed, &[n, first, h, w]);
        let parts: Vec<_> = (0..layers).map(|i| {
            let (seed, width) = (seed + 100 * (i as u64 + 1), first + i * growth);
            let (squeeze, grow) = (noise(seed + 40, &[middle, width, 1, 1]), noise(seed + 41, &[growth, middle, 3, 3]));
            (norm(seed, width), squeeze, norm(seed + 20, middle), grow)
        }).collect();
        let mut inputs = vec![x.clone()];
        for (a, squeeze, b, grow) in &parts {
            inputs.extend([&a.weight, &a.bias, squeeze, &b.weight, &b.bias, grow].map(Var::clone));
        }
        check(
            &inputs,
            |tape| {
                let x = tape.parameter(&x);
                let layer = |(a, squeeze, b, grow)| DenseLayerTraining { norm: a, squeeze, squeeze_norm: b, grow };
                tape.dense_block(x, &parts.iter().map(|(a, s, b, g)| layer((a, s, b, g))).collect::<Vec<_>>())
            },
            |values| {
                let (mut maps, mut width) = (values[0].clone(), first);
                for of in values[1..].chunks_exact(6) {
                    let y = relu(normed(&maps, width, h * w, &of[0], &of[1]));
                    let y = convolved(&y, width, (h, w), &of[2], 1);
                    let y = relu(normed(&y, middle, h * w, &of[3], &of[4]));
                    let new = convolved(&y, middle, (h, w), &of[5], 3);
                    let images = maps.chunks_exact(width * h * w).zip(new.chunks_exact(growth * h * w));
                    maps = images.flat_map(|(old, new)| old.iter().chain(new).copied()).collect();
                    width += growth;
                }
                maps
            },
        );
    }
}
