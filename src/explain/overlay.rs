//! A map over the picture that it explains, as a picture of its own, and sheets of many.

use super::canvas::{Canvas, Size};
use super::colours;
use super::map::Placed;
use crate::imaging::picture::{Picture, Pixels};

/// What is written below a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// The picture's name.
    pub image: String,
    /// The label that is explained.
    pub label: String,
    /// Its probability.
    pub probability: f64,
    /// The threshold from which on it counts as found.
    pub threshold: f64,
    /// How the map was made.
    pub method: String,
}

/// What is told of a map on which nothing speaks for the label.
pub const EMPTY: &str = "no positive evidence";

/// How much of the picture the highest value hides.
const OPACITY: f32 = 0.5;

/// Columns that a caption needs, in letters.
const LETTERS: usize = 28;

/// Pictures on a row of a contact sheet.
const ACROSS: usize = 5;
/// Pictures on a contact sheet.
pub const ON_SHEET: usize = 20;

/// Columns and rows of a picture on it at most, and what is between two.
const CELL: (usize, usize) = (256, 352);
const GAP: usize = 8;

/// The picture at its own resolution with the map's positive part over it, and below it the caption and the scale of
/// colours, from 0 to the map's highest value in units of the logit.
pub fn overlay(picture: &Picture, placed: Placed, caption: &Caption) -> Canvas {
    let (width, height) = (picture.width, picture.height);
    let size = if width >= 40 * Size::Large.letter() { Size::Large } else { Size::Small };
    let (line, margin) = (size.line(), size.line() / 4);
    let mut canvas = Canvas::new(width.max(LETTERS * size.letter()), height + 5 * line + 2 * margin);
    let highest = placed.map.highest();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let gray = level(picture, y * width + x);
        let value = placed.at(x as f32 + 0.5, y as f32 + 0.5).filter(|_| highest > 0.0).map(|v| v.max(0.0) / highest);
        let mixed = |v: f32| colours::blend(gray, colours::turbo(v), OPACITY * v.sqrt());
        canvas.set(x, y, value.map_or(gray, mixed));
    }
    let Caption { image, label, probability, threshold, method } = caption;
    let sign = if probability >= threshold { ">=" } else { "<" };
    let below = height + margin;
    canvas.text(margin, below, size, label);
    canvas.text(margin, below + line, size, &format!("p {probability:.3} {sign} {threshold:.3}"));
    if highest > 0.0 {
        let (left, right) = (margin + 2 * size.letter(), canvas.width - margin - 8 * size.letter());
        for x in left..right {
            let colour = colours::turbo((x - left) as f32 / (right - left) as f32);
            (0..line / 2).for_each(|y| canvas.set(x, below + 2 * line + line / 4 + y, colour));
        }
        canvas.text(margin, below + 2 * line, size, "0");
        canvas.text(right + size.letter(), below + 2 * line, size, &short(highest));
    } else {
        canvas.text(margin, below + 2 * line, size, EMPTY);
    }
    canvas.text(margin, below + 3 * line, size, method);
    // The end of a long name tells more than its start.
    let fits = (canvas.width - margin) / size.letter();
    let skipped = image.chars().count().saturating_sub(fits);
    canvas.text(margin, below + 4 * line, size, &image.chars().skip(skipped).collect::<String>());
    canvas
}

/// A sheet with thumbnails, in their order, [`ON_SHEET`] at most.
pub fn sheet(thumbnails: &[Canvas]) -> Canvas {
    let most = |of: fn(&Canvas) -> usize| thumbnails.iter().map(of).max().unwrap_or(0);
    let (width, height) = (most(|c| c.width), most(|c| c.height));
    let (columns, rows) = (ACROSS.min(thumbnails.len()), thumbnails.len().min(ON_SHEET).div_ceil(ACROSS));
    let mut sheet = Canvas::new(columns * (width + GAP), rows * (height + GAP));
    for (i, canvas) in thumbnails.iter().take(ON_SHEET).enumerate() {
        sheet.put(canvas, (i % ACROSS * (width + GAP) + GAP / 2, i / ACROSS * (height + GAP) + GAP / 2));
    }
    sheet
}

/// The canvas as small as it is on a sheet.
pub fn thumbnail(canvas: &Canvas) -> Canvas {
    canvas.within(CELL)
}

/// A number in at most seven letters.
fn short(value: f32) -> String {
    if (0.01..1000.0).contains(&value) { format!("{value:.3}") } else { format!("{value:.1e}") }
}

/// The gray or colour of a pixel, over the picture's full range.
fn level(picture: &Picture, at: usize) -> [u8; 3] {
    let [low, high] = picture.range;
    match &picture.pixels {
        Pixels::Gray(gray) => [gray[at]; 3],
        Pixels::Rgb(rgb) => [rgb[3 * at], rgb[3 * at + 1], rgb[3 * at + 2]],
        Pixels::Float(values) => [(255.0 * (values[at] - low) / (high - low)).round().clamp(0.0, 255.0) as u8; 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::map::Map;
    use crate::imaging::resize::Region;

    fn draw(values: Vec<f32>) -> Canvas {
        let picture = Picture { width: 300, height: 2, pixels: Pixels::Gray(vec![100; 600]), range: [0.0, 255.0] };
        let map = Map { width: values.len(), height: 1, values };
        let placed = Placed { map: &map, region: Region::whole(300, 2) };
        let caption = Caption {
            image: "a.png".into(),
            label: "Effusion".into(),
            probability: 0.87,
            threshold: 0.5,
            method: "gradcam relu".into(),
        };
        overlay(&picture, placed, &caption)
    }

    #[test]
    fn colours_only_where_something_speaks_for_the_label() {
        let canvas = draw(vec![-1.0, 2.0]);
        assert_eq!((canvas.width, canvas.height), (300, 2 + 5 * 16 + 8));
        assert_eq!(canvas.rgb[..3], [100; 3]);
        assert_eq!(canvas.rgb[3 * 299..3 * 300], colours::blend([100; 3], colours::turbo(1.0), OPACITY));
        let empty = draw(vec![-1.0, 0.0]);
        assert_eq!(empty.rgb[..6 * 300], [100; 6 * 300]);
        assert_ne!(empty.rgb[6 * 300..], canvas.rgb[6 * 300..]);
    }

    #[test]
    fn a_sheet_holds_twenty() {
        let size = |n: usize| {
            let sheet = sheet(&vec![Canvas::new(10, 10); n]);
            (sheet.width, sheet.height)
        };
        assert_eq!([size(20), size(3), size(23)], [(90, 72), (54, 18), (90, 72)]);
        assert_eq!(short(12.3456), "12.346");
        assert_eq!(short(1e-9), "1.0e-9");
    }
}
