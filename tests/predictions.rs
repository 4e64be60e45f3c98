//! The predictions table on the published NIH predictions.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use roentgen::predictions::{Aggregate, Policy, Predictions, Truth, read, read_with_truth};

fn nih() -> Option<PathBuf> {
    Some(crate::support::shared()?.join("real/nih"))
}

#[test]
fn the_nih_test_set() {
    let Some(nih) = nih() else { return };
    let p = read(&nih.join("nih_chexnet_test_preds.csv.gz"), None).unwrap();
    assert_eq!((p.len(), p.labels.len()), (22_433, 14));
    assert_eq!(p.columns(), ["image", "patient", "age", "sex", "view"]);
    let patients = p.clusters().unwrap();
    assert_eq!(patients.iter().max(), Some(&6_186));
    let effusion = p.label("Pleural Effusion").unwrap();
    let positive = Policy::default().rows(effusion.truths.as_ref().unwrap()).1.iter().filter(|y| **y).count();
    assert_eq!(positive, 2_756);
    assert_eq!(effusion.scores.as_ref().unwrap()[0], 0.013879903);

    let pa = p.filter(&["view=PA".parse().unwrap(), "age>=60".parse().unwrap()]).unwrap();
    assert_eq!(pa.len(), 3_180);
}

#[test]
fn what_was_read_is_written_and_read_again() {
    let Some(nih) = nih() else { return };
    let p = read(&nih.join("nih_chexnet_test_preds.csv.gz"), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    p.write(File::create(&path).unwrap()).unwrap();
    assert_eq!(read(&path, None).unwrap(), p);
}

#[test]
fn truths_from_another_file() {
    let Some(nih) = nih() else { return };
    let (scores, truths) = (nih.join("nih_chexnet_test_preds.csv.gz"), nih.join("labels_2017.csv.gz"));
    let p = read(&scores, None).unwrap();
    let (joined, notes) = read_with_truth(&scores, &truths, None, false).unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(joined.images, p.images);
    assert_eq!(joined.patients, p.patients);
    for (label, known) in joined.labels.iter().zip(&p.labels) {
        assert_eq!((&label.name, &label.scores), (&known.name, &known.scores));
    }
    // The two label versions differ, so these are the other file's truths.
    let stated = read(&truths, None).unwrap();
    for (label, known) in joined.labels.iter().zip(&stated.labels) {
        assert_eq!(label.truths, known.truths);
    }
}

#[test]
fn patients_as_studies() {
    let Some(nih) = nih() else { return };
    let mut p = read(&nih.join("nih_chexnet_test_preds.csv.gz"), None).unwrap();
    p.studies = p.patients.clone();
    let (studies, notes) = p.by_study(Aggregate::Max).unwrap();
    assert_eq!(studies.len(), 6_187);
    assert!(!notes.is_empty());
    let clusters = p.clusters().unwrap();
    let max = |code: u32, scores: &[f64]| {
        scores.iter().zip(&clusters).filter(|(_, c)| **c == code).map(|(s, _)| *s).fold(f64::MIN, f64::max)
    };
    for (study, image) in studies.labels.iter().zip(&p.labels) {
        assert_eq!(study.scores.as_ref().unwrap()[17], max(17, image.scores.as_ref().unwrap()));
    }
}

/// A table as it comes from a notebook: row numbers first, semicolons, CRLF, other spellings.
#[test]
fn a_gzipped_file_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.txt");
    let text = "\u{feff};ID;p_Effusion;y_Pleural Effusion\r\n0;a;0.5;1.0\r\n1;b;1.5;\r\n";
    let mut gz = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap();
    let p: Predictions = read(&path, None).unwrap();
    assert_eq!(p.labels[0].name, "Pleural Effusion");
    assert_eq!(p.labels[0].truths.as_deref().unwrap(), [Truth::Positive, Truth::Unmentioned]);
    assert_eq!(p.labels[0].scores.as_deref().unwrap(), [0.5, 1.5], "no probability, and still a rank");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.csv");
    let fault = |path: &Path| read(path, None).unwrap_err().to_string();
    assert!(fault(&missing).starts_with(&format!("{}: No such file", missing.display())), "{}", fault(&missing));
    assert!(fault(folder.path()).starts_with(&folder.path().display().to_string()), "{}", fault(folder.path()));
    let cut = folder.path().join("cut.csv.gz");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gz.write_all(b"image,p_Mass\na,0.5\nb,0.5\n").unwrap();
    let bytes = gz.finish().unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 9]).unwrap();
    assert!(fault(&cut).ends_with("the file cannot be read to its end; fetch or write it again"), "{}", fault(&cut));
}
