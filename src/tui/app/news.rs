//! What is opened, and what the app does when other threads have got on with it.

use std::path::Path;
use std::sync::Arc;

use super::{App, BUSY, Wish};
use crate::cluster::job::JobFolder;
use crate::error::Result;
use crate::predictions::{self, Predictions};
use crate::run::{RunFolder, TrainingFolder};
use crate::tui::analysis::{Analysis, Overview};
use crate::tui::jobs::News;
use crate::tui::keymap::Screen;
use crate::tui::live::Begun;
use crate::tui::published;
use crate::tui::training::TrainingWatch;
use crate::tui::watch::Watch;

impl App {
    /// Opens a run folder or predictions file. The numbers that stand in a run are there at once; its rows are read and
    /// its numbers computed anew while the first frames are drawn. A run that is not finished is watched.
    pub fn open(&mut self, path: &Path) {
        let folder = RunFolder::new(path);
        let training = TrainingFolder::new(path);
        if training.log().exists() && !self.run.running() {
            self.screen = Screen::Run;
            return self.run.watch_training(TrainingWatch::new(training));
        }
        self.run.leave_training();
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
                    let dataset = overview.description.as_ref().map(|d| d.dataset.name.as_str());
                    outbox.post(News::Tables(published::choices(dataset)));
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
                Ok(found) => self.shared.take_evaluation(found.0, found.1),
                Err(e) => self.failed = Some(e),
            },
            News::Sources(of, found) if self.shared.is_open(&of) => self.shared.pictures.take(found),
            News::Read(..) | News::Evaluated(..) | News::Sources(..) => {}
            News::Tables(tables) => self.tables = Some(tables),
            News::Pinned(Ok(analysis)) => {
                self.shared.say(format!("B: {}", analysis.overview.name));
                self.pin(Some(analysis));
            }
            News::Compared(of, differences) => {
                let shared = &mut self.shared;
                shared.beside.take_differences(shared.analysis.as_ref(), &of, differences);
            }
            News::Reproduced(of, name, found) => {
                let shared = &mut self.shared;
                shared.beside.take_reproduction(shared.analysis.as_ref(), &of, &name, found);
            }
            News::Listed(of, what, rows) => self.triage.hear(&of, what, rows, &self.shared),
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
}
