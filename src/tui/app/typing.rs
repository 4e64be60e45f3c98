//! What is typed into boxes: answers to questions, the command palette, the choice of a published table.

use std::path::PathBuf;
use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{App, Popup};
use crate::cards::catalogue;
use crate::predictions;
use crate::tui::analysis::{Analysis, Overview};
use crate::tui::beside::Published;
use crate::tui::jobs::News;
use crate::tui::keymap;
use crate::tui::widgets::chooser::{Chooser, Chosen};
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

    /// Pins a table to compare with, or takes it away.
    pub(super) fn pin(&mut self, other: Option<Arc<Analysis>>) {
        let shared = &mut self.shared;
        shared.beside.pin(other, shared.analysis.as_ref(), &mut shared.jobs);
    }

    pub(super) fn open_palette(&self) -> Popup {
        let commands = keymap::on(self.screen).map(|b| (b.says.to_owned(), b.keys.join(" ")));
        Popup::Palette(Chooser::new("commands", commands.collect()))
    }

    pub(super) fn palette(&mut self, mut chooser: Chooser, key: KeyEvent) {
        match chooser.key(key) {
            Chosen::Open => self.popup = Popup::Palette(chooser),
            Chosen::Left | Chosen::Text(_) => {}
            Chosen::Entry(i) => {
                if let Some(binding) = keymap::on(self.screen).nth(i) {
                    self.act(binding.action);
                }
            }
        }
    }

    pub(super) fn open_tables(&mut self) {
        let Some(tables) = &self.tables else {
            return self.shared.say("the table is still being read");
        };
        let none = ("none".to_owned(), "hold it against no table".to_owned());
        let entries = std::iter::once(none).chain(tables.iter().map(|t| (t.name.clone(), t.says.clone())));
        self.popup =
            Popup::Tables(Chooser::new("published table: type to find one, or the path of a card", entries.collect()));
    }

    pub(super) fn choose_table(&mut self, mut chooser: Chooser, key: KeyEvent) {
        let name = match chooser.key(key) {
            Chosen::Open => return self.popup = Popup::Tables(chooser),
            Chosen::Left => return,
            Chosen::Entry(0) => None,
            Chosen::Entry(i) => Some(chooser.name(i).to_owned()),
            Chosen::Text(text) => Some(text),
        };
        let table = name.map(|name| catalogue::published(&name).map(|table| (name, Arc::new(table)))).transpose();
        let shared = &mut self.shared;
        match table {
            Ok(chosen) => {
                let chosen = chosen.map(|(name, table)| Published { name, table, found: None });
                shared.beside.hold_against(chosen, shared.analysis.as_ref(), &mut shared.jobs);
            }
            Err(e) => shared.say(e.to_string()),
        }
    }
}
