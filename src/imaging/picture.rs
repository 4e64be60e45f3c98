//! A decoded picture.

use crate::error::{Error, Result};

/// Pictures of more pixels are refused unless the caller says otherwise: the number at which Pillow raises
/// its `DecompressionBombError`.
pub const DEFAULT_MAX_PIXELS: u64 = 2 * 89_478_485;

/// Longer sides are refused: the limit of JPEG and DICOM.
const MAX_SIDE: u32 = 65_535;

/// A decoded picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Columns, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// The samples, row by row.
    pub pixels: Pixels,
    /// The full range that the decoder's values can have: [0, 255], or [0, 65535] for gray files of 16 bits.
    pub range: [f32; 2],
}

/// Samples of a picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// One 8-bit sample a pixel (Pillow's mode L).
    Gray(Vec<u8>),
    /// Red, green and blue of each pixel, 8 bits each (Pillow's mode RGB).
    Rgb(Vec<u8>),
    /// One sample a pixel (Pillow's mode F): gray files of 16 bits and monochrome DICOM.
    Float(Vec<f32>),
}

/// Refuses empty and oversized pictures.
pub(super) fn check_size(width: u32, height: u32, max_pixels: u64) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(Error::new("the picture has no pixels"));
    }
    if pixels > max_pixels || width > MAX_SIDE || height > MAX_SIDE {
        let cause =
            format!("the picture claims {width} x {height} pixels; the limit is {max_pixels}, and {MAX_SIDE} a side");
        return Err(Error::new(cause).mend("check the file, or make it smaller"));
    }
    Ok(())
}
