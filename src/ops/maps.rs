//! Feature maps of one image in the order in which the kernels of inference read them.

use candle_core::{Device, Module, Result, Tensor, bail};
use rayon::prelude::*;

use super::cpu;
use super::kernels::{Buffer, Grid, Set};

/// Feature maps of one image on the CPU: blocks of channels, in each the rows, their pixels, and of each pixel the
/// block's channels, as many as fill a register. An image that has not met a convolution has one channel a block.
pub struct Maps {
    pub(super) set: Set,
    /// Channels in a block.
    pub(super) span: usize,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) values: Buffer,
}

/// Pixels whose order is changed at a time: what is read and written of all channels stays in the first cache.
const NEAR: usize = 64;

/// What a network is made of: a module that has a way of its own through maps where nothing tracks gradients.
pub trait Layer: Module + Send + Sync {
    /// The same as `forward`, of one image.
    fn infer(&self, x: &Maps) -> Result<Maps> {
        Maps::of(&self.forward(&x.tensor()?)?)
    }
}

impl Maps {
    /// The image of a tensor `[1, channels, height, width]` of f32 on the CPU; another number of images is an error.
    pub fn of(x: &Tensor) -> Result<Self> {
        let (n, channels, height, width) = x.dims4()?;
        if n != 1 {
            bail!("maps of {n} images");
        }
        let mut values = Buffer::stale(channels * height * width);
        cpu::read(&x.contiguous()?, |x| {
            values.copy_from_slice(x);
            Ok(())
        })?;
        Ok(Self { set: Set::best(), span: 1, channels, height, width, values })
    }

    /// The same as a tensor `[1, channels, height, width]`.
    pub fn tensor(&self) -> Result<Tensor> {
        let mut planes = vec![0f32; self.channels * self.area()];
        self.write_planes(&mut planes);
        Tensor::from_vec(planes, (1, self.channels, self.height, self.width), &Device::Cpu)
    }

    /// Maps of which nothing is known yet, with channels in registers.
    pub(super) fn stale(set: Set, channels: usize, height: usize, width: usize) -> Self {
        let span = set.lanes();
        let values = Buffer::stale(channels.next_multiple_of(span) * height * width);
        Self { set, span, channels, height, width, values }
    }

    /// The same with channels in registers.
    pub(super) fn blocked(&self) -> Self {
        Self::of_planes(self.set, &self.values, self.channels, self.height, self.width)
    }

    /// Maps with channels in registers, from planes.
    pub(super) fn of_planes(set: Set, planes: &[f32], channels: usize, height: usize, width: usize) -> Self {
        let mut maps = Self::stale(set, channels, height, width);
        let (area, span) = (maps.area(), maps.span);
        for (planes, block) in planes.chunks(area * span).zip(maps.values.chunks_exact_mut(area * span)) {
            if planes.len() < block.len() {
                block.fill(0.0);
            }
            for start in (0..area).step_by(NEAR) {
                let end = area.min(start + NEAR);
                for (c, plane) in planes.chunks_exact(area).enumerate() {
                    let pixels = block[start * span..end * span].chunks_exact_mut(span);
                    pixels.zip(&plane[start..end]).for_each(|(to, from)| to[c] = *from);
                }
            }
        }
        maps
    }

    /// Writes the planes of all channels.
    pub(super) fn write_planes(&self, planes: &mut [f32]) {
        let (area, span) = (self.area(), self.span);
        for (block, planes) in self.values.chunks_exact(self.block()).zip(planes.chunks_mut(self.block())) {
            for start in (0..area).step_by(NEAR) {
                let end = area.min(start + NEAR);
                for (c, plane) in planes.chunks_exact_mut(area).enumerate() {
                    let pixels = block[start * span..end * span].chunks_exact(span);
                    plane[start..end].iter_mut().zip(pixels).for_each(|(to, from)| *to = from[c]);
                }
            }
        }
    }

    /// An image of one channel a block with zeros around it.
    pub(super) fn padded(&self, above: usize, below: usize, left: usize, right: usize) -> Self {
        let (height, width) = (self.height + above + below, self.width + left + right);
        let mut values = Buffer::stale(self.channels * height * width);
        let planes = values.par_chunks_exact_mut(height * width).zip(self.values.par_chunks_exact(self.area()));
        planes.for_each(|(to, from)| {
            let (before, lines) = to.split_at_mut(above * width);
            let (lines, after) = lines.split_at_mut(self.height * width);
            before.fill(0.0);
            after.fill(0.0);
            for (to, from) in lines.chunks_exact_mut(width).zip(from.chunks_exact(self.width)) {
                to[..left].fill(0.0);
                to[left..][..self.width].copy_from_slice(from);
                to[left + self.width..].fill(0.0);
            }
        });
        Self { height, width, values, ..*self }
    }

    pub(super) fn area(&self) -> usize {
        self.height * self.width
    }

    /// Values of a block of channels.
    pub(super) fn block(&self) -> usize {
        self.area() * self.span
    }

    pub(super) fn grid(&self) -> Grid {
        Grid { row: self.width * self.span, block: self.block() }
    }
}
