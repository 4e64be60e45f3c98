//! The program's state, what keys do to it, and how it is drawn. Nothing here knows of a real terminal, so that tests
//! drive it by key strings.

mod draw;
mod typing;

use std::path::Path;
use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::cluster::job::JobFolder;
use crate::error::{Error, Result};
use crate::predictions::{self, Predictions};
use crate::run::RunFolder;
use crate::tui::analysis::{Analysis, Overview};
use crate::tui::jobs::News;
use crate::tui::keymap::{self, Action, Screen};
use crate::tui::live::Begun;
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
use crate::tui::watch::Watch;
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
    Palette(String, usize),
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
        }
    }

    /// Opens a run folder or predictions file. The numbers that stand in a run are there at once; its rows are read and
    /// its numbers computed anew while the first frames are drawn. A run that is not finished is watched.
    pub fn open(&mut self, path: &Path) {
        let folder = RunFolder::new(path);
        if folder.journal().exists() || JobFolder::new(path).is_under_way() {
            if self.run.running() && self.run.folder().as_deref() != Some(path) {
                return self.shared.say(BUSY);
            }
            self.screen = Screen::Run;
            if self.run.running() {
                return;
            }
            let images = self.shared.images.clone();
            return self
                .shared
                .jobs
                .start(move |_| News::Attached(Watch::attach(folder, images.as_deref()).map(Box::new)));
        }
        self.screen = Screen::Table;
        match Overview::open(path) {
            Ok(overview) => {
                let file = overview.predictions.clone();
                self.show(overview, move || predictions::read(&file, None));
            }
            Err(e) if self.shared.overview.is_none() => self.failed = Some(e),
            Err(e) => self.shared.say(e.to_string()),
        }
    }

    /// Shows a table whose rows `read` gives.
    pub fn show(&mut self, overview: Overview, read: impl FnOnce() -> Result<Predictions> + Send + 'static) {
        let overview = Arc::new(overview);
        self.failed = None;
        self.shared.turn_to(overview.clone());
        self.triage.forget();
        self.shared.jobs.start(move |outbox| {
            match read().and_then(|rows| Analysis::new(overview.clone(), rows)).map(Arc::new) {
                Ok(analysis) => {
                    outbox.post(News::Read(overview.clone(), Ok(analysis.clone())));
                    analysis.prepare();
                    let evaluation = analysis.evaluate().map(Box::new);
                    News::Evaluated(overview, evaluation)
                }
                Err(e) => News::Read(overview, Err(e)),
            }
        });
    }

    /// Does the inference of a run that was begun, and watches it.
    pub fn start(&mut self, begun: Begun) {
        self.screen = Screen::Run;
        self.run.start(begun, &mut self.shared);
    }

    /// What became of this process's run, once it has ended.
    pub fn outcome(&self) -> Option<&Result<()>> {
        self.run.outcome()
    }

    /// What is to be done from time to time.
    pub fn tick(&mut self) {
        self.run.tick(&mut self.shared);
    }

    /// Waits until no work is going on; for tests.
    pub fn settle(&mut self) {
        while let Some(news) = self.shared.jobs.wait() {
            self.hear(news);
        }
    }

    /// Takes in what other threads have done. Whether there was anything.
    pub fn news(&mut self) -> bool {
        let mut any = false;
        while let Some(news) = self.shared.jobs.news() {
            self.hear(news);
            any = true;
        }
        any
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Read(of, result) if self.shared.is_open(&of) => match result {
                Ok(analysis) => self.shared.take(analysis),
                Err(e) => self.failed = Some(e),
            },
            News::Evaluated(of, result) if self.shared.is_open(&of) => match result {
                Ok(evaluation) => self.shared.take_evaluation(*evaluation),
                Err(e) => self.failed = Some(e),
            },
            News::Samples(of, found) if self.shared.is_open(&of) => self.shared.take_pictures(found),
            News::Read(..) | News::Evaluated(..) | News::Samples(..) => {}
            News::Pinned(Ok(analysis)) => {
                self.shared.say(format!("B: {}", analysis.overview.name));
                self.shared.pin(Some(analysis));
            }
            News::Compared(of, differences) => self.shared.take_differences(&of, differences),
            News::BrokenDown(of, attribute, found) => self.table.subgroups.hear(&of, attribute, found),
            News::Attached(Ok(watch)) => self.run.attach(*watch),
            News::Calibrated(question, answer) => self.reliability.hear(&question, answer),
            News::Looked(look) => {
                if let Some(look) = self.triage.viewer.hear(look) {
                    drop(self.picture.viewer.hear(look));
                }
            }
            News::Progress(progress) => self.run.progress(progress),
            News::Watched(watch, fault) => {
                let folder = watch.folder.path().to_owned();
                if self.run.hear(watch, fault, &mut self.shared) {
                    self.open(&folder);
                }
            }
            News::Begun(Ok(begun)) => self.start(*begun),
            News::Ended(result) => self.end(result),
            News::Begun(Err(e)) | News::Pinned(Err(e)) | News::Attached(Err(e)) => self.shared.say(e.to_string()),
        }
    }

    fn end(&mut self, result: Result<()>) {
        let finished = result.is_ok();
        self.shared.say(match &result {
            Ok(()) => "the run is finished".to_owned(),
            Err(e) => e.to_string(),
        });
        self.run.end(result);
        if self.leaving {
            self.wish = Some(Wish::Quit);
        } else if let (true, Some(folder)) = (finished, self.run.folder()) {
            let shown = self.screen;
            self.open(&folder);
            // A person who looks at something else is not taken away from it.
            self.screen = if shown == Screen::Run { Screen::Table } else { shown };
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
            Popup::Palette(text, chosen) => return self.palette(text, chosen, key),
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
            Action::Palette => self.popup = Popup::Palette(String::new(), 0),
            Action::Theme => self.shared.theme.cycle(),
            Action::Ascii => self.shared.theme.ascii = !self.shared.theme.ascii,
            Action::Go(screen) => self.screen = screen,
            Action::NextScreen => self.turn(1),
            Action::PreviousScreen => self.turn(Screen::ALL.len() - 1),
            Action::Pin if self.shared.pinned.is_some() => self.shared.pin(None),
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
