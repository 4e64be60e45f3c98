//! A map over an image, and how it lies over the picture that the image was made from.

use crate::imaging::resize::Region;

/// How much each place speaks for a label.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row. What speaks for the label is above 0; what speaks against it is below, or 0 where a method cuts it off.
    pub values: Vec<f32>,
}

impl Map {
    /// The highest value, at least 0. Where it is 0 nothing speaks for the label.
    pub fn highest(&self) -> f32 {
        self.values.iter().copied().fold(0.0, f32::max)
    }

    /// The map at a place, `x` and `y` from 0 (left, top) to 1: straight lines between the middles of the cells, as
    /// OpenCV's `resize` and pytorch-grad-cam draw them. Outside of the map its edge goes on.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let along = |share: f32, cells: usize| {
            let at = (share * cells as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
            let cell = (at as usize).min(cells.saturating_sub(2));
            (cell, (cell + 1).min(cells - 1), at - cell as f32)
        };
        let (x0, x1, sx) = along(x, self.width);
        let (y0, y1, sy) = along(y, self.height);
        let value = |x: usize, y: usize| self.values[y * self.width + x];
        let row = |y: usize| value(x0, y) * (1.0 - sx) + value(x1, y) * sx;
        row(y0) * (1.0 - sy) + row(y1) * sy
    }

    /// The map at the middles of `width` x `height` pixels.
    pub fn resized(&self, width: usize, height: usize) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let middle = |i: usize, n: usize| (i as f32 + 0.5) / n as f32;
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let values = places.map(|(x, y)| self.at(middle(x, width), middle(y, height))).collect();
        Self { width, height, values }
    }
}

/// A map and the part of a picture that it is of.
#[derive(Clone, Copy)]
pub struct Placed<'a> {
    /// The map.
    pub map: &'a Map,
    /// In pixels of the picture.
    pub region: Region,
}

impl Placed<'_> {
    /// The map at a place of the picture, in pixels; `None` where the network did not look.
    pub fn at(&self, x: f32, y: f32) -> Option<f32> {
        let Region { left, top, right, bottom } = self.region;
        let inside = x >= left && x < right && y >= top && y < bottom;
        inside.then(|| self.map.at((x - left) / (right - left), (y - top) / (bottom - top)))
    }

    /// The map over the pixels of a picture of `width` x `height`, 0 where the network did not look.
    pub fn over(&self, width: usize, height: usize) -> Map {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x as f32 + 0.5, y as f32 + 0.5)));
        Map { width, height, values: places.map(|(x, y)| self.at(x, y).unwrap_or(0.0)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn middles_keep_their_values_and_edges_go_on() {
        let map = Map { width: 2, height: 1, values: vec![0.0, 4.0] };
        assert_eq!(map.resized(4, 1).values, [0.0, 1.0, 3.0, 4.0]);
        assert_eq!(Map { width: 1, height: 1, values: vec![3.0] }.resized(3, 2).values, [3.0; 6]);
    }

    #[test]
    fn nothing_is_where_the_network_did_not_look() {
        let map = Map { width: 1, height: 1, values: vec![2.0] };
        let region = Region { left: 1.0, top: 0.0, right: 3.0, bottom: 2.0 };
        assert_eq!(Placed { map: &map, region }.over(4, 2).values, [0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0]);
    }

    proptest! {
        #[test]
        fn resizing_stays_within_the_values(
            values in prop::collection::vec(-5f32..5.0, 12), width in 1usize..20, height in 1usize..20,
        ) {
            let map = Map { width: 4, height: 3, values };
            let (low, high) = map.values.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            let resized = map.resized(width, height);
            prop_assert_eq!(resized.values.len(), width * height);
            prop_assert!(resized.values.iter().all(|v| (low - 1e-5..=high + 1e-5).contains(v)));
        }
    }
}
