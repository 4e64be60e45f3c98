//! Inference that this process does, on a thread beside the UI.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cards::catalogue;
use crate::data;
use crate::device::{Precision, Wanted};
use crate::error::{Error, Result};
use crate::inference::engine::{Pace, Progress};
use crate::inference::finding::Finding;
use crate::inference::journal::Others;
use crate::inference::preflight;
use crate::inference::session::{Plan, Session, Start};
use crate::metrics::evaluation::{self, Evaluation, Settings};
use crate::metrics::recalibration::Calibrators;
use crate::predictions::Policy;
use crate::run::{Calibration, RunFolder};
use crate::tui::jobs::{Jobs, News};
use crate::tui::watch::Watch;

/// How often a run that is held looks whether it may go on.
const LOOK: Duration = Duration::from_millis(50);

/// A begun run and how to watch it.
pub struct Begun {
    /// The run.
    pub session: Box<Session>,
    /// Its watch.
    pub watch: Watch,
    /// What becomes of uncertain and unmentioned labels.
    pub policy: Policy,
    /// What a person should know before it, a line each.
    pub notes: Vec<String>,
}

/// What a person wants to evaluate.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// A bundled model card's name or the path of a card.
    pub model: String,
    /// A bundled dataset card's name, the path of a card, or a folder.
    pub data: String,
    /// A split; empty: all.
    pub split: String,
    /// Where the network runs.
    pub device: Wanted,
    /// The folder of the dataset's files, where the card does not say.
    pub images: Option<PathBuf>,
}

/// Begins a run, or goes on with the one that stands unfinished in its usual folder.
pub fn begin(request: &Request) -> Result<Begun> {
    let place = request.device.open(Precision::F32)?;
    let (model, home) = catalogue::model(&request.model)?;
    let card = catalogue::dataset(&request.data)?;
    let split = Some(request.split.as_str()).filter(|s| !s.is_empty());
    let dataset = data::load(&card, request.images.as_deref(), split)?;
    let folder = RunFolder::usual(&model, &card, split, None);
    let before = preflight::before(&model, &home, &dataset, &place.device)?;
    let notes = [place.notes.clone(), before].concat();
    let policy = Policy::default();
    let watch = Watch::new(folder.clone(), &model, policy, dataset.clone());
    let plan = Plan {
        model: (model, home),
        dataset_card: card,
        dataset,
        split: split.map(str::to_owned),
        limit: None,
        part: None,
        policy,
        calibration: None,
        training: None,
        place,
        pace: Pace { batch: None, decoders: rayon::current_num_threads(), strict: false },
        resume: folder.journal().exists(),
        others: Others::Refused,
        folder: folder.clone(),
    };
    match Session::begin(plan)? {
        Start::Begun(session) => Ok(Begun { session, watch, policy, notes }),
        Start::AlreadyFinished => Err(Error::new("this run is finished already").at(folder.path().display())),
    }
}

/// Holds or ends a run.
#[derive(Clone, Default)]
pub struct Control {
    stop: Arc<AtomicBool>,
    pause: Arc<AtomicBool>,
}

impl Control {
    /// Ends the run after the batch that is being computed; all of it is kept.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether it was told to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Holds the run, or lets it go on.
    pub fn toggle_pause(&self) {
        self.pause.fetch_xor(true, Ordering::SeqCst);
    }

    /// Whether it is held.
    pub fn paused(&self) -> bool {
        self.pause.load(Ordering::SeqCst)
    }
}

/// Starts the inference of a begun run.
pub fn start(session: Box<Session>, policy: Policy, jobs: &mut Jobs) -> Control {
    let control = Control::default();
    let held = control.clone();
    jobs.start(move |outbox| {
        let mut report = |progress: Progress| {
            outbox.post(News::Progress(progress));
            while held.paused() && !held.stopped() {
                std::thread::sleep(LOOK);
            }
        };
        News::Ended(complete(session, policy, &held.stop, &mut report).map(drop))
    });
    control
}

/// Does what is left of a begun run: inference, the run's calibration, evaluation, and the files.
pub fn complete(
    mut session: Box<Session>,
    policy: Policy,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Progress),
) -> Result<(Evaluation, Finding)> {
    let calibration = session.plan().calibration.clone();
    let mut finding = session
        .infer(stop, report)
        .map_err(|e| e.mend("all of it is kept: go on with the same command and --resume"))?;
    let evaluation = evaluate(&mut finding, calibration.as_ref(), policy)?;
    session.finish(&finding, evaluation.to_json()?.as_bytes())?;
    Ok((evaluation, finding))
}

/// Puts a finding's probabilities through the run's calibration and evaluates them.
pub fn evaluate(finding: &mut Finding, calibration: Option<&Calibration>, policy: Policy) -> Result<Evaluation> {
    if let Some(calibration) = calibration {
        Calibrators::parse(&calibration.content)?.apply(&mut finding.predictions)?;
    }
    evaluation::evaluate(&finding.predictions, None, &Settings { policy, ..Settings::default() })
}
