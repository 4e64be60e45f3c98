//! The terminal UI over a finished run of 25,000 images and 14 labels, drawn into memory.

use std::sync::OnceLock;

use divan::{Bencher, black_box};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use roentgen::metrics::rng::Rng;
use roentgen::predictions::{Label, Predictions, Truth};
use roentgen::tui::analysis::Analysis;
use roentgen::tui::app::App;
use roentgen::tui::keymap::keys;
use roentgen::tui::theme::{Theme, Tone};

const ROWS: usize = 25_000;
const PATIENTS: usize = 6_000;
const THEME: Theme = Theme { tone: Tone::Dark, ascii: false, truecolor: true };

fn predictions() -> Predictions {
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
        Label { name: format!("Finding {i}"), truths: Some(truths), logits: None, scores: Some(scores) }
    };
    Predictions {
        labels: (0..14).map(&mut label).collect(),
        images: (0..ROWS).map(|i| format!("images/{i:08}.png")).collect(),
        patients: Some((0..ROWS).map(|i| format!("{}", i * 7 % PATIENTS)).collect()),
        ..Predictions::default()
    }
}

/// `predictions.csv` of the run, as a run writes it.
fn file() -> &'static std::path::Path {
    static FILE: OnceLock<(tempfile::TempDir, std::path::PathBuf)> = OnceLock::new();
    let (_, path) = FILE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        let mut bytes = Vec::new();
        predictions().write(&mut bytes).unwrap();
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    });
    path
}

fn opened() -> (App, Terminal<TestBackend>) {
    let mut app = App::new(THEME);
    app.open(file().to_owned());
    app.settle();
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    terminal.draw(|frame| app.draw(frame)).unwrap();
    (app, terminal)
}

/// From nothing to the first frame; the table is read on another thread meanwhile.
#[divan::bench(sample_count = 10)]
fn first_frame(bencher: Bencher) {
    file();
    bencher.bench_local(|| {
        let mut app = App::new(THEME);
        app.open(file().to_owned());
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
        terminal.draw(|frame| app.draw(frame)).unwrap();
        (app, terminal)
    });
}

/// From nothing to the metrics of all labels on the screen.
#[divan::bench(sample_count = 5)]
fn first_numbers(bencher: Bencher) {
    file();
    bencher.bench_local(opened);
}

/// Evaluating and sorting alone, without reading the file.
#[divan::bench(sample_count = 5)]
fn evaluating(bencher: Bencher) {
    let table = predictions();
    let of = || Analysis::of("bench".into(), "annotations.csv".into(), None, black_box(table.clone()));
    bencher.bench_local(|| of().unwrap());
}

/// One key and the frame after it, on each panel.
#[divan::bench(args = ["1j", "2j", "2o", "3j", "4l", "4L", "4j", "5j", "5b", "6j", "7j", "7l", "7J"])]
fn key(bencher: Bencher, text: &str) {
    let (mut app, mut terminal) = opened();
    let found = keys(text).unwrap();
    let (first, rest) = found.split_first().unwrap();
    app.key(*first);
    terminal.draw(|frame| app.draw(frame)).unwrap();
    bencher.bench_local(|| {
        rest.iter().for_each(|key| app.key(*key));
        terminal.draw(|frame| app.draw(frame)).unwrap();
    });
}

fn main() {
    divan::main();
}
