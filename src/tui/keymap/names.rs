//! Names of keys, and the bytes that terminals send for them.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

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
}
