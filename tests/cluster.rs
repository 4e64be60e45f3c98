//! `roentgen cluster`, with a real Slurm where there is one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use roentgen::inference::journal::{Journal, Others, Outcome, Output};
use roentgen::tui::app::App;
use roentgen::tui::theme::{Theme, Tone};

use crate::evaluate::phantom_card;
use crate::slurm::{self, Slurm, wait_for};
use crate::support::{Ran, command, contents, finished, put, roentgen};

/// A name that a script must not trip over.
const NAME: &str = "it's a \"run\" $(touch ran) `touch ran` 100% ünder way";

/// The program with a Slurm's configuration, and with `PATH` begun by `bin`.
fn with(slurm: Option<&Slurm>, bin: Option<&Path>, args: &[&str]) -> Ran {
    let mut command = command(args);
    if let Some(slurm) = slurm {
        command.env("SLURM_CONF", slurm.conf());
    }
    if let Some(bin) = bin {
        command.env("PATH", path_with(bin));
    }
    finished(command.output().unwrap())
}

fn path_with(bin: &Path) -> OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([bin.to_owned()].into_iter().chain(std::env::split_paths(&old))).unwrap()
}

fn submit<'a>(data: &'a str, run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["cluster", "submit", "--model", "phantom-densenet", "--data", data, "--out", run];
    fixed.iter().chain(more).copied().collect()
}

/// A program that stands in for one of Slurm's.
fn stand_in(bin: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(bin).unwrap();
    std::fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
}

/// The run in `folder` without what the cluster needed.
fn run_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let bare = folder.with_file_name("bare");
    std::fs::rename(folder.join("cluster"), &bare).unwrap();
    let found = contents_below(folder);
    std::fs::rename(&bare, folder.join("cluster")).unwrap();
    found
}

fn contents_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents_below(&path)),
            false => found.push((
                path.display().to_string().split_off(folder.display().to_string().len()),
                std::fs::read(&path).unwrap(),
            )),
        }
    }
    found.sort();
    found
}

#[test]
fn the_scripts_are_for_people() {
    let more = ["--shards", "8", "--partition", "gpu", "--gres", "gpu:1", "--time", "4:00:00", "--account", "lab"];
    let more = [&more[..], &["--threads", "4", "--sbatch=--constraint=a100", "--dry-run"]].concat();
    let ran = roentgen(submit("phantom", "/data/run", &more)).ok();
    let program = Path::new(env!("CARGO_BIN_EXE_roentgen")).canonicalize().unwrap();
    insta::assert_snapshot!("cluster-scripts", ran.replace(&*program.to_string_lossy(), "/opt/roentgen"));
    assert!(!Path::new("/data/run").exists());
    insta::assert_snapshot!("help-cluster-submit", roentgen(["cluster", "submit", "--help"]).ok());
    for line in ["--sbatch=--x=1\ntouch y", "--sbatch=x", "--partition=a\nb"] {
        roentgen(submit("phantom", "/data/run", &["--shards", "8", "--dry-run", line])).error(2);
    }
    roentgen(submit("phantom", "/data/run", &["--shards", "0", "--dry-run"])).error(2);
    roentgen(submit("phantom", "/data/a\\b", &["--shards", "2", "--dry-run"])).error(2);
}

#[test]
fn without_slurm_the_scripts_run_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 12);
    let (run, whole) = (folder.path().join(NAME), folder.path().join("whole"));
    let run_text = run.display().to_string();
    let seen = |text: String| text.replace(&folder.path().display().to_string(), "DIR").replace(NAME, "RUN");
    // Nothing but the programs that a script needs.
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["bash", "env"] {
        std::os::unix::fs::symlink(Path::new("/bin").join(name), bin.join(name)).unwrap();
    }
    let here = |args: &[&str]| finished(command(args).env("PATH", &bin).output().unwrap());
    let ran = here(&submit(&data, &run_text, &["--shards", "3", "--batch", "4"]));
    assert_eq!(
        seen(ran.error(3).to_owned()),
        "error: DIR/RUN/cluster/shards.sh: there is no `sbatch` on this machine; do this where Slurm is, or run the scripts \
         without it (docs/cluster.md)"
    );
    assert!(ran.stderr.contains("nothing is submitted"), "{}", ran.stderr);
    let status = || seen(here(&["cluster", "status", &run_text]).ok());
    insta::assert_snapshot!(status(), @r"
    phantom-densenet on phantom: 0 of 32 images
    3 shards: 0 finished, 0 running, 3 waiting, 0 failed
    ");
    let script = |name: &str, shard: &str| {
        let mut bash = Command::new("/bin/bash");
        bash.arg(run.join("cluster").join(name)).env("SLURM_ARRAY_TASK_ID", shard).env("PATH", &bin);
        finished(bash.current_dir(folder.path()).output().unwrap())
    };
    for shard in ["1", "3"] {
        script("shards.sh", shard).ok();
    }
    // One is missing, and nobody can submit it.
    let ran = script("finish.sh", "");
    assert!(ran.stderr.contains("of the 3 shards there are only 2"), "{}", ran.stderr);
    assert!(ran.stderr.contains("there is no `sbatch` on this machine"), "{}", ran.stderr);
    let json = here(&["cluster", "status", &run_text, "--format", "json"]).ok();
    assert!(json.contains("\"done\": 20") && json.contains("\"state\": \"waiting\""), "{json}");
    insta::assert_snapshot!(status(), @r"
    phantom-densenet on phantom: 20 of 32 images
    3 shards: 2 finished, 0 running, 1 waiting, 0 failed
    ");
    script("shards.sh", "2").ok();
    assert_eq!(
        seen(here(&["cluster", "resubmit", &run_text]).error(3).to_owned()),
        "error: DIR/RUN: all its shards are finished; join them: bash DIR/RUN/cluster/finish.sh"
    );
    script("finish.sh", "").ok();
    insta::assert_snapshot!(status(), @r"
    phantom-densenet on phantom: 32 of 32 images
    3 shards: 3 finished, 0 running, 0 waiting, 0 failed
    joined in DIR/RUN
    ");
    roentgen([
        "evaluate",
        "--model",
        "phantom-densenet",
        "--data",
        &data,
        "--batch",
        "4",
        "--out",
        whole.to_str().unwrap(),
    ])
    .ok();
    roentgen(["report", whole.to_str().unwrap()]).ok();
    assert!(run_of(&run) == contents_below(&whole));
    assert!(!folder.path().join("ran").exists() && !run.join("cluster/ran").exists());
    assert!(here(&submit(&data, &run_text, &["--shards", "3"])).error(2).contains("it is there already"));
}

#[test]
fn what_slurm_says_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 4);
    let (run, bin) = (folder.path().join("run").display().to_string(), folder.path().join("bin"));
    stand_in(&bin, "sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1");
    let ran = with(None, Some(&bin), &submit(&data, &run, &["--shards", "2", "--partition", "x"]));
    assert!(
        ran.error(3).contains("shards.sh: sbatch: error: invalid partition specified: x; mend the script"),
        "{}",
        ran.stderr
    );
    // The second job is refused: the first is taken back.
    let cancelled = folder.path().join("cancelled");
    stand_in(&bin, "sbatch", "case $2 in --array=*) echo 41 ;; *) echo 'sbatch: error: no' >&2; exit 1 ;; esac");
    stand_in(&bin, "scancel", &format!("echo $1 > {}", cancelled.display()));
    let ran = with(None, Some(&bin), &["cluster", "resubmit", &run]);
    assert!(ran.error(3).contains("finish.sh: sbatch: error: no"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(&cancelled).unwrap(), "41\n");
    // A job that cannot be asked about is looked at in its folders.
    stand_in(&bin, "sbatch", "case $2 in --array=*) echo 41 ;; *) echo '42;other' ;; esac");
    let told = with(None, Some(&bin), &["cluster", "resubmit", &run]).ok();
    assert!(told.contains("job 41: shards 1-2\njob 42: joins them"), "{told}");
    stand_in(&bin, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
    let ran = with(None, Some(&bin), &["cluster", "status", &run]);
    assert!(
        ran.stderr.contains("the shards' folders alone: slurm_load_jobs error: Unable to contact"),
        "{}",
        ran.stderr
    );
    assert!(ran.ok().contains("2 shards: 0 finished, 0 running, 2 waiting, 0 failed"));
    // What has left the queue unfinished has failed; it is not submitted for ever.
    stand_in(&bin, "squeue", "echo '41|1|FAILED|n1'; echo '41|2|RUNNING|n2'");
    stand_in(&bin, "sacct", "exit 1");
    let table = with(None, Some(&bin), &["cluster", "status", &run]).ok();
    assert!(table.contains("0 finished, 1 running, 0 waiting, 1 failed"), "{table}");
    assert!(with(None, Some(&bin), &["cluster", "resubmit", &run]).ok().contains("shards 1\n"));
    let ran = with(None, Some(&bin), &["cluster", "resubmit", &run, "--retries", "1"]);
    assert!(ran.error(3).contains("submitted 2 times, and these shards are still not finished: 1-2"), "{}", ran.stderr);
    let nowhere = put(folder.path(), "no-job", "");
    assert!(roentgen(["cluster", "status", &nowhere]).error(3).contains("job.toml"));
}

#[test]
fn the_terminal_ui_attaches_to_the_whole_job() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 40);
    let run = folder.path().join("run");
    let none = folder.path().join("none");
    let submit = submit(&data, run.to_str().unwrap(), &["--shards", "2"]);
    finished(command(&submit).env("PATH", &none).output().unwrap()).error(3);
    let shard = |i: &str| {
        let mut bash = Command::new("bash");
        finished(bash.arg(run.join("cluster/shards.sh")).env("SLURM_ARRAY_TASK_ID", i).output().unwrap()).ok();
    };
    let mut app = App::new(Theme { tone: Tone::Dark, ascii: true, truecolor: false });
    app.open(&run);
    app.settle();
    assert!(app.shared.message.as_ref().unwrap().contains("none of its shards has begun yet"));

    // One shard is finished, another at work: by its journal, whoever writes it.
    shard("1");
    let second = run.join("cluster/shards/2");
    std::fs::create_dir(&second).unwrap();
    let (mut journal, _) = Journal::open(&second.join("journal"), "a run", Others::Tolerated).unwrap();
    let outcome = |result| Outcome { sha256: None, result };
    journal.append(&vec![outcome(Output::Logits(vec![0.5; 5])); 3]).unwrap();
    journal.append(&[outcome(Output::Failure("torn".into()))]).unwrap();
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    let mut look = |app: &mut App| {
        // Longer than the panel waits before it looks again.
        std::thread::sleep(Duration::from_millis(800));
        app.tick();
        app.settle();
        terminal.draw(|frame| app.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        buffer
            .content
            .chunks(100)
            .map(|row| row.iter().map(|c| c.symbol()).collect::<String>() + "\n")
            .collect::<String>()
    };
    app.open(&run);
    app.settle();
    let seen = look(&mut app);
    let images = std::fs::read_to_string(run.join("cluster/shards/1/manifest.csv")).unwrap().lines().count() - 1;
    assert!(seen.contains("2 shards: 1 finished, 1 running, 0 waiting, 0 failed"), "{seen}");
    assert!(seen.contains(&format!(" {} of 103", images + 4)), "{seen}");
    assert!(seen.contains("1 could not be read") && seen.contains(": torn"), "{seen}");
    assert!(seen.lines().any(|l| l.contains("Cardiomegaly") && l.contains("0.9")), "{seen}");

    // Its end is noticed, and the joined run opened.
    std::fs::remove_dir_all(&second).unwrap();
    shard("2");
    finished(Command::new("bash").arg(run.join("cluster/finish.sh")).output().unwrap()).ok();
    let seen = look(&mut app);
    assert!(seen.contains("phantom-densenet on phantom: 103 images"), "{seen}");
}

/// The process that evaluates shard `i`, once it has journalled an image.
fn at_work(run: &Path, i: u64) -> Option<u32> {
    let folder = run.join("cluster/shards").join(i.to_string());
    let journal = std::fs::read(folder.join("journal")).unwrap_or_default();
    let begun = journal.iter().filter(|b| **b == b'\n').count() > 1;
    let out = folder.display().to_string();
    let found = begun.then(|| slurm::processes(|words| words.contains(&out) && words.iter().any(|w| w == "evaluate")));
    found?.into_iter().next()
}

#[test]
fn killed_requeued_and_on_a_lost_node_the_shards_end_as_one_run() {
    let Some(slurm) = Slurm::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 400);
    let whole = folder.path().join("whole");
    let pace = ["--batch", "1", "--threads", "1"];
    let fixed = ["evaluate", "--model", "phantom-densenet", "--data", &data, "--out", whole.to_str().unwrap()];
    roentgen(fixed.iter().chain(&pace)).ok();
    roentgen(["report", whole.to_str().unwrap()]).ok();

    let run: PathBuf = folder.path().join(NAME);
    let run_text = run.display().to_string();
    let here = |args: &[&str]| with(Some(&slurm), None, args);
    let refused =
        here(&submit(&data, &folder.path().join("no").display().to_string(), &["--shards", "8", "--partition", "x"]));
    assert!(refused.error(3).contains("invalid partition"), "{}", refused.stderr);
    let told = here(&submit(&data, &run_text, &[&["--shards", "8", "--time", "20"], &pace[..]].concat())).ok();
    let array = told.lines().find_map(|l| l.strip_prefix("job ")?.strip_suffix(": shards 1-8")).unwrap().to_owned();
    let task = |i: u64| format!("{array}_{i}");

    // Two nodes of two cores: the first four shards begin. Each is held once it has done something.
    let mut held = [0; 4];
    wait_for("four shards at work", || {
        for i in 1..=4 {
            if held[i - 1] == 0
                && let Some(pid) = at_work(&run, i as u64)
            {
                slurm::signal("STOP", pid);
                held[i - 1] = pid;
            }
        }
        (!held.contains(&0)).then_some(())
    });
    let status = here(&["cluster", "status", &run_text]).ok();
    assert!(status.contains("8 shards: 0 finished, 4 running, 4 waiting, 0 failed"), "{status}");

    // The first is killed, its script too.
    slurm::signal("KILL", slurm::parent(held[0]));
    slurm::signal("KILL", held[0]);
    // The second is requeued from outside.
    slurm.said("scontrol", &["requeue", &task(2)]);
    // The third meets its time limit, and requeues itself.
    slurm.said("scancel", &["--signal=USR1", "--batch", &task(3)]);
    slurm::signal("CONT", held[2]);
    wait_for("a task that requeues itself", || {
        slurm.said("scontrol", &["show", "job", &task(3)]).contains("Restarts=1").then_some(())
    });
    // The fourth is on a node that is lost; its process goes on beside the next attempt.
    let node = slurm.said("squeue", &["-h", "-r", "-o", "%N", "-j", &task(4)]);
    slurm.lose_node(node.trim());
    wait_for("a second attempt at the fourth", || run.join("cluster/shards/4/journal.1").exists().then_some(()));
    slurm::signal("CONT", held[3]);

    // Slurm counts the first as failed; the job that joins submits it again.
    wait_for("the report", || run.join("report.json").exists().then_some(()));
    wait_for("the end of all jobs", || {
        slurm.said("squeue", &["-h", "-t", "PD,R,CG", "-o", "%i %T"]).trim().is_empty().then_some(())
    });
    let log = std::fs::read_to_string(run.join("cluster/logs/finish.log")).unwrap();
    assert!(log.contains("shards/1: this shard is not finished") && log.contains(": shards 1\n"), "{log}");
    assert!(run_of(&run) == contents_below(&whole), "{log}");
    let status = here(&["cluster", "status", &run_text]).ok();
    assert!(status.contains("8 shards: 8 finished, 0 running, 0 waiting, 0 failed\njoined in"), "{status}");
    assert!(!run.join("cluster/ran").exists());
    assert!(contents(&run.join("cluster/shards/4")).iter().all(|(name, _)| !name.starts_with("journal")));

    slurm.lose_controller();
    let ran = here(&["cluster", "resubmit", &folder.path().join("no").display().to_string()]);
    // Which of its errors depends on how far the controller had got.
    assert!(ran.error(3).contains("cluster/shards.sh: sbatch: error: "), "{}", ran.stderr);
}
