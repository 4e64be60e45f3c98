//! `roentgen explain` and its kin, as a user sees them.

use std::path::Path;

use crate::support::{put, roentgen};

fn explain(args: &[&str]) -> crate::support::Ran {
    roentgen(["explain", "--model", "phantom-densenet"].iter().chain(args))
}

/// A phantom as a picture file.
fn phantom(folder: &Path, name: &str) -> String {
    use roentgen::data::phantom::{Cohort, PhantomId, render};
    let cohort = Cohort::new(2024, 75, 128).unwrap();
    let drawn = render(&cohort, &PhantomId { patient: 1, index: 0 });
    let path = folder.join(name);
    image::GrayImage::from_raw(128, 128, drawn.pixels).unwrap().save(&path).unwrap();
    path.display().to_string()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn overlays_maps_and_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let picture = phantom(folder.path(), "chest 1.png");
    let out = folder.path().join("out");
    let to = out.display().to_string();
    let text = explain(&[&picture, "--out", &to, "--raw"]).ok();
    insta::assert_snapshot!("explain", text.replace(&folder.path().display().to_string(), "[folder]"));
    let found = names(&out);
    assert_eq!(found.len(), 5 * 3 + 2, "{found:?}");
    for name in ["chest_1--Effusion.npy", "chest_1--Effusion.map.png", "contact-sheet-1.png", "explanations.json"] {
        assert!(found.iter().any(|f| f == name), "{name} of {found:?}");
    }
    // The picture is there at its own resolution, and gray where nothing speaks for the label.
    let overlay = image::open(out.join("chest_1--Pneumothorax.png")).unwrap().to_rgb8();
    assert!(overlay.width() >= 128 && overlay.height() > 128);
    assert!(overlay.pixels().any(|p| p.0[0] != p.0[1]));
    let map = image::open(out.join("chest_1--Pneumothorax.map.png")).unwrap().into_luma16();
    assert_eq!((map.width(), map.height(), map.pixels().map(|p| p.0[0]).max()), (128, 128, Some(65535)));
    // The same bytes again, whatever the threads.
    let again = folder.path().join("again");
    explain(&[&picture, "--out", &again.display().to_string(), "--raw", "--threads", "1"]).ok();
    assert_eq!(crate::support::contents(&out), crate::support::contents(&again));
}

#[test]
fn one_file_a_detected_abnormality() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    for sub in ["a", "b"] {
        std::fs::create_dir_all(pictures.join(sub)).unwrap();
        phantom(&pictures.join(sub), "chest.png");
    }
    std::fs::write(pictures.join("a/bad.png"), b"\x89PNG\r\n\x1a\n and no more").unwrap();
    let (from, out) = (pictures.display().to_string(), folder.path().join("out"));
    let ran = explain(&[&from, "--only-positive", "--out", &out.display().to_string(), "--format", "json"]);
    // What could be read is there, what could not is told.
    assert!(ran.error(3).contains("1 of 3 pictures could not be explained"), "{}", ran.stderr);
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["schema"], "roentgen/explanations/1");
    let files: Vec<_> = found["rows"].as_array().unwrap().iter().map(|r| r["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["chest--Pneumothorax.png", "2-chest--Pneumothorax.png"]);
    assert_eq!(names(&out).len(), 2 + 2);
}

#[test]
fn thresholds_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let picture = phantom(folder.path(), "chest.png");
    let point = r#"{"labels":[{"label":"Pleural Effusion","operating_points":[{"rule":"youden","threshold":0.001}]}]}"#;
    put(folder.path(), "evaluation.json", point);
    let (run, out) = (folder.path().display().to_string(), folder.path().join("out").display().to_string());
    let args = [&*picture, "--thresholds", &run, "--only-positive", "--out", &out, "--format", "csv"];
    let rows = explain(&args).ok();
    assert!(rows.contains("Effusion,0.04") && rows.contains(",0.001,1,"), "{rows}");
    assert_eq!(rows.lines().count(), 3, "{rows}");
    let ran = explain(&[&picture, "--thresholds", "no-run", "--out", &out]);
    assert!(ran.error(3).contains("no-run/evaluation.json: No such file"), "{}", ran.stderr);
}

#[test]
fn every_method_explains() {
    let folder = tempfile::tempdir().unwrap();
    let picture = phantom(folder.path(), "chest.png");
    let out = folder.path().join("out").display().to_string();
    for method in ["gradcam++", "hirescam", "input-gradient", "integrated-gradients"] {
        let text =
            explain(&[&picture, "--method", method, "--label", "Pneumothorax", "--steps", "8", "--out", &out]).ok();
        assert!(text.starts_with(method) && text.contains("Pneumothorax"), "{text}");
        assert_eq!(text.contains("completeness error"), method == "integrated-gradients", "{text}");
    }
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let out = std::env::temp_dir().join("never-made").display().to_string();
    let says = |args: &[&str]| explain(&[args, &["--data", "phantom", "--out", &out]].concat()).error(2).to_owned();
    insta::assert_snapshot!(says(&["--label", "Fracture"]), @"error: label `Fracture`: the model has no such label; it has Cardiomegaly, Effusion, Nodule, Pneumothorax, Consolidation");
    insta::assert_snapshot!(says(&["--layer", "layer4"]), @"error: model `phantom-densenet`, layer `layer4`: the model has no such layer; it has features.relu0, features.pool0, features.denseblock1, features.transition1, features.denseblock2, features.transition2, features.denseblock3, features.transition3, features.denseblock4, features.norm5, relu, and inside of the blocks features.denseblock1.denselayer1 and so on");
    insta::assert_snapshot!(says(&["--method", "integrated-gradients", "--layer", "relu"]), @"error: layer `relu`: integrated-gradients is of the pixels, not of a layer; leave the layer out, or take gradcam");
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_constant_picture_and_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("black.png").display().to_string();
    image::GrayImage::new(29, 31).save(&path).unwrap();
    let out = folder.path().join("out").display().to_string();
    // 29x31 pixels leave one place of the last maps.
    let text = explain(&[&path, "--out", &out, "--label", "Nodule"]).ok();
    insta::assert_snapshot!("explain-constant", text.replace(&folder.path().display().to_string(), "[folder]"));
    let text = explain(&[&path, "--out", &out, "--method", "integrated-gradients", "--steps", "2"]).ok();
    // The way from black to black has no length.
    assert_eq!(text.matches("no positive evidence").count(), 5, "{text}");
}

#[test]
fn maps_lie_on_the_phantoms_findings() {
    let args = ["--data", "phantom", "--method", "hirescam", "--layer", "features.denseblock1"];
    insta::assert_snapshot!("explain-phantoms", explain(&args).ok());
    let json = explain(&[&args[..], &["--format", "json"]].concat()).ok();
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    let all = found["localization"].as_array().unwrap().last().unwrap();
    assert_eq!(all["label"], "all");
    let difference = &all["pointing_game"]["difference"];
    assert!(difference["ci_low"].as_f64().unwrap() > 0.25, "{difference}");
}

#[test]
fn boxes_are_scored() {
    let folder = tempfile::tempdir().unwrap();
    let picture = phantom(folder.path(), "00000001_000.png");
    let header = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n";
    // The whole picture, in the 1024 x 1024 pixels of the original: nothing lies outside.
    let boxes = put(folder.path(), "boxes.csv", &format!("{header}00000001_000.png,Pneumothorax,0,0,1024,1024,,,\n"));
    let out = folder.path().join("out").display().to_string();
    let json = explain(&[&picture, "--boxes", &boxes, "--out", &out, "--format", "json"]).ok();
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    let [label] = &found["localization"].as_array().unwrap()[..] else { panic!("{found}") };
    assert_eq!((&label["label"], label["n"].as_u64()), (&serde_json::json!("Pneumothorax"), Some(1)));
    assert_eq!(label["pointing_game"]["map"]["value"], 1.0);
    assert!((label["energy"]["map"]["value"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert!(label["pointing_game"]["map"]["ci_low"].is_null());
    let other = put(folder.path(), "other.csv", &format!("{header}other.png,Mass,0,0,9,9,,,\n"));
    let ran = explain(&[&picture, "--boxes", &other, "--out", &out]);
    assert!(ran.error(3).contains("none of the pictures is marked in it; check that file names agree"));
}

#[test]
fn maps_are_tested() {
    let out = tempfile::tempdir().unwrap();
    let to = out.path().display().to_string();
    let text = explain(&["--data", "phantom", "--limit", "4", "--trust", "1", "--out", &to]).ok();
    insta::assert_snapshot!("explain-trust", text.replace(&to, "[out]"));
    let tested = roentgen::explain::trust::read(out.path()).unwrap();
    assert!(tested.method.starts_with("gradcam ") && tested.weights.len() == 64, "{}", tested.method);
    let trust = tested.trust;
    assert_eq!(trust.len(), 5);
    assert_eq!(trust[0].line(), "not tested");
    assert!(trust[3].n == 1 && trust[3].line().contains("ROAD"), "{}", trust[3].line());
    assert!(roentgen::explain::trust::read(&out.path().join("none")).unwrap().trust.is_empty());
}

#[test]
fn weights_are_shown() {
    insta::assert_snapshot!("weights-show", roentgen(["weights", "show", "phantom-densenet"]).ok());
}

#[test]
fn help_of_explain() {
    insta::assert_snapshot!("help-explain", roentgen(["explain", "--help"]).ok());
}

#[test]
fn predict_tells_how_sure_it_is_and_score_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let predict = |more: &[&str]| roentgen(["predict", "--model", "phantom-densenet"].iter().chain(more));
    let text = predict(&["--data", "phantom", "--limit", "3", "--uncertainty", "tta"]).ok();
    insta::assert_snapshot!("predict-uncertainty", text);
    let csv = predict(&["--data", "phantom", "--limit", "120", "--uncertainty", "tta", "--format", "csv"]).ok();
    assert!(csv.starts_with("image,patient,age,sex,view,entropy,mutual_information,y_Cardiomegaly,"), "{csv:.200}");
    let table = put(folder.path(), "p.csv", &csv);
    let json = roentgen(["score", &table, "--risk-coverage", "--format", "json"]).ok();
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    let first = &found["risk_coverage"][0];
    assert_eq!((first["by"].as_str(), first["n"].as_u64()), (Some("entropy"), Some(120)));
    // Errors gather where the entropy is high.
    let risk = |i: usize| first["risks"][i].as_f64().unwrap();
    assert!(risk(4) < risk(0), "{first}");
    assert!(roentgen(["score", &table, "--risk-coverage", "doubt"]).error(2).contains("column `doubt`"));
    // A model and itself agree.
    let twice =
        predict(&["--data", "phantom", "--limit", "2", "--ensemble", "phantom-densenet", "--format", "json"]).ok();
    let twice: serde_json::Value = serde_json::from_str(&twice).unwrap();
    assert_eq!(twice["images"][0]["mutual_information"], 0.0);
    let says = predict(&["--data", "phantom", "--uncertainty", "mc-dropout"]).error(2).to_owned();
    insta::assert_snapshot!(says, @"error: model `phantom-densenet`: the head drops no units; take tta, or set `dropout` in the card's `[[head]]`");
}

#[test]
fn predict_draws_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let picture = phantom(folder.path(), "chest.png");
    let out = folder.path().join("out");
    let to = out.display().to_string();
    let plain = roentgen(["predict", "--model", "phantom-densenet", &picture]).ok();
    let ran = roentgen(["predict", "--model", "phantom-densenet", &picture, "--explain", "gradcam", "--out", &to]).ok();
    assert_eq!(ran, plain);
    assert_eq!(names(&out), ["clinical_report.csv", "overlays"]);
    assert_eq!(names(&out.join("overlays")), ["000001_pneumothorax.png"]);
}
