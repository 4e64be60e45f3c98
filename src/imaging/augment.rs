//! Pictures varied for training: turned, shifted, scaled, cropped and mirrored in one bilinear resampling, then made
//! brighter and harder.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rng::Rng;

/// How far pictures are varied; every number is drawn evenly from its range. What is left out is not done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Probability of mirroring left and right.
    pub flip: f64,
    /// Largest angle of turning about the middle, degrees.
    pub rotate: f64,
    /// Largest shift in each direction, as a share of the side.
    pub translate: f64,
    /// Least and greatest scale about the middle.
    pub scale: [f64; 2],
    /// Least and greatest share of the picture that a crop keeps, anywhere in it, brought back to the full size.
    pub crop: [f64; 2],
    /// The brightness is multiplied by 1 - this to 1 + this.
    pub brightness: f64,
    /// The same for the distances to the mean brightness.
    pub contrast: f64,
}

impl Default for Augment {
    fn default() -> Self {
        let same = [1.0, 1.0];
        Self { flip: 0.0, rotate: 0.0, translate: 0.0, scale: same, crop: same, brightness: 0.0, contrast: 0.0 }
    }
}

/// From an output pixel (column, row, middles at whole numbers) to where it comes from.
struct Map {
    x: [f64; 3],
    y: [f64; 3],
}

impl Augment {
    /// Refuses ranges that make no picture.
    pub fn check(&self) -> Result<()> {
        let within = |key: &str, ok: bool, says: &str| match ok {
            true => Ok(()),
            false => Err(Error::new(format!("not {says}")).at(format_args!("`{key}`"))),
        };
        within("flip", (0.0..=1.0).contains(&self.flip), "a probability")?;
        within("rotate", (0.0..=180.0).contains(&self.rotate), "an angle of 0 to 180 degrees")?;
        within("translate", (0.0..=1.0).contains(&self.translate), "a share of 0 to 1")?;
        let [least, most] = self.scale;
        within("scale", least > 0.0 && least <= most && most <= 100.0, "two scales above 0, the lesser first")?;
        let [least, most] = self.crop;
        within("crop", least > 0.0 && least <= most && most <= 1.0, "two shares above 0 to 1, the lesser first")?;
        within("brightness", (0.0..1.0).contains(&self.brightness), "a share of 0 to below 1")?;
        within("contrast", (0.0..1.0).contains(&self.contrast), "a share of 0 to below 1")
    }

    /// Varies the planes of a picture of `size` (columns, rows) whose values lie in `range`, as `rng` draws. What comes
    /// from outside of the picture is the range's low end.
    pub fn apply(&self, planes: &mut [Vec<f32>], size: (usize, usize), range: [f32; 2], rng: &mut Rng) {
        // Every number is drawn, whatever is used, so that one key does not change what another draws.
        let mut draw = |low: f64, high: f64| low + (high - low) * rng.uniform();
        let flip = draw(0.0, 1.0) < self.flip;
        let turn = draw(-self.rotate, self.rotate).to_radians();
        let shift = [draw(-self.translate, self.translate), draw(-self.translate, self.translate)];
        let scale = draw(self.scale[0], self.scale[1]);
        let side = draw(self.crop[0], self.crop[1]).sqrt();
        let corner = [draw(0.0, 1.0), draw(0.0, 1.0)];
        let brightness = draw(1.0 - self.brightness, 1.0 + self.brightness) as f32;
        let contrast = draw(1.0 - self.contrast, 1.0 + self.contrast) as f32;
        let moved = turn != 0.0 || shift != [0.0; 2] || scale != 1.0 || side != 1.0;
        if moved {
            let map = Map::new(size, turn, shift, scale, side, corner);
            planes.iter_mut().for_each(|plane| *plane = map.resample(plane, size, range[0]));
        }
        if flip {
            planes.iter_mut().for_each(|plane| plane.chunks_exact_mut(size.0).for_each(<[f32]>::reverse));
        }
        if self.brightness > 0.0 {
            let brighter = |v: &mut f32| *v = (range[0] + (*v - range[0]) * brightness).clamp(range[0], range[1]);
            planes.iter_mut().flatten().for_each(brighter);
        }
        if self.contrast > 0.0 {
            let count: usize = planes.iter().map(Vec::len).sum();
            let mean = planes.iter().flatten().map(|v| f64::from(*v)).sum::<f64>() / count as f64;
            let mean = mean as f32;
            let harder = |v: &mut f32| *v = (mean + (*v - mean) * contrast).clamp(range[0], range[1]);
            planes.iter_mut().flatten().for_each(harder);
        }
    }
}

impl Map {
    fn new(
        (width, height): (usize, usize),
        turn: f64,
        shift: [f64; 2],
        scale: f64,
        side: f64,
        corner: [f64; 2],
    ) -> Self {
        let (width, height) = (width as f64, height as f64);
        let (cx, cy) = ((width - 1.0) / 2.0, (height - 1.0) / 2.0);
        let (cos, sin) = (libm::cos(turn) / scale, libm::sin(turn) / scale);
        // The crop: pixel p of the result is at corner + (p + 0.5) * side - 0.5.
        let from = |room: f64, at: f64| at * room * (1.0 - side) + (side - 1.0) / 2.0;
        let (left, top) = (from(width, corner[0]), from(height, corner[1]));
        // Then the inverse of turning, scaling and shifting about the middle.
        let (dx, dy) = (left - cx - shift[0] * width, top - cy - shift[1] * height);
        Self {
            x: [cos * side, sin * side, cos * dx + sin * dy + cx],
            y: [-sin * side, cos * side, cos * dy - sin * dx + cy],
        }
    }

    /// The plane seen through the map, bilinear, `outside` around it.
    fn resample(&self, plane: &[f32], (width, height): (usize, usize), outside: f32) -> Vec<f32> {
        let mut result = Vec::with_capacity(plane.len());
        let at = |x: isize, y: isize| match x >= 0 && y >= 0 && (x as usize) < width && (y as usize) < height {
            true => plane[y as usize * width + x as usize],
            false => outside,
        };
        for row in 0..height {
            let [bx, by] = [&self.x, &self.y].map(|m| m[1] * row as f64 + m[2]);
            for column in 0..width {
                let (x, y) = (self.x[0] * column as f64 + bx, self.y[0] * column as f64 + by);
                let (left, top) = (x.floor(), y.floor());
                let (fx, fy) = ((x - left) as f32, (y - top) as f32);
                let (x, y) = (left as isize, top as isize);
                let above = at(x, y) + (at(x + 1, y) - at(x, y)) * fx;
                let below = at(x, y + 1) + (at(x + 1, y + 1) - at(x, y + 1)) * fx;
                result.push(above + (below - above) * fy);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// torchvision 0.30, `functional.affine(x, 20, [1, 0], 1.25, [0.0], InterpolationMode.BILINEAR)`: a shift by one of
    /// five columns.
    #[test]
    fn a_turn_is_pytorchs() {
        let ramp: Vec<f32> = (0..25).map(|v| (v * v % 17) as f32).collect();
        let map = Map::new((5, 5), 20f64.to_radians(), [0.2, 0.0], 1.25, 1.0, [0.0, 0.0]);
        let out = map.resample(&ramp, (5, 5), 0.0);
        let expected = [
            2.01878, 7.88461, 3.08288, 5.10275, 7.15516, 6.70875, 10.99004, 2.2449, 10.18074, 13.84956, 4.44658,
            5.24302, 2.74039, 8.0, 13.87243, 6.91305, 5.48713, 0.76601, 2.73505, 8.77164, 7.46166, 14.85611, 7.53409,
            2.64655, 2.8142,
        ];
        for (i, (o, e)) in out.iter().zip(expected).enumerate() {
            assert!((o - e).abs() < 1e-4, "{i}: {out:?}");
        }
    }

    #[test]
    fn draws_depend_on_the_stream_only_and_ranges_hold() {
        let ramp: Vec<f32> = (0..64).map(|v| v as f32 * 4.0).collect();
        let all = Augment {
            flip: 0.5,
            rotate: 10.0,
            translate: 0.1,
            scale: [0.9, 1.1],
            crop: [0.5, 1.0],
            brightness: 0.3,
            contrast: 0.3,
        };
        let of = |augment: &Augment, stream| {
            let mut planes = vec![ramp.clone()];
            augment.apply(&mut planes, (8, 8), [0.0, 255.0], &mut Rng::new(1, stream));
            planes.remove(0)
        };
        assert_eq!(of(&all, 3), of(&all, 3));
        assert_ne!(of(&all, 3), of(&all, 4));
        assert!((0..50).flat_map(|s| of(&all, s)).all(|v| (0.0..=255.0).contains(&v)));
        assert_eq!(of(&Augment::default(), 5), ramp);
        let mirrored = of(&Augment { flip: 1.0, ..Augment::default() }, 5);
        assert_eq!(mirrored[..8], [28.0, 24.0, 20.0, 16.0, 12.0, 8.0, 4.0, 0.0]);
        assert!(Augment { crop: [0.0, 1.0], ..Augment::default() }.check().is_err());
        assert!(Augment { rotate: f64::NAN, ..Augment::default() }.check().is_err());
        all.check().unwrap();
    }

    #[test]
    fn a_crop_keeps_straight_ramps_straight() {
        let ramp: Vec<f32> = (0..100).map(|i| (i % 10) as f32).collect();
        // The left half of the width: from -0.5 + 0.25 in steps of a half.
        let map = Map::new((10, 10), 0.0, [0.0; 2], 1.0, 0.5, [0.0, 0.5]);
        let out = map.resample(&ramp, (10, 10), 0.0);
        assert_eq!(out[1..5], [0.25, 0.75, 1.25, 1.75]);
        assert_eq!(out[9], 4.25);
    }
}
