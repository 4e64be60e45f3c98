//! Runs, models and datasets: what is where, what is missing, and the start of an evaluation.

use std::path::{Path, PathBuf};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use candle_core::Device;

use crate::cards::catalogue;
use crate::cards::dataset::Layout as Kind;
use crate::data;
use crate::error::{Error, Result};
use crate::inference::engine::Pace;
use crate::inference::session::{Plan, Session, Start};
use crate::predictions::Policy;
use crate::run::RunFolder;
use crate::tui::app::Shared;
use crate::tui::jobs::News;
use crate::tui::keymap::Action;
use crate::tui::live::Begun;
use crate::tui::viewer::Explainer;
use crate::tui::watch::Watch;
use crate::tui::widgets::popup::{Ask, Prompt};
use crate::tui::widgets::text::tail;

/// Pictures that go through the device together.
const BATCH: usize = 16;

/// Where runs go unless it is said otherwise.
const REPORTS: &str = "reports";

/// The panel's state.
#[derive(Default)]
pub struct HomeScreen {
    items: Option<Vec<Item>>,
    selected: usize,
    model: String,
    data: String,
    split: String,
}

/// Something that can be opened or chosen.
struct Item {
    group: Group,
    name: String,
    says: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Run,
    Unfinished,
    Model,
    Data,
}

/// What opening an item asks of the program.
pub enum Opened {
    /// A finished run.
    Run(PathBuf),
    /// A run to watch.
    Watch(Box<Watch>),
}

impl HomeScreen {
    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) -> Option<Opened> {
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
                shared.ask(Prompt::new(Ask::Model, "model: a bundled card's name or a path", &*self.model))
            }
            Action::ChooseData => {
                shared.ask(Prompt::new(Ask::Data, "dataset: a bundled card's name, a card or a folder", &*self.data));
            }
            Action::ChooseSplit => shared.ask(Prompt::new(Ask::Split, "split (empty: all)", &*self.split)),
            Action::ChooseImages => {
                let now = shared.images.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
                shared.ask(Prompt::new(Ask::Images, "folder of the dataset's files (empty: the card's)", now));
            }
            Action::Start => self.start(shared),
            Action::Open => return self.open(shared),
            _ => {}
        }
        None
    }

    /// Takes the answer to a question.
    pub fn answer(&mut self, ask: Ask, text: &str, shared: &mut Shared) {
        let text = text.trim();
        match ask {
            Ask::Model => self.choose_model(text, shared),
            Ask::Data => self.data = text.to_owned(),
            Ask::Split => self.split = text.to_owned(),
            Ask::Images => shared.images = (!text.is_empty()).then(|| PathBuf::from(text)),
            _ => {}
        }
    }

    fn choose_model(&mut self, text: &str, shared: &mut Shared) {
        match catalogue::model(text) {
            Ok((card, home)) => {
                shared.chosen_model = Some(Explainer { card, home, weights: None });
                self.model = text.to_owned();
            }
            Err(e) => shared.say(e.to_string()),
        }
    }

    fn open(&mut self, shared: &mut Shared) -> Option<Opened> {
        let item = self.items.as_ref()?.get(self.selected)?;
        let name = item.name.clone();
        match item.group {
            Group::Run => return Some(Opened::Run(name.into())),
            Group::Unfinished => match Watch::attach(RunFolder::new(name), shared.images.as_deref()) {
                Ok(watch) => return Some(Opened::Watch(Box::new(watch))),
                Err(e) => shared.say(e.to_string()),
            },
            Group::Model => self.choose_model(&name, shared),
            Group::Data => self.data = name,
        }
        None
    }

    fn start(&mut self, shared: &mut Shared) {
        if self.model.is_empty() || self.data.is_empty() {
            return shared.say("choose a model (m) and a dataset (d) first");
        }
        let (model, data, split) = (self.model.clone(), self.data.clone(), self.split.clone());
        let images = shared.images.clone();
        shared.say("loading the model and the list of images ...");
        shared.jobs.start(move || {
            let split = Some(split.as_str()).filter(|s| !s.is_empty());
            News::Begun(begin(&model, &data, split, images.as_deref()).map(Box::new))
        });
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let items = self.items.get_or_insert_with(items);
        let theme = &shared.theme;
        let [above, below] = Layout::vertical([Constraint::Min(4), Constraint::Length(4)]).areas(area);
        let mut lines = Vec::new();
        let mut at = 0;
        let mut group = None;
        if !items.iter().any(|i| matches!(i.group, Group::Run | Group::Unfinished)) {
            lines.push(Line::styled(format!("No run is below ./{REPORTS} yet"), theme.bold()));
        }
        for (i, item) in items.iter().enumerate() {
            let heading = item.group.heading();
            if group != Some(heading) {
                lines.push(Line::styled(heading, theme.bold()));
                group = Some(heading);
            }
            let line = format!("  {:<36} {}", tail(&item.name, 36), item.says);
            if i == self.selected {
                at = lines.len();
                lines.push(Line::styled(line, theme.selected()));
            } else {
                lines.push(Line::raw(line));
            }
        }
        let first = (at + 1).saturating_sub(usize::from(above.height));
        frame.render_widget(Paragraph::new(lines.split_off(first)), above);
        let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        let images = shared.images.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        let plan = format!(
            "evaluate (e): model {} | dataset {} | split {} | files {} | device cpu",
            or(&self.model, "none yet (m)"),
            or(&self.data, "none yet (d)"),
            or(&self.split, "all"),
            or(&images, "as the card says (i)"),
        );
        frame.render_widget(Paragraph::new(vec![Line::raw(""), Line::raw(plan)]).wrap(Wrap { trim: true }), below);
    }
}

impl Group {
    fn heading(self) -> &'static str {
        match self {
            Self::Run | Self::Unfinished => "Runs below ./reports",
            Self::Model => "Models",
            Self::Data => "Datasets",
        }
    }
}

/// What there is.
fn items() -> Vec<Item> {
    let mut items = runs(Path::new(REPORTS));
    for name in catalogue::model_names() {
        let says = match catalogue::model(name) {
            Ok((card, _)) => match card.weights.repo {
                None => format!("{} labels, weights are here", card.labels.len()),
                Some(_) => format!("{} labels, weights by `roentgen weights fetch {name}`", card.labels.len()),
            },
            Err(e) => e.to_string(),
        };
        items.push(Item { group: Group::Model, name: name.to_owned(), says });
    }
    for name in catalogue::dataset_names() {
        let says = match catalogue::dataset(name) {
            Ok(card) if card.layout == Kind::Phantom => "drawn on demand".to_owned(),
            Ok(card) if card.root.is_some() => "files as the card says".to_owned(),
            Ok(card) => {
                format!("{}, give its folder (i); `roentgen datasets show {name}` tells how to get it", card.licence)
            }
            Err(e) => e.to_string(),
        };
        items.push(Item { group: Group::Data, name: name.to_owned(), says });
    }
    items
}

/// The run folders in `folder`, sorted by name.
fn runs(folder: &Path) -> Vec<Item> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    let item = |path: PathBuf| {
        let run = RunFolder::new(&path);
        let (group, says) = match (run.run_toml().exists(), run.journal().exists()) {
            (false, _) => return None,
            (true, true) => (Group::Unfinished, "unfinished: Enter watches it"),
            (true, false) => (Group::Run, "finished"),
        };
        Some(Item { group, name: path.display().to_string(), says: says.to_owned() })
    };
    paths.into_iter().filter_map(item).collect()
}

/// Begins a run, or goes on with the one that stands unfinished in its usual folder.
fn begin(model: &str, data: &str, split: Option<&str>, images: Option<&Path>) -> Result<Begun> {
    let (model, home) = catalogue::model(model)?;
    let card = catalogue::dataset(data)?;
    let dataset = data::load(&card, images, split)?;
    let folder = RunFolder::usual(&model, &card, split);
    let policy = Policy::default();
    let watch = Watch::new(folder.clone(), &model, policy, dataset.clone());
    let plan = Plan {
        model: (model, home),
        dataset_card: card,
        dataset,
        split: split.map(str::to_owned),
        limit: None,
        policy,
        calibration: None,
        device: Device::Cpu,
        pace: Pace { batch: BATCH, decoders: rayon::current_num_threads(), strict: false },
        resume: folder.journal().exists(),
        folder: folder.clone(),
    };
    match Session::begin(plan)? {
        Start::Begun(session) => Ok(Begun { session, watch, policy }),
        Start::AlreadyFinished => Err(Error::new("this run is finished already").at(folder.path().display())),
    }
}
