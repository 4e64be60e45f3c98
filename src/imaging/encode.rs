//! Pictures to PNG files.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::error::{Error, Result};

/// A PNG of `width` x `height` pixels of red, green and blue, row by row.
pub fn png_rgb(width: usize, height: usize, rgb: &[u8]) -> Result<Vec<u8>> {
    png((width, height), rgb, ExtendedColorType::Rgb8)
}

/// A gray PNG of 16 bits of `width` x `height` samples, row by row.
pub fn png_gray16(width: usize, height: usize, samples: &[u16]) -> Result<Vec<u8>> {
    // The encoder takes the machine's byte order and writes PNG's.
    let bytes: Vec<u8> = samples.iter().flat_map(|v| v.to_ne_bytes()).collect();
    png((width, height), &bytes, ExtendedColorType::L16)
}

fn png((width, height): (usize, usize), bytes: &[u8], colour: ExtendedColorType) -> Result<Vec<u8>> {
    let fault = |cause: String| Error::new(cause).at("writing a PNG");
    let side = |n: usize| u32::try_from(n).map_err(|e| fault(e.to_string()));
    let expected = width * height * usize::from(colour.bits_per_pixel()) / 8;
    if bytes.len() != expected {
        return Err(fault(format!("{} bytes for {width} x {height} pixels", bytes.len())));
    }
    let mut out = Vec::new();
    PngEncoder::new(&mut out)
        .write_image(bytes, side(width)?, side(height)?, colour)
        .map_err(|e| fault(e.to_string()))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::decode::decode;
    use crate::imaging::picture::{DEFAULT_MAX_PIXELS, Pixels};

    #[test]
    fn what_is_written_is_read_again() {
        let read = |bytes: Vec<u8>| decode(&bytes, "m.png", None, DEFAULT_MAX_PIXELS).unwrap().pixels;
        assert_eq!(read(png_rgb(1, 2, &[1, 2, 3, 4, 5, 6]).unwrap()), Pixels::Rgb(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(read(png_gray16(2, 1, &[258, 65535]).unwrap()), Pixels::Float(vec![258.0, 65535.0]));
        assert!(png_rgb(2, 2, &[0; 3]).is_err());
    }
}
