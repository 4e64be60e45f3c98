//! `roentgen calibrate` and `evaluate --calibration` through the real binary.

use std::fmt::Write;
use std::path::Path;

use roentgen::metrics::bootstrap::quantile;
use roentgen::metrics::calibrator::Calibrator;
use roentgen::metrics::recalibration::Calibrators;
use roentgen::predictions::read;
use serde_json::Value;

use crate::evaluate::phantom_card;
use crate::support::{put, roentgen, shared};

/// Overconfident scores of Mass and Edema on 60 images of 30 patients, numbered from `first`.
fn table(first: u32) -> String {
    let mut text = String::from("image,patient,y_Mass,y_Edema,p_Mass,p_Edema\n");
    for i in first..first + 60 {
        let [mass, edema] = [i % 3 == 0, i % 4 == 1].map(u32::from);
        let score = |y: u32, salt: u32| {
            let logit = 4.0 * f64::from(y) - 2.0 + 6.0 * (f64::from((i * 37 + salt * 11) % 41) / 41.0 - 0.5);
            1.0 / (1.0 + (-2.5 * logit).exp())
        };
        writeln!(text, "{i}.png,{},{mass},{edema},{:.6},{:.6}", i / 2, score(mass, 1), score(edema, 2)).unwrap();
    }
    text
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&roentgen(["calibrate", "--format", "json"].iter().chain(args)).ok()).unwrap()
}

#[test]
fn what_a_person_sees() {
    let folder = tempfile::tempdir().unwrap();
    let (fit, apply) = (put(folder.path(), "fit.csv", &table(0)), put(folder.path(), "apply.csv", &table(60)));
    let [out, save] = ["out.csv", "maps.toml"].map(|n| folder.path().join(n).display().to_string());
    for method in ["temperature", "platt", "isotonic"] {
        let args = ["calibrate", "--fit", &fit, "--apply", &apply, "--method", method, "--out", &out, "--save", &save];
        let shown = roentgen(args).ok().replace(&folder.path().display().to_string(), "[folder]");
        insta::assert_snapshot!(format!("calibrate-{method}"), shown);
        insta::assert_snapshot!(format!("calibrate-{method}.toml"), std::fs::read_to_string(&save).unwrap());
        // The file holds what the map makes of each probability, to the bit.
        let (before, after) = (read(apply.as_ref(), None).unwrap(), read(out.as_ref(), None).unwrap());
        let maps = Calibrators::parse(&std::fs::read_to_string(&save).unwrap()).unwrap();
        for (before, after) in before.labels.iter().zip(&after.labels) {
            let map = maps.get(&before.name).unwrap();
            let mapped: Vec<f64> = before.scores.as_ref().unwrap().iter().map(|p| map.apply(*p)).collect();
            assert_eq!(after.scores.as_ref().unwrap(), &mapped);
        }
        let printed = roentgen(["calibrate", "--fit", &fit, "--apply", &apply, "--method", method, "--format", "csv"]);
        assert_eq!(printed.ok(), std::fs::read_to_string(&out).unwrap());
    }
    insta::assert_snapshot!("help-calibrate", roentgen(["calibrate", "--help"]).ok());
}

#[test]
fn bad_input_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let fit = put(folder.path(), "fit.csv", &table(0));
    let told = |text: &str, more: &[&str]| {
        let apply = put(folder.path(), "apply.csv", text);
        let ran = roentgen(["calibrate", "--fit", &fit, "--apply", &apply].iter().chain(more));
        ran.error(3).replace(&folder.path().display().to_string(), "[folder]")
    };
    let good = table(60);
    insta::assert_snapshot!(told(&table(0), &[]), @"error: [folder]/fit.csv and [folder]/apply.csv: the tuning and the test table share 30 patients (0, 1, 2, ...): the test would flatter the fit; fit on other patients, or say --same-patients");
    insta::assert_snapshot!(told(&table(56), &[]), @"error: [folder]/fit.csv and [folder]/apply.csv: the tuning and the test table share 2 patients (28, 29): the test would flatter the fit; fit on other patients, or say --same-patients");
    let unknown = |text: &str| text.replace("patient", "site");
    insta::assert_snapshot!(told(&unknown(&table(59)), &[]), @"error: [folder]/fit.csv and [folder]/apply.csv: the tuning and the test table share 1 image (59.png): the test would flatter the fit; fit on other patients, or say --same-patients");
    insta::assert_snapshot!(told(&good.replace("60.png,30,1,0,0.", "60.png,30,1,0,7."), &[]), @"error: [folder]/apply.csv, image 60.png, column p_Mass: 7.976328 is no probability; only probabilities can be calibrated; give logits as logit_ columns");
    insta::assert_snapshot!(told("", &[]), @"error: [folder]/apply.csv: the file is empty; the first line must name the columns: image,y_LABEL,...,p_LABEL,...");
    assert!(told(&good, &["--out", "/no/such/folder/out.csv"]).starts_with("error: /no/such/folder/out.csv: "));
    let turned = |file: &str, text: &str| {
        let apply = put(folder.path(), "apply.csv", &good);
        let fit = put(folder.path(), file, text);
        let ran = roentgen(["calibrate", "--fit", &fit, "--apply", &apply, "--method", "platt"]);
        ran.error(3).replace(&folder.path().display().to_string(), "[folder]")
    };
    insta::assert_snapshot!(turned("none.csv", "image,p_Mass\na,0.5\n"), @"error: [folder]/none.csv: no label can be calibrated (Mass: the tuning table has no truths of it); the tuning table needs scores, truths and both classes of a label");
    insta::assert_snapshot!(turned("one.csv", "image,y_Mass,p_Mass\na,1,0.5\nb,1,0.6\n"), @"error: [folder]/one.csv: no label can be calibrated (Mass: the tuning rows do not have both classes); the tuning table needs scores, truths and both classes of a label");
    insta::assert_snapshot!(turned("apart.csv", "image,y_Mass,p_Mass\na,1,0.5\nb,0,0.4\n"), @"error: [folder]/apart.csv, label Mass: Platt's map has no finite fit: one score separates the classes of the tuning rows, or there is one class only; use temperature or isotonic, or more tuning rows");
    insta::assert_snapshot!(turned("wide.csv", "image,y_Mass,p_Mass\na,1,0.5\nb,0,1.4\n"), @"error: [folder]/wide.csv, image b, column p_Mass: 1.4 is no probability; only probabilities can be calibrated; give logits as logit_ columns");

    // Told to go on, it does; without truths the maps are applied and nothing is measured.
    assert_eq!(json(&["--fit", &fit, "--apply", &fit, "--same-patients"])["n_images"], 60);
    // What the tuning table lacks is left out of what is written, and said.
    let wider = good.replace("p_Edema\n", "p_Edema,p_Hernia\n").replace('\n', ",0.5\n").replacen(",0.5\n", "\n", 1);
    let apply = put(folder.path(), "wider.csv", &wider);
    let found = json(&["--fit", &fit, "--apply", &apply]);
    let reason = "the tuning table does not have it";
    assert_eq!(found["left_out"], serde_json::json!([{"label": "Hernia", "reason": reason}]));
    let printed = roentgen(["calibrate", "--fit", &fit, "--apply", &apply, "--format", "csv"]).ok();
    assert!(printed.starts_with("image,patient,y_Mass,y_Edema,p_Mass,p_Edema\n"));
    let silent: String = good
        .lines()
        .map(|l| {
            let cells: Vec<&str> = l.split(',').collect();
            format!("{},{},{}\n", cells[0], cells[4], cells[5])
        })
        .collect();
    let found = json(&["--fit", &fit, "--apply", &put(folder.path(), "silent.csv", &silent)]);
    assert!(found["labels"][0]["before"].is_null() && found["labels"][0]["calibrator"]["temperature"].is_f64());
}

#[test]
fn a_run_is_calibrated_and_the_next_one_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 20);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (plain, maps, next) = (path("plain"), path("maps.toml"), path("next"));
    let evaluate = |out: &str, more: &[&str]| {
        let args = ["evaluate", "--model", "phantom-densenet", "--data", &data, "--out", out];
        roentgen(args.iter().chain(more))
    };
    evaluate(&plain, &[]).ok();
    roentgen(["calibrate", "--fit", &plain, "--apply", &plain, "--same-patients", "--save", &maps]).ok();
    let text = std::fs::read_to_string(&maps).unwrap();
    assert!(text.contains("model = \"phantom-densenet\"") && text.contains("patients = 20"), "{text}");
    evaluate(&next, &["--calibration", &maps]).ok();

    let table = |run: &str| read(&Path::new(run).join("predictions.csv"), None).unwrap();
    let (before, after) = (table(&plain), table(&next));
    let found = json(&["--fit", &plain, "--apply", &plain, "--same-patients"]);
    let evaluation: Value =
        serde_json::from_slice(&std::fs::read(Path::new(&next).join("evaluation.json")).unwrap()).unwrap();
    let fitted = Calibrators::parse(&text).unwrap();
    for (i, (before, after)) in before.labels.iter().zip(&after.labels).enumerate() {
        let map = fitted.get(&before.name).unwrap();
        let mapped: Vec<f64> = before.scores.as_ref().unwrap().iter().map(|p| map.apply(*p)).collect();
        assert_eq!(after.scores.as_ref().unwrap(), &mapped);
        assert_eq!(after.logits, before.logits);
        assert_eq!(evaluation["labels"][i]["brier"], found["labels"][i]["after"]["brier"]);
    }
    let run: toml::Table = std::fs::read_to_string(Path::new(&next).join("run.toml")).unwrap().parse().unwrap();
    assert_eq!(run["calibration"]["content"].as_str(), Some(text.as_str()));
    assert_eq!(run["calibration"]["sha256"].as_str(), Some(roentgen::files::sha256(text.as_bytes()).as_str()));
    // The same command again finds the run finished; without the maps it is another run.
    assert!(evaluate(&next, &["--calibration", &maps, "--resume"]).ok().contains("phantom"));
    assert!(evaluate(&next, &["--resume"]).error(2).contains("finished run"));

    let told = |text: &str| {
        let ran = evaluate(&path("never"), &["--calibration", &put(folder.path(), "bad.toml", text)]);
        ran.error(3).replace(&folder.path().display().to_string(), "[folder]")
    };
    insta::assert_snapshot!(told(&text.replace("phantom-densenet", "other")), @"error: [folder]/bad.toml: it was fitted for the model other, not for phantom-densenet; fit one on this model's tuning predictions with `roentgen calibrate`");
    let first = after.labels[0].name.as_str();
    insta::assert_snapshot!(told(&text.replace(first, "Hernia")), @"error: [folder]/bad.toml: it has no map for the model's label Cardiomegaly; fit one on tuning data that have every label of the model");
    insta::assert_snapshot!(told(&text.replace("calibrator/1", "calibrator/9")), @r#"error: [folder]/bad.toml, `schema`: `roentgen/calibrator/9` is not known here; write "roentgen/calibrator/1""#);
    insta::assert_snapshot!(told(&text.replace("temperature = ", "temperature = -")), @"error: [folder]/bad.toml, label Cardiomegaly: the temperature must be above 0; fit the calibrator again");
    insta::assert_snapshot!(told(&text.replace("temperature = ", "warmth = ")), @"error: [folder]/bad.toml, line 13: unknown field `warmth`, expected `temperature`; give a file that `roentgen calibrate --save` wrote");
    insta::assert_snapshot!(told("schema = "), @"error: [folder]/bad.toml, line 1: string values must be quoted, expected literal string; give a file that `roentgen calibrate --save` wrote");
    assert!(!Path::new(&path("never")).exists());
    // Classes that exclude each other are calibrated one by one, which is said.
    let run_toml = Path::new(&plain).join("run.toml");
    let softmax = std::fs::read_to_string(&run_toml).unwrap().replace("\"sigmoid\"", "\"softmax\"");
    std::fs::write(&run_toml, softmax).unwrap();
    let ran = roentgen(["calibrate", "--fit", &plain, "--apply", &plain, "--same-patients"]);
    assert!(ran.stderr.contains("no longer sum to 1"), "{}", ran.stderr);
    assert!(evaluate(&path("never"), &["--calibration", "no-such.toml"]).error(3).contains("no-such.toml"));
}

#[test]
fn nih_by_reference() {
    let Some(shared) = shared() else { return };
    let file = shared.join("real/nih/nih_chexnet_test_preds.csv.gz");
    let golden: Value =
        serde_json::from_slice(&std::fs::read(shared.join("goldens/metrics-nih.json")).unwrap()).unwrap();
    let table = read(&file, None).unwrap();
    let file = file.to_str().unwrap();
    for method in ["temperature", "platt", "isotonic"] {
        let found = json(&["--fit", file, "--apply", file, "--same-patients", "--method", method]);
        let labels = found["labels"].as_array().unwrap();
        assert_eq!(labels.len(), 14);
        for label in labels {
            let theirs = &golden["labels"][label["label"].as_str().unwrap()];
            let close = |ours: f64, key: &str, tolerance: f64| {
                let theirs = theirs[key].as_f64().unwrap();
                assert!(
                    (ours - theirs).abs() <= tolerance,
                    "{method} {} {key}: {ours} against {theirs}",
                    label["label"]
                );
            };
            let after = |key: &str| label["after"][key].as_f64().unwrap();
            let before = |key: &str| label["before"][key].as_f64().unwrap();
            close(before("brier"), "brier", 1e-12);
            close(before("ece"), "ece_15", 1e-12);
            close(before("smece"), "relplot_smece", 1e-9);
            assert!(after("log_loss") <= before("log_loss"));
            let map: Calibrator = serde_json::from_value(label["calibrator"].clone()).unwrap();
            match &map {
                Calibrator::Temperature { temperature } => {
                    close(*temperature, "temperature", 1e-6);
                    close(after("log_loss"), "temperature_nll", 1e-9);
                }
                Calibrator::Platt { slope, intercept } => {
                    close(*slope, "platt_slope", 1e-6);
                    close(*intercept, "platt_intercept", 1e-6);
                }
                Calibrator::Isotonic { .. } => {
                    let mut p = table.label(label["label"].as_str().unwrap()).unwrap().scores.clone().unwrap();
                    p.sort_by(f64::total_cmp);
                    for (q, theirs) in theirs["isotonic_at"].as_object().unwrap() {
                        let ours = map.apply(quantile(&p, q.parse().unwrap()));
                        assert!((ours - theirs.as_f64().unwrap()).abs() < 1e-9, "{} at {q}", label["label"]);
                    }
                    continue;
                }
            }
            // Ranks stay.
            assert!((after("auroc") - before("auroc")).abs() < 1e-12);
        }
    }
}
