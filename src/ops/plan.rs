//! The convolution of one shape, run on images.

use rayon::prelude::*;

use super::geometry::{Axis, Phases};
use super::kernels::{Depthwise, Packed, Place, Product, Set, Winograd};
use super::{Activation, cpu};

/// Input channels from which on transforms pay for themselves.
const MIN_CHANNELS: usize = 32;
/// Channels up to which transformed weights, four times as large, are read fast enough.
const MAX_CHANNELS: usize = 128;
/// Tiles that are too few to share a reading of the transformed weights.
const FEW_TILES: usize = 16;

/// The convolution of one shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub rows: Axis,
    pub columns: Axis,
    pub groups: usize,
    pub activation: Activation,
}

impl Plan {
    pub fn output(&self, n: usize, outputs: usize) -> [usize; 4] {
        [n, outputs, self.rows.output, self.columns.output]
    }

    pub fn area_in(&self) -> usize {
        self.rows.input * self.columns.input
    }

    pub fn area_out(&self) -> usize {
        self.rows.output * self.columns.output
    }

    /// All `n` images of `x`, one after the other.
    pub fn images(&self, packed: &[Packed], n: usize, x: &[f32]) -> Vec<f32> {
        let place = Place { first: 0, row: self.columns.output, plane: self.area_out() };
        if let (1, [weight]) = (n, packed) {
            // Nothing is written twice, not even with zeros.
            return self.group(weight, x, place, |product| product.run_new());
        }
        let outputs = packed.iter().map(Packed::outputs).sum::<usize>() * self.area_out();
        let mut all = cpu::zeros(n * outputs);
        for (x, out) in x.chunks_exact(x.len() / n).zip(all.chunks_exact_mut(outputs)) {
            let mut place = place;
            for (weight, x) in packed.iter().zip(x.chunks_exact(x.len() / self.groups)) {
                self.group(weight, x, place, |product| product.run(out));
                place.first += weight.outputs() * place.plane;
            }
        }
        all
    }

    /// What `run` makes of the product that is one group of an image.
    pub fn group<R>(&self, weight: &Packed, x: &[f32], place: Place, run: impl FnOnce(&Product) -> R) -> R {
        let (rows, columns, limits) = (&self.rows, &self.columns, self.activation.limits());
        if !(rows.is_pointwise() && columns.is_pointwise()) {
            let phases = Phases::new(*rows, *columns);
            let &Phases { plane, pitch, ref taps, .. } = &phases;
            let size = (rows.output, columns.output);
            return run(&Product { weight, x: &phases.of(x), plane, taps, size, pitch, limits, place });
        }
        // Rows without gaps are one long row.
        let (plane, size) = (self.area_in(), (1, self.area_out()));
        let place = Place { row: size.1, ..place };
        run(&Product { weight, x, plane, taps: &[0], size, pitch: size.1, limits, place })
    }

    /// All `n` images of a depthwise convolution.
    pub fn depthwise(&self, set: Set, weight: &[f32], bias: &[f32], n: usize, x: &[f32]) -> Vec<f32> {
        let mut out = cpu::zeros(n * bias.len() * self.area_out());
        let phases = Phases::new(self.rows, self.columns);
        let (taps, limits) = (&phases.taps[..], self.activation.limits());
        let weight = weight.as_chunks::<9>().0;
        let planes = x.par_chunks_exact(self.area_in()).zip(out.par_chunks_exact_mut(self.area_out()));
        // The zeros around a plane stay from one to the next; only the pixels are replaced.
        let scratch = || vec![0f32; phases.room(1)];
        planes.enumerate().with_min_len(4).for_each_init(scratch, |padded, (i, (x, out))| {
            phases.fill(x, &mut padded[..phases.plane]);
            let (weight, bias) = (&weight[i % weight.len()], bias[i % bias.len()]);
            let depthwise = Depthwise { weight, bias, x: padded, taps, pitch: phases.pitch, limits };
            depthwise.run(set, self.columns.output, out);
        });
        out
    }
}

/// Whether a convolution over maps of this size is faster transformed.
pub(super) fn pays(plan: &Plan) -> bool {
    Winograd::tiles(&plan.rows, &plan.columns) > FEW_TILES
}

/// Whether one of so many channels can be.
pub(super) fn is_transformable(rows: &Axis, columns: &Axis, inputs: usize, outputs: usize) -> bool {
    Winograd::covers(rows, columns) && (MIN_CHANNELS..=MAX_CHANNELS).contains(&inputs) && outputs <= MAX_CHANNELS
}
