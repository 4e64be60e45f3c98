//! From a decoded picture to what is put on the screen: zoom, window and level, and a map over it.

use crate::cards::model::Filter;
use crate::explain::gradcam::Map;
use crate::imaging::decode::{Picture, Pixels};
use crate::imaging::resize::{Region, resample};
use crate::tui::image::Raster;

/// Shares of the gray range that are spread over the screen's.
const WINDOWS: [f32; 4] = [1.0, 0.75, 0.5, 0.3];

/// Middles of that window, as shares of the gray range.
const LEVELS: [f32; 5] = [0.5, 0.35, 0.2, 0.65, 0.8];

/// How much of a map's colour hides the picture where the map is highest.
const OPACITIES: [f32; 4] = [0.5, 0.75, 1.0, 0.25];

/// Colours at even steps from low to high.
const VIRIDIS: [[u8; 3]; 10] = [
    [68, 1, 84],
    [72, 40, 120],
    [62, 74, 137],
    [49, 104, 142],
    [38, 130, 142],
    [31, 158, 137],
    [53, 183, 121],
    [109, 205, 89],
    [180, 222, 44],
    [253, 231, 37],
];
const TURBO: [[u8; 3]; 9] = [
    [48, 18, 59],
    [70, 107, 227],
    [40, 187, 236],
    [49, 242, 153],
    [162, 252, 60],
    [237, 208, 58],
    [251, 128, 34],
    [210, 49, 5],
    [122, 4, 3],
];

/// How a picture is looked at. The numbers choose among the steps that the keys go through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct View {
    /// Doublings.
    pub zoom: u32,
    /// Eighths of the shown part that its middle is moved right and down.
    pub pan: (i32, i32),
    /// Of the window.
    pub window: usize,
    /// Of the level.
    pub level: usize,
    /// Whether a map lies over it.
    pub map: bool,
    /// Of the map.
    pub opacity: usize,
    /// Of the map.
    pub turbo: bool,
    /// Picture and map beside each other.
    pub side: bool,
}

/// A map and the part of the picture that it is of.
#[derive(Clone, Copy)]
pub struct Placed<'a> {
    /// The map.
    pub map: &'a Map,
    /// In pixels of the picture.
    pub region: Region,
}

impl View {
    /// The picture as it is looked at, `size` (width, height) pixels large, black around it.
    pub fn compose(&self, picture: &Picture, placed: Option<Placed>, size: (usize, usize)) -> Raster {
        let mut raster = Raster { width: size.0, height: size.1, rgb: vec![0; 3 * size.0 * size.1] };
        let placed = placed.filter(|_| self.map);
        if self.side && placed.is_some() {
            let half = size.0 / 2;
            self.pane(picture, None, 0, half, &mut raster);
            self.pane(picture, placed, half, size.0 - half, &mut raster);
        } else {
            self.pane(picture, placed, 0, size.0, &mut raster);
        }
        raster
    }

    /// Draws into the columns from `left` on.
    fn pane(&self, picture: &Picture, placed: Option<Placed>, left: usize, width: usize, raster: &mut Raster) {
        let (w, h) = (picture.width as f32, picture.height as f32);
        let scale = (width as f32 / w).min(raster.height as f32 / h) * 2f32.powi(self.zoom as i32);
        let (across, down) = ((w * scale).min(width as f32).floor(), (h * scale).min(raster.height as f32).floor());
        if across < 1.0 || down < 1.0 {
            return;
        }
        let along = |length: f32, shown: f32, pan: i32| {
            let part = (shown / scale).min(length);
            let start = ((length - part) / 2.0 + part * pan as f32 / 8.0).clamp(0.0, length - part);
            (start, start + part)
        };
        let (x0, x1) = along(w, across, self.pan.0);
        let (y0, y1) = along(h, down, self.pan.1);
        let region = Region { left: x0, top: y0, right: x1, bottom: y1 };
        let (across, down) = (across as usize, down as usize);
        let pixels = self.pixels(picture, region, (across, down));
        let (dx, dy) = (left + (width - across) / 2, (raster.height - down) / 2);
        let highest = placed.map_or(0.0, |p| p.map.values.iter().copied().fold(0.0, f32::max));
        for y in 0..down {
            for x in 0..across {
                let mut rgb = pixels[y * across + x];
                if let Some(placed) = placed.filter(|_| highest > 0.0) {
                    let at =
                        |start: f32, end: f32, i: usize, n: usize| start + (end - start) * (i as f32 + 0.5) / n as f32;
                    if let Some(value) = placed.at(at(x0, x1, x, across), at(y0, y1, y, down)) {
                        rgb = self.blend(rgb, value / highest);
                    }
                }
                let place = 3 * ((dy + y) * raster.width + dx + x);
                raster.rgb[place..place + 3].copy_from_slice(&rgb);
            }
        }
    }

    fn pixels(&self, picture: &Picture, region: Region, to: (usize, usize)) -> Vec<[u8; 3]> {
        let size = (picture.width, picture.height);
        let (window, level) = (WINDOWS[self.window % WINDOWS.len()], LEVELS[self.level % LEVELS.len()]);
        let [low, high] = picture.range;
        let shade = |v: f32| {
            let share = (v - low) / (high - low).max(f32::MIN_POSITIVE);
            (255.0 * ((share - level) / window + 0.5)).round().clamp(0.0, 255.0) as u8
        };
        match &picture.pixels {
            Pixels::Gray(gray) => {
                let gray = resample::<u8, 1>(gray, size, region, to, Filter::Bilinear);
                gray.into_iter().map(|v| [shade(f32::from(v)); 3]).collect()
            }
            Pixels::Float(gray) => {
                let gray = resample::<f32, 1>(gray, size, region, to, Filter::Bilinear);
                gray.into_iter().map(|v| [shade(v); 3]).collect()
            }
            Pixels::Rgb(rgb) => {
                let rgb = resample::<u8, 3>(rgb, size, region, to, Filter::Bilinear);
                rgb.chunks_exact(3).map(|c| [c[0], c[1], c[2]].map(|v| shade(f32::from(v)))).collect()
            }
        }
    }

    /// `rgb` under the map's colour of `value`, 0 to 1; the map is clearer where it is lower.
    fn blend(&self, rgb: [u8; 3], value: f32) -> [u8; 3] {
        let colour = if self.turbo { between(&TURBO, value) } else { between(&VIRIDIS, value) };
        let share = OPACITIES[self.opacity % OPACITIES.len()] * value.sqrt();
        std::array::from_fn(|i| (f32::from(rgb[i]) * (1.0 - share) + f32::from(colour[i]) * share).round() as u8)
    }
}

fn between(colours: &[[u8; 3]], value: f32) -> [u8; 3] {
    let at = value.clamp(0.0, 1.0) * (colours.len() - 1) as f32;
    let (i, share) = ((at as usize).min(colours.len() - 2), at - (at as usize).min(colours.len() - 2) as f32);
    std::array::from_fn(|c| {
        (f32::from(colours[i][c]) * (1.0 - share) + f32::from(colours[i + 1][c]) * share).round() as u8
    })
}

impl Placed<'_> {
    /// The map at a place of the picture, straight lines between the middles of its cells; `None` where the network did
    /// not look.
    fn at(&self, x: f32, y: f32) -> Option<f32> {
        let Region { left, top, right, bottom } = self.region;
        if x < left || x >= right || y < top || y >= bottom {
            return None;
        }
        let along = |v: f32, low: f32, high: f32, cells: usize| {
            let at = ((v - low) / (high - low) * cells as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
            let cell = (at as usize).min(cells.saturating_sub(2));
            (cell, (cell + 1).min(cells - 1), at - cell as f32)
        };
        let (x0, x1, sx) = along(x, left, right, self.map.width);
        let (y0, y1, sy) = along(y, top, bottom, self.map.height);
        let value = |x: usize, y: usize| self.map.values[y * self.map.width + x];
        let row = |y: usize| value(x0, y) * (1.0 - sx) + value(x1, y) * sx;
        Some(row(y0) * (1.0 - sy) + row(y1) * sy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let pixels = Pixels::Gray((0..16u8).map(|i| i * 16).collect());
        Picture { width: 4, height: 4, pixels, range: [0.0, 255.0] }
    }

    #[test]
    fn fitted_windowed_and_zoomed() {
        let plain = View::default().compose(&picture(), None, (8, 4));
        assert_eq!(plain.rgb[..6], [0; 6]);
        assert_eq!(plain.rgb[6..15], [0, 0, 0, 16, 16, 16, 32, 32, 32]);
        let narrow = View { window: 2, ..View::default() }.compose(&picture(), None, (4, 4));
        assert_eq!((narrow.rgb[0], narrow.rgb[3 * 8], narrow.rgb[3 * 15]), (0, 129, 255));
        let close = View { zoom: 1, pan: (-8, -8), ..View::default() }.compose(&picture(), None, (4, 4));
        // Row and column 1.25 of a picture whose values rise by 16 a column and 64 a row.
        assert!((99..=101).contains(&close.rgb[3 * 15]), "{}", close.rgb[3 * 15]);
    }

    #[test]
    fn a_map_colours_what_the_network_saw() {
        let map = Map { width: 2, height: 2, values: vec![0.0, 0.0, 0.0, 2.0] };
        let placed = Placed { map: &map, region: Region { left: 0.0, top: 0.0, right: 4.0, bottom: 4.0 } };
        let view = View { map: true, opacity: 2, ..View::default() };
        let shown = view.compose(&picture(), Some(placed), (4, 4));
        assert_eq!(shown.rgb[..3], [0; 3]);
        assert_eq!(shown.rgb[45..48], VIRIDIS[9]);
        let off = View { map: false, ..view }.compose(&picture(), Some(placed), (4, 4));
        assert_eq!(off.rgb[45..48], [240; 3]);
        let side = View { side: true, ..view }.compose(&picture(), Some(placed), (8, 4));
        assert_eq!((side.rgb[9..12].to_vec(), side.rgb[3 * 31..3 * 32].to_vec()), (vec![48; 3], VIRIDIS[9].to_vec()));
    }
}
