//! The program's state, what keys do to it, and how it is drawn. Nothing here knows of a real terminal, so that tests
//! drive it by key strings.

mod draw;
mod news;
mod typing;

use ratatui::crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::error::Error;
use crate::tui::keymap::{self, Action, Screen};
use crate::tui::published::Choice;
use crate::tui::screens::curves::{Curve, CurveScreen};
use crate::tui::screens::distribution;
use crate::tui::screens::home::HomeScreen;
use crate::tui::screens::picture::PictureScreen;
use crate::tui::screens::reliability::ReliabilityScreen;
use crate::tui::screens::run::RunScreen;
use crate::tui::screens::table::TableScreen;
use crate::tui::screens::threshold::ThresholdScreen;
use crate::tui::screens::triage::Triage;
use crate::tui::shared::Shared;
use crate::tui::theme::Theme;
use crate::tui::widgets::chooser::Chooser;
use crate::tui::widgets::popup::{Ask, Prompt};

/// The smallest terminal that everything fits into.
pub const SMALLEST: (u16, u16) = (80, 24);

/// What is said to a person who wants a second run.
const BUSY: &str = "a run of this process is going on: stop it first (S on panel 8)";

/// Something that only the event loop can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// End.
    Quit,
    /// Give the terminal to the shell for a while.
    Suspend,
    /// Draw everything anew.
    Redraw,
}

enum Popup {
    None,
    Help(usize),
    /// Of the commands on this panel.
    Palette(Chooser),
    /// Of the published tables.
    Tables(Chooser),
}

/// The program.
pub struct App {
    /// What the panels share.
    pub shared: Shared,
    screen: Screen,
    popup: Popup,
    wish: Option<Wish>,
    tabs: Vec<(Rect, Screen)>,
    failed: Option<Error>,
    table: TableScreen,
    roc: CurveScreen,
    precision_recall: CurveScreen,
    threshold: ThresholdScreen,
    reliability: ReliabilityScreen,
    triage: Triage,
    run: RunScreen,
    home: HomeScreen,
    leaving: bool,
    picture: PictureScreen,
    /// The published tables, once they were looked for.
    tables: Option<Vec<Choice>>,
}

impl App {
    /// The program with nothing opened.
    pub fn new(theme: Theme) -> Self {
        Self {
            shared: Shared::new(theme),
            screen: Screen::Home,
            popup: Popup::None,
            wish: None,
            tabs: Vec::new(),
            failed: None,
            table: TableScreen::default(),
            roc: CurveScreen::new(Curve::Roc),
            precision_recall: CurveScreen::new(Curve::PrecisionRecall),
            threshold: ThresholdScreen::default(),
            reliability: ReliabilityScreen::default(),
            triage: Triage::default(),
            run: RunScreen::default(),
            home: HomeScreen::default(),
            leaving: false,
            picture: PictureScreen::default(),
            tables: None,
        }
    }

    /// What only the event loop can do, once.
    pub fn wish(&mut self) -> Option<Wish> {
        self.wish.take()
    }

    /// A key.
    pub fn key(&mut self, key: KeyEvent) {
        self.shared.message = None;
        if let Some(prompt) = self.shared.prompt.take() {
            return self.type_into(prompt, key);
        }
        match std::mem::replace(&mut self.popup, Popup::None) {
            Popup::None => {}
            Popup::Help(first) => match key.code {
                KeyCode::Down | KeyCode::Char('j') => return self.popup = Popup::Help(first + 1),
                KeyCode::Up | KeyCode::Char('k') => return self.popup = Popup::Help(first.saturating_sub(1)),
                _ => return,
            },
            Popup::Palette(chooser) => return self.palette(chooser, key),
            Popup::Tables(chooser) => return self.choose_table(chooser, key),
        }
        if let Some(action) = keymap::action(key, self.screen) {
            self.act(action);
        }
    }

    /// A click, a drag or the wheel.
    pub fn mouse(&mut self, event: MouseEvent) {
        // A box lies over what was clicked on.
        if self.shared.prompt.is_some() || !matches!(self.popup, Popup::None) {
            return;
        }
        let (column, row) = (event.column, event.row);
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left) => {
                let tab = self.tabs.iter().find(|(area, _)| area.contains((column, row).into()));
                if let Some(&(_, screen)) = tab {
                    self.act(Action::Go(screen));
                } else if let Some(&(_, i)) =
                    self.shared.zones.iter().find(|(area, _)| area.contains((column, row).into()))
                {
                    self.pick(i);
                } else if self.screen == Screen::Threshold {
                    self.threshold.click(column, row, &mut self.shared);
                }
            }
            MouseEventKind::ScrollDown => self.act(Action::Down),
            MouseEventKind::ScrollUp => self.act(Action::Up),
            _ => {}
        }
    }

    /// Chooses what was clicked on.
    fn pick(&mut self, i: usize) {
        match self.screen {
            Screen::Triage => self.triage.pick(i),
            Screen::Home => self.home.pick(i),
            _ => self.shared.label = i,
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Quit if self.run.running() && !self.leaving => {
                self.leaving = true;
                self.run.stop();
                self.shared.say("stopping after this batch; all of it is kept (again: leave at once)");
            }
            Action::Quit => self.wish = Some(Wish::Quit),
            Action::PreviousLabel => self.shared.move_label(Action::Up),
            Action::NextLabel => self.shared.move_label(Action::Down),
            Action::Suspend => self.wish = Some(Wish::Suspend),
            Action::Redraw => self.wish = Some(Wish::Redraw),
            Action::Help => self.popup = Popup::Help(0),
            Action::Palette => self.popup = self.open_palette(),
            Action::Published => self.open_tables(),
            Action::Theme => self.shared.theme.cycle(),
            Action::Ascii => self.shared.theme.ascii = !self.shared.theme.ascii,
            Action::Go(screen) => self.screen = screen,
            Action::NextScreen => self.turn(1),
            Action::PreviousScreen => self.turn(Screen::ALL.len() - 1),
            Action::Pin if self.shared.beside.pinned.is_some() => self.pin(None),
            Action::Pin => {
                self.shared.ask(Prompt::new(Ask::Pin, "run folder or predictions file to compare with", ""));
            }
            _ => self.act_on_screen(action),
        }
    }

    fn turn(&mut self, by: usize) {
        let at = Screen::ALL.iter().position(|s| *s == self.screen).unwrap_or(0);
        self.screen = Screen::ALL[(at + by) % Screen::ALL.len()];
    }

    fn act_on_screen(&mut self, action: Action) {
        let shared = &mut self.shared;
        match self.screen {
            Screen::Table => self.table.act(action, shared),
            Screen::Roc => self.roc.act(action, shared),
            Screen::PrecisionRecall => self.precision_recall.act(action, shared),
            Screen::Threshold => self.threshold.act(action, shared),
            Screen::Reliability => self.reliability.act(action, shared),
            Screen::Distribution => distribution::act(action, shared),
            Screen::Triage => self.triage.act(action, shared),
            Screen::Picture => self.picture.act(action, shared),
            Screen::Run => self.run.act(action, shared),
            Screen::Home if action == Action::Start && self.run.running() => shared.say(BUSY),
            Screen::Home => {
                if let Some(path) = self.home.act(action, shared) {
                    self.open(&path);
                }
            }
        }
    }
}
