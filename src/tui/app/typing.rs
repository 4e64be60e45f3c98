//! Lines that are typed: answers to questions, and the command palette.

use std::path::PathBuf;
use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{App, Popup};
use crate::predictions;
use crate::tui::analysis::{Analysis, Overview};
use crate::tui::jobs::News;
use crate::tui::keymap;
use crate::tui::widgets::popup::{Ask, Prompt};

impl App {
    pub(super) fn type_into(&mut self, mut prompt: Prompt, key: KeyEvent) {
        match key.code {
            KeyCode::Esc => return,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return,
            KeyCode::Enter => return self.answer(prompt.ask, &prompt.text),
            KeyCode::Backspace => drop(prompt.text.pop()),
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => prompt.text.clear(),
            KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => prompt.text.push(c),
            _ => {}
        }
        self.shared.prompt = Some(prompt);
    }

    fn answer(&mut self, ask: Ask, text: &str) {
        match ask {
            Ask::Sensitivity | Ask::Specificity | Ask::Prevalence => {
                self.threshold.answer(ask, text, &mut self.shared);
            }
            Ask::Search | Ask::Condition | Ask::Note => self.triage.answer(ask, text, &mut self.shared),
            Ask::File if !text.is_empty() => self.picture.answer(text),
            Ask::Model | Ask::Data | Ask::Split | Ask::Device | Ask::Images => {
                self.home.answer(ask, text, &mut self.shared)
            }
            Ask::Pin if text.is_empty() => {}
            Ask::Pin => {
                let path = PathBuf::from(text);
                self.shared.jobs.start(move |_| {
                    let read = || {
                        let overview = Arc::new(Overview::open(&path)?);
                        let rows = predictions::read(&overview.predictions, None)?;
                        Analysis::new(overview, rows)
                    };
                    News::Pinned(read().map(Arc::new))
                });
            }
            Ask::File => {}
        }
    }

    /// The commands whose words hold the letters typed so far.
    pub(super) fn commands(&self, text: &str) -> Vec<&'static keymap::Binding> {
        let wanted = text.to_lowercase();
        keymap::on(self.screen).filter(|b| b.says.to_lowercase().contains(&wanted)).collect()
    }

    pub(super) fn palette(&mut self, mut text: String, chosen: usize, key: KeyEvent) {
        let found = self.commands(&text);
        let chosen = match key.code {
            KeyCode::Esc => return,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return,
            KeyCode::Enter => {
                if let Some(binding) = found.get(chosen) {
                    self.act(binding.action);
                }
                return;
            }
            KeyCode::Down => (chosen + 1).min(found.len().saturating_sub(1)),
            KeyCode::Up => chosen.saturating_sub(1),
            KeyCode::Backspace => {
                text.pop();
                0
            }
            KeyCode::Char(c) => {
                text.push(c);
                0
            }
            _ => chosen,
        };
        self.popup = Popup::Palette(text, chosen);
    }
}
