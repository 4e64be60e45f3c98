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
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::ImageFormat;

use super::dicom;
use super::picture::{Picture, Pixels};
use super::raster::raster;
use super::windowing::{Function, Window};
use crate::error::{Error, Result};

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

/// Applies an explicit window to values of more than 8 bits.
fn windowed(mut picture: Picture, window: Option<(f64, f64)>) -> Picture {
    if let (Pixels::Float(values), Some((center, width))) = (&mut picture.pixels, window) {
        let window = Window { center, width, function: Function::Linear };
        values.iter_mut().for_each(|v| *v = (window.level(f64::from(*v)) * 255.0) as f32);
        picture.range = [0.0, 255.0];
    }
    picture
}
