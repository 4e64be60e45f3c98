//! What the custom ops share: contiguous f32 slices out of Candle's storage.

use std::cell::Cell;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, bail};
use rayon::prelude::*;

#[cfg(test)]
thread_local! {
    /// Whether this thread runs compositions in place of the fused ops.
    static COMPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the fused ops are for this tensor: f32 on the CPU. For others they are composed of Candle's own.
pub fn fused(x: &Tensor) -> bool {
    #[cfg(test)]
    if COMPOSED.get() {
        return false;
    }
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// What `of` makes with compositions in place of the fused ops, on this thread.
#[cfg(test)]
pub(crate) fn composed<R>(of: impl FnOnce() -> R) -> R {
    COMPOSED.set(true);
    let made = of();
    COMPOSED.set(false);
    made
}

/// The type in which sums of these values are taken: half precision is too little.
pub(super) fn wide(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

/// Zeros that a thread writes at a time, and at least so many of these.
const PIECE: usize = 512;
const PIECES: usize = 64;

/// `n` zeros, written by all threads: one of them alone waits for memory.
pub(super) fn zeros(n: usize) -> Vec<f32> {
    let pieces = rayon::iter::repeat_n([0f32; PIECE], n.div_ceil(PIECE)).with_min_len(PIECES);
    let mut values = pieces.collect::<Vec<_>>().into_flattened();
    values.truncate(n);
    values
}

/// The values of a contiguous f32 tensor, in order.
pub(super) fn values<'a>(op: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => bail!("{op} needs a contiguous tensor"),
    }
}

/// `[batch, channels, height, width]` of a layout; an axis of length 0 is an error.
pub(super) fn shape(layout: &Layout) -> Result<[usize; 4]> {
    let (n, c, h, w) = layout.shape().dims4()?;
    if n * c * h * w == 0 {
        bail!("a tensor of shape {:?} has no values", layout.shape());
    }
    Ok([n, c, h, w])
}

/// What `with` makes of the values of a contiguous f32 tensor on the CPU.
pub(super) fn read<R>(x: &Tensor, with: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => with(values("a fused op", storage, layout)?),
        _ => bail!("a fused op needs its tensors on the CPU"),
    }
}

/// What `with` makes of the values of a contiguous f32 tensor on the CPU, which it may change: for tensors that nobody
/// else holds.
pub(super) fn write<R>(x: &Tensor, with: impl FnOnce(&mut [f32]) -> Result<R>) -> Result<R> {
    let op = Write { with: Cell::new(Some(with)), result: Cell::new(None) };
    x.inplace_op1(&op)?;
    match op.result.take() {
        Some(result) => Ok(result),
        None => bail!("a tensor was not written"),
    }
}

/// `with` waits here for the values, and its result for the caller.
struct Write<F, R> {
    with: Cell<Option<F>>,
    result: Cell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> Result<R>> InplaceOp1 for Write<F, R> {
    fn name(&self) -> &'static str {
        "write"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("a fused op writes to contiguous tensors of f32 values");
        };
        if let Some(with) = self.with.take() {
            self.result.set(Some(with(&mut values[start..end])?));
        }
        Ok(())
    }
}
