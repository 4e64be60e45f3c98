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
        for (block, planes) in self.values.chunks_exact(self.block()).zip(planes.chunks_mut(self.block())) {
            for (c, plane) in planes.chunks_exact_mut(self.area()).enumerate() {
                plane.iter_mut().zip(block[c..].iter().step_by(self.span)).for_each(|(to, from)| *to = *from);
            }
        }
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
        let mut maps = Self::stale(self.set, self.channels, self.height, self.width);
        let (area, span) = (self.area(), maps.span);
        let planes = self.values.chunks(area * span);
        for (planes, block) in planes.zip(maps.values.chunks_exact_mut(area * span)) {
            block.fill(0.0);
            for (c, plane) in planes.chunks_exact(area).enumerate() {
                block[c..].iter_mut().step_by(span).zip(plane).for_each(|(to, from)| *to = *from);
            }
        }
        maps
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
