//! Decoding, resampling and preprocessing against Pillow, and damaged files.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageBuffer, ImageFormat};
use proptest::prelude::*;
use roentgen::cards::model::{Filter, Input, Mode, Step};
use roentgen::imaging::decode::decode;
use roentgen::imaging::picture::{DEFAULT_MAX_PIXELS, Picture, Pixels};
use roentgen::imaging::preprocess;

use crate::support::shared;

fn open(path: &Path) -> Picture {
    decode(&std::fs::read(path).unwrap(), &path.display().to_string(), None, DEFAULT_MAX_PIXELS).unwrap()
}

fn resize(size: usize, mode: Mode, filter: Filter) -> Step {
    Step::Resize { size, mode, filter }
}

/// Applies steps that stay in 8 bits, one channel.
fn gray(steps: &[Step], picture: &Picture) -> (Vec<u8>, usize, usize) {
    let input = Input { channels: 1, steps: steps.to_vec() };
    let (values, height, width) = preprocess::apply(&input, picture).unwrap();
    (values.iter().map(|&v| v as u8).collect(), height, width)
}

#[test]
fn pillows_goldens() {
    let Some(shared) = shared() else { return };
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(shared.join("goldens/images.json")).unwrap()).unwrap();
    let steps: [(&str, Vec<Step>); 8] = [
        ("decode", vec![]),
        ("squash_224_bilinear", vec![resize(224, Mode::Squash, Filter::Bilinear)]),
        ("squash_224_bicubic", vec![resize(224, Mode::Squash, Filter::Bicubic)]),
        ("squash_224_lanczos", vec![resize(224, Mode::Squash, Filter::Lanczos)]),
        (
            "torchvision_resize256_centercrop224_bilinear",
            vec![resize(256, Mode::Shorter, Filter::Bilinear), Step::CenterCrop { size: Some(224) }],
        ),
        (
            "shorter320_centercrop320_bilinear",
            vec![resize(320, Mode::Shorter, Filter::Bilinear), Step::CenterCrop { size: Some(320) }],
        ),
        ("imageops_fit_224_lanczos", vec![resize(224, Mode::Fit, Filter::Lanczos)]),
        ("squash_512_bilinear", vec![resize(512, Mode::Squash, Filter::Bilinear)]),
    ];
    let (mut worst, mut sum, mut count, mut exact) = (0u8, 0u64, 0u64, 0);
    for (name, entry) in golden["images"].as_object().unwrap() {
        let picture = open(&shared.join("real").join(name));
        for (step, list) in &steps {
            let expected = &entry[*step];
            let (pixels, height, width) = gray(list, &picture);
            assert_eq!(serde_json::json!([height, width]), expected["shape"], "{name} {step}");
            if let Some(crc) = expected["crc32"].as_u64() {
                assert_eq!(u64::from(crc32(&pixels)), crc, "{name} {step}");
                exact += 1;
            }
            let (first, stride) = if *step == "decode" { (8, 64) } else { (8, 16) };
            let sampled = (first..height).step_by(stride).flat_map(|y| {
                let pixels = &pixels;
                (first..width).step_by(stride).map(move |x| pixels[y * width + x])
            });
            let wanted = expected["every_16th"].as_array().unwrap();
            assert_eq!(sampled.clone().count(), wanted.len(), "{name} {step}");
            for (ours, theirs) in sampled.zip(wanted) {
                let off = ours.abs_diff(theirs.as_u64().unwrap() as u8);
                worst = worst.max(off);
                sum += u64::from(off);
                count += 1;
            }
            let mean = pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels.len() as f64;
            assert!((mean - expected["mean"].as_f64().unwrap()).abs() < 0.05, "{name} {step}: mean {mean}");
        }
    }
    println!(
        "{exact} results to the byte; sampled pixels off by {worst} at most, {} on average",
        sum as f64 / count as f64
    );
    assert_eq!(exact, 32);
    assert!(worst <= 2);
}

/// The CRC-32 of PNG and zlib.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[derive(serde::Deserialize)]
struct Case {
    kind: String,
    size: (usize, usize),
    steps: Vec<Step>,
    crc32: u32,
}

/// The picture that goldens/imaging.py draws.
fn draw(kind: &str, (width, height): (usize, usize)) -> Picture {
    let points = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let byte = |x: usize, y: usize, c: usize| ((x * x * 3 + y * 7 + x * y * 5 + c * 91) % 256) as u8;
    let (pixels, high) = match kind {
        "L" => (Pixels::Gray(points().map(|(x, y)| byte(x, y, 0)).collect()), 255.0),
        "RGB" => (Pixels::Rgb(points().flat_map(|(x, y)| (0..3).map(move |c| byte(x, y, c))).collect()), 255.0),
        _ => {
            let value = |(x, y): (usize, usize)| ((x * x * 779 + y * 1803 + x * y * 1297) % 65536) as f32;
            (Pixels::Float(points().map(value).collect()), 65535.0)
        }
    };
    Picture { width, height, pixels, range: [0.0, high] }
}

#[test]
fn pillows_resampling_of_odd_sizes() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("goldens/imaging.json")).unwrap();
    for Case { kind, size, steps, crc32: expected } in cases {
        let input = Input { channels: if kind == "RGB" { 3 } else { 1 }, steps };
        let (values, ..) = preprocess::apply(&input, &draw(&kind, size)).unwrap();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(crc32(&bytes), expected, "{kind} {size:?} {:?}", input.steps);
    }
}

/// A picture as a file.
fn encode(image: DynamicImage, format: ImageFormat) -> Vec<u8> {
    if format == ImageFormat::Jpeg {
        return encode_jpeg(&image);
    }
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn encode_jpeg(image: &DynamicImage) -> Vec<u8> {
    let gray = image.color().channel_count() == 1;
    let space = if gray { mozjpeg::ColorSpace::JCS_GRAYSCALE } else { mozjpeg::ColorSpace::JCS_RGB };
    let mut jpeg = mozjpeg::Compress::new(space);
    jpeg.set_size(image.width() as usize, image.height() as usize);
    let mut jpeg = jpeg.start_compress(Vec::new()).unwrap();
    jpeg.write_scanlines(image.as_bytes()).unwrap();
    jpeg.finish().unwrap()
}

fn decoded(bytes: &[u8]) -> Picture {
    decode(bytes, "synthetic", None, DEFAULT_MAX_PIXELS).unwrap()
}

#[test]
fn every_format_and_depth_follows_pillow() {
    let (width, height) = (19, 7);
    let ramp: Vec<u8> = (0..width * height * 4).map(|i| (i * 37 % 251) as u8).collect();
    let wide: Vec<u16> = ramp.iter().map(|&v| (u16::from(v) * 257) ^ 0x0f).collect();
    let of = |count: u32| ramp[..(width * height * count) as usize].to_vec();
    let wide_of = |count: u32| wide[..(width * height * count) as usize].to_vec();
    let drop = |from: &[u8], of: usize, keep: usize| -> Vec<u8> {
        from.chunks_exact(of).flat_map(|pixel| pixel[..keep].to_vec()).collect()
    };
    let high = |from: Vec<u16>| -> Vec<u8> { from.iter().map(|v| (v >> 8) as u8).collect() };
    let image = |buffer: Option<DynamicImage>| buffer.unwrap();
    let gray = image(ImageBuffer::from_raw(width, height, of(1)).map(DynamicImage::ImageLuma8));
    let rgb = image(ImageBuffer::from_raw(width, height, of(3)).map(DynamicImage::ImageRgb8));
    let rgba = image(ImageBuffer::from_raw(width, height, of(4)).map(DynamicImage::ImageRgba8));
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Bmp] {
        // A gray BMP has a palette, whose colours are gray.
        let gray = match decoded(&encode(gray.clone(), format)).pixels {
            Pixels::Rgb(rgb) if format == ImageFormat::Bmp => Pixels::Gray(drop(&rgb, 3, 1)),
            pixels => pixels,
        };
        assert_eq!(gray, Pixels::Gray(of(1)), "{format:?}");
        assert_eq!(decoded(&encode(rgb.clone(), format)).pixels, Pixels::Rgb(of(3)), "{format:?}");
        assert_eq!(decoded(&encode(rgba.clone(), format)).pixels, Pixels::Rgb(drop(&of(4), 4, 3)), "{format:?}");
    }
    let gray_alpha = image(ImageBuffer::from_raw(width, height, of(2)).map(DynamicImage::ImageLumaA8));
    let png = encode(gray_alpha, ImageFormat::Png);
    assert_eq!(decoded(&png).pixels, Pixels::Gray(drop(&of(2), 2, 1)));
    let gray16 = image(ImageBuffer::from_raw(width, height, wide_of(1)).map(DynamicImage::ImageLuma16));
    let rgb16 = image(ImageBuffer::from_raw(width, height, wide_of(3)).map(DynamicImage::ImageRgb16));
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let picture = decoded(&encode(gray16.clone(), format));
        let values = wide_of(1).iter().map(|&v| f32::from(v)).collect();
        assert_eq!((picture.pixels, picture.range), (Pixels::Float(values), [0.0, 65535.0]), "{format:?}");
        let window = Some((32768.0, 65536.0));
        let windowed = decode(&encode(gray16.clone(), format), "16 bits", window, DEFAULT_MAX_PIXELS).unwrap();
        let values = wide_of(1).iter().map(|&v| (f64::from(v) / 65535.0 * 255.0) as f32).collect();
        assert_eq!((windowed.pixels, windowed.range), (Pixels::Float(values), [0.0, 255.0]), "{format:?}");
        assert_eq!(decoded(&encode(rgb16.clone(), format)).pixels, Pixels::Rgb(high(wide_of(3))), "{format:?}");
    }
    let Pixels::Gray(jpeg) = decoded(&encode(gray, ImageFormat::Jpeg)).pixels else { panic!("gray JPEGs stay gray") };
    assert_eq!(jpeg.len(), (width * height) as usize);
}

/// A PNG header that claims a size, with hardly any data.
fn png_bomb(width: u32, height: u32) -> Vec<u8> {
    let mut png = encode(DynamicImage::new_luma8(1, 1), ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png
}

#[test]
fn oversized_claims_are_refused() {
    for (width, height) in [(60_000, 60_000), (u32::MAX >> 1, 1), (70_000, 1)] {
        let error = decode(&png_bomb(width, height), "bomb.png", None, DEFAULT_MAX_PIXELS).unwrap_err().to_string();
        assert!(error.starts_with("bomb.png: ") && error.contains("pixels"), "{error}");
    }
    let small = encode(DynamicImage::new_luma8(10, 11), ImageFormat::Png);
    assert!(decode(&small, "small.png", None, 110).is_ok());
    assert!(decode(&small, "small.png", None, 109).unwrap_err().to_string().contains("10 x 11"));
}

#[test]
fn unreadable_files_say_why() {
    let jpeg = encode(DynamicImage::new_luma8(64, 64), ImageFormat::Jpeg);
    for (bytes, says) in [
        (&b""[..], "empty"),
        (b"GIF89a and so on", "not a PNG, JPEG, TIFF, BMP or DICOM"),
        (&jpeg[..jpeg.len() - 2], "cut short"),
    ] {
        let error = decode(bytes, "a/b.jpg", None, DEFAULT_MAX_PIXELS).unwrap_err().to_string();
        assert!(error.starts_with("a/b.jpg: ") && error.contains(says), "{error}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let picture = DynamicImage::ImageRgb8(ImageBuffer::from_fn(21, 13, |x, y| {
        image::Rgb([(x * 12) as u8, (y * 19) as u8, (x * y) as u8])
    }));
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Bmp];
    formats.iter().map(|&format| encode(picture.clone(), format)).collect()
}

#[test]
fn cut_files_are_errors() {
    for bytes in seeds() {
        for length in 0..bytes.len() - 12 {
            let result = decode(&bytes[..length], "cut", None, DEFAULT_MAX_PIXELS);
            // A TIFF's directory comes last and a JPEG is checked for its end; PNG and BMP need every row.
            assert!(result.is_err(), "{length} of {} bytes", bytes.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        seed in 0usize..4,
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = seeds().swap_remove(seed);
        for (place, value) in hits {
            let i = place.index(bytes.len());
            bytes[i] = value;
        }
        let _ = decode(&bytes, "damaged", None, 1 << 20);
    }

    #[test]
    fn any_picture_goes_through_any_steps(
        (width, height) in (1usize..70, 1usize..70),
        size in 1usize..80,
        crop in proptest::option::of(1usize..90),
        mode in prop::sample::select(vec![Mode::Squash, Mode::Shorter, Mode::Fit]),
        filter in prop::sample::select(vec![Filter::Bilinear, Filter::Bicubic, Filter::Lanczos]),
        kind in prop::sample::select(vec!["L", "RGB", "F"]),
        channels in prop::sample::select(vec![1usize, 3]),
    ) {
        let steps = vec![resize(size, mode, filter), Step::CenterCrop { size: crop }, Step::Standardize];
        let (values, h, w) = preprocess::apply(&Input { channels, steps }, &draw(kind, (width, height))).unwrap();
        prop_assert_eq!(values.len(), channels * h * w);
        prop_assert_eq!((h, w), (crop.unwrap_or(size), crop.unwrap_or(size)));
        prop_assert!(values.iter().all(|v| v.is_finite()));
    }
}
