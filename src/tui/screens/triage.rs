//! The errors of a label one by one: which are listed, which is looked at, and the marks that a person sets.

mod draw;

use std::sync::Arc;

use crate::data::Sample;
use crate::tui::analysis::Analysis;
use crate::tui::annotations::Kind;
use crate::tui::jobs::News;
use crate::tui::keymap::Action;
use crate::tui::shared::Shared;
use crate::tui::viewer::Viewer;
use crate::tui::widgets::popup::{Ask, Prompt};
use crate::tui::widgets::text::tail;
use crate::tui::worklist::{Of, Order, Outcome, chosen, entropies, listed};

/// The panel's state.
pub struct Triage {
    /// The picture.
    pub viewer: Viewer,
    outcome: Outcome,
    order: Order,
    search: String,
    condition: String,
    blind: bool,
    /// The row that is revealed although blind.
    revealed: Option<usize>,
    selected: usize,
    /// Another image of the selected one's patient.
    other: Option<usize>,
    /// Rows of the table, and what for.
    list: Option<(Of, Vec<usize>)>,
    /// What the list is being made for.
    asked: Option<Of>,
}

impl Default for Triage {
    fn default() -> Self {
        Self {
            viewer: Viewer::default(),
            outcome: Outcome::Errors,
            order: Order::Confidence,
            search: String::new(),
            condition: String::new(),
            blind: false,
            revealed: None,
            selected: 0,
            other: None,
            list: None,
            asked: None,
        }
    }
}

impl Triage {
    /// Forgets the list: there is another table.
    pub fn forget(&mut self) {
        (self.list, self.asked) = (None, None);
        self.begin();
    }

    /// Goes to the list's first row.
    fn begin(&mut self) {
        (self.selected, self.other, self.revealed) = (0, None, None);
    }

    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        let last = self.list.as_ref().map_or(0, |(_, rows)| rows.len().saturating_sub(1));
        let to = match action {
            Action::Up => self.selected.saturating_sub(1),
            Action::Down => self.selected + 1,
            Action::PageUp => self.selected.saturating_sub(10),
            Action::PageDown => self.selected + 10,
            Action::First => 0,
            Action::Last => last,
            _ => return self.change(action, shared),
        };
        self.pick(to.min(last));
    }

    fn change(&mut self, action: Action, shared: &mut Shared) {
        match action {
            Action::Outcome | Action::Order if self.blind => {
                shared.say("blind: all images are listed, in no order (b ends it)");
            }
            Action::Outcome => self.outcome = self.outcome.next(),
            Action::Order => {
                let entropies = shared.analysis.as_deref().and_then(entropies).is_some();
                self.order = self.order.next(shared.beside.pinned.is_some(), entropies);
            }
            Action::Search => shared.ask(Prompt::new(Ask::Search, "image, patient or attribute holds", &*self.search)),
            Action::Condition => {
                let hint = shared.analysis.as_ref().map_or("", |a| a.conditions()).to_owned();
                let question = "subgroup: a condition, as view=PA or age>=60 (empty: all)";
                shared.ask(Prompt::new(Ask::Condition, question, &*self.condition).hint(hint));
            }
            // The list as it stands would tell by its order.
            Action::Blind => (self.blind, self.list) = (!self.blind, None),
            Action::Reveal => self.revealed = self.row(),
            Action::SamePatient => self.next_of_patient(shared),
            Action::MarkLabel => self.mark(Kind::LabelLooksWrong, shared),
            Action::MarkArtefact => self.mark(Kind::Artefact, shared),
            Action::Note => {
                let Some((image, _)) = self.image(shared) else { return };
                let note = shared.annotations.of(&image).find(|a| a.kind == Kind::Note);
                let note = note.map(|a| a.note.clone()).unwrap_or_default();
                let name = if self.hidden() { "this image".to_owned() } else { tail(&image, 40) };
                shared.ask(Prompt::new(Ask::Note, format!("note on {name}"), note));
            }
            Action::ChooseImages => shared.ask_for_images(),
            Action::MapLabel => {
                let count = shared.explainer().map_or(0, |e| e.card.labels.len());
                self.viewer.label = (count > 0).then(|| self.viewer.label.map_or(0, |l| (l + 1) % count));
            }
            _ if self.viewer.act(action) => {}
            _ => shared.act_on_threshold(action, 0.01),
        }
        if matches!(action, Action::Outcome | Action::Order | Action::Blind) {
            self.begin();
        }
    }

    /// Takes the answer to a question.
    pub fn answer(&mut self, ask: Ask, text: &str, shared: &mut Shared) {
        match ask {
            Ask::Search => self.search = text.to_lowercase(),
            Ask::Condition => {
                let checked = match (text.trim(), &shared.analysis) {
                    ("", _) | (_, None) => Ok(()),
                    (text, Some(analysis)) => chosen(analysis, text).map(drop),
                };
                match checked {
                    Ok(()) => self.condition = text.trim().to_owned(),
                    Err(e) => shared.say(e.to_string()),
                }
            }
            Ask::Note => {
                let Some((image, _)) = self.image(shared) else { return };
                match shared.annotations.set_note(&image, text.trim()) {
                    Ok(()) => shared.say("kept in annotations.csv"),
                    Err(e) => shared.say(e.to_string()),
                }
            }
            _ => {}
        }
        if ask != Ask::Note {
            self.begin();
        }
    }

    fn mark(&mut self, kind: Kind, shared: &mut Shared) {
        let Some((image, label)) = self.image(shared) else { return };
        let label = if kind == Kind::LabelLooksWrong { label } else { String::new() };
        match shared.annotations.toggle(kind, &image, &label) {
            Ok(true) => shared.say("marked, and kept in annotations.csv"),
            Ok(false) => shared.say("the mark is taken away"),
            Err(e) => shared.say(e.to_string()),
        }
    }

    /// Chooses the image of this place in the list.
    pub fn pick(&mut self, place: usize) {
        (self.selected, self.other, self.revealed) = (place, None, None);
    }

    /// What is to be listed now.
    fn wanted(&self, shared: &Shared) -> Of {
        Of {
            label: shared.label,
            threshold: shared.thresholds[shared.label],
            outcome: self.outcome,
            order: self.order,
            search: self.search.clone(),
            condition: self.condition.clone(),
            blind: self.blind,
            pinned: shared.beside.pinned.is_some(),
        }
    }

    /// Starts listing what is wanted now, unless it is done or being done. The old list stands until the new one is there.
    fn refresh(&mut self, analysis: &Arc<Analysis>, shared: &mut Shared) {
        let wanted = self.wanted(shared);
        if self.asked.as_ref() != Some(&wanted) {
            self.asked = Some(wanted.clone());
            let (analysis, pinned) = (analysis.clone(), shared.beside.pinned.clone());
            shared.jobs.start(move |_| {
                let rows = listed(&analysis, pinned.as_deref(), &wanted);
                News::Listed(analysis, wanted, rows)
            });
        }
    }

    /// Takes a list, if it is still wanted.
    pub fn hear(&mut self, of: &Arc<Analysis>, what: Of, rows: Vec<usize>, shared: &Shared) {
        if self.asked.as_ref() == Some(&what) && shared.analysis.as_ref().is_some_and(|now| Arc::ptr_eq(now, of)) {
            self.list = Some((what, rows));
        }
    }

    /// Whether what is looked at must not tell of itself. Names and paths often do: `PNEUMONIA/person1_bacteria_2.jpeg`.
    fn hidden(&self) -> bool {
        self.blind && self.revealed != self.row()
    }

    /// The row that is looked at.
    fn row(&self) -> Option<usize> {
        self.other.or_else(|| self.list.as_ref()?.1.get(self.selected).copied())
    }

    /// The image that is looked at, and the label's name; `None` while another one is about to be shown, so that no mark
    /// goes to an image that nobody has seen.
    fn image(&self, shared: &Shared) -> Option<(String, String)> {
        let analysis = shared.analysis.as_ref()?;
        let (of, _) = self.list.as_ref()?;
        if *of != self.wanted(shared) {
            return None;
        }
        Some((analysis.predictions.images.get(self.row()?)?.clone(), analysis.label(shared.label).to_owned()))
    }

    /// The picture of an image, if it is known by now.
    fn sample<'a>(&self, image: &str, shared: &'a Shared) -> Option<&'a Sample> {
        shared.pictures.sample(image).ok().flatten()
    }

    fn next_of_patient(&mut self, shared: &mut Shared) {
        let (Some(row), Some(analysis)) = (self.row(), &shared.analysis) else { return };
        let others = analysis.siblings(row);
        match others.iter().position(|&r| r == row) {
            Some(at) if others.len() > 1 => self.other = Some(others[(at + 1) % others.len()]),
            _ => shared.say("no other image of this patient is known"),
        }
    }
}
