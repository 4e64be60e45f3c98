//! DenseNet's block in training, in one step and without copies of the maps: every layer's maps are written where they
//! belong once, and what is cheap to compute again is not kept (Pleiss et al., "Memory-Efficient Implementation of
//! DenseNets", 2017).
//!
//! The first norm of every layer sees the same maps, so a channel's moments are those of all layers behind it; and what
//! the gradients of their norms subtract depends on sums only. So the gradient of a map is collected over all layers, each
//! masked and scaled by its norm's weight, and comes through the norms once, when the layer that made it takes its turn.

use candle_core::{Result, Tensor, Var, bail};
use rayon::prelude::*;

use super::batch_norm::{Backward, BatchNorm, Moments, PLANES, apply, gradient_sums, mask, per_channel};
use super::conv_gradient::{Turned, Wanted};
use super::geometry::{Axis, Padding};
use super::kernels::{Set, sums_with};
use super::plan::Plan;
use super::tape::{Node, Tape};
use super::{Activation, cpu};

/// A layer: norm with ReLU, 1x1 convolution, norm with ReLU, 3x3 convolution.
pub struct DenseLayerTraining<'a> {
    /// Over all maps before the layer.
    pub norm: &'a BatchNorm,
    /// `[middle, maps before, 1, 1]`.
    pub squeeze: &'a Var,
    /// Over what that makes.
    pub squeeze_norm: &'a BatchNorm,
    /// `[growth, middle, 3, 3]`.
    pub grow: &'a Var,
}

/// Values of a few images' maps that are made at a time, about.
const HELD: usize = 1 << 19;

/// What a layer's backward pass needs.
struct Saved {
    /// Of the first norm, the first convolution, the second norm and the second convolution.
    weights: [Tensor; 6],
    eps: [f64; 2],
    /// Maps before the layer.
    width: usize,
    middle: usize,
    growth: usize,
    /// What the first convolution made, `[n, middle, h, w]`.
    squeezed: Vec<f32>,
    moments: Vec<Moments>,
}

/// The sizes that all layers share.
#[derive(Clone, Copy)]
struct Size {
    images: usize,
    /// Maps of all layers.
    total: usize,
    h: usize,
    w: usize,
}

impl Tape {
    /// `[n, c, h, w]` to the same and the maps of every layer behind it, along the channels.
    pub fn dense_block(&mut self, x: Node, layers: &[DenseLayerTraining]) -> Result<Node> {
        if self.precision().is_some() {
            return super::composed::dense_block(self, x, layers);
        }
        let (images, first, h, w) = x.value().dims4()?;
        let growths = layers.iter().map(|layer| layer.grow.dim(0)).sum::<Result<usize>>()?;
        let size = Size { images, total: first + growths, h, w };
        let mut maps = cpu::zeros(images * size.total * h * w);
        let mut moments = cpu::read(x.value(), |x| {
            size.put(x, 0, &mut maps);
            Moments::of(x, first, h * w)
        })?;
        let mut nodes = vec![x.clone()];
        let mut saved = Vec::with_capacity(layers.len());
        for layer in layers {
            let vars = [
                &layer.norm.weight,
                &layer.norm.bias,
                layer.squeeze,
                &layer.squeeze_norm.weight,
                &layer.squeeze_norm.bias,
                layer.grow,
            ];
            let weights = vars.map(|var| self.parameter(var));
            saved.push(size.forward(
                layer,
                weights.each_ref().map(|node| node.value().clone()),
                &mut maps,
                &mut moments,
            )?);
            nodes.extend(weights);
        }
        let y = Tensor::from_vec(maps, (images, size.total, h, w), x.value().device())?;
        let results = y.clone();
        Ok(self.push(&nodes.iter().collect::<Vec<_>>(), y, move |grad| {
            cpu::read(&results, |maps| cpu::write(&grad, |grad| size.backward(maps, grad, saved, &moments, first)))
        }))
    }
}

impl Size {
    fn area(&self) -> usize {
        self.h * self.w
    }

    /// Writes channels of all images, one behind the other, to their places among all maps.
    fn put(&self, from: &[f32], channel: usize, maps: &mut [f32]) {
        let part = from.len() / self.images;
        for (from, maps) in from.chunks_exact(part).zip(maps.chunks_exact_mut(self.total * self.area())) {
            maps[channel * self.area()..][..part].copy_from_slice(from);
        }
    }

    fn plan(&self, kernel: usize) -> Result<Plan> {
        let axis = |size| Axis::new(size, kernel, 1, Padding::Sides(kernel / 2));
        Ok(Plan { rows: axis(self.h)?, columns: axis(self.w)?, groups: 1, activation: Activation::Identity })
    }

    /// Norm and ReLU of an image's first channels.
    fn norm_into(&self, set: Set, maps: &[f32], (scale, shift): &(Vec<f32>, Vec<f32>), to: &mut [f32]) {
        let planes = maps.chunks_exact(self.area()).zip(to.chunks_exact_mut(self.area()));
        for ((from, to), (scale, shift)) in planes.zip(scale.iter().zip(shift)) {
            set.compile(|| apply(from, (*scale, *shift), None, Activation::Relu, to));
        }
    }

    /// What the moments of an image's channels are made of.
    fn sums(&self, set: Set, planes: &[f32]) -> Vec<(f64, f64)> {
        planes.chunks_exact(self.area()).map(|plane| sums_with(set, plane, plane)).collect()
    }

    /// The moments of as many channels, from the sums of all images.
    fn moments(&self, sums: &[Vec<(f64, f64)>]) -> Vec<Moments> {
        Moments::from_sums(&sums.concat(), sums[0].len(), (self.images * self.area()) as f64)
    }

    /// Appends a layer's maps and their moments.
    fn forward(
        &self,
        layer: &DenseLayerTraining,
        weights: [Tensor; 6],
        maps: &mut [f32],
        moments: &mut Vec<Moments>,
    ) -> Result<Saved> {
        let (set, area, width) = (Set::best(), self.area(), moments.len());
        let (middle, inputs, ..) = weights[2].dims4()?;
        let (growth, between, kh, kw) = weights[5].dims4()?;
        if (inputs, between, kh, kw) != (width, middle, 3, 3) {
            bail!("a dense layer of {:?} and {:?} over {width} maps", weights[2].shape(), weights[5].shape());
        }
        layer.norm.remember(moments)?;
        let norm = layer.norm.scale_and_shift(moments)?;
        let plan = self.plan(1)?;
        let squeeze = cpu::read(&weights[2], |weight| Ok(plan.prepared(set, weight, width)))?;
        let mut squeezed = cpu::zeros(self.images * middle * area);
        let images = maps.par_chunks_exact(self.total * area).zip(squeezed.par_chunks_exact_mut(middle * area));
        let sums = images.map_init(
            || vec![0f32; width * area],
            |normed, (maps, to)| {
                self.norm_into(set, maps, &norm, normed);
                plan.image(set, &squeeze, normed, to);
                self.sums(set, to)
            },
        );
        let after = self.moments(&sums.collect::<Vec<_>>());
        layer.squeeze_norm.remember(&after)?;
        let norm = layer.squeeze_norm.scale_and_shift(&after)?;
        let plan = self.plan(3)?;
        let grow = cpu::read(&weights[5], |weight| Ok(plan.prepared(set, weight, middle)))?;
        let images = squeezed.par_chunks_exact(middle * area).zip(maps.par_chunks_exact_mut(self.total * area));
        let sums = images.map_init(
            || vec![0f32; middle * area],
            |normed, (from, maps)| {
                self.norm_into(set, from, &norm, normed);
                let new = &mut maps[width * area..][..growth * area];
                plan.image(set, &grow, normed, new);
                self.sums(set, new)
            },
        );
        moments.extend(self.moments(&sums.collect::<Vec<_>>()));
        let eps = [layer.norm.eps, layer.squeeze_norm.eps];
        Ok(Saved { weights, eps, width, middle, growth, squeezed, moments: after })
    }

    /// The gradients of the first maps and of every layer's weights, from those of all maps, whose place is used.
    fn backward(
        &self,
        maps: &[f32],
        grad: &mut [f32],
        saved: Vec<Saved>,
        moments: &[Moments],
        first: usize,
    ) -> Result<Vec<Option<Tensor>>> {
        let (area, total) = (self.area(), self.total);
        let eps = saved.first().map_or(0.0, |layer| layer.eps[0]);
        let inverse: Vec<_> = moments.iter().map(|m| m.inverse(eps)).collect();
        // Collected gradients are in units of normed values: these have come through no norm yet.
        grad.par_chunks_exact_mut(area).enumerate().for_each(|(i, plane)| {
            let factor = (1.0 / inverse[i % total]) as f32;
            plane.iter_mut().for_each(|g| *g *= factor);
        });
        // What all layers' norms subtract: sums of gradients, and of their products with the normed values.
        let mut sums = vec![(0f64, 0f64); total];
        let mut gradients = Vec::with_capacity(1 + 6 * saved.len());
        for layer in saved.into_iter().rev() {
            let (before, new) = (&moments[..layer.width], layer.width..layer.width + layer.growth);
            let of_maps = self.through_norms(maps, grad, &sums, moments, &inverse, new);
            let mut own = layer.backward(self, maps, grad, &of_maps, before, &mut sums)?;
            own.reverse();
            gradients.extend(own.into_iter().map(Some));
        }
        let dx = self.through_norms(maps, grad, &sums, moments, &inverse, 0..first);
        gradients.push(Some(Tensor::from_vec(dx, (self.images, first, self.h, self.w), &candle_core::Device::Cpu)?));
        gradients.reverse();
        Ok(gradients)
    }

    /// The gradients of some channels, once all layers behind them have added theirs.
    fn through_norms(
        &self,
        maps: &[f32],
        grad: &[f32],
        sums: &[(f64, f64)],
        moments: &[Moments],
        inverse: &[f64],
        channels: std::ops::Range<usize>,
    ) -> Vec<f32> {
        let (area, set) = (self.area(), Set::best());
        let mut out = cpu::zeros(self.images * channels.len() * area);
        out.par_chunks_exact_mut(area).enumerate().for_each(|(i, out)| {
            let channel = channels.start + i % channels.len();
            let from = (i / channels.len() * self.total + channel) * area;
            let (m, inverse, (sum, products)) = (&moments[channel], inverse[channel], sums[channel]);
            let (a, b) = (inverse as f32, (-inverse * inverse * products / m.count) as f32);
            let (c, mean) = ((-inverse * sum / m.count) as f32, m.mean as f32);
            let values = grad[from..][..area].iter().zip(&maps[from..][..area]);
            set.compile(|| out.iter_mut().zip(values).for_each(|(out, (g, x))| *out = a * g + b * (x - mean) + c));
        });
        out
    }
}

impl Saved {
    /// The gradients of the layer's weights from those of its maps; adds those of the maps before it to `grad`, and what
    /// its first norm will subtract to `sums`.
    fn backward(
        self,
        size: &Size,
        maps: &[f32],
        grad: &mut [f32],
        of_maps: &[f32],
        before: &[Moments],
        sums: &mut [(f64, f64)],
    ) -> Result<Vec<Tensor>> {
        let (set, area) = (Set::best(), size.area());
        let values = |i: usize| self.weights[i].flatten_all()?.to_vec1::<f32>();
        let [scale1, shift1, squeeze, scale2, shift2, grow] =
            [values(0)?, values(1)?, values(2)?, values(3)?, values(4)?, values(5)?];
        // The second convolution, whose input is made again.
        let (scale, shift) = folded(&scale2, &shift2, &self.moments, self.eps[1]);
        let mut middle = cpu::zeros(self.squeezed.len());
        let planes = self.squeezed.par_chunks_exact(area).zip(middle.par_chunks_exact_mut(area)).enumerate();
        planes.for_each(|(i, (x, out))| {
            let channel = (scale[i % self.middle], shift[i % self.middle]);
            set.compile(|| apply(x, channel, None, Activation::Relu, out));
        });
        let (of_middle, of_grow) = size.plan(3)?.gradients(set, &middle, &grow, self.growth, of_maps, Wanted::BOTH);
        let (mut of_middle, of_grow) = (of_middle.unwrap_or_default(), of_grow.unwrap_or_default());
        // The norm between.
        let behind = Some((&middle[..], Activation::Relu));
        let norm_sums = gradient_sums(&self.squeezed, &mut of_middle, behind, self.middle, area);
        let norm = Backward::new(&norm_sums, &scale2, &self.moments, self.eps[1]);
        norm.apply(&self.squeezed, &mut of_middle, area);
        drop(middle);
        // The first convolution, a few images at a time.
        let (scale, shift) = folded(&scale1, &shift1, before, self.eps[0]);
        let (plan, step) = (size.plan(1)?, (HELD / (self.width * area)).max(1));
        let (mut of_squeeze, turned) = (vec![0f32; squeeze.len()], Turned::new());
        let wanted = Wanted { turned: Some(&turned), ..Wanted::BOTH };
        let mut plane_sums = Vec::with_capacity(size.images * self.width);
        let images = maps.chunks(step * size.total * area).zip(grad.chunks_mut(step * size.total * area));
        for ((maps, grad), of_middle) in images.zip(of_middle.chunks(step * self.middle * area)) {
            let mut seen = cpu::zeros(maps.len() / size.total * self.width);
            let plane_of = |i: usize| i / self.width * size.total + i % self.width;
            seen.par_chunks_exact_mut(area).enumerate().for_each(|(i, out)| {
                let channel = (scale[i % self.width], shift[i % self.width]);
                set.compile(|| apply(&maps[plane_of(i) * area..][..area], channel, None, Activation::Relu, out));
            });
            let (of_seen, part) = plan.gradients(set, &seen, &squeeze, self.middle, of_middle, wanted);
            let part = part.unwrap_or_default();
            of_squeeze.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            let mut of_seen = of_seen.unwrap_or_default();
            let planes =
                grad.par_chunks_exact_mut(size.total * area).zip(of_seen.par_chunks_exact_mut(self.width * area));
            let each =
                planes.zip(seen.par_chunks_exact(self.width * area)).zip(maps.par_chunks_exact(size.total * area));
            let found: Vec<Vec<_>> = each
                .map(|(((grad, of_seen), seen), maps)| {
                    let planes = of_seen.par_chunks_exact_mut(area).zip(seen.par_chunks_exact(area));
                    let others = maps.par_chunks_exact(area).zip(grad.par_chunks_exact_mut(area)).zip(&scale1);
                    let each = planes.zip(others).with_min_len(PLANES).map(|((g, y), ((x, to), weight))| {
                        set.compile(|| {
                            mask(g, y, Activation::Relu);
                            to.iter_mut().zip(&*g).for_each(|(to, g)| *to += weight * g);
                        });
                        sums_with(set, g, x)
                    });
                    each.collect()
                })
                .collect();
            plane_sums.extend(found.into_iter().flatten());
        }
        let first = Backward::new(&per_channel(&plane_sums, self.width), &scale1, before, self.eps[0]);
        for ((sum, weight), (of_scale, of_shift)) in
            sums.iter_mut().zip(&scale1).zip(first.weight.iter().zip(&first.bias))
        {
            let weight = f64::from(*weight);
            *sum = (sum.0 + weight * f64::from(*of_shift), sum.1 + weight * f64::from(*of_scale));
        }
        let found = [first.weight, first.bias, of_squeeze, norm.weight, norm.bias, of_grow];
        let tensors = found.into_iter().zip(&self.weights);
        tensors.map(|(values, like)| Tensor::from_vec(values, like.shape(), like.device())).collect()
    }
}

/// Scale and shift of every channel.
fn folded(weight: &[f32], bias: &[f32], moments: &[Moments], eps: f64) -> (Vec<f32>, Vec<f32>) {
    weight.iter().zip(bias).zip(moments).map(|((w, b), m)| m.fold(*w, *b, eps)).unzip()
}
