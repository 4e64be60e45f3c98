//! `roentgen train` through the real binary, on small phantoms: what it leaves, kills and resumes, bad input.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use candle_core::Device;
use roentgen::cards::model::ModelCard;
use roentgen::run::{Training, TrainingFolder};
use roentgen::train::Recipe;
use roentgen::{models, weights};

use crate::evaluate::phantom_card;
use crate::support::{command, contents, finished, put, roentgen};

/// A recipe on `cohort.toml` beside it: a network of a few thousand weights.
const RECIPE: &str = r#"
schema = "roentgen/recipe/1"
name = "tiny"
seed = 3

[model]
architecture = "densenet121"
labels = ["Cardiomegaly", "Effusion", "Nodule", "Pneumothorax", "Consolidation"]
licence = "MIT"
options = { blocks = [1, 1, 1, 1], growth = 4 }
input = { channels = 1, steps = [{ op = "resize", size = 64, mode = "squash", filter = "bilinear" }, { op = "scale", to = [-1.0, 1.0] }] }

[data]
card = "cohort.toml"
validation = { share = 0.2 }
test = { share = 0.2 }

[training]
epochs = 3
batch = 8
loss = "bce"

[optimizer]
name = "adamw"
rate = 5e-3
weight_decay = 1e-2

[schedule]
name = "one-cycle"
max = 5e-3

[augment]
flip = 0.5
rotate = 5.0
crop = [0.8, 1.0]
contrast = 0.1
"#;

/// A text without what differs from machine to machine: times, and the digits of what was learnt.
fn shape(text: &str, out: &Path) -> String {
    let number = regex::Regex::new(r"\b[0-9]+\.[0-9]+(e-?[0-9]+)?\b").unwrap();
    let time = regex::Regex::new(r"  [0-9.:]+ (s|min|h)\n").unwrap();
    let best = regex::Regex::new(r"  best| \(these weights\)").unwrap();
    let text = time.replace_all(text, "  [time]\n");
    let text = best.replace_all(&text, "");
    // What there is no number for is a line; columns are as wide as what stands in them.
    let (text, cell) = (number.replace_all(&text, "#"), regex::Regex::new(r"(?m) +[#-]( |$)").unwrap());
    let text = cell.replace_all(&text, " #$1");
    regex::Regex::new(" +#").unwrap().replace_all(&text, " #").replace(&out.display().to_string(), "[out]")
}

/// Changes to a text, each of which must find its place.
fn with(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

fn train(recipe: &str, out: &Path, more: &[&str]) -> Command {
    let mut command = command(["train", recipe]);
    command.arg("--out").arg(out).args(more);
    command
}

/// All files of a training, those of its runs among them.
fn all(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for name in ["validation", "test"].into_iter().filter(|name| folder.join(name).exists()) {
        files.extend(contents(&folder.join(name)).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
    }
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            files.push((path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn what_it_leaves_is_ready_for_use_whatever_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantom_card(folder.path(), 60);
    let recipe = put(folder.path(), "tiny.toml", RECIPE);
    let out = folder.path().join("out");
    let text = finished(train(&recipe, &out, &["--threads", "1"]).output().unwrap()).ok();
    insta::assert_snapshot!("train", shape(&text, &out));
    let names: Vec<_> = all(&out).into_iter().map(|(name, _)| name).collect();
    insta::assert_debug_snapshot!(names, @r#"
    [
        "README.md",
        "calibration.toml",
        "evaluation.json",
        "model.toml",
        "recipe.toml",
        "splits.csv",
        "test/evaluation.json",
        "test/manifest.csv",
        "test/predictions.csv",
        "test/run.toml",
        "training.toml",
        "validation/evaluation.json",
        "validation/manifest.csv",
        "validation/predictions.csv",
        "validation/run.toml",
        "weights.safetensors",
    ]
    "#);
    insta::assert_snapshot!("train-page", shape(&std::fs::read_to_string(out.join("README.md")).unwrap(), &out));
    let log = Training::read(&TrainingFolder::new(&out)).unwrap();
    assert_eq!((log.epochs.len(), log.seed, log.labels.len()), (3, 3, 5));
    assert!(log.epochs[2].loss < log.epochs[0].loss && log.best.is_some(), "{log:?}");
    let [learnt, validation, test] = log.parts.as_slice() else { panic!("{log:?}") };
    assert_eq!(learnt.patients + validation.patients + test.patients, 60);
    assert_eq!(learnt.images, log.labels[0].positives + log.labels[0].negatives);
    // No patient is in two parts.
    let mut parts = std::collections::HashMap::new();
    for row in csv::Reader::from_path(out.join("splits.csv")).unwrap().records() {
        let row = row.unwrap();
        assert_eq!(parts.entry(row[1].to_owned()).or_insert(row[2].to_owned()), &row[2]);
    }
    assert_eq!(parts.len(), 60);
    // The card serves as any other.
    let card = out.join("model.toml").display().to_string();
    let run = folder.path().join("run");
    let ran =
        roentgen(["evaluate", "--model", &card, "--data", &data, "--limit", "5", "--out", &run.display().to_string()]);
    assert!(ran.ok().contains("Cardiomegaly"));
    let calibration = out.join("calibration.toml").display().to_string();
    let run = folder.path().join("calibrated");
    let out_flag = run.display().to_string();
    roentgen([
        "evaluate",
        "--model",
        &card,
        "--data",
        &data,
        "--limit",
        "5",
        "--calibration",
        &calibration,
        "--out",
        &out_flag,
    ])
    .ok();
    let again = folder.path().join("again");
    finished(train(&recipe, &again, &["--threads", "3"]).output().unwrap()).ok();
    assert!(all(&again) == all(&out), "threads change bytes");
    assert!(finished(train(&recipe, &out, &[]).output().unwrap()).error(2).contains("there is a training in it"));
    assert!(finished(train(&recipe, &out, &["--resume"]).output().unwrap()).error(2).contains("is finished"));
}

/// Waits until `is` holds; false where the process ended before.
fn reached(child: &mut std::process::Child, is: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !is() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "nothing happens");
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

#[test]
fn killed_or_stopped_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    phantom_card(folder.path(), 40);
    let changes = [("epochs = 3", "epochs = 6\naccumulate = 2\nclip = 0.5\nsampling = \"balanced\"")];
    let recipe = put(folder.path(), "tiny.toml", &with(RECIPE, &changes));
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    finished(train(&recipe, &whole, &[]).output().unwrap()).ok();
    let epochs = || {
        let log = std::fs::read_to_string(cut.join("training.toml")).unwrap_or_default();
        log.matches("[[epoch]]").count()
    };
    let mut ends = 0;
    for (until, signal) in [(0, "KILL"), (1, "KILL"), (2, "INT"), (3, "KILL"), (4, "INT")] {
        let mut child = train(&recipe, &cut, &["--resume"]).spawn().unwrap();
        if reached(&mut child, || cut.join("training.toml").exists() && epochs() >= until) {
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
            ends += 1;
        }
        let ran = finished(child.wait_with_output().unwrap());
        if signal == "INT" && ran.status != 0 {
            assert!(ran.error(130).contains("--resume"), "{}", ran.stderr);
        }
    }
    assert!(ends >= 3, "the training was too quick to be stopped: {ends}");
    if cut.join("checkpoint").exists() {
        let other = put(folder.path(), "other.toml", &with(RECIPE, &[("seed = 3", "seed = 4")]));
        assert!(finished(train(&other, &cut, &["--resume"]).output().unwrap()).error(3).contains("another recipe"));
        finished(train(&recipe, &cut, &["--resume"]).output().unwrap()).ok();
    }
    let (a, b) = (all(&whole), all(&cut));
    for ((name, a), (other, b)) in a.iter().zip(&b) {
        assert!(name == other && a == b, "{name} {other}");
    }
    assert_eq!(a.len(), b.len());
}

#[test]
fn in_half_precision_it_learns_and_goes_on_exactly() {
    let folder = tempfile::tempdir().unwrap();
    phantom_card(folder.path(), 40);
    let changes = [("epochs = 3", "epochs = 3\nprecision = \"f16\"")];
    let recipe = put(folder.path(), "tiny.toml", &with(RECIPE, &changes));
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let ran = finished(train(&recipe, &whole, &["--device", "cpu"]).output().unwrap());
    assert!(
        ran.stderr.contains("note: f16 is imitated on the CPU, to see its effect: it is slower there than f32"),
        "{}",
        ran.stderr
    );
    ran.ok();
    let mut child = train(&recipe, &cut, &[]).spawn().unwrap();
    if reached(&mut child, || cut.join("checkpoint").exists()) {
        Command::new("kill").args(["-KILL", &child.id().to_string()]).status().unwrap();
    }
    child.wait().unwrap();
    // The factor of the loss is in the checkpoint's line of JSON.
    let checkpoint = std::fs::read(cut.join("checkpoint")).unwrap();
    assert!(String::from_utf8_lossy(&checkpoint[..2000]).contains("\"scale\":{\"factor\":65536.0,\"good\":"));
    let other = put(folder.path(), "other.toml", &with(RECIPE, &[]));
    assert!(finished(train(&other, &cut, &["--resume"]).output().unwrap()).error(3).contains("another recipe"));
    finished(train(&recipe, &cut, &["--resume"]).output().unwrap()).ok();
    assert!(all(&whole) == all(&cut));
    assert!(
        finished(train(&recipe, &folder.path().join("gpu"), &["--device", "cuda:99"]).output().unwrap())
            .error(2)
            .contains("cuda:99")
    );
    let log = Training::read(&TrainingFolder::new(&whole)).unwrap();
    assert_eq!((log.device.as_str(), log.precision.as_str()), ("cpu", "f16"));
    assert!(log.epochs[2].loss < log.epochs[0].loss);
    let page = std::fs::read_to_string(whole.join("README.md")).unwrap();
    assert!(page.contains("Trained on the CPU, products in f16, all else in f32."), "{page}");
}

#[test]
fn a_frozen_backbone_stays_as_it_was_and_batches_add_up() {
    let folder = tempfile::tempdir().unwrap();
    phantom_card(folder.path(), 30);
    let head = "input = {";
    let frozen = with(
        RECIPE,
        &[
            ("name = \"adamw\"\nrate = 5e-3\nweight_decay = 1e-2", "name = \"sgd\"\nrate = 0.1\nmomentum = 0.9"),
            ("max = 5e-3", "max = 0.1\ncycle_momentum = false"),
            ("epochs = 3", "epochs = 1\nfrozen_backbone = true"),
            (head, "head = [{ units = 8, activation = \"relu\", dropout = 0.0 }, { units = 5 }]\ninput = {"),
        ],
    );
    let halves = with(&frozen, &[("batch = 8", "batch = 4\naccumulate = 2")]);
    let result = |name: &str, text: &str| {
        let recipe = put(folder.path(), name, text);
        let out = folder.path().join(format!("{name}-out"));
        finished(train(&recipe, &out, &[]).output().unwrap()).ok();
        let card = ModelCard::read(&out.join("model.toml")).unwrap();
        (card, weights::load(&out.join("weights.safetensors"), None).unwrap())
    };
    let (card, whole) = result("whole.toml", &frozen);
    let (_, halves) = result("halves.toml", &halves);
    let drawn = models::initial(&Recipe::parse(&frozen, "r").unwrap().card(), 3).unwrap();
    let mut moved = 0;
    for ((name, _, values), (_, _, drawn)) in whole.iter().zip(drawn.iter()) {
        if name.starts_with("classifier") {
            moved += usize::from(values != drawn);
        } else {
            assert_eq!(values, drawn, "{name}");
        }
    }
    assert_eq!(moved, 4, "all of the head learns");
    for ((name, _, a), (_, _, b)) in whole.iter().zip(halves.iter()) {
        assert!(a.iter().zip(b.iter()).all(|(a, b)| (a - b).abs() < 2e-5), "{name}");
    }
    models::build(&card, whole, &Device::Cpu).unwrap();
    // What was trained is what the next one starts from.
    let next = with(
        &frozen,
        &[
            ("[data]", "[[start]]\npart = \"all\"\nmodel = \"whole.toml-out/model.toml\"\n\n[data]"),
            ("rate = 0.1", "rate = 1e-9"),
            ("max = 0.1", "max = 1e-9"),
        ],
    );
    let (_, next) = result("next.toml", &next);
    let (_, whole) = result("whole-again.toml", &frozen);
    for ((name, _, a), (_, _, b)) in whole.iter().zip(next.iter()) {
        assert!(a.iter().zip(b.iter()).all(|(a, b)| (a - b).abs() < 1e-6), "{name}");
    }
}

#[test]
fn what_cannot_be_trained_is_told() {
    let folder = tempfile::tempdir().unwrap();
    phantom_card(folder.path(), 30);
    let mut told = String::new();
    let mut fails = |name: &str, changes: &[(&str, &str)], status: i32| {
        let recipe = put(folder.path(), "bad.toml", &with(RECIPE, changes));
        let out = folder.path().join(name);
        let ran = finished(train(&recipe, &out, &[]).output().unwrap());
        let line = ran.error(status).replace(&folder.path().display().to_string(), "[folder]");
        told += &format!("{line}\n");
        out
    };
    fails("key", &[("batch = 8", "batches = 8")], 3);
    fails("precision", &[("batch = 8", "batch = 8\nprecision = \"f64\"")], 3);
    let out = fails(
        "nan",
        &[("max = 5e-3", "max = 1e30\nrising = 0.9\ndivisor = 1.0"), ("weight_decay = 1e-2", "weight_decay = 0.0")],
        3,
    );
    assert!(out.join("training.toml").exists() && !out.join("model.toml").exists());
    let out = fails("shared", &[("test = { share = 0.2 }", "test = { card = \"cohort.toml\" }")], 3);
    assert!(!out.exists(), "nothing is written when the data are wrong");
    fails("label", &[("\"Nodule\"", "\"Hernia\"")], 3);
    fails("start", &[("[data]", "[[start]]\npart = \"all\"\nmodel = \"phantom-densenet\"\n\n[data]")], 3);
    fails("none", &[("card = \"cohort.toml\"", "card = \"no-such-card\"")], 2);
    put(
        folder.path(),
        "cohort.toml",
        &std::fs::read_to_string(folder.path().join("cohort.toml")).unwrap().replace("patients = 30", "patients = 2"),
    );
    fails(
        "class",
        &[("validation = { share = 0.2 }", "validation = { card = \"phantom\" }"), ("test = { share = 0.2 }", "")],
        3,
    );
    let recipe = put(folder.path(), "tiny.toml", RECIPE);
    told += &format!(
        "{}\n",
        roentgen(["train", &recipe, "--out", &folder.path().display().to_string()])
            .error(3)
            .replace(&folder.path().display().to_string(), "[folder]")
    );
    told += &format!("{}\n", roentgen(["train", "no-such-recipe"]).error(2));
    insta::assert_snapshot!("train-errors", told);
}

#[test]
fn a_disk_that_takes_no_more_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    phantom_card(folder.path(), 40);
    let recipe = put(folder.path(), "tiny.toml", RECIPE);
    let out = folder.path().join("out");
    // No disk is filled for this: the system refuses what goes beyond a file's limit in the midst of writing it.
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "trap '' XFSZ; ulimit -f 32; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_roentgen"),
        "train",
        &recipe,
    ]);
    let ran = finished(limited.args(["--resume", "--out"]).arg(&out).output().unwrap());
    let told = ran.error(3).replace(&out.display().to_string(), "[out]");
    insta::assert_snapshot!(told, @"error: [out]/weights.safetensors: File too large; make room there, or choose another place");
    let left: Vec<_> = all(&out).into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["recipe.toml", "splits.csv", "training.toml"]);
    finished(train(&recipe, &out, &["--resume"]).output().unwrap()).ok();
}

#[test]
fn help_of_train() {
    insta::assert_snapshot!("help-train", roentgen(["train", "--help"]).ok());
}
