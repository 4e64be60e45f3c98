//! From a decoded picture to what is put on the screen: zoom, window and level, and a map over it.

use crate::cards::model::Filter;
use crate::explain::colours;
use crate::explain::map::Placed;
use crate::imaging::picture::{Picture, Pixels};
use crate::imaging::resize::{Region, resample};
use crate::tui::image::Raster;

/// Shares of the gray range that are spread over the screen's.
const WINDOWS: [f32; 4] = [1.0, 0.75, 0.5, 0.3];

/// Middles of that window, as shares of the gray range.
const LEVELS: [f32; 5] = [0.5, 0.35, 0.2, 0.65, 0.8];

/// How much of a map's colour hides the picture where the map is highest.
const OPACITIES: [f32; 4] = [0.5, 0.75, 1.0, 0.25];

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
        let highest = placed.map_or(0.0, |p| p.map.highest());
        for y in 0..down {
            for x in 0..across {
                let mut rgb = pixels[y * across + x];
                if let Some(placed) = placed.filter(|_| highest > 0.0) {
                    let at =
                        |start: f32, end: f32, i: usize, n: usize| start + (end - start) * (i as f32 + 0.5) / n as f32;
                    if let Some(value) = placed.at(at(x0, x1, x, across), at(y0, y1, y, down)) {
                        // What speaks against the label is not shown.
                        rgb = self.blend(rgb, value.max(0.0) / highest);
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
        let colour = if self.turbo { colours::turbo(value) } else { colours::viridis(value) };
        colours::blend(rgb, colour, OPACITIES[self.opacity % OPACITIES.len()] * value.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::map::Map;

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
        assert_eq!(shown.rgb[45..48], colours::viridis(1.0));
        let off = View { map: false, ..view }.compose(&picture(), Some(placed), (4, 4));
        assert_eq!(off.rgb[45..48], [240; 3]);
        let side = View { side: true, ..view }.compose(&picture(), Some(placed), (8, 4));
        assert_eq!(
            (side.rgb[9..12].to_vec(), side.rgb[3 * 31..3 * 32].to_vec()),
            (vec![48; 3], colours::viridis(1.0).to_vec())
        );
    }
}
