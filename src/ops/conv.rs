//! Two-dimensional convolution with bias and activation in one op.

use candle_core::{CpuStorage, CustomOp3, Layout, Module, Result, Shape, Tensor, bail};

use super::kernels::{Matrix, multiply_add};
use super::{Activation, cpu};

/// How many zeros are put around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// This many on each of the four sides.
    Sides(usize),
    /// TensorFlow's `SAME`: the output has `ceil(size / stride)` rows; an odd zero goes to the end.
    Same,
}

impl Padding {
    /// Zeros before and after an axis of `size` values.
    fn amounts(self, size: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Self::Sides(n) => (n, n),
            Self::Same => {
                let covered = (size.div_ceil(stride).max(1) - 1) * stride + kernel;
                let total = covered.saturating_sub(size);
                (total / 2, total - total / 2)
            }
        }
    }
}

/// `activation(convolution(x) + bias)`.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `[outputs, inputs / groups, height, width]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Tensor,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: Padding,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// What follows.
    pub activation: Activation,
}

impl Module for Conv2d {
    /// `[n, inputs, h, w]` to `[n, outputs, h', w']`. An image smaller than the kernel is an error.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, inputs, h, w) = x.dims4()?;
        let (outputs, depth, kh, kw) = self.weight.dims4()?;
        if self.stride * self.groups == 0
            || inputs != depth * self.groups
            || outputs % self.groups != 0
            || self.bias.dims() != [outputs]
        {
            bail!("convolution of {:?} in {} groups over {:?}", self.weight.shape(), self.groups, x.shape());
        }
        let plan = Plan {
            rows: Axis::new(h, kh, self.stride, self.padding)?,
            columns: Axis::new(w, kw, self.stride, self.padding)?,
            groups: self.groups,
            activation: self.activation,
        };
        if x.device().is_cpu() { x.apply_op3(&self.weight, &self.bias, plan) } else { self.composed(x, &plan) }
    }
}

impl Conv2d {
    /// The same out of Candle's own ops.
    fn composed(&self, x: &Tensor, plan: &Plan) -> Result<Tensor> {
        let x = x.pad_with_zeros(2, plan.rows.before, plan.rows.after)?;
        let x = x.pad_with_zeros(3, plan.columns.before, plan.columns.after)?;
        let y = x.conv2d(&self.weight, 0, self.stride, 1, self.groups)?;
        self.activation.forward(&y.broadcast_add(&self.bias.reshape((1, (), 1, 1))?)?)
    }
}

/// One direction of a convolution.
#[derive(Debug, Clone, Copy)]
struct Axis {
    input: usize,
    kernel: usize,
    stride: usize,
    before: usize,
    after: usize,
    output: usize,
}

impl Axis {
    fn new(input: usize, kernel: usize, stride: usize, padding: Padding) -> Result<Self> {
        let (before, after) = padding.amounts(input, kernel, stride);
        let padded = input + before + after;
        if input == 0 || padded < kernel {
            bail!("{input} pixels are fewer than the {kernel} of the kernel");
        }
        Ok(Self { input, kernel, stride, before, after, output: (padded - kernel) / stride + 1 })
    }

    /// The outputs whose tap `tap` falls on the image, not on the padding.
    fn inside(&self, tap: usize) -> std::ops::Range<usize> {
        let first = self.before.saturating_sub(tap).div_ceil(self.stride);
        let end = (self.input + self.before).saturating_sub(tap).div_ceil(self.stride).min(self.output);
        first.min(end)..end
    }

    /// The input that output `o` sees through tap `tap`; `o` must be [`inside`](Self::inside).
    fn source(&self, o: usize, tap: usize) -> usize {
        o * self.stride + tap - self.before
    }
}

/// The convolution of one shape, as an op.
struct Plan {
    rows: Axis,
    columns: Axis,
    groups: usize,
    activation: Activation,
}

impl CustomOp3 for Plan {
    fn name(&self) -> &'static str {
        "conv2d-bias-activation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [n, inputs, ..] = cpu::shape(lx)?;
        let [outputs, depth, ..] = cpu::shape(lw)?;
        let x = cpu::values(self.name(), x, lx)?;
        let weight = cpu::values(self.name(), weight, lw)?;
        let bias = cpu::values(self.name(), bias, lb)?;
        let area_in = self.rows.input * self.columns.input;
        let area_out = self.rows.output * self.columns.output;
        let mut out = vec![0f32; n * outputs * area_out];
        let small = [self.rows, self.columns].iter().all(|a| a.kernel == 3 && a.stride <= 2);
        let depthwise = depth == 1 && self.groups > 1 && small;
        let mut padded = Vec::new();
        // Each group of each image is a convolution of its own.
        let per_group = outputs / self.groups;
        let sources = x.chunks_exact(inputs / self.groups * area_in);
        for (i, (x, out)) in sources.zip(out.chunks_exact_mut(per_group * area_out)).enumerate() {
            let first = i % self.groups * per_group;
            let bias = &bias[first..first + per_group];
            let taps = depth * self.rows.kernel * self.columns.kernel;
            let weight = &weight[first * taps..(first + per_group) * taps];
            if depthwise {
                self.direct(x, weight, bias, out, &mut padded);
            } else {
                self.as_product(x, weight, bias, out);
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((n, outputs, self.rows.output, self.columns.output))))
    }
}

/// Values of the unrolled image worked on at a time: what stays in a second-level cache.
const TILE: usize = 128 * 1024;

impl Plan {
    /// One image and group with a single input channel and kernels of 3x3 in steps of 1 or 2, as in depthwise convolutions.
    fn direct(&self, x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32], padded: &mut Vec<f32>) {
        let (rows, columns) = (&self.rows, &self.columns);
        let width = columns.input + columns.before + columns.after;
        // The zeros around the image stay from one call to the next; only the image is replaced.
        padded.resize(width * (rows.input + rows.before + rows.after), 0.0);
        for (line, source) in padded.chunks_exact_mut(width).skip(rows.before).zip(x.chunks_exact(columns.input)) {
            line[columns.before..][..columns.input].copy_from_slice(source);
        }
        let planes = out.chunks_exact_mut(rows.output * columns.output);
        for ((out, taps), bias) in planes.zip(weight.as_chunks::<9>().0).zip(bias) {
            for (y, out) in out.chunks_exact_mut(columns.output).enumerate() {
                let lines = [0, 1, 2].map(|i| &padded[(y * rows.stride + i) * width..][..width]);
                match columns.stride {
                    1 => line_of_3x3::<1>(out, lines, taps),
                    _ => line_of_3x3::<2>(out, lines, taps),
                }
                self.activation.in_place(out, *bias);
            }
        }
    }

    /// One image and group as a matrix product of the weights and the unrolled image, some rows at a time.
    fn as_product(&self, x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
        let (rows, columns) = (&self.rows, &self.columns);
        let area = rows.output * columns.output;
        let depth = weight.len() / bias.len();
        let weight = Matrix { data: weight, rows: bias.len(), columns: depth, stride: depth };
        let pointwise = [rows, columns].iter().all(|a| (a.kernel, a.stride, a.before + a.after) == (1, 1, 0));
        if pointwise {
            multiply_add(out, area, weight, Matrix { data: x, rows: depth, columns: area, stride: area });
        } else {
            let height = (TILE / (depth * columns.output)).clamp(1, rows.output);
            let mut unrolled = vec![0f32; depth * height * columns.output];
            for top in (0..rows.output).step_by(height) {
                let height = height.min(rows.output - top);
                let width = height * columns.output;
                self.unroll(x, top, height, &mut unrolled[..depth * width]);
                let b = Matrix { data: &unrolled, rows: depth, columns: width, stride: width };
                multiply_add(&mut out[top * columns.output..], area, weight, b);
            }
        }
        for (out, bias) in out.chunks_exact_mut(area).zip(bias) {
            self.activation.in_place(out, *bias);
        }
    }

    /// Writes, for each channel and tap, the pixels that the `height` output rows from `top` see through it.
    fn unroll(&self, x: &[f32], top: usize, height: usize, unrolled: &mut [f32]) {
        let (rows, columns) = (&self.rows, &self.columns);
        let mut lines = unrolled.chunks_exact_mut(columns.output);
        for plane in x.chunks_exact(rows.input * columns.input) {
            for ky in 0..rows.kernel {
                let inside_rows = rows.inside(ky);
                for kx in 0..columns.kernel {
                    let inside = columns.inside(kx);
                    for (oy, line) in (top..top + height).zip(&mut lines) {
                        if !inside_rows.contains(&oy) || inside.is_empty() {
                            line.fill(0.0);
                            continue;
                        }
                        let source = &plane[rows.source(oy, ky) * columns.input..][..columns.input];
                        let source = &source[columns.source(inside.start, kx)..];
                        line[..inside.start].fill(0.0);
                        line[inside.end..].fill(0.0);
                        let line = &mut line[inside.clone()];
                        if columns.stride == 1 {
                            line.copy_from_slice(&source[..line.len()]);
                        } else {
                            let source = source.iter().step_by(columns.stride);
                            line.iter_mut().zip(source).for_each(|(l, s)| *l = *s);
                        }
                    }
                }
            }
        }
    }
}

/// One output line of a 3x3 convolution, from the three lines that it sees.
fn line_of_3x3<const STRIDE: usize>(out: &mut [f32], lines: [&[f32]; 3], taps: &[f32; 9]) {
    let [a, b, c] = lines.map(|line| &line[..(out.len() - 1) * STRIDE + 3]);
    for (i, out) in out.iter_mut().enumerate() {
        let row = |line: &[f32], t: usize| {
            line[i * STRIDE] * taps[t] + line[i * STRIDE + 1] * taps[t + 1] + line[i * STRIDE + 2] * taps[t + 2]
        };
        *out = row(a, 0) + row(b, 3) + row(c, 6);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    #[test]
    fn same_puts_the_odd_zero_last() {
        assert_eq!(Padding::Same.amounts(224, 3, 2), (0, 1));
        assert_eq!(Padding::Same.amounts(225, 3, 2), (1, 1));
        assert_eq!(Padding::Same.amounts(7, 3, 1), (1, 1));
        assert_eq!(Padding::Same.amounts(1, 3, 2), (1, 1));
    }

    #[test]
    fn too_small_an_image_is_an_error() {
        let conv = Conv2d {
            weight: Tensor::zeros((1, 1, 3, 3), candle_core::DType::F32, &Device::Cpu).unwrap(),
            bias: Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap(),
            stride: 1,
            padding: Padding::Sides(0),
            groups: 1,
            activation: Activation::Identity,
        };
        let x = Tensor::zeros((1, 1, 2, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(conv.forward(&x).unwrap_err().to_string().contains("2 pixels are fewer"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn equals_candles_own(
            (n, groups, depth, per_group) in (1usize..3, 1usize..4, 1usize..5, 1usize..4),
            (h, w, kernel, stride, padding) in (4usize..20, 4usize..20, 1usize..5, 1usize..4, 0usize..5),
        ) {
            let device = &Device::Cpu;
            let conv = Conv2d {
                weight: Tensor::rand(-1f32, 1.0, (groups * per_group, depth, kernel, kernel), device).unwrap(),
                bias: Tensor::rand(-1f32, 1.0, groups * per_group, device).unwrap(),
                stride,
                padding: if padding == 4 { Padding::Same } else { Padding::Sides(padding) },
                groups,
                activation: [Activation::Identity, Activation::Relu, Activation::Relu6][h % 3],
            };
            let x = Tensor::rand(-1f32, 1.0, (n, groups * depth, h, w), device).unwrap();
            let plan = Plan {
                rows: Axis::new(h, kernel, stride, conv.padding).unwrap(),
                columns: Axis::new(w, kernel, stride, conv.padding).unwrap(),
                groups,
                activation: conv.activation,
            };
            let (a, b) = (conv.forward(&x).unwrap(), conv.composed(&x, &plan).unwrap());
            prop_assert_eq!(a.dims(), b.dims());
            let worst = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(worst < 1e-4, "{}", worst);
        }
    }
}
