//! Bytes of the number types that weight files hold, to f32.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

/// Bytes of one value.
pub(super) fn size(kind: DType) -> usize {
    kind.size_in_bytes()
}

/// Little-endian values of a float type as f32. `bytes` is cut to whole values.
pub(super) fn to_f32(bytes: &[u8], kind: DType) -> Result<Vec<f32>> {
    let count = bytes.len() / size(kind);
    Tensor::from_raw_buffer(&bytes[..count * size(kind)], kind, &[count], &Device::Cpu)
        .and_then(|t| t.to_dtype(DType::F32))
        .and_then(|t| t.to_vec1())
        .map_err(|e| Error::new(e.to_string()))
}
