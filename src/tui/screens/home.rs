//! Runs, models and datasets: what is where, what is missing, and the start of an evaluation.

use std::path::{Path, PathBuf};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use crate::cards::catalogue;
use crate::device;
use crate::error::Result;
use crate::tui::inventory::{self, Group, Item, REPORTS};
use crate::tui::jobs::News;
use crate::tui::keymap::Action;
use crate::tui::live::{self, Request};
use crate::tui::shared::Shared;
use crate::tui::viewer::Explainer;
use crate::tui::widgets::popup::{Ask, Prompt};
use crate::tui::widgets::text::tail;

/// Rows of what is said of the selected item.
const MORE: u16 = 6;

/// The panel's state.
#[derive(Default)]
pub struct HomeScreen {
    items: Option<Vec<Item>>,
    selected: usize,
    request: Request,
    /// The device of the request by its name, once it was looked up.
    device: Option<String>,
}

impl HomeScreen {
    /// Carries an action out; gives the run folder that is to be opened.
    pub fn act(&mut self, action: Action, shared: &mut Shared) -> Option<PathBuf> {
        let last = self.items.as_ref().map_or(0, |i| i.len().saturating_sub(1));
        self.selected = match action {
            Action::Up => self.selected.saturating_sub(1),
            Action::Down => self.selected + 1,
            Action::PageUp => self.selected.saturating_sub(10),
            Action::PageDown => self.selected + 10,
            Action::First => 0,
            Action::Last => last,
            _ => self.selected,
        }
        .min(last);
        match action {
            Action::Refresh => self.items = None,
            Action::ChooseModel => {
                shared.ask(Prompt::new(Ask::Model, "model: a bundled card's name or a path", &*self.request.model));
            }
            Action::ChooseData => {
                let question = "dataset: a bundled card's name, a card or a folder";
                shared.ask(Prompt::new(Ask::Data, question, &*self.request.data));
            }
            Action::ChooseSplit => shared.ask(Prompt::new(Ask::Split, "split (empty: all)", &*self.request.split)),
            Action::ChooseDevice => {
                shared.ask(Prompt::new(Ask::Device, "device: auto, cpu or cuda:N", self.request.device.to_string()));
            }
            Action::ChooseImages => shared.ask_for_images(),
            Action::Start => self.start(shared),
            Action::Open => return self.open(shared),
            _ => {}
        }
        None
    }

    /// Takes the answer to a question.
    pub fn answer(&mut self, ask: Ask, text: &str, shared: &mut Shared) {
        let text = text.trim();
        let taken = match ask {
            Ask::Model => self.choose_model(text, shared),
            Ask::Data => catalogue::dataset(text).map(|_| self.request.data = text.to_owned()),
            Ask::Split => {
                self.request.split = text.to_owned();
                Ok(())
            }
            Ask::Device => text.parse().and_then(|wanted: device::Wanted| {
                self.device = Some(wanted.title()?);
                self.request.device = wanted;
                Ok(())
            }),
            Ask::Images => {
                shared.set_images((!text.is_empty()).then(|| PathBuf::from(text)));
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(e) = taken {
            shared.say(e.to_string());
        }
    }

    /// Selects an item.
    pub fn pick(&mut self, i: usize) {
        self.selected = i;
    }

    fn choose_model(&mut self, text: &str, shared: &mut Shared) -> Result<()> {
        let (card, home) = catalogue::model(text)?;
        shared.chosen_model = Some(Explainer { card, home, weights: None });
        self.request.model = text.to_owned();
        Ok(())
    }

    fn open(&mut self, shared: &mut Shared) -> Option<PathBuf> {
        let item = self.items.as_ref()?.get(self.selected)?;
        let (group, name) = (item.group, item.name.clone());
        match group {
            Group::Run | Group::Unfinished => return Some(name.into()),
            Group::Model => self.answer(Ask::Model, &name, shared),
            Group::Data => self.answer(Ask::Data, &name, shared),
        }
        None
    }

    fn start(&mut self, shared: &mut Shared) {
        if self.request.model.is_empty() || self.request.data.is_empty() {
            return shared.say("choose a model (m) and a dataset (d) first");
        }
        let request = Request { images: shared.images.clone(), ..self.request.clone() };
        shared.say("loading the model and the list of images ...");
        shared.jobs.start(move |_| News::Begun(live::begin(&request).map(Box::new)));
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let items = self.items.get_or_insert_with(inventory::items);
        let theme = &shared.theme;
        let [above, more, below] =
            Layout::vertical([Constraint::Min(4), Constraint::Length(MORE), Constraint::Length(3)]).areas(area);
        let mut lines = Vec::new();
        let mut at = 0;
        let mut group = None;
        // The item of each line.
        let mut places = Vec::new();
        if !items.iter().any(|i| matches!(i.group, Group::Run | Group::Unfinished)) {
            lines.push(Line::styled(format!("No run is below ./{REPORTS} yet"), theme.bold()));
        }
        for (i, item) in items.iter().enumerate() {
            let heading = item.group.heading();
            if group != Some(heading) {
                lines.push(Line::styled(heading, theme.bold()));
                group = Some(heading);
            }
            places.resize(lines.len(), None);
            places.push(Some(i));
            let line = format!("  {:<36} {}", tail(&item.name, 36), item.says);
            if i == self.selected {
                at = lines.len();
                lines.push(Line::styled(line, theme.selected()));
            } else {
                lines.push(Line::raw(line));
            }
        }
        let first = (at + 1).saturating_sub(usize::from(above.height));
        let rows = (above.y..above.bottom()).zip(places.iter().skip(first));
        shared.zones.extend(rows.filter_map(|(y, i)| Some((Rect { y, height: 1, ..above }, (*i)?))));
        frame.render_widget(Paragraph::new(lines.split_off(first)), above);
        if let Some(item) = items.get(self.selected) {
            let opened =
                shared.overview.as_ref().is_some_and(|o| o.predictions.parent() == Some(Path::new(&item.name)));
            let warnings = shared.warnings.iter().flatten().filter(|_| opened).map(|w| format!("check: {w}"));
            let said = std::iter::once(String::new()).chain(item.more.iter().cloned()).chain(warnings);
            let said = said.collect::<Vec<_>>().join("\n");
            frame.render_widget(Paragraph::new(said).wrap(Wrap { trim: false }).style(theme.dim()), more);
        }
        let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        let images = shared.images.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        let wanted = self.request.device;
        let device = self.device.get_or_insert_with(|| wanted.title().unwrap_or_else(|_| wanted.to_string()));
        let plan = format!(
            "evaluate (e): model {} | dataset {} | split {} | files {} | device {} (v)",
            or(&self.request.model, "none yet (m)"),
            or(&self.request.data, "none yet (d)"),
            or(&self.request.split, "all (s)"),
            or(&images, "as the card says (i)"),
            device,
        );
        frame.render_widget(Paragraph::new(vec![Line::raw(""), Line::raw(plan)]).wrap(Wrap { trim: true }), below);
    }
}
