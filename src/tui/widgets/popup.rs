//! Boxes over a panel, and the line to type in one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Widget};

use crate::tui::theme::Theme;
use crate::tui::widgets::text::{tail, wrapped};

/// Columns of a prompt's box.
const WIDTH: u16 = 64;

/// What a typed line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A sensitivity to reach.
    Sensitivity,
    /// A specificity to reach.
    Specificity,
    /// A prevalence.
    Prevalence,
    /// A text to look for.
    Search,
    /// A condition such as `view=PA`.
    Condition,
    /// A note on an image.
    Note,
    /// A run folder or predictions file to compare with.
    Pin,
    /// A model card.
    Model,
    /// A dataset card or folder.
    Data,
    /// A split of the dataset.
    Split,
    /// A device.
    Device,
    /// The folder of the pictures.
    Images,
    /// A picture file.
    File,
}

/// A line that is being typed.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// What it is for.
    pub ask: Ask,
    /// What is asked.
    pub question: String,
    /// What stands there.
    pub text: String,
    /// What there is to choose from, or nothing.
    pub hint: String,
}

impl Prompt {
    /// A question with the answer so far.
    pub fn new(ask: Ask, question: impl Into<String>, text: impl Into<String>) -> Self {
        Self { ask, question: question.into(), text: text.into(), hint: String::new() }
    }

    /// The same with what there is to choose from below.
    pub fn hint(self, hint: String) -> Self {
        Self { hint, ..self }
    }

    /// Draws it in the middle.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer, theme: &Theme) {
        // The end of what is typed must be seen.
        let text = tail(&self.text, usize::from(WIDTH) - 3);
        let mut lines = vec![Line::raw(format!("{text}{}", theme.sign("▏", "_")))];
        let hint = wrapped(&self.hint, usize::from(WIDTH) - 3);
        lines.extend(hint.into_iter().map(|l| Line::styled(l, theme.dim())));
        draw(&self.question, lines, WIDTH, area, buffer, theme);
    }
}

/// Draws `lines` in a box of at most `width` columns in the middle of `area`.
pub fn draw(title: &str, lines: Vec<Line>, width: u16, area: Rect, buffer: &mut Buffer, theme: &Theme) {
    let width = width.min(area.width.saturating_sub(2));
    let height = (lines.len() as u16 + 2).min(area.height);
    let place = Rect::new(
        area.x + (area.width - width.min(area.width)) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    Clear.render(place, buffer);
    let block = Block::bordered().border_set(theme.border()).title(format!(" {title} "));
    Paragraph::new(lines).block(block).render(place, buffer);
}
