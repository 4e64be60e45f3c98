//! Real weights on real radiographs, against the outputs of the programs that made them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::{roentgen, shared};

const COVID3: &str = r#"
schema = "roentgen/model/1"
name = "covid3-mobilenetv2-035"
architecture = "mobilenet_v2"
labels = ["Normal", "COVID-19", "Viral pneumonia"]
output = "softmax"
licence = "MIT"
[options]
width = 0.35
padding = "keras"
norm_eps = 1e-3
[[head]]
units = 100
activation = "relu"
[[head]]
units = 3
bias = false
[weights]
path = "SHARED/real/covid3/mobilenetv2-035.safetensors"
[input]
channels = 3
steps = [ { op = "resize", size = 224, mode = "fit", filter = "lanczos" }, { op = "scale", to = [-1.0, 1.0] } ]
"#;

/// The recipe of both Kermany models: /255, repeated to three channels, ImageNet's mean and deviation.
const KERMANY: &str = r#"
schema = "roentgen/model/1"
name = "NAME"
architecture = "NAME"
labels = LABELS
output = "sigmoid"
licence = "CC-BY-4.0"
[weights]
path = "SHARED/real/kermany/models/NAME.pth"
[input]
channels = 3
steps = [ { op = "scale", to = [0.0, 1.0] },
          { op = "normalize", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] } ]
"#;

fn kermany_card(folder: &Path, shared: &Path, name: &str, labels: &str) -> PathBuf {
    card(folder, shared, &KERMANY.replace("NAME", name).replace("LABELS", labels))
}

fn card(folder: &Path, shared: &Path, text: &str) -> PathBuf {
    let path = folder.join("card.toml");
    std::fs::write(&path, text.replace("SHARED", &shared.display().to_string())).unwrap();
    path
}

/// The rows of a CSV by their first cell; the values of the columns whose names begin with `prefix`.
fn columns(text: &str, prefix: &str) -> BTreeMap<String, Vec<f64>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let wanted: Vec<_> = reader.headers().unwrap().iter().map(|h| h.starts_with(prefix)).collect();
    let row = |r: csv::StringRecord| {
        let values = r.iter().zip(&wanted).filter(|(_, w)| **w).map(|(cell, _)| cell.parse().unwrap()).collect();
        (r[0].to_owned(), values)
    };
    reader.records().map(|r| row(r.unwrap())).collect()
}

/// The widest gap between two tables over the rows of `ours`, and how many rows that are.
fn gap<'a>(ours: impl Iterator<Item = (String, &'a Vec<f64>)>, theirs: &BTreeMap<String, Vec<f64>>) -> (f64, usize) {
    ours.filter_map(|(name, values)| Some((values, theirs.get(&name)?))).fold((0.0, 0), |(widest, n), (a, b)| {
        assert_eq!(a.len(), b.len());
        (a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(widest, f64::max), n + 1)
    })
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap().to_owned()
}

#[test]
fn keras_mobilenet_gives_keras_probabilities() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let card = card(folder.path(), &shared, COVID3);
    let images = shared.join("real/covid3/images");
    let args = ["predict", "--format", "csv", "--model"].map(std::ffi::OsStr::new);
    let ours = roentgen(args.iter().copied().chain([card.as_os_str(), images.as_os_str()])).ok();
    let ours = columns(&ours, "p_");
    let golden = columns(&std::fs::read_to_string(shared.join("real/covid3/golden.csv")).unwrap(), "p");
    for (kind, count, tolerance) in [("png", 4, 1e-4), ("jpeg", 16, 1e-4)] {
        let named = ours.iter().filter(|(id, _)| id.ends_with(kind)).map(|(id, v)| (file_name(id), v));
        let (widest, n) = gap(named, &golden);
        println!("covid3 {kind}: widest gap of {n} images {widest:.2e}");
        assert_eq!(n, count);
        assert!(widest <= tolerance, "{kind}: {widest}");
    }
}

#[test]
fn kermany_pngs_give_pytorchs_logits() {
    let Some(shared) = shared() else { return };
    for (name, labels) in [("resnet18", r#"["PNEUMONIA"]"#), ("densenet121", r#"["PNEUMONIA", "bacterial", "viral"]"#)]
    {
        let folder = tempfile::tempdir().unwrap();
        let card = kermany_card(folder.path(), &shared, name, labels);
        let models = shared.join("real/kermany/models");
        let args = ["predict", "--format", "csv", "--model"].map(std::ffi::OsStr::new);
        let ours = roentgen(args.iter().copied().chain([card.as_os_str(), models.join("png").as_os_str()])).ok();
        let ours = columns(&ours, "logit_");
        let golden = std::fs::read_to_string(models.join(format!("{name}_golden_100.csv"))).unwrap();
        let original = |id: &String| file_name(id).replace("__", "/").replace(".png", ".jpeg");
        let (widest, n) = gap(ours.iter().map(|(id, v)| (original(id), v)), &columns(&golden, "logit_"));
        println!("{name}, PNGs: widest gap of {n} images' logits {widest:.2e}");
        assert_eq!(n, 20);
        assert!(widest <= 1e-3, "{name}: {widest}");
    }
}

/// Evaluates a Kermany model on the official test split; checks the logits against PyTorch's where they are known, the
/// patients against the recorded manifest, and the AUROCs against those that PyTorch's training printed.
fn kermany_test_split(name: &str, labels: &str, aurocs: &[(&str, f64)]) {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let card = kermany_card(folder.path(), &shared, name, labels);
    let root = shared.join("real/kermany");
    let run = folder.path().join("run");
    let args = ["evaluate", "--data", "kermany-pediatric", "--split", "test", "--strict"];
    let mut command = crate::support::command(args);
    command.arg("--model").arg(&card).arg("--root").arg(&root).arg("--out").arg(&run);
    let table = crate::support::finished(command.output().unwrap()).ok();
    println!("{table}");

    let predictions = std::fs::read_to_string(run.join("predictions.csv")).unwrap();
    let golden = std::fs::read_to_string(root.join(format!("models/{name}_golden_100.csv"))).unwrap();
    let ours = columns(&predictions, "logit_");
    let (widest, n) = gap(ours.iter().map(|(id, v)| (id.clone(), v)), &columns(&golden, "logit_"));
    println!("{name}, JPEGs: widest gap of {n} images' logits {widest:.2e}");
    assert_eq!((ours.len(), n), (624, 100));
    assert!(widest <= 1e-3, "{widest}");

    let recorded: BTreeMap<String, String> = csv::Reader::from_path(root.join("manifest.csv"))
        .unwrap()
        .records()
        .map(|r| r.unwrap())
        .map(|r| (r[0].to_owned(), r[2].to_owned()))
        .collect();
    let mut manifest = csv::Reader::from_path(run.join("manifest.csv")).unwrap();
    let patient = manifest.headers().unwrap().iter().position(|h| h == "patient").unwrap();
    for row in manifest.records().map(|r| r.unwrap()) {
        assert_eq!(recorded[&row[0]], row[patient]);
    }

    let evaluation: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.join("evaluation.json")).unwrap()).unwrap();
    for (label, auroc) in aurocs {
        let found = evaluation["labels"].as_array().unwrap().iter().find(|l| l["label"] == *label).unwrap();
        let value = found["auroc"]["value"].as_f64().unwrap();
        println!("{name} {label}: AUROC {value} against {auroc} from PyTorch");
        assert!((value - auroc).abs() <= 1e-3, "{label}: {value}");
        assert_eq!(found["auroc"]["method"], "clustered");
    }
}

#[test]
fn resnet18_on_the_kermany_test_split() {
    kermany_test_split("resnet18", r#"["PNEUMONIA"]"#, &[("PNEUMONIA", 0.944)]);
}

#[test]
fn densenet121_on_the_kermany_test_split() {
    let aurocs = [("PNEUMONIA", 0.929), ("bacterial", 0.918), ("viral", 0.872)];
    kermany_test_split("densenet121", r#"["PNEUMONIA", "bacterial", "viral"]"#, &aurocs);
}
