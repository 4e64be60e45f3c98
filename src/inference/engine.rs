//! Runs a model over samples: pictures are decoded ahead on their own threads, batches go through the device in
//! order, and what comes out of a batch is handed on before the next one starts. A card computes a batch while the next one
//! is put together and copied to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cards::model::Input;
use crate::data::Sample;
use crate::device::{self, Memory};
use crate::error::{Error, Result};
use crate::inference::batch;
use crate::inference::journal::{Outcome, Output};
use crate::inference::passes::{Flight, Passes};
use crate::inference::prefetch;
use crate::inference::prepare::prepare;
use crate::models::Model;

/// How a run goes about its work; nothing here changes an outcome on the CPU.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Pictures that go through the device together; as many as its memory holds, where nobody says.
    pub batch: Option<usize>,
    /// Threads that decode.
    pub decoders: usize,
    /// Whether the first picture that cannot be read ends the run with an error.
    pub strict: bool,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Images with an outcome, those of an earlier attempt among them.
    pub done: usize,
    /// Images in all.
    pub total: usize,
    /// Images that could not be read.
    pub failed: usize,
    /// Time that the device waited for pictures.
    pub waited: Duration,
    /// Time that the device computed, or that a card was waited for.
    pub computed: Duration,
    /// Pictures that go through the device together by now.
    pub batch: usize,
    /// The device's memory, if it is a card.
    pub memory: Option<Memory>,
}

impl Progress {
    /// What a person is told if fewer pictures go through together than the `before` that once did: memory was too little.
    pub fn shrunk(&self, before: usize) -> Option<String> {
        let batch = self.batch;
        (batch < before).then(|| format!("the device's memory is too little for more than {batch} pictures at a time"))
    }
}

/// What is run over what.
pub struct Job<'a> {
    /// The network.
    pub model: &'a Model,
    /// How its input is made.
    pub input: &'a Input,
    /// The pictures.
    pub samples: &'a [Sample],
    /// How to go about it.
    pub pace: Pace,
}

/// Runs a job, the first of whose samples have their outcomes in `kept` already, and gives an outcome for every
/// sample in order. After each batch `keep` is given its outcomes and `report` where the run stands. When `stop` becomes true the run ends between two batches
/// with an error of kind `Interrupted`.
pub fn run(
    job: &Job,
    kept: Vec<Outcome>,
    keep: &mut dyn FnMut(&[Outcome]) -> Result<()>,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Progress),
) -> Result<Vec<Outcome>> {
    let &Job { model, input, samples, pace } = job;
    let failed = kept.iter().filter(|o| matches!(o.result, Output::Failure(_))).count();
    let size = match pace.batch {
        Some(size) => size,
        None => batch::fitting(model, input, &samples[kept.len()..])?,
    };
    let memory = device::memory(model.device());
    let mut progress = Progress {
        done: kept.len(),
        total: samples.len(),
        failed,
        waited: Duration::ZERO,
        computed: Duration::ZERO,
        batch: size,
        memory,
    };
    let mut outcomes = kept;
    let mut passes = Passes::new(model, input.channels, size)?;
    let mut batch = Vec::with_capacity(size);
    let mut since = Instant::now();
    report(progress);
    // Takes in a batch that has come back.
    let mut land = |flight: Flight, mut now: Progress| -> Result<Progress> {
        let new = flight.outcomes()?;
        now.done += new.len();
        now.failed += new.iter().filter(|o| matches!(o.result, Output::Failure(_))).count();
        keep(&new)?;
        outcomes.extend(new);
        Ok(now)
    };
    prefetch::in_order(
        progress.done..samples.len(),
        pace.decoders,
        2 * size.max(pace.decoders),
        |i| prepare(&samples[i], input),
        |i, prepared| {
            if let Err(e) = &prepared.values
                && pace.strict
            {
                return Err(e.clone());
            }
            batch.push(prepared);
            let last = i + 1 == samples.len();
            if batch.len() < size && !last {
                return Ok(());
            }
            let begun = Instant::now();
            progress.waited += begun - since;
            let stopped = stop.load(Ordering::Relaxed);
            passes.launch(std::mem::take(&mut batch))?;
            progress.batch = passes.size();
            // A card goes on with the last batch while the next one is put together.
            let ahead = if model.device().is_cpu() || last || stopped { 0 } else { 1 };
            while let Some(flight) = passes.landed(ahead) {
                progress = land(flight, progress)?;
            }
            since = Instant::now();
            progress.computed += since - begun;
            progress.memory = device::memory(model.device());
            report(progress);
            if stop.load(Ordering::Relaxed) && progress.done < progress.total {
                return Err(Error::interrupted(format!(
                    "stopped after {} of {} images",
                    progress.done, progress.total
                )));
            }
            Ok(())
        },
    )?;
    Ok(outcomes)
}
