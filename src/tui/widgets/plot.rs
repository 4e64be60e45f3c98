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

/// What a plot shows.
pub struct Plot<'a> {
    /// Above it.
    pub title: String,
    /// Ends of the x axis.
    pub x: [f64; 2],
    /// Ends of the y axis.
    pub y: [f64; 2],
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

impl Plot<'_> {
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
                        for pair in points.windows(2) {
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

    fn axes(&self, area: Rect, inner: Rect, buffer: &mut Buffer, theme: &Theme) {
        let (upright, flat) = (theme.sign("│", "|"), theme.sign("─", "-"));
        for y in inner.top()..inner.bottom() {
            buffer.set_string(inner.x - 1, y, upright, theme.dim());
        }
        for x in inner.x - 1..inner.right() {
            buffer.set_string(x, inner.bottom(), if x < inner.x { theme.sign("└", "+") } else { flat }, theme.dim());
        }
        let value = |[low, high]: [f64; 2], k: u16| tick(low + (high - low) * f64::from(k) / 4.0, high - low);
        for k in 0..=4u16 {
            let row = inner.bottom() - 1 - nearest(inner.height - 1, k);
            buffer.set_string(area.x, row, format!("{:>4}", value(self.y, k)), theme.dim());
            let text = value(self.x, k);
            // The last one ends below the end of the axis.
            let start = (inner.x + nearest(inner.width - 1, k)).min(area.right().saturating_sub(text.len() as u16));
            buffer.set_string(start, inner.bottom() + 1, text, theme.dim());
        }
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
    fn columns_and_values_fit_together() {
        let inner = Rect::new(5, 1, 101, 10);
        assert_eq!(x_at(inner, [0.0, 1.0], 5), 0.0);
        assert_eq!(x_at(inner, [0.0, 1.0], 30), 0.25);
        assert_eq!(x_at(inner, [0.0, 1.0], 200), 1.0);
        assert_eq!((tick(-0.25, 1.0), tick(12.0, 20.0)), ("-.25".into(), "12".into()));
    }
}
