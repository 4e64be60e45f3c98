//! The two batch scripts of a job, for people to read and to edit.
//!
//! Nothing that comes from outside stands in them but between single quotes, or in a line for `sbatch` that
//! [`check_line`] has let through.

/// Time before the limit of a task at which it is told to stop, in seconds: the batch that it is at must end in it.
const NOTICE: u32 = 120;

/// What the scripts are made of.
pub struct Plan {
    /// This program's path.
    pub program: String,
    /// The run folder's path.
    pub run: String,
    /// What Slurm calls the job: letters, digits and `-`.
    pub name: String,
    /// How many shards there are.
    pub shards: u64,
    /// The options of `evaluate` but for the shard and the folder, each with its value.
    pub evaluate: Vec<Vec<String>>,
    /// Those of `report`.
    pub report: Vec<Vec<String>>,
    /// Options of `sbatch` for both scripts: `--partition=gpu`.
    pub sbatch: Vec<String>,
    /// Those for the shards only: `--gres=gpu:1`.
    pub sbatch_shards: Vec<String>,
    /// How often shards that did not finish are submitted again.
    pub retries: usize,
}

/// An option of `sbatch` as a line of a script may hold it.
pub fn check_line(option: &str) -> Result<(), String> {
    match option.starts_with('-') && !option.contains(char::is_control) {
        true => Ok(()),
        false => Err("not an option of sbatch, as --constraint=a100".into()),
    }
}

impl Plan {
    /// The script of the shards, one a task.
    pub fn shards_script(&self) -> String {
        let Self { name, shards, .. } = self;
        let own: String = self.sbatch.iter().chain(&self.sbatch_shards).map(|o| format!("#SBATCH {o}\n")).collect();
        format!(
            r#"#!/bin/bash
# Evaluates one of {shards} shards. Written by `roentgen cluster submit`, to be read and edited; `roentgen cluster resubmit`
# submits it as it is then. It needs nothing of Slurm but the number of its shard:
#   SLURM_ARRAY_TASK_ID=1 bash shards.sh
#SBATCH --job-name={name}
#SBATCH --array=1-{shards}
#SBATCH --output=logs/%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{NOTICE}
{own}
{places}
shard=$SLURM_ARRAY_TASK_ID
arguments=(
{arguments})

# USR1 comes before the time limit, TERM when the task is cancelled or must make room. Both let roentgen end the batch that
# it is at; what is done stays done, as it does without any notice.
child=
limit=
trap 'limit=yes; [ -n "$child" ] && kill -TERM "$child"' USR1
trap '[ -n "$child" ] && kill -TERM "$child"' TERM INT

"$roentgen" evaluate "${{arguments[@]}}" --shard "$shard/{shards}" --out "$run/cluster/shards/$shard" \
    --resume --overlap --headless &
child=$!
# A signal ends `wait` early; the shell remembers how the child ended.
while kill -0 "$child" 2>/dev/null; do wait "$child"; done
wait "$child"
status=$?

# 130: stopped in order, and further than before. In the queue again, for the rest.
if [ -n "$limit" ] && [ "$status" -eq 130 ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$shard"
fi
exit "$status"
"#,
            places = self.places(),
            arguments = lines(&self.evaluate),
        )
    }

    /// The script that joins the shards and reports.
    pub fn finish_script(&self) -> String {
        let Self { name, retries, .. } = self;
        let own: String = self.sbatch.iter().map(|o| format!("#SBATCH {o}\n")).collect();
        let report: String = self.report.iter().map(|option| format!(" {}", quoted(option))).collect();
        format!(
            r#"#!/bin/bash
# Joins the shards and reports, once their tasks have ended, however that was. Written by `roentgen cluster submit`, to be
# read and edited. It needs nothing of Slurm unless shards are not finished.
#SBATCH --job-name={name}-finish
#SBATCH --output=logs/finish.log
#SBATCH --open-mode=append
#SBATCH --requeue
{own}
{places}
# Shards that are not finished are submitted again, and this script after them: at most {retries} times.
[ -e "$run/run.toml" ] || "$roentgen" merge "$run/cluster/shards/"* --out "$run" ||
    exec "$roentgen" cluster resubmit "$run" --retries {retries}
"$roentgen" report "$run"{report}
"#,
            places = self.places(),
        )
    }

    fn places(&self) -> String {
        format!("roentgen={}\nrun={}", quote(&self.program), quote(&self.run))
    }
}

/// An option a line.
fn lines(options: &[Vec<String>]) -> String {
    options.iter().map(|option| format!("    {}\n", quoted(option))).collect()
}

/// The words of an option; only what needs it is quoted.
fn quoted(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+".contains(c);
    let word = |w: &String| if !w.is_empty() && w.chars().all(plain) { w.clone() } else { quote(w) };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// `text` as one word of a shell, whatever stands in it.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What bash takes `words` for.
    fn bash(words: &str) -> Vec<String> {
        let script = format!("arguments=({words}\n); printf '%s\\0' \"${{arguments[@]}}\"");
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn no_name_runs_code(words in prop::collection::vec("[^\0]{0,12}|[$`\"'\\\\ ;&|<>(){}*?~#!\n\t-]{0,12}", 1..4)) {
            prop_assert_eq!(bash(&quoted(&words)), words);
        }
    }

    #[test]
    fn lines_for_sbatch() {
        assert!(check_line("--constraint=a100").is_ok() && check_line("-N1").is_ok());
        for line in ["partition", "--x=1\ntouch y", "", "--x=\r1"] {
            assert!(check_line(line).is_err(), "{line}");
        }
    }
}
