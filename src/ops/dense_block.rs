//! DenseNet's block (Huang et al., 2017): layers that each see all feature maps before them and add their own.

use candle_core::{Module, Result, Tensor, bail};

use super::conv_maps::{self, Ready};
use super::geometry::{Axis, Phases};
use super::kernels::{Direct, Place};
use super::maps::{Layer, Maps};
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
        if x.device().is_cpu() && !x.track_op() && self.0.iter().all(DenseLayer::is_fixed) {
            return self.fused(x);
        }
        let mut maps = x.clone();
        for layer in &self.0 {
            let new = layer.grow.forward(&layer.squeeze.forward(&layer.norm.forward(&maps)?)?)?;
            maps = Tensor::cat(&[&maps, &new], 1)?;
        }
        Ok(maps)
    }
}

impl Layer for DenseBlock {
    fn infer(&self, x: &Maps) -> Result<Maps> {
        let growths = || self.0.iter().map(|layer| layer.grow.outputs());
        let whole = |channels: usize| channels.is_multiple_of(x.set.lanes());
        if !(whole(x.channels) && growths().all(whole) && x.span == x.set.lanes()) {
            return Maps::of(&self.forward(&x.tensor()?)?);
        }
        let mut maps = Maps::stale(x.set, x.channels + growths().sum::<usize>(), x.height, x.width);
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
        let (Some(Ready::Direct(squeeze)), Some(Ready::Direct(grow))) = (self.squeeze.ready(), self.grow.ready())
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
        conv_maps::direct(grow, &between, (plan.rows, plan.columns), None, limits, to)
            .run(&mut new[..self.grow.outputs() * like.area()]);
        Ok(())
    }

    fn is_fixed(&self) -> bool {
        self.squeeze.packed().is_some() && self.grow.packed().is_some() && !self.norm.scale.track_op()
    }
}

impl DenseBlock {
    /// The same with every layer's maps written where they belong, the norm on the way into the first convolution, and
    /// what is between the two convolutions padded for the second.
    fn fused(&self, x: &Tensor) -> Result<Tensor> {
        let (n, width, h, w) = x.dims4()?;
        let area = h * w;
        let total = width + self.0.iter().map(|layer| layer.grow.outputs()).sum::<usize>();
        let mut maps = vec![0f32; n * total * area];
        let mut between = Vec::new();
        for (i, maps) in maps.chunks_exact_mut(total * area).enumerate() {
            let image = x.narrow(0, i, 1)?.contiguous()?;
            cpu::read(&image, |x| {
                maps[..x.len()].copy_from_slice(x);
                Ok(())
            })?;
            let mut width = width;
            for layer in &self.0 {
                let (seen, new) = maps.split_at_mut(width * area);
                layer.append((h, w), width, seen, &mut between, new)?;
                width += layer.grow.outputs();
            }
        }
        Tensor::from_vec(maps, (n, total, h, w), x.device())
    }
}

impl DenseLayer {
    /// Writes the layer's maps of one image to the start of `new`. `between` holds zeros around its planes from one call
    /// to the next.
    fn append(
        &self,
        (h, w): (usize, usize),
        width: usize,
        seen: &[f32],
        between: &mut Vec<f32>,
        new: &mut [f32],
    ) -> Result<()> {
        let (Some(squeeze), Some(grow)) = (self.squeeze.packed(), self.grow.packed()) else {
            bail!("weights that change have no place in a fused block");
        };
        let plan = self.squeeze.plan((width, h, w))?;
        let planned = self.grow.plan((self.squeeze.outputs(), h, w))?;
        let phases = Phases::new(planned.rows, planned.columns);
        between.resize(phases.room(self.squeeze.outputs()), 0.0);
        let place = Place { first: phases.first(), row: phases.pitch, plane: phases.plane };
        cpu::read(&self.norm.scale, |scale| {
            cpu::read(&self.norm.shift, |shift| {
                plan.image(squeeze, seen, Some((scale, shift)), None, place, between);
                Ok(())
            })
        })?;
        let place = Place { first: 0, row: w, plane: h * w };
        planned.padded(&grow[0], &phases, between, None, place, |product| product.run(new));
        Ok(())
    }
}
