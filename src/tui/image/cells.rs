//! Pictures of cells: half-blocks, or signs by brightness where there are no colours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::Raster;
use crate::tui::theme::Theme;

/// From this difference between red, green and blue on, a pixel is no gray.
const COLOURED: u8 = 64;

/// Two pixels a cell.
pub fn blocks(raster: &Raster, area: Rect, buffer: &mut Buffer, truecolor: bool) {
    for position in area.positions() {
        let (x, y) = (usize::from(position.x - area.x), 2 * usize::from(position.y - area.y));
        let colour = |y: usize| raster.at(x, y).map_or(Color::Reset, |rgb| colour(rgb, truecolor));
        if let Some(cell) = buffer.cell_mut(position) {
            cell.set_symbol("▀").set_fg(colour(y)).set_bg(colour(y + 1));
        }
    }
}

/// Brightness by signs, where there are no colours. What is coloured, which is the map over a radiograph, is reversed.
pub fn shades(raster: &Raster, area: Rect, buffer: &mut Buffer, theme: &Theme) {
    let signs: &[&str] = if theme.ascii {
        &[" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"]
    } else {
        &[" ", "░", "▒", "▓", "█"]
    };
    for position in area.positions() {
        let (x, y) = (usize::from(position.x - area.x), 2 * usize::from(position.y - area.y));
        let gray =
            |y: usize| raster.at(x, y).map_or(0, |[r, g, b]| (usize::from(r) + usize::from(g) + usize::from(b)) / 3);
        let level = (gray(y) + gray(y + 1)) / 2 * signs.len() / 256;
        let coloured = |y: usize| {
            let spread = |rgb: [u8; 3]| rgb.iter().max().zip(rgb.iter().min()).map_or(0, |(most, least)| most - least);
            raster.at(x, y).is_some_and(|rgb| spread(rgb) > COLOURED)
        };
        if let Some(cell) = buffer.cell_mut(position) {
            cell.set_symbol(signs[level]);
            if coloured(y) || coloured(y + 1) {
                cell.modifier.insert(Modifier::REVERSED);
            }
        }
    }
}

/// The colour, or the nearest of the 256: of the gray ramp for grays, else of the 6x6x6 cube.
fn colour([r, g, b]: [u8; 3], truecolor: bool) -> Color {
    if truecolor {
        return Color::Rgb(r, g, b);
    }
    if r == g && g == b {
        return match r {
            0..=3 => Color::Indexed(16),
            4..=243 => Color::Indexed(232 + (r - 4) / 10),
            244..=255 => Color::Indexed(231),
        };
    }
    let step = |v: u8| match v {
        0..=47 => 0,
        48..=114 => 1,
        v => (v - 35) / 40,
    };
    Color::Indexed(16 + 36 * step(r) + 6 * step(g) + step(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_a_map_is_reversed() {
        let raster = Raster { width: 2, height: 2, rgb: vec![255, 255, 255, 255, 40, 0, 255, 255, 255, 255, 40, 0] };
        let area = Rect::new(0, 0, 2, 1);
        let mut buffer = Buffer::empty(area);
        let theme = Theme { tone: crate::tui::theme::Tone::Plain, ascii: true, truecolor: false };
        shades(&raster, area, &mut buffer, &theme);
        assert_eq!(buffer[(0, 0)].symbol(), "@");
        assert_eq!(buffer[(0, 0)].modifier, Modifier::empty());
        assert_eq!(buffer[(1, 0)].modifier, Modifier::REVERSED);
    }

    #[test]
    fn colours_of_the_256() {
        assert_eq!(colour([0; 3], false), Color::Indexed(16));
        assert_eq!(colour([128; 3], false), Color::Indexed(244));
        assert_eq!(colour([255; 3], false), Color::Indexed(231));
        assert_eq!(colour([255, 0, 0], false), Color::Indexed(196));
        assert_eq!(colour([1, 2, 3], true), Color::Rgb(1, 2, 3));
    }
}
