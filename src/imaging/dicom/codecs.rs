//! The compressed transfer syntaxes: JPEG, JPEG 2000 and RLE (PS3.5, section 8.2).

use image::ImageFormat;
use jpeg_decoder::{ColorTransform, PixelFormat};

use crate::error::{Error, Result};
use crate::imaging::picture::Pixels;
use crate::imaging::raster::raster;

/// What the data set says about its samples.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Rows, at least 1.
    pub rows: u16,
    /// Columns, at least 1.
    pub columns: u16,
    /// Samples a pixel: 1 or 3.
    pub samples: usize,
    /// Bytes a sample: 1 or 2.
    pub sample_bytes: usize,
    /// Photometric Interpretation.
    pub photometric: String,
}

impl Layout {
    /// Bytes of the picture when it is not compressed.
    pub fn bytes(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns) * self.samples * self.sample_bytes
    }
}

type Decoder = fn(&[u8], &Layout) -> Result<Vec<u8>>;

/// Decompresses one frame to interleaved little-endian samples; colours become RGB.
///
/// # Errors
/// If the transfer syntax is not one of those read here, or the frame is damaged or contradicts `layout`, which
/// is checked before memory is set aside.
pub fn decompress(transfer_syntax: &str, fragments: &[&[u8]], layout: &Layout) -> Result<Vec<u8>> {
    let frame = fragments.concat();
    let colour = layout.photometric.as_str();
    let (decoder, colours): (Decoder, &[&str]) = match transfer_syntax {
        "1.2.840.10008.1.2.4.50" | "1.2.840.10008.1.2.4.51" => (jpeg, &["RGB", "YBR_FULL", "YBR_FULL_422"]),
        "1.2.840.10008.1.2.4.57" | "1.2.840.10008.1.2.4.70" => (jpeg_untransformed, &["RGB"]),
        "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => (jpeg_2000, &["RGB", "YBR_RCT", "YBR_ICT"]),
        "1.2.840.10008.1.2.5" => (rle, &["RGB"]),
        other => {
            let cause = format!("the transfer syntax {} is not read", describe(other));
            return Err(Error::new(cause).mend("decompress the file first, as with `dcmdjpls` or `gdcmconv --raw`"));
        }
    };
    if layout.samples == 3 && !colours.contains(&colour) {
        let cause = format!("the colours {colour} are not read in transfer syntax {}", describe(transfer_syntax));
        return Err(Error::new(cause).mend("convert the file to RGB or gray"));
    }
    let bytes = decoder(&frame, layout).map_err(|e| e.at(describe(transfer_syntax)))?;
    if bytes.len() != layout.bytes() {
        return Err(Error::new("the compressed frame has another size than the file says"));
    }
    Ok(bytes)
}

/// The UID of a transfer syntax, and its name if it is one that radiographs come in.
fn describe(uid: &str) -> String {
    let name = match uid {
        "1.2.840.10008.1.2.4.50" => "JPEG baseline",
        "1.2.840.10008.1.2.4.51" => "JPEG extended",
        "1.2.840.10008.1.2.4.57" | "1.2.840.10008.1.2.4.70" => "JPEG lossless",
        "1.2.840.10008.1.2.4.80" => "JPEG-LS lossless",
        "1.2.840.10008.1.2.4.81" => "JPEG-LS near-lossless",
        "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => "JPEG 2000",
        "1.2.840.10008.1.2.4.201" | "1.2.840.10008.1.2.4.202" | "1.2.840.10008.1.2.4.203" => "HTJ2K",
        "1.2.840.10008.1.2.5" => "RLE",
        _ => return uid.to_string(),
    };
    format!("{name} ({uid})")
}

fn contradiction(what: &str, found: impl std::fmt::Display, said: impl std::fmt::Display) -> Error {
    Error::new(format!("the compressed frame has {found} {what} where the file says {said}"))
}

fn check_sides(width: u32, height: u32, layout: &Layout) -> Result<()> {
    if (width, height) != (u32::from(layout.columns), u32::from(layout.rows)) {
        let said = format!("{} x {}", layout.columns, layout.rows);
        return Err(contradiction("pixels", format!("{width} x {height}"), said));
    }
    Ok(())
}

/// Lossy JPEG of 8 bits, by the decoder of JPEG files.
fn jpeg(frame: &[u8], layout: &Layout) -> Result<Vec<u8>> {
    // Without Adobe's marker, a JPEG decoder would take any colours for YCbCr.
    if layout.photometric == "RGB" && !frame.windows(5).any(|w| w == b"Adobe") {
        return jpeg_untransformed(frame, layout);
    }
    let pixels = u64::from(layout.rows) * u64::from(layout.columns);
    let picture = raster(frame, ImageFormat::Jpeg, pixels)?;
    check_sides(picture.width as u32, picture.height as u32, layout)?;
    match picture.pixels {
        Pixels::Gray(samples) | Pixels::Rgb(samples) => Ok(samples),
        Pixels::Float(_) => Err(Error::new("the JPEG has more than 8 bits a sample")),
    }
}

/// JPEG of any process, lossless ones too, with the colours as they are stored.
fn jpeg_untransformed(frame: &[u8], layout: &Layout) -> Result<Vec<u8>> {
    let broken = |e: jpeg_decoder::Error| Error::new(e.to_string());
    let mut decoder = jpeg_decoder::Decoder::new(frame);
    if layout.samples == 3 {
        decoder.set_color_transform(ColorTransform::RGB);
    }
    decoder.read_info().map_err(broken)?;
    let info = decoder.info().ok_or_else(|| Error::new("the JPEG has no header"))?;
    check_sides(info.width.into(), info.height.into(), layout)?;
    let expected = match (layout.samples, layout.sample_bytes) {
        (1, 1) => PixelFormat::L8,
        (1, _) => PixelFormat::L16,
        _ => PixelFormat::RGB24,
    };
    if info.pixel_format != expected {
        return Err(contradiction("samples", format!("{:?}", info.pixel_format), format!("{expected:?}")));
    }
    let mut samples = decoder.decode().map_err(broken)?;
    if expected == PixelFormat::L16 {
        // The decoder writes them in the machine's order.
        samples.as_chunks_mut::<2>().0.iter_mut().for_each(|v| *v = u16::from_ne_bytes(*v).to_le_bytes());
    }
    Ok(samples)
}

fn jpeg_2000(frame: &[u8], layout: &Layout) -> Result<Vec<u8>> {
    check_codestream(frame, layout)?;
    let strict = jpeg2k::DecodeParameters::new().strict(true);
    let image = jpeg2k::Image::from_bytes_with(frame, strict).map_err(|e| Error::new(e.to_string()))?;
    let (count, width) = (layout.samples, layout.sample_bytes);
    let mut samples = vec![0; layout.bytes()];
    let components = image.components();
    if components.len() != count || components.iter().any(|c| c.data().len() * count * width != samples.len()) {
        return Err(Error::new("the JPEG 2000 components do not have the picture's size"));
    }
    for (c, component) in components.iter().enumerate() {
        for (pixel, value) in samples.chunks_exact_mut(count * width).zip(component.data()) {
            pixel[c * width..(c + 1) * width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
    }
    Ok(samples)
}

/// Holds the SIZ segment of a JPEG 2000 codestream (ISO 15444-1, A.5.1) against the layout.
fn check_codestream(frame: &[u8], layout: &Layout) -> Result<()> {
    let missing = || Error::new("the JPEG 2000 codestream has no header");
    // The codestream may be wrapped in JP2 boxes. After its two markers: Lsiz, Rsiz, then the sizes.
    let start = frame.windows(4).position(|w| w == [0xff, 0x4f, 0xff, 0x51]).ok_or_else(missing)?;
    let header = frame.get(start + 8..).ok_or_else(missing)?;
    let word = |i: usize| header.get(i * 4..).and_then(|b| b.first_chunk()).map(|&b| u32::from_be_bytes(b));
    let fields = (word(0), word(1), word(2), word(3));
    let (Some(right), Some(bottom), Some(left), Some(top)) = fields else { return Err(missing()) };
    check_sides(right.saturating_sub(left), bottom.saturating_sub(top), layout)?;
    let count = header.get(32..34).ok_or_else(missing)?;
    let count = usize::from(u16::from_be_bytes([count[0], count[1]]));
    if count != layout.samples {
        return Err(contradiction("components", count, layout.samples));
    }
    for component in header.get(34..34 + count * 3).ok_or_else(missing)?.as_chunks::<3>().0 {
        let bits = (component[0] & 0x7f) + 1;
        if usize::from(bits) > layout.sample_bytes * 8 {
            return Err(contradiction("bits a sample", bits, layout.sample_bytes * 8));
        }
        if component[1..] != [1, 1] {
            return Err(Error::new("JPEG 2000 components of several sizes are not read"));
        }
    }
    Ok(())
}

/// RLE (PS3.5, annex G): for each sample, and for each byte of it from the highest, one PackBits segment.
fn rle(frame: &[u8], layout: &Layout) -> Result<Vec<u8>> {
    let broken = || Error::new("the RLE segments are damaged");
    let (header, _) = frame.as_chunks::<4>();
    let word = |i: usize| header.get(i).map(|&b| u32::from_le_bytes(b) as usize).ok_or_else(broken);
    let segments = layout.samples * layout.sample_bytes;
    if word(0)? != segments {
        return Err(contradiction("RLE segments", word(0)?, segments));
    }
    let pixels = usize::from(layout.rows) * usize::from(layout.columns);
    // A pair of bytes yields 128 at most: a frame too short for its claim is refused before memory is set aside.
    if frame.len() < 64 + pixels / 64 {
        return Err(broken());
    }
    let mut result = vec![0; layout.bytes()];
    for segment in 0..segments {
        let start = word(1 + segment)?;
        let end = if segment + 1 < segments { word(2 + segment)? } else { frame.len() };
        let packed = frame.get(start..end).ok_or_else(broken)?;
        let (sample, byte) = (segment / layout.sample_bytes, segment % layout.sample_bytes);
        let first = sample * layout.sample_bytes + layout.sample_bytes - 1 - byte;
        unpack(packed, result.iter_mut().skip(first).step_by(segments)).ok_or_else(broken)?;
    }
    Ok(result)
}

/// Fills `to` from PackBits; `None` if the bytes do not suffice. What is left over is padding.
fn unpack<'a>(packed: &[u8], mut to: impl ExactSizeIterator<Item = &'a mut u8>) -> Option<()> {
    let mut bytes = packed.iter().copied();
    while to.len() > 0 {
        match bytes.next()? {
            run @ 129..=255 => {
                let value = bytes.next()?;
                to.by_ref().take(257 - usize::from(run)).for_each(|v| *v = value);
            }
            128 => {}
            literal => {
                for v in to.by_ref().take(usize::from(literal) + 1) {
                    *v = bytes.next()?;
                }
            }
        }
    }
    Some(())
}
