//! `roentgen score` through the real binary.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Ran, command, finished, shared};

/// Two patients with two images each and four with one; two labels, one of them uncertain and unmentioned in places.
const TABLE: &str = "\
image,patient,study,age,sex,view,y_Effusion,y_Mass,p_Effusion,p_Mass
a1,A,s1,33,F,PA,1,0,0.91,0.12
a2,A,s1,33,F,AP,1,-1,0.42,0.35
b1,B,s2,61,M,PA,0,1,0.55,0.81
b2,B,s3,62,M,PA,0,1,0.08,0.22
c1,C,s4,70,F,AP,0,,0.13,0.31
d1,D,s5,,F,PA,1,0,0.77,0.05
e1,E,s6,18,M,PA,0,1,0.30,0.64
f1,F,s7,45,M,AP,0,0,0.21,0.44
";

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn score(args: &[&str], files: &[&Path]) -> Ran {
    let mut command = command(["score"]);
    finished(command.args(files).args(args).output().unwrap())
}

/// What `score` says of a table, its path taken out.
fn told(table: &str, args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "p.csv", table);
    let ran = score(args, &[&path]);
    let said = if ran.status == 0 { ran.stdout } else { format!("{}: {}", ran.status, ran.error(ran.status)) };
    said.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn what_a_reviewer_sees() {
    insta::assert_snapshot!("score", told(TABLE, &["--bootstrap", "200", "--seed", "7", "--by", "sex", "--policies"]));
    insta::assert_snapshot!("score-rank", told(TABLE, &["--scores", "rank", "--point", "f1", "--point", "cost=5"]));
    insta::assert_snapshot!("score-csv", told(TABLE, &["--format", "csv"]));
    insta::assert_snapshot!("score-dialect", told(TABLE, &["--dialect", "torchmetrics"]));
    insta::assert_snapshot!("score-match", told(TABLE, &["--match", "0.800"]));
}

#[test]
fn rows_can_be_chosen_and_aggregated() {
    let json = |args: &[&str]| -> Value { serde_json::from_str(&told(TABLE, args)).unwrap() };
    let pa = json(&["--where", "view=PA", "--where", "age>=20", "--format", "json"]);
    assert_eq!((pa["n_images"].as_u64(), pa["policy"]["where"][1].as_str()), (Some(3), Some("age>=20")));
    let studies = json(&["--unit", "study", "--aggregate", "mean", "--format", "json"]);
    assert_eq!((studies["n_images"].as_u64(), studies["policy"]["unit"].as_str()), (Some(7), Some("study")));
    assert_eq!(studies["policy"]["aggregate"], "mean");
    let ones = json(&["--uncertain", "ones", "--unmentioned", "ignore", "--format", "json"]);
    assert_eq!((ones["labels"][1]["n"].as_u64(), ones["labels"][1]["n_pos"].as_u64()), (Some(7), Some(4)));
    let there = json(&["--prevalence", "0.05", "--curves", "--format", "json"]);
    assert_eq!(there["labels"][0]["at_prevalence"][0]["prevalence"], 0.05);
    assert_eq!(there["labels"][0]["curves"]["decision"].as_array().unwrap().len(), 99);
    let none = &json(&["--format", "json"])["labels"][0];
    assert!(none["average_precision"]["ci_low"].is_null() && none["bootstrap"].is_null());
}

#[test]
fn thresholds_come_from_tuning_when_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "p.csv", TABLE);
    let other = TABLE.replace("A,", "X,").replace("B,", "Y,").replace("a1", "x1").replace("0.91", "0.60");
    let tuning = write(folder.path(), "t.csv", &other);
    let ran = score(&["--tuning", &tuning.display().to_string(), "--format", "json"], &[&path]);
    assert!(ran.stderr.contains("4 patients are in both tuning and test"), "{}", ran.stderr);
    let found: Value = serde_json::from_str(&ran.ok()).unwrap();
    let points = &found["labels"][0]["operating_points"];
    assert_eq!((points[0]["rule"].as_str(), points[0]["fitted_on"].as_str()), (Some("youden"), Some("tuning")));
    assert_eq!(points[3]["fitted_on"], "given");
}

#[test]
fn two_files_as_competitions_publish_them() {
    let folder = tempfile::tempdir().unwrap();
    let predictions =
        write(folder.path(), "p.csv", "ID,Mass,Pleural Effusion\n3,0.2,0.9\n1,0.7,0.1\n2,0.4,0.8\n4,0.1,0.3\n");
    let truth = write(folder.path(), "t.csv", "Effusion,ID,Hernia\r\n0,1,0\r\n1,2,1\r\n1,3,0\r\n0,4,0\r\n");
    let t = truth.display().to_string();
    let ran = score(&["--truth", &t, "--id", "ID", "--format", "json"], &[&predictions]);
    assert!(ran.stderr.contains("Mass") && ran.stderr.contains("Hernia"), "{}", ran.stderr);
    let found: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(found["labels"].as_array().unwrap().len(), 1);
    assert_eq!(found["labels"][0]["auroc"]["value"], 1.0);
    std::fs::write(&truth, "ID,Effusion\n1,0\n2,1\n3,1\n").unwrap();
    let ran = score(&["--truth", &t, "--id", "ID"], &[&predictions]);
    assert!(ran.error(3).contains("--allow-missing"), "{}", ran.stderr);
    assert_eq!(score(&["--truth", &t, "--id", "ID", "--allow-missing"], &[&predictions]).status, 0);
}

#[test]
fn order_names_and_dressing_of_columns_do_not_matter() {
    let plain = told(TABLE, &["--format", "json"]);
    let turned: String = TABLE
        .lines()
        .map(|line| {
            let cells: Vec<_> = line.split(',').rev().collect();
            cells.join(";") + "\r\n"
        })
        .collect();
    let dressed = format!("\u{feff}{}", turned.replace("p_Effusion", "p_Pleural Effusion"));
    // Labels come in file order: the reversed file has Mass first.
    let value = |text: &str, label: &str| -> Value {
        let found: Value = serde_json::from_str(text).unwrap();
        found["labels"].as_array().unwrap().iter().find(|l| l["label"] == label).unwrap().clone()
    };
    let dressed = told(&dressed, &["--format", "json"]);
    for label in ["Effusion", "Mass"] {
        assert_eq!(value(&plain, label), value(&dressed, label));
    }
}

#[test]
fn bad_input_has_its_line() {
    let with = |from: &str, to: &str| told(&TABLE.replacen(from, to, 1), &[]);
    let lines = [
        with("0.42", "NaN"),
        with("0.42", "-inf"),
        with("0.42", ""),
        with("a2,A", "a1,A"),
        with("\na2", "\na2,7"),
        with("F,AP,1,-1", "F,AP,1,maybe"),
        with("F,PA,1,0", "F,PA,2,0"),
        with("p_Mass", "p_Effusion"),
        told("", &[]),
        told("a1,0.5,1\nb1,0.2,0\n", &[]),
        told("image,y_Mass,p_Mass\n", &[]),
        told("image,y_Mass\na,1\n", &[]),
        told(TABLE, &["--where", "site=X"]),
        told(TABLE, &["--where", "view=lateral"]),
        told(TABLE, &["--by", "site"]),
        score(&[], &[Path::new("no-such.csv")]).error(3).to_owned(),
    ];
    insta::assert_snapshot!("score-bad-input", lines.join("\n"));
    assert_eq!(score(&["--point", "youden=3"], &[Path::new("p.csv")]).status, 2);
}

#[test]
fn scores_that_are_no_probabilities_rank_and_nothing_more() {
    let found: Value = serde_json::from_str(&told(&TABLE.replacen("0.91", "7.5", 1), &["--format", "json"])).unwrap();
    let label = &found["labels"][0];
    assert!(label["auroc"]["value"].as_f64().is_some() && label["brier"].is_null() && label["ece"].is_null());
    assert!(label["calibration_refused"].as_str().unwrap().contains("7.5 is no probability"));
    assert!(found["labels"][1]["brier"].as_f64().is_some());
}

#[test]
fn one_class_is_not_evaluable() {
    let found: Value = serde_json::from_str(&told(
        "image,y_Mass,y_Hernia,p_Mass,p_Hernia\na,1,0,0.5,0.1\nb,0,0,0.2,0.3\n",
        &["--format", "json"],
    ))
    .unwrap();
    assert_eq!(found["labels"][1]["not_evaluable"], "there is no positive row");
    assert!(found["labels"][1]["auroc"].is_null());
    assert_eq!(found["macro"]["labels"], 1);
}

#[test]
fn the_real_predictions_give_the_published_numbers() {
    let Some(shared) = shared() else { return };
    let ran = score(&["--format", "json"], &[&shared.join("real/nih/nih_chexnet_test_preds.csv.gz")]);
    let ours: Value = serde_json::from_str(&ran.ok()).unwrap();
    let golden: Value =
        serde_json::from_slice(&std::fs::read(shared.join("goldens/metrics-nih.json")).unwrap()).unwrap();
    let close = |ours: &Value, theirs: &Value, tolerance: f64, what: &str| {
        let (a, b) = (ours.as_f64(), theirs.as_f64());
        let near = a.zip(b).is_some_and(|(a, b)| (a - b).abs() <= tolerance);
        assert!(near || (ours.is_null() && theirs.is_null()), "{what}: {ours} against {theirs}");
    };
    for label in ours["labels"].as_array().unwrap() {
        let name = label["label"].as_str().unwrap();
        let theirs = &golden["labels"][name];
        assert_eq!(label["n_pos"], theirs["n_pos"]);
        close(&label["auroc"]["value"], &theirs["auroc"], 1e-12, name);
        close(&label["auroc"]["se"], &theirs["auroc_obuchowski_se"], 1e-9, name);
        close(&label["auroc_delong"]["se"], &theirs["auroc_delong_se"], 1e-9, name);
        close(&label["auroc_delong"]["ci_low"], &theirs["auroc_delong_ci95"][0], 1e-9, name);
        close(&label["average_precision"]["value"], &theirs["average_precision"], 1e-9, name);
        close(&label["pr_auc_trapezoid"], &theirs["pr_auc_trapezoid"], 1e-9, name);
        close(&label["brier"], &theirs["brier"], 1e-9, name);
        close(&label["log_loss"], &theirs["log_loss"], 1e-9, name);
        close(&label["ece"]["value"], &theirs["ece_15"], 1e-9, name);
        close(&label["ece_equal_count"]["value"], &theirs["ece_equal_count_15"], 1e-9, name);
        close(&label["mce"], &theirs["mce_15"], 1e-9, name);
        close(&label["smece"], &theirs["relplot_smece"], 1e-4, name);
        let rules = ["youden", "max_specificity_at_sensitivity_0.95", "max_sensitivity_at_specificity_0.90", "at_0.5"];
        for (point, rule) in label["operating_points"].as_array().unwrap().iter().zip(rules) {
            for (key, value) in theirs[rule].as_object().unwrap() {
                close(&point[key], value, 1e-9, &format!("{name}, {rule}, {key}"));
            }
        }
    }
    close(&ours["macro"]["auroc"]["value"], &golden["macro_auroc"], 1e-9, "macro");
    close(&ours["macro"]["average_precision"]["value"], &golden["macro_average_precision"], 1e-9, "macro");
    close(&ours["micro"]["auroc"], &golden["micro_auroc"], 1e-9, "micro");
}

#[test]
fn a_million_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::from("image,patient,y_Mass,p_Mass\n");
    for i in 0u64..1_000_000 {
        // A score of 0 to 999 thousandths; every second image is positive from 500 on, every tenth below.
        let score = i * 7919 % 1000;
        let positive = if score >= 500 { i % 2 == 0 } else { i % 10 == 0 };
        text += &format!("{i},{},{},0.{score:03}\n", i / 3, u8::from(positive));
    }
    let path = write(folder.path(), "p.csv", &text);
    let found: Value = serde_json::from_str(&score(&["--format", "json"], &[&path]).ok()).unwrap();
    assert_eq!((found["n_images"].as_u64(), found["n_patients"].as_u64()), (Some(1_000_000), Some(333_334)));
    let auroc = found["labels"][0]["auroc"]["value"].as_f64().unwrap();
    assert!((0.5..1.0).contains(&auroc), "{auroc}");
}
