//! A file's bytes to a picture: PNG, JPEG, TIFF, BMP and DICOM, told apart by their content.
//!
//! Pixels follow Pillow. 8-bit files become its modes L and RGB: palettes are looked up, 1, 2 and 4 bits are
//! spread over 0 to 255, alpha is dropped, and colours of 16 bits keep their high byte. Gray files of 16 bits
//! keep their values (mode F, range 0 to 65535). As with `Image.open`, an EXIF orientation is not applied and
//! of a TIFF with several pages the first is read.
//!
//! DICOM files of one frame become gray levels from 0 (black) to 255 (white). Stored values go through the rescale
//! and then through the first of these that there is: an explicit window, the file's VOI LUT, the file's first
//! window, the full range of the stored bits. MONOCHROME1 is inverted after that. Without a window, 8 stored bits
//! stay 8-bit samples (mode L); all else is float (mode F). Colours of 8 bits become RGB. Read are the
//! uncompressed and deflated transfer syntaxes, RLE, JPEG of 8 bits, lossless JPEG and JPEG 2000.

use std::cell::Cell;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::dicom;
use super::jpeg;
use super::windowing::{Function, Window};
use crate::error::{Error, Result};

/// Pictures of more pixels are refused unless the caller says otherwise: the number at which Pillow raises
/// its `DecompressionBombError`.
pub const DEFAULT_MAX_PIXELS: u64 = 2 * 89_478_485;

/// Longer sides are refused: the limit of JPEG and DICOM.
const MAX_SIDE: u32 = 65_535;

/// Colour type of a PNG without alpha channel, the 26th byte of its file.
const PNG_GRAY: u8 = 0;

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

/// Decodes a file.
///
/// `window` is an explicit centre and width. It acts on the rescaled values of monochrome DICOM, by the file's VOI
/// LUT Function, and on the values of other gray files of 16 bits, linearly as DICOM does by default; both
/// become gray levels from 0 to 255. Files of 8 bits and colours hold gray levels already: nothing is done to them.
/// Pictures of more than `max_pixels` pixels are refused before memory is set aside for them.
///
/// # Errors
/// They begin with `name` and say what is wrong with the file: damaged, cut short, too large, or of a kind
/// that is not read.
pub fn decode(bytes: &[u8], name: &str, window: Option<(f64, f64)>, max_pixels: u64) -> Result<Picture> {
    // The decoders underneath are not all free of panics on damaged files; such a file is an error like others.
    let before = DECODING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(|| match container(bytes)? {
        Container::Raster(format) => Ok(windowed(raster(bytes, format, max_pixels)?, window)),
        Container::Dicom => dicom::decode(bytes, window, max_pixels),
    }));
    DECODING.set(before);
    result.unwrap_or_else(|_| Err(Error::new("the file is damaged: its decoder gave up"))).map_err(|e| e.at(name))
}

/// Whether this thread is decoding a file, so that a panic of it is caught and told as an error: a panic hook has nothing
/// to say then.
pub fn decoding() -> bool {
    DECODING.get()
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

enum Container {
    Raster(ImageFormat),
    Dicom,
}

fn container(bytes: &[u8]) -> Result<Container> {
    const SIGNATURES: [(&[u8], ImageFormat); 5] = [
        (b"\x89PNG\r\n\x1a\n", ImageFormat::Png),
        (b"\xff\xd8\xff", ImageFormat::Jpeg),
        (b"II*\0", ImageFormat::Tiff),
        (b"MM\0*", ImageFormat::Tiff),
        (b"BM", ImageFormat::Bmp),
    ];
    if dicom::is_dicom(bytes) {
        return Ok(Container::Dicom);
    }
    if let Some((_, format)) = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)) {
        return Ok(Container::Raster(*format));
    }
    if bytes.is_empty() {
        return Err(Error::new("the file is empty"));
    }
    Err(Error::new("not a PNG, JPEG, TIFF, BMP or DICOM file").mend("convert it to one of these"))
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

/// Decodes a file of one of the formats that hold nothing but a picture.
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

/// Applies an explicit window to values of more than 8 bits.
fn windowed(mut picture: Picture, window: Option<(f64, f64)>) -> Picture {
    if let (Pixels::Float(values), Some((center, width))) = (&mut picture.pixels, window) {
        let window = Window { center, width, function: Function::Linear };
        values.iter_mut().for_each(|v| *v = (window.level(f64::from(*v)) * 255.0) as f32);
        picture.range = [0.0, 255.0];
    }
    picture
}

/// The first `KEEP` of every `OF` samples.
fn leading<const OF: usize, const KEEP: usize, T: Copy>(samples: &[T], byte: impl Fn(T) -> u8) -> Vec<u8> {
    samples.as_chunks::<OF>().0.iter().flat_map(|pixel| &pixel[..KEEP]).map(|&v| byte(v)).collect()
}

fn high_byte(value: u16) -> u8 {
    (value >> 8) as u8
}
