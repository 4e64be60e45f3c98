//! Runs a model over samples: pictures are decoded ahead on their own threads, batches go through the device in
//! order, and what comes out of a batch is handed on before the next one starts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use crate::cards::model::Input;
use crate::data::{Sample, Source, phantom};
use crate::error::{Error, Result};
use crate::files;
use crate::imaging::decode::{self, Picture, Pixels};
use crate::imaging::{preprocess, windowing};
use crate::inference::journal::{Outcome, Output};
use crate::inference::prefetch;
use crate::models::Model;

/// How a run goes about its work; nothing here changes an outcome on the CPU.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Pictures that go through the device together.
    pub batch: usize,
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
    /// Time that the device computed.
    pub computed: Duration,
}

/// A picture ready for the network.
pub struct Prepared {
    /// SHA-256 of the picture's bytes in hex, if they could be read.
    pub sha256: Option<String>,
    /// Values in the order channel, row, column.
    pub values: Result<Planes>,
}

/// Values in the order channel, row, column.
pub struct Planes {
    /// `channels * height * width` values.
    pub values: Vec<f32>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
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
    let mut progress =
        Progress { done: kept.len(), total: samples.len(), failed, waited: Duration::ZERO, computed: Duration::ZERO };
    let mut outcomes = kept;
    let mut batch = Vec::with_capacity(pace.batch);
    let mut since = Instant::now();
    report(progress);
    prefetch::in_order(
        outcomes.len()..samples.len(),
        pace.decoders,
        2 * pace.batch.max(pace.decoders),
        |i| prepare(&samples[i], input),
        |i, prepared| {
            if let Err(e) = &prepared.values
                && pace.strict
            {
                return Err(e.clone());
            }
            batch.push(prepared);
            if batch.len() < pace.batch && i + 1 < samples.len() {
                return Ok(());
            }
            let begun = Instant::now();
            progress.waited += begun - since;
            let new = infer(model, input.channels, pace.batch, std::mem::take(&mut batch))?;
            since = Instant::now();
            progress.computed += since - begun;
            progress.done += new.len();
            progress.failed += new.iter().filter(|o| matches!(o.result, Output::Failure(_))).count();
            keep(&new)?;
            outcomes.extend(new);
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

/// Reads and decodes the picture of `sample`, by the window of `input` if it has one. Also the SHA-256 of the picture's
/// bytes in hex, if they could be read.
pub fn picture(sample: &Sample, input: &Input) -> (Option<String>, Result<Picture>) {
    match &sample.source {
        Source::File(path) => match std::fs::read(path) {
            Err(e) => (None, Err(Error::io(path, e))),
            Ok(bytes) => {
                let name = path.display().to_string();
                let window = windowing::explicit(input);
                let picture = decode::decode(&bytes, &name, window, decode::DEFAULT_MAX_PIXELS);
                (Some(files::sha256(&bytes)), picture)
            }
        },
        Source::Phantom(cohort, id) => {
            let phantom = phantom::render(cohort, id);
            let side = phantom.size as usize;
            let sha256 = files::sha256(&phantom.pixels);
            let pixels = Pixels::Gray(phantom.pixels);
            (Some(sha256), Ok(Picture { width: side, height: side, pixels, range: [0.0, 255.0] }))
        }
    }
}

/// SHA-256 of the picture's bytes in hex, which are not decoded.
pub fn sha256(sample: &Sample) -> Result<String> {
    match &sample.source {
        Source::File(path) => files::sha256_of(path),
        Source::Phantom(cohort, id) => Ok(files::sha256(&phantom::render(cohort, id).pixels)),
    }
}

/// Reads, decodes and preprocesses the picture of `sample`.
pub fn prepare(sample: &Sample, input: &Input) -> Prepared {
    let (sha256, picture) = picture(sample, input);
    let values = picture.and_then(|picture| {
        let (values, height, width) =
            preprocess::apply(input, &picture).map_err(|e| e.at(format_args!("image {}", sample.id)))?;
        Ok(Planes { values, height, width })
    });
    Prepared { sha256, values }
}

/// The outcomes of a batch of at most `size` pictures, in its order. Pictures of one shape go through the network
/// together.
fn infer(model: &Model, channels: usize, size: usize, batch: Vec<Prepared>) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut planes = Vec::with_capacity(batch.len());
    for (i, prepared) in batch.into_iter().enumerate() {
        let result = match prepared.values {
            Ok(p) => {
                planes.push((i, p));
                Output::Logits(Vec::new())
            }
            Err(e) => Output::Failure(e.to_string()),
        };
        outcomes.push(Outcome { sha256: prepared.sha256, result });
    }
    while let Some((height, width)) = planes.first().map(|(_, p)| (p.height, p.width)) {
        let (same, others) = planes.into_iter().partition(|(_, p)| (p.height, p.width) == (height, width));
        planes = others;
        let same: Vec<(usize, Planes)> = same;
        let logits = logits(model, (channels, height, width), size, same.iter().map(|(_, p)| p.values.as_slice()))?;
        for ((i, _), logits) in same.iter().zip(logits) {
            outcomes[*i].result = if logits.iter().all(|l| l.is_finite()) {
                Output::Logits(logits)
            } else {
                Output::Failure("the model's output for it is not finite".into())
            };
        }
    }
    Ok(outcomes)
}

/// The logits of pictures of one shape (channels, height, width), one row a picture. Off the CPU a short batch is
/// padded to `size`, since kernels there may differ with the batch's size.
fn logits<'a>(
    model: &Model,
    (channels, height, width): (usize, usize, usize),
    size: usize,
    pictures: impl ExactSizeIterator<Item = &'a [f32]>,
) -> Result<Vec<Vec<f32>>> {
    let count = pictures.len();
    let rows = if model.device().is_cpu() { count } else { count.max(size) };
    let each = channels * height * width;
    let mut values = Vec::with_capacity(rows * each);
    pictures.for_each(|p| values.extend_from_slice(p));
    values.resize(rows * each, 0.0);
    let forward = || -> candle_core::Result<Tensor> {
        Tensor::from_vec(values, (rows, channels, height, width), &Device::Cpu)?.to_device(model.device())
    };
    let x = forward().map_err(|e| Error::new(e.to_string()).at("moving pictures to the device"))?;
    let all = model.forward(&x)?.to_vec2::<f32>().map_err(|e| Error::new(e.to_string()).at("reading logits"))?;
    Ok(all.into_iter().take(count).collect())
}
