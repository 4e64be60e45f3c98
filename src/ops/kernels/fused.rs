//! Direct convolution joined with what comes before or after it, so that what lies between stays in the caches.

use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::channelwise::{Channelwise, Norm, norm};
use super::direct::{Area, Direct, Grid};
use super::shared::Shared;
use super::weights::GROUP;
use crate::ops::geometry::Axis;

/// Bytes of what lies between that are to stay in the second cache.
const BETWEEN: usize = 384 << 10;

/// A pointwise convolution, then a depthwise one.
pub(in crate::ops) struct Expand<'a> {
    /// Over all pixels as one row.
    pub expand: Direct<'a>,
    pub depthwise: Channelwise<'a>,
}

impl Expand<'_> {
    /// Writes the output, maps without gaps, to `out`.
    pub fn run(&self, out: &mut [f32]) {
        let Channelwise { rows, columns, .. } = self.depthwise;
        let weights = self.expand.weights;
        let lanes = weights.set().lanes();
        let plane = rows.output * columns.output * lanes;
        assert_eq!(self.depthwise.taps.channels(), weights.outputs());
        assert_eq!((self.expand.rows.output, self.expand.columns.output), (1, rows.input * columns.input));
        assert_eq!(out.len(), weights.blocks() * plane);
        let line = GROUP * columns.input * lanes * size_of::<f32>();
        let bands = (rows.input * line).div_ceil(BETWEEN).min(rows.output);
        let shared = Shared(out.as_mut_ptr());
        let tasks = weights.groups() * bands;
        (0..tasks).into_par_iter().for_each(|task| {
            let (group, band) = (task / bands, task % bands);
            let rows = band * rows.output / bands..(band + 1) * rows.output / bands;
            let first = rows.start * columns.output * lanes;
            let block = |block: usize| {
                let start = shared.get().wrapping_add(block * plane + first);
                // SAFETY: these rows of this block are inside `out`, whose length has been asserted, and this task's own.
                unsafe { std::slice::from_raw_parts_mut(start, rows.len() * columns.output * lanes) }
            };
            self.band(group, rows.clone(), block);
        });
    }

    /// Writes some rows of a group of blocks to where `out` says each block's lie.
    fn band<'a>(&self, group: usize, rows: Range<usize>, out: impl Fn(usize) -> &'a mut [f32]) {
        let weights = self.expand.weights;
        let width = self.depthwise.columns.input * weights.set().lanes();
        let seen = self.depthwise.seen(&rows);
        let pixels = seen.len() * self.depthwise.columns.input;
        let blocks = group * GROUP..(group * GROUP + GROUP).min(weights.blocks());
        let mut between = Buffer::stale(blocks.len() * seen.len() * width);
        let to = Grid { row: 0, block: seen.len() * width };
        let expand =
            Direct { x: &self.expand.x[seen.start * width..], columns: Axis::pointwise(pixels), to, ..self.expand };
        expand.run_alone(group..group + 1, &mut between);
        for (i, block) in blocks.enumerate() {
            self.depthwise.rows(block, rows.clone(), &between[i * to.block..], out(block));
        }
    }
}

impl Direct<'_> {
    /// The same as [`Self::run`] for a pointwise convolution of all pixels as one row, with a norm of its input, whose
    /// scale and shift are as long as the input has channels in whole blocks.
    pub fn run_normed(&self, before: &Norm, out: &mut [f32]) {
        let (lanes, blocks) = (self.weights.set().lanes(), self.weights.inputs().div_ceil(self.weights.set().lanes()));
        assert!(self.rows.is_pointwise() && self.columns.is_pointwise() && self.residual.is_none());
        let (shared, len) = (Shared(out.as_mut_ptr()), out.len());
        // The norm is to be taken once for all groups.
        self.areas(1).into_par_iter().for_each(|Area { columns, .. }| {
            let mut between = Buffer::stale(blocks * columns.len() * lanes);
            for (block, between) in between.chunks_exact_mut(columns.len() * lanes).enumerate() {
                let x = &self.x[block * self.from.block..][columns.start * lanes..columns.end * lanes];
                norm(self.weights.set(), &before.block(block, lanes), x, between);
            }
            let from = Grid { row: 0, block: columns.len() * lanes };
            let first = columns.start * lanes;
            let area = Area { rows: 0..1, columns: 0..columns.len(), groups: 0..self.weights.groups() };
            let direct = Direct { x: &between, from, columns: Axis::pointwise(columns.len()), ..*self };
            // SAFETY: these columns are this task's own.
            unsafe { direct.write(&area, shared.get().wrapping_add(first), len.saturating_sub(first)) };
        });
    }
}
