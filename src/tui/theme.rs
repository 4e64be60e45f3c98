//! Colours and signs: dark, light or none (`NO_COLOR`), Unicode or ASCII. Nothing is told by colour alone, and red never
//! stands against green.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::symbols::border;

/// What the background is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Light text on a dark background.
    Dark,
    /// Dark text on a light background.
    Light,
    /// No colours at all.
    Plain,
}

/// How everything looks.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    /// The background.
    pub tone: Tone,
    /// Whether only ASCII is drawn.
    pub ascii: bool,
    /// Whether the terminal takes 24-bit colours, else 256.
    pub truecolor: bool,
}

/// Curves, in an order in which neighbours differ for every kind of colour vision (after Okabe & Ito 2008).
const DARK: [u8; 8] = [214, 75, 43, 220, 177, 117, 209, 250];
const LIGHT: [u8; 8] = [166, 25, 29, 136, 90, 31, 131, 240];

impl Theme {
    /// What the environment asks for: `NO_COLOR`, `COLORFGBG` (its last number 7 or 15: light), `COLORTERM`, and the locale.
    pub fn from_env() -> Self {
        let of = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let locale = of("LC_ALL").or_else(|| of("LC_CTYPE")).or_else(|| of("LANG")).unwrap_or_default().to_lowercase();
        let background = of("COLORFGBG").and_then(|v| v.rsplit(';').next()?.parse().ok());
        let tone = match (of("NO_COLOR"), background) {
            (Some(_), _) => Tone::Plain,
            (None, Some(7 | 15)) => Tone::Light,
            _ => Tone::Dark,
        };
        let truecolor = of("COLORTERM").is_some_and(|v| v.contains("truecolor") || v.contains("24bit"));
        Self { tone, ascii: !(locale.contains("utf-8") || locale.contains("utf8")), truecolor }
    }

    /// The next of dark, light and none.
    pub fn cycle(&mut self) {
        self.tone = match self.tone {
            Tone::Dark => Tone::Light,
            Tone::Light => Tone::Plain,
            Tone::Plain => Tone::Dark,
        };
    }

    fn colour(&self, dark: u8, light: u8) -> Color {
        match self.tone {
            Tone::Dark => Color::Indexed(dark),
            Tone::Light => Color::Indexed(light),
            Tone::Plain => Color::Reset,
        }
    }

    /// The colour of curve `i`.
    pub fn curve(&self, i: usize) -> Color {
        self.colour(DARK[i % DARK.len()], LIGHT[i % LIGHT.len()])
    }

    /// Of positives and of what is wrong: orange.
    pub fn orange(&self) -> Color {
        self.curve(0)
    }

    /// Of negatives and of what is right: blue.
    pub fn blue(&self) -> Color {
        self.curve(1)
    }

    /// Of axes and of what stands back.
    pub fn faint(&self) -> Color {
        self.colour(243, 242)
    }

    /// Text that stands back.
    pub fn dim(&self) -> Style {
        match self.tone {
            Tone::Plain => Style::new().add_modifier(Modifier::DIM),
            _ => Style::new().fg(self.faint()),
        }
    }

    /// Headings.
    pub fn bold(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The selected row.
    pub fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The keys in the command bar.
    pub fn key(&self) -> Style {
        Style::new().fg(self.blue()).add_modifier(Modifier::BOLD)
    }

    /// Points of curves: Braille has eight to a cell.
    pub fn marker(&self) -> Marker {
        if self.ascii { Marker::Custom('*') } else { Marker::Braille }
    }

    /// Points of what stands back, which must not look like a curve.
    pub fn faint_marker(&self) -> Marker {
        if self.ascii { Marker::Custom('.') } else { Marker::Braille }
    }

    /// Lines around popups.
    pub fn border(&self) -> border::Set<'static> {
        match self.ascii {
            true => border::Set {
                top_left: "+",
                top_right: "+",
                bottom_left: "+",
                bottom_right: "+",
                vertical_left: "|",
                vertical_right: "|",
                horizontal_top: "-",
                horizontal_bottom: "-",
            },
            false => border::PLAIN,
        }
    }

    /// One of two signs.
    pub fn sign(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { unicode }
    }
}
