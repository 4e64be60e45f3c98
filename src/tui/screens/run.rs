//! Inference as it goes: how far, how fast, and what the AUROCs look like by now.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::error::Error;
use crate::inference::engine::Progress;
use crate::run::Description;
use crate::tui::jobs::News;
use crate::tui::keymap::Action;
use crate::tui::live::{self, Begun, Control};
use crate::tui::shared::Shared;
use crate::tui::theme::Theme;
use crate::tui::training::TrainingWatch;
use crate::tui::watch::{Live, Watch};
use crate::tui::widgets::text::{cut, duration, interval, number, tail, wrapped};

/// How often the journal is looked at.
const EVERY: Duration = Duration::from_millis(700);

/// Failures that are shown, the latest.
const FAILURES: usize = 4;

/// The panel's state.
#[derive(Default)]
pub struct RunScreen {
    /// `None` while it is being updated on another thread, or there is no run.
    watch: Option<Box<Watch>>,
    /// What was drawn last, for the moments when the watch is away.
    drawn: Vec<Line<'static>>,
    folder: Option<PathBuf>,
    looked: Option<Instant>,
    /// Whether the run that is watched was seen to be finished.
    over: bool,
    /// Of a run that this process does.
    control: Option<Control>,
    /// A training that is watched instead of a run.
    training: Option<TrainingWatch>,
    progress: Option<(Progress, Instant, usize)>,
    /// What was to be known before this process's run.
    notes: Vec<String>,
    /// Pictures that went through the device together at first.
    batch: usize,
    ended: Option<Result<(), Error>>,
}

impl RunScreen {
    /// Starts a run that was begun.
    pub fn start(&mut self, begun: Begun, shared: &mut Shared) {
        let folder = Some(begun.watch.folder.path().to_owned());
        *self = Self { watch: Some(Box::new(begun.watch)), folder, notes: begun.notes, ..Self::default() };
        self.control = Some(live::start(begun.session, begun.policy, &mut shared.jobs));
    }

    /// Watches a run that another process does.
    pub fn attach(&mut self, watch: Watch) {
        *self = Self { watch: Some(Box::new(watch)), ..Self::default() };
    }

    /// Watches a training.
    pub fn watch_training(&mut self, training: TrainingWatch) {
        *self = Self { training: Some(training), ..Self::default() };
    }

    /// Forgets the training that was watched: something else is opened.
    pub fn leave_training(&mut self) {
        self.training = None;
    }

    /// Whether this process is inferring.
    pub fn running(&self) -> bool {
        self.control.is_some() && self.ended.is_none()
    }

    /// Where this process's run is.
    pub fn folder(&self) -> Option<PathBuf> {
        self.folder.clone()
    }

    /// What became of this process's run, once it has ended.
    pub fn outcome(&self) -> Option<&Result<(), Error>> {
        self.ended.as_ref()
    }

    /// Ends this process's run after its batch.
    pub fn stop(&self) {
        if let Some(control) = &self.control {
            control.stop();
        }
    }

    /// Looks at the journal when it is time to.
    pub fn tick(&mut self, shared: &mut Shared) {
        self.training.iter_mut().for_each(TrainingWatch::tick);
        let due = self.looked.is_none_or(|t| t.elapsed() >= EVERY);
        if due
            && !self.over
            && let Some(mut watch) = self.watch.take()
        {
            self.looked = Some(Instant::now());
            shared.jobs.start(move |_| {
                let result = watch.update();
                News::Watched(watch, result.err())
            });
        }
    }

    /// Takes the watch back. Whether the run that is watched has just finished.
    pub fn hear(&mut self, watch: Box<Watch>, fault: Option<Error>, shared: &mut Shared) -> bool {
        if let Some(fault) = fault {
            shared.say(fault.to_string());
        }
        self.over = watch.finished();
        let leaves = self.over && self.control.is_none();
        if leaves {
            // What follows is said of the opened run.
            self.drawn.clear();
        } else {
            self.watch = Some(watch);
        }
        leaves
    }

    /// Takes in how far this process's run is.
    pub fn progress(&mut self, progress: Progress) {
        let (since, before) =
            self.progress.map_or((Instant::now(), progress.done), |(_, since, before)| (since, before));
        self.progress = Some((progress, since, before));
        self.batch = self.batch.max(progress.batch);
    }

    /// Takes in that this process's run has ended.
    pub fn end(&mut self, result: Result<(), Error>) {
        self.ended = Some(result);
    }

    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        let Some(control) = self.control.as_ref().filter(|_| self.ended.is_none()) else {
            if matches!(action, Action::Pause | Action::Stop) {
                shared.say("only a run of this process can be held or stopped");
            }
            return;
        };
        match action {
            Action::Pause => control.toggle_pause(),
            Action::Stop => control.stop(),
            _ => {}
        }
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let theme = &shared.theme;
        if let Some(training) = &self.training {
            let lines = training.lines(usize::from(area.height), theme);
            return frame.render_widget(Paragraph::new(lines), area);
        }
        if let Some(watch) = &self.watch {
            self.drawn = self.lines(watch, area.width, theme);
        }
        let opened = opened(shared, area.width);
        let lines = match (self.drawn.is_empty(), opened.is_empty()) {
            (true, true) => vec![Line::raw("nothing is running: start an evaluation on panel 9")],
            (true, false) => opened,
            (false, true) => self.drawn.clone(),
            (false, false) => [self.drawn.clone(), vec![Line::raw("")], opened].concat(),
        };
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn lines(&self, watch: &Watch, width: u16, theme: &Theme) -> Vec<Line<'static>> {
        let mut lines = self.head(watch, width, theme);
        let notes = self.notes.iter().flat_map(|note| wrapped(&format!("note: {note}"), usize::from(width)));
        lines.extend(notes.map(|text| Line::styled(text, Style::new().fg(theme.orange()))));
        lines.push(Line::raw(""));
        lines.push(Line::styled(format!("{:<20} {:>6} {:>6}  AUROC  95% CI", "label", "n", "pos"), theme.bold()));
        lines.extend(watch.labels.iter().map(|l| label(l, width, theme)));
        if let Some(why) = &watch.blind {
            lines.push(Line::styled(why.clone(), theme.dim()));
        }
        if !watch.failures.is_empty() {
            lines.push(Line::raw(""));
            lines.push(Line::styled(format!("{} could not be read", watch.failures.len()), theme.bold()));
            let latest = watch.failures.iter().rev().take(FAILURES);
            lines.extend(latest.map(|(image, reason)| Line::raw(format!("  {}: {reason}", tail(image, 40)))));
        }
        lines
    }

    fn head(&self, watch: &Watch, width: u16, theme: &Theme) -> Vec<Line<'static>> {
        let (done, total) = self.progress.map_or((watch.done, watch.total), |(p, ..)| (p.done, p.total));
        let state = match (&self.ended, &self.control) {
            (Some(Ok(())), _) => "finished".to_owned(),
            (Some(Err(e)), _) => e.to_string(),
            (None, Some(c)) if c.stopped() => "stopping after this batch; all of it is kept".to_owned(),
            (None, Some(c)) if c.paused() => "paused".to_owned(),
            (None, Some(_)) => "running".to_owned(),
            (None, None) if watch.shards.is_some() => "watched; its shards are a job's".to_owned(),
            (None, None) => "watched; another process runs it, or it was stopped".to_owned(),
        };
        let room = usize::from(width.saturating_sub(26)).min(60);
        let filled = (room * done).checked_div(total).unwrap_or(0);
        let bar = theme.sign("█", "#").repeat(filled) + &theme.sign("░", ".").repeat(room - filled);
        let mut lines = vec![
            Line::styled(format!("{}: {state}", watch.name), theme.bold()),
            Line::styled(watch.folder.path().display().to_string(), theme.dim()),
            Line::from(vec![
                Span::styled(bar, Style::new().fg(theme.blue())),
                Span::raw(format!(" {done} of {total}")),
            ]),
        ];
        if let Some((status, _)) = &watch.shards {
            lines.push(Line::raw(format!("{} shards: {}", status.shards.len(), status.counts())));
        }
        let begun = match self.progress {
            Some((_, since, before)) => Some((since, before)),
            None => watch.since,
        };
        if let Some((since, before)) = begun.filter(|(_, before)| done > *before) {
            let rate = (done - before) as f64 / since.elapsed().as_secs_f64();
            let mut text = format!("{rate:.1} images/s, {} to go", duration((total - done) as f64 / rate));
            if let Some((p, ..)) = self.progress {
                let busy = (p.waited + p.computed).as_secs_f64();
                let share = 100.0 * p.waited.as_secs_f64() / busy.max(f64::MIN_POSITIVE);
                text += &format!("; the device waits for pictures {share:.0}% of the time");
            }
            lines.push(Line::raw(text));
        }
        if let Some(memory) = self.control.as_ref().and_then(|_| memory()) {
            let device = watch.device.as_deref().unwrap_or("cpu");
            let progress = self.progress.map(|(progress, ..)| progress);
            let card = progress.and_then(|p| p.memory).map(|memory| format!(", {memory}")).unwrap_or_default();
            let text = format!("device {device}{card}, memory of the process {memory}");
            lines.push(Line::styled(text, theme.dim()));
            if let Some(text) = progress.and_then(|p| p.shrunk(self.batch)) {
                lines.push(Line::styled(text, Style::new().fg(theme.orange())));
            }
        }
        lines
    }
}

/// What made the opened run, and what is probably wrong with it.
fn opened(shared: &Shared, width: u16) -> Vec<Line<'static>> {
    let (theme, width) = (&shared.theme, usize::from(width));
    let Some(overview) = &shared.overview else { return Vec::new() };
    let mut lines = vec![Line::styled(format!("opened: {}", overview.name), theme.bold())];
    let place = overview.description.as_ref().and(overview.predictions.parent()).unwrap_or(&overview.predictions);
    lines.push(Line::styled(place.display().to_string(), theme.dim()));
    if let Some(run) = &overview.description {
        let split = run.split.as_ref().map(|s| format!(", split {s}")).unwrap_or_default();
        let calibrated = if run.calibration.is_some() { ", calibrated" } else { "" };
        let Description { images, device, instructions, precision, software, .. } = run;
        let done = shared.evaluation.as_ref().map_or(*images, |e| e.n_images);
        lines.push(Line::raw(format!("{done} of {images} images{split}{calibrated}")));
        lines.push(Line::raw(format!("device {device} ({instructions}, {precision}), {software}")));
        if done < *images {
            lines.push(Line::raw(format!("{} could not be read: failures.csv says why", images - done)));
        }
    }
    if shared.warnings.as_ref().is_some_and(Vec::is_empty) {
        let text = "outputs checked: neither constant, swapped, upside down nor squashed twice";
        lines.push(Line::styled(text, theme.dim()));
    }
    let warned = shared.warnings.iter().flatten().flat_map(|w| wrapped(&format!("check: {w}"), width));
    lines.extend(warned.map(|text| Line::styled(text, Style::new().fg(theme.orange()))));
    lines
}

fn label(live: &Live, width: u16, theme: &Theme) -> Line<'static> {
    let head = format!("{:<20} {:>6} {:>6}  ", cut(&live.name, 20), live.n, live.n_pos);
    let Some(auroc) = &live.auroc else {
        return Line::from(vec![Span::raw(head), Span::styled(live.why, theme.dim())]);
    };
    let e = &auroc.estimate;
    let numbers = format!("{}  {:<12} ", number(Some(e.value)), interval(Some(e)));
    let room = usize::from(width).saturating_sub(head.len() + numbers.len()).min(50);
    let mut spans = vec![Span::raw(head), Span::raw(numbers)];
    if room >= 10 {
        spans.push(Span::styled(whisker(e.value, e.ci_low.zip(e.ci_high), room, theme), Style::new().fg(theme.blue())));
    }
    Line::from(spans)
}

/// The interval as a line between 0.5 and 1, the value on it.
fn whisker(value: f64, ends: Option<(f64, f64)>, room: usize, theme: &Theme) -> String {
    let at = |v: f64| (((v - 0.5) * 2.0).clamp(0.0, 1.0) * (room - 1) as f64).round() as usize;
    let (low, high) = ends.map_or((room, room), |(low, high)| (at(low), at(high)));
    (0..room)
        .map(|i| match i {
            _ if i == at(value) => theme.sign("●", "o"),
            _ if (low..=high).contains(&i) => theme.sign("─", "-"),
            _ => theme.sign("·", "."),
        })
        .collect()
}

/// The process's resident memory, where the system tells it.
fn memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: f64 =
        status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()?;
    Some(format!("{:.2} GiB", kilobytes / 1024.0 / 1024.0))
}
