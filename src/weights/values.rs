//! The values of a tensor: numbers, or the bytes of a file that are read as numbers when they are asked for.

use std::borrow::Cow;

use half::{bf16, f16};

use super::mapped::Bytes;

/// A tensor as a file gives it: name, shape, values.
pub(super) type Named = (String, Vec<usize>, Values);

/// A float type that weight files hold, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F16,
    BF16,
    F32,
    F64,
}

impl Kind {
    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The values of `bytes` in their order, or at the places of a view with these axes (size and stride).
    fn read(self, bytes: &[u8], axes: Option<&[(usize, usize)]>) -> Vec<f32> {
        match self {
            Self::F16 => each(bytes, axes, |b| f16::from_le_bytes(b).to_f32()),
            Self::BF16 => each(bytes, axes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::F32 => each(bytes, axes, f32::from_le_bytes),
            Self::F64 => each(bytes, axes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], axes: Option<&[(usize, usize)]>, value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let stored = bytes.as_chunks::<N>().0;
    let Some(axes) = axes else { return stored.iter().map(|b| value(*b)).collect() };
    let count = axes.iter().map(|(size, _)| size).product();
    let (mut place, mut at) = (vec![0; axes.len()], 0);
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(value(stored[at]));
        // Counts on, the last axis fastest.
        for (place, (size, stride)) in place.iter_mut().zip(axes).rev() {
            (*place, at) = (*place + 1, at + stride);
            if *place < *size {
                break;
            }
            (*place, at) = (0, at - size * stride);
        }
    }
    values
}

/// The values of a tensor.
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// Row-major numbers.
    Numbers(Vec<f32>),
    /// Row-major bytes of a file.
    Stored(Bytes, Kind),
    /// A view of bytes of a file that is not row-major: shape and strides, in values.
    Strided(Bytes, Kind, Vec<(usize, usize)>),
}

impl Values {
    /// The view of `storage` with this offset, shape and strides in values; `None` if it leaves the storage or repeats
    /// values, which no weights do and which could be made to fill the memory.
    pub fn view(storage: &Bytes, kind: Kind, offset: usize, axes: Vec<(usize, usize)>) -> Option<Self> {
        let count = axes.iter().try_fold(1usize, |n, (d, _)| n.checked_mul(*d))?;
        if count == 0 {
            return Some(Self::Numbers(Vec::new()));
        }
        let held = storage.len() / kind.size();
        let span = axes.iter().try_fold(1usize, |n, (d, s)| n.checked_add((d - 1).checked_mul(*s)?))?;
        if count > held || offset.checked_add(span).is_none_or(|end| end > held) {
            return None;
        }
        let mut expected = 1;
        let row_major = axes.iter().rev().all(|(d, s)| {
            let fits = *d == 1 || *s == expected;
            expected *= d;
            fits
        });
        let piece = storage.piece(offset * kind.size(), span * kind.size())?;
        Some(if row_major { Self::Stored(piece, kind) } else { Self::Strided(piece, kind, axes) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Stored(bytes, kind) => bytes.len() / kind.size(),
            Self::Strided(_, _, axes) => axes.iter().map(|(d, _)| d).product(),
        }
    }

    /// Bytes that they take in their file, or in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Numbers(_) => self.count() * 4,
            Self::Stored(_, kind) | Self::Strided(_, kind, _) => self.count() * kind.size(),
        }
    }

    /// As f32, row-major.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::Numbers(values) => values,
            stored => stored.as_f32().into_owned(),
        }
    }

    /// As f32, row-major.
    pub fn as_f32(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Numbers(values) => Cow::Borrowed(values),
            Self::Stored(bytes, kind) => Cow::Owned(kind.read(bytes, None)),
            Self::Strided(bytes, kind, axes) => Cow::Owned(kind.read(bytes, Some(axes))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind() {
        for (kind, bytes) in [
            (Kind::F16, &[0x00u8, 0x3e][..]),
            (Kind::BF16, &[0xc0, 0x3f]),
            (Kind::F32, &[0, 0, 0xc0, 0x3f]),
            (Kind::F64, &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f]),
        ] {
            assert_eq!((kind.size(), kind.read(bytes, None)), (bytes.len(), vec![1.5]));
        }
    }

    #[test]
    fn views() {
        let storage: &'static [u8] = Box::leak((0..6).flat_map(|v| (v as f32).to_le_bytes()).collect());
        let view = |offset, axes: &[(usize, usize)]| {
            Values::view(&Bytes::of(storage), Kind::F32, offset, axes.to_vec()).map(Values::into_f32)
        };
        assert_eq!(view(1, &[(2, 2), (2, 1)]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(view(0, &[(3, 1), (2, 3)]).unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(view(0, &[(2, 1), (1, 7), (3, 2)]).unwrap(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(view(5, &[]).unwrap(), [5.0]);
        assert!(view(9, &[(0, 1)]).unwrap().is_empty());
        assert!(view(3, &[(2, 2), (2, 1)]).is_none());
        assert!(view(0, &[(200, 0), (200, 0)]).is_none());
        assert!(view(0, &[(usize::MAX, 2)]).is_none());
        assert!(view(usize::MAX, &[(2, 1)]).is_none());
    }
}
