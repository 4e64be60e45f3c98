//! The terminal UI by key strings, on a screen in memory.

use std::path::{Path, PathBuf};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use roentgen::predictions::{Attribute, Label, Predictions, Truth};
use roentgen::run::{Epoch, PartSize, TRAINING_SCHEMA, Training, TrainingFolder, Validation};
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

    /// Draws until all that drawing asks for is there.
    fn rest(&mut self) -> &mut Self {
        for _ in 0..6 {
            self.draw();
            self.app.settle();
        }
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
    let errors = ui.keys("7").text();
    let text = ui.keys("b").text();
    assert!(errors.contains("errors") && text.contains("239, blind, in no order"), "all rows that count: {text}");
    assert!(errors.contains("scan-") && !text.contains("scan-") && !text.contains("P0"), "names may tell: {text}");
    assert!(ui.keys("f").text().contains("blind: all images are listed"));
    let telling = |text: &str| text.lines().skip(4).any(|l| ["FN ", "FP ", "TP ", "TN "].iter().any(|s| l.contains(s)));
    assert!(!telling(text.rsplit_once('\n').unwrap().0.rsplit_once('\n').unwrap().0), "{text}");
    assert!(text.contains("Enter reveals"));
    let revealed = ui.keys("<Enter>").text();
    assert!(!revealed.contains("Enter reveals") && revealed.contains("scan-"));
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

/// A card of what somebody printed of the table of these tests.
const PRINTED: &str = r#"schema = "roentgen/published/1"
source = "Reader study of 2025"
unit = "image"
n = 239
[[label]]
label = "Pleural Effusion"
n_pos = 47
values = { auroc = "0.93", sensitivity = "0.85", specificity = "0.60", precision = "0.34" }
ci = { sensitivity = ["0.70", "0.95"], specificity = ["0.50", "0.70"] }
"#;

#[test]
fn a_published_table_stands_beside() {
    let mut ui = Driven::new((80, 24), THEME);
    let card = crate::support::put(ui.folder.path(), "card.toml", PRINTED);
    let chooser = ui.keys("1P").text();
    assert!(chooser.contains("arnoweng-improved") && chooser.contains("hold it against no table"), "{chooser}");
    let found = ui.keys("kermany 2018").text();
    assert!(found.contains("Kermany 2018") && !found.contains("arnoweng"), "{found}");
    insta::assert_snapshot!("published-80x24", ui.keys(&format!("<C-u>{card}<Enter>")).text());
    let other = ui.keys("j").text();
    assert!(other.contains("Pneumothorax") && other.contains("Reader study"), "{other}");
    ui.terminal.backend_mut().resize(120, 40);
    insta::assert_snapshot!("published-120x40", ui.keys("k").text());
    ui.terminal.backend_mut().resize(80, 24);
    insta::assert_snapshot!("published-roc", ui.keys("2").text());
    let recall = ui.keys("3").text();
    assert!(recall.contains("a Reader"), "{recall}");
    // A table of other data, and no table at all.
    let other = ui.keys("1Pkermany 2018<Enter>").text();
    assert!(other.contains("nothing of the table can be compared"), "{other}");
    let none = ui.keys("P<Enter>").text();
    assert!(!none.contains("less P") && none.contains("youden"), "{none}");
    assert!(ui.keys("Pno/such.toml<Enter>").text().contains("no/such.toml"));
}

#[test]
fn the_least_certain_come_first() {
    let mut rows = table(0.0);
    let entropies: Vec<String> = (0..240).map(|i| (f64::from(i * 37 % 240) / 100.0).to_string()).collect();
    rows.attributes.push(Attribute { name: "entropy".into(), values: entropies.clone() });
    let mut ui = Driven::new((100, 30), THEME);
    let annotations = ui.folder.path().join("annotations.csv");
    assert!(!ui.keys("7o").text().contains("least certain"), "no column says how sure the model was");
    ui.keys("oo");
    ui.app.show(overview("with entropies", annotations), || Ok(rows));
    ui.app.settle();
    let text = ui.keys("fffff").keys("o").text();
    assert!(text.contains("least certain first"), "{text}");
    let listed: Vec<f64> = text
        .lines()
        .filter_map(|l| l.split("scan-").nth(1)?.get(..3)?.parse::<usize>().ok())
        .map(|i| entropies[i].parse().unwrap())
        .collect();
    assert!(listed.len() > 20 && listed[..20].is_sorted_by(|a, b| a >= b), "{listed:?}");
}

#[test]
fn what_is_probably_wrong_is_told() {
    let mut ui = Driven::new((100, 30), THEME);
    assert!(ui.keys("8").text().contains("outputs checked"), "{}", ui.text());
    let mut rows = table(0.0);
    for score in rows.labels[0].scores.as_mut().unwrap() {
        *score = 1.0 - *score;
    }
    let annotations = ui.folder.path().join("annotations.csv");
    ui.app.show(overview("upside down", annotations), || Ok(rows));
    ui.app.settle();
    for panel in ["8", "1"] {
        let text = ui.keys(panel).text();
        assert!(text.contains("check: labels or scores upside down?"), "{text}");
    }
}

#[test]
fn no_mark_goes_to_an_image_that_nobody_has_seen() {
    let mut ui = Driven::new((100, 30), THEME);
    ui.keys("7");
    for key in keys("fx").unwrap() {
        ui.app.key(key);
    }
    assert!(!ui.folder.path().join("annotations.csv").exists(), "the list is another one by now");
    ui.rest().keys("x");
    assert!(ui.annotations().contains("label-looks-wrong"));
}

#[test]
fn the_pinned_run_on_every_plot() {
    let mut ui = Driven::new((120, 30), THEME);
    let other = crate::support::put(ui.folder.path(), "b.csv", &{
        let mut bytes = Vec::new();
        table(0.1).write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    });
    ui.keys(&format!("4p{other}<Enter>"));
    assert!(ui.text().contains("B (faint): b.csv"), "{}", ui.text());
    let text = ui.keys("5").text();
    assert!(text.contains("□ B: b.csv"), "{text}");
    let ece: Vec<&str> = text.lines().find(|l| l.contains(" ECE ")).unwrap().split_whitespace().rev().take(2).collect();
    assert!(ece[0] != ece[1] && ece.iter().all(|v| v.parse::<f64>().is_ok()), "{ece:?}");
    assert!(ui.keys("c").text().contains("temp."));
    insta::assert_snapshot!("reliability-pinned", ui.text());
}

#[test]
fn labels_are_broken_down() {
    let mut ui = Driven::new((80, 24), THEME);
    insta::assert_snapshot!("subgroups", ui.keys("1g").text());
    assert!(ui.keys("j").text().contains("Pneumothorax by view"));
    assert!(ui.keys("g").text().contains("label"), "after the last attribute come all labels again");
}

#[test]
fn curves_are_zoomed_and_moved() {
    let mut ui = Driven::new((80, 24), THEME);
    let axis =
        |text: String| text.lines().nth(22).unwrap()[..42].split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(axis(ui.keys("2++").text()), ["0.00", "0.06", "0.12", "0.19", "0.25"]);
    assert_eq!(axis(ui.keys("<A-Right><A-Right><A-Left>").text())[0], "0.06");
    assert_eq!(axis(ui.keys("AAAA").text())[0], "0.00", "there is nothing left of 0");
    assert_eq!(axis(ui.keys("--").text())[4], "1.00");
    assert_eq!(axis(ui.keys("3+").text())[0], "0.50", "a perfect model's corner is on the right");
    ui.keys("2w");
    assert!(ui.annotations().contains("threshold,,Effusion,"));
}

#[test]
fn rows_are_chosen_by_clicks() {
    let mut ui = Driven::new((100, 30), THEME);
    let click = |ui: &mut Driven, column, row| {
        ui.draw();
        let kind = MouseEventKind::Down(MouseButton::Left);
        ui.app.mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
        ui.text()
    };
    ui.keys("1");
    assert!(click(&mut ui, 3, 4).contains("| Pneumothorax"));
    ui.keys("2");
    assert!(click(&mut ui, 75, 3).contains("| Effusion"));
    let third = ui.keys("7").text().lines().nth(6).unwrap().split_whitespace().nth(2).unwrap().to_owned();
    let text = click(&mut ui, 3, 6);
    assert!(text.lines().filter(|l| l.contains(&third)).count() == 2, "in the list and under the picture: {text}");
}

#[test]
fn a_stored_run_shows_its_numbers_on_the_first_frame() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("demo");
    crate::support::finished(crate::support::command(["demo", "--headless", "--out"]).arg(&run).output().unwrap()).ok();
    let mut app = App::new(THEME);
    app.open(&run);
    let terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    let mut ui = Driven { app, terminal, folder };
    let first = ui.text();
    assert!(first.contains("macro of 5 labels: AUROC 0.953 [0.933-0.967]"), "{first}");
    // Keys that come before the rows do no harm, and the labels may be walked already.
    for key in keys("j4lyL5bc2o3+7jb0918").unwrap() {
        ui.app.key(key);
        ui.draw();
    }
    ui.app.settle();
    let text = ui.keys("b1").text();
    assert!(text.contains("| Effusion") && !text.contains("does not follow"), "{text}");
    // The numbers stay when they are computed anew; other ones are found out.
    let same = |text: &str| text.lines().skip(2).take(6).map(|l| l.replace('▾', "")).collect::<Vec<_>>();
    assert_eq!(same(&text), same(&first));
    let stored = run.join("evaluation.json");
    let forged = std::fs::read_to_string(&stored).unwrap().replacen("0.9", "0.99", 1);
    std::fs::write(&stored, forged).unwrap();
    ui.app.open(&run);
    ui.app.settle();
    assert!(ui.text().contains("evaluation.json does not follow from predictions.csv"), "{}", ui.text());
}

#[test]
fn the_table_that_was_opened_last_is_shown() {
    let mut ui = Driven::new((100, 30), THEME);
    let annotations = ui.folder.path().join("annotations.csv");
    let (go, wait) = std::sync::mpsc::channel::<()>();
    ui.app.show(overview("slow", annotations.clone()), move || {
        wait.recv().unwrap();
        Ok(table(0.0))
    });
    let mut small = table(0.0);
    small.labels.truncate(1);
    ui.app.show(overview("quick", annotations), move || Ok(small));
    while ui.app.shared.analysis.is_none() {
        ui.app.news();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    go.send(()).unwrap();
    ui.app.settle();
    let text = ui.keys("1").text();
    assert!(text.contains("quick: 240 images") && !text.contains("Pneumothorax"), "{text}");
}

#[test]
fn a_calibrated_run_shows_what_was_before() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("demo");
    crate::support::finished(crate::support::command(["demo", "--headless", "--out"]).arg(&run).output().unwrap()).ok();
    let mut of = Overview::open(&run).unwrap();
    of.stored = None;
    let calibration = roentgen::run::Calibration { sha256: String::new(), content: String::new() };
    of.description.as_mut().unwrap().calibration = Some(calibration);
    let mut rows = roentgen::predictions::read(&of.predictions, None).unwrap();
    for label in &mut rows.labels {
        label.scores.iter_mut().flatten().for_each(|p| *p = p.sqrt());
    }
    let mut app = App::new(THEME);
    app.show(of, move || Ok(rows));
    app.settle();
    let terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    let mut ui = Driven { app, terminal, folder };
    let text = ui.keys("5").text();
    let ece = text.lines().find(|l| l.contains(" ECE ")).unwrap().split(" ECE ").nth(1).unwrap().to_owned();
    let ece: Vec<f64> = ece.split_whitespace().map(|v| v.parse().unwrap()).collect();
    assert!(ece[0] == 0.0207 && ece[1] > 0.1, "the demo's own first: {ece:?}");
    assert!(text.contains("model calibrated"), "{text}");
}

#[test]
fn an_evaluation_is_planned_on_home() {
    let mut ui = Driven::new((120, 40), THEME);
    assert!(ui.keys("9e").text().contains("choose a model (m) and a dataset (d) first"));
    ui.keys("mphantom-densenet<Enter>dphantom<Enter>stest<Enter>i/some/where<Enter>v<C-u>cpu<Enter>");
    let text = ui.text();
    assert!(
        text.contains("model phantom-densenet | dataset phantom | split test | files /some/where | device cpu"),
        "{text}"
    );
    assert!(ui.keys("v<C-u>cuda:1<Enter>").text().contains("this roentgen was built for the CPU only"));
    assert!(ui.keys("m<C-u>no-such<Enter>").text().contains("`no-such`"));
    let last = ui.keys("<End>").text();
    assert!(last.contains("roentgen datasets check") && last.contains("--root FOLDER"), "{last}");
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
fn maps_say_whether_to_trust_them() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("demo");
    crate::support::finished(crate::support::command(["demo", "--headless", "--out"]).arg(&run).output().unwrap()).ok();
    let weights = Overview::open(&run).unwrap().description.unwrap().hashes.weights;
    let trust = |weights: &str| {
        format!(
            r#"{{"weights": "{weights}", "method": "gradcam features.norm5", "rows": [], "trust": [{{"label": "Cardiomegaly",
            "n": 12, "deletion": 0.1, "deletion_random": 0.2, "insertion": 0.3, "insertion_random": 0.2, "road": 0.25,
            "road_random": 0.1, "p_value": 0.05, "correlation_when_random": [0.1, 0.1, 0.1], "badge": "faithful"}}]}}"#
        )
    };
    std::fs::create_dir_all(run.join("explain")).unwrap();
    let mut ui = Driven::new((100, 30), THEME);
    for (of, said) in [(weights.as_str(), "faithful (ROAD 0.250"), ("0123", "its trust is not tested")] {
        crate::support::put(&run.join("explain"), "explanations.json", &trust(of));
        ui.app.open(&run);
        let text = ui.keys("7g").rest().text();
        assert!(text.contains(said), "{text}");
        ui.keys("g");
    }
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
    ui.keys("7").rest();
    let (cells, coloured) = colours(&mut ui);
    assert!(cells > 500 && coloured == 0, "{cells} {coloured}");
    ui.keys("g").rest();
    let (_, coloured) = colours(&mut ui);
    assert!(coloured > 50, "{coloured}\n{}", ui.text());
    assert!(ui.text().contains("gradcam relu of Cardiomegaly"), "{}", ui.text());
    assert!(ui.text().contains("its trust is not tested"), "{}", ui.text());
    for method in ["gradcam++", "hirescam", "input-gradient of", "integrated-gradients of", "gradcam "] {
        ui.keys("M").rest();
        assert!(ui.text().contains(method), "{method}: {}", ui.text());
    }
    let (cells, _) = colours(ui.keys("1"));
    assert_eq!(cells, 0, "no picture stays behind on another panel");
}

#[test]
fn a_training_is_watched_through_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let training = TrainingFolder::new(folder.path());
    let validation = |auroc| Validation {
        loss: 1.0 - auroc,
        auroc,
        average_precision: auroc - 0.01,
        sensitivity: 0.9,
        specificity: 0.8,
    };
    let epoch = |(i, auroc): (usize, f64)| Epoch {
        epoch: i + 1,
        rate: 1e-3 / (i + 1) as f64,
        loss: 0.5 / (i + 1) as f64,
        validation: validation(auroc),
    };
    let part = |name: &str, images| PartSize { name: name.into(), images, patients: images, samples: String::new() };
    let mut log = Training {
        schema: TRAINING_SCHEMA.into(),
        software: "roentgen".into(),
        device: "cpu".into(),
        instructions: "any".into(),
        precision: "f32".into(),
        recipe: "tiny".into(),
        recipe_sha256: String::new(),
        start_sha256: Vec::new(),
        seed: 0,
        epochs_at_most: 4,
        parts: vec![part("train", 80), part("validation", 20)],
        labels: Vec::new(),
        best: Some(2),
        epochs: [0.71, 0.83, 0.82].into_iter().enumerate().map(epoch).collect(),
    };
    std::fs::write(training.log(), log.to_toml().unwrap()).unwrap();
    let mut app = App::new(THEME);
    app.open(folder.path());
    let mut ui = Driven { app, terminal: Terminal::new(TestBackend::new(100, 24)).unwrap(), folder };
    let place = ui.folder.path().display().to_string();
    insta::assert_snapshot!("training", ui.text().replace(&place, "[folder]"));
    log.epochs.push(epoch((3, 0.9)));
    std::fs::write(training.log(), log.to_toml().unwrap()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(800));
    ui.app.tick();
    assert!(ui.text().contains("0.9000"));
}
