//! The program's state, what keys do to it, and how it is drawn. Nothing here knows of a real terminal, so that tests
//! drive it by key strings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use crate::error::{Error, Result};
use crate::predictions::{self, Predictions};
use crate::tui::analysis::{Analysis, Overview};
use crate::tui::jobs::News;
use crate::tui::keymap::{self, Action, Screen};
use crate::tui::live::Begun;
use crate::tui::screens::curves::{Curve, CurveScreen};
use crate::tui::screens::distribution;
use crate::tui::screens::home::{HomeScreen, Opened};
use crate::tui::screens::picture::PictureScreen;
use crate::tui::screens::reliability::ReliabilityScreen;
use crate::tui::screens::run::RunScreen;
use crate::tui::screens::table::TableScreen;
use crate::tui::screens::threshold::ThresholdScreen;
use crate::tui::screens::triage::Triage;
use crate::tui::shared::Shared;
use crate::tui::theme::Theme;
use crate::tui::widgets::popup::{self, Ask, Prompt};

/// The smallest terminal that everything fits into.
pub const SMALLEST: (u16, u16) = (80, 24);

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
    /// its numbers computed anew while the first frames are drawn.
    pub fn open(&mut self, path: &Path) {
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
            News::Begun(Err(e)) | News::Pinned(Err(e)) => self.shared.say(e.to_string()),
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
        let (column, row) = (event.column, event.row);
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left) => {
                let tab = self.tabs.iter().find(|(area, _)| area.contains((column, row).into()));
                if let Some(&(_, screen)) = tab {
                    self.act(Action::Go(screen));
                } else if self.screen == Screen::Threshold {
                    self.threshold.click(column, row, &mut self.shared);
                }
            }
            MouseEventKind::ScrollDown => self.act(Action::Down),
            MouseEventKind::ScrollUp => self.act(Action::Up),
            _ => {}
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
            Screen::Home => match self.home.act(action, shared) {
                Some(Opened::Run(path)) => self.open(&path),
                Some(Opened::Watch(watch)) => {
                    self.run.attach(*watch);
                    self.screen = Screen::Run;
                }
                None => {}
            },
        }
    }

    fn type_into(&mut self, mut prompt: Prompt, key: KeyEvent) {
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
            Ask::Model | Ask::Data | Ask::Split | Ask::Images => self.home.answer(ask, text, &mut self.shared),
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
    fn commands(&self, text: &str) -> Vec<&'static keymap::Binding> {
        let wanted = text.to_lowercase();
        keymap::on(self.screen).filter(|b| b.says.to_lowercase().contains(&wanted)).collect()
    }

    fn palette(&mut self, mut text: String, chosen: usize, key: KeyEvent) {
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

    /// Draws everything.
    pub fn draw(&mut self, frame: &mut Frame) {
        self.shared.picture = None;
        let area = frame.area();
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            return self.draw_too_small(frame, area);
        }
        let [tabs, title, body, bar] =
            Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
                .areas(area);
        self.draw_tabs(frame, tabs);
        self.draw_title(frame, title);
        self.draw_screen(frame, body);
        self.draw_bar(frame, bar);
        self.draw_popup(frame, body);
    }

    fn draw_too_small(&self, frame: &mut Frame, area: Rect) {
        let missing = |has: u16, needs: u16, what: &str| match needs.saturating_sub(has) {
            0 => None,
            n => Some(format!("{n} {what}")),
        };
        let missing = [missing(area.width, SMALLEST.0, "columns"), missing(area.height, SMALLEST.1, "rows")];
        let missing = missing.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        let text = format!("roentgen needs {}x{} cells; {missing} are missing here", SMALLEST.0, SMALLEST.1);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
    }

    fn draw_tabs(&mut self, frame: &mut Frame, area: Rect) {
        let theme = &self.shared.theme;
        self.tabs.clear();
        let mut x = area.x;
        for (i, screen) in Screen::ALL.into_iter().enumerate() {
            let name = if area.width < 100 { screen.short() } else { screen.name() };
            let text = format!(" {} {name}", (i + 1) % 10);
            let style = if screen == self.screen { theme.selected() } else { theme.dim() };
            let width = text.chars().count() as u16;
            let place = Rect::new(x, area.y, width.min(area.right().saturating_sub(x)), 1);
            frame.buffer_mut().set_stringn(x, area.y, text, usize::from(place.width), style);
            self.tabs.push((place, screen));
            x = (x + width).min(area.right());
        }
    }

    fn draw_title(&self, frame: &mut Frame, area: Rect) {
        let shared = &self.shared;
        let text = match (&shared.overview, &shared.evaluation) {
            (Some(o), Some(e)) => {
                let patients = e.n_patients.map(|n| format!(" of {n} patients")).unwrap_or_default();
                let label = e.labels.get(shared.label).map_or("", |l| l.label.as_str());
                format!(" {}: {} images{patients} | {label}", o.name, e.n_images)
            }
            (Some(o), None) => format!(" {}", o.name),
            (None, _) => " roentgen: a research tool, not a medical device".to_owned(),
        };
        frame.buffer_mut().set_stringn(area.x, area.y, text, usize::from(area.width), shared.theme.bold());
    }

    fn draw_screen(&mut self, frame: &mut Frame, area: Rect) {
        let shared = &mut self.shared;
        match self.screen {
            Screen::Picture => return self.picture.draw(frame, area, shared),
            Screen::Run => return self.run.draw(frame, area, shared),
            Screen::Home => return self.home.draw(frame, area, shared),
            _ => {}
        }
        let ready = shared.analysis.is_some() || (self.screen == Screen::Table && shared.evaluation.is_some());
        if self.failed.is_some() || !ready {
            let text = match &self.failed {
                Some(e) => format!("error: {e}"),
                None if shared.overview.is_some() => "reading the table ...".to_owned(),
                None => "no run is open: choose one on panel 9".to_owned(),
            };
            return frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        }
        match self.screen {
            Screen::Table => self.table.draw(frame, area, shared),
            Screen::Roc => self.roc.draw(frame, area, shared),
            Screen::PrecisionRecall => self.precision_recall.draw(frame, area, shared),
            Screen::Threshold => self.threshold.draw(frame, area, shared),
            Screen::Reliability => self.reliability.draw(frame, area, shared),
            Screen::Distribution => distribution::draw(frame, area, shared),
            Screen::Triage => self.triage.draw(frame, area, shared),
            Screen::Picture | Screen::Run | Screen::Home => {}
        }
    }

    /// The main keys of the panel, or what was just said.
    fn draw_bar(&self, frame: &mut Frame, area: Rect) {
        let theme = &self.shared.theme;
        if let Some(message) = &self.shared.message {
            return frame.render_widget(Line::raw(message.as_str()), area);
        }
        let (own, common): (Vec<_>, Vec<_>) =
            keymap::on(self.screen).filter(|b| b.bar).partition(|b| b.scope != keymap::Scope::Everywhere);
        let width = |b: &keymap::Binding| b.keys[0].chars().count() + b.says.chars().count() + 3;
        let mut room = usize::from(area.width).saturating_sub(common.iter().copied().map(width).sum());
        let fitting = own.into_iter().take_while(|b| {
            let fits = width(b) <= room;
            room = room.saturating_sub(width(b));
            fits
        });
        let mut spans = Vec::new();
        for binding in fitting.chain(common) {
            spans.push(Span::styled(format!(" {}", binding.keys[0]), theme.key()));
            spans.push(Span::raw(format!(" {} ", binding.says)));
        }
        frame.render_widget(Line::from(spans), area);
    }

    fn draw_popup(&mut self, frame: &mut Frame, area: Rect) {
        let theme = self.shared.theme;
        let buffer = frame.buffer_mut();
        if let Some(prompt) = &self.shared.prompt {
            prompt.draw(area, buffer, &theme);
        }
        let lines: Vec<Line> = match &self.popup {
            Popup::None => Vec::new(),
            Popup::Help(_) => keymap::on(self.screen)
                .map(|b| {
                    let keys = b.keys.join(" ");
                    Line::from(vec![Span::styled(format!(" {keys:<14}"), theme.key()), Span::raw(b.says)])
                })
                .collect(),
            Popup::Palette(text, chosen) => {
                let prompt = Line::raw(format!(" {text}{}", theme.sign("▏", "_")));
                let rows = usize::from(area.height).saturating_sub(4);
                let first = (chosen + 1).saturating_sub(rows);
                let command = |(i, b): (usize, &&keymap::Binding)| {
                    let line = format!(" {:<46} {:<14}", b.says, b.keys.join(" "));
                    if i == *chosen { Line::styled(line, theme.selected()) } else { Line::raw(line) }
                };
                let found = self.commands(text);
                std::iter::once(prompt).chain(found.iter().enumerate().map(command).skip(first).take(rows)).collect()
            }
        };
        match &mut self.popup {
            Popup::None => {}
            Popup::Help(first) => {
                let rows = usize::from(area.height).saturating_sub(2);
                *first = (*first).min(lines.len().saturating_sub(rows));
                let more = if lines.len() > rows { "; Down for more" } else { "" };
                let title = format!("keys on {}{more}", self.screen.name());
                let shown = lines.into_iter().skip(*first).take(rows).collect();
                popup::draw(&title, shown, 64, area, buffer, &theme);
            }
            Popup::Palette(..) => popup::draw("commands", lines, 64, area, buffer, &theme),
        }
        // A picture over a box would hide it.
        if self.shared.prompt.is_some() || !matches!(self.popup, Popup::None) {
            self.shared.picture = None;
        }
    }
}
