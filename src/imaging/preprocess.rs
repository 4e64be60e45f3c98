//! A picture to a network's input, by the steps of a model card.
//!
//! The arithmetic is that of the pipelines the field publishes. Colour becomes one channel by Pillow's luma
//! (`convert("L")`) before anything else, and gray is repeated where a network has three channels. Geometric steps
//! on 8-bit pictures stay in 8 bits, as Pillow's do; the first step that computes (`scale`, `normalize`,
//! `standardize`) moves to 32-bit floats, one operation after the other as PyTorch and NumPy round them:
//!
//! - `scale`: `(x - low) / (high - low) * (b - a) + a`, from the picture's full range to `[a, b]`. For 8 bits
//!   that is bit for bit `x / 255`, `x / 127.5 - 1` and torchxrayvision's `(2 * (x / 255) - 1) * 1024`.
//!   A second `scale` maps from where the first one went.
//! - `normalize`: `(x - mean) / std`; without a `scale` before it, on the raw values.
//! - `standardize`: mean and population standard deviation over all samples, summed in 64-bit floats. A
//!   constant picture becomes zeros.
//!
//! Resizing after one of these works as on Pillow's mode F, each channel for itself.

use std::borrow::Cow;

use super::picture::{DEFAULT_MAX_PIXELS, Picture, Pixels};
use super::resize::{Region, Sample, resample};
use crate::cards::model::{Filter, Input, Mode, Step};
use crate::error::{Error, Result};

/// Carries out the steps of `input` on `picture`.
///
/// Returns `input.channels` planes of height x width values, one after the other (CHW), with the height and the
/// width. A window step does nothing here: [`decode`](super::decode::decode) has applied it.
///
/// # Errors
/// If a resize would make a picture of more than [`DEFAULT_MAX_PIXELS`] pixels, which only
/// the `shorter` mode on very long pictures does.
pub fn apply(input: &Input, picture: &Picture) -> Result<(Vec<f32>, usize, usize)> {
    let mut image = Image::new(picture, input.channels);
    image.carry_out(&input.steps, picture.range)?;
    Ok(image.finish(input.channels))
}

/// The input in two: the steps before the first that computes, which leave 8-bit pictures in 8 bits, and the others.
pub fn split(input: &Input) -> (Input, Input) {
    let computes = |step: &Step| matches!(step, Step::Scale { .. } | Step::Normalize { .. } | Step::Standardize);
    let first = input.steps.iter().position(computes).unwrap_or(input.steps.len());
    let part = |steps: &[Step]| Input { channels: input.channels, steps: steps.to_vec() };
    (part(&input.steps[..first]), part(&input.steps[first..]))
}

/// What the steps of `shape`, of which none computes, make of a picture. Errors as [`apply`].
pub fn reshape(shape: &Input, picture: &Picture) -> Result<Picture> {
    let mut image = Image::new(picture, shape.channels);
    image.carry_out(&shape.steps, picture.range)?;
    let (width, height) = image.size;
    let pixels = match image.samples {
        Samples::Gray(gray) => Pixels::Gray(gray.into_owned()),
        Samples::Rgb(rgb) => Pixels::Rgb(rgb.into_owned()),
        // Only a picture of one plane of floats begins as planes, and no step without arithmetic adds one.
        Samples::Planes(planes) => Pixels::Float(planes.concat()),
    };
    Ok(Picture { width, height, pixels, range: picture.range })
}

/// As [`apply`], with the planes (one of a gray picture) and their size (columns, rows) put through `change` before the
/// first step.
pub fn apply_changed(
    input: &Input,
    picture: &Picture,
    change: impl FnOnce(&mut [Vec<f32>], (usize, usize)),
) -> Result<(Vec<f32>, usize, usize)> {
    let mut image = Image::new(picture, input.channels);
    let size = image.size;
    change(image.planes(1), size);
    image.carry_out(&input.steps, picture.range)?;
    Ok(image.finish(input.channels))
}

/// A picture on its way through the steps.
struct Image<'a> {
    /// Width and height.
    size: (usize, usize),
    samples: Samples<'a>,
}

enum Samples<'a> {
    Gray(Cow<'a, [u8]>),
    /// Interleaved.
    Rgb(Cow<'a, [u8]>),
    /// One plane, or one a channel once they differ.
    Planes(Vec<Vec<f32>>),
}

impl<'a> Image<'a> {
    fn new(picture: &'a Picture, channels: usize) -> Self {
        let samples = match &picture.pixels {
            Pixels::Gray(gray) => Samples::Gray(Cow::Borrowed(gray)),
            Pixels::Rgb(rgb) if channels == 1 => Samples::Gray(Cow::Owned(luma(rgb))),
            Pixels::Rgb(rgb) => Samples::Rgb(Cow::Borrowed(rgb)),
            Pixels::Float(plane) => Samples::Planes(vec![plane.clone()]),
        };
        Self { size: (picture.width, picture.height), samples }
    }

    /// The steps one after the other; `range` is that of the samples.
    fn carry_out(&mut self, steps: &[Step], mut range: [f32; 2]) -> Result<()> {
        for step in steps {
            match step {
                Step::Window { .. } => {}
                Step::Resize { size, mode, filter } => self.resize(*size, *mode, *filter)?,
                Step::CenterCrop { size } => self.center_crop(*size),
                Step::Scale { to } => {
                    let ([low, high], [a, b]) = (range, *to);
                    self.planes(1).iter_mut().flatten().for_each(|x| *x = (*x - low) / (high - low) * (b - a) + a);
                    range = *to;
                }
                Step::Normalize { mean, std } => {
                    let planes = self.planes(mean.len().max(std.len()));
                    // One mean or deviation serves all channels.
                    let of = |values: &[f32], channel: usize| values[channel.min(values.len() - 1)];
                    for (channel, plane) in planes.iter_mut().enumerate() {
                        let (mean, std) = (of(mean, channel), of(std, channel));
                        plane.iter_mut().for_each(|x| *x = (*x - mean) / std);
                    }
                }
                Step::Standardize => standardize(self.planes(1)),
            }
        }
        Ok(())
    }

    /// The planes, one after the other, with height and width.
    fn finish(&mut self, channels: usize) -> (Vec<f32>, usize, usize) {
        let (width, height) = self.size;
        (std::mem::take(self.planes(channels)).concat(), height, width)
    }

    /// The samples as planes of floats, at least `at_least` of them: one plane is repeated.
    fn planes(&mut self, at_least: usize) -> &mut Vec<Vec<f32>> {
        let plane = |samples: &[u8], channel: usize, channels: usize| -> Vec<f32> {
            samples.iter().skip(channel).step_by(channels).map(|&v| f32::from(v)).collect()
        };
        match &self.samples {
            Samples::Gray(gray) => self.samples = Samples::Planes(vec![plane(gray, 0, 1)]),
            Samples::Rgb(rgb) => self.samples = Samples::Planes((0..3).map(|c| plane(rgb, c, 3)).collect()),
            Samples::Planes(_) => {}
        }
        let Samples::Planes(planes) = &mut self.samples else { unreachable!("the match above made them planes") };
        if planes.len() < at_least {
            *planes = vec![planes[0].clone(); at_least];
        }
        planes
    }

    fn resize(&mut self, size: usize, mode: Mode, filter: Filter) -> Result<()> {
        let (width, height) = self.size;
        let to = match mode {
            Mode::Squash | Mode::Fit => (size, size),
            Mode::Shorter if width <= height => (size, size * height / width),
            Mode::Shorter => (size * width / height, size),
        };
        if to.0 as u64 * to.1 as u64 > DEFAULT_MAX_PIXELS {
            let cause = format!("a {width} x {height} picture would be resized to {} x {} pixels", to.0, to.1);
            return Err(Error::new(cause).mend("leave such a picture out"));
        }
        let region = match mode {
            Mode::Fit => Region::centre_square(width, height),
            Mode::Squash | Mode::Shorter => Region::whole(width, height),
        };
        let from = std::mem::replace(&mut self.size, to);
        match &mut self.samples {
            Samples::Gray(gray) => *gray = resample::<u8, 1>(gray, from, region, to, filter).into(),
            Samples::Rgb(rgb) => *rgb = resample::<u8, 3>(rgb, from, region, to, filter).into(),
            Samples::Planes(planes) => {
                planes.iter_mut().for_each(|plane| *plane = resample::<f32, 1>(plane, from, region, to, filter));
            }
        }
        Ok(())
    }

    /// Cuts out the middle as torchvision's `CenterCrop` does, zeros around pictures that are smaller; without
    /// a size the largest square, placed as torchxrayvision's `XRayCenterCrop` does.
    fn center_crop(&mut self, size: Option<usize>) {
        let (width, height) = self.size;
        let (side, offset): (usize, fn(usize, usize) -> isize) = match size {
            Some(side) => (side, centre_offset),
            None => (width.min(height), |length, side| (length / 2) as isize - (side / 2) as isize),
        };
        let (left, top) = (offset(width, side), offset(height, side));
        let from = std::mem::replace(&mut self.size, (side, side));
        match &mut self.samples {
            Samples::Gray(gray) => *gray = cut::<u8, 1>(gray, from, (left, top), side).into(),
            Samples::Rgb(rgb) => *rgb = cut::<u8, 3>(rgb, from, (left, top), side).into(),
            Samples::Planes(planes) => {
                planes.iter_mut().for_each(|plane| *plane = cut::<f32, 1>(plane, from, (left, top), side));
            }
        }
    }
}

/// Where torchvision's centre crop of `side` begins: half the difference, rounded half to even. It is negative
/// for zeros in front, of which there are never more than behind.
fn centre_offset(length: usize, side: usize) -> isize {
    if side > length {
        return -(((side - length) / 2) as isize);
    }
    let half = (length - side) / 2;
    let odd = (length - side) % 2 == 1;
    (if odd && half % 2 == 1 { half + 1 } else { half }) as isize
}

/// A square of `side` pixels from `corner` (left, top), zeros outside of the picture.
fn cut<S: Sample, const C: usize>(samples: &[S], size: (usize, usize), corner: (isize, isize), side: usize) -> Vec<S> {
    // The part of the square, along one axis, that the picture covers, and where it lies in the picture.
    let overlap = |length: usize, offset: isize| {
        let skip = offset.min(0).unsigned_abs();
        let start = offset.max(0).unsigned_abs();
        (skip, start, (length - start).min(side - skip))
    };
    let (skip_x, x, columns) = overlap(size.0, corner.0);
    let (skip_y, y, rows) = overlap(size.1, corner.1);
    let mut result = vec![S::default(); side * side * C];
    for row in 0..rows {
        let from = ((y + row) * size.0 + x) * C;
        let to = ((skip_y + row) * side + skip_x) * C;
        result[to..to + columns * C].copy_from_slice(&samples[from..from + columns * C]);
    }
    result
}

/// Pillow's luma of interleaved RGB: ITU-R 601-2 with 16 fractional bits, rounded.
fn luma(rgb: &[u8]) -> Vec<u8> {
    let gray =
        |p: &[u8; 3]| (u32::from(p[0]) * 19595 + u32::from(p[1]) * 38470 + u32::from(p[2]) * 7471 + 0x8000) >> 16;
    rgb.as_chunks::<3>().0.iter().map(|p| gray(p) as u8).collect()
}

fn standardize(planes: &mut [Vec<f32>]) {
    let count = planes.iter().map(Vec::len).sum::<usize>() as f64;
    let total = |f: &dyn Fn(f64) -> f64| planes.iter().flatten().map(|&x| f(f64::from(x))).sum::<f64>();
    let mean = total(&|x| x) / count;
    let std = (total(&|x| (x - mean) * (x - mean)) / count).sqrt();
    let (mean, std) = (mean as f32, std as f32);
    for x in planes.iter_mut().flatten() {
        *x = if std > 0.0 { (*x - mean) / std } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: usize, height: usize, values: Vec<u8>) -> Picture {
        Picture { width, height, pixels: Pixels::Gray(values), range: [0.0, 255.0] }
    }

    fn run(channels: usize, steps: Vec<Step>, picture: &Picture) -> Vec<f32> {
        apply(&Input { channels, steps }, picture).unwrap().0
    }

    #[test]
    fn scales_of_the_field_are_bit_exact() {
        let all = gray(16, 16, (0..=255).collect());
        let scaled = |to| run(1, vec![Step::Scale { to }], &all);
        let ([unit, symmetric, xrv], x) = ([[0.0, 1.0], [-1.0, 1.0], [-1024.0, 1024.0]].map(scaled), 0..=255u8);
        for (i, x) in x.map(f32::from).enumerate() {
            assert_eq!(unit[i], x / 255.0);
            assert_eq!(symmetric[i], x / 127.5 - 1.0);
            assert_eq!(xrv[i], (2.0 * (x / 255.0) - 1.0) * 1024.0);
        }
        let wide = Picture { pixels: Pixels::Float(vec![0.0, 65535.0]), range: [0.0, 65535.0], ..gray(2, 1, vec![]) };
        let twice = vec![Step::Scale { to: [0.0, 255.0] }, Step::Scale { to: [1.0, 0.0] }];
        assert_eq!(run(1, twice, &wide), [1.0, 0.0]);
    }

    #[test]
    fn normalize_takes_one_value_or_one_a_channel() {
        let one = Step::Normalize { mean: vec![1.0], std: vec![2.0] };
        assert_eq!(run(1, vec![one.clone()], &gray(2, 1, vec![5, 9])), [2.0, 4.0]);
        assert_eq!(run(3, vec![one], &gray(1, 1, vec![5])), [2.0, 2.0, 2.0]);
        let each = Step::Normalize { mean: vec![1.0, 2.0, 3.0], std: vec![2.0] };
        assert_eq!(run(3, vec![each], &gray(2, 1, vec![5, 9])), [2.0, 4.0, 1.5, 3.5, 1.0, 3.0]);
    }

    #[test]
    fn standardize_uses_the_population() {
        let out = run(1, vec![Step::Standardize], &gray(2, 2, vec![2, 4, 4, 6]));
        assert_eq!(out, [-2.0 / 2f32.sqrt(), 0.0, 0.0, 2.0 / 2f32.sqrt()]);
        assert_eq!(run(3, vec![Step::Standardize], &gray(2, 1, vec![7, 7])), [0.0; 6]);
    }

    #[test]
    fn colour_becomes_pillows_luma_and_planes() {
        let primaries = vec![255, 0, 0, 0, 255, 0, 0, 0, 255];
        let rgb = Picture { pixels: Pixels::Rgb(primaries), ..gray(3, 1, vec![]) };
        assert_eq!(run(1, vec![], &rgb), [76.0, 150.0, 29.0]);
        assert_eq!(run(3, vec![], &rgb), [255.0, 0.0, 0.0, 0.0, 255.0, 0.0, 0.0, 0.0, 255.0]);
    }

    #[test]
    fn crops_begin_where_torchvisions_do() {
        for (length, side, offset) in [(5, 4, 0), (6, 4, 1), (7, 4, 2), (9, 4, 2), (4, 4, 0), (3, 6, -1), (3, 4, 0)] {
            assert_eq!(centre_offset(length, side), offset, "{side} of {length}");
        }
        let crop = |size| vec![Step::CenterCrop { size }];
        let row = gray(5, 1, vec![1, 2, 3, 4, 5]);
        assert_eq!(run(1, crop(Some(4)), &row)[4..8], [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(run(1, crop(Some(1)), &row), [3.0]);
        let padded = run(1, crop(Some(3)), &gray(2, 1, vec![8, 9]));
        assert_eq!(padded, [0.0, 0.0, 0.0, 8.0, 9.0, 0.0, 0.0, 0.0, 0.0]);
        // torchxrayvision: 7 // 2 - 2 // 2 = 2.
        let wide = gray(7, 2, (0..14).collect());
        assert_eq!(run(1, crop(None), &wide), [2.0, 3.0, 9.0, 10.0]);
    }

    #[test]
    fn resizing_after_a_scale_is_in_floats() {
        let resize = Step::Resize { size: 1, mode: Mode::Squash, filter: Filter::Bilinear };
        let picture = gray(2, 1, vec![0, 1]);
        assert_eq!(run(1, vec![resize.clone()], &picture), [1.0]);
        assert_eq!(run(1, vec![Step::Scale { to: [0.0, 255.0] }, resize], &picture), [0.5]);
    }

    #[test]
    fn a_sliver_is_not_blown_up() {
        let steps = vec![Step::Resize { size: 8192, mode: Mode::Shorter, filter: Filter::Bilinear }];
        let error = apply(&Input { channels: 1, steps }, &gray(1, 60_000, vec![0; 60_000])).unwrap_err();
        assert!(error.to_string().contains("1 x 60000"), "{error}");
    }
}
