//! Pixels to draw on, with text.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// A picture of red, green and blue, black at first.
#[derive(Debug, Clone, PartialEq)]
pub struct Canvas {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Three bytes a pixel, row by row.
    pub rgb: Vec<u8>,
}

/// Sizes of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 16 pixels a line.
    Small,
    /// 32 pixels a line.
    Large,
}

impl Size {
    /// Rows of a line of text.
    pub fn line(self) -> usize {
        self.raster() as usize
    }

    /// Columns of a letter.
    pub fn letter(self) -> usize {
        get_raster_width(FontWeight::Regular, self.raster())
    }

    fn raster(self) -> RasterHeight {
        match self {
            Self::Small => RasterHeight::Size16,
            Self::Large => RasterHeight::Size32,
        }
    }
}

impl Canvas {
    /// A black canvas.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![0; 3 * width * height] }
    }

    /// Sets a pixel; one that is not on the canvas is left out.
    pub fn set(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        if x < self.width && y < self.height {
            self.rgb[3 * (y * self.width + x)..][..3].copy_from_slice(&rgb);
        }
    }

    /// Writes white text with its upper left corner at (`x`, `y`), cut off at the edge of the canvas. A letter that the
    /// font lacks is a question mark.
    pub fn text(&mut self, x: usize, y: usize, size: Size, text: &str) {
        let glyph = |c: char| get_raster(c, FontWeight::Regular, size.raster());
        for (i, c) in text.chars().enumerate() {
            let Some(glyph) = glyph(c).or_else(|| glyph('?')) else { continue };
            for (row, line) in glyph.rows().enumerate() {
                for (column, level) in line.iter().enumerate().filter(|(_, level)| **level > 0) {
                    self.set(x + i * size.letter() + column, y + row, [*level; 3]);
                }
            }
        }
    }

    /// The canvas made smaller, where it is larger than `size` (width, height), keeping its shape: means over the pixels
    /// that one of the result covers.
    pub fn within(&self, size: (usize, usize)) -> Self {
        let scale = (size.0 as f64 / self.width as f64).min(size.1 as f64 / self.height as f64).min(1.0);
        let side = |n: usize| ((n as f64 * scale) as usize).clamp(1, n.max(1));
        let mut small = Self::new(side(self.width), side(self.height));
        let part = |i: usize, n: usize, from: usize| i * from / n..((i + 1) * from / n);
        let (width, height) = (small.width, small.height);
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
            let (rows, columns) = (part(row, height, self.height), part(column, width, self.width));
            let count = (rows.len() * columns.len()).max(1) as u32;
            let mut sums = [0u32; 3];
            for at in rows.flat_map(|r| columns.clone().map(move |c| 3 * (r * self.width + c))) {
                (0..3).for_each(|i| sums[i] += u32::from(self.rgb[at + i]));
            }
            small.set(column, row, sums.map(|sum| ((sum + count / 2) / count) as u8));
        }
        small
    }

    /// Puts `other` down with its upper left corner at (`x`, `y`), cut off at the edge of the canvas.
    pub fn put(&mut self, other: &Self, (x, y): (usize, usize)) {
        for (i, pixel) in other.rgb.as_chunks::<3>().0.iter().enumerate() {
            self.set(x + i % other.width, y + i / other.width, *pixel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_and_cut_off() {
        let mut canvas = Canvas::new(40, 20);
        canvas.text(0, 2, Size::Small, "|é中 and more than fits");
        assert!(canvas.rgb.iter().any(|v| *v > 200));
        let mut empty = Canvas::new(40, 20);
        empty.text(100, 100, Size::Large, "x");
        assert_eq!(empty, Canvas::new(40, 20));
    }

    #[test]
    fn shrinking_takes_means() {
        let picture = Canvas { width: 4, height: 2, rgb: (0..8u8).flat_map(|i| [i * 10; 3]).collect() };
        let mut canvas = Canvas::new(3, 2);
        canvas.put(&picture.within((2, 2)), (1, 1));
        assert_eq!(picture.within((9, 9)), picture);
        assert_eq!(canvas.rgb[9..], [0, 0, 0, 25, 25, 25, 45, 45, 45]);
    }
}
