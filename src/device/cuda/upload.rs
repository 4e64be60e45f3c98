//! Copies to a card that go on while it computes.

use std::sync::Arc;

use candle_core::cuda::cudarc::driver::{CudaStream, PinnedHostSlice};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Device, Error, Storage, Tensor};

use crate::error::Result;

/// Two buffers whose pages stay where they are, and a stream of their own: one is filled while the other is copied, and
/// the card computes what came before.
pub struct Upload {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    buffers: [Option<PinnedHostSlice<f32>>; 2],
    next: usize,
}

impl Upload {
    /// For a card; none for other devices.
    pub fn new(device: &Device) -> Result<Option<Self>> {
        let Device::Cuda(device) = device else { return Ok(None) };
        let stream = device.cuda_stream().context().new_stream();
        let stream = stream.map_err(|e| crate::error::Error::new(e.to_string()).at("copying to the card"))?;
        Ok(Some(Self { device: device.clone(), stream, buffers: [None, None], next: 0 }))
    }

    /// A tensor of the values that `fill` writes. It may be used at once: the card waits for the copy where it has to.
    pub fn send(
        &mut self,
        shape: (usize, usize, usize, usize),
        fill: &mut dyn FnMut(&mut [f32]),
    ) -> candle_core::Result<Tensor> {
        let count = shape.0 * shape.1 * shape.2 * shape.3;
        let slot = &mut self.buffers[self.next];
        self.next = 1 - self.next;
        if slot.as_ref().is_none_or(|buffer| buffer.len() != count) {
            // The old one goes first, or there would be three.
            *slot = None;
            // SAFETY: nothing is read before `fill` has written it, and every bit pattern is an f32.
            let buffer = unsafe { self.stream.context().alloc_pinned(count) };
            *slot = Some(buffer.map_err(Error::wrap)?);
        }
        let Some(buffer) = slot else { candle_core::bail!("no buffer to copy from") };
        // Waits until the copy before the last, of which this buffer was, is done.
        fill(buffer.as_mut_slice().map_err(Error::wrap)?);
        let copy = self.stream.clone_htod(&*buffer).map_err(Error::wrap)?;
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(copy, self.device.clone()));
        Ok(Tensor::from_storage(storage, shape, BackpropOp::none(), false))
    }
}
