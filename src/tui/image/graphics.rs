//! Which way pictures go, and what they are made of.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;

use super::{cells, kitty};
use crate::error::{Error, Result};
use crate::tui::theme::{Theme, Tone};

/// No picture has more pixels along either side: viuer makes no wider sixels.
pub(super) const WIDEST: u32 = 1000;

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Whatever the terminal can.
    Auto,
    /// This and nothing else, but half-blocks where the terminal cannot.
    Only(Protocol),
}

/// A way to put a picture on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Kitty's graphics.
    Kitty,
    /// The same inside tmux: the picture hangs on cells that tmux moves.
    Placeholders,
    /// iTerm2's inline images.
    Iterm,
    /// DEC's sixels.
    Sixel,
    /// Two pixels a cell, in cells.
    Blocks,
    /// None.
    Off,
}

/// What is known of the terminal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal {
    /// Whether tmux or screen stands between.
    pub multiplexer: bool,
    /// Whether tmux lets Kitty's pictures through to the terminal around it.
    pub passthrough: bool,
    /// Whether the terminal around tmux is one that knows placeholders.
    pub placeholders: bool,
    /// Whether they name sixels.
    pub sixel: bool,
    /// Whether it took Kitty's query.
    pub kitty: bool,
    /// Whether its name is that of one with iTerm2's protocol.
    pub iterm: bool,
}

/// How pictures are drawn here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graphics {
    /// The way.
    pub protocol: Protocol,
    /// Width and height of a cell, pixels.
    pub cell: (u16, u16),
}

impl Default for Graphics {
    fn default() -> Self {
        Self { protocol: Protocol::Blocks, cell: (8, 16) }
    }
}

/// A picture as it goes to the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue of each pixel, row by row.
    pub rgb: Vec<u8>,
}

/// A picture and what is sent of it.
pub struct Prepared {
    /// The picture.
    pub raster: Raster,
    /// Tells it from others.
    pub hash: u64,
    /// What Kitty's protocol sends; empty for the others.
    pub packed: String,
}

/// The protocol to use.
pub fn choose(choice: Choice, terminal: Terminal) -> Protocol {
    let Terminal { multiplexer, passthrough, placeholders, sixel, kitty, iterm } = terminal;
    match choice {
        Choice::Only(Protocol::Off) => Protocol::Off,
        // Inside a multiplexer these are swallowed, whatever the outer terminal is.
        Choice::Auto | Choice::Only(Protocol::Kitty) if kitty && !multiplexer => Protocol::Kitty,
        Choice::Auto | Choice::Only(Protocol::Iterm) if iterm && !multiplexer => Protocol::Iterm,
        Choice::Auto | Choice::Only(Protocol::Sixel) if sixel => Protocol::Sixel,
        Choice::Auto if passthrough && placeholders => Protocol::Placeholders,
        // A person may know more of the outer terminal than tmux does.
        Choice::Only(Protocol::Kitty) if passthrough => Protocol::Placeholders,
        Choice::Auto | Choice::Only(_) => Protocol::Blocks,
    }
}

impl Graphics {
    /// Whether pictures are more than cells.
    pub fn sends(&self) -> bool {
        !matches!(self.protocol, Protocol::Blocks | Protocol::Off)
    }

    /// How many pixels a picture in `area` has.
    pub fn pixels(&self, area: Rect) -> (usize, usize) {
        let (columns, rows) = (usize::from(area.width), usize::from(area.height));
        match self.protocol {
            Protocol::Off => (0, 0),
            Protocol::Blocks => (columns, 2 * rows),
            Protocol::Kitty | Protocol::Placeholders | Protocol::Iterm | Protocol::Sixel => {
                let (width, height) = (columns * usize::from(self.cell.0), rows * usize::from(self.cell.1));
                // More is not seen and only costs the line.
                let factor = (f64::from(WIDEST) / width.max(height).max(1) as f64).min(1.0);
                let scaled = |n: usize| ((n as f64 * factor) as usize).max(1);
                (scaled(width), scaled(height))
            }
        }
    }

    /// Makes ready what takes longer than a frame may.
    pub fn prepare(&self, raster: Raster) -> Result<Prepared> {
        let mut hasher = DefaultHasher::new();
        (raster.width, raster.height, &raster.rgb).hash(&mut hasher);
        let packed = match self.protocol {
            Protocol::Kitty | Protocol::Placeholders => kitty::pack(&raster).map_err(|e| Error::new(e.to_string()))?,
            _ => String::new(),
        };
        Ok(Prepared { hash: hasher.finish(), raster, packed })
    }

    /// Puts a picture into `area` of a frame: half-blocks at once; for the others the cells are left to [`super::Pictures`].
    pub fn place(&self, raster: &Raster, area: Rect, buffer: &mut Buffer, theme: &Theme) {
        match self.protocol {
            Protocol::Off => {}
            Protocol::Blocks if theme.ascii || theme.tone == Tone::Plain => cells::shades(raster, area, buffer, theme),
            Protocol::Blocks => cells::blocks(raster, area, buffer, theme.truecolor),
            Protocol::Placeholders => kitty::place(area, buffer),
            Protocol::Kitty | Protocol::Iterm | Protocol::Sixel => {
                for position in area.positions() {
                    if let Some(cell) = buffer.cell_mut(position) {
                        cell.reset();
                        cell.set_diff_option(CellDiffOption::Skip);
                    }
                }
            }
        }
    }
}

impl Raster {
    /// A pixel; `None` outside.
    pub fn at(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let start = 3 * (y * self.width + x);
        self.rgb.get(start..start + 3)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::Color;

    #[test]
    fn the_best_protocol_that_the_terminal_has() {
        let all = Terminal { sixel: true, kitty: true, iterm: true, ..Terminal::default() };
        let tmux = Terminal { multiplexer: true, ..all };
        assert_eq!(choose(Choice::Auto, all), Protocol::Kitty);
        assert_eq!(choose(Choice::Auto, Terminal { kitty: false, ..all }), Protocol::Iterm);
        assert_eq!(choose(Choice::Auto, tmux), Protocol::Sixel);
        assert_eq!(choose(Choice::Auto, Terminal::default()), Protocol::Blocks);
        assert_eq!(choose(Choice::Only(Protocol::Sixel), all), Protocol::Sixel);
        assert_eq!(choose(Choice::Only(Protocol::Kitty), tmux), Protocol::Blocks);
        assert_eq!(choose(Choice::Only(Protocol::Off), all), Protocol::Off);
        let through = Terminal { multiplexer: true, passthrough: true, ..Terminal::default() };
        assert_eq!(choose(Choice::Auto, through), Protocol::Blocks);
        assert_eq!(choose(Choice::Only(Protocol::Kitty), through), Protocol::Placeholders);
        assert_eq!(choose(Choice::Auto, Terminal { placeholders: true, ..through }), Protocol::Placeholders);
    }

    #[test]
    fn pixel_protocols_leave_their_cells_alone() {
        let raster = Raster { width: 2, height: 2, rgb: vec![255; 12] };
        let area = Rect::new(0, 0, 2, 1);
        let theme = Theme { tone: Tone::Dark, ascii: false, truecolor: true };
        let mut buffer = Buffer::empty(area);
        Graphics { protocol: Protocol::Kitty, cell: (8, 16) }.place(&raster, area, &mut buffer, &theme);
        assert!(buffer.content.iter().all(|c| c.diff_option == CellDiffOption::Skip));
        let mut buffer = Buffer::empty(area);
        Graphics { protocol: Protocol::Blocks, cell: (8, 16) }.place(&raster, area, &mut buffer, &theme);
        assert!(buffer.content.iter().all(|c| c.symbol() == "▀" && c.fg == Color::Rgb(255, 255, 255)));
    }
}
