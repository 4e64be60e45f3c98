//! Pictures in the terminal: which protocol, and how they come and go. Kitty, iTerm2 and sixel go through viuer;
//! half-blocks are cells like any others, so that ratatui's diff sends, moves and erases them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use image::{DynamicImage, RgbImage, RgbaImage};
use ratatui::backend::Backend;
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::crossterm::cursor::MoveTo;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::queue;
use ratatui::crossterm::style::ResetColor;
use ratatui::layout::Rect;
use ratatui::style::Color;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use viuer::{KittySupport, ViuError};

use crate::error::{Error, Result};
use crate::tui::keymap;
use crate::tui::terminal::{Screen, fault};
use crate::tui::theme::{Theme, Tone};

/// How long a terminal may take to say what it is; over a slow line that is several round trips.
const PATIENCE: Duration = Duration::from_millis(500);

/// Kitty's order to forget every picture.
const KITTY_DELETE: &[u8] = b"\x1b_Ga=d,d=A,q=2\x1b\\";

/// Kitty never ends a remote picture of one chunk, so none is smaller than this square.
const SMALLEST: usize = 32;

/// viuer's sixels are at most this wide.
const SIXEL_WIDTH: u32 = 1000;

/// What viuer takes a cell to be when it makes sixels, in pixels.
const SIXEL_CELL: (u32, u32) = (6, 12);

static KITTY_SHOWN: AtomicBool = AtomicBool::new(false);

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
    /// Whether it has told its device attributes at all.
    pub answers: bool,
    /// Whether they name sixels.
    pub sixel: bool,
    /// Whether it took Kitty's query.
    pub kitty: bool,
    /// Whether its name is that of one with iTerm2's protocol.
    pub iterm: bool,
}

/// How pictures are drawn here.
#[derive(Debug, Clone, Copy)]
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

/// The protocol to use.
pub fn choose(choice: Choice, terminal: Terminal) -> Protocol {
    let can = |protocol| match protocol {
        // Inside a multiplexer the others are swallowed, whatever the outer terminal is.
        Protocol::Kitty => terminal.kitty && !terminal.multiplexer,
        Protocol::Iterm => terminal.iterm && !terminal.multiplexer,
        Protocol::Sixel => terminal.sixel,
        Protocol::Blocks | Protocol::Off => true,
    };
    match choice {
        Choice::Only(protocol) if can(protocol) => protocol,
        Choice::Only(_) => Protocol::Blocks,
        Choice::Auto => [Protocol::Kitty, Protocol::Iterm, Protocol::Sixel]
            .into_iter()
            .find(|p| can(*p))
            .unwrap_or(Protocol::Blocks),
    }
}

/// Asks the terminal what it can. Raw mode must be on and nothing else may read the keyboard. viuer's own questions
/// wait for ever, so they are asked only where ours was answered.
pub fn probe(choice: Choice) -> Graphics {
    let of = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let mut terminal = Terminal { multiplexer: of("TMUX") || of("STY"), ..Terminal::default() };
    if !matches!(choice, Choice::Only(Protocol::Blocks | Protocol::Off)) {
        let attributes = device_attributes(PATIENCE);
        terminal.answers = attributes.is_some();
        terminal.sixel = attributes.as_deref().is_some_and(has_sixel);
        let wanted = |p| matches!(choice, Choice::Auto) || choice == Choice::Only(p);
        if terminal.answers && !terminal.multiplexer {
            terminal.kitty = wanted(Protocol::Kitty) && viuer::get_kitty_support() != KittySupport::None;
            terminal.iterm = wanted(Protocol::Iterm) && viuer::is_iterm_supported();
        }
        // viuer asks once and remembers; later its question would eat keys.
        terminal.sixel = terminal.sixel && wanted(Protocol::Sixel) && viuer::is_sixel_supported();
    }
    let cell = ratatui::crossterm::terminal::window_size().ok().and_then(|w| {
        let (width, height) = (w.width.checked_div(w.columns)?, w.height.checked_div(w.rows)?);
        (width > 0 && height > 0).then_some((width, height))
    });
    let unknown = (SIXEL_CELL.0 as u16, SIXEL_CELL.1 as u16);
    Graphics { protocol: choose(choice, terminal), cell: cell.unwrap_or(unknown) }
}

/// The answer to "primary device attributes", without its frame; `None` if none comes in time.
fn device_attributes(patience: Duration) -> Option<String> {
    let mut out = stdout();
    out.write_all(b"\x1b[c").and_then(|()| out.flush()).ok()?;
    let (stdin, end) = (std::io::stdin(), Instant::now() + patience);
    let mut answer = Vec::new();
    loop {
        let left = end.checked_duration_since(Instant::now())?;
        let mut wanted = [PollFd::new(&stdin, PollFlags::IN)];
        if poll(&mut wanted, Some(&Timespec::try_from(left).ok()?)).ok()? == 0 {
            return None;
        }
        let mut byte = [0];
        if rustix::io::read(&stdin, &mut byte).ok()? == 0 {
            return None;
        }
        answer.push(byte[0]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((_, attributes)) = text.split_once("\x1b[?")
            && let Some((attributes, _)) = attributes.split_once('c')
        {
            return Some(attributes.to_owned());
        }
    }
}

/// Whether device attributes such as `62;4;22` name sixels.
fn has_sixel(attributes: &str) -> bool {
    attributes.split(';').skip(1).any(|a| a == "4")
}

impl Graphics {
    /// How many pixels a picture in `area` has.
    pub fn pixels(&self, area: Rect) -> (usize, usize) {
        let (columns, rows) = (usize::from(area.width), usize::from(area.height));
        match self.protocol {
            Protocol::Off => (0, 0),
            Protocol::Blocks => (columns, 2 * rows),
            Protocol::Kitty | Protocol::Iterm | Protocol::Sixel => {
                let (width, height) = (columns * usize::from(self.cell.0), rows * usize::from(self.cell.1));
                // More is not seen and only costs the line.
                let factor = (f64::from(SIXEL_WIDTH) / width.max(height).max(1) as f64).min(1.0);
                let scaled = |n: usize| ((n as f64 * factor) as usize).max(SMALLEST);
                (scaled(width), scaled(height))
            }
        }
    }

    /// Puts a picture into `area` of a frame: half-blocks at once; for the others the cells are left to [`Pictures`].
    pub fn place(&self, raster: &Raster, area: Rect, buffer: &mut Buffer, theme: &Theme) {
        match self.protocol {
            Protocol::Off => {}
            Protocol::Blocks if theme.ascii || theme.tone == Tone::Plain => shades(raster, area, buffer, theme),
            Protocol::Blocks => blocks(raster, area, buffer, theme.truecolor),
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

/// Two pixels a cell.
fn blocks(raster: &Raster, area: Rect, buffer: &mut Buffer, truecolor: bool) {
    for position in area.positions() {
        let (x, y) = (usize::from(position.x - area.x), 2 * usize::from(position.y - area.y));
        let colour = |y: usize| raster.at(x, y).map_or(Color::Reset, |rgb| colour(rgb, truecolor));
        if let Some(cell) = buffer.cell_mut(position) {
            cell.set_symbol("▀").set_fg(colour(y)).set_bg(colour(y + 1));
        }
    }
}

/// Brightness by signs, where there are no colours.
fn shades(raster: &Raster, area: Rect, buffer: &mut Buffer, theme: &Theme) {
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
        if let Some(cell) = buffer.cell_mut(position) {
            cell.set_symbol(signs[level]);
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

impl Raster {
    fn at(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let start = 3 * (y * self.width + x);
        self.rgb.get(start..start + 3)?.try_into().ok()
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.width, self.height, &self.rgb).hash(&mut hasher);
        hasher.finish()
    }
}

/// The picture that is on the screen now, if it is none of cells.
#[derive(Default)]
pub struct Pictures {
    shown: Option<(u64, Rect)>,
}

/// What to do about the picture on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The old one goes from here.
    pub erase: Option<Rect>,
    /// The new one is printed.
    pub print: bool,
}

/// What must change between two frames.
pub fn change(shown: Option<(u64, Rect)>, wanted: Option<(u64, Rect)>) -> Change {
    Change { erase: shown.filter(|_| shown != wanted).map(|s| s.1), print: wanted.is_some() && shown != wanted }
}

impl Pictures {
    /// Whether, and where, an old picture must go before a frame with `wanted` is sent. Erases it.
    pub fn before(
        &mut self,
        wanted: Option<(&Raster, Rect)>,
        graphics: Graphics,
        screen: &mut Screen,
    ) -> Result<Change> {
        let wanted = wanted.filter(|_| !matches!(graphics.protocol, Protocol::Blocks | Protocol::Off));
        let wanted = wanted.map(|(raster, area)| (raster.hash(), area));
        let change = change(self.shown, wanted);
        if let Some(area) = change.erase {
            self.erase(area, graphics, screen)?;
        }
        // What stood there before would come back when the picture goes: its cells are skipped from now on.
        if let Some((_, area)) = wanted.filter(|_| change.print) {
            blank(area)?;
        }
        self.shown = wanted;
        Ok(change)
    }

    fn erase(&mut self, area: Rect, graphics: Graphics, screen: &mut Screen) -> Result<()> {
        self.shown = None;
        let mut out = stdout();
        match graphics.protocol {
            Protocol::Kitty => out.write_all(KITTY_DELETE).map_err(fault)?,
            // Its pictures stay until the cells around them are drawn anew.
            Protocol::Sixel if std::env::var_os("TMUX").is_some() => screen.clear().map_err(fault)?,
            _ => blank(area)?,
        }
        Backend::flush(screen.backend_mut()).map_err(fault)
    }

    /// Erases what is there, so that the next frame prints anew.
    pub fn forget(&mut self, graphics: Graphics, screen: &mut Screen) -> Result<()> {
        match self.shown {
            Some((_, area)) => self.erase(area, graphics, screen),
            None => Ok(()),
        }
    }

    /// Prints a picture and gives the keys that were pressed meanwhile.
    pub fn print(&mut self, raster: &Raster, area: Rect, graphics: Graphics) -> Result<Vec<KeyEvent>> {
        let (mut columns, mut rows) = (u32::from(area.width), u32::from(area.height));
        if graphics.protocol == Protocol::Sixel {
            columns = (columns * u32::from(graphics.cell.0) / SIXEL_CELL.0).min(SIXEL_WIDTH / SIXEL_CELL.0);
            rows = rows * u32::from(graphics.cell.1) / SIXEL_CELL.1;
        }
        let config = viuer::Config {
            x: area.x,
            y: i16::try_from(area.y).unwrap_or(i16::MAX),
            width: Some(columns),
            height: Some(rows),
            restore_cursor: true,
            use_kitty: graphics.protocol == Protocol::Kitty,
            use_iterm: graphics.protocol == Protocol::Iterm,
            use_sixel: graphics.protocol == Protocol::Sixel,
            ..viuer::Config::default()
        };
        KITTY_SHOWN.fetch_or(graphics.protocol == Protocol::Kitty, Ordering::SeqCst);
        match viuer::print(&raster.to_image()?, &config) {
            Ok(_) => Ok(Vec::new()),
            // The picture is there; keys came before the terminal's answer.
            Err(ViuError::KittyResponse(keys)) => Ok(keys.iter().filter_map(pressed).collect()),
            Err(e) => Err(Error::new(format!("{e}")).at("showing a picture").mend("use --graphics blocks")),
        }
    }
}

impl Raster {
    fn to_image(&self) -> Result<DynamicImage> {
        let (width, height) = (self.width as u32, self.height as u32);
        let image =
            RgbImage::from_raw(width, height, self.rgb.clone()).ok_or_else(|| Error::new("an empty picture"))?;
        let image = DynamicImage::from(image);
        if self.width * self.height >= SMALLEST * SMALLEST {
            return Ok(image);
        }
        let mut padded = RgbaImage::new(width.max(SMALLEST as u32), height.max(SMALLEST as u32));
        image::imageops::overlay(&mut padded, &image.to_rgba8(), 0, 0);
        Ok(padded.into())
    }
}

/// Writes blanks over an area.
fn blank(area: Rect) -> Result<()> {
    let mut out = stdout();
    let row = " ".repeat(usize::from(area.width));
    for y in area.top()..area.bottom() {
        queue!(out, ResetColor, MoveTo(area.x, y)).and_then(|()| out.write_all(row.as_bytes())).map_err(fault)?;
    }
    Ok(())
}

/// The key event of a key that viuer read instead of us.
fn pressed(key: &console::Key) -> Option<KeyEvent> {
    use console::Key;
    let name = match key {
        Key::Char(c) => return keymap::keys(&c.to_string())?.pop(),
        Key::ArrowLeft => "Left",
        Key::ArrowRight => "Right",
        Key::ArrowUp => "Up",
        Key::ArrowDown => "Down",
        Key::Enter => "Enter",
        Key::Escape => "Esc",
        Key::Tab => "Tab",
        Key::BackTab => "S-Tab",
        Key::Backspace => "Backspace",
        Key::Home => "Home",
        Key::End => "End",
        Key::PageUp => "PageUp",
        Key::PageDown => "PageDown",
        _ => return None,
    };
    keymap::parse(name)
}

/// Takes every picture off the screen, in the way that needs no knowledge of what is there.
pub fn forget_all(out: &mut impl Write) {
    if KITTY_SHOWN.swap(false, Ordering::SeqCst) {
        let _ = out.write_all(KITTY_DELETE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_protocol_that_the_terminal_has() {
        let all = Terminal { multiplexer: false, answers: true, sixel: true, kitty: true, iterm: true };
        assert_eq!(choose(Choice::Auto, all), Protocol::Kitty);
        assert_eq!(choose(Choice::Auto, Terminal { kitty: false, ..all }), Protocol::Iterm);
        assert_eq!(choose(Choice::Auto, Terminal { multiplexer: true, ..all }), Protocol::Sixel);
        assert_eq!(choose(Choice::Auto, Terminal::default()), Protocol::Blocks);
        assert_eq!(choose(Choice::Only(Protocol::Sixel), all), Protocol::Sixel);
        assert_eq!(choose(Choice::Only(Protocol::Kitty), Terminal { multiplexer: true, ..all }), Protocol::Blocks);
        assert_eq!(choose(Choice::Only(Protocol::Off), all), Protocol::Off);
    }

    #[test]
    fn attributes_are_told_apart() {
        assert!(has_sixel("62;4;22") && has_sixel("65;1;4"));
        assert!(!has_sixel("64;1;44") && !has_sixel("4"));
    }

    #[test]
    fn a_picture_is_printed_only_when_it_changes() {
        let (a, b) = (Rect::new(0, 0, 4, 4), Rect::new(1, 0, 4, 4));
        let nothing = Change { erase: None, print: false };
        assert_eq!(change(None, None), nothing);
        assert_eq!(change(Some((1, a)), Some((1, a))), nothing);
        assert_eq!(change(None, Some((1, a))), Change { erase: None, print: true });
        assert_eq!(change(Some((1, a)), Some((1, b))), Change { erase: Some(a), print: true });
        assert_eq!(change(Some((1, a)), Some((2, a))), Change { erase: Some(a), print: true });
        assert_eq!(change(Some((1, a)), None), Change { erase: Some(a), print: false });
    }

    #[test]
    fn colours_of_the_256() {
        assert_eq!(colour([0; 3], false), Color::Indexed(16));
        assert_eq!(colour([128; 3], false), Color::Indexed(244));
        assert_eq!(colour([255; 3], false), Color::Indexed(231));
        assert_eq!(colour([255, 0, 0], false), Color::Indexed(196));
        assert_eq!(colour([1, 2, 3], true), Color::Rgb(1, 2, 3));
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
