//! The folder of a job: what its shards write, beside the run that they are joined to.
//!
//! ```text
//! RUN/cluster/job.toml      what was submitted: [`Job`]
//! RUN/cluster/shards.sh     evaluates a shard
//! RUN/cluster/finish.sh     joins the shards and reports
//! RUN/cluster/shards/I      the run folder of shard I
//! RUN/cluster/logs/I.log    what its tasks printed
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cluster::slurm::{self, Queue};
use crate::error::{Error, Result};
use crate::files;
use crate::run::RunFolder;

/// The schema that `job.toml` names.
const SCHEMA: &str = "roentgen/cluster/1";

/// The script that evaluates a shard.
const SHARDS: &str = "shards.sh";

/// The script that joins them.
const FINISH: &str = "finish.sh";

/// The folder of a run whose shards are evaluated apart.
#[derive(Debug, Clone)]
pub struct JobFolder(PathBuf);

/// `job.toml`: what was submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    schema: String,
    /// Model and dataset, for people.
    pub name: String,
    /// How many shards there are.
    pub shards: u64,
    /// Images of them all.
    pub images: usize,
    /// In their order; none where there is no Slurm.
    #[serde(default, rename = "submission", skip_serializing_if = "Vec::is_empty")]
    pub submissions: Vec<Submission>,
}

/// Two jobs of Slurm, the second of which waits for the end of the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The number of the array of shards.
    pub array: u64,
    /// Its tasks, as Slurm writes them: `1-8,11`.
    pub tasks: String,
    /// The number of the job that joins them.
    pub finish: u64,
}

impl JobFolder {
    /// The job whose run is in the folder `run`, which need not be there.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        Self(run.into())
    }

    /// The run that the shards are joined to.
    pub fn run(&self) -> RunFolder {
        RunFolder::new(&self.0)
    }

    /// Where all but that run is.
    pub fn path(&self) -> PathBuf {
        self.0.join("cluster")
    }

    /// The run folder of shard `i`, from 1.
    pub fn shard(&self, i: u64) -> RunFolder {
        RunFolder::new(self.path().join("shards").join(i.to_string()))
    }

    /// What the tasks of shard `i` printed.
    pub fn log(&self, i: u64) -> PathBuf {
        self.path().join("logs").join(format!("{i}.log"))
    }

    /// Whether there is a job whose shards are not joined yet.
    pub fn is_under_way(&self) -> bool {
        self.job_toml().exists() && !self.run().run_toml().exists()
    }

    fn job_toml(&self) -> PathBuf {
        self.path().join("job.toml")
    }

    /// Makes the folder, with the texts of its two scripts. It must not be there, and neither may the run.
    pub fn create(&self, name: &str, shards: u64, images: usize, scripts: [&str; 2]) -> Result<Job> {
        if self.0.exists() {
            let refused = Error::usage("it is there already").at(self.0.display());
            return Err(refused.mend(match self.job_toml().exists() {
                true => "submit its unfinished shards again by `cluster resubmit`, or choose another --out",
                false => "choose another --out",
            }));
        }
        let job = Job { schema: SCHEMA.into(), name: name.into(), shards, images, submissions: Vec::new() };
        let text = job.to_toml()?;
        files::write_folder(&self.0, |run| {
            let folder = Self::new(run);
            for empty in ["shards", "logs"] {
                let path = folder.path().join(empty);
                std::fs::create_dir_all(&path).map_err(|e| Error::io(&path, e))?;
            }
            for (name, text) in [SHARDS, FINISH].iter().zip(scripts) {
                files::write(&folder.path().join(name), text.as_bytes())?;
            }
            files::write(&folder.job_toml(), text.as_bytes())
        })?;
        Ok(job)
    }

    /// Reads `job.toml`.
    pub fn read(&self) -> Result<Job> {
        let path = self.job_toml();
        if !path.exists() {
            return Err(Error::new("it is not there")
                .at(path.display())
                .mend("give a folder that `roentgen cluster submit` wrote"));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let job: Job = toml::from_str(&text).map_err(|e| Error::new(e.message()).at(path.display()))?;
        match job.schema == SCHEMA {
            true => Ok(job),
            false => Err(Error::new(format!("its schema is `{}`, not `{SCHEMA}`", job.schema)).at(path.display())),
        }
    }

    /// The shards that are not finished.
    pub fn unfinished(&self, job: &Job) -> Vec<u64> {
        (1..=job.shards).filter(|i| !self.shard(*i).is_finished()).collect()
    }

    /// Submits the unfinished shards that are not in Slurm's queue, and the job that joins them after their end, however
    /// that is. `retries`: how often this may have been done before, after the first time.
    pub fn submit(&self, job: &mut Job, retries: Option<usize>) -> Result<Submission> {
        let mut tasks = self.unfinished(job);
        if tasks.is_empty() {
            return Err(Error::new("all its shards are finished")
                .at(self.0.display())
                .mend(format!("join them: bash {}", self.path().join(FINISH).display())));
        }
        if retries.is_some_and(|most| job.submissions.len() > most) {
            return Err(Error::new(format!(
                "submitted {} times, and these shards are still not finished: {}",
                job.submissions.len(),
                ranges(&tasks)
            ))
            .at(self.0.display())
            .mend(format!("see why in {}, then `roentgen cluster resubmit`", self.log(tasks[0]).display())));
        }
        if !job.submissions.is_empty() {
            let queue = Queue::ask(&job.arrays())?;
            tasks.retain(|i| !queue.task(*i).is_some_and(|task| task.is_active()));
        }
        if tasks.is_empty() {
            return Err(Error::new("its unfinished shards are in Slurm's queue already").at(self.0.display()));
        }
        let list = ranges(&tasks);
        let array = slurm::sbatch(&self.path(), &format!("--array={list}"), SHARDS)?;
        let finish = slurm::sbatch(&self.path(), &format!("--dependency=afterany:{array}"), FINISH)
            .inspect_err(|_| slurm::cancel(array))?;
        let submission = Submission { array, tasks: list, finish };
        job.submissions.push(submission.clone());
        files::write(&self.job_toml(), job.to_toml()?.as_bytes())?;
        Ok(submission)
    }
}

impl Job {
    /// The arrays of its submissions, in their order.
    pub fn arrays(&self) -> Vec<u64> {
        self.submissions.iter().map(|s| s.array).collect()
    }

    fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::new(e.to_string()).at("job.toml"))
    }
}

/// Whether `folder` is that of a job: beside its `cluster` folder the joined run may be written.
pub fn is_of_job(folder: &Path) -> bool {
    JobFolder::new(folder).job_toml().exists()
}

/// Rising numbers as Slurm writes them: `1-8,11`.
fn ranges(numbers: &[u64]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tasks() {
        assert_eq!(ranges(&[1, 2, 3, 5, 7, 8]), "1-3,5,7-8");
        assert_eq!(ranges(&[4]), "4");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn a_job_is_made_once_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let job = JobFolder::new(folder.path().join("run"));
        assert!(job.read().unwrap_err().to_string().contains("cluster submit"));
        let made = job.create("m on d", 3, 10, ["a", "b"]).unwrap();
        assert_eq!(job.read().unwrap(), made);
        assert_eq!(job.unfinished(&made), [1, 2, 3]);
        assert!(job.is_under_way() && is_of_job(job.run().path()));
        assert!(job.create("m on d", 3, 10, ["a", "b"]).unwrap_err().to_string().contains("cluster resubmit"));
    }
}
