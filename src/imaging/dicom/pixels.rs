//! A DICOM file to a picture: modality rescale, VOI, photometric interpretation (PS3.3, C.7.6.3, C.11).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use super::codecs::{Layout, decompress};
use crate::dicom_elements::{Elements, Encoding, Tag, Value, first_item, name};
use crate::error::{Error, Result};
use crate::imaging::picture::{Picture, Pixels, check_size};
use crate::imaging::windowing::{Function, Lut, Voi, Window};

const SAMPLES_PER_PIXEL: Tag = (0x0028, 0x0002);
const PHOTOMETRIC_INTERPRETATION: Tag = (0x0028, 0x0004);
const PLANAR_CONFIGURATION: Tag = (0x0028, 0x0006);
const NUMBER_OF_FRAMES: Tag = (0x0028, 0x0008);
const ROWS: Tag = (0x0028, 0x0010);
const COLUMNS: Tag = (0x0028, 0x0011);
const BITS_ALLOCATED: Tag = (0x0028, 0x0100);
const BITS_STORED: Tag = (0x0028, 0x0101);
const HIGH_BIT: Tag = (0x0028, 0x0102);
const PIXEL_REPRESENTATION: Tag = (0x0028, 0x0103);
const WINDOW_CENTER: Tag = (0x0028, 0x1050);
const WINDOW_WIDTH: Tag = (0x0028, 0x1051);
const RESCALE_INTERCEPT: Tag = (0x0028, 0x1052);
const RESCALE_SLOPE: Tag = (0x0028, 0x1053);
const VOI_LUT_FUNCTION: Tag = (0x0028, 0x1056);
const MODALITY_LUT_SEQUENCE: Tag = (0x0028, 0x3000);
const LUT_DESCRIPTOR: Tag = (0x0028, 0x3002);
const LUT_DATA: Tag = (0x0028, 0x3006);
const VOI_LUT_SEQUENCE: Tag = (0x0028, 0x3010);
const SHARED_FUNCTIONAL_GROUPS: Tag = (0x5200, 0x9229);
const PIXEL_DATA: Tag = (0x7fe0, 0x0010);

/// Whether the bytes are a DICOM file (PS3.10): a preamble and the letters DICM.
pub fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// Decodes a file with a single frame, as [`crate::imaging::decode`] says. Overlays and the padding value are left
/// aside.
pub fn decode(bytes: &[u8], window: Option<(f64, f64)>, max_pixels: u64) -> Result<Picture> {
    let (transfer_syntax, body) = file_meta(bytes)?;
    let inflated;
    let (body, encoding) = match transfer_syntax.as_str() {
        "1.2.840.10008.1.2" => (body, Encoding::IMPLICIT),
        "1.2.840.10008.1.2.2" => (body, Encoding { explicit: true, big_endian: true }),
        "1.2.840.10008.1.2.1.99" => {
            inflated = inflate(body, max_pixels)?;
            (inflated.as_slice(), Encoding::EXPLICIT)
        }
        // Some writers name an explicit syntax and write the implicit one.
        _ if body.get(4..6).is_some_and(|vr| !vr.iter().all(u8::is_ascii_uppercase)) => (body, Encoding::IMPLICIT),
        _ => (body, Encoding::EXPLICIT),
    };
    let dataset = Dataset::read(body, encoding)?;
    let layout = dataset.layout(max_pixels)?;
    let (width, height) = (usize::from(layout.columns), usize::from(layout.rows));
    let picture = |pixels| Picture { width, height, pixels, range: [0.0, 255.0] };

    let (samples, planar, encoding) = match dataset.values.get(&PIXEL_DATA) {
        Some(Value::Bytes(bytes)) => {
            let samples = bytes.get(..layout.bytes()).ok_or_else(|| {
                let cause = format!("{} bytes of pixels where the file says {}", bytes.len(), layout.bytes());
                Error::new(cause).mend("fetch the file again")
            })?;
            (Cow::Borrowed(samples), dataset.u16(PLANAR_CONFIGURATION) == Some(1), encoding)
        }
        Some(Value::Fragments(fragments)) => {
            (Cow::Owned(decompress(&transfer_syntax, fragments, &layout)?), false, Encoding::EXPLICIT)
        }
        None => return Err(Error::new("the DICOM file has no pixel data")),
    };

    match layout.photometric.as_str() {
        "MONOCHROME1" | "MONOCHROME2" => Ok(picture(dataset.gray(&samples, &layout, encoding, window)?)),
        // Decompression has made RGB of the other colours that it takes.
        "RGB" => Ok(picture(Pixels::Rgb(if planar { interleave(&samples) } else { samples.into_owned() }))),
        _ if matches!(samples, Cow::Owned(_)) => Ok(picture(Pixels::Rgb(samples.into_owned()))),
        other => {
            let cause = format!("the photometric interpretation {other:?} is not read");
            Err(Error::new(cause).mend("convert the file to MONOCHROME2 or RGB"))
        }
    }
}

/// The transfer syntax, and the bytes after the file meta information.
fn file_meta(bytes: &[u8]) -> Result<(String, &[u8])> {
    const TRANSFER_SYNTAX: Tag = (0x0002, 0x0010);
    let mut elements = Elements::new(&bytes[132..], Encoding::EXPLICIT);
    let mut transfer_syntax = None;
    while elements.next_group() == Some(0x0002) {
        if let Some((TRANSFER_SYNTAX, Value::Bytes(uid))) = elements.read()? {
            transfer_syntax = Some(text(uid));
        }
    }
    let uid = transfer_syntax.ok_or_else(|| Error::new("the DICOM file names no transfer syntax"))?;
    Ok((uid, elements.rest()))
}

/// Inflates a deflated data set, up to what the largest picture allowed could fill.
fn inflate(body: &[u8], max_pixels: u64) -> Result<Vec<u8>> {
    const OTHER_ELEMENTS: u64 = 16 << 20;
    let limit = max_pixels.saturating_mul(3).saturating_add(OTHER_ELEMENTS);
    let mut inflated = Vec::new();
    let mut reader = flate2::read::DeflateDecoder::new(body).take(limit.saturating_add(1));
    reader.read_to_end(&mut inflated).map_err(|e| Error::new(format!("the deflated data set is damaged: {e}")))?;
    if inflated.len() as u64 > limit {
        return Err(Error::new(format!("the data set inflates to more than {limit} bytes")).mend("check the file"));
    }
    Ok(inflated)
}

/// The elements that pixels depend on.
struct Dataset<'a> {
    values: BTreeMap<Tag, Value<'a>>,
    encoding: Encoding,
}

impl<'a> Dataset<'a> {
    fn read(body: &'a [u8], encoding: Encoding) -> Result<Self> {
        let mut elements = Elements::new(body, encoding);
        let mut values = BTreeMap::new();
        while let Some((tag, value)) = elements.read()? {
            if tag.0 == 0x0028 || tag == PIXEL_DATA || tag == SHARED_FUNCTIONAL_GROUPS {
                values.insert(tag, value);
            }
            if tag >= PIXEL_DATA {
                break;
            }
        }
        Ok(Self { values, encoding })
    }

    fn bytes(&self, tag: Tag) -> Option<&'a [u8]> {
        match self.values.get(&tag) {
            Some(Value::Bytes(bytes)) if !bytes.is_empty() => Some(bytes),
            _ => None,
        }
    }

    fn u16(&self, tag: Tag) -> Option<u16> {
        self.bytes(tag)?.first_chunk().map(|&b| self.encoding.u16(b))
    }

    /// The first of the numbers that an element holds as text.
    fn number(&self, tag: Tag) -> Result<Option<f64>> {
        let Some(bytes) = self.bytes(tag) else { return Ok(None) };
        let all = text(bytes);
        let first = all.split('\\').next().unwrap_or_default().trim();
        if first.is_empty() {
            return Ok(None);
        }
        match first.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(Error::new(format!("{first:?} is not a number")).at(name(tag))),
        }
    }

    fn layout(&self, max_pixels: u64) -> Result<Layout> {
        if !self.values.contains_key(&PIXEL_DATA) {
            return Err(Error::new("the DICOM file has no pixel data").mend("leave it out: it is not an image"));
        }
        for (tag, what) in [(MODALITY_LUT_SEQUENCE, "a modality LUT"), (SHARED_FUNCTIONAL_GROUPS, "functional groups")]
        {
            if self.values.contains_key(&tag) {
                let cause = format!("DICOM files with {what} are not read");
                return Err(Error::new(cause).at(name(tag)).mend("convert the file to PNG first"));
            }
        }
        let required = |tag| self.u16(tag).ok_or_else(|| Error::new("the DICOM file lacks this element").at(name(tag)));
        let (rows, columns) = (required(ROWS)?, required(COLUMNS)?);
        check_size(columns.into(), rows.into(), max_pixels)?;
        if let Some(frames) = self.number(NUMBER_OF_FRAMES)?.filter(|&n| n != 1.0) {
            let cause = format!("the file has {frames} frames; only single ones are read");
            return Err(Error::new(cause).mend("save the frame wanted as a file of its own"));
        }
        let photometric = text(self.bytes(PHOTOMETRIC_INTERPRETATION).unwrap_or_default());
        let samples = usize::from(self.u16(SAMPLES_PER_PIXEL).unwrap_or(1));
        let bits = required(BITS_ALLOCATED)?;
        let gray = photometric.starts_with("MONOCHROME");
        if !matches!((gray, samples, bits), (true, 1, 8 | 16) | (false, 3, 8)) {
            let cause = format!("{samples} samples a pixel of {bits} bits ({photometric}) are not read");
            return Err(Error::new(cause).mend("convert the file to gray of 8 or 16 bits, or RGB of 8"));
        }
        if self.encoding.big_endian && bits == 8 {
            return Err(Error::new("8-bit pixels in big-endian files are not read").mend("convert with `dcmconv +te`"));
        }
        Ok(Layout { rows, columns, samples, sample_bytes: usize::from(bits / 8), photometric })
    }

    /// The gray levels of monochrome samples.
    fn gray(&self, samples: &[u8], layout: &Layout, encoding: Encoding, window: Option<(f64, f64)>) -> Result<Pixels> {
        let allocated = layout.sample_bytes as u16 * 8;
        let stored = self.u16(BITS_STORED).unwrap_or(allocated);
        let high = self.u16(HIGH_BIT).unwrap_or(stored.wrapping_sub(1));
        if stored == 0 || high >= allocated || stored > high + 1 {
            let cause = format!("bits stored {stored}, high bit {high} and bits allocated {allocated} contradict");
            return Err(Error::new(cause));
        }
        let signed = self.u16(PIXEL_REPRESENTATION) == Some(1);
        let stored_value = |raw: u16| {
            // Up to the top, then down again: clears the bits around the stored ones, and spreads the sign.
            let top = raw << (15 - high);
            if signed { f64::from(top as i16 >> (16 - stored)) } else { f64::from(top >> (16 - stored)) }
        };
        let slope = self.number(RESCALE_SLOPE)?.unwrap_or(1.0);
        let intercept = self.number(RESCALE_INTERCEPT)?.unwrap_or(0.0);
        if slope == 0.0 {
            return Err(Error::new("the rescale slope is 0").at(name(RESCALE_SLOPE)));
        }
        let rescale = |value: f64| value * slope + intercept;
        let steps = f64::from(1u32 << stored);
        let lowest = if signed { -steps / 2.0 } else { 0.0 };
        let (a, b) = (rescale(lowest), rescale(lowest + steps - 1.0));
        let own = self.voi(signed, window)?;
        let eight_bit = own.is_none() && stored == 8;
        let voi = own.unwrap_or(Voi::Range { low: a.min(b), high: a.max(b) });
        let inverted = layout.photometric == "MONOCHROME1";
        let level = |raw: u16| {
            let level = voi.level(rescale(stored_value(raw)));
            ((if inverted { 1.0 - level } else { level }) * 255.0) as f32
        };
        // There are fewer values than pixels.
        let levels: Vec<f32> = (0..=if allocated == 8 { 255 } else { u16::MAX }).map(level).collect();
        let words = samples.as_chunks::<2>().0.iter().map(|&word| levels[usize::from(encoding.u16(word))]);
        Ok(match (eight_bit, allocated) {
            (true, 8) => Pixels::Gray(samples.iter().map(|&v| levels[usize::from(v)] as u8).collect()),
            (true, _) => Pixels::Gray(words.map(|level| level as u8).collect()),
            (false, 8) => Pixels::Float(samples.iter().map(|&v| levels[usize::from(v)]).collect()),
            (false, _) => Pixels::Float(words.collect()),
        })
    }

    /// The explicit window, else the VOI LUT or the window of the file, if there is any.
    fn voi(&self, signed: bool, window: Option<(f64, f64)>) -> Result<Option<Voi>> {
        if window.is_none()
            && let Some(sequence) = self.bytes(VOI_LUT_SEQUENCE)
        {
            return Ok(Some(Voi::Lut(self.lut(sequence, signed).map_err(|e| e.at(name(VOI_LUT_SEQUENCE)))?)));
        }
        let own = self.number(WINDOW_CENTER)?.zip(self.number(WINDOW_WIDTH)?);
        let Some((center, width)) = window.or(own) else { return Ok(None) };
        if width <= 0.0 {
            let cause = format!("the window is {width} wide");
            return Err(Error::new(cause).at(name(WINDOW_WIDTH)).mend("give the model card a `window` step"));
        }
        let function = match text(self.bytes(VOI_LUT_FUNCTION).unwrap_or_default()).as_str() {
            "" | "LINEAR" => Function::Linear,
            "LINEAR_EXACT" => Function::LinearExact,
            "SIGMOID" => Function::Sigmoid,
            other => return Err(Error::new(format!("{other:?} is not a function")).at(name(VOI_LUT_FUNCTION))),
        };
        Ok(Some(Voi::Window(Window { center, width, function })))
    }

    fn lut(&self, sequence: &[u8], signed: bool) -> Result<Lut> {
        let (mut descriptor, mut data) = (None, None);
        let mut item = first_item(sequence, self.encoding)?;
        while let Some((tag, Value::Bytes(bytes))) = item.read()? {
            match tag {
                LUT_DESCRIPTOR => descriptor = Some(bytes),
                LUT_DATA => data = Some(bytes),
                _ => {}
            }
        }
        let (Some(&[a, b, c, d, e, f]), Some(data)) = (descriptor, data) else {
            return Err(Error::new("the VOI LUT lacks its descriptor or its data"));
        };
        let [entries, first, bits] = [[a, b], [c, d], [e, f]].map(|b| self.encoding.u16(b));
        let entries = if entries == 0 { 1 << 16 } else { usize::from(entries) };
        let words = data.as_chunks::<2>().0;
        let values: Vec<u16> = if words.len() >= entries {
            words[..entries].iter().map(|&b| self.encoding.u16(b)).collect()
        } else if bits <= 8 && data.len() >= entries {
            data[..entries].iter().map(|&b| b.into()).collect()
        } else {
            return Err(Error::new(format!("the VOI LUT has fewer than its {entries} entries")));
        };
        if !(1..=16).contains(&bits) {
            return Err(Error::new(format!("the VOI LUT claims {bits} bits an entry")));
        }
        let first = if signed { f64::from(first as i16) } else { f64::from(first) };
        Ok(Lut { first, highest: f64::from((1u32 << bits) - 1), values })
    }
}

/// A value as text, without its padding.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_matches([' ', '\0']).to_string()
}

/// Three planes to interleaved samples.
fn interleave(planes: &[u8]) -> Vec<u8> {
    let pixels = planes.len() / 3;
    (0..pixels).flat_map(|i| [planes[i], planes[pixels + i], planes[2 * pixels + i]]).collect()
}
