//! Convolution of a batch in planes, as training keeps it, through the transforms of inference: the images share the
//! transformed weights, which are made anew for every batch.

use rayon::prelude::*;

use super::cpu;
use super::kernels::{Packed, Place, Set, Transformed, Winograd};
use super::maps::Maps;
use super::plan::{Plan, is_transformable, pays};

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
        let outputs = weight.len() / inputs / 9;
        let weights = Transformed::new(set, weight, &vec![0.0; outputs], inputs);
        let images = x.par_chunks_exact(inputs * self.area_in());
        let mut out = cpu::zeros(images.len() * outputs * self.area_out());
        let images = images.zip(out.par_chunks_exact_mut(outputs * self.area_out()));
        images.for_each(|(x, out)| self.transformed_image(set, &weights, x, out));
        out
    }

    fn transformed_image(&self, set: Set, weights: &Transformed, x: &[f32], out: &mut [f32]) {
        let (rows, columns) = (self.rows, self.columns);
        let x = Maps::of_planes(set, x, x.len() / self.area_in(), rows.input, columns.input);
        let mut y = Maps::stale(set, out.len() / self.area_out(), rows.output, columns.output);
        Winograd { weights, x: &x.values, rows, columns, residual: None, limits: FREE }.run(&mut y.values);
        y.write_planes(out);
    }

    /// The weights `[outputs, inputs, taps]` for [`image`](Self::image), of one group and without bias.
    pub(super) fn prepared(&self, set: Set, weight: &[f32], inputs: usize) -> Prepared {
        let outputs = weight.len() / inputs / (self.rows.kernel * self.columns.kernel);
        let bias = vec![0.0; outputs];
        match self.is_transformed(inputs, outputs) {
            true => Prepared::Transformed(Transformed::new(set, weight, &bias, inputs)),
            false => Prepared::Packed(Packed::new(set, weight, &bias)),
        }
    }

    /// The convolution of one image: planes to planes.
    pub(super) fn image(&self, set: Set, weights: &Prepared, x: &[f32], out: &mut [f32]) {
        match weights {
            Prepared::Transformed(weights) => self.transformed_image(set, weights, x, out),
            Prepared::Packed(weights) => {
                let place = Place { first: 0, row: self.columns.output, plane: self.area_out() };
                self.group(weights, x, place, |product| product.run(out));
            }
        }
    }
}

/// Weights as the images of a batch share them.
pub(super) enum Prepared {
    Transformed(Transformed),
    Packed(Packed),
}

/// `weight`, `[outputs, inputs, 9]`, for the gradient of the input: `[inputs, outputs, 9]`, turned around.
pub(super) fn turned(weight: &[f32], inputs: usize) -> Vec<f32> {
    let kernels = weight.as_chunks::<9>().0;
    let columns = (0..inputs).flat_map(|i| kernels.iter().skip(i).step_by(inputs));
    columns.flat_map(|kernel| kernel.iter().rev().copied()).collect()
}
