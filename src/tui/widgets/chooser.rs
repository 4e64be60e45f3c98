//! A list to choose from, narrowed by typing.

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::tui::theme::Theme;
use crate::tui::widgets::popup;
use crate::tui::widgets::text::cut;

/// Columns of the box.
const WIDTH: u16 = 76;

/// What there is to choose from, and what is typed.
#[derive(Debug, Clone, Default)]
pub struct Chooser {
    title: &'static str,
    /// Name and words of each thing.
    entries: Vec<(String, String)>,
    text: String,
    /// Among those that are found.
    chosen: usize,
}

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Nothing is chosen yet.
    Open,
    /// A person has thought better of it.
    Left,
    /// The entry of this number.
    Entry(usize),
    /// What was typed, which is none of them.
    Text(String),
}

impl Chooser {
    /// With nothing typed.
    pub fn new(title: &'static str, entries: Vec<(String, String)>) -> Self {
        Self { title, entries, ..Self::default() }
    }

    /// The name of entry `i`.
    pub fn name(&self, i: usize) -> &str {
        &self.entries[i].0
    }

    /// Numbers of the entries that hold every word that is typed.
    fn found(&self) -> Vec<usize> {
        let wanted = self.text.to_lowercase();
        let holds = |(name, says): &(String, String)| {
            let all = format!("{name} {says}").to_lowercase();
            wanted.split_whitespace().all(|word| all.contains(word))
        };
        (0..self.entries.len()).filter(|&i| holds(&self.entries[i])).collect()
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Chosen {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Chosen::Left,
            KeyCode::Char('c') if control => return Chosen::Left,
            KeyCode::Enter => {
                return match (self.found().get(self.chosen), self.text.trim()) {
                    (Some(&i), _) => Chosen::Entry(i),
                    (None, "") => Chosen::Left,
                    (None, text) => Chosen::Text(text.to_owned()),
                };
            }
            KeyCode::Down => self.chosen = (self.chosen + 1).min(self.found().len().saturating_sub(1)),
            KeyCode::Up => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Backspace => (_, self.chosen) = (self.text.pop(), 0),
            KeyCode::Char('u') if control => (self.text, self.chosen) = (String::new(), 0),
            KeyCode::Char(c) if !control => {
                self.text.push(c);
                self.chosen = 0;
            }
            _ => {}
        }
        Chosen::Open
    }

    /// Draws it in the middle.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer, theme: &Theme) {
        let found = self.found();
        let rows = usize::from(area.height).saturating_sub(3);
        let first = (self.chosen + 1).saturating_sub(rows);
        let widest = found.iter().map(|&i| self.entries[i].0.chars().count()).max().unwrap_or(0).min(46);
        let entry = |(place, &i): (usize, &usize)| {
            let (name, says) = &self.entries[i];
            let line = format!(" {:<widest$}  {says}", cut(name, widest));
            let line = format!("{:<w$}", cut(&line, usize::from(WIDTH) - 2), w = usize::from(WIDTH) - 2);
            if place == self.chosen { Line::styled(line, theme.selected()) } else { Line::raw(line) }
        };
        let prompt = Line::raw(format!(" {}{}", self.text, theme.sign("▏", "_")));
        let lines = std::iter::once(prompt).chain(found.iter().enumerate().map(entry).skip(first).take(rows)).collect();
        popup::draw(self.title, lines, WIDTH, area, buffer, theme);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::keymap::keys;

    #[test]
    fn typing_narrows_and_enter_chooses() {
        let entry = |name: &str, says: &str| (name.to_owned(), says.to_owned());
        let new = || Chooser::new("x", vec![entry("chexnet-v3", "Rajpurkar 2017"), entry("kermany-2018", "Kermany")]);
        let typed = |text: &str| {
            let mut chooser = new();
            keys(text).unwrap().into_iter().fold(Chosen::Open, |_, key| chooser.key(key))
        };
        assert_eq!(typed("<Enter>"), Chosen::Entry(0));
        assert_eq!(typed("<Down><Down><Enter>"), Chosen::Entry(1));
        assert_eq!(typed("kerm<Enter>"), Chosen::Entry(1));
        assert_eq!(typed("2017 chex<Enter>"), Chosen::Entry(0));
        assert_eq!(typed("my/card.toml<Enter>"), Chosen::Text("my/card.toml".into()));
        assert_eq!(typed("a<Esc>"), Chosen::Left);
        assert_eq!(typed("zz<C-u>"), Chosen::Open);
    }
}
