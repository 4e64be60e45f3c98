//! Gradients of a convolution: both are matrix products again.
//!
//! Gradients of the output lie in planes with as much room between the rows as the padded input has, filled with zeros.
//! There the gradient of the weights sums over all positions of a plane, and the gradient of the input is a convolution
//! with the weights turned around; with stride `s`, one of `s x s` smaller ones for every remainder of a pixel's row and
//! column.

use std::sync::OnceLock;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::conv_images::{FREE, turned};
use super::cpu;
use super::geometry::{Axis, Phases};
use super::kernels::{Correlation, Depthwise, Packed, Place, Product, SLACK, Set};
use super::plan::Plan;

/// Values of padded input and gradients that are held at a time, about: what stays in a processor's caches.
const HELD: usize = 1 << 19;

/// Weights turned around, for every group and every remainder of a pixel's row and column.
pub(super) type Turned = OnceLock<Vec<Packed>>;

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The gradient of the input.
    pub input: bool,
    /// The gradient of the weights.
    pub weight: bool,
    /// Where the weights turned around are kept for the next time, if they do not change.
    pub turned: Option<&'a Turned>,
}

impl Wanted<'_> {
    /// Both gradients, of weights that change.
    pub const BOTH: Self = Self { input: true, weight: true, turned: None };
}

/// The gradients of the input and of the weights, each if it was asked for.
pub(super) type Gradients = (Option<Vec<f32>>, Option<Vec<f32>>);

/// One direction of the gradient of the input: the pixels whose place, `before` added, leaves one remainder by the stride.
#[derive(Debug, Clone, Copy)]
struct Remainder {
    /// The first such pixel.
    first: usize,
    /// How many pixels can have a gradient.
    count: usize,
    /// Taps that reach them, `stride` apart.
    taps: usize,
    /// The first of these taps.
    tap: usize,
    /// The output that the first pixel meets through the first tap; through each other tap it meets the one before.
    output: usize,
}

/// How many taps are the first that reaches some pixel.
fn first_taps(axis: &Axis) -> usize {
    axis.stride.min(axis.kernel)
}

impl Remainder {
    fn of(axis: &Axis) -> Vec<Self> {
        let &Axis { input, kernel, stride, before, output, .. } = axis;
        let remainder = |tap: usize| {
            let first = (tap + before * (stride - 1)) % stride;
            let (taps, met) = ((kernel - 1 - tap) / stride + 1, (first + before - tap) / stride);
            let count = input.saturating_sub(first).div_ceil(stride).min((output + taps - 1).saturating_sub(met));
            Self { first, count, taps, tap, output: met }
        };
        (0..first_taps(axis)).map(remainder).filter(|r| r.count > 0).collect()
    }

    /// Zeros that are read before the first output and after the last of `outputs`.
    fn margins(&self, outputs: usize) -> (usize, usize) {
        ((self.taps - 1).saturating_sub(self.output), (self.output + self.count).saturating_sub(outputs))
    }
}

/// How planes of gradients are laid out.
struct Spread {
    rows: Vec<Remainder>,
    columns: Vec<Remainder>,
    /// Values from one row to the next.
    pitch: usize,
    /// The place of the first gradient.
    first: usize,
    /// Values from one plane to the next.
    plane: usize,
}

impl Spread {
    fn new(rows: &Axis, columns: &Axis, pitch: usize) -> Self {
        let margins = |remainders: &[Remainder], outputs: usize| {
            let each = remainders.iter().map(|r| r.margins(outputs));
            each.fold((0, 0), |most, each| (most.0.max(each.0), most.1.max(each.1)))
        };
        let (down, across) = (Remainder::of(rows), Remainder::of(columns));
        let ((above, below), (left, right)) = (margins(&down, rows.output), margins(&across, columns.output));
        debug_assert!(columns.output + left.max(right) <= pitch);
        let first = above * pitch + left;
        Self { rows: down, columns: across, pitch, first, plane: first + (rows.output + below) * pitch }
    }

    /// Writes a plane of gradients, rows of `width` values, to its place.
    fn fill(&self, grad: &[f32], width: usize, to: &mut [f32]) {
        for (line, to) in grad.chunks_exact(width).zip(to[self.first..].chunks_mut(self.pitch)) {
            to[..width].copy_from_slice(line);
        }
    }
}

impl Plan {
    /// The gradients of `x` and of `weight`, each if it is `wanted`, from those of the output before the activation.
    pub fn backward(
        &self,
        set: Set,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
        wanted: Wanted,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let outputs = weight.dim(0)?;
        let (input, weights) = (x.contiguous()?, weight.contiguous()?);
        let (dx, dw) = cpu::read(&input, |x| {
            cpu::read(&weights, |weight| {
                cpu::read(grad, |grad| Ok(self.gradients(set, x, weight, outputs, grad, wanted)))
            })
        })?;
        let dx = dx.map(|values| Tensor::from_vec(values, x.shape(), x.device())).transpose()?;
        let dw = dw.map(|values| Tensor::from_vec(values, weight.shape(), weight.device())).transpose()?;
        Ok((dx, dw))
    }

    /// The gradients of the inputs and of the weights, each if it is `wanted`, from the inputs `x` and `grad`, the gradients
    /// of all `outputs` before the activation.
    pub fn gradients(
        &self,
        set: Set,
        x: &[f32],
        weight: &[f32],
        outputs: usize,
        grad: &[f32],
        wanted: Wanted,
    ) -> Gradients {
        let taps = self.rows.kernel * self.columns.kernel;
        if (weight.len(), self.groups, self.rows.kernel, self.columns.kernel) == (outputs * 9, outputs, 3, 3) {
            self.depthwise_gradients(set, x, weight.as_chunks::<9>().0, grad, wanted)
        } else {
            let depth = weight.len() / outputs / taps;
            // Weights that stay are kept turned; those of a step of training are transformed for its batch.
            let transformed = wanted.input && wanted.turned.is_none() && self.is_transformed(depth, outputs);
            let work = Work { plan: self, set, outputs, depth, inputs: depth * self.groups };
            let (dx, dw) = work.gradients(x, weight, grad, Wanted { input: wanted.input && !transformed, ..wanted });
            match transformed {
                true => (Some(self.transformed(set, grad, &turned(weight, depth), outputs)), dw),
                false => (dx, dw),
            }
        }
    }

    /// The same of a depthwise convolution, channel by channel.
    fn depthwise_gradients(&self, set: Set, x: &[f32], weight: &[[f32; 9]], grad: &[f32], wanted: Wanted) -> Gradients {
        let (area_in, area, channels) = (self.area_in(), self.area_out(), weight.len());
        let phases = Phases::new(self.rows, self.columns);
        let spread = Spread::new(&self.rows, &self.columns, phases.pitch);
        let positions = (self.rows.output - 1) * phases.pitch + self.columns.output;
        let mut input = cpu::zeros(if wanted.input { x.len() } else { 0 });
        let mut planes: Vec<Vec<_>> = (0..channels).map(|_| Vec::with_capacity(x.len() / area_in / channels)).collect();
        for (i, plane) in input.chunks_exact_mut(area_in).enumerate() {
            planes[i % channels].push(plane);
        }
        let mut sums = vec![0f32; channels * 9];
        let scratch = || (vec![0f32; phases.room(1)], vec![0f32; spread.plane + SLACK], Vec::new());
        let work = planes.into_par_iter().zip(sums.par_chunks_exact_mut(9)).enumerate();
        work.for_each_init(scratch, |(padded, grads, part), (channel, (mut planes, sums))| {
            let images = x.chunks_exact(area_in).zip(grad.chunks_exact(area));
            for (i, (x, grad)) in images.skip(channel).step_by(channels).enumerate() {
                spread.fill(grad, self.columns.output, grads);
                if wanted.weight {
                    phases.fill(x, &mut padded[..phases.plane]);
                    let correlation = Correlation {
                        set,
                        grad: &grads[spread.first..],
                        grad_steps: (0, 0),
                        x: padded,
                        x_step: 0,
                        columns: &phases.taps,
                        planes: 1,
                        images: 1,
                        outputs: 1,
                        positions,
                    };
                    correlation.run_here(sums);
                }
                if let Some(plane) = planes.get_mut(i) {
                    self.depthwise_input(set, &spread, &weight[channel], grads, part, plane);
                }
            }
        });
        (wanted.input.then_some(input), wanted.weight.then_some(sums))
    }

    /// The gradient of one plane of a depthwise convolution's input.
    fn depthwise_input(
        &self,
        set: Set,
        spread: &Spread,
        weight: &[f32; 9],
        grads: &[f32],
        part: &mut Vec<f32>,
        to: &mut [f32],
    ) {
        for (down, across) in spread.remainders() {
            let mut turned = [0f32; 9];
            let mut taps = [spread.tap(down, across, 0, 0); 9];
            let reaching = (0..down.taps).flat_map(|y| (0..across.taps).map(move |x| (y, x)));
            for (i, (y, x)) in reaching.enumerate() {
                turned[i] = weight[(down.tap + y * self.rows.stride) * 3 + across.tap + x * self.columns.stride];
                taps[i] = spread.tap(down, across, y, x);
            }
            let depthwise =
                Depthwise { weight: &turned, bias: 0.0, x: grads, taps: &taps, pitch: spread.pitch, limits: FREE };
            if (self.rows.stride, self.columns.stride, across.count) == (1, 1, self.columns.input) {
                depthwise.run(set, across.count, &mut to[..down.count * across.count]);
            } else {
                part.resize(down.count * across.count, 0.0);
                depthwise.run(set, across.count, part);
                self.place(down, across, part, to);
            }
        }
    }

    /// Brings the gradients of a remainder's pixels to their places in a plane.
    fn place(&self, down: &Remainder, across: &Remainder, from: &[f32], to: &mut [f32]) {
        let lines = to.chunks_exact_mut(self.columns.input).skip(down.first).step_by(self.rows.stride);
        for (line, from) in lines.zip(from.chunks_exact(across.count)) {
            let line = &mut line[across.first..];
            match self.columns.stride {
                2 => to_every_second(from, line),
                stride => line.iter_mut().step_by(stride).zip(from).for_each(|(to, from)| *to = *from),
            }
        }
    }
}

impl Spread {
    fn remainders(&self) -> impl Iterator<Item = (&Remainder, &Remainder)> {
        self.rows.iter().flat_map(|down| self.columns.iter().map(move |across| (down, across)))
    }

    /// Where the first pixel of two remainders meets a gradient through the taps `y` and `x` of theirs.
    fn tap(&self, down: &Remainder, across: &Remainder, y: usize, x: usize) -> usize {
        // The margins hold what is before the first gradient.
        self.first + down.output * self.pitch + across.output - y * self.pitch - x
    }
}

/// A convolution that is not depthwise, and what its gradients need.
struct Work<'a> {
    plan: &'a Plan,
    set: Set,
    outputs: usize,
    /// Inputs that an output sees.
    depth: usize,
    inputs: usize,
}

/// Padded inputs and gradients of some images, or those themselves where a convolution is pointwise.
struct Operands<'a> {
    images: usize,
    x: &'a [f32],
    x_plane: usize,
    grad: &'a [f32],
    grad_plane: usize,
    /// The place of the first gradient in its plane.
    first: usize,
    positions: usize,
    taps: &'a [usize],
}

impl Work<'_> {
    fn gradients(&self, x: &[f32], weight: &[f32], grad: &[f32], wanted: Wanted) -> Gradients {
        let plan = self.plan;
        let (area_in, area) = (plan.area_in(), plan.area_out());
        let mut input = wanted.input.then(|| cpu::zeros(x.len()));
        let mut sums = wanted.weight.then(|| vec![0f32; weight.len()]);
        let phases = Phases::new(plan.rows, plan.columns);
        let spread = Spread::new(&plan.rows, &plan.columns, phases.pitch);
        let new = OnceLock::new();
        let turned = match wanted.input {
            true => self.kept(wanted.turned.unwrap_or(&new), weight),
            false => &[],
        };
        if plan.rows.is_pointwise() && plan.columns.is_pointwise() {
            let operands = Operands {
                images: x.len() / self.inputs / area,
                x,
                x_plane: area,
                grad,
                grad_plane: area,
                first: 0,
                positions: area,
                taps: &[0],
            };
            if let Some(sums) = &mut sums {
                self.weight_gradient(&operands, sums);
            }
            if let Some(input) = &mut input {
                let images =
                    input.par_chunks_exact_mut(self.inputs * area).zip(grad.par_chunks_exact(self.outputs * area));
                images.for_each(|(to, grad)| self.pointwise_input(turned, grad, to));
            }
            return (input, sums);
        }
        let image = self.inputs * phases.plane + self.outputs * spread.plane;
        let held = (HELD.max(weight.len() / 2) / image).max(1);
        let positions = (plan.rows.output - 1) * phases.pitch + plan.columns.output;
        let (mut padded, mut grads) = (Vec::new(), Vec::new());
        for (i, (x, grad)) in
            x.chunks(held * self.inputs * area_in).zip(grad.chunks(held * self.outputs * area)).enumerate()
        {
            let images = grad.len() / (self.outputs * area);
            grads.resize(images * self.outputs * spread.plane + SLACK, 0.0);
            let planes = grads.par_chunks_exact_mut(spread.plane).zip(grad.par_chunks_exact(area));
            planes.with_min_len(4).for_each(|(to, from)| spread.fill(from, plan.columns.output, to));
            if let Some(sums) = &mut sums {
                padded.resize(phases.room(images * self.inputs), 0.0);
                let planes = padded.par_chunks_exact_mut(phases.plane).zip(x.par_chunks_exact(area_in));
                planes.with_min_len(4).for_each(|(to, from)| phases.fill(from, to));
                let operands = Operands {
                    images,
                    x: &padded,
                    x_plane: phases.plane,
                    grad: &grads,
                    grad_plane: spread.plane,
                    first: spread.first,
                    positions,
                    taps: &phases.taps,
                };
                self.weight_gradient(&operands, sums);
            }
            if let Some(input) = &mut input {
                let input = &mut input[i * held * self.inputs * area_in..][..x.len()];
                input.par_chunks_exact_mut(self.inputs * area_in).enumerate().for_each(|(i, to)| {
                    self.input_gradient(&spread, turned, &grads[i * self.outputs * spread.plane..], to);
                });
            }
        }
        (input, sums)
    }

    /// Adds the gradients of the weights.
    fn weight_gradient(&self, operands: &Operands, sums: &mut [f32]) {
        let &Operands { images, x, x_plane, grad, grad_plane, first, positions, taps } = operands;
        let (depth, outputs) = (self.depth, self.outputs / self.plan.groups);
        let (x_step, grad_step) = (self.inputs * x_plane, self.outputs * grad_plane);
        let columns: Vec<_> = (0..depth).flat_map(|c| taps.iter().map(move |tap| c * x_plane + tap)).collect();
        for (group, sums) in sums.chunks_exact_mut(outputs * columns.len()).enumerate() {
            let correlation = Correlation {
                set: self.set,
                grad: &grad[group * outputs * grad_plane + first..],
                grad_steps: (grad_step, grad_plane),
                x: &x[group * depth * x_plane..],
                x_step,
                columns: &columns,
                planes: depth,
                images,
                outputs,
                positions,
            };
            correlation.run(sums);
        }
    }

    /// The weights turned around, out of `kept` or brought there.
    fn kept<'t>(&self, kept: &'t Turned, weight: &[f32]) -> &'t [Packed] {
        if let Some(turned) = kept.get() {
            return turned;
        }
        // Not while others wait for it: the threads that help here may come to the same place.
        let turned = self.turned(weight);
        kept.get_or_init(|| turned)
    }

    /// For every group and every remainder the weights that reach its pixels, with inputs and outputs exchanged.
    fn turned(&self, weight: &[f32]) -> Vec<Packed> {
        let Plan { rows, columns, groups, .. } = self.plan;
        let (depth, outputs, taps) = (self.depth, self.outputs / groups, rows.kernel * columns.kernel);
        let pack = |weight: &[f32], (down, across): (usize, usize)| {
            let reached =
                (rows.kernel - down).div_ceil(rows.stride) * (columns.kernel - across).div_ceil(columns.stride);
            let mut turned = cpu::zeros(depth * outputs * reached);
            turned.par_chunks_exact_mut(outputs * reached).enumerate().for_each(|(c, turned)| {
                let kernels = weight.chunks_exact(taps).skip(c).step_by(depth);
                for (kernel, turned) in kernels.zip(turned.chunks_exact_mut(reached)) {
                    if reached == taps {
                        turned.copy_from_slice(kernel);
                        continue;
                    }
                    let lines = kernel.chunks_exact(columns.kernel).skip(down).step_by(rows.stride);
                    let values = lines.flat_map(|line| line[across..].iter().step_by(columns.stride));
                    turned.iter_mut().zip(values).for_each(|(t, v)| *t = *v);
                }
            });
            Packed::new(self.set, &turned, &vec![0.0; depth])
        };
        let each = move || (0..first_taps(rows)).flat_map(move |y| (0..first_taps(columns)).map(move |x| (y, x)));
        let groups = weight.par_chunks_exact(outputs * depth * taps);
        groups.flat_map_iter(|weight| each().map(move |taps| pack(weight, taps))).collect()
    }

    fn pointwise_input(&self, turned: &[Packed], grad: &[f32], to: &mut [f32]) {
        let area = self.plan.area_out();
        let outputs = self.outputs / self.plan.groups;
        for ((weight, grad), to) in
            turned.iter().zip(grad.chunks_exact(outputs * area)).zip(to.chunks_exact_mut(self.depth * area))
        {
            product(weight, grad, area, &[0], (1, area), area, Place { first: 0, row: area, plane: area }).run(to);
        }
    }

    /// The gradient of one image, from its planes of gradients.
    fn input_gradient(&self, spread: &Spread, turned: &[Packed], grads: &[f32], to: &mut [f32]) {
        let Plan { rows, columns, groups, .. } = self.plan;
        let (area_in, outputs) = (self.plan.area_in(), self.outputs / groups);
        let each = turned.len() / groups;
        let mut part = Vec::new();
        for (group, to) in to.chunks_exact_mut(self.depth * area_in).enumerate() {
            let grads = &grads[group * outputs * spread.plane..];
            for (down, across) in spread.remainders() {
                let weight = &turned[group * each + down.tap * first_taps(columns) + across.tap];
                // The last taps meet the gradients that lie first.
                let start = spread.tap(down, across, down.taps - 1, across.taps - 1);
                let taps: Vec<_> = (0..down.taps)
                    .flat_map(|y| (0..across.taps).map(move |x| spread.tap(down, across, y, x) - start))
                    .collect();
                let size = (down.count, across.count);
                let whole = (rows.stride, columns.stride) == (1, 1) && across.count == columns.input;
                let plane = if whole { area_in } else { down.count * across.count };
                let place = Place { first: 0, row: across.count, plane };
                let product = product(weight, &grads[start..], spread.plane, &taps, size, spread.pitch, place);
                if whole {
                    product.run(to);
                } else {
                    part.resize(self.depth * plane, 0.0);
                    product.run(&mut part);
                    let planes = to.par_chunks_exact_mut(area_in).zip(part.par_chunks_exact(plane));
                    planes.with_min_len(8).for_each(|(to, part)| self.plan.place(down, across, part, to));
                }
            }
        }
    }
}

/// Compilers make shuffles of pairs, not of steps.
fn to_every_second(from: &[f32], to: &mut [f32]) {
    let pairs = to.as_chunks_mut::<2>().0;
    let count = pairs.len();
    for (pair, from) in pairs.iter_mut().zip(from) {
        *pair = [*from, pair[1]];
    }
    if from.len() > count {
        to[2 * count] = from[count];
    }
}

/// A product without anything around it.
fn product<'a>(
    weight: &'a Packed,
    x: &'a [f32],
    plane: usize,
    taps: &'a [usize],
    size: (usize, usize),
    pitch: usize,
    place: Place,
) -> Product<'a> {
    Product { weight, x, plane, taps, size, pitch, limits: FREE, place }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, Padding};
    use proptest::prelude::*;

    /// The definition, in double precision: every product of an output hands its gradient to both factors.
    fn reference(plan: &Plan, x: &[f32], weight: &[f32], outputs: usize, grad: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let (rows, columns) = (&plan.rows, &plan.columns);
        let (area_in, area, taps) = (plan.area_in(), plan.area_out(), rows.kernel * columns.kernel);
        let depth = weight.len() / outputs / taps;
        let (mut dx, mut dw) = (vec![0f64; x.len()], vec![0f64; weight.len()]);
        for (i, grad) in grad.iter().enumerate() {
            let (image, o, oy, ox) =
                (i / area / outputs, i / area % outputs, i % area / columns.output, i % columns.output);
            for (c, tap) in (0..depth).flat_map(|c| (0..taps).map(move |tap| (c, tap))) {
                let y = (oy * rows.stride + tap / columns.kernel).checked_sub(rows.before).filter(|y| *y < rows.input);
                let at = (ox * columns.stride + tap % columns.kernel).checked_sub(columns.before);
                if let (Some(y), Some(at)) = (y, at.filter(|x| *x < columns.input)) {
                    let channel = (image * plan.groups + o / (outputs / plan.groups)) * depth + c;
                    let (at, w) = (channel * area_in + y * columns.input + at, (o * depth + c) * taps + tap);
                    dx[at] += f64::from(*grad) * f64::from(weight[w]);
                    dw[w] += f64::from(*grad) * f64::from(x[at]);
                }
            }
        }
        (dx, dw)
    }

    fn noise(seed: u64, n: usize) -> Vec<f32> {
        (1..=n as u64)
            .map(|i| ((seed.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32) / 8_388_608.0 - 1.0)
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn every_set_equals_the_definition(
            (n, groups, depth, per_group) in (1usize..4, 1usize..4, 1usize..8, 1usize..12),
            (h, w, kh, kw) in (4usize..24, 4usize..36, 1usize..6, 1usize..6),
            (stride, padding, single, seed) in (1usize..4, 0usize..6, any::<bool>(), any::<u64>()),
        ) {
            let (depth, per_group, kh, kw) = if single { (1, 1, kh.min(3), kh.min(3)) } else { (depth, per_group, kh, kw) };
            let padding = if padding == 5 { Padding::Same } else { Padding::Sides(padding) };
            let axis = |size, kernel: usize| Axis::new(size, kernel.min(size), stride, padding).unwrap();
            let plan = Plan { rows: axis(h, kh), columns: axis(w, kw), groups, activation: Activation::Identity };
            let outputs = groups * per_group;
            let x = noise(seed, n * groups * depth * h * w);
            let weight = noise(seed ^ 1, outputs * depth * plan.rows.kernel * plan.columns.kernel);
            let grad = noise(seed ^ 2, n * outputs * plan.area_out());
            let (dx, dw) = reference(&plan, &x, &weight, outputs, &grad);
            for set in Set::available() {
                let found = plan.gradients(set, &x, &weight, outputs, &grad, Wanted::BOTH);
                // Each is the same alone, and with weights that were turned before.
                let turned = Turned::new();
                let alone = |input| {
                    let wanted = Wanted { input, weight: !input, turned: Some(&turned) };
                    plan.gradients(set, &x, &weight, outputs, &grad, wanted)
                };
                prop_assert_eq!(alone(false), (None, found.1.clone()));
                prop_assert_eq!([alone(true), alone(true)], [(found.0.clone(), None), (found.0.clone(), None)]);
                for (found, expected) in [(found.0.unwrap(), &dx), (found.1.unwrap(), &dw)] {
                    prop_assert_eq!(found.len(), expected.len());
                    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
                        prop_assert!((f64::from(*f) - e).abs() < 2e-4, "{:?}, value {}: {} for {}", set, i, f, e);
                    }
                }
            }
        }
    }

    #[test]
    fn long_runs_and_many_images_have_the_same_bits_on_any_threads() {
        for (n, side, channels, stride, outputs) in
            [(3, 61, 5, 1, 10), (40, 7, 9, 1, 10), (2, 128, 3, 2, 10), (3, 21, 37, 1, 32)]
        {
            let axis = Axis::new(side, 3, stride, Padding::Sides(1)).unwrap();
            let plan = Plan { rows: axis, columns: axis, groups: 1, activation: Activation::Identity };
            let x = noise(1, n * channels * side * side);
            let (weight, grad) = (noise(2, outputs * channels * 9), noise(3, n * outputs * plan.area_out()));
            let (dx, dw) = reference(&plan, &x, &weight, outputs, &grad);
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| plan.gradients(Set::best(), &x, &weight, outputs, &grad, Wanted::BOTH))
            };
            let (one, three) = (on(1), on(3));
            assert_eq!(one.1, three.1);
            assert_eq!(one.0, three.0);
            let close = |found: &[f32], expected: &[f64]| {
                found.iter().zip(expected).all(|(f, e)| (f64::from(*f) - e).abs() < 1e-3)
            };
            assert!(close(&one.1.unwrap(), &dw) && close(&one.0.unwrap(), &dx));
        }
    }
}
