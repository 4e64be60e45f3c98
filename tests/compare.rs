//! `roentgen compare` through the real binary.

use std::fmt::Write;
use std::path::Path;

use roentgen::predictions::{Predictions, read};
use serde_json::Value;

use crate::support::{command, finished, put, roentgen, shared};

/// 40 images of 20 patients: truths of Mass and Edema, and scores that follow them as well as `skill` says.
fn table(skill: f64, truths: bool) -> String {
    let mut text = String::from("image,patient,");
    text += if truths { "y_Mass,y_Edema,p_Mass,p_Edema\n" } else { "p_Oedema,p_Mass\n" };
    for i in 0..40_u32 {
        let [mass, edema] = [i % 3 == 0, i % 4 == 1].map(u32::from);
        let noise = |salt: u32| f64::from((i * 37 + salt * 11) % 41) / 41.0;
        let score = |y: u32, salt| 0.02 + 0.96 * (skill * f64::from(y) + (1.0 - skill) * noise(salt));
        let (mass_score, edema_score) = (score(mass, 1), score(edema, 2));
        write!(text, "{i}.png,{},", i / 2).unwrap();
        if truths {
            writeln!(text, "{mass},{edema},{mass_score:.4},{edema_score:.4}").unwrap();
        } else {
            writeln!(text, "{edema_score:.4},{mass_score:.4}").unwrap();
        }
    }
    text
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&roentgen(["compare", "--format", "json"].iter().chain(args)).ok()).unwrap()
}

#[test]
fn what_a_person_sees() {
    let folder = tempfile::tempdir().unwrap();
    let a = put(folder.path(), "a.csv", &table(0.4, true));
    let b = put(folder.path(), "b.csv", &table(0.25, false).replace("p_Mass", "p_Mass,p_Hernia").replace('\n', ",0\n"));
    // The first line's end is no score.
    let b = put(folder.path(), "b.csv", &std::fs::read_to_string(b).unwrap().replacen(",0\n", "\n", 1));
    let shown = |text: String| text.replace(&folder.path().display().to_string(), "[folder]");
    insta::assert_snapshot!("compare", shown(roentgen(["compare", &a, &b, "--bootstrap", "200"]).ok()));
    insta::assert_snapshot!("compare-csv", roentgen(["compare", &a, &b, "--format", "csv"]).ok());
    insta::assert_snapshot!("help-compare", roentgen(["compare", "--help"]).ok());
}

#[test]
fn keys_that_other_programs_read() {
    let folder = tempfile::tempdir().unwrap();
    let a = put(folder.path(), "a.csv", &table(0.4, true));
    let b = put(folder.path(), "b.csv", &table(0.25, false));
    let found = json(&[&a, &b, "--bootstrap", "0"]);
    let label = &found["labels"][0];
    assert_eq!(label["label"], "Mass");
    for key in ["auroc_a", "auroc_b", "difference", "se", "z", "p_value", "p_holm"] {
        assert!(label[key].is_f64(), "{key}: {label}");
    }
    assert_eq!(label["method"], "clustered");
    assert_eq!(label["mcnemar"]["rule"], "youden");
    assert_eq!(found["macro"]["labels"], 2);
    assert!(found["macro"]["p_value"].is_f64() && label["average_precision"]["ci_low"].is_null());

    let same = json(&[&a, &a, "--bootstrap", "50"]);
    for label in same["labels"].as_array().unwrap().iter().chain([&same["macro"]]) {
        assert_eq!((label["difference"].as_f64(), label["p_value"].as_f64()), (Some(0.0), Some(1.0)));
        assert!(label["z"].is_null());
        assert_eq!(label["average_precision"]["ci_high"], 0.0);
    }
}

#[test]
fn truths_from_either_file_or_a_third_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| put(folder.path(), name, text);
    let (a, b) = (put("a.csv", &table(0.4, true)), put("b.csv", &table(0.25, false)));
    let whole = put("whole.csv", &table(0.25, true));
    // Scores of another model, as truths only.
    let (silent, truth) = (put("silent.csv", &table(0.4, false)), put("truth.csv", &table(0.0, true)));
    let labels = |args: &[&str]| {
        let mut labels = json(args)["labels"].as_array().unwrap().clone();
        labels.sort_by_key(|l| l["n_pos"].as_u64());
        labels.iter_mut().for_each(|l| l["label"] = Value::Null); // the spelling is A's
        labels
    };
    let first = labels(&[&a, &b]);
    assert_eq!(first, labels(&[&a, &whole]));
    assert_eq!(first, labels(&[&silent, &whole]));
    assert_eq!(first, labels(&[&silent, &b, "--truth", &truth]));

    // Rows in another order, and a run folder instead of its file.
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let text = table(0.25, false);
    let (header, rows) = text.split_once('\n').unwrap();
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.reverse();
    std::fs::write(run.join("predictions.csv"), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    assert_eq!(first, labels(&[&a, &run.display().to_string()]));
}

#[test]
fn threads_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let a = put(folder.path(), "a.csv", &table(0.4, true));
    let b = put(folder.path(), "b.csv", &table(0.25, false));
    let with = |threads: &str, seed: &str| {
        let mut run = command(["compare", &a, &b, "--bootstrap", "300", "--seed", seed, "--format", "json"]);
        finished(run.env("RAYON_NUM_THREADS", threads).output().unwrap()).ok()
    };
    assert_eq!(with("1", "7"), with("3", "7"));
    assert_ne!(with("1", "7"), with("1", "8"));
}

#[test]
fn bad_input_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| put(folder.path(), name, text);
    let good = table(0.25, true);
    let a = put("a.csv", &table(0.4, true));
    let silent = put("silent.csv", &table(0.4, false));
    let told = |b: &str, more: &[&str]| {
        let ran = roentgen(["compare", &a, b].iter().chain(more));
        ran.error(3).replace(&folder.path().display().to_string(), "[folder]")
    };
    let with = |text: String, more: &[&str]| told(&put("b.csv", &text), more);
    insta::assert_snapshot!(with(good.replace("\n3.png,1,1,", "\n3.png,1,0,"), &[]), @"error: A = [folder]/a.csv, B = [folder]/b.csv, image 3.png, label Mass: the truth is 1 in A and 0 in B; give the truths in one file with --truth");
    insta::assert_snapshot!(with(good.replace("\n3.png,1,", "\n3.png,7,"), &[]), @"error: A = [folder]/a.csv, B = [folder]/b.csv, image 3.png: the patient is `1` in A and `7` in B; mend one, or leave the patient column out of one file");
    insta::assert_snapshot!(with(good.replace("\n3.png", "\n300.png"), &[]), @"error: images in only one file: 1 only in [folder]/a.csv (3.png), 1 only in [folder]/b.csv (300.png); complete the files, or leave these images out with --allow-missing");
    insta::assert_snapshot!(with(good.replace("\n3.png", "\n4.png"), &[]), @"error: [folder]/b.csv, column image: `4.png` stands in row 4 (line 5) and in row 5 (line 6); keep one row an image");
    insta::assert_snapshot!(with(good.replace("Mass", "Nodule").replace("Edema", "Hernia"), &[]), @"error: A = [folder]/a.csv, B = [folder]/b.csv: no label can be compared (Mass: only A has it; Edema: only A has it; Nodule: only B has it; Hernia: only B has it); both tables need scores of a label, and one of them (or --truth) its truths");
    insta::assert_snapshot!(with(good.replace("0.0200", "nan"), &[]), @"error: [folder]/b.csv, row 14 (line 15), column p_Mass: the score is NaN; every image needs a finite score for every label: predict it again, or leave the image out");
    insta::assert_snapshot!(with(String::new(), &[]), @"error: [folder]/b.csv: the file is empty; the first line must name the columns: image,y_LABEL,...,p_LABEL,...");
    insta::assert_snapshot!(with(good.split_once('\n').unwrap().1.into(), &[]), @"error: [folder]/b.csv: the first line is no header: it holds the value 0; the first line must name the columns: image,y_LABEL,...,p_LABEL,...");
    insta::assert_snapshot!(told(&folder.path().display().to_string(), &[]), @"error: [folder]: there is no predictions.csv in the folder; give a finished run folder, or a predictions file");
    insta::assert_snapshot!(told("no-such.csv", &[]), @"error: no-such.csv: No such file or directory; check the path");
    let neither = roentgen(["compare", &silent, &silent]);
    insta::assert_snapshot!(neither.error(3).replace(&folder.path().display().to_string(), "[folder]"), @"error: A = [folder]/silent.csv, B = [folder]/silent.csv: no label can be compared (Oedema: the data have no truths for it; Mass: the data have no truths for it); both tables need scores of a label, and one of them (or --truth) its truths");

    // These are well read all the same.
    let plain = json(&[&a, &put("b.csv", &good)]);
    for text in [format!("\u{feff}{good}"), good.replace('\n', "\r\n"), good.replace(',', ";")] {
        assert_eq!(json(&[&a, &put("b.csv", &text)]), plain);
    }
    let fewer = json(&[&a, &put("b.csv", &good.replace("\n3.png", "\n300.png")), "--allow-missing"]);
    assert_eq!(fewer["n_images"], 39);
    let one_class = json(&[&a, &put("b.csv", &table(0.25, false)), "--unmentioned", "ignore"]);
    assert_eq!(one_class["left_out"].as_array().unwrap().len(), 0);
}

#[test]
fn a_label_of_one_class_and_scores_that_only_rank() {
    let folder = tempfile::tempdir().unwrap();
    let none = |text: &str| text.replace("y_Mass", "y_Hernia").replace("p_Mass", "p_Hernia");
    let mut rows: Vec<String> = none(&table(0.4, true)).lines().map(str::to_owned).collect();
    for row in rows.iter_mut().skip(1) {
        let mut cells: Vec<&str> = row.split(',').collect();
        cells[2] = "0";
        *row = cells.join(",");
    }
    let a = put(folder.path(), "a.csv", &rows.join("\n"));
    let b = put(folder.path(), "b.csv", &none(&table(0.25, false)).replacen(",0.", ",7.", 1));
    let found = json(&[&a, &b]);
    assert_eq!(found["left_out"][0], serde_json::json!({"label": "Hernia", "reason": "there is no positive row"}));
    let edema = &found["labels"][0];
    assert_eq!(edema["calibration_refused"], "B's scores are no probabilities");
    assert!(edema["brier"].is_null() && edema["difference"].is_f64());
}

/// A table of one label with the patients, or without.
fn write_one(path: &Path, from: &Predictions, scores_of: &str, patients: bool) {
    let mut label = from.label("Mass").unwrap().clone();
    label.scores = from.label(scores_of).unwrap().scores.clone();
    let patients = from.patients.clone().filter(|_| patients);
    let table = Predictions { images: from.images.clone(), patients, labels: vec![label], ..Predictions::default() };
    table.write(std::fs::File::create(path).unwrap()).unwrap();
}

// Mass by its own probabilities and by those of Nodule; NumPy with SciPy's rankdata, from the papers' formulas.
#[test]
fn nih_against_reference_values() {
    let Some(shared) = shared() else { return };
    let whole = read(&shared.join("real/nih/nih_chexnet_test_preds.csv.gz"), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.csv", "b.csv"].map(|n| folder.path().join(n));
    for (patients, method, se) in
        [(false, "delong", 0.006_337_334_010_856_415), (true, "clustered", 0.009_063_265_250_297_957)]
    {
        write_one(&a, &whole, "Mass", patients);
        write_one(&b, &whole, "Nodule", patients);
        let found = json(&[a.to_str().unwrap(), b.to_str().unwrap(), "--bootstrap", "500"]);
        let mass = &found["labels"][0];
        assert_eq!(mass["method"], method);
        let number = |key: &str| mass[key].as_f64().unwrap();
        assert!((number("difference") - 0.116_005_877_166_139_08).abs() < 1e-12);
        assert!((number("se") / se - 1.0).abs() < 1e-10);
        // The bootstrap of AP agrees with itself: its interval holds the difference, and every draw had positives.
        let precision = &mass["average_precision"];
        let [low, value, high] = ["ci_low", "difference", "ci_high"].map(|k| precision[k].as_f64().unwrap());
        assert!(low < value && value < high && precision["discarded"] == 0);
    }
}
