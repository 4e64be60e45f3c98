//! `evaluate --shard` and `merge`: the whole of the shards is the run of one process, byte for byte.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::evaluate::phantom_card;
use crate::slurm::signal;
use crate::support::{Ran, command, contents, finished, put, roentgen};

fn evaluate(data: &str, out: &Path, more: &[&str]) -> Ran {
    let fixed = ["evaluate", "--model", "phantom-densenet", "--data", data, "--out", out.to_str().unwrap()];
    roentgen(fixed.iter().chain(more))
}

fn shards(data: &str, folder: &Path, count: usize, more: &[&str]) -> Vec<String> {
    let shard = |i| {
        let (out, shard) = (folder.join(format!("{i}-of-{count}")), format!("{i}/{count}"));
        evaluate(data, &out, &[&["--shard", &shard], more].concat()).ok();
        out.display().to_string()
    };
    (1..=count).map(shard).collect()
}

fn merge(shards: &[String], out: &Path) -> Ran {
    let fixed = ["merge", "--out", out.to_str().unwrap()];
    roentgen(fixed.iter().copied().chain(shards.iter().map(String::as_str)))
}

/// Pictures in class folders, one of which is none.
fn pictures(folder: &Path) -> PathBuf {
    let root = folder.join("pictures");
    for (class, shade) in [("NORMAL", 40u8), ("PNEUMONIA", 160)] {
        std::fs::create_dir_all(root.join(class)).unwrap();
        for i in 0..6u8 {
            let picture = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([shade + i * 3 + (x * y % 50) as u8]));
            picture.save(root.join(class).join(format!("{i}.png"))).unwrap();
        }
    }
    put(&root.join("NORMAL"), "broken.png", "no picture");
    root
}

#[test]
fn shards_merge_to_the_run_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 30);
    let (whole, merged) = (folder.path().join("whole"), folder.path().join("merged"));
    let told = evaluate(&data, &whole, &[]).ok();
    let mut parts = shards(&data, folder.path(), 3, &["--batch", "16"]);
    parts.rotate_left(1);
    let said = merge(&parts, &merged).ok();
    assert_eq!(said.replace("merged", "whole"), told);
    assert!(contents(&merged) == contents(&whole));
    assert_eq!(
        merge(&parts, &merged).error(2),
        format!("error: {}: it is there already; choose another --out", merged.display())
    );
}

#[test]
fn more_shards_than_images_and_pictures_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = pictures(folder.path()).display().to_string();
    let (whole, merged) = (folder.path().join("whole"), folder.path().join("merged"));
    evaluate(&data, &whole, &[]).ok();
    merge(&shards(&data, folder.path(), 20, &[]), &merged).ok();
    assert!(contents(&merged) == contents(&whole));
    assert!(whole.join("failures.csv").exists());
}

#[test]
fn what_does_not_belong_together_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 10);
    let parts = shards(&data, folder.path(), 3, &[]);
    let merged = folder.path().join("merged");
    let refused = |parts: &[String]| {
        let ran = merge(parts, &merged);
        assert!(!merged.exists());
        ran.error(3).replace(&folder.path().display().to_string(), "DIR")
    };
    assert_eq!(
        refused(&[parts[2].clone(), parts[0].clone()]),
        "error: of the 3 shards there are only 2; finish and name also 2/3"
    );
    let twice = folder.path().join("again").display().to_string();
    evaluate(&data, Path::new(&twice), &["--shard", "2/3"]).ok();
    assert_eq!(
        refused(&[parts.as_slice(), &[twice]].concat()),
        "error: DIR/again: shard 2/3 is there twice, also in DIR/2-of-3; name one of the two"
    );
    let whole = folder.path().join("whole").display().to_string();
    evaluate(&data, Path::new(&whole), &[]).ok();
    assert_eq!(
        refused(&[parts[0].clone(), whole]),
        "error: DIR/whole: this run is no shard; merge runs of `evaluate --shard I/N`"
    );
    let limited = folder.path().join("limited").display().to_string();
    evaluate(&data, Path::new(&limited), &["--shard", "2/3", "--limit", "9"]).ok();
    assert_eq!(
        refused(&[parts[0].clone(), limited, parts[2].clone()]),
        "error: DIR/limited/run.toml: `hashes` is another than in DIR/1-of-3; merge the shards of one run only"
    );
    let predictions = folder.path().join("1-of-3/predictions.csv");
    let changed = std::fs::read_to_string(&predictions).unwrap().replacen("0.", "0.1", 1);
    std::fs::write(&predictions, changed).unwrap();
    assert_eq!(refused(&parts), "error: DIR/1-of-3/predictions.csv: it was changed after the run; run the shard again");
    std::fs::write(folder.path().join("3-of-3/journal"), "").unwrap();
    assert_eq!(refused(&parts), "error: DIR/3-of-3: this shard is not finished; go on with it by `evaluate --resume`");
}

#[test]
fn a_shard_that_is_none() {
    let ran = roentgen(["evaluate", "--model", "phantom-densenet", "--data", "phantom", "--shard", "9/8"]);
    assert!(ran.error(2).contains("`9/8` is no shard: write I/N with I from 1 to N, as 2/8"));
}

#[test]
fn two_processes_on_one_shard_whose_lock_nobody_sees_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 60);
    let (alone, both) = (folder.path().join("alone"), folder.path().join("both"));
    let shard = ["--shard", "1/2", "--batch", "2", "--threads", "1", "--resume"];
    evaluate(&data, &alone, &shard).ok();
    // As on two machines of a network file system: `--overlap` asks for no lock.
    let start = || {
        let fixed = ["evaluate", "--model", "phantom-densenet", "--data", &data, "--out", both.to_str().unwrap()];
        command(fixed.iter().chain(&shard).chain(&["--overlap"])).spawn().unwrap()
    };
    let begun = Instant::now();
    let wait_for = |file: &str| {
        while std::fs::metadata(both.join(file)).map_or(0, |m| m.len()) < 2000 {
            assert!(begun.elapsed() < Duration::from_secs(120), "{file} does not grow");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    // One is killed, one is held up and comes to its end long after two that end together.
    let mut killed = start();
    wait_for("journal");
    killed.kill().unwrap();
    killed.wait().unwrap();
    let late = start();
    wait_for("journal.1");
    signal("STOP", late.id());
    for other in [start(), start()] {
        finished(other.wait_with_output().unwrap()).ok();
    }
    signal("CONT", late.id());
    finished(late.wait_with_output().unwrap()).ok();
    assert!(contents(&both) == contents(&alone));
}
