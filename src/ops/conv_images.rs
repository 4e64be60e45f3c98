//! Convolution of a batch in planes, as training keeps it, through the transforms of inference: the images share the
//! transformed weights, which are made anew for every batch.

use rayon::prelude::*;

use super::conv::Plan;
use super::conv_maps::{is_transformable, pays};
use super::kernels::{Set, Transformed, Winograd};
use super::maps::Maps;

/// Limits that cut nothing off.
pub(super) const FREE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

impl Plan {
    /// Whether this convolution, and with it the gradient of its input, is faster transformed.
    pub(super) fn is_transformed(&self, inputs: usize, outputs: usize) -> bool {
        let same = |axis: &super::geometry::Axis| (axis.before, axis.input) == (1, axis.output);
        let both = |a, b| is_transformable(&self.rows, &self.columns, a, b);
        self.groups == 1
            && same(&self.rows)
            && same(&self.columns)
            && pays(self)
            && both(inputs, outputs)
            && both(outputs, inputs)
    }

    /// The convolution of all images `x`, planes of `inputs` channels, with `weight`, `[outputs, inputs, 9]`: planes.
    pub(super) fn transformed(&self, set: Set, x: &[f32], weight: &[f32], inputs: usize) -> Vec<f32> {
        let (rows, columns, outputs) = (self.rows, self.columns, weight.len() / inputs / 9);
        let weights = Transformed::new(set, weight, &vec![0.0; outputs], inputs);
        let images = x.par_chunks_exact(inputs * self.area_in());
        let mut out = vec![0f32; images.len() * outputs * self.area_out()];
        images.zip(out.par_chunks_exact_mut(outputs * self.area_out())).for_each(|(x, out)| {
            let x = Maps::of_planes(set, x, inputs, rows.input, columns.input);
            let mut y = Maps::stale(set, outputs, rows.output, columns.output);
            let winograd = Winograd { weights: &weights, x: &x.values, rows, columns, residual: None, limits: FREE };
            winograd.run(&mut y.values);
            y.write_planes(out);
        });
        out
    }
}

/// `weight`, `[outputs, inputs, 9]`, for the gradient of the input: `[inputs, outputs, 9]`, turned around.
pub(super) fn turned(weight: &[f32], inputs: usize) -> Vec<f32> {
    let kernels = weight.as_chunks::<9>().0;
    let columns = (0..inputs).flat_map(|i| kernels.iter().skip(i).step_by(inputs));
    columns.flat_map(|kernel| kernel.iter().rev().copied()).collect()
}
