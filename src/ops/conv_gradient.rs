//! Gradients of a convolution: both are matrix products again.

use rayon::prelude::*;

use super::conv::Plan;
use super::geometry::{Axis, Phases};
use super::kernels::{Depthwise, Packed, Place, Product, SLACK, Set};

/// Limits that cut nothing off.
const FREE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

impl Plan {
    /// What `grad`, the gradient of all outputs before the activation, is to the inputs: `grad` with `stride - 1` zeros
    /// between its values, convolved with the weights turned around.
    pub fn input_gradient(&self, set: Set, weight: &[f32], outputs: usize, grad: &[f32]) -> Vec<f32> {
        let (rows, columns) = (&self.rows, &self.columns);
        let (area, area_in) = (rows.output * columns.output, rows.input * columns.input);
        let per_group = outputs / self.groups;
        let taps = rows.kernel * columns.kernel;
        let depth = weight.len() / outputs / taps;
        let pitch = columns.input + columns.kernel - 1;
        let plane = (rows.input + rows.kernel - 1) * pitch;
        let offsets: Vec<_> = (0..rows.kernel).flat_map(|y| (0..columns.kernel).map(move |x| y * pitch + x)).collect();
        let mut dx = vec![0f32; grad.len() / (outputs * area) * depth * self.groups * area_in];
        if (depth, per_group, taps) == (1, 1, 9) && rows.kernel == 3 {
            let planes = grad.par_chunks_exact(area).zip(dx.par_chunks_exact_mut(area_in)).enumerate();
            planes.for_each(|(i, (grad, dx))| {
                let mut spread = vec![0f32; plane + SLACK];
                self.spread(grad, &mut spread, pitch);
                let mut turned = weight.as_chunks::<9>().0[i % outputs];
                turned.reverse();
                let depthwise =
                    Depthwise { weight: &turned, bias: 0.0, x: &spread, taps: &offsets, pitch, limits: FREE };
                depthwise.run(set, columns.input, dx);
            });
            return dx;
        }
        let turned: Vec<_> = weight
            .chunks_exact(per_group * depth * taps)
            .map(|weight| {
                let mut turned = Vec::with_capacity(weight.len());
                for c in 0..depth {
                    for line in weight.chunks_exact(depth * taps) {
                        turned.extend(line[c * taps..][..taps].iter().rev());
                    }
                }
                Packed::new(set, &turned, &vec![0.0; depth])
            })
            .collect();
        let mut spread = vec![0f32; per_group * plane + SLACK];
        let groups = grad.chunks_exact(per_group * area).zip(dx.chunks_exact_mut(depth * area_in));
        for (i, (grad, dx)) in groups.enumerate() {
            let planes = spread.par_chunks_exact_mut(plane).zip(grad.par_chunks_exact(area));
            planes.for_each(|(spread, grad)| self.spread(grad, spread, pitch));
            let product = Product {
                weight: &turned[i % self.groups],
                x: &spread,
                plane,
                taps: &offsets,
                size: (rows.input, columns.input),
                pitch,
                limits: FREE,
                place: Place { first: 0, row: columns.input, plane: area_in },
            };
            product.run(dx);
        }
        dx
    }

    /// Writes each value of `grad` where the last tap of its window lies, `kernel - 1` before the image's first pixel on.
    fn spread(&self, grad: &[f32], to: &mut [f32], pitch: usize) {
        let place = |axis: &Axis, o: usize| {
            let place = (o * axis.stride + axis.kernel - 1).checked_sub(axis.before);
            place.filter(|p| *p < axis.input + axis.kernel - 1)
        };
        for (oy, line) in grad.chunks_exact(self.columns.output).enumerate() {
            let Some(y) = place(&self.rows, oy) else { continue };
            for (ox, value) in line.iter().enumerate() {
                if let Some(x) = place(&self.columns, ox) {
                    to[y * pitch + x] = *value;
                }
            }
        }
    }

    /// What `grad` is to the weights, summed over the images of `x` in their order.
    pub fn weight_gradient(&self, set: Set, x: &[f32], outputs: usize, grad: &[f32]) -> Vec<f32> {
        let area = self.rows.output * self.columns.output;
        let (n, per_group) = (grad.len() / (outputs * area), outputs / self.groups);
        let inputs = x.len() / n / self.groups;
        let depth = inputs / (self.rows.input * self.columns.input);
        let phases = Phases::new(self.rows, self.columns);
        let long = depth * phases.taps.len();
        let mut dw = vec![0f32; outputs * long];
        let groups = x.chunks_exact(inputs).zip(grad.chunks_exact(per_group * area));
        if (depth, per_group) == (1, 1) {
            let sums: Vec<_> = groups.collect();
            dw.par_chunks_exact_mut(long).enumerate().for_each(|(group, dw)| {
                for (x, grad) in sums[group..].iter().step_by(self.groups) {
                    let padded = phases.of(x);
                    for (dw, tap) in dw.iter_mut().zip(&phases.taps) {
                        let lines = grad.chunks_exact(self.columns.output).enumerate();
                        *dw += lines.map(|(y, line)| dot(line, &padded[tap + y * phases.pitch..])).sum::<f32>();
                    }
                }
            });
            return dw;
        }
        let mut windows = vec![0f32; area * long];
        let mut part = vec![0f32; per_group * long];
        for (i, (x, grad)) in groups.enumerate() {
            let padded = phases.of(x);
            windows.par_chunks_exact_mut(long).enumerate().for_each(|(p, window)| {
                let first = p / self.columns.output * phases.pitch + p % self.columns.output;
                for (c, window) in window.chunks_exact_mut(phases.taps.len()).enumerate() {
                    let plane = &padded[c * phases.plane + first..];
                    window.iter_mut().zip(&phases.taps).for_each(|(w, tap)| *w = plane[*tap]);
                }
            });
            let product = Product {
                weight: &Packed::new(set, grad, &vec![0.0; per_group]),
                x: &windows,
                plane: long,
                taps: &[0],
                size: (1, long),
                pitch: long,
                limits: FREE,
                place: Place { first: 0, row: long, plane: long },
            };
            product.run(&mut part);
            let dw = &mut dw[i % self.groups * part.len()..][..part.len()];
            dw.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
        }
        dw
    }
}

/// Sum of products with the first values of `b`, in eight parts.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    let (a, rest) = a.as_chunks::<8>();
    let b = &b[..a.len() * 8 + rest.len()];
    let (b, tail) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + rest.iter().zip(tail).map(|(a, b)| a * b).sum::<f32>()
}
