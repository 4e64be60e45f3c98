//! What every key does, as data: the help, the command bar and the palette are made from this table.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Screen {
    /// Labels and their metrics.
    Table,
    /// ROC curves.
    Roc,
    /// Precision-recall curves.
    PrecisionRecall,
    /// What a threshold does.
    Threshold,
    /// Are the probabilities true?
    Reliability,
    /// How truths and scores are spread.
    Distribution,
    /// The errors, one by one.
    Triage,
    /// Inference as it goes.
    Run,
    /// Runs, models, datasets.
    Home,
    /// One picture of any file.
    Picture,
}

impl Screen {
    /// All, in the order of their number keys (the last is 0).
    pub const ALL: [Self; 10] = [
        Self::Table,
        Self::Roc,
        Self::PrecisionRecall,
        Self::Threshold,
        Self::Reliability,
        Self::Distribution,
        Self::Triage,
        Self::Run,
        Self::Home,
        Self::Picture,
    ];

    /// Its name in the tab line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "Table",
            Self::Roc => "ROC",
            Self::PrecisionRecall => "PR",
            Self::Threshold => "Threshold",
            Self::Reliability => "Reliability",
            Self::Distribution => "Distribution",
            Self::Triage => "Triage",
            Self::Run => "Run",
            Self::Home => "Home",
            Self::Picture => "Picture",
        }
    }

    /// The same where there is little room.
    pub fn short(self) -> &'static str {
        match self {
            Self::Threshold => "Thresh",
            Self::Reliability => "Calib",
            Self::Distribution => "Dist",
            Self::Picture => "Pic",
            other => other.name(),
        }
    }
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave the program.
    Quit,
    /// Give the terminal back to the shell for a while.
    Suspend,
    /// Show the keys.
    Help,
    /// Find a command by name.
    Palette,
    /// Dark, light, no colours.
    Theme,
    /// Unicode or ASCII.
    Ascii,
    /// Draw everything anew.
    Redraw,
    /// Go to a panel.
    Go(Screen),
    /// The next panel.
    NextScreen,
    /// The panel before.
    PreviousScreen,
    /// One up in a list; the label before.
    Up,
    /// One down in a list; the next label.
    Down,
    /// The label before, also where rows are listed.
    PreviousLabel,
    /// The next label.
    NextLabel,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first.
    First,
    /// The last.
    Last,
    /// To the left: a lower threshold, the column before.
    Left,
    /// To the right.
    Right,
    /// To the score just below.
    ScoreBelow,
    /// To the score just above.
    ScoreAbove,
    /// Open what is selected.
    Open,
    /// Closer.
    ZoomIn,
    /// Farther.
    ZoomOut,
    /// One label or all of them.
    Overlay,
    /// Turn the order round.
    Reverse,
    /// The threshold of Youden's index.
    Youden,
    /// The threshold of the best F1.
    BestF1,
    /// The threshold of a sensitivity.
    Sensitivity,
    /// The threshold of a specificity.
    Specificity,
    /// A prevalence other than the data's.
    Prevalence,
    /// Keep the threshold in annotations.csv.
    Save,
    /// Another number of bins.
    Bins,
    /// Equal width or equal count.
    Binning,
    /// Before and after calibration.
    Calibrate,
    /// The next kind of calls: FN, FP, TP, TN.
    Outcome,
    /// Another order.
    Order,
    /// Rows whose text holds something.
    Search,
    /// Rows that meet a condition.
    Condition,
    /// Hide truths and predictions.
    Blind,
    /// Show them for this image.
    Reveal,
    /// The next image of the same patient.
    SamePatient,
    /// The label looks wrong.
    MarkLabel,
    /// An artefact in the picture.
    MarkArtefact,
    /// A note in words.
    Note,
    /// Grad-CAM over the picture.
    Overlaid,
    /// Another label for the map.
    MapLabel,
    /// More or less of the map.
    Opacity,
    /// Another colour map.
    Colours,
    /// Picture and map beside each other.
    SideBySide,
    /// A wider or narrower window.
    Window,
    /// A brighter or darker level.
    Level,
    /// Move the picture's part that is shown.
    PanLeft,
    /// See `PanLeft`.
    PanRight,
    /// See `PanLeft`.
    PanUp,
    /// See `PanLeft`.
    PanDown,
    /// Hold a run, or let it go on.
    Pause,
    /// Stop a run; what is done is kept.
    Stop,
    /// Choose the model.
    ChooseModel,
    /// Choose the dataset.
    ChooseData,
    /// Choose the folder of the pictures.
    ChooseImages,
    /// Choose the split.
    ChooseSplit,
    /// Start an evaluation.
    Start,
    /// Compare with another run.
    Pin,
    /// Look at the folders again.
    Refresh,
    /// Open a picture file.
    OpenFile,
}

/// Where keys mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// On every panel.
    Everywhere,
    /// On these.
    On(&'static [Screen]),
}

/// Keys, what they do and what is said about it.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// As [`parse`] reads them; any of them will do.
    pub keys: &'static [&'static str],
    /// What is done.
    pub action: Action,
    /// In a few words.
    pub says: &'static str,
    /// Where.
    pub scope: Scope,
    /// Whether it stands in the command bar.
    pub bar: bool,
}

const fn key(keys: &'static [&'static str], action: Action, says: &'static str, scope: Scope) -> Binding {
    Binding { keys, action, says, scope, bar: false }
}

/// One that stands in the command bar too.
const fn main(keys: &'static [&'static str], action: Action, says: &'static str, scope: Scope) -> Binding {
    Binding { keys, action, says, scope, bar: true }
}

const TABLE: Scope = Scope::On(&[Screen::Table]);
const CURVES: Scope = Scope::On(&[Screen::Roc, Screen::PrecisionRecall]);
const PLOTS: Scope = Scope::On(&[Screen::Roc, Screen::PrecisionRecall, Screen::Threshold]);
const CUT: Scope = Scope::On(&[Screen::Threshold]);
const CUTS: Scope = Scope::On(&[Screen::Threshold, Screen::Roc, Screen::PrecisionRecall, Screen::Triage]);
const BINS: Scope = Scope::On(&[Screen::Reliability]);
const TRIAGE: Scope = Scope::On(&[Screen::Triage]);
const PICTURES: Scope = Scope::On(&[Screen::Triage, Screen::Picture]);
const RUN: Scope = Scope::On(&[Screen::Run]);
const HOME: Scope = Scope::On(&[Screen::Home]);
const LISTS: Scope = Scope::On(&[Screen::Table, Screen::Triage, Screen::Home]);

/// Every key. The panel's own come before those of everywhere.
pub const KEYS: &[Binding] = &[
    key(&["Left", "h"], Action::Left, "sort by the column before", TABLE),
    key(&["Right", "l"], Action::Right, "sort by the next column", TABLE),
    main(&["r"], Action::Reverse, "turn the order (Left and Right: sort by)", TABLE),
    main(&["o"], Action::Overlay, "one or all labels", CURVES),
    key(&["Left", "h"], Action::Left, "lower threshold", CUTS),
    key(&["Right", "l"], Action::Right, "higher threshold", CUTS),
    key(&["S-Left", "H"], Action::ScoreBelow, "next score below", CUTS),
    key(&["S-Right", "L"], Action::ScoreAbove, "next score above", CUTS),
    key(&["+", "="], Action::ZoomIn, "zoom in", PLOTS),
    key(&["-"], Action::ZoomOut, "zoom out", PLOTS),
    main(&["y"], Action::Youden, "Youden", CUT),
    main(&["s"], Action::Sensitivity, "sens >= x", CUT),
    main(&["c"], Action::Specificity, "spec >= x", CUT),
    main(&["f"], Action::BestF1, "best F1", CUT),
    main(&["v"], Action::Prevalence, "prevalence", CUT),
    main(&["w"], Action::Save, "save", CUT),
    main(&["b"], Action::Bins, "bins", BINS),
    main(&["e"], Action::Binning, "equal width or count", BINS),
    main(&["c"], Action::Calibrate, "before and after calibration", BINS),
    main(&["f"], Action::Outcome, "FN FP TP TN", TRIAGE),
    main(&["o"], Action::Order, "order", TRIAGE),
    main(&["/"], Action::Search, "search", TRIAGE),
    key(&["w"], Action::Condition, "condition, as view=PA", TRIAGE),
    main(&["b"], Action::Blind, "blind", TRIAGE),
    key(&["Enter"], Action::Reveal, "reveal this image", TRIAGE),
    key(&["n"], Action::SamePatient, "patient's other images", TRIAGE),
    main(&["x"], Action::MarkLabel, "label looks wrong", TRIAGE),
    key(&["a"], Action::MarkArtefact, "artefact", TRIAGE),
    key(&["t"], Action::Note, "note", TRIAGE),
    main(&["g"], Action::Overlaid, "Grad-CAM", PICTURES),
    key(&["G"], Action::MapLabel, "label of the map", PICTURES),
    key(&["i"], Action::Opacity, "opacity of the map", PICTURES),
    key(&["m"], Action::Colours, "colour map", PICTURES),
    key(&["d"], Action::SideBySide, "side by side", PICTURES),
    key(&["["], Action::Window, "window", PICTURES),
    key(&["]"], Action::Level, "level", PICTURES),
    key(&["+", "="], Action::ZoomIn, "zoom in", PICTURES),
    key(&["-"], Action::ZoomOut, "zoom out", PICTURES),
    key(&["A-Left", "A"], Action::PanLeft, "picture to the left", PICTURES),
    key(&["A-Right", "D"], Action::PanRight, "picture to the right", PICTURES),
    key(&["A-Up", "W"], Action::PanUp, "picture up", PICTURES),
    key(&["A-Down", "S"], Action::PanDown, "picture down", PICTURES),
    main(&["e"], Action::OpenFile, "open a picture", Scope::On(&[Screen::Picture])),
    main(&["Space"], Action::Pause, "pause or go on", RUN),
    main(&["S"], Action::Stop, "stop and keep", RUN),
    main(&["Enter"], Action::Open, "open", HOME),
    main(&["m"], Action::ChooseModel, "model", HOME),
    main(&["d"], Action::ChooseData, "dataset", HOME),
    main(&["s"], Action::ChooseSplit, "split", HOME),
    key(&["i"], Action::ChooseImages, "folder of the dataset's files", HOME),
    main(&["e"], Action::Start, "evaluate", HOME),
    key(&["r"], Action::Refresh, "look again", HOME),
    key(&["p"], Action::Pin, "pin another run for comparison", Scope::Everywhere),
    key(&["Up", "k"], Action::Up, "label or row above", Scope::Everywhere),
    key(&["Down", "j"], Action::Down, "label or row below", Scope::Everywhere),
    key(&["K", ","], Action::PreviousLabel, "label before", Scope::Everywhere),
    key(&["J", "."], Action::NextLabel, "next label", Scope::Everywhere),
    key(&["PageUp"], Action::PageUp, "page up", LISTS),
    key(&["PageDown"], Action::PageDown, "page down", LISTS),
    key(&["Home"], Action::First, "first", LISTS),
    key(&["End"], Action::Last, "last", LISTS),
    key(&["1"], Action::Go(Screen::Table), "metrics of all labels", Scope::Everywhere),
    key(&["2"], Action::Go(Screen::Roc), "ROC curves", Scope::Everywhere),
    key(&["3"], Action::Go(Screen::PrecisionRecall), "precision-recall curves", Scope::Everywhere),
    key(&["4"], Action::Go(Screen::Threshold), "threshold trade-off", Scope::Everywhere),
    key(&["5"], Action::Go(Screen::Reliability), "reliability", Scope::Everywhere),
    key(&["6"], Action::Go(Screen::Distribution), "distribution", Scope::Everywhere),
    key(&["7"], Action::Go(Screen::Triage), "triage of errors", Scope::Everywhere),
    key(&["8"], Action::Go(Screen::Run), "the run as it goes", Scope::Everywhere),
    key(&["9"], Action::Go(Screen::Home), "runs, models, datasets", Scope::Everywhere),
    key(&["0"], Action::Go(Screen::Picture), "a single picture", Scope::Everywhere),
    key(&["Tab"], Action::NextScreen, "next panel", Scope::Everywhere),
    key(&["S-Tab"], Action::PreviousScreen, "panel before", Scope::Everywhere),
    key(&["C-t"], Action::Theme, "dark, light, no colours", Scope::Everywhere),
    key(&["C-a"], Action::Ascii, "Unicode or ASCII", Scope::Everywhere),
    key(&["C-l"], Action::Redraw, "draw anew", Scope::Everywhere),
    key(&["C-z"], Action::Suspend, "suspend", Scope::Everywhere),
    main(&[":"], Action::Palette, "commands", Scope::Everywhere),
    main(&["?"], Action::Help, "help", Scope::Everywhere),
    main(&["q", "C-c"], Action::Quit, "quit", Scope::Everywhere),
];

impl Binding {
    /// Whether it holds on `screen`.
    pub fn holds_on(&self, screen: Screen) -> bool {
        match self.scope {
            Scope::Everywhere => true,
            Scope::On(screens) => screens.contains(&screen),
        }
    }
}

/// The bindings that hold on `screen`.
pub fn on(screen: Screen) -> impl Iterator<Item = &'static Binding> {
    KEYS.iter().filter(move |b| b.holds_on(screen))
}

/// What `event` asks for on `screen`.
pub fn action(event: KeyEvent, screen: Screen) -> Option<Action> {
    let same = |name: &str| parse(name).is_some_and(|k| normal(k) == normal(event));
    on(screen).find(|b| b.keys.iter().any(|k| same(k))).map(|b| b.action)
}

/// Code and modifiers alone; Shift is in a character already.
fn normal(event: KeyEvent) -> (KeyCode, KeyModifiers) {
    match event.code {
        KeyCode::Char(_) | KeyCode::BackTab => (event.code, event.modifiers - KeyModifiers::SHIFT),
        code => (code, event.modifiers),
    }
}

/// The key that a name stands for: a character, `Enter`, `Left` and so on, with `S-`, `C-`, `A-` before it for Shift,
/// Control, Alt.
pub fn parse(name: &str) -> Option<KeyEvent> {
    let mut modifiers = KeyModifiers::NONE;
    let mut rest = name;
    for (prefix, modifier) in [("C-", KeyModifiers::CONTROL), ("A-", KeyModifiers::ALT), ("S-", KeyModifiers::SHIFT)] {
        if let Some(after) = rest.strip_prefix(prefix) {
            modifiers |= modifier;
            rest = after;
        }
    }
    let code = match rest {
        "Tab" if modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        "Tab" => KeyCode::Tab,
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Space" => KeyCode::Char(' '),
        "Backspace" => KeyCode::Backspace,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "PageUp" => KeyCode::PageUp,
        "PageDown" => KeyCode::PageDown,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        one => {
            let mut letters = one.chars();
            let code = KeyCode::Char(letters.next()?);
            letters.next().is_none().then_some(code)?
        }
    };
    Some(KeyEvent::new(code, modifiers))
}

/// The keys behind bytes that a terminal has sent: characters, control characters and arrows. Other sequences are
/// dropped.
pub fn typed(bytes: &str) -> Vec<KeyEvent> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(first) = rest.chars().next() {
        let sequence = rest.strip_prefix("\x1b[").or_else(|| rest.strip_prefix("\x1bO"));
        if let Some(sequence) = sequence {
            let end = sequence.find(|c: char| c.is_ascii_alphabetic() || c == '~').unwrap_or(sequence.len());
            let name = match &sequence[..(end + 1).min(sequence.len())] {
                "A" => "Up",
                "B" => "Down",
                "C" => "Right",
                "D" => "Left",
                _ => "",
            };
            found.extend(parse(name));
            rest = sequence.get(end + 1..).unwrap_or_default();
            continue;
        }
        rest = &rest[first.len_utf8()..];
        found.extend(match first {
            '\r' | '\n' => parse("Enter"),
            '\t' => parse("Tab"),
            '\x1b' => parse("Esc"),
            '\x7f' => parse("Backspace"),
            '\x01'..='\x1a' => {
                Some(KeyEvent::new(KeyCode::Char((b'a' + first as u8 - 1) as char), KeyModifiers::CONTROL))
            }
            c if c.is_control() => None,
            c => Some(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)),
        });
    }
    found
}

/// The keys of a text such as `jj<Tab>0.9<Enter>`: characters, and names in angle brackets. `None` for a name that is no
/// key.
pub fn keys(text: &str) -> Option<Vec<KeyEvent>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match rest
            .strip_prefix('<')
            .and_then(|r| r.split_once('>'))
            .filter(|(name, _)| name.len() > 1 && !name.contains('<'))
        {
            Some((name, after)) => {
                found.push(parse(name)?);
                rest = after;
            }
            None => {
                found.push(KeyEvent::new(KeyCode::Char(first), KeyModifiers::NONE));
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_key_has_a_name_and_one_meaning_a_panel() {
        for screen in Screen::ALL {
            let mut seen = HashSet::new();
            for name in on(screen).flat_map(|b| b.keys) {
                let key = parse(name).unwrap_or_else(|| panic!("`{name}` is no key"));
                assert!(seen.insert(normal(key)), "`{name}` stands twice on {}", screen.name());
            }
        }
    }

    #[test]
    fn names_in_text() {
        let found = keys("a<C-c><<Enter>").unwrap();
        let codes: Vec<_> = found.iter().map(|k| k.code).collect();
        assert_eq!(codes, [KeyCode::Char('a'), KeyCode::Char('c'), KeyCode::Char('<'), KeyCode::Enter]);
        assert_eq!(found[1].modifiers, KeyModifiers::CONTROL);
        assert!(keys("<Nokey>").is_none());
    }

    #[test]
    fn bytes_that_came_early() {
        let found = typed("j\r\x1b[A\x1b[5~\x03");
        let wanted = [parse("j"), parse("Enter"), parse("Up"), parse("C-c")].map(Option::unwrap);
        assert_eq!(found, wanted);
    }

    #[test]
    fn shifted_letters_and_tabs_are_met() {
        let event = KeyEvent::new(KeyCode::Char('H'), KeyModifiers::SHIFT);
        assert_eq!(action(event, Screen::Threshold), Some(Action::ScoreBelow));
        let event = KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT);
        assert_eq!(action(event, Screen::Home), Some(Action::PreviousScreen));
    }
}
