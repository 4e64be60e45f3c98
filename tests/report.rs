//! `roentgen report` and `roentgen verify` through the real binary.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use roentgen::cards::catalogue;
use roentgen::device::instruction_set;
use roentgen::files;
use roentgen::metrics::evaluation::{self, Settings};
use roentgen::predictions::{Attribute, Label, Policy, Predictions, Truth};
use roentgen::run::{Description, Hashes, RunFolder, SCHEMA};

use roentgen::report::canonical;
use roentgen::report::signature::Signer;
use roentgen::report::verify::{self, Findings, Trust};
use serde_json::Value;

use crate::evaluate::phantom_card;
use crate::support::{Ran, command, finished, put, roentgen};

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
        smallest_batch: None,
        split: Some("test".into()),
        limit: None,
        shard: None,
        images,
        policy: Policy::default(),
        hashes: Hashes {
            weights: files::sha256(b"weights"),
            samples: files::sha256(b"samples"),
            manifest: Some(files::sha256(&manifest)),
            predictions: Some(files::sha256(&csv)),
        },
        calibration: None,
        training: None,
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

pub fn report(run: &Path, more: &[&str]) -> Ran {
    let mut args = vec!["report".to_owned(), run.display().to_string()];
    args.extend(more.iter().map(|m| (*m).to_owned()));
    roentgen(args)
}

pub fn verify_by_program(run: &Path, more: &[&str]) -> Ran {
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
    // Alone on two cores each takes a fraction of this.
    assert!(timed("report of 112,000 x 14", || report(run.path(), &[])) < 30.0);
    assert!(timed("verified", || verify_by_program(run.path(), &[])) < 30.0);
}

/// What verification finds, in process: no signers.
fn found(run: &Path) -> Findings {
    verify::verify(&run.join("report.json"), Trust { signers: None, identity: None }).unwrap()
}

/// Changes one byte of a file of the run and tells what verification says of it.
fn with_byte(run: &Path, name: &str, position: usize, mask: u8) -> Vec<String> {
    let path = run.join(name);
    let bytes = std::fs::read(&path).unwrap();
    let mut changed = bytes.clone();
    changed[position] ^= mask;
    std::fs::write(&path, changed).unwrap();
    let off = found(run).off;
    std::fs::write(&path, bytes).unwrap();
    off
}

/// A small run with its report, signed by a key that is thrown away.
fn small(folder: &Path, signed: bool) -> RunFolder {
    let run = made_up_run(folder, 40, &["Mass"], |_| {});
    let mut material = roentgen::report::document::Material::of_run(&run, Default::default()).unwrap();
    let bundle = roentgen::report::bundle::make(&run, &mut material).unwrap();
    let signature = signed.then(|| {
        let mut signer = Signer::Key(Box::new(Signer::new_key("t").unwrap()));
        signer.sign(bundle.json.as_bytes()).unwrap()
    });
    roentgen::report::bundle::write(&run, &bundle, signature.as_deref()).unwrap();
    assert_eq!(found(folder).off, Vec::<String>::new());
    run
}

#[test]
fn no_byte_of_the_report_may_change_even_unsigned() {
    let folder = tempfile::tempdir().unwrap();
    let run = small(folder.path(), false);
    let length = std::fs::metadata(run.path().join("report.json")).unwrap().len() as usize;
    for (i, position) in (0..length).step_by(length / 160).enumerate() {
        // A bit that keeps a digit a digit, and others.
        let mask = [1, 2, 4, 32, 128][i % 5];
        let off = with_byte(run.path(), "report.json", position, mask);
        assert!(!off.is_empty(), "byte {position} ^ {mask}");
        assert!(off[0].contains("report.json") || off[0].contains("files") || off[0].contains(": "), "{off:?}");
    }
    // Each number in turn, by its last digit.
    let text = std::fs::read_to_string(run.path().join("report.json")).unwrap();
    let digit = |i: usize| text.as_bytes().get(i).is_some_and(u8::is_ascii_digit);
    let ends: Vec<usize> = (1..text.len()).filter(|&i| digit(i) && !digit(i + 1) && digit(i - 1)).collect();
    for end in ends.iter().step_by(ends.len() / 80) {
        let off = with_byte(run.path(), "report.json", *end, 1);
        assert!(!off.is_empty(), "{}", &text[end.saturating_sub(60)..*end + 1]);
    }
}

#[test]
fn no_byte_of_anything_else_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let run = small(folder.path(), true);
    for (name, tries) in [
        ("report.json", 30),
        ("report.json.sig", 60),
        ("predictions.csv", 60),
        ("manifest.csv", 60),
        ("run.toml", 30),
        ("evaluation.json", 30),
        ("report.html", 10),
        ("tables/auroc.csv", 10),
        ("plots/auroc.png", 10),
    ] {
        let length = std::fs::metadata(run.path().join(name)).unwrap().len() as usize;
        for position in (0..length).step_by((length / tries).max(1)) {
            let off = with_byte(run.path(), name, position, 1);
            assert!(off.iter().any(|line| line.contains(name)), "{name}, byte {position}: {off:?}");
        }
    }
    assert_eq!(found(run.path()).off, Vec::<String>::new());
    for gone in ["report.html", "manifest.csv", "predictions.csv", "plots/auroc.svg"] {
        let path = run.path().join(gone);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(found(run.path()).off.contains(&format!("{gone}: missing")), "{gone}");
        std::fs::write(&path, bytes).unwrap();
    }
}

/// Changes the JSON of the report, lists the present hashes of all files, and writes it canonically, as a forger would.
fn forge(run: &Path, change: impl Fn(&mut Value)) -> Vec<String> {
    let path = run.join("report.json");
    let before = std::fs::read(&path).unwrap();
    let mut report: Value = serde_json::from_slice(&before).unwrap();
    change(&mut report);
    for (name, hash) in report["files"].as_object_mut().unwrap() {
        *hash = files::sha256_of(&run.join(name)).unwrap().into();
    }
    std::fs::write(&path, canonical::text(&report)).unwrap();
    let off = found(run).off;
    std::fs::write(&path, before).unwrap();
    off
}

#[test]
fn a_forger_who_hashes_again_is_found_by_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let run = small(folder.path(), false);
    let off = forge(run.path(), |report| report["evaluation"]["labels"][0]["auroc"]["value"] = 0.9.into());
    assert!(
        off.len() == 1
            && off[0].starts_with("report.json, evaluation.labels[Mass].auroc.value: 0.9 where the run gives"),
        "{off:?}"
    );
    let off = forge(run.path(), |report| report["counts"]["failed"] = 3.into());
    assert_eq!(off, ["report.json, counts.failed: 3 where the run gives 0"]);
    let off = forge(run.path(), |report| report["extra"] = "trust me".into());
    assert_eq!(off, ["report.json, extra: not part of a report of this run"]);
    // One score, one label: in the predictions, in the manifest, with their hashes in run.toml set right.
    let originals: Vec<_> =
        [run.predictions(), run.manifest(), run.run_toml()].map(|p| (p.clone(), std::fs::read(p).unwrap())).into();
    for (both, from, to) in [(false, ",0.", ",0.1"), (true, ",0\n", ",1\n"), (false, "patient-3,", "patient-4,")] {
        for (path, bytes) in &originals[..if both { 2 } else { 1 }] {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let text = if both {
                text.replacen(",0,-", ",1,-", 1).replacen(",0\n", ",1\n", 1)
            } else {
                text.replacen(from, to, 1)
            };
            assert_ne!(text.as_bytes(), bytes.as_slice(), "{from}");
            std::fs::write(path, text).unwrap();
        }
        let mut description = Description::read(&run).unwrap();
        description.hashes.predictions = Some(files::sha256_of(&run.predictions()).unwrap());
        description.hashes.manifest = Some(files::sha256_of(&run.manifest()).unwrap());
        std::fs::write(run.run_toml(), description.to_toml().unwrap()).unwrap();
        let off = forge(run.path(), |report| {
            report["run"]["hashes"]["predictions"] = description.hashes.predictions.clone().into();
            report["run"]["hashes"]["manifest"] = description.hashes.manifest.clone().into();
        });
        assert!(off.iter().any(|line| line.contains("evaluation")), "{to}: {off:?}");
        originals.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    }
    // Files that are not the run's.
    for name in ["../x", "/etc/passwd", "a/b/c", "plots/../run.toml"] {
        let text = std::fs::read_to_string(run.path().join("report.json")).unwrap();
        let mut report: Value = serde_json::from_str(&text).unwrap();
        report["files"][name] = "00".into();
        std::fs::write(run.path().join("report.json"), canonical::text(&report)).unwrap();
        assert!(found(run.path()).off[0].contains("no file of the run folder"), "{name}");
        std::fs::write(run.path().join("report.json"), text).unwrap();
    }
    std::fs::remove_file(run.path().join("plots/auroc.png")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", run.path().join("plots/auroc.png")).unwrap();
    assert!(found(run.path()).off[0].contains("a link"));
}

#[test]
fn garbage_is_no_report() {
    let folder = tempfile::tempdir().unwrap();
    let run = small(folder.path(), false);
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "{\"schema\":\"roentgen/report/1\"}",
        "{\"a\":1,\"a\":1}",
        "\u{feff}{}",
        "{\"schema\": 1}",
    ] {
        std::fs::write(run.path().join("report.json"), text).unwrap();
        assert!(!found(run.path()).off.is_empty(), "{text}");
    }
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    std::fs::write(run.path().join("report.json"), deep).unwrap();
    assert!(!found(run.path()).off.is_empty());
    assert!(roentgen(["verify", "no-such-report.json"]).error(3).contains("no-such-report.json"));
}

#[test]
fn the_same_run_gives_the_same_bytes_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let everything = |run: &Path| {
        let text = std::fs::read_to_string(run.join("report.json")).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<String> = report["files"].as_object().unwrap().keys().cloned().collect();
        let bytes: Vec<Vec<u8>> = names.iter().map(|name| std::fs::read(run.join(name)).unwrap()).collect();
        (text, names, bytes)
    };
    let of = |name: &str, threads: &str| {
        let run = folder.path().join(name);
        made_up_run(&run, 300, &["Mass", "Nodule"], |_| {});
        let mut report = command(["report", &run.display().to_string(), "--bootstrap", "50", "--seed", "7"]);
        finished(report.env("RAYON_NUM_THREADS", threads).output().unwrap()).ok();
        verify_by_program(&run, &[]).ok();
        everything(&run)
    };
    let first = of("a", "1");
    assert!(first == of("another place", "3"));
    report(&folder.path().join("a"), &["--bootstrap", "50", "--seed", "7"]).ok();
    assert!(first == everything(&folder.path().join("a")));
    report(&folder.path().join("a"), &["--bootstrap", "50", "--seed", "8"]).ok();
    assert!(first.0 != everything(&folder.path().join("a")).0);
}

#[test]
fn killed_at_any_moment_it_leaves_no_half_report() {
    let folder = tempfile::tempdir().unwrap();
    let run = made_up_run(&folder.path().join("run"), 400, &FOURTEEN[..4], |_| {});
    let key = folder.path().join("key");
    report(run.path(), &["--new-key", &key.display().to_string()]).ok();
    let (mut without, mut whole) = (0, 0);
    for wait in (0..600).step_by(25) {
        let args = ["report", &run.path().display().to_string(), "--sign", &key.display().to_string()];
        let mut child = command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        match run.path().join("report.json").exists() {
            false => without += 1,
            true => {
                let found = found(run.path());
                assert!(found.off.is_empty() && found.checked[0].starts_with("signature"), "{found:?}");
                whole += 1;
            }
        }
    }
    assert!(without + whole == 24, "{without} {whole}");
    report(run.path(), &["--sign", &key.display().to_string()]).ok();
    verify_by_program(run.path(), &[]).ok();
    let left: Vec<_> = std::fs::read_dir(run.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
        .collect();
    assert!(left.is_empty());
}

#[test]
fn what_may_not_be_passed_on_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let run = made_up_run(folder.path(), 60, &["Mass"], |d| d.dataset.redistribution = false);
    std::fs::write(
        run.failures(),
        "image,reason\nimg-000099.png,/home/someone/data/img-000099.png: img-000099 is cut off\n",
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("explain")).unwrap();
    std::fs::write(
        folder.path().join("explain/examples.csv"),
        "file,label,outcome,image,probability,threshold,method\nx.png,Mass,TP,img-000001.png,0.9,0.5,m\n",
    )
    .unwrap();
    report(run.path(), &[]).ok();
    verify_by_program(run.path(), &[]).ok();
    for name in ["report.json", "report.html", "tables/failures.csv", "tables/failures.md", "tables/failures.tex"] {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        for word in ["img-0", "patient-", "someone", "<img", "explain/"] {
            assert!(!text.contains(word), "{name} shows {word}");
        }
        assert!(text.contains("cut off"), "{name}");
    }
}

#[test]
fn names_that_others_chose_stay_names() {
    let hostile = "<script>alert(1)</script>|`=1+1`\\input{x}&\"'";
    let formula = "=HYPERLINK(\"http://x\")";
    let folder = tempfile::tempdir().unwrap();
    let run = made_up_run(folder.path(), 60, &[hostile, formula], |d| {
        d.dataset.source = Some("</pre></details><img src=x onerror=alert(1)>".into());
        d.dataset.homepage = Some("javascript:alert(1)".into());
        d.model.source = Some("\u{202e}gnp.exe".into());
    });
    report(run.path(), &[]).ok();
    verify_by_program(run.path(), &[]).ok();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let page = read("report.html");
    for word in ["<script", "<img", "onerror=alert(1)>", "href=\"javascript", "\u{202e}"] {
        assert!(!page.contains(word), "{word}");
    }
    // Nothing but one's own anchors is linked, and nothing is fetched.
    assert!(page.match_indices("href=\"").all(|(i, _)| page[i + 6..].starts_with('#')));
    assert!(!page.contains("src=\"http") && !page.contains("url("));
    for line in read("tables/auroc.csv").lines().skip(1) {
        assert!(!line.starts_with(['=', '+', '-', '@']) && !line.starts_with("\"="), "{line}");
    }
    assert!(read("tables/auroc.md").contains("&lt;script>") && !read("tables/auroc.tex").contains("\\input"));
    for entry in std::fs::read_dir(folder.path().join("plots")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "svg") {
            assert!(!std::fs::read_to_string(&path).unwrap().contains("<script"), "{}", path.display());
        }
    }
}

#[test]
fn what_a_reader_sees() {
    let folder = tempfile::tempdir().unwrap();
    let run = made_up_run(folder.path(), 200, &["Mass", "Effusion"], |_| {});
    let told = |ran: Ran| (ran.stdout + &ran.stderr).replace(&folder.path().display().to_string(), "[run]");
    insta::assert_snapshot!("report", told(report(run.path(), &[])));
    insta::assert_snapshot!("verify", told(verify_by_program(run.path(), &[])));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    insta::assert_snapshot!(
        "report-tables",
        ["auroc.md", "operating_points.tex", "labels.csv", "claim_2024.md"]
            .map(|n| read(&format!("tables/{n}")))
            .join("\n")
    );
    let text = read("predictions.csv").replacen("0.0", "0.1", 1);
    std::fs::write(run.predictions(), text).unwrap();
    let ran = verify_by_program(run.path(), &["--signers", "no-such-file"]);
    assert_eq!(ran.status, 1);
    insta::assert_snapshot!("verify-off", told(ran));
    assert!(report(run.path(), &[]).error(3).contains("not what the run wrote"));
    insta::assert_snapshot!("help-report", roentgen(["report", "--help"]).ok());
    insta::assert_snapshot!("help-verify", roentgen(["verify", "--help"]).ok());
}

#[test]
fn a_published_table_becomes_part_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let run = made_up_run(&folder.path().join("run"), 200, &["Mass", "Effusion"], |_| {});
    let evaluation: Value = serde_json::from_slice(&std::fs::read(run.evaluation()).unwrap()).unwrap();
    let auroc = evaluation["labels"][0]["auroc"]["value"].as_f64().unwrap();
    let card = put(
        folder.path(),
        "table.toml",
        &format!(
            "schema = \"roentgen/published/1\"\nsource = \"<b>A paper\"\ndataset = \"phantom\"\n\
             [[label]]\nlabel = \"Mass\"\nvalues = {{ auroc = \"{auroc}\" }}\n"
        ),
    );
    report(run.path(), &["--published", &card]).ok();
    let json = std::fs::read_to_string(run.path().join("report.json")).unwrap();
    let document: Value = serde_json::from_str(&json).unwrap();
    let mass = &document["reproduction"]["labels"][0];
    assert_eq!((&mass["label"], mass["difference"].as_f64()), (&Value::from("Mass"), Some(0.0)), "{mass}");
    assert!(!json.contains(&folder.path().display().to_string()));
    let page = std::fs::read_to_string(run.path().join("report.html")).unwrap();
    assert!(
        page.contains("Against a published table") && page.contains("&lt;b&gt;A paper") && !page.contains("<b>A paper")
    );
    assert!(run.path().join("tables/published.csv").exists());
    verify_by_program(run.path(), &[]).ok();
    // Another printed number would have had another answer.
    let forged = json.replace(&format!("auroc = \\\"{auroc}\\\""), "auroc = \\\"0.5\\\"");
    assert_ne!(forged, json);
    std::fs::write(run.path().join("report.json"), forged).unwrap();
    let ran = verify_by_program(run.path(), &[]);
    assert_eq!(ran.status, 1);
    assert!(ran.stdout.contains("report.json, reproduction"), "{}", ran.stdout);
}

#[test]
fn images_and_predictions_are_checked_when_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    // Pictures that are drawn, as files of a folder.
    let pictures = folder.path().join("data");
    for class in ["NORMAL", "Nodule"] {
        std::fs::create_dir_all(pictures.join(class)).unwrap();
        for i in 0..4u32 {
            let gray = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([((x * y * (i + 2)) % 251) as u8]));
            gray.save(pictures.join(class).join(format!("{class}-{i}.png"))).unwrap();
        }
    }
    let (out, data) = (folder.path().join("run"), pictures.display().to_string());
    let run = RunFolder::new(&out);
    let mut evaluate = command(["evaluate", "--model", "phantom-densenet", "--data", &data, "--headless"]);
    finished(evaluate.arg("--out").arg(&out).output().unwrap()).ok();
    report(&out, &[]).ok();
    let ran = verify_by_program(&out, &["--data", &data, "--rerun"]).ok();
    assert!(ran.contains("images: 8 hashes") && ran.contains("all bit for bit"), "{ran}");
    // An author who invents a score and makes everything else fit it.
    let table = std::fs::read_to_string(run.predictions()).unwrap();
    let (head, rows) = table.split_once('\n').unwrap();
    let column = head.split(',').position(|c| c == "logit_Nodule").unwrap();
    let mut cells: Vec<&str> = rows.lines().next().unwrap().split(',').collect();
    cells[column] = "9.5";
    let invented = format!("{head}\n{}\n{}", cells.join(","), rows.split_once('\n').unwrap().1);
    std::fs::write(run.predictions(), invented).unwrap();
    let mut description = Description::read(&run).unwrap();
    description.hashes.predictions = Some(files::sha256_of(&run.predictions()).unwrap());
    std::fs::write(run.run_toml(), description.to_toml().unwrap()).unwrap();
    report(&out, &[]).ok();
    verify_by_program(&out, &[]).ok();
    let ran = verify_by_program(&out, &["--rerun", "--data", &data]);
    assert!(ran.status == 1 && ran.stdout.contains("logit_Nodule: 9.5 recorded"), "{}", ran.stdout);
    // Another picture in an image's place.
    std::fs::copy(pictures.join("Nodule/Nodule-0.png"), pictures.join("NORMAL/NORMAL-1.png")).unwrap();
    let ran = verify_by_program(&out, &["--data", &data]);
    assert!(
        ran.status == 1 && ran.stdout.contains("NORMAL/NORMAL-1.png: not the picture of the run"),
        "{}",
        ran.stdout
    );
    std::fs::remove_file(pictures.join("NORMAL/NORMAL-1.png")).unwrap();
    assert!(verify_by_program(&out, &["--data", &data]).stdout.contains("8 in the manifest, 7 in the data"));
}

#[test]
fn tests_of_maps_and_example_pictures_are_part_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let card = phantom_card(folder.path(), 6);
    let run = folder.path().join("run");
    let mut evaluate = command(["evaluate", "--model", "phantom-densenet", "--data", &card, "--headless"]);
    finished(evaluate.arg("--out").arg(&run).output().unwrap()).ok();
    let out = run.join("explain").display().to_string();
    let of = ["explain", "--model", "phantom-densenet", "--data", &card, "--trust", "1", "--out", &out];
    roentgen(of).ok();
    report(&run, &[]).ok();
    let json: Value = serde_json::from_slice(&std::fs::read(run.join("report.json")).unwrap()).unwrap();
    assert_eq!(json["maps"]["method"], "gradcam relu");
    let badges: Vec<_> =
        json["maps"]["trust"].as_array().unwrap().iter().map(|t| t["badge"].as_str().unwrap()).collect();
    assert_eq!(badges.len(), 5);
    assert!(badges.iter().any(|badge| *badge != "not-tested"), "{badges:?}");
    insta::assert_snapshot!("report-maps", std::fs::read_to_string(run.join("tables/maps.md")).unwrap());
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("<section id=\"maps\">") && page.contains("href=\"#maps\"") && page.contains("gradcam relu"));
    let again = verify_by_program(&run, &["--rerun"]).ok();
    let pictures = json["examples"].as_array().unwrap().len();
    assert!(again.contains(&format!("pictures: {pictures} examples drawn again, all the same bytes")), "{again}");
    assert!(again.contains("not checked   how the tests of the maps came about"), "{again}");
    // Whoever changes the tests' file is found, also by who hashes again: a badge follows from its numbers.
    let (file, whole) =
        (run.join("explain/explanations.json"), std::fs::read_to_string(run.join("explain/explanations.json")));
    let whole = whole.unwrap();
    let (honest, other) = (badges[0], if badges[0] == "faithful" { "not-tested" } else { "faithful" });
    let forged = whole.replacen(&format!("\"badge\": \"{honest}\""), &format!("\"badge\": \"{other}\""), 1);
    assert_ne!(forged, whole);
    std::fs::write(&file, forged).unwrap();
    let off = found(&run).off.join("\n");
    assert!(
        off.contains("explain/explanations.json: changed") && off.contains("is not what its numbers give"),
        "{off}"
    );
    assert!(report(&run, &[]).error(3).contains("is not what its numbers give"));
    let theirs = whole.replace(json["run"]["hashes"]["weights"].as_str().unwrap(), &files::sha256(b"others"));
    std::fs::write(&file, theirs).unwrap();
    assert!(report(&run, &[]).error(3).contains("maps of other weights than the run's"));
    std::fs::write(&file, whole).unwrap();
    // Whoever paints over a picture and reports again is found by drawing it again.
    let picture = run.join("explain").join(json["examples"][0]["file"].as_str().unwrap());
    let mut painted = image::open(&picture).unwrap().to_rgb8();
    painted.put_pixel(20, 20, image::Rgb([255, 0, 0]));
    painted.save(&picture).unwrap();
    report(&run, &[]).ok();
    verify_by_program(&run, &[]).ok();
    let again = verify_by_program(&run, &["--rerun"]);
    assert!(again.status == 1 && again.stdout.contains("not the picture that the model draws"), "{}", again.stdout);
}

#[test]
fn a_clinical_report_has_a_row_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let card = phantom_card(folder.path(), 3);
    let run = folder.path().join("run");
    let mut evaluate = command(["evaluate", "--model", "phantom-densenet", "--data", &card, "--headless"]);
    finished(evaluate.arg("--out").arg(&run).output().unwrap()).ok();
    report(&run, &[]).ok();
    // The example pictures serve as pictures.
    let pictures = run.join("explain");
    std::fs::write(pictures.join("broken.png"), "no picture").unwrap();
    let out = folder.path().join("clinical");
    let mut predict = command(["predict", "--model", "phantom-densenet", "--explain", "gradcam", "--threshold", "0.9"]);
    predict.args(["--threshold", "Effusion=0"]).arg(&pictures).arg("--out").arg(&out);
    let ran = finished(predict.output().unwrap());
    assert!(ran.error(3).contains("1 of"), "{}", ran.stderr);
    let mut table = csv::Reader::from_path(out.join("clinical_report.csv")).unwrap();
    let header = table.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let mut rows = 0;
    for row in table.records().map(Result::unwrap) {
        let p: f64 = row[column("p_Effusion")].parse().unwrap();
        assert!((0.0..=1.0).contains(&p) && row[column("findings")].contains("Effusion"));
        assert_eq!((&row[column("notice")], &row[column("threshold_Nodule")]), ("research use only", "0.9"));
        for overlay in row[column("overlay")].split("; ") {
            assert!(std::fs::read(out.join(overlay)).unwrap().starts_with(b"\x89PNG"), "{overlay}");
        }
        rows += 1;
    }
    assert_eq!(rows, std::fs::read_dir(&pictures).unwrap().count() - 2);
    let unknown =
        roentgen(["predict", "--model", "phantom-densenet", "x.png", "--out", "o", "--threshold", "Gout=0.5"]);
    assert!(unknown.status != 0);
}
