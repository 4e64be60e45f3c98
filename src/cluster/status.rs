//! How far a job is: from the folders of its shards, and from Slurm where there is one.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cluster::job::{Job, JobFolder};
use crate::cluster::slurm::Queue;
use crate::error::{Error, Result};
use crate::inference::journal::Standing;
use crate::run::Description;

/// Without Slurm's word a shard whose journal grew this recently is taken to be running.
const ALIVE: Duration = Duration::from_secs(120);

/// How far a job is.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Model and dataset.
    pub name: String,
    /// Images of all shards.
    pub images: usize,
    /// Those with an outcome.
    pub done: usize,
    /// Images a second of all running shards together.
    pub images_per_second: f64,
    /// The time that the rest takes at this rate, in seconds; `None` if none is running.
    pub seconds_left: Option<f64>,
    /// Whether the shards are joined.
    pub merged: bool,
    /// In their order.
    pub shards: Vec<ShardStatus>,
    /// Why Slurm told nothing, where it was asked.
    #[serde(skip)]
    pub no_queue: Option<Error>,
}

/// How far a shard is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShardStatus {
    /// Its number, from 1.
    pub shard: u64,
    /// What it does.
    pub state: State,
    /// Its images; `None` before it has begun.
    pub images: Option<usize>,
    /// Those with an outcome.
    pub done: usize,
    /// Images a second.
    pub images_per_second: Option<f64>,
    /// What Slurm calls its state.
    pub slurm: Option<String>,
    /// The machine that it is on, as Slurm knows it.
    pub node: Option<String>,
}

/// What a shard does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its results are there.
    Finished,
    /// A process is at it.
    Running,
    /// Its turn comes.
    Waiting,
    /// It has ended without being finished.
    Failed,
}

impl State {
    /// All of them, in the order in which people are told.
    pub const ALL: [Self; 4] = [Self::Finished, Self::Running, Self::Waiting, Self::Failed];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

impl Status {
    /// Looks at every shard. That Slurm cannot be asked is no error.
    pub fn read(folder: &JobFolder) -> Result<Self> {
        let job = folder.read()?;
        let (queue, no_queue) = match job.submissions.is_empty() {
            true => (None, None),
            false => match Queue::ask(&job.arrays()) {
                Ok(queue) => (Some(queue), None),
                Err(e) => (None, Some(e)),
            },
        };
        Self::of(folder, job, queue.as_ref(), no_queue)
    }

    fn of(folder: &JobFolder, job: Job, queue: Option<&Queue>, no_queue: Option<Error>) -> Result<Self> {
        let shards = (1..=job.shards).map(|i| ShardStatus::read(folder, i, queue)).collect::<Result<Vec<_>>>()?;
        let running = shards.iter().filter(|s| s.state == State::Running);
        let images_per_second = running.filter_map(|s| s.images_per_second).sum();
        let done = shards.iter().map(|s| s.done).sum();
        let left = job.images.saturating_sub(done) as f64;
        Ok(Self {
            name: job.name,
            images: job.images,
            done,
            images_per_second,
            seconds_left: (images_per_second > 0.0).then(|| left / images_per_second),
            merged: folder.run().is_finished(),
            shards,
            no_queue,
        })
    }

    /// How many shards are so.
    pub fn count(&self, state: State) -> usize {
        self.shards.iter().filter(|s| s.state == state).count()
    }

    /// `5 finished, 2 running, 1 waiting, 0 failed`
    pub fn counts(&self) -> String {
        State::ALL.map(|state| format!("{} {}", self.count(state), state.name())).join(", ")
    }
}

impl ShardStatus {
    fn read(folder: &JobFolder, shard: u64, queue: Option<&Queue>) -> Result<Self> {
        let run = folder.shard(shard);
        let task = queue.and_then(|queue| queue.task(shard));
        let description = Description::read(&run).ok();
        let images = description.as_ref().map(|d| d.images);
        let standing = Standing::read(&run.journal())?;
        let alive = standing.is_some_and(|s| SystemTime::now().duration_since(s.written).unwrap_or_default() < ALIVE);
        let state = match (standing, &description, queue, task) {
            (None, Some(d), ..) if d.is_finished() => State::Finished,
            (.., Some(task)) if task.state == "RUNNING" || task.state == "COMPLETING" => State::Running,
            (.., Some(task)) if task.is_active() => State::Waiting,
            // A process that Slurm has lost sight of may still be at it.
            _ if alive && task.is_none() => State::Running,
            (.., Some(_), _) => State::Failed,
            (.., None, _) => State::Waiting,
        };
        let done = match state {
            State::Finished => images.unwrap_or_default(),
            _ => standing.map_or(0, |s| s.done),
        };
        Ok(Self {
            shard,
            state,
            images,
            done,
            images_per_second: standing.and_then(|s| s.rate).filter(|_| state == State::Running && alive),
            slurm: task.map(|t| t.state.to_lowercase()),
            node: task.map(|t| t.node.clone()).filter(|node| !node.is_empty()),
        })
    }
}
