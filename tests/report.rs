//! `roentgen report` and `roentgen verify` through the real binary.

use std::path::{Path, PathBuf};
use std::time::Instant;

use roentgen::cards::catalogue;
use roentgen::files;
use roentgen::metrics::evaluation::{self, Settings};
use roentgen::predictions::{Attribute, Label, Policy, Predictions, Truth};
use roentgen::run::{Description, Hashes, RunFolder, SCHEMA, instruction_set};

use crate::support::{Ran, roentgen};

/// A run that nobody predicted: scores from a counter, labels named by `labels`.
pub fn made_up_run(folder: &Path, images: usize, labels: &[&str], change: impl Fn(&mut Description)) -> RunFolder {
    let run = RunFolder::new(folder);
    std::fs::create_dir_all(folder).unwrap();
    let noise = |seed: usize| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64;
    let columns = labels.iter().enumerate().map(|(l, name)| {
        let positive = |i: usize| noise(i * 31 + l * 7919 + 1) < 0.08 + 0.02 * l as f64;
        let logit = |i: usize| 4.0 * noise(i * 131 + l * 104_729 + 7) - 3.5 + if positive(i) { 1.5 } else { 0.0 };
        let logits: Vec<f64> = (0..images).map(|i| f64::from(logit(i) as f32)).collect();
        Label {
            name: (*name).to_owned(),
            truths: Some((0..images).map(|i| if positive(i) { Truth::Positive } else { Truth::Negative }).collect()),
            scores: Some(logits.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect()),
            logits: Some(logits),
        }
    });
    let column = |name: &str, value: &dyn Fn(usize) -> String| Attribute {
        name: name.into(),
        values: (0..images).map(value).collect(),
    };
    let table = Predictions {
        images: (0..images).map(|i| format!("img-{i:06}.png")).collect(),
        patients: Some((0..images).map(|i| format!("patient-{}", i / 3)).collect()),
        studies: None,
        attributes: vec![
            column("age", &|i| (20 + i * 7 % 70).to_string()),
            column("sex", &|i| if i % 5 < 2 { "F".into() } else { "M".into() }),
            column("view", &|i| if i % 3 == 0 { "AP".into() } else { "PA".into() }),
        ],
        labels: columns.collect(),
    };
    let mut csv = Vec::new();
    table.write(&mut csv).unwrap();
    // As a manifest lists them: no scores, but a hash.
    let mut listed = table.clone();
    listed.labels.iter_mut().for_each(|label| (label.logits, label.scores) = (None, None));
    let hashes = column("sha256", &|i| files::sha256(&i.to_le_bytes()));
    listed.attributes.insert(0, hashes);
    let mut manifest = Vec::new();
    listed.write(&mut manifest).unwrap();
    let (mut model, _) = catalogue::model("phantom-densenet").unwrap();
    model.labels = labels.iter().map(|l| (*l).to_owned()).collect();
    let mut dataset = catalogue::dataset("phantom").unwrap();
    dataset.labels = model.labels.clone();
    let mut description = Description {
        schema: SCHEMA.into(),
        software: "roentgen 0.1.0".into(),
        device: "cpu".into(),
        instructions: instruction_set().into(),
        precision: "f32".into(),
        batch: 16,
        split: Some("test".into()),
        limit: None,
        images,
        policy: Policy::default(),
        hashes: Hashes {
            weights: files::sha256(b"weights"),
            samples: files::sha256(b"samples"),
            manifest: Some(files::sha256(&manifest)),
            predictions: Some(files::sha256(&csv)),
        },
        calibration: None,
        model,
        dataset,
    };
    change(&mut description);
    let settings = Settings { policy: description.policy, ..Settings::default() };
    let evaluation = evaluation::evaluate(&table, None, &settings).unwrap().to_json().unwrap();
    std::fs::write(run.predictions(), csv).unwrap();
    std::fs::write(run.manifest(), manifest).unwrap();
    std::fs::write(run.evaluation(), evaluation).unwrap();
    std::fs::write(run.run_toml(), description.to_toml().unwrap()).unwrap();
    run
}

const FOURTEEN: [&str; 14] = [
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
];

fn report(run: &Path, more: &[&str]) -> Ran {
    let mut args = vec!["report".to_owned(), run.display().to_string()];
    args.extend(more.iter().map(|m| (*m).to_owned()));
    roentgen(args)
}

fn verify(run: &Path, more: &[&str]) -> Ran {
    let mut args = vec!["verify".to_owned(), run.join("report.json").display().to_string()];
    args.extend(more.iter().map(|m| (*m).to_owned()));
    roentgen(args)
}

/// Names the time on stderr, past the capture of test output.
fn timed(what: &str, ran: impl FnOnce() -> Ran) -> f64 {
    let begun = Instant::now();
    ran().ok();
    let seconds = begun.elapsed().as_secs_f64();
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{what}: {seconds:.1} s");
    seconds
}

#[test]
fn as_many_images_as_chestxray14_has() {
    let folder = tempfile::tempdir().unwrap();
    let run = made_up_run(&folder.path().join("run"), 112_000, &FOURTEEN, |d| d.dataset.redistribution = false);
    // Alone on two cores each takes a third of this.
    assert!(timed("report of 112,000 x 14", || report(run.path(), &[])) < 30.0);
    assert!(timed("verified", || verify(run.path(), &[])) < 30.0);
}
