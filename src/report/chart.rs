//! Charts: two axes with curves, bars by label with intervals, and shares of a whole.

use std::f64::consts::PI;

use plotters::style::RGBColor;

use super::surface::{Anchor, COLOURS, FAINT, Figure, INK, Point, Surface};
use crate::error::Result;

const TITLE: u32 = 34;
const WORDS: u32 = 30;
/// Thickness of a curve.
const THICK: u32 = 4;

/// An axis from its low to its high end.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What is measured.
    pub title: String,
    /// The low end.
    pub low: f64,
    /// The high end, above the low one.
    pub high: f64,
}

impl Axis {
    /// From 0 to 1.
    pub fn unit(title: &str) -> Self {
        Self { title: title.into(), low: 0.0, high: 1.0 }
    }

    /// About five round numbers, and their decimals.
    fn ticks(&self) -> (Vec<f64>, usize) {
        let rough = (self.high - self.low) / 5.0;
        let mut power = 1.0;
        let mut digits = 0;
        while power > rough && digits < 12 {
            power /= 10.0;
            digits += 1;
        }
        while power * 10.0 <= rough {
            power *= 10.0;
        }
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= rough * 0.999).unwrap_or(rough);
        digits += usize::from((step / power - 2.5).abs() < 0.01);
        digits -= usize::from(digits > 0 && step / power > 9.99);
        let first = (self.low / step - 1e-9).ceil();
        let count = ((self.high / step + 1e-9).floor() - first) as i64;
        ((0..=count.clamp(0, 20)).map(|i| (first + i as f64) * step).collect(), digits)
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// What is drawn between the axes.
#[derive(Debug, Clone)]
pub enum Layer {
    /// A curve.
    Line(Vec<Point>, RGBColor),
    /// A straight dashed line.
    Dashed([Point; 2]),
    /// A marked point.
    Mark(Point, RGBColor),
    /// A point with a vertical interval.
    Bar(Point, (f64, f64), RGBColor),
    /// A column between two abscissas, up to a height.
    Column(f64, f64, f64),
}

/// How a legend's entry is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// As a curve.
    Line,
    /// As a dashed line.
    Dashed,
    /// As a point.
    Mark,
}

/// Two axes with curves.
#[derive(Debug, Clone)]
pub struct Chart {
    /// The title.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// From back to front.
    pub layers: Vec<Layer>,
    /// Entries above the axes.
    pub legend: Vec<(Sign, RGBColor, String)>,
}

const SIZE: (u32, u32) = (800, 740);
/// The box between the axes: left, top, right, bottom.
const BOX: [f64; 4] = [118.0, 160.0, 772.0, 632.0];

impl Chart {
    fn at(&self, (x, y): Point) -> Point {
        let [left, top, right, bottom] = BOX;
        // Points beyond an axis lie on its end.
        let along = |share: f64| share.clamp(0.0, 1.0);
        (left + along(self.x.share(x)) * (right - left), bottom - along(self.y.share(y)) * (bottom - top))
    }

    fn axes(&self, surface: &mut dyn Surface) -> Result<()> {
        let [left, top, right, bottom] = BOX;
        let (ticks, digits) = self.x.ticks();
        for tick in ticks {
            let (x, _) = self.at((tick, self.y.low));
            surface.line(&[(x, top), (x, bottom)], FAINT, 1)?;
            surface.text((x, bottom + 28.0), &format!("{tick:.digits$}"), WORDS, Anchor::Middle)?;
        }
        let (ticks, digits) = self.y.ticks();
        for tick in ticks {
            let (_, y) = self.at((self.x.low, tick));
            surface.line(&[(left, y), (right, y)], FAINT, 1)?;
            surface.text((left - 12.0, y), &format!("{tick:.digits$}"), WORDS, Anchor::End)?;
        }
        surface.line(&[(left, top), (left, bottom), (right, bottom)], INK, 2)?;
        surface.text(((left + right) / 2.0, bottom + 76.0), &self.x.title, WORDS, Anchor::Middle)?;
        surface.text((24.0, (top + bottom) / 2.0), &self.y.title, WORDS, Anchor::Upwards)
    }

    fn key(&self, surface: &mut dyn Surface) -> Result<()> {
        let (mut x, mut y) = (30.0, 78.0);
        for (sign, colour, text) in &self.legend {
            let width = 74.0 + width(text, WORDS);
            if x > 30.0 && x + width > f64::from(SIZE.0) {
                (x, y) = (30.0, y + 40.0);
            }
            match sign {
                Sign::Line => surface.line(&[(x, y), (x + 36.0, y)], *colour, THICK + 1)?,
                Sign::Dashed => dashed(surface, (x, y), (x + 36.0, y))?,
                Sign::Mark => surface.disc((x + 18.0, y), 8, *colour)?,
            }
            surface.text((x + 46.0, y), text, WORDS, Anchor::Start)?;
            x += width;
        }
        Ok(())
    }
}

impl Figure for Chart {
    fn size(&self) -> (u32, u32) {
        SIZE
    }

    fn draw(&self, surface: &mut dyn Surface) -> Result<()> {
        surface.text((30.0, 32.0), &fitted(&self.title, TITLE, 745.0), TITLE, Anchor::Start)?;
        self.key(surface)?;
        self.axes(surface)?;
        for layer in &self.layers {
            match layer {
                Layer::Line(points, colour) => {
                    let drawn = thinned(points.iter().map(|p| self.at(*p)));
                    surface.line(&drawn, *colour, THICK)?;
                }
                Layer::Dashed([from, to]) => dashed(surface, self.at(*from), self.at(*to))?,
                Layer::Mark(point, colour) => surface.disc(self.at(*point), 10, *colour)?,
                Layer::Bar(point, (low, high), colour) => {
                    let ends = [self.at((point.0, *low)), self.at((point.0, *high))];
                    surface.line(&ends, *colour, 3)?;
                    surface.disc(self.at(*point), 7, *colour)?;
                }
                Layer::Column(from, to, height) => {
                    surface.rectangle([self.at((*from, *height)), self.at((*to, self.y.low))], COLOURS[7], 0.35)?;
                }
            }
        }
        Ok(())
    }
}

/// A row of [`Rows`].
#[derive(Debug, Clone)]
pub struct Row {
    /// The label.
    pub name: String,
    /// What stands at the right end.
    pub words: String,
    /// A bar's length or a point's place; `None` where there is none.
    pub value: Option<f64>,
    /// The interval of a point.
    pub interval: Option<(f64, f64)>,
}

/// A row a label: bars from the low end, or points with intervals.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The title.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// Whether values are bars.
    pub bars: bool,
    /// A dashed line at this value.
    pub reference: Option<f64>,
}

const ROW: f64 = 46.0;
const ROWS_TOP: f64 = 84.0;

impl Figure for Rows {
    fn size(&self) -> (u32, u32) {
        (1200, (ROWS_TOP + ROW * self.rows.len() as f64 + 100.0) as u32)
    }

    fn draw(&self, surface: &mut dyn Surface) -> Result<()> {
        let widest = |of: fn(&Row) -> &str| self.rows.iter().map(|r| width(of(r), WORDS)).fold(0.0, f64::max);
        let left = 50.0 + widest(|r| &r.name).min(380.0);
        let right = 1170.0 - widest(|r| &r.words);
        let bottom = ROWS_TOP + ROW * self.rows.len() as f64;
        let at = |value: f64| left + self.x.share(value).clamp(0.0, 1.0) * (right - left);
        surface.text((30.0, 32.0), &fitted(&self.title, TITLE, 1140.0), TITLE, Anchor::Start)?;
        let (ticks, digits) = self.x.ticks();
        for tick in ticks {
            surface.line(&[(at(tick), ROWS_TOP), (at(tick), bottom)], FAINT, 1)?;
            surface.text((at(tick), bottom + 28.0), &format!("{tick:.digits$}"), WORDS, Anchor::Middle)?;
        }
        surface.line(&[(left, bottom), (right, bottom)], INK, 2)?;
        surface.text(((left + right) / 2.0, bottom + 68.0), &self.x.title, WORDS, Anchor::Middle)?;
        if let Some(reference) = self.reference {
            dashed(surface, (at(reference), ROWS_TOP), (at(reference), bottom))?;
        }
        for (i, row) in self.rows.iter().enumerate() {
            let y = ROWS_TOP + ROW * (i as f64 + 0.5);
            surface.text((left - 16.0, y), &fitted(&row.name, WORDS, 380.0), WORDS, Anchor::End)?;
            surface.text((right + 20.0, y), &row.words, WORDS, Anchor::Start)?;
            let Some(value) = row.value else { continue };
            if self.bars {
                surface.rectangle([(left, y - 14.0), (at(value), y + 14.0)], COLOURS[0], 1.0)?;
                continue;
            }
            if let Some((low, high)) = row.interval {
                surface.line(&[(at(low), y), (at(high), y)], COLOURS[0], THICK)?;
            }
            surface.disc((at(value), y), 9, COLOURS[0])?;
        }
        Ok(())
    }
}

/// Shares of a whole.
#[derive(Debug, Clone)]
pub struct Pie {
    /// The title.
    pub title: String,
    /// Name and size of each part.
    pub parts: Vec<(String, f64)>,
}

impl Figure for Pie {
    fn size(&self) -> (u32, u32) {
        (1200, 560.max(120 + 40 * self.parts.len() as u32))
    }

    fn draw(&self, surface: &mut dyn Surface) -> Result<()> {
        surface.text((30.0, 32.0), &fitted(&self.title, TITLE, 1140.0), TITLE, Anchor::Start)?;
        let whole: f64 = self.parts.iter().map(|p| p.1).sum();
        let (centre, radius) = ((300.0, f64::from(self.size().1) / 2.0 + 24.0), 220.0);
        let mut from = 0.0;
        for (i, (name, size)) in self.parts.iter().enumerate() {
            let share = size / whole;
            // Beyond the last colour they come again, paler.
            let (colour, opacity) = (COLOURS[i % COLOURS.len()], if i < COLOURS.len() { 1.0 } else { 0.5 });
            let steps = (share * 180.0).ceil().max(1.0) as usize;
            let arc = (0..=steps).map(|s| {
                let angle = 2.0 * PI * (from + share * s as f64 / steps as f64);
                (centre.0 + radius * libm::sin(angle), centre.1 - radius * libm::cos(angle))
            });
            let wedge: Vec<Point> = std::iter::once(centre).chain(arc).collect();
            surface.polygon(&wedge, colour, opacity)?;
            from += share;
            let y = 84.0 + 40.0 * (i as f64 + 0.5);
            surface.rectangle([(600.0, y - 12.0), (624.0, y + 12.0)], colour, opacity)?;
            let words = format!("{}  {size}  ({:.1}%)", fitted(name, WORDS, 360.0), 100.0 * share);
            surface.text((640.0, y), &words, WORDS, Anchor::Start)?;
        }
        Ok(())
    }
}

fn dashed(surface: &mut dyn Surface, from: Point, to: Point) -> Result<()> {
    const DASH: f64 = 12.0;
    let length = libm::hypot(to.0 - from.0, to.1 - from.1);
    let along = |d: f64| {
        let share = (d / length).min(1.0);
        (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1))
    };
    let mut start = 0.0;
    while start < length {
        surface.line(&[along(start), along(start + DASH)], COLOURS[7], 2)?;
        start += 2.0 * DASH;
    }
    Ok(())
}

/// The points of a curve that can be told apart in the drawing.
fn thinned(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    let mut last = None;
    for point in points {
        last = Some(point);
        if kept.last().is_none_or(|k| (k.0 - point.0).abs() + (k.1 - point.1).abs() >= 2.0) {
            kept.push(point);
        }
    }
    if let Some(last) = last.filter(|last| kept.last() != Some(last)) {
        kept.push(last);
    }
    kept
}

/// About how wide a text is, pixels; never too narrow for common letters.
fn width(text: &str, size: u32) -> f64 {
    0.56 * f64::from(size) * text.chars().count() as f64
}

/// The text, cut where it would be wider than `room`.
fn fitted(text: &str, size: u32, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let count = (room / width("x", size)) as usize;
    text.chars().take(count.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::surface::{png, svg};

    #[test]
    fn ticks_are_round() {
        let ticks = |low, high| Axis { title: String::new(), low, high }.ticks();
        assert_eq!(ticks(0.0, 1.0), (vec![0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0], 1));
        assert_eq!(ticks(0.0, 1234.0).0, [0.0, 250.0, 500.0, 750.0, 1000.0]);
        assert_eq!(ticks(-0.05, 0.24).1, 1);
        assert_eq!(ticks(0.0, 3.0), (vec![0.0, 1.0, 2.0, 3.0], 0));
        assert!(ticks(0.0, 1e-9).0.len() <= 21);
    }

    #[test]
    fn long_curves_become_short_and_keep_their_ends() {
        let kept = thinned((0..100_000).map(|i| (f64::from(i) / 200.0, 0.0)));
        assert!(kept.len() <= 251);
        assert_eq!((kept[0].0, kept.last().unwrap().0), (0.0, 499.995));
    }

    #[test]
    fn labels_that_others_wrote_stay_text() {
        let pie = Pie {
            title: "<script>alert(1)</script>\u{0}&".into(),
            parts: vec![("\"<b>\n".into(), 1.0), ("x".repeat(200), 2.0)],
        };
        let text = svg(&pie).unwrap();
        assert!(!text.contains("<script") && !text.contains("<b>") && text.contains("&lt;script&gt;"));
        assert_eq!(text, svg(&pie).unwrap());
        assert!(png(&pie).unwrap().starts_with(b"\x89PNG"));
    }
}
