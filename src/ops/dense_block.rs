//! DenseNet's block (Huang et al., 2017): layers that each see all feature maps before them and add their own.

use candle_core::{Module, Result, Tensor, bail};

use super::conv_maps::{self, Ready};
use super::geometry::Axis;
use super::kernels::{Direct, Set, Winograd};
use super::maps::{Layer, Maps};
use super::plan::pays;
use super::{Conv2d, ScaleShift, cpu};

/// Norm with ReLU, 1x1 convolution, 3x3 convolution.
#[derive(Debug, Clone)]
pub struct DenseLayer {
    /// Over all feature maps before the layer.
    pub norm: ScaleShift,
    /// To few feature maps.
    pub squeeze: Conv2d,
    /// To the layer's own feature maps; it keeps the size.
    pub grow: Conv2d,
}

/// Layers in their order.
#[derive(Debug, Clone)]
pub struct DenseBlock(pub Vec<DenseLayer>);

impl Module for DenseBlock {
    /// `[n, c, h, w]` to the same and the feature maps of every layer behind it, along the channels.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if cpu::fused(x) && !x.track_op() && self.is_fused(x.dim(1)?) {
            let image = |i| self.infer(&Maps::of(&x.narrow(0, i, 1)?)?.blocked())?.tensor();
            return Tensor::cat(&(0..x.dim(0)?).map(image).collect::<Result<Vec<_>>>()?, 0);
        }
        let mut maps = x.clone();
        for layer in &self.0 {
            maps = Tensor::cat(&[&maps, &layer.forward(&maps)?], 1)?;
        }
        Ok(maps)
    }
}

impl Module for DenseLayer {
    /// `[n, c, h, w]` to the layer's own feature maps.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.grow.forward(&self.squeeze.forward(&self.norm.forward(x)?)?)
    }
}

impl Layer for DenseBlock {
    fn infer(&self, x: &Maps) -> Result<Maps> {
        if !self.is_fused(x.channels) {
            return Maps::of(&self.forward(&x.tensor()?)?);
        }
        let blocked = (x.span == 1).then(|| x.blocked());
        let x = blocked.as_ref().unwrap_or(x);
        let mut maps = Maps::stale(x.set, x.channels + self.growths().sum::<usize>(), x.height, x.width);
        maps.values[..x.values.len()].copy_from_slice(&x.values);
        let mut width = x.channels;
        for layer in &self.0 {
            let (seen, new) = maps.values.split_at_mut(width * x.area());
            layer.infer_onto(x, width, seen, new)?;
            width += layer.grow.outputs();
        }
        Ok(maps)
    }
}

impl DenseLayer {
    /// Writes the layer's maps to the start of `new`, from the `width` maps of the size of `like` before it.
    fn infer_onto(&self, like: &Maps, width: usize, seen: &[f32], new: &mut [f32]) -> Result<()> {
        let (Some(Ready::Direct(squeeze, _)), Some(Ready::Direct(grow, transformed))) =
            (self.squeeze.ready(), self.grow.ready())
        else {
            bail!("weights that change have no place in a fused block");
        };
        let mut between = Maps::stale(like.set, self.squeeze.outputs(), like.height, like.width);
        let plan = self.squeeze.plan((width, like.height, like.width))?;
        let limits = plan.activation.limits();
        let (rows, columns) = (Axis::pointwise(1), Axis::pointwise(like.area()));
        let to = like.grid();
        let direct = Direct { weights: squeeze, x: seen, from: to, rows, columns, residual: None, limits, to };
        self.norm.over(width, like.span, |norm| direct.run_normed(&norm, &mut between.values))?;
        let plan = self.grow.plan((self.squeeze.outputs(), like.height, like.width))?;
        let limits = plan.activation.limits();
        let new = &mut new[..self.grow.outputs() * like.area()];
        let axes = (plan.rows, plan.columns);
        match transformed.as_ref().filter(|_| pays(&plan)) {
            Some(weights) => {
                let (rows, columns) = axes;
                Winograd { weights, x: &between.values, rows, columns, residual: None, limits }.run(new);
            }
            None => conv_maps::direct(grow, &between, axes, None, limits, to).run(new),
        }
        Ok(())
    }
}

impl DenseBlock {
    fn growths(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|layer| layer.grow.outputs())
    }

    /// Whether every layer's maps are whole blocks of channels, which can be written where they belong, and no weights
    /// change.
    fn is_fused(&self, channels: usize) -> bool {
        let ready = |conv: &Conv2d| matches!(conv.ready(), Some(Ready::Direct(..)));
        let lanes = Set::best().lanes();
        std::iter::once(channels).chain(self.growths()).all(|channels| channels.is_multiple_of(lanes))
            && self.0.iter().all(|l| ready(&l.squeeze) && ready(&l.grow) && !l.norm.scale.track_op())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, Form, Padding};
    use candle_core::Device;

    #[test]
    fn fused_equals_composed() {
        let random = |shape: &[usize]| Tensor::rand(-1f32, 1.0, shape, &Device::Cpu).unwrap();
        for side in [3, 14, 30] {
            let conv = |inputs: usize, outputs: usize, kernel: usize| {
                let (weight, padding) = (random(&[outputs, inputs, kernel, kernel]), Padding::Sides(kernel / 2));
                let form = Form { stride: 1, padding, groups: 1, activation: Activation::Relu };
                Conv2d::new((weight / (inputs * kernel) as f64).unwrap(), random(&[outputs]), form).unwrap()
            };
            let layer = |inputs: usize| DenseLayer {
                norm: ScaleShift { scale: random(&[inputs]), shift: random(&[inputs]), activation: Activation::Relu },
                squeeze: conv(inputs, 64, 1),
                grow: conv(64, 16, 3),
            };
            let block = DenseBlock(vec![layer(48), layer(64), layer(80)]);
            let x = random(&[2, 48, side, side]);
            let mut composed = x.clone();
            for layer in &block.0 {
                composed = Tensor::cat(&[&composed, &layer.forward(&composed).unwrap()], 1).unwrap();
            }
            assert!(block.is_fused(48));
            let off = (block.forward(&x).unwrap() - composed).unwrap().abs().unwrap().max_all().unwrap();
            assert!(off.to_scalar::<f32>().unwrap() < 1e-5);
        }
    }
}
