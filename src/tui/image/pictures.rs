//! The picture beside the cells: sent when it has changed, and erased. Only here and in the probe is viuer spoken to.

use std::io::{Write, stdout};

use image::{DynamicImage, RgbImage};
use ratatui::backend::Backend;
use ratatui::crossterm::cursor::MoveTo;
use ratatui::crossterm::queue;
use ratatui::crossterm::style::ResetColor;
use ratatui::layout::Rect;

use super::graphics::{Prepared, WIDEST};
use super::kitty::{self, Way};
use super::probe::SIXEL_CELL;
use super::{Graphics, Protocol, Raster};
use crate::error::{Error, Result};
use crate::tui::terminal::{Screen, fault};

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
        wanted: Option<(&Prepared, Rect)>,
        graphics: Graphics,
        screen: &mut Screen,
    ) -> Result<Change> {
        let wanted = wanted.filter(|_| graphics.sends());
        let wanted = wanted.map(|(prepared, area)| (prepared.hash, area));
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
            Protocol::Kitty | Protocol::Placeholders => kitty::delete(&mut out).map_err(fault)?,
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

    /// Sends a picture.
    pub fn print(&mut self, prepared: &Prepared, area: Rect, graphics: Graphics) -> Result<()> {
        let send = |way| kitty::send(&prepared.raster, &prepared.packed, area, way, &mut stdout()).map_err(fault);
        let (mut columns, mut rows) = (u32::from(area.width), u32::from(area.height));
        match graphics.protocol {
            Protocol::Kitty => return send(Way::Direct),
            Protocol::Placeholders => return send(Way::Tmux),
            Protocol::Sixel => {
                columns = (columns * u32::from(graphics.cell.0) / SIXEL_CELL.0).min(WIDEST / SIXEL_CELL.0);
                rows = rows * u32::from(graphics.cell.1) / SIXEL_CELL.1;
            }
            Protocol::Iterm | Protocol::Blocks | Protocol::Off => {}
        }
        let config = viuer::Config {
            x: area.x,
            y: i16::try_from(area.y).unwrap_or(i16::MAX),
            width: Some(columns),
            height: Some(rows),
            restore_cursor: true,
            use_kitty: false,
            use_iterm: graphics.protocol == Protocol::Iterm,
            use_sixel: graphics.protocol == Protocol::Sixel,
            ..viuer::Config::default()
        };
        match viuer::print(&prepared.raster.to_image()?, &config) {
            Ok(_) => Ok(()),
            Err(e) => Err(Error::new(e.to_string()).at("showing a picture").mend("use --graphics blocks")),
        }
    }
}

impl Raster {
    fn to_image(&self) -> Result<DynamicImage> {
        RgbImage::from_raw(self.width as u32, self.height as u32, self.rgb.clone())
            .map(DynamicImage::from)
            .ok_or_else(|| Error::new("an empty picture"))
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

/// Takes every picture off the screen that would outlive the alternate screen, knowing nothing of what is there.
pub fn forget_all(out: &mut impl Write) {
    let _ = kitty::delete(out);
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
