//! The picture beside the cells: printed when it has changed, and erased. Only here is viuer spoken to.

use std::io::{Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use image::{DynamicImage, RgbImage, RgbaImage};
use ratatui::backend::Backend;
use ratatui::crossterm::cursor::MoveTo;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::queue;
use ratatui::crossterm::style::ResetColor;
use ratatui::layout::Rect;
use viuer::ViuError;

use super::graphics::WIDEST;
use super::probe::SIXEL_CELL;
use super::{Graphics, Protocol, Raster, placeholders};
use crate::error::{Error, Result};
use crate::tui::keymap;
use crate::tui::terminal::{Screen, fault};

/// Kitty's order to forget every picture.
const KITTY_DELETE: &[u8] = b"\x1b_Ga=d,d=A,q=2\x1b\\";

static KITTY_SHOWN: AtomicBool = AtomicBool::new(false);

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
        let wanted = wanted.filter(|_| graphics.sends());
        let wanted = wanted.map(|(raster, area)| (raster.hash(), area));
        let change = change(self.shown, wanted);
        if let Some(area) = change.erase {
            self.erase(area, graphics, screen)?;
        }
        // What stood there before would come back when the picture goes: its cells are skipped from now on.
        if let Some((_, area)) = wanted.filter(|_| change.print && graphics.protocol != Protocol::Placeholders) {
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
            Protocol::Placeholders => placeholders::delete(&mut out).map_err(fault)?,
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
        if graphics.protocol == Protocol::Placeholders {
            return placeholders::send(raster, area, &mut stdout()).map(|()| Vec::new()).map_err(fault);
        }
        let (mut columns, mut rows) = (u32::from(area.width), u32::from(area.height));
        if graphics.protocol == Protocol::Sixel {
            columns = (columns * u32::from(graphics.cell.0) / SIXEL_CELL.0).min(WIDEST / SIXEL_CELL.0);
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
        if self.width * self.height >= Raster::SMALLEST.pow(2) {
            return Ok(image);
        }
        let mut padded = RgbaImage::new(width.max(Raster::SMALLEST as u32), height.max(Raster::SMALLEST as u32));
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
    placeholders::forget(out);
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
