//! Curves in a frame with numbers at its axes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::text::Span;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line};

use crate::tui::theme::Theme;

/// Columns left of the axis, for its numbers.
const GUTTER: u16 = 5;

/// Where a logarithmic axis of counts begins, so that one row is seen.
pub const ONE_ROW: f64 = -0.3;

/// Dots of a cell in Braille.
const ACROSS: u16 = 2;
const DOWN: u16 = 4;

/// Columns that are as long as a row is high.
pub const SQUARE: u16 = 2;

/// What a plot shows.
pub struct Plot<'a> {
    /// Above it.
    pub title: String,
    /// Ends of the x axis.
    pub x: [f64; 2],
    /// Ends of the y axis.
    pub y: [f64; 2],
    /// Whether y values are logarithms to base 10.
    pub decades: bool,
    /// Drawn in this order, the last on top.
    pub marks: Vec<Mark<'a>>,
}

/// Something in a plot.
pub enum Mark<'a> {
    /// A line through points.
    Curve(&'a [(f64, f64)], Color),
    /// The same, standing back.
    Faint(Vec<(f64, f64)>),
    /// One straight line.
    Segment((f64, f64), (f64, f64), Color),
    /// A sign at a point.
    Sign(f64, f64, &'static str, Color),
}

impl<'a> Plot<'a> {
    /// With plain axes.
    pub fn new(title: impl Into<String>, x: [f64; 2], y: [f64; 2], marks: Vec<Mark<'a>>) -> Self {
        Self { title: title.into(), x, y, decades: false, marks }
    }

    /// Draws it and gives the part inside the axes, for the mouse.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer, theme: &Theme) -> Rect {
        if area.width < GUTTER + 8 || area.height < 5 {
            return Rect::ZERO;
        }
        let inner = Rect::new(area.x + GUTTER, area.y + 1, area.width - GUTTER - 1, area.height - 3);
        buffer.set_stringn(area.x + GUTTER, area.y, &self.title, usize::from(area.width - GUTTER), theme.bold());
        self.axes(area, inner, buffer, theme);
        Canvas::default()
            .marker(theme.marker())
            .x_bounds(self.x)
            .y_bounds(self.y)
            .paint(|canvas| {
                for mark in &self.marks {
                    canvas.layer();
                    let mut path = |points: &[(f64, f64)], colour: Color| {
                        for pair in self.seen(points, inner).windows(2) {
                            canvas.draw(&Line::new(pair[0].0, pair[0].1, pair[1].0, pair[1].1, colour));
                        }
                    };
                    match mark {
                        Mark::Curve(points, colour) => path(points, *colour),
                        Mark::Segment(a, b, colour) => path(&[*a, *b], *colour),
                        Mark::Faint(points) => {
                            canvas.marker(theme.faint_marker());
                            for pair in points.windows(2) {
                                canvas.draw(&Line::new(pair[0].0, pair[0].1, pair[1].0, pair[1].1, theme.faint()));
                            }
                            canvas.marker(theme.marker());
                        }
                        Mark::Sign(x, y, sign, colour) => {
                            canvas.print(*x, *y, Span::styled(*sign, theme.bold().fg(*colour)));
                        }
                    }
                }
            })
            .render(inner, buffer);
        inner
    }

    /// The points of a curve without those that fall on the dot of the one before.
    fn seen(&self, points: &[(f64, f64)], inner: Rect) -> Vec<(f64, f64)> {
        let dot = |(x, y): (f64, f64)| {
            let across = (x - self.x[0]) / (self.x[1] - self.x[0]) * f64::from(inner.width * ACROSS);
            let down = (y - self.y[0]) / (self.y[1] - self.y[0]) * f64::from(inner.height * DOWN);
            (across.floor() as i64, down.floor() as i64)
        };
        let mut seen: Vec<(f64, f64)> = Vec::new();
        for (i, &point) in points.iter().enumerate() {
            if i + 1 == points.len() || seen.last().is_none_or(|&last| dot(last) != dot(point)) {
                seen.push(point);
            }
        }
        seen
    }

    fn axes(&self, area: Rect, inner: Rect, buffer: &mut Buffer, theme: &Theme) {
        let (upright, flat) = (theme.sign("│", "|"), theme.sign("─", "-"));
        for y in inner.top()..inner.bottom() {
            buffer.set_string(inner.x - 1, y, upright, theme.dim());
        }
        for x in inner.x - 1..inner.right() {
            buffer.set_string(x, inner.bottom(), if x < inner.x { theme.sign("└", "+") } else { flat }, theme.dim());
        }
        let value = |[low, high]: [f64; 2], k: u16| low + (high - low) * f64::from(k) / 4.0;
        for k in 0..=4u16 {
            let text = tick(value(self.x, k), self.x[1] - self.x[0]);
            // The last one ends below the end of the axis.
            let start = (inner.x + nearest(inner.width - 1, k)).min(area.right().saturating_sub(text.len() as u16));
            buffer.set_string(start, inner.bottom() + 1, text, theme.dim());
            if !self.decades {
                let row = inner.bottom() - 1 - nearest(inner.height - 1, k);
                let text = tick(value(self.y, k), self.y[1] - self.y[0]);
                buffer.set_string(area.x, row, format!("{text:>4}"), theme.dim());
            }
        }
        let [low, high] = self.y;
        for power in (low.ceil() as i32..=high.floor() as i32).filter(|_| self.decades) {
            let share = (f64::from(power) - low) / (high - low);
            let row = inner.bottom() - 1 - (share * f64::from(inner.height - 1)).round() as u16;
            buffer.set_string(area.x, row, format!("{:>4}", count(power)), theme.dim());
        }
    }
}

/// A power of ten in four characters.
fn count(power: i32) -> String {
    match power {
        0..=2 => 10u32.pow(power as u32).to_string(),
        3..=5 => format!("{}k", 10u32.pow(power as u32 - 3)),
        _ => format!("1e{power}"),
    }
}

/// The cell that lies nearest to `k` quarters of `cells`.
fn nearest(cells: u16, k: u16) -> u16 {
    (2 * cells * k + 4) / 8
}

/// The x value at a column of the part that [`Plot::draw`] gave.
pub fn x_at(inner: Rect, x: [f64; 2], column: u16) -> f64 {
    let share = f64::from(column.saturating_sub(inner.x)) / f64::from(inner.width.max(2) - 1);
    x[0] + (x[1] - x[0]) * share.clamp(0.0, 1.0)
}

/// A number at an axis that is `span` long, in four characters where that can be.
fn tick(value: f64, span: f64) -> String {
    let decimals = match span {
        s if s > 10.0 => 0,
        s if s > 1.5 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    match text.strip_prefix("-0.") {
        Some(rest) => format!("-.{rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_a_dot_is_drawn() {
        let plot = Plot::new("", [0.0, 1.0], [0.0, 1.0], Vec::new());
        let dense: Vec<_> = (0..=9999).map(|i| (f64::from(i) / 9999.0, 0.5)).collect();
        let seen = plot.seen(&dense, Rect::new(0, 0, 10, 10));
        assert_eq!((seen.len(), seen[0].0, seen[20].0), (21, 0.0, 1.0));
    }

    #[test]
    fn columns_and_values_fit_together() {
        let inner = Rect::new(5, 1, 101, 10);
        assert_eq!(x_at(inner, [0.0, 1.0], 5), 0.0);
        assert_eq!(x_at(inner, [0.0, 1.0], 30), 0.25);
        assert_eq!(x_at(inner, [0.0, 1.0], 200), 1.0);
        assert_eq!([0, 2, 3, 5, 6].map(count), ["1", "100", "1k", "100k", "1e6"]);
        assert_eq!((tick(-0.25, 1.0), tick(12.0, 20.0)), ("-.25".into(), "12".into()));
    }
}
