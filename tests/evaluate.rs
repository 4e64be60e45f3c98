//! `roentgen evaluate` through the real binary: the run folder, kills, resumes, bad input.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::support::{Ran, command, contents, finished, roentgen};

/// A phantom cohort in a card of its own, small or large as a test needs.
pub fn phantom_card(folder: &Path, patients: usize) -> String {
    let card = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/phantom.toml")).unwrap();
    let line = card.lines().find(|l| l.starts_with("patients")).unwrap();
    // The expected counts are those of the bundled cohort.
    let card = card.split("[expected").next().unwrap().replace(line, &format!("patients = {patients}"));
    let path = folder.join("cohort.toml");
    std::fs::write(&path, card).unwrap();
    path.display().to_string()
}

fn evaluate(data: &str, out: &Path, more: &[&str]) -> std::process::Command {
    let mut command = command(["evaluate", "--model", "phantom-densenet", "--data", data]);
    command.arg("--out").arg(out).args(more);
    command
}

fn run(data: &str, out: &Path, more: &[&str]) -> Ran {
    finished(evaluate(data, out, more).output().unwrap())
}

/// Waits until the journal's files hold more than `lines` lines; whether they did before the process ended.
fn journal_reaches(child: &mut Child, run: &Path, lines: usize) -> bool {
    let begun = Instant::now();
    let count = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.unwrap().path();
        let bytes = if path.file_stem() == Some("journal".as_ref()) { std::fs::read(path) } else { Ok(Vec::new()) };
        bytes.map_or(0, |b| b.iter().filter(|b| **b == b'\n').count())
    };
    loop {
        let held = std::fs::read_dir(run).map_or(0, |files| files.map(count).sum());
        if held > lines {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing happens");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn batches_and_threads_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 8);
    let of = |name: &str, batch: &str, threads: &str| {
        let out = folder.path().join(name);
        run(&data, &out, &["--batch", batch, "--threads", threads]).ok();
        // The batch size is recorded in run.toml; everything else is the same.
        contents(&out).into_iter().filter(|(name, _)| name != "run.toml").collect::<Vec<_>>()
    };
    let first = of("a", "1", "1");
    assert_eq!(
        first.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["evaluation.json", "manifest.csv", "predictions.csv"]
    );
    for (name, batch, threads) in [("b", "16", "1"), ("c", "7", "2"), ("d", "3", "5")] {
        assert!(of(name, batch, threads) == first, "batch {batch}, threads {threads}");
    }
}

#[test]
fn killed_at_any_moment_it_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 60);
    let whole = folder.path().join("whole");
    run(&data, &whole, &["--batch", "4"]).ok();
    let killed = folder.path().join("killed");
    let mut kills = 0;
    for lines in [0, 1, 20, 45, 90] {
        let mut child = evaluate(&data, &killed, &["--batch", "4", "--resume"]).spawn().unwrap();
        if journal_reaches(&mut child, &killed, lines) {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
        if kills == 1 {
            let refused = run(&data, &killed, &["--batch", "4"]);
            assert!(refused.error(2).contains("--resume"));
            let refused = run(&data, &killed, &["--batch", "5", "--resume"]);
            assert!(refused.error(3).contains("other cards"));
        }
    }
    assert!(kills >= 3, "the run was too quick to be killed: {kills}");
    run(&data, &killed, &["--batch", "4", "--resume"]).ok();
    assert_eq!(contents(&killed), contents(&whole));
    // Resuming what is finished shows its table again and changes nothing.
    let again = run(&data, &killed, &["--batch", "4", "--resume"]).ok();
    assert!(again.contains("AUROC"));
    assert_eq!(contents(&killed), contents(&whole));
    assert!(run(&data, &killed, &[]).error(2).contains("finished run"));
}

#[test]
fn ctrl_c_leaves_a_resumable_run_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 60);
    let out = folder.path().join("run");
    let mut child = evaluate(&data, &out, &["--batch", "1"]).spawn().unwrap();
    assert!(journal_reaches(&mut child, &out, 3));
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ran = finished(child.wait_with_output().unwrap());
    assert!(ran.error(130).contains("--resume"), "{}", ran.stderr);
    run(&data, &out, &["--batch", "1", "--resume"]).ok();
    assert!(!out.join("journal").exists());
}

/// A dataset of class folders with two good pictures and one that is cut off.
fn class_folders(folder: &Path) {
    let picture = |level: u8| {
        let mut bytes = Vec::new();
        let gray = image::GrayImage::from_fn(40, 30, |x, y| image::Luma([level.wrapping_add((x * y) as u8)]));
        gray.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
        bytes
    };
    for (name, bytes) in [("NORMAL/a.png", picture(3)), ("NORMAL/cut.png", picture(9)), ("Nodule/b.png", picture(90))] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let keep = if name.contains("cut") { bytes.len() / 2 } else { bytes.len() };
        std::fs::write(path, &bytes[..keep]).unwrap();
    }
}

#[test]
fn an_unreadable_picture_is_listed_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    class_folders(&data);
    let data = data.display().to_string();
    let out = folder.path().join("run");
    let ran = run(&data, &out, &[]);
    assert!(ran.stderr.contains("the data say nothing of Cardiomegaly"), "{}", ran.stderr);
    let table = ran.ok();
    assert!(table.contains("2 images, and 1 that could not be read (failures.csv)"), "{table}");
    let failures = std::fs::read_to_string(out.join("failures.csv")).unwrap();
    assert!(failures.contains("NORMAL/cut.png"), "{failures}");
    let strict = run(&data, &folder.path().join("strict"), &["--strict"]);
    assert!(strict.error(3).contains("cut.png"), "{}", strict.stderr);
}

#[test]
fn wrong_usage_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let unknown = roentgen(["evaluate", "--model", "resnet", "--data", "phantom"]);
    assert!(unknown.error(2).contains("phantom-densenet"));
    assert!(run("no-such-data", &out, &[]).error(2).contains("kermany-pediatric"));
    assert!(run("kermany-pediatric", &out, &["--split", "test"]).error(2).contains("--root"));
    assert!(run("phantom", &out, &["--device", "cuda:1"]).error(2).contains("CPU only"));
    assert_eq!(run("phantom", &out, &["--batch", "0"]).status, 2);
    assert!(!out.exists(), "nothing is half-written");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("thesis.tex"), "x").unwrap();
    assert!(run("phantom", &out, &[]).error(2).contains("other files"));
}
