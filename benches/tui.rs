//! The terminal UI over a finished run of 25,000 images and 14 labels, drawn into memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use divan::{Bencher, black_box};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyEvent;
use roentgen::metrics::evaluation::{Settings, evaluate};
use roentgen::predictions::{Label, Predictions, Truth};
use roentgen::rng::Rng;
use roentgen::tui::analysis::{Analysis, Overview};
use roentgen::tui::app::App;
use roentgen::tui::keymap::keys;
use roentgen::tui::theme::{Theme, Tone};

const ROWS: usize = 25_000;
const PATIENTS: usize = 6_000;
/// As ChestX-ray14's, so that its published tables can be held against them.
const FINDINGS: [&str; 14] = [
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
const THEME: Theme = Theme { tone: Tone::Dark, ascii: false, truecolor: true };

fn predictions() -> &'static Predictions {
    static TABLE: OnceLock<Predictions> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut rng = Rng::new(1, 0);
        let mut label = |i: usize| {
            let prevalence = 0.01 * (1 + i) as f64;
            let (mut truths, mut scores) = (Vec::new(), Vec::new());
            for _ in 0..ROWS {
                let positive = rng.uniform() < prevalence;
                truths.push(if positive { Truth::Positive } else { Truth::Negative });
                let logit = 4.0 * (rng.uniform() - 0.5) + if positive { 1.0 } else { -1.0 };
                scores.push(1.0 / (1.0 + (-logit).exp()));
            }
            Label { name: FINDINGS[i].into(), truths: Some(truths), logits: None, scores: Some(scores) }
        };
        Predictions {
            labels: (0..FINDINGS.len()).map(&mut label).collect(),
            images: (0..ROWS).map(|i| format!("images/{i:08}.png")).collect(),
            patients: Some((0..ROWS).map(|i| format!("{}", i * 7 % PATIENTS)).collect()),
            ..Predictions::default()
        }
    })
}

/// `predictions.csv` and `evaluation.json` of the run.
fn files() -> &'static (tempfile::TempDir, PathBuf, PathBuf) {
    static FILES: OnceLock<(tempfile::TempDir, PathBuf, PathBuf)> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["predictions.csv", "evaluation.json"].map(|name| folder.path().join(name));
        let mut bytes = Vec::new();
        predictions().write(&mut bytes).unwrap();
        std::fs::write(&paths[0], bytes).unwrap();
        let evaluation = evaluate(predictions(), None, &Settings::default()).unwrap();
        std::fs::write(&paths[1], evaluation.to_json().unwrap()).unwrap();
        let [table, evaluation] = paths;
        (folder, table, evaluation)
    })
}

/// What is known of the run at first; its evaluation is read as a run's is.
fn overview() -> Overview {
    let (folder, table, evaluation) = files();
    Overview {
        name: "bench".into(),
        predictions: table.clone(),
        annotations: folder.path().join("annotations.csv"),
        description: None,
        stored: std::fs::read_to_string(evaluation).ok(),
    }
}

fn draw(app: &mut App, terminal: &mut Terminal<TestBackend>) {
    terminal.draw(|frame| app.draw(frame)).unwrap();
}

fn begun() -> (App, Terminal<TestBackend>) {
    let mut app = App::new(THEME);
    let overview = overview();
    let file = overview.predictions.clone();
    app.show(overview, move || roentgen::predictions::read(&file, None));
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    draw(&mut app, &mut terminal);
    (app, terminal)
}

/// From nothing to the first frame of a run, which shows all its numbers.
#[divan::bench(sample_count = 10)]
fn first_numbers(bencher: Bencher) {
    files();
    // The rows are read on another thread meanwhile: its end is not waited for.
    bencher.bench_local(|| black_box(begun().1.backend().to_string().contains("macro of 14 labels")));
}

/// From nothing to curves: the rows are read and sorted.
#[divan::bench(sample_count = 5)]
fn first_curves(bencher: Bencher) {
    let overview = Arc::new(overview());
    bencher.bench_local(|| {
        let rows = roentgen::predictions::read(Path::new(&overview.predictions), None).unwrap();
        Analysis::new(overview.clone(), rows).unwrap()
    });
}

/// The numbers computed anew, which goes on beside the UI.
#[divan::bench(sample_count = 3)]
fn evaluating(bencher: Bencher) {
    let analysis = Analysis::new(Arc::new(overview()), predictions().clone()).unwrap();
    bencher.bench_local(|| analysis.evaluate().unwrap());
}

/// Keys up to the last one of each text, of which the last is measured, on what was never shown before.
const KEYS: &[&str] = &[
    "1j",
    "1l",
    "1P",
    "1Pv3<Enter>",
    "1Pv3<Enter>j",
    "2",
    "2j",
    "2o",
    "2jo",
    "2oj",
    "2+",
    "2l",
    "2Pv3<Enter>",
    "3",
    "3jo",
    "4",
    "4l",
    "4L",
    "4j",
    "4+",
    "4y",
    "5",
    "5j",
    "5b",
    "5e",
    "5cc",
    "5ccc",
    "6",
    "6j",
    "7",
    "7b",
    "7bb",
    "7j",
    "7J",
    "7l",
    "7f",
    "7o",
    "7oo",
    "7w",
    "7n",
    "7/1<Enter>",
    "8",
    "9",
    "9j",
    "0",
    "?",
    ":",
    ":th",
];

/// The app after all but the last of some keys, at rest.
fn before_last(text: &str) -> (App, Terminal<TestBackend>, KeyEvent) {
    let (mut app, mut terminal) = begun();
    app.settle();
    let mut found = keys(text).unwrap();
    let last = found.pop().unwrap();
    for key in found {
        app.key(key);
        draw(&mut app, &mut terminal);
        app.settle();
        draw(&mut app, &mut terminal);
    }
    app.settle();
    (app, terminal, last)
}

/// A key and the frame after it.
#[divan::bench(sample_count = 10, sample_size = 1, args = KEYS)]
fn key(bencher: Bencher, text: &str) {
    bencher.with_inputs(|| before_last(text)).bench_local_values(|(mut app, mut terminal, last)| {
        app.key(last);
        draw(&mut app, &mut terminal);
        (app, terminal)
    });
}

/// The same until what is computed beside the UI is drawn too.
#[divan::bench(sample_count = 5, sample_size = 1, args = ["1Pv3<Enter>", "5ccc", "7", "7b", "7l", "7oo", "7/1<Enter>"])]
fn key_until_all_is_there(bencher: Bencher, text: &str) {
    bencher.with_inputs(|| before_last(text)).bench_local_values(|(mut app, mut terminal, last)| {
        app.key(last);
        draw(&mut app, &mut terminal);
        app.settle();
        draw(&mut app, &mut terminal);
        (app, terminal)
    });
}

fn main() {
    divan::main();
}
