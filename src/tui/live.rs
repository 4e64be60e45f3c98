//! Inference that this process does, on a thread beside the UI.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::inference::engine::Progress;
use crate::inference::session::Session;
use crate::metrics::evaluation::{self, Evaluation, Settings};
use crate::metrics::recalibration::Calibrators;
use crate::predictions::Policy;
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

/// Does what is left of a begun run: inference, the run's calibration, evaluation, and the files. Gives the evaluation and
/// how many images could not be read.
pub fn complete(
    mut session: Box<Session>,
    policy: Policy,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Progress),
) -> Result<(Evaluation, usize)> {
    let calibrators = session.plan().calibration.as_ref().map(|c| Calibrators::parse(&c.content)).transpose()?;
    let mut finding = session
        .infer(stop, report)
        .map_err(|e| e.mend("all of it is kept: go on with the same command and --resume"))?;
    if let Some(calibrators) = &calibrators {
        calibrators.apply(&mut finding.predictions)?;
    }
    let evaluation = evaluation::evaluate(&finding.predictions, None, &Settings { policy, ..Settings::default() })?;
    session.finish(&finding, evaluation.to_json()?.as_bytes())?;
    Ok((evaluation, finding.failures.len()))
}
