//! The list of labels beside a plot, the chosen one marked.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::theme::Theme;
use crate::tui::widgets::text;

/// A row of the list.
pub struct Entry {
    /// The label.
    pub name: String,
    /// A number, or what is said instead.
    pub value: String,
    /// Of the name.
    pub style: Style,
}

/// Draws `entries` so that the `chosen` one can be seen, and gives where each stands.
pub fn draw(
    title: &str,
    entries: &[Entry],
    chosen: usize,
    area: Rect,
    buffer: &mut Buffer,
    theme: &Theme,
) -> Vec<(Rect, usize)> {
    let mut zones = Vec::new();
    if area.height < 2 || area.width < 10 {
        return zones;
    }
    buffer.set_stringn(area.x, area.y, title, usize::from(area.width), theme.bold());
    let rows = usize::from(area.height - 1);
    let first = chosen.saturating_sub(rows.saturating_sub(1)).min(entries.len().saturating_sub(rows));
    let first = if chosen < rows { 0 } else { first };
    for (row, (i, entry)) in entries.iter().enumerate().skip(first).take(rows).enumerate() {
        let width = usize::from(area.width);
        let room = width.saturating_sub(entry.value.chars().count() + 3);
        let sign = if i == chosen { theme.sign("▸", ">") } else { " " };
        let line = format!("{sign} {:<room$} {}", text::cut(&entry.name, room), entry.value);
        let style = if i == chosen { entry.style.patch(theme.bold()) } else { entry.style };
        let place = Rect { y: area.y + 1 + row as u16, height: 1, ..area };
        buffer.set_stringn(place.x, place.y, line, width, style);
        zones.push((place, i));
    }
    zones
}
