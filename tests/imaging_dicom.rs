//! DICOM to pictures: values worked out by hand or by pydicom, and damaged files.

use std::io::Write;

use proptest::prelude::*;
use roentgen::imaging::decode::decode;
use roentgen::imaging::picture::{DEFAULT_MAX_PIXELS, Picture, Pixels};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const RLE: &str = "1.2.840.10008.1.2.5";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";

/// Writes small DICOM files.
#[derive(Clone)]
struct File {
    syntax: &'static str,
    elements: Vec<(u16, u16, &'static str, Vec<u8>)>,
}

impl File {
    /// A monochrome file of `stored` bits in words of 16.
    fn gray(columns: u16, rows: u16, stored: u16, pixels: &[u16]) -> Self {
        let words = pixels.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { syntax: EXPLICIT, elements: Vec::new() }
            .number(0x0002, 1)
            .text(0x0004, "MONOCHROME2")
            .number(0x0010, rows)
            .number(0x0011, columns)
            .number(0x0100, 16)
            .number(0x0101, stored)
            .number(0x0102, stored - 1)
            .number(0x0103, 0)
            .set(0x7fe0, 0x0010, "OW", words)
    }

    fn set(mut self, group: u16, element: u16, vr: &'static str, mut value: Vec<u8>) -> Self {
        if value.len() % 2 == 1 {
            value.push(if vr == "OB" { 0 } else { b' ' });
        }
        self.elements.retain(|e| (e.0, e.1) != (group, element));
        self.elements.push((group, element, vr, value));
        self.elements.sort();
        self
    }

    fn number(self, element: u16, value: u16) -> Self {
        self.set(0x0028, element, "US", value.to_le_bytes().to_vec())
    }

    fn text(self, element: u16, value: &str) -> Self {
        self.set(0x0028, element, "DS", value.as_bytes().to_vec())
    }

    fn syntax(mut self, syntax: &'static str) -> Self {
        self.syntax = syntax;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let big = self.syntax == BIG_ENDIAN;
        let mut body = Vec::new();
        for (group, element, vr, value) in &self.elements {
            write_element(&mut body, (*group, *element), vr, value, self.syntax != IMPLICIT, big);
            if *vr == "OB" && [RLE, JPEG_LS].contains(&self.syntax) {
                // An offset table without entries, one fragment, and the delimiter.
                let length = body.len() - value.len();
                body[length - 4..length].copy_from_slice(&u32::MAX.to_le_bytes());
                body.truncate(length);
                body.extend([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0x00, 0xe0]);
                body.extend((value.len() as u32).to_le_bytes());
                body.extend(value);
                body.extend([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
            }
        }
        if self.syntax == DEFLATED {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&body).unwrap();
            body = encoder.finish().unwrap();
        }
        let mut file = vec![0; 128];
        file.extend(b"DICM");
        let mut uid = self.syntax.as_bytes().to_vec();
        uid.resize(uid.len().next_multiple_of(2), 0);
        write_element(&mut file, (0x0002, 0x0010), "UI", &uid, true, false);
        file.extend(body);
        file
    }

    fn decode(&self) -> Picture {
        self.windowed(None)
    }

    fn windowed(&self, window: Option<(f64, f64)>) -> Picture {
        decode(&self.bytes(), "file.dcm", window, DEFAULT_MAX_PIXELS).unwrap()
    }

    fn error(&self) -> String {
        decode(&self.bytes(), "file.dcm", None, DEFAULT_MAX_PIXELS).unwrap_err().to_string()
    }

    fn levels(&self) -> Vec<f32> {
        floats(self.decode())
    }
}

fn write_element(to: &mut Vec<u8>, tag: (u16, u16), vr: &str, value: &[u8], explicit: bool, big: bool) {
    let mut value = value.to_vec();
    let two = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let four = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    if big && ["US", "OW"].contains(&vr) {
        value.chunks_exact_mut(2).for_each(|word| word.reverse());
    }
    to.extend(two(tag.0));
    to.extend(two(tag.1));
    let length = value.len() as u32;
    match (explicit, vr) {
        (false, _) => to.extend(four(length)),
        (true, "OB" | "OW" | "SQ" | "UN") => {
            to.extend(vr.as_bytes());
            to.extend([0, 0]);
            to.extend(four(length));
        }
        (true, _) => {
            to.extend(vr.as_bytes());
            to.extend(two(length as u16));
        }
    }
    to.extend(value);
}

fn floats(picture: Picture) -> Vec<f32> {
    assert_eq!(picture.range, [0.0, 255.0]);
    match picture.pixels {
        Pixels::Float(values) => values,
        Pixels::Gray(values) => values.into_iter().map(f32::from).collect(),
        Pixels::Rgb(_) => panic!("colour"),
    }
}

fn close(ours: &[f32], expected: &[f64]) {
    assert_eq!(ours.len(), expected.len());
    assert!(ours.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4), "{ours:?} {expected:?}");
}

const RAMP: [u16; 6] = [0, 1, 1000, 2048, 4000, 4095];

#[test]
fn without_a_window_the_stored_bits_are_the_range() {
    let file = File::gray(3, 2, 12, &RAMP);
    let full = RAMP.map(|v| f64::from(v) / 4095.0 * 255.0);
    close(&file.levels(), &full);
    assert_eq!((file.decode().width, file.decode().height), (3, 2));
    // A rescale cancels out, one with a negative slope turns the scale around, MONOCHROME1 too.
    let turned = full.map(|v| 255.0 - v);
    close(&file.clone().text(0x1053, "2").text(0x1052, "-1024").levels(), &full);
    close(&file.clone().text(0x1053, "-1").levels(), &turned);
    close(&file.clone().text(0x0004, "MONOCHROME1").levels(), &turned);
    // Bits around the stored ones, such as overlays, do not count.
    let dirty = File::gray(3, 2, 12, &RAMP.map(|v| v | 0xf000));
    close(&dirty.levels(), &full);
    let shifted = File::gray(3, 2, 12, &RAMP.map(|v| v << 4 | 3)).number(0x0102, 15);
    close(&shifted.levels(), &full);
    let signed = File::gray(3, 2, 12, &RAMP).number(0x0103, 1);
    close(&signed.levels(), &RAMP.map(|v| f64::from((v + 2048) % 4096) / 4095.0 * 255.0));
}

#[test]
fn encodings_of_the_data_set_are_equal() {
    let file = File::gray(3, 2, 12, &RAMP).text(0x1050, "1500\\7").text(0x1051, " 2500 \\9");
    let expected = file.levels();
    for syntax in [IMPLICIT, BIG_ENDIAN, DEFLATED] {
        assert_eq!(file.clone().syntax(syntax).levels(), expected, "{syntax}");
    }
    // Segments for the high and the low bytes: literals, a run of three and a no-op.
    let mut rle = vec![0; 64];
    for (i, word) in [2u32, 64, 71].iter().enumerate() {
        rle[i * 4..i * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    let pixels = [0x0000, 0x0101, 0x0202, 0x0903, 0x0903, 0x0903];
    rle.extend([2, 0, 1, 2, 128, 254, 9]);
    rle.extend([2, 0, 1, 2, 254, 3]);
    let plain = File::gray(3, 2, 12, &pixels);
    let packed = plain.clone().syntax(RLE).set(0x7fe0, 0x0010, "OB", rle);
    assert_eq!(packed.levels(), plain.levels());
}

#[test]
fn windows_follow_the_standard() {
    let file = File::gray(3, 2, 12, &RAMP).text(0x1053, "2").text(0x1052, "-10");
    let own = file.clone().text(0x1050, "2000").text(0x1051, "3000");
    // PS3.3 C.11.2.1.2.1 on the rescaled values -10, -8, 1990, 4086, 7990, 8180.
    let linear = |x: f64, c: f64, w: f64| (((x - (c - 0.5)) / (w - 1.0) + 0.5).clamp(0.0, 1.0)) * 255.0;
    let rescaled = RAMP.map(|v| f64::from(v) * 2.0 - 10.0);
    close(&own.levels(), &rescaled.map(|x| linear(x, 2000.0, 3000.0)));
    close(&floats(own.windowed(Some((50.0, 8000.0)))), &rescaled.map(|x| linear(x, 50.0, 8000.0)));
    let exact = own.clone().text(0x1056, "LINEAR_EXACT");
    close(&exact.levels(), &rescaled.map(|x| ((x - 2000.0) / 3000.0 + 0.5).clamp(0.0, 1.0) * 255.0));
    let sigmoid = own.clone().text(0x1056, "SIGMOID").text(0x0004, "MONOCHROME1");
    close(&sigmoid.levels(), &rescaled.map(|x| 255.0 - 255.0 / (1.0 + (-4.0 * (x - 2000.0) / 3000.0).exp())));
}

#[test]
fn the_voi_lut_goes_before_the_window() {
    let words = |values: &[u16]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let mut item = Vec::new();
    write_element(&mut item, (0x0028, 0x3002), "US", &words(&[4, 2, 10]), true, false);
    write_element(&mut item, (0x0028, 0x3006), "OW", &words(&[0, 100, 1000, 1023]), true, false);
    let mut sequence = vec![0xfe, 0xff, 0x00, 0xe0];
    sequence.extend((item.len() as u32).to_le_bytes());
    sequence.extend(item);
    let file = File::gray(6, 1, 12, &[0, 2, 3, 4, 5, 99])
        .text(0x1050, "40")
        .text(0x1051, "80")
        .set(0x0028, 0x3010, "SQ", sequence);
    close(&file.levels(), &[0.0, 0.0, 100.0, 1000.0, 1023.0, 1023.0].map(|v| v / 1023.0 * 255.0));
    close(&floats(file.windowed(Some((0.5, 2.0)))), &[127.5, 255.0, 255.0, 255.0, 255.0, 255.0]);
}

#[test]
fn eight_bits_without_a_window_stay_eight_bits() {
    let values: Vec<u8> = (0..=255).collect();
    let file = File::gray(16, 16, 8, &[]).number(0x0100, 8).set(0x7fe0, 0x0010, "OB", values.clone());
    assert_eq!(file.decode().pixels, Pixels::Gray(values.clone()));
    let inverted: Vec<u8> = values.iter().map(|v| 255 - v).collect();
    assert_eq!(file.clone().text(0x0004, "MONOCHROME1").decode().pixels, Pixels::Gray(inverted));
    assert!(matches!(file.windowed(Some((100.0, 50.0))).pixels, Pixels::Float(_)));

    let colours = file.text(0x0004, "RGB").number(0x0002, 3).number(0x0010, 1).number(0x0011, 2);
    let interleaved = colours.set(0x7fe0, 0x0010, "OB", vec![1, 2, 3, 4, 5, 6]);
    assert_eq!(interleaved.decode().pixels, Pixels::Rgb(vec![1, 2, 3, 4, 5, 6]));
    assert_eq!(interleaved.number(0x0006, 1).decode().pixels, Pixels::Rgb(vec![1, 3, 5, 2, 4, 6]));
}

#[test]
fn what_is_not_read_is_named() {
    let file = File::gray(3, 2, 12, &RAMP);
    let cases = [
        (
            file.clone().syntax(JPEG_LS).set(0x7fe0, 0x0010, "OB", vec![0; 80]),
            "JPEG-LS lossless (1.2.840.10008.1.2.4.80)",
        ),
        (file.clone().text(0x0008, "7"), "7 frames"),
        (file.clone().text(0x0004, "PALETTE COLOR"), "PALETTE COLOR"),
        (file.clone().number(0x0100, 32), "32 bits"),
        (file.clone().number(0x0101, 0), "bits stored 0"),
        (file.clone().number(0x0010, 0), "no pixels"),
        (file.clone().number(0x0010, 3), "12 bytes of pixels where the file says 18"),
        (file.clone().number(0x0010, 65535).number(0x0011, 65535), "65535 x 65535"),
        (file.clone().text(0x1050, "a").text(0x1051, "1"), "(0028,1050)"),
        (file.clone().text(0x1050, "1").text(0x1051, "0"), "(0028,1051)"),
        (file.clone().text(0x1053, "0"), "slope"),
        (file.clone().set(0x0028, 0x3000, "SQ", vec![]), "modality LUT"),
        (file.clone().set(0x0028, 0x3010, "SQ", vec![1, 2]), "cut short"),
    ];
    for (case, says) in cases {
        let error = case.error();
        assert!(error.starts_with("file.dcm") && error.contains(says), "{says}: {error}");
    }
    let mut bare = file;
    bare.elements.pop();
    assert!(bare.error().contains("no pixel data"));
}

#[test]
fn bombs_are_refused() {
    // Zeros deflate a thousandfold.
    let file = File::gray(3, 2, 12, &RAMP).syntax(DEFLATED).set(0x0009, 0x0010, "OB", vec![0; 20 << 20]);
    let bytes = file.bytes();
    assert!(bytes.len() < 1 << 20);
    let error = decode(&bytes, "bomb.dcm", None, 1000).unwrap_err().to_string();
    assert!(error.contains("inflates"), "{error}");
    // Sequences within sequences, none of them closed.
    let mut nested = vec![0; 128];
    nested.extend(b"DICM");
    write_element(&mut nested, (0x0002, 0x0010), "UI", b"1.2.840.10008.1.2\0", true, false);
    for _ in 0..500_000 {
        nested.extend([8, 0, 0x40, 0x11, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]);
    }
    let error = decode(&nested, "nested.dcm", None, 1000).unwrap_err().to_string();
    assert!(error.contains("cut short"), "{error}");
}

#[test]
fn sequences_before_the_pixels_are_stepped_over() {
    let file = File::gray(3, 2, 12, &RAMP);
    let (plain, expected) = (file.bytes(), file.levels());
    let undefined = [0xff; 4];
    let item = |content: &[u8]| {
        [&[0xfe, 0xff, 0x00, 0xe0][..], &undefined, content, &[0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0]].concat()
    };
    let end: &[u8] = &[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
    // Inside a sequence of unknown representation elements are implicit.
    let implicit = [8, 0, 0x50, 0x11, 2, 0, 0, 0, b'1', 0];
    let unknown = [&[8, 0, 0x99, 0x11, b'U', b'N', 0, 0][..], &undefined, &item(&implicit), end].concat();
    let outer = [&[8, 0, 0x40, 0x11, b'S', b'Q', 0, 0][..], &undefined, &item(&unknown), &item(&[]), end].concat();
    let body = 132 + 8 + 20;
    let nested = [&plain[..body], &outer, &plain[body..]].concat();
    assert_eq!(floats(decode(&nested, "nested.dcm", None, 1000).unwrap()), expected);
}

#[test]
fn real_radiographs_equal_pydicom() {
    let Some(shared) = crate::support::shared() else { return };
    // pydicom 3 with Pillow's JPEG decoder: the mean, every 256th pixel, and after a window of 128, 100 the mean.
    const EVERY_256TH: [u8; 16] = [0, 17, 90, 30, 79, 142, 195, 130, 98, 106, 208, 113, 19, 207, 225, 157];
    let files = [("1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm", false), ("Fake_MONOHR1.dcm", true)];
    for (name, inverted) in files {
        let bytes = std::fs::read(shared.join("real/dicom").join(name)).unwrap();
        let turn = |v: f64| if inverted { 255.0 - v } else { v };
        let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let picture = decode(&bytes, name, None, DEFAULT_MAX_PIXELS).unwrap();
        assert_eq!((picture.width, picture.height), (1024, 1024));
        let values = floats(picture);
        assert!((mean(&values) - turn(160.398_038_864_135_74)).abs() < 0.01, "{name}: {}", mean(&values));
        for (i, expected) in EVERY_256TH.iter().enumerate() {
            let ours = f64::from(values[i / 4 * 256 * 1024 + i % 4 * 256]);
            assert!((ours - turn(f64::from(*expected))).abs() <= 1.0, "{name}, pixel {i}");
        }
        let windowed = floats(decode(&bytes, name, Some((128.0, 100.0)), DEFAULT_MAX_PIXELS).unwrap());
        assert!((mean(&windowed) - turn(185.553_527_456_341_39)).abs() < 0.01, "{name}: {}", mean(&windowed));
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        syntax in prop::sample::select(vec![EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, RLE]),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = File::gray(3, 2, 12, &RAMP).text(0x1050, "40").text(0x1051, "80").syntax(syntax);
        if syntax == RLE {
            file = file.set(0x7fe0, 0x0010, "OB", vec![2; 90]);
        }
        let mut bytes = file.bytes();
        for (place, value) in hits {
            let i = place.index(bytes.len());
            bytes[i] = value;
        }
        let _ = decode(&bytes, "damaged", None, 1 << 20);
        let _ = decode(&bytes[..cut.index(bytes.len())], "cut", None, 1 << 20);
    }
}
