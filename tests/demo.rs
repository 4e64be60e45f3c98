//! What a newcomer sees first.

use crate::support::{command, finished, roentgen};
use std::process::Stdio;

#[test]
fn the_demo_is_good_and_not_perfect() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = command(["demo", "--headless"]);
    let out = folder.path().join("demo");
    let text = finished(demo.arg("--out").arg(&out).output().unwrap()).ok();
    insta::assert_snapshot!("demo", text.replace(&out.display().to_string(), "[out]"));
    let evaluation: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("evaluation.json")).unwrap()).unwrap();
    for label in evaluation["labels"].as_array().unwrap() {
        let auroc = label["auroc"]["value"].as_f64().unwrap();
        assert!((0.7..0.999).contains(&auroc), "{label}");
    }
}

#[test]
fn help_is_short_and_complete() {
    let help = roentgen(["--help"]).ok();
    for verb in ["demo", "evaluate", "predict", "datasets", "weights"] {
        assert!(help.contains(verb), "{help}");
    }
    assert!(help.lines().count() <= 30, "{help}");
    insta::assert_snapshot!("help", help);
    insta::assert_snapshot!("help-evaluate", roentgen(["evaluate", "--help"]).ok());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = command(["datasets", "list"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
