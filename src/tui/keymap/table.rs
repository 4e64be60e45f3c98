//! The table of keys.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Action, Screen, parse};

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
const HELD: Scope = Scope::On(&[Screen::Table, Screen::Roc, Screen::PrecisionRecall]);
const CURVES: Scope = Scope::On(&[Screen::Roc, Screen::PrecisionRecall]);
const PLOTS: Scope = Scope::On(&[Screen::Roc, Screen::PrecisionRecall, Screen::Threshold]);
const CUT: Scope = Scope::On(&[Screen::Threshold]);
const CUTS: Scope = Scope::On(&[Screen::Threshold, Screen::Roc, Screen::PrecisionRecall, Screen::Triage]);
const BINS: Scope = Scope::On(&[Screen::Reliability]);
const TRIAGE: Scope = Scope::On(&[Screen::Triage]);
const PICTURES: Scope = Scope::On(&[Screen::Triage, Screen::Picture]);
const ZOOMED: Scope = Scope::On(&[Screen::Triage, Screen::Picture, Screen::Roc, Screen::PrecisionRecall]);
const RUN: Scope = Scope::On(&[Screen::Run]);
const HOME: Scope = Scope::On(&[Screen::Home]);
const LISTS: Scope = Scope::On(&[Screen::Table, Screen::Triage, Screen::Home]);

/// Every key. The panel's own come before those of everywhere.
const KEYS: &[Binding] = &[
    key(&["Left", "h"], Action::Left, "sort by the column before", TABLE),
    key(&["Right", "l"], Action::Right, "sort by the next column", TABLE),
    main(&["r"], Action::Reverse, "turn order", TABLE),
    main(&["g"], Action::Subgroups, "subgroups", TABLE),
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
    main(&["w"], Action::Save, "save", PLOTS),
    main(&["P"], Action::Published, "published table", HELD),
    main(&["b"], Action::Bins, "bins", BINS),
    main(&["e"], Action::Binning, "equal width or count", BINS),
    main(&["c"], Action::Calibrate, "before and after calibration", BINS),
    main(&["f"], Action::Outcome, "FN FP TP TN", TRIAGE),
    main(&["o"], Action::Order, "order", TRIAGE),
    main(&["/"], Action::Search, "search", TRIAGE),
    main(&["w"], Action::Condition, "subgroup", TRIAGE),
    main(&["b"], Action::Blind, "blind", TRIAGE),
    key(&["Enter"], Action::Reveal, "reveal this image", TRIAGE),
    key(&["n"], Action::SamePatient, "patient's other images", TRIAGE),
    main(&["x"], Action::MarkLabel, "label looks wrong", TRIAGE),
    key(&["a"], Action::MarkArtefact, "artefact", TRIAGE),
    key(&["t"], Action::Note, "note", TRIAGE),
    key(&["I"], Action::ChooseImages, "folder of the pictures", TRIAGE),
    main(&["g"], Action::Overlaid, "Grad-CAM", PICTURES),
    key(&["M"], Action::Method, "method of the map", PICTURES),
    key(&["G"], Action::MapLabel, "label of the map", PICTURES),
    key(&["i"], Action::Opacity, "opacity of the map", PICTURES),
    key(&["m"], Action::Colours, "colour map", PICTURES),
    key(&["d"], Action::SideBySide, "side by side", PICTURES),
    key(&["["], Action::Window, "window", PICTURES),
    key(&["]"], Action::Level, "level", PICTURES),
    key(&["+", "="], Action::ZoomIn, "zoom in", PICTURES),
    key(&["-"], Action::ZoomOut, "zoom out", PICTURES),
    key(&["A-Left", "A"], Action::PanLeft, "look to the left", ZOOMED),
    key(&["A-Right", "D"], Action::PanRight, "look to the right", ZOOMED),
    key(&["A-Up", "W"], Action::PanUp, "look up", ZOOMED),
    key(&["A-Down", "S"], Action::PanDown, "look down", ZOOMED),
    main(&["e"], Action::OpenFile, "open a picture", Scope::On(&[Screen::Picture])),
    main(&["Space"], Action::Pause, "pause or go on", RUN),
    main(&["S"], Action::Stop, "stop and keep", RUN),
    main(&["Enter"], Action::Open, "open", HOME),
    main(&["m"], Action::ChooseModel, "model", HOME),
    main(&["d"], Action::ChooseData, "dataset", HOME),
    main(&["v"], Action::ChooseDevice, "device", HOME),
    key(&["i"], Action::ChooseImages, "folder of the dataset's files", HOME),
    main(&["e"], Action::Start, "evaluate", HOME),
    main(&["s"], Action::ChooseSplit, "split", HOME),
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
    fn shifted_letters_and_tabs_are_met() {
        let event = KeyEvent::new(KeyCode::Char('H'), KeyModifiers::SHIFT);
        assert_eq!(action(event, Screen::Threshold), Some(Action::ScoreBelow));
        let event = KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT);
        assert_eq!(action(event, Screen::Home), Some(Action::PreviousScreen));
    }
}
