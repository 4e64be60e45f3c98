//! What the panels share: the opened table and what it is held against, the chosen label and its threshold, where pictures
//! are.

use std::path::PathBuf;
use std::sync::Arc;

use ratatui::layout::Rect;

use crate::audit::preflight::Warning;
use crate::metrics::evaluation::{Evaluation, LabelEvaluation};
use crate::metrics::operating_point::Rule;
use crate::tui::analysis::{Analysis, LabelData, Overview};
use crate::tui::annotations::{Annotations, Kind};
use crate::tui::beside::Beside;
use crate::tui::image::{Graphics, Prepared};
use crate::tui::jobs::Jobs;
use crate::tui::keymap::Action;
use crate::tui::sources::{self, Pictures};
use crate::tui::theme::Theme;
use crate::tui::viewer::Explainer;
use crate::tui::widgets::popup::{Ask, Prompt};

/// What the panels share.
pub struct Shared {
    /// How everything looks.
    pub theme: Theme,
    /// How pictures are drawn.
    pub graphics: Graphics,
    /// Work on other threads.
    pub jobs: Jobs,
    /// The opened table.
    pub overview: Option<Arc<Overview>>,
    /// Its numbers: those that stand in the run, until they are computed anew.
    pub evaluation: Option<Evaluation>,
    /// Its rows, once they are read.
    pub analysis: Option<Arc<Analysis>>,
    /// What is probably wrong with its outputs, once they were looked at.
    pub warnings: Option<Vec<Warning>>,
    /// What it is held against.
    pub beside: Beside,
    /// The chosen label.
    pub label: usize,
    /// A threshold for each label.
    pub thresholds: Vec<f64>,
    /// Where each comes from.
    pub sources: Vec<String>,
    /// Marks, notes and thresholds that are kept.
    pub annotations: Annotations,
    /// The picture of this frame, for protocols that print beside it.
    pub picture: Option<(Arc<Prepared>, Rect)>,
    /// Places of this frame that a click chooses, with the number of what stands there.
    pub zones: Vec<(Rect, usize)>,
    /// The folder of the pictures, where the cards do not say.
    pub images: Option<PathBuf>,
    /// The model that was chosen to look at pictures.
    pub chosen_model: Option<Explainer>,
    /// A remark that stands in the bar until the next key.
    pub message: Option<String>,
    /// A line that is being typed.
    pub prompt: Option<Prompt>,
    /// Where the pictures of the opened table are.
    pub pictures: Pictures,
    run_model: Option<Explainer>,
}

impl Shared {
    /// With nothing opened.
    pub fn new(theme: Theme) -> Self {
        Self {
            theme,
            graphics: Graphics::default(),
            jobs: Jobs::default(),
            overview: None,
            evaluation: None,
            analysis: None,
            warnings: None,
            beside: Beside::default(),
            label: 0,
            thresholds: Vec::new(),
            sources: Vec::new(),
            annotations: Annotations::default(),
            picture: None,
            zones: Vec::new(),
            images: None,
            chosen_model: None,
            message: None,
            prompt: None,
            pictures: Pictures::default(),
            run_model: None,
        }
    }

    /// Turns to a table whose rows are not read yet.
    pub fn turn_to(&mut self, overview: Arc<Overview>) {
        self.annotations = Annotations::read(&overview.annotations).unwrap_or_else(|e| {
            self.say(e.to_string());
            Annotations::default()
        });
        self.run_model = overview.description.as_ref().map(sources::explainer);
        self.evaluation = overview.evaluation();
        (self.analysis, self.label, self.pictures) = (None, 0, Pictures::default());
        self.warnings = None;
        self.beside.forget();
        self.overview = Some(overview);
        let youden = |l: &LabelEvaluation| {
            let point = l.operating_points.iter().find(|p| p.rule == Rule::Youden.name());
            (l.label.clone(), point.map(|p| p.threshold))
        };
        let fitted: Vec<_> = self.evaluation.iter().flat_map(|e| &e.labels).map(youden).collect();
        self.begin_at(fitted);
    }

    /// Takes the rows of the table that was turned to.
    pub fn take(&mut self, analysis: Arc<Analysis>) {
        let names = |e: &Evaluation| e.labels.iter().map(|l| &l.label).eq(analysis.labels.iter().map(|l| &l.name));
        // A stored evaluation of other labels is none of this table.
        self.evaluation.take_if(|e| !names(e));
        self.begin_at(analysis.labels.iter().map(|l| (l.name.clone(), l.fit(Rule::Youden))).collect());
        self.label = self.label.min(analysis.labels.len().saturating_sub(1));
        self.analysis = Some(analysis);
        self.beside.compare(self.analysis.as_ref(), &mut self.jobs);
    }

    /// Sets the thresholds that are kept for each label, else the fitted ones.
    fn begin_at(&mut self, fitted: Vec<(String, Option<f64>)>) {
        let begin = |(name, fitted): (String, Option<f64>)| {
            let mut rows = self.annotations.rows().iter().filter(|a| a.kind == Kind::Threshold && a.label == name);
            match (rows.find_map(|a| a.value), fitted) {
                (Some(kept), _) => (kept, "kept".to_owned()),
                (None, Some(fitted)) => (fitted, Rule::Youden.name().to_owned()),
                (None, None) => (0.5, String::new()),
            }
        };
        (self.thresholds, self.sources) = fitted.into_iter().map(begin).unzip();
    }

    /// Whether `overview` is that of the opened table.
    pub fn is_open(&self, overview: &Arc<Overview>) -> bool {
        self.overview.as_ref().is_some_and(|now| Arc::ptr_eq(now, overview))
    }

    /// Takes the freshly computed numbers, and what speaks against them. Those that stood in the run must be the same, to
    /// the byte.
    pub fn take_evaluation(&mut self, evaluation: Evaluation, warnings: Vec<Warning>) {
        let stored = self.overview.as_ref().and_then(|o| o.stored.as_deref());
        if let (Some(stored), Ok(text)) = (stored, evaluation.to_json())
            && stored != text
        {
            self.say("evaluation.json does not follow from predictions.csv; shown is what does");
        }
        (self.evaluation, self.warnings) = (Some(evaluation), Some(warnings));
    }

    /// The numbers of label `i`.
    pub fn entry(&self, i: usize) -> Option<&LabelEvaluation> {
        self.evaluation.as_ref()?.labels.get(i)
    }

    /// The rows of the chosen label.
    pub fn rows(&self) -> Option<&LabelData> {
        self.analysis.as_ref()?.labels.get(self.label)
    }

    /// Why the chosen label has no curves, in words.
    pub fn why_not(&self) -> String {
        self.entry(self.label).and_then(|l| l.not_evaluable.clone()).unwrap_or_default()
    }

    /// The same label of the pinned table.
    pub fn pinned_rows(&self) -> Option<&LabelData> {
        let pinned = self.beside.pinned.as_ref()?;
        pinned.labels.get(pinned.find(&self.rows()?.name)?)
    }

    /// Shows a remark until the next key.
    pub fn say(&mut self, text: impl Into<String>) {
        self.message = Some(text.into());
    }

    /// Asks for a line of text.
    pub fn ask(&mut self, prompt: Prompt) {
        self.prompt = Some(prompt);
    }

    /// Carries an action out that moves between labels.
    pub fn move_label(&mut self, action: Action) {
        match action {
            Action::Up => self.label = self.label.saturating_sub(1),
            Action::Down => self.label = (self.label + 1).min(self.thresholds.len().saturating_sub(1)),
            _ => {}
        }
    }

    /// Carries an action out that moves the threshold (by `step` of the scores' range) or between labels.
    pub fn act_on_threshold(&mut self, action: Action, step: f64) {
        let Some(label) = self.rows() else { return };
        let now = self.thresholds[self.label];
        let (low, high) = label.range();
        let by = (high - low) * step;
        let cuts = label.ranked.as_ref().map_or(&[][..], |r| r.cuts());
        let to = match action {
            // On the grid of the step, so that going there and back ends where it began.
            Action::Left => Some((((now - low) / by - 1.0).round() * by + low).max(low)),
            Action::Right => Some((((now - low) / by + 1.0).round() * by + low).min(high)),
            Action::ScoreBelow => cuts.get(cuts.partition_point(|c| c.threshold >= now)).map(|c| c.threshold),
            Action::ScoreAbove => cuts.partition_point(|c| c.threshold > now).checked_sub(1).map(|i| cuts[i].threshold),
            Action::Save => return self.save_threshold(),
            _ => return self.move_label(action),
        };
        if let Some(to) = to {
            self.set_threshold(to, "by hand");
        }
    }

    /// Sets the chosen label's threshold.
    pub fn set_threshold(&mut self, threshold: f64, source: &str) {
        self.thresholds[self.label] = threshold;
        self.sources[self.label] = source.to_owned();
    }

    /// Sets the threshold that `rule` chooses.
    pub fn fit(&mut self, rule: Rule) {
        let Some(label) = self.rows() else { return };
        let name = match rule.target() {
            Some(target) => format!("{} {target}", rule.name()),
            None => rule.name().to_owned(),
        };
        match label.fit(rule) {
            Some(threshold) => self.set_threshold(threshold, &name),
            None => self.say(format!("no threshold of this label reaches {name}")),
        }
    }

    /// Keeps the chosen label's threshold.
    pub fn save_threshold(&mut self) {
        let Some(label) = self.rows() else { return };
        let (name, threshold) = (label.name.clone(), self.thresholds[self.label]);
        match self.annotations.set_threshold(&name, threshold, &self.sources[self.label]) {
            Ok(()) => self.say(format!("threshold {threshold:.5} of {name} kept in annotations.csv")),
            Err(e) => self.say(e.to_string()),
        }
    }

    /// Starts looking for the pictures of the opened table.
    pub fn look_for_pictures(&mut self) {
        if let Some(overview) = &self.overview {
            self.pictures.look(overview, self.images.as_ref(), &mut self.jobs);
        }
    }

    /// Asks for the folder of the pictures.
    pub fn ask_for_images(&mut self) {
        let now = self.images.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        self.ask(Prompt::new(Ask::Images, "folder of the dataset's files (empty: the card's)", now));
    }

    /// Takes the folder of the pictures; `None`: where the cards say.
    pub fn set_images(&mut self, folder: Option<PathBuf>) {
        (self.images, self.pictures) = (folder, Pictures::default());
    }

    /// The model that made the opened run.
    pub fn explainer(&self) -> Option<Explainer> {
        self.run_model.clone()
    }
}
