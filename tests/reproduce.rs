//! `roentgen reproduce` through the real binary: real predictions, and drawn ones whose answers are known.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use roentgen::rng::Rng;
use serde_json::Value;

use crate::support::{Ran, put, roentgen, shared};

fn reproduce(table: &str, run: &Path, more: &[&str]) -> Ran {
    let run = run.display().to_string();
    roentgen(["reproduce", table, "--run", &run].iter().chain(more))
}

fn json(ran: Ran, status: i32) -> Value {
    assert_eq!(ran.status, status, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn verdicts(found: &Value) -> Vec<String> {
    let of = |item: &Value| item["verdict"].as_str().unwrap().to_owned();
    found["labels"].as_array().unwrap().iter().map(of).collect()
}

fn nih() -> Option<PathBuf> {
    Some(shared()?.join("real/nih"))
}

#[test]
fn the_2022_table_comes_out_of_its_predictions() {
    let Some(nih) = nih() else { return };
    let predictions = nih.join("nih_chexnet_test_preds.csv.gz");
    let found = json(reproduce("jrzech-2022", &predictions, &["--format", "json"]), 0);
    assert_eq!(verdicts(&found), vec!["REPRODUCED (exact)"; 14]);
    assert_eq!(found["macro"]["verdict"], "REPRODUCED (exact)");
    assert_eq!(found["not_comparable"].as_array().unwrap().len(), 0);
    insta::assert_snapshot!("reproduce-jrzech-2022", reproduce("jrzech-2022", &predictions, &[]).ok());
    insta::assert_snapshot!(
        "reproduce-markdown",
        reproduce("jrzech-2022", &predictions, &["--format", "markdown"]).ok()
    );
}

#[test]
fn other_labels_are_noticed_by_counts_and_fingerprint() {
    let Some(nih) = nih() else { return };
    let predictions = nih.join("nih_chexnet_test_preds.csv.gz");
    let truth = nih.join("labels_2017.csv.gz").display().to_string();
    let found = json(reproduce("jrzech-2022", &predictions, &["--truth", &truth, "--format", "json"]), 0);
    let status = |what: &str| {
        let all = found["fairness"].as_array().unwrap();
        all.iter().find(|f| f["what"] == what).unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (status("rows").as_str(), status("positives").as_str(), status("fingerprint").as_str()),
        ("same", "differs", "differs")
    );
    assert_eq!(found["macro"]["verdict"], "NOT COMPARABLE");
    let reasons = found["not_comparable"].to_string();
    assert!(reasons.contains("another label version"), "{reasons}");
    // Six labels have other positives; the other eight are untouched by the new version.
    let exact = verdicts(&found).iter().filter(|v| *v == "REPRODUCED (exact)").count();
    assert_eq!(exact, 8);
    // The weights being vouched for does not make other labels a fair comparison.
    let vouched =
        json(reproduce("jrzech-2022", &predictions, &["--truth", &truth, "--same-model", "--format", "json"]), 0);
    assert_eq!(vouched["macro"]["verdict"], "NOT COMPARABLE");
}

#[test]
fn tables_of_unknown_lists_are_not_comparable_and_still_shown() {
    let Some(nih) = nih() else { return };
    let predictions = nih.join("nih_chexnet_test_preds.csv.gz");
    for table in ["chexnet-v3", "jrzech-2018"] {
        let found = json(reproduce(table, &predictions, &["--format", "json"]), 0);
        assert_eq!(verdicts(&found), vec!["NOT COMPARABLE"; 14], "{table}");
        assert!(found["not_comparable"].to_string().contains("test list unknown"), "{table}");
        assert!(found["labels"].as_array().unwrap().iter().all(|l| l["difference"].as_f64().unwrap() != 0.0));
        assert!(found["labels"][0]["ci"][0].is_f64() && found["labels"][0]["smallest_margin"].is_f64());
        // Whoever vouches for the list gets verdicts, none of which is exact.
        let same = json(reproduce(table, &predictions, &["--images", "same", "--format", "json"]), 0);
        assert!(!verdicts(&same).iter().any(|v| v == "REPRODUCED (exact)" || v == "NOT COMPARABLE"), "{table}");
    }
    insta::assert_snapshot!("reproduce-chexnet-v3", reproduce("chexnet-v3", &predictions, &[]).ok());
    // Its own arithmetic fails, so that it is no claim to reproduce.
    let truth = nih.join("labels_2017.csv.gz").display().to_string();
    let found = json(reproduce("arnoweng-improved", &predictions, &["--truth", &truth, "--format", "json"]), 0);
    assert!(found["not_comparable"].to_string().contains("the table is inconsistent"));
}

/// 3,000 images of 1,000 patients, two labels; `shift` moves the positives' scores.
fn drawn(seed: u64, shift: f64) -> String {
    let mut rng = Rng::new(7, 0);
    let truths: Vec<[bool; 2]> = (0..3000).map(|_| [rng.below(5) == 0, rng.below(8) == 0]).collect();
    let mut rng = Rng::new(seed, 1);
    let mut text = String::from("image,patient,y_Edema,y_Pleural Effusion,p_Edema,p_Pleural Effusion\n");
    for (i, y) in truths.iter().enumerate() {
        let score = y.map(|y| {
            let x = rng.normal() + if y { 1.6 + shift } else { 0.0 };
            1.0 / (1.0 + (-x).exp())
        });
        let [a, b] = y.map(u8::from);
        writeln!(text, "{i},{},{a},{b},{:.6},{:.6}", i / 3, score[0], score[1]).unwrap();
    }
    text
}

/// A card of the AUROCs of `predictions`, to `places` decimals, each moved by `off`.
fn card(folder: &Path, predictions: &str, places: usize, off: f64) -> String {
    let scored: Value = serde_json::from_str(&roentgen(["score", predictions, "--format", "json"]).ok()).unwrap();
    let mut text = String::from(
        "schema = \"roentgen/published/1\"\nsource = \"a table\"\nunit = \"image\"\nn = 3000\nn_patients = 1000\n",
    );
    for label in scored["labels"].as_array().unwrap() {
        let auroc = label["auroc"]["value"].as_f64().unwrap() + off;
        let name = label["label"].as_str().unwrap().replace("Pleural Effusion", "Effusion");
        writeln!(
            text,
            "[[label]]\nlabel = \"{name}\"\nn_pos = {}\nvalues = {{ auroc = \"{auroc:.places$}\" }}",
            label["n_pos"]
        )
        .unwrap();
    }
    put(folder, "card.toml", &text)
}

#[test]
fn every_verdict_of_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ours = put(folder, "ours.csv", &drawn(1, 0.0));
    let run = Path::new(&ours);
    let of = |card: &str, more: &[&str], status: i32| {
        let found = json(reproduce(card, run, &[more, &["--format", "json"]].concat()), status);
        (found["macro"]["verdict"].as_str().unwrap().to_owned(), verdicts(&found))
    };
    let all = |verdict: &str| (verdict.to_owned(), vec![verdict.to_owned(); 2]);
    // Fifteen digits each: no chance.
    assert_eq!(of(&card(folder, &ours, 15, 0.0), &[], 0), all("REPRODUCED (exact)"));
    // Three digits are no evidence of the same model: judged by the margins.
    assert_eq!(
        of(&card(folder, &ours, 3, 0.0), &["--margin-label", "0.05", "--margin-macro", "0.05"], 0),
        all("REPRODUCED (within delta)")
    );
    assert_eq!(
        of(&card(folder, &ours, 3, 0.0), &["--margin-label", "0.001", "--margin-macro", "0.001"], 0),
        all("CONSISTENT")
    );
    assert_eq!(of(&card(folder, &ours, 3, 0.0), &["--same-model"], 0), all("REPRODUCED (exact)"));
    // One digit off, with weights that are vouched for.
    assert_eq!(of(&card(folder, &ours, 3, 0.001), &["--same-model"], 1), all("NOT REPRODUCED"));
    assert_eq!(of(&card(folder, &ours, 3, -0.15), &[], 1), all("NOT REPRODUCED"));
    assert_eq!(
        of(&card(folder, &ours, 3, -0.045), &["--margin-label", "0.04", "--margin-macro", "0.04"], 0),
        all("DIFFERENT, SIZE UNRESOLVED")
    );
    // Another number of positives: another list or other labels.
    let text = std::fs::read_to_string(card(folder, &ours, 3, 0.0)).unwrap();
    let moved = put(folder, "moved.toml", &text.replacen("n_pos = ", "n_pos = 1", 1));
    assert_eq!(of(&moved, &[], 0), all("NOT COMPARABLE"));
    assert_eq!(
        of(&moved, &["--images", "other", "--margin-label", "0.09", "--margin-macro", "0.09"], 0),
        all("REPRODUCED (within delta)")
    );
    let study = put(folder, "study.toml", &text.replace("\"image\"", "\"study\""));
    assert_eq!(of(&study, &[], 0), all("NOT COMPARABLE"));
}

#[test]
fn their_predictions_make_it_paired_and_sharper() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ours = put(folder, "ours.csv", &drawn(1, 0.0));
    // Theirs rank nearly alike: a little noise on the same scores.
    let theirs: String = drawn(1, 0.0)
        .lines()
        .enumerate()
        .map(|(i, line)| match i % 10 {
            5 => {
                let (front, last) = line.rsplit_once(',').unwrap();
                format!("{front},{:.6}\n", (last.parse::<f64>().unwrap() + 0.01).min(1.0))
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let theirs = put(folder, "theirs.csv", &theirs);
    let card = card(folder, &theirs, 4, 0.0);
    let alone = json(reproduce(&card, Path::new(&ours), &["--format", "json"]), 0);
    let paired = json(reproduce(&card, Path::new(&ours), &["--theirs", &theirs, "--format", "json"]), 0);
    let effusion = |found: &Value| found["labels"][1].clone();
    assert_eq!(effusion(&paired)["case"], "same images, both predictions");
    assert_eq!(effusion(&alone)["case"], "same images, printed values only");
    assert!(effusion(&paired)["se"].as_f64().unwrap() < 0.2 * effusion(&alone)["se"].as_f64().unwrap());
    assert_eq!(effusion(&paired)["verdict"], "REPRODUCED (within delta)");
    let other =
        put(folder, "short.csv", &drawn(1, 0.0).lines().take(100).map(|l| format!("{l}\n")).collect::<String>());
    assert!(reproduce(&card, Path::new(&ours), &["--theirs", &other]).error(3).contains("only in"));
}

#[test]
fn metrics_at_a_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text: String = drawn(1, 0.0)
        .lines()
        .map(|l| {
            let cells: Vec<&str> = l.split(',').collect();
            format!("{},{},{},{}\n", cells[0], cells[1], cells[2], cells[4])
        })
        .collect();
    let ours = put(folder, "ours.csv", &text);
    let scored: Value =
        serde_json::from_str(&roentgen(["score", &ours, "--point", "fixed=0.7", "--format", "json"]).ok()).unwrap();
    let label = &scored["labels"][0];
    let point = &label["operating_points"][0];
    let value = |name: &str| point[name].as_f64().unwrap();
    let card = format!(
        "schema = \"roentgen/published/1\"\nsource = \"rows\"\nunit = \"image\"\n[[test_set]]\nn = 3000\nn_pos = {}\n\
         [[test_set.row]]\nvalues = {{ threshold = \"0.7\", sensitivity = \"{:.3}\", precision = \"{:.3}\", f1 = \"{:.3}\", \
         accuracy = \"{:.4}\", average_precision = \"{:.3}\", brier = \"0.1\", ece = \"0.1\" }}\n",
        label["n_pos"],
        value("sensitivity"),
        value("ppv"),
        value("f1"),
        value("accuracy"),
        label["average_precision"]["value"].as_f64().unwrap()
    );
    let card = put(folder, "rows.toml", &card);
    let found = json(reproduce(&card, Path::new(&ours), &["--margin-label", "0.2", "--format", "json"]), 0);
    let items = found["labels"].as_array().unwrap();
    assert_eq!(items.len(), 6);
    for item in items.iter().filter(|i| i["metric"] != "brier") {
        assert!(item["difference"].as_f64().unwrap().abs() < 0.001, "{item}");
        assert_eq!(item["verdict"], "REPRODUCED (within delta)", "{item}");
    }
    assert_eq!(found["left_out"][0]["metric"], "ece");
    // The error of a share over patients is Wilson's width, near enough.
    let sensitivity = items.iter().find(|i| i["metric"] == "sensitivity").unwrap();
    let ci = point["ci"]["sensitivity"].as_array().unwrap();
    let half = 0.5 * (ci[1].as_f64().unwrap() - ci[0].as_f64().unwrap());
    let se = sensitivity["se"].as_f64().unwrap() / 2f64.sqrt();
    assert!((1.96 * se / half - 1.0).abs() < 0.1, "{se} {half}");
}

#[test]
fn faults_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let ours = put(folder.path(), "ours.csv", &drawn(1, 0.0));
    let error = reproduce("kermany-2018", Path::new(&ours), &[]);
    assert!(error.error(3).contains("nothing of the table can be compared"), "{}", error.stderr);
    insta::assert_snapshot!("help-reproduce", roentgen(["reproduce", "--help"]).ok());
}
