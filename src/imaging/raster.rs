//! PNG, JPEG, TIFF and BMP: files that hold nothing but a picture.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::jpeg;
use super::picture::{Picture, Pixels, check_size};
use crate::error::{Error, Result};

/// Colour type of a PNG without alpha channel, the 26th byte of its file.
const PNG_GRAY: u8 = 0;

/// Decodes a file of this format.
pub(super) fn raster(bytes: &[u8], format: ImageFormat, max_pixels: u64) -> Result<Picture> {
    if format == ImageFormat::Jpeg {
        return jpeg::decode(bytes, max_pixels);
    }
    let broken = |e: image::ImageError| Error::new(e.to_string()).mend("check the file, or convert it to PNG");
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::no_limits();
    // Eight bytes a pixel is the largest that is decoded (RGBA of 16 bits), once more for buffers.
    limits.max_alloc = Some(max_pixels.saturating_mul(16));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, max_pixels)?;
    let (pixels, range) = match DynamicImage::from_decoder(decoder).map_err(broken)? {
        DynamicImage::ImageLuma8(image) => (Pixels::Gray(image.into_raw()), [0.0, 255.0]),
        DynamicImage::ImageLumaA8(image) => (Pixels::Gray(leading::<2, 1, _>(&image, |v| v)), [0.0, 255.0]),
        DynamicImage::ImageRgb8(image) => (Pixels::Rgb(image.into_raw()), [0.0, 255.0]),
        DynamicImage::ImageRgba8(image) => (Pixels::Rgb(leading::<4, 3, _>(&image, |v| v)), [0.0, 255.0]),
        DynamicImage::ImageLuma16(image) => {
            (Pixels::Float(image.iter().map(|&v| f32::from(v)).collect()), [0.0, 65535.0])
        }
        // Gray with one transparent value, which is still gray: in Pillow too only this one keeps its 16 bits.
        DynamicImage::ImageLumaA16(image) if format == ImageFormat::Png && bytes.get(25) == Some(&PNG_GRAY) => {
            (Pixels::Float(image.pixels().map(|pixel| f32::from(pixel.0[0])).collect()), [0.0, 65535.0])
        }
        DynamicImage::ImageLumaA16(image) => (Pixels::Gray(leading::<2, 1, _>(&image, high_byte)), [0.0, 255.0]),
        DynamicImage::ImageRgb16(image) => (Pixels::Rgb(leading::<3, 3, _>(&image, high_byte)), [0.0, 255.0]),
        DynamicImage::ImageRgba16(image) => (Pixels::Rgb(leading::<4, 3, _>(&image, high_byte)), [0.0, 255.0]),
        _ => {
            let cause = "the pixels are floating-point numbers, whose full range a file does not say";
            return Err(Error::new(cause).mend("convert the file to 8 or 16 bits"));
        }
    };
    Ok(Picture { width: width as usize, height: height as usize, pixels, range })
}

/// The first `KEEP` of every `OF` samples.
fn leading<const OF: usize, const KEEP: usize, T: Copy>(samples: &[T], byte: impl Fn(T) -> u8) -> Vec<u8> {
    samples.as_chunks::<OF>().0.iter().flat_map(|pixel| &pixel[..KEEP]).map(|&v| byte(v)).collect()
}

fn high_byte(value: u16) -> u8 {
    (value >> 8) as u8
}
