//! Steps of training against their definitions in double precision: values, and gradients as differences of values.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;

use super::{Activation, BatchNorm, DenseLayerTraining, Form, Node, Padding, Tape};

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
    let values = x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f64::from).collect()
}

fn norm(seed: u64, channels: usize) -> BatchNorm {
    let var = |part| noise(seed + part, &[channels]);
    BatchNorm { weight: var(0), bias: var(1), mean: var(2), variance: var(3), eps: EPS }
}

/// What results in f32 may differ by.
const EXACT: f64 = 2e-4;

/// A tape of steps composed of Candle's ops, or of fused ones.
fn tape(composed: bool) -> Tape {
    if composed { Tape::composed(DType::F32) } else { Tape::default() }
}

/// Whether two lists are the same but for rounding.
fn near(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |m: f64, e| m.max(e.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() < tolerance * scale, "{what}, value {i}: {f} for {e}");
    }
}

/// Compares what `step` makes of `inputs`, and all gradients of a weighted sum of it, with `definition`.
fn check(
    mut tape: Tape,
    inputs: &[Var],
    step: impl FnOnce(&mut Tape) -> Result<Node>,
    definition: impl Fn(&[Vec<f64>]) -> Vec<f64>,
    tolerance: f64,
) {
    let node = step(&mut tape).unwrap();
    let values: Vec<_> = inputs.iter().map(|var| numbers(var.as_tensor())).collect();
    near("result", &numbers(node.value()), &definition(&values), tolerance);
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
        let grad = numbers(&grads.remove(var).unwrap());
        near(&format!("gradient {k}"), &grad, &differences.collect::<Vec<_>>(), tolerance);
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

/// A convolution's numbers: inputs, height and width, side of the kernel, stride, zeros before and after, groups.
#[derive(Debug, Clone, Copy)]
struct Shape {
    inputs: usize,
    h: usize,
    w: usize,
    side: usize,
    stride: usize,
    around: (usize, usize),
    groups: usize,
}

/// Convolution of `[n, inputs, h, w]`.
fn convolved(x: &[f64], weight: &[f64], by: Shape) -> Vec<f64> {
    let Shape { inputs, h, w, side, stride, around, groups } = by;
    let depth = inputs / groups;
    let outputs = weight.len() / depth / side / side;
    let length = |n: usize| (n + around.0 + around.1 - side) / stride + 1;
    let (rows, columns) = (length(h), length(w));
    let mut y = Vec::new();
    for image in x.chunks_exact(inputs * h * w) {
        for (o, row, column) in
            (0..outputs).flat_map(|o| (0..rows * columns).map(move |p| (o, p / columns, p % columns)))
        {
            let taps = (0..depth * side * side).map(|t| (t / side / side, t / side % side, t % side));
            y.push(taps.fold(0.0, |sum, (c, ky, kx)| {
                let at = |place: usize, tap: usize| (place * stride + tap).checked_sub(around.0);
                let (Some(at), Some(to)) = (at(row, ky), at(column, kx)) else { return sum };
                if at >= h || to >= w {
                    return sum;
                }
                let channel = o / (outputs / groups) * depth + c;
                sum + image[(channel * h + at) * w + to] * weight[((o * depth + c) * side + ky) * side + kx]
            }));
        }
    }
    y
}

/// Convolution that keeps the size.
fn same(x: &[f64], inputs: usize, (h, w): (usize, usize), weight: &[f64], side: usize) -> Vec<f64> {
    convolved(x, weight, Shape { inputs, h, w, side, stride: 1, around: (side / 2, side / 2), groups: 1 })
}

/// The zeros before and after an axis.
fn around(padding: Padding, size: usize, side: usize, stride: usize) -> (usize, usize) {
    match padding {
        Padding::Sides(n) => (n, n),
        Padding::Same => {
            let total = ((size.div_ceil(stride) - 1) * stride + side).saturating_sub(size);
            (total / 2, total - total / 2)
        }
    }
}

/// `conv` of a step in this precision against its definition.
fn check_conv(tape: Tape, n: usize, outputs: usize, by: Shape, padding: Padding, seed: u64, tolerance: f64) {
    let x = noise(seed, &[n, by.inputs, by.h, by.w]);
    let weight = noise(seed + 1, &[outputs, by.inputs / by.groups, by.side, by.side]);
    let form = Form { stride: by.stride, padding, groups: by.groups, activation: Activation::Identity };
    check(
        tape,
        &[x.clone(), weight.clone()],
        |tape| {
            let x = tape.parameter(&x);
            let x = tape.maps(x)?;
            let y = tape.conv(x, &weight, form)?;
            tape.maps(y)
        },
        |values| convolved(&values[0], &values[1], by),
        tolerance,
    );
}

fn relu(x: Vec<f64>) -> Vec<f64> {
    x.into_iter().map(|x| x.max(0.0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn batch_norm(
        (n, channels, h, w) in (1usize..4, 1usize..4, 1usize..6, 2usize..20),
        (kind, onto, composed, seed) in (0usize..3, any::<bool>(), any::<bool>(), 0u64..1 << 40),
    ) {
        let activation = [Activation::Identity, Activation::Relu, Activation::Relu6][kind];
        let (x, residual, norm) = (noise(seed, &[n, channels, h, w]), noise(seed + 1, &[n, channels, h, w]), norm(seed + 2, channels));
        let mut inputs = vec![x.clone(), norm.weight.clone(), norm.bias.clone()];
        inputs.extend(onto.then(|| residual.clone()));
        let before = (numbers(norm.mean.as_tensor()), numbers(norm.variance.as_tensor()));
        check(
            tape(composed),
            &inputs,
            |tape| {
                let x = tape.parameter(&x);
                let x = tape.maps(x)?;
                let residual = onto.then(|| {
                    let residual = tape.parameter(&residual);
                    tape.maps(residual)
                });
                let y = tape.batch_norm(x, &norm, residual.transpose()?, activation)?;
                tape.maps(y)
            },
            |values| {
                let y = normed(&values[0], channels, h * w, &values[1], &values[2]);
                let y = y.iter().enumerate().map(|(i, y)| y + values.get(3).map_or(0.0, |r| r[i]));
                let (low, high) = activation.limits();
                y.map(|y| y.clamp(low.into(), high.into())).collect()
            },
            EXACT,
        );
        // What is remembered: the mean and the unbiased variance, a tenth of the batch's.
        let (x, count) = (numbers(x.as_tensor()), (n * h * w) as f64);
        for c in 0..channels {
            let of: Vec<_> = x.iter().enumerate().filter(|(i, _)| i / (h * w) % channels == c).map(|(_, x)| *x).collect();
            let mean = of.iter().sum::<f64>() / count;
            let variance = of.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
            near("mean", &numbers(norm.mean.as_tensor())[c..=c], &[0.9 * before.0[c] + 0.1 * mean], EXACT);
            near("variance", &numbers(norm.variance.as_tensor())[c..=c], &[0.9 * before.1[c] + 0.1 * variance], EXACT);
        }
    }

    #[test]
    fn dense_block(
        (n, first, growth, middle) in (1usize..3, 1usize..4, 1usize..3, 1usize..4),
        (layers, h, w, composed, seed) in (1usize..4, 2usize..5, 2usize..6, any::<bool>(), 0u64..1 << 40),
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
            tape(composed),
            &inputs,
            |tape| {
                let x = tape.parameter(&x);
                let x = tape.maps(x)?;
                let layer = |(a, squeeze, b, grow)| DenseLayerTraining { norm: a, squeeze, squeeze_norm: b, grow };
                let y = tape.dense_block(x, &parts.iter().map(|(a, s, b, g)| layer((a, s, b, g))).collect::<Vec<_>>())?;
                tape.maps(y)
            },
            |values| {
                let (mut maps, mut width) = (values[0].clone(), first);
                for of in values[1..].chunks_exact(6) {
                    let y = relu(normed(&maps, width, h * w, &of[0], &of[1]));
                    let y = same(&y, width, (h, w), &of[2], 1);
                    let y = relu(normed(&y, middle, h * w, &of[3], &of[4]));
                    let new = same(&y, middle, (h, w), &of[5], 3);
                    let images = maps.chunks_exact(width * h * w).zip(new.chunks_exact(growth * h * w));
                    maps = images.flat_map(|(old, new)| old.iter().chain(new).copied()).collect();
                    width += growth;
                }
                maps
            },
            // Through six norms, some of a handful of values that are nearly one: composed steps sum those in f32.
            if composed { 50.0 * EXACT } else { 5.0 * EXACT },
        );
    }

    #[test]
    fn conv(
        (n, groups, depth, outputs) in (1usize..3, 1usize..4, 1usize..3, 1usize..3),
        (h, w, side, stride) in (1usize..8, 1usize..8, 1usize..4, 1usize..4),
        (padding, composed, seed) in (0usize..4, any::<bool>(), 0u64..1 << 40),
    ) {
        let padding = if padding < side { Padding::Sides(padding) } else { Padding::Same };
        let [rows, columns] = [h, w].map(|size| around(padding, size, side, stride));
        // The definition puts as many zeros beside as above.
        prop_assume!(rows == columns && [h, w].iter().all(|size| size + rows.0 + rows.1 >= side));
        let by = Shape { inputs: groups * depth, h, w, side, stride, around: rows, groups };
        check_conv(tape(composed), n, groups * outputs, by, padding, seed, EXACT);
    }

    #[test]
    fn pools_and_the_head(
        (n, c, h, w) in (1usize..3, 1usize..4, 2usize..9, 2usize..9),
        (kind, composed, seed) in (0usize..3, any::<bool>(), 0u64..1 << 40),
    ) {
        let (x, mask) = (noise(seed, &[n, c, h, w]), noise(seed + 3, &[n, 2]));
        let (weight, bias) = (noise(seed + 1, &[2, c]), noise(seed + 2, &[2]));
        let (dropped, size) = (numbers(mask.as_tensor()), [(h.div_ceil(2), w.div_ceil(2)), (h / 2, w / 2), (h, w)][kind]);
        check(
            tape(composed),
            &[x.clone(), weight.clone(), bias.clone()],
            |tape| {
                let x = tape.parameter(&x);
                let x = tape.maps(x)?;
                let x = match kind {
                    0 => tape.max_pool_3(x)?,
                    1 => tape.avg_pool_2(x)?,
                    _ => x,
                };
                let x = tape.global_average(x)?;
                let x = tape.linear(x, &weight, Some(&bias))?;
                let x = tape.activation(x, Activation::Relu)?;
                tape.masked(x, mask.as_detached_tensor())
            },
            |values| {
                let places = |p: usize| (p / size.1, p % size.1);
                let pooled = |plane: &[f64], p: usize| {
                    let (y, x) = places(p);
                    let window = |near: fn(usize, usize) -> bool| {
                        (0..h * w).filter(move |i| near(y, i / w) && near(x, i % w)).map(|i| plane[i])
                    };
                    match kind {
                        0 => window(|o, i| (2 * o).abs_diff(i) <= 1).fold(f64::NEG_INFINITY, f64::max),
                        1 => window(|o, i| i / 2 == o).sum::<f64>() / 4.0,
                        _ => plane[p],
                    }
                };
                let area = size.0 * size.1;
                let mean = |plane: &[f64]| (0..area).map(|p| pooled(plane, p)).sum::<f64>() / area as f64;
                let means: Vec<_> = values[0].chunks_exact(h * w).map(mean).collect();
                let one = |i: usize| {
                    let products = values[1][i % 2 * c..][..c].iter().zip(&means[i / 2 * c..]).map(|(a, b)| a * b);
                    (products.sum::<f64>() + values[2][i % 2]).max(0.0) * dropped[i]
                };
                (0..2 * n).map(one).collect()
            },
            EXACT,
        );
    }

    #[test]
    fn composed_max_pool_takes_the_first_of_equals(
        (h, w, values) in (2usize..7, 2usize..7).prop_flat_map(|(h, w)| (Just(h), Just(w), prop::collection::vec(-2i8..2, 2 * h * w))),
    ) {
        let values: Vec<_> = values.into_iter().map(f32::from).collect();
        let x = Var::from_vec(values, (1, 2, h, w), &Device::Cpu).unwrap();
        let gradient = |composed: bool| {
            let mut tape = tape(composed);
            let y = tape.parameter(&x);
            let y = tape.maps(y).and_then(|y| tape.max_pool_3(y)).and_then(|y| tape.maps(y)).unwrap();
            let mut grads = noise(1, &[1]).sum_all().unwrap().backward().unwrap();
            let weights = noise(5, y.value().dims());
            tape.backward(y, weights.as_tensor(), &mut grads).unwrap();
            numbers(&grads.remove(&x).unwrap())
        };
        near("gradient", &gradient(true), &gradient(false), 1e-6);
    }

    #[test]
    fn conv_in_half_precision(
        (n, groups, depth, outputs) in (1usize..3, 1usize..4, 1usize..3, 1usize..3),
        (h, w, three, stride, seed) in (3usize..8, 3usize..8, any::<bool>(), 1usize..3, 0u64..1 << 40),
    ) {
        let side = if three { 3 } else { 1 };
        let by = Shape { inputs: groups * depth, h, w, side, stride, around: (side / 2, side / 2), groups };
        let padding = Padding::Sides(side / 2);
        // Values and results are rounded to 11 bits, or to 8.
        check_conv(Tape::composed(DType::F16), n, groups * outputs, by, padding, seed, 4e-3);
        check_conv(Tape::composed(DType::BF16), n, groups * outputs, by, padding, seed, 3e-2);
    }
}
