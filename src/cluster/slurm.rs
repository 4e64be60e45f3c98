//! Slurm's own commands: `sbatch`, `scancel`, `squeue` and `sacct`.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// States after which a task is not run again; in all others it runs or will.
const ENDED: [&str; 9] =
    ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"];

/// Submits a script of `folder` from there, with one option beside those that it names, and gives the job's number.
/// What `sbatch` says when it refuses is the error.
pub fn sbatch(folder: &Path, option: &str, script: &str) -> Result<u64> {
    let place = folder.join(script);
    let mut command = Command::new("sbatch");
    let told = output(command.args(["--parsable", option, script]).current_dir(folder)).map_err(|e| {
        e.at(place.display())
            .mend("mend the script, or the options of `cluster submit`; then `roentgen cluster resubmit`")
    })?;
    // NUMBER or NUMBER;CLUSTER.
    told.trim()
        .split(';')
        .next()
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Error::new(format!("`sbatch` told no job number but `{}`", told.trim())).at(place.display()))
}

/// Takes a job back, if that is still possible.
pub fn cancel(job: u64) {
    // There is an error to tell already.
    drop(output(Command::new("scancel").arg(job.to_string())));
}

/// A task as Slurm knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// `RUNNING`, `PENDING`, `FAILED` and so on.
    pub state: String,
    /// Where it runs or ran; may be empty.
    pub node: String,
}

impl Task {
    /// Whether it runs or will.
    pub fn is_active(&self) -> bool {
        !ENDED.contains(&self.state.as_str())
    }
}

/// The tasks of a job.
#[derive(Debug, Default)]
pub struct Queue(HashMap<u64, Task>);

impl Queue {
    /// Asks Slurm for the tasks of these arrays, in the order of their submission; of a shard that was submitted again the
    /// latest counts. Of what ended some time ago Slurm knows nothing unless it keeps accounts.
    pub fn ask(arrays: &[u64]) -> Result<Self> {
        let jobs = arrays.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let mut squeue = Command::new("squeue");
        squeue.args(["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%N"]).arg(format!("--jobs={jobs}"));
        let queued = match output(&mut squeue) {
            // How it says that it has forgotten a single job.
            Err(e) if e.to_string().contains("Invalid job id") => String::new(),
            told => told?,
        };
        let mut sacct = Command::new("sacct");
        sacct.args(["--noheader", "--parsable2", "--allocations", "--array", "--format=JobID,State,NodeList"]);
        // Clusters without accounts have none to show.
        let accounted = output(sacct.arg(format!("--jobs={jobs}"))).unwrap_or_default();
        Ok(Self::read(arrays, &accounted, &queued))
    }

    /// Of what the two commands printed; `squeue` knows better.
    fn read(arrays: &[u64], sacct: &str, squeue: &str) -> Self {
        let sacct = sacct.lines().filter_map(|line| {
            let [id, state, node] = fields(line)?;
            let (array, index) = id.split_once('_')?;
            Some((array, index, state, node))
        });
        let squeue = squeue
            .lines()
            .filter_map(|line| fields(line).map(|[array, index, state, node]| (array, index, state, node)));
        let mut tasks: HashMap<u64, (usize, Task)> = HashMap::new();
        for (array, index, state, node) in sacct.chain(squeue) {
            let (Ok(array), Ok(index)) = (array.parse::<u64>(), index.parse::<u64>()) else { continue };
            let Some(submission) = arrays.iter().position(|a| *a == array) else { continue };
            // `CANCELLED by 0`
            let state = state.split_whitespace().next().unwrap_or_default().to_owned();
            let node = Some(node).filter(|n| !n.contains("None")).unwrap_or_default().to_owned();
            if tasks.get(&index).is_none_or(|(other, _)| *other <= submission) {
                tasks.insert(index, (submission, Task { state, node }));
            }
        }
        Self(tasks.into_iter().map(|(index, (_, task))| (index, task)).collect())
    }

    /// The task of shard `i`; `None` if Slurm has forgotten it.
    pub fn task(&self, i: u64) -> Option<&Task> {
        self.0.get(&i)
    }
}

fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    line.trim().split('|').collect::<Vec<_>>().try_into().ok()
}

/// What a command printed; its own words where it refuses.
fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::new(format!("there is no `{name}` on this machine"))
            .mend("do this where Slurm is, or run the scripts without it (docs/cluster.md)"),
        _ => Error::new(e.to_string()).at(format_args!("starting `{name}`")),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Error::new(match words.is_empty() {
        true => format!("`{name}` ended with {}", output.status),
        false => words,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_submission_of_a_shard_counts() {
        let sacct = "7_1|COMPLETED|n1\n7_2|CANCELLED by 0|None assigned\n7_[3-4]|PENDING|\n7|FAILED|n1\n";
        let squeue = "7|3|RUNNING|n2\n9|2|PENDING|\n 7|4|FAILED|n1\n8|1|RUNNING|n1\n";
        let queue = Queue::read(&[7, 9], sacct, squeue);
        let task = |i| queue.task(i).map(|t| (t.state.as_str(), t.node.as_str(), t.is_active()));
        assert_eq!(task(1), Some(("COMPLETED", "n1", false)));
        assert_eq!(task(2), Some(("PENDING", "", true)));
        assert_eq!(task(3), Some(("RUNNING", "n2", true)));
        assert_eq!(task(4), Some(("FAILED", "n1", false)));
        assert_eq!(task(5), None);
    }

    #[test]
    fn a_command_that_is_not_there() {
        let e = output(&mut Command::new("no-such-sbatch")).unwrap_err().to_string();
        assert!(e.starts_with("there is no `no-such-sbatch` on this machine; do this where Slurm is"), "{e}");
        let e = output(Command::new("sh").args(["-c", "echo a >&2; echo b >&2; exit 1"])).unwrap_err().to_string();
        assert_eq!(e, "a; b");
    }
}
