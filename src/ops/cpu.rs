//! What the custom ops share: contiguous f32 slices out of Candle's storage.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

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
