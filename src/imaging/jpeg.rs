//! JPEG to the byte as Pillow decodes it.
//!
//! Pillow decodes with libjpeg-turbo: its accurate integer IDCT, its "fancy" upsampling, its block smoothing. No
//! decoder in Rust rounds the same way (differences of one level move a logit by up to a few hundredths), so this
//! is the same C code, compiled from a crate that brings its source; it needs a C compiler and nothing else.

use mozjpeg::{ColorSpace, Decompress};

use super::picture::{Picture, Pixels, check_size};
use crate::error::{Error, Result};

/// More scans than any encoder writes: a few kilobytes of them could keep a decoder busy for hours.
const MAX_SCANS: usize = 100;

/// Decodes a JPEG of 8 bits, gray or colour. The caller catches the panics by which the decoder tells of damage.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Result<Picture> {
    let damaged = |e: std::io::Error| Error::new(format!("the JPEG is damaged: {e}")).mend("fetch the file again");
    match scans(bytes) {
        None => {
            return Err(Error::new("the JPEG is cut short: its end marker is missing").mend("fetch the file again"));
        }
        Some(scans) if scans > MAX_SCANS => {
            return Err(Error::new(format!("the JPEG has {scans} scans; the limit is {MAX_SCANS}"))
                .mend("check the file, or convert it to PNG"));
        }
        Some(_) => {}
    }
    let header = Decompress::new_mem(bytes).map_err(damaged)?;
    let (width, height) = (header.width(), header.height());
    // libjpeg refuses sides above 65,500 itself.
    check_size(width as u32, height as u32, max_pixels)?;
    let gray = match header.color_space() {
        ColorSpace::JCS_GRAYSCALE => true,
        ColorSpace::JCS_YCbCr | ColorSpace::JCS_RGB => false,
        _ => {
            return Err(Error::new("the JPEG is neither gray nor RGB (CMYK for printing?)").mend("convert it to RGB"));
        }
    };
    let mut rows = if gray { header.grayscale() } else { header.rgb() }.map_err(damaged)?;
    let samples: Vec<u8> = rows.read_scanlines().map_err(damaged)?;
    let pixels = if gray { Pixels::Gray(samples) } else { Pixels::Rgb(samples) };
    Ok(Picture { width, height, pixels, range: [0.0, 255.0] })
}

/// How many scans there are before the end marker; `None` when the markers do not lead to one. A decoder fills what
/// is missing with gray; Pillow refuses it.
fn scans(bytes: &[u8]) -> Option<usize> {
    const END: u8 = 0xd9;
    const SCAN: u8 = 0xda;
    let mut rest = bytes.get(2..)?;
    let mut scans = 0;
    // Stuffed and fill bytes and restarts are part of the compressed data between segments.
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0x01 | 0xd0..=0xd8 | 0xff);
    loop {
        let at = rest.windows(2).position(is_marker)?;
        match rest[at + 1..] {
            [END, ..] => return Some(scans),
            [marker, high, low, ..] => {
                scans += usize::from(marker == SCAN);
                rest = rest.get(at + 2 + usize::from(u16::from_be_bytes([high, low]))..)?;
            }
            _ => return None,
        }
    }
}
