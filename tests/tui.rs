//! The terminal UI by key strings, on a screen in memory.

use std::path::{Path, PathBuf};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use roentgen::predictions::{Attribute, Label, Predictions, Truth};
use roentgen::tui::analysis::Overview;
use roentgen::tui::app::{App, Wish};
use roentgen::tui::keymap::keys;
use roentgen::tui::theme::{Theme, Tone};

const THEME: Theme = Theme { tone: Tone::Dark, ascii: false, truecolor: true };

/// Two findings over 240 images of 120 patients, made by arithmetic alone.
fn table(shift: f64) -> Predictions {
    let label = |name: &str, every: usize, noise: usize| {
        let positive = |i: usize| (i * 7).is_multiple_of(every);
        let score = |i: usize| {
            let wobble = (i * noise % 97) as f64 / 97.0;
            (0.55 * wobble + if positive(i) { 0.4 + shift } else { 0.05 }).min(0.99)
        };
        let truth = |i| match i {
            3 => Truth::Uncertain,
            5 => Truth::Unmentioned,
            _ if positive(i) => Truth::Positive,
            _ => Truth::Negative,
        };
        Label {
            name: name.into(),
            truths: Some((0..240).map(truth).collect()),
            logits: None,
            scores: Some((0..240).map(score).collect()),
        }
    };
    let views = (0..240).map(|i| if i % 3 == 0 { "AP" } else { "PA" }.to_owned()).collect();
    Predictions {
        images: (0..240).map(|i| format!("scan-{i:03}.png")).collect(),
        patients: Some((0..240).map(|i| format!("P{:03}", i / 2)).collect()),
        studies: None,
        attributes: vec![Attribute { name: "view".into(), values: views }],
        labels: vec![label("Effusion", 5, 31), label("Pneumothorax", 30, 53)],
    }
}

/// A table that no run stands behind.
fn overview(name: &str, annotations: PathBuf) -> Overview {
    Overview { name: name.into(), predictions: PathBuf::new(), annotations, description: None, stored: None }
}

struct Driven {
    app: App,
    terminal: Terminal<TestBackend>,
    folder: tempfile::TempDir,
}

impl Driven {
    fn new((width, height): (u16, u16), theme: Theme) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut app = App::new(theme);
        let annotations = folder.path().join("annotations.csv");
        app.show(overview("model on data", annotations), || Ok(table(0.0)));
        app.settle();
        let terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        Self { app, terminal, folder }
    }

    fn keys(&mut self, text: &str) -> &mut Self {
        for key in keys(text).unwrap() {
            self.app.key(key);
            self.draw();
            self.app.settle();
        }
        self.draw();
        self
    }

    fn draw(&mut self) -> &Buffer {
        self.terminal.draw(|frame| self.app.draw(frame)).unwrap();
        self.terminal.backend().buffer()
    }

    fn text(&mut self) -> String {
        let buffer = self.draw().clone();
        let row = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..buffer.area.height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
    }

    fn annotations(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("annotations.csv")).unwrap()
    }
}

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

#[test]
fn every_panel_at_three_sizes() {
    for size in SIZES {
        let mut ui = Driven::new(size, THEME);
        for (key, name) in [
            ("1", "table"),
            ("2", "roc"),
            ("3", "pr"),
            ("4", "threshold"),
            ("5", "reliability"),
            ("6", "distribution"),
            ("7", "triage"),
        ] {
            let text = ui.keys(key).text();
            insta::assert_snapshot!(format!("{name}-{}x{}", size.0, size.1), text);
        }
    }
}

#[test]
fn plain_ascii_has_nothing_else() {
    let mut ui = Driven::new((80, 24), Theme { tone: Tone::Plain, ascii: true, truecolor: false });
    for key in ["1", "2", "o", "3", "4", "5", "c", "6", "7", "?", "<Esc>", ":", "<Esc>", "9", "8", "0"] {
        let text = ui.keys(key).text();
        assert!(text.is_ascii(), "{key}: {text}");
        let coloured = ui.draw().content.iter().filter(|c| c.fg != ratatui::style::Color::Reset).count();
        assert_eq!(coloured, 0, "{key}");
    }
}

#[test]
fn a_small_terminal_is_told_what_is_missing() {
    let mut ui = Driven::new((70, 20), THEME);
    assert!(ui.text().contains("needs 80x24 cells; 10 columns and 4 rows are missing"), "{}", ui.text());
    ui.terminal.backend_mut().resize(80, 24);
    ui.keys("1");
    assert!(ui.text().contains("AUROC"));
}

#[test]
fn thresholds_follow_keys_rules_and_the_mouse() {
    let mut ui = Driven::new((100, 30), THEME);
    let counts = |ui: &mut Driven| {
        let text = ui.text();
        let row = |name: &str| {
            let line = text.lines().find(|l| l.contains(name) && l.contains(" T")).unwrap().to_owned();
            let after = line.split(name).nth(1).unwrap().to_owned();
            after.split_whitespace().filter_map(|w| w.parse::<u32>().ok()).collect::<Vec<_>>()
        };
        (row("positive"), row("negative"))
    };
    ui.keys("4s<C-u>1.0<Enter>");
    let (positive, negative) = counts(&mut ui);
    assert_eq!((positive[1], positive[0] + positive[1]), (0, 47), "sensitivity 1 misses none");
    assert_eq!(negative.iter().sum::<u32>(), 192, "the uncertain one is left out, the silent one negative");
    let before = ui.app.shared.thresholds[0];
    ui.keys("L");
    assert!(ui.app.shared.thresholds[0] > before);
    assert_eq!(counts(&mut ui).0[1], 1, "the next score above gives up one positive");
    ui.keys("H");
    assert_eq!(ui.app.shared.thresholds[0], before);
    ui.keys("lh");
    ui.app.mouse(MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column: 5,
        row: 6,
        modifiers: KeyModifiers::NONE,
    });
    assert_eq!(ui.app.shared.thresholds[0], 0.0, "the left end of the axis");
    assert_eq!(counts(&mut ui).0, [47, 0]);
    ui.keys("s<C-u>2<Enter>");
    assert!(ui.text().contains("`2` is no share between 0 and 1"), "{}", ui.text());
}

#[test]
fn thresholds_are_kept_and_found_again() {
    let mut ui = Driven::new((100, 30), THEME);
    ui.keys("4jyw");
    let kept = ui.app.shared.thresholds[1];
    assert_eq!(ui.annotations(), format!("kind,image,label,value,note\nthreshold,,Pneumothorax,{kept},youden\n"));
    let annotations = ui.folder.path().join("annotations.csv");
    ui.keys("h");
    ui.app.show(overview("again", annotations), || Ok(table(0.0)));
    ui.app.settle();
    assert_eq!(ui.app.shared.thresholds[1], kept);
}

#[test]
fn prevalence_moves_predictive_values_only() {
    let mut ui = Driven::new((100, 30), THEME);
    let line = |text: &str, name: &str| text.lines().find(|l| l.contains(name)).unwrap().to_owned();
    let before = ui.keys("4").text();
    let after = ui.keys("v0.01<Enter>").text();
    let right = |l: String| l.chars().skip(68).collect::<String>();
    assert_eq!(right(line(&before, "S sens")), right(line(&after, "S sens")));
    assert_ne!(right(line(&before, "P PPV")), right(line(&after, "P PPV")));
    assert!(after.contains("where used    0.0100"), "{after}");
}

#[test]
fn triage_filters_searches_and_marks() {
    let mut ui = Driven::new((100, 30), THEME);
    let errors = |text: &str| text.lines().nth(3).unwrap().split_whitespace().next().unwrap().parse::<usize>().unwrap();
    let all = errors(&ui.keys("7").text());
    let misses = errors(&ui.keys("f").text());
    let alarms = errors(&ui.keys("f").text());
    assert_eq!(misses + alarms, all);
    let ap = errors(&ui.keys("wview=AP<Enter>").text());
    assert!(ap < alarms && ui.text().contains("only view=AP"));
    ui.keys("w<C-u>sex=F<Enter>");
    assert!(ui.text().contains("no column sex"), "{}", ui.text());
    let found = ui.keys("w<C-u><Enter>ffff/scan-01<Enter>").text();
    assert!(found.lines().skip(5).filter(|l| l.starts_with("F")).all(|l| l.contains("scan-01")), "{found}");
    ui.keys("xtsee left apex<Enter>");
    insta::assert_snapshot!("triage-annotations", ui.annotations());
    ui.keys("x");
    assert!(!ui.annotations().contains("label-looks-wrong"));
}

#[test]
fn blind_reading_tells_nothing_until_asked() {
    let mut ui = Driven::new((100, 30), THEME);
    let text = ui.keys("7b").text();
    let telling = |text: &str| text.lines().skip(4).any(|l| ["FN ", "FP ", "TP ", "TN "].iter().any(|s| l.contains(s)));
    assert!(!telling(text.rsplit_once('\n').unwrap().0.rsplit_once('\n').unwrap().0), "{text}");
    assert!(text.contains("Enter reveals"));
    assert!(!ui.keys("<Enter>").text().contains("Enter reveals"));
    assert!(ui.keys("j").text().contains("Enter reveals"));
}

#[test]
fn the_patients_other_images() {
    let mut ui = Driven::new((100, 30), THEME);
    let image = |text: &str| text.lines().find(|l| l.contains(", image ")).unwrap().to_owned();
    let before = image(&ui.keys("7").text());
    let after = image(&ui.keys("n").text());
    assert_ne!(before, after);
    assert_eq!(image(&ui.keys("n").text()), before);
}

#[test]
fn a_second_run_is_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("b.csv");
    let mut bytes = Vec::new();
    table(0.1).write(&mut bytes).unwrap();
    std::fs::write(&other, bytes).unwrap();
    let mut ui = Driven::new((120, 30), THEME);
    ui.keys(&format!("1p{}<Enter>", other.display()));
    let text = ui.text();
    assert!(text.contains("less B"), "{text}");
    let effusion = text.lines().find(|l| l.starts_with("Effusion")).unwrap();
    assert!(effusion.contains(" -0.0"), "{effusion}");
    assert!(ui.keys("2").text().contains("A-B"));
    assert!(ui.keys("7o").text().contains("runs differ most first"));
    assert!(!ui.keys("p1").text().contains("less B"));
    ui.keys("pno/such/file<Enter>");
    assert!(ui.text().contains("no/such/file"));
}

#[test]
fn help_and_palette_come_from_the_key_map() {
    let mut ui = Driven::new((100, 45), THEME);
    insta::assert_snapshot!("help", ui.keys("4?").text());
    assert!(ui.keys("<Esc>:net").text().contains("commands"));
    ui.keys("<Esc>:reliab<Enter>");
    assert!(ui.text().contains("ECE"));
    assert_eq!(ui.keys("q").app.wish(), Some(Wish::Quit));
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let mut app = App::new(THEME);
    app.open(Path::new("no/such/run.csv"));
    app.settle();
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| app.draw(frame)).unwrap();
    assert!(format!("{}", terminal.backend()).contains("error: no/such/run.csv"));
}

#[test]
fn pictures_of_the_demo_with_their_maps() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("demo");
    crate::support::finished(crate::support::command(["demo", "--headless", "--out"]).arg(&run).output().unwrap()).ok();
    let mut app = App::new(THEME);
    app.open(&run);
    app.settle();
    let terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    let mut ui = Driven { app, terminal, folder };
    let colours = |ui: &mut Driven| {
        let blocks = ui.draw().content.iter().filter(|c| c.symbol() == "▀").map(|c| c.fg);
        let gray = |c: &ratatui::style::Color| matches!(c, ratatui::style::Color::Rgb(r, g, b) if r == g && g == b);
        let all: Vec<_> = blocks.collect();
        (all.len(), all.iter().filter(|c| !gray(c)).count())
    };
    ui.keys("7").keys("");
    ui.app.settle();
    let (cells, coloured) = colours(&mut ui);
    assert!(cells > 500 && coloured == 0, "{cells} {coloured}");
    ui.keys("g");
    ui.app.settle();
    let (_, coloured) = colours(&mut ui);
    assert!(coloured > 50, "{coloured}\n{}", ui.text());
    assert!(ui.text().contains("Grad-CAM of Cardiomegaly"), "{}", ui.text());
    let (cells, _) = colours(ui.keys("1"));
    assert_eq!(cells, 0, "no picture stays behind on another panel");
}
