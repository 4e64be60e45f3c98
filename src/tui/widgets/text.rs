//! Numbers as they are shown.

use crate::metrics::confidence::Estimate;

/// Three decimals, or a dash.
pub fn number(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.3}"))
}

/// A share of 1 as three decimals with its interval, or what of it is known.
pub fn with_interval(value: Option<f64>, interval: Option<(f64, f64)>) -> String {
    match interval {
        Some((low, high)) => format!("{} [{low:.3}, {high:.3}]", number(value)),
        None => number(value),
    }
}

/// The interval of an estimate.
pub fn interval(estimate: Option<&Estimate>) -> String {
    match estimate.and_then(|e| e.ci_low.zip(e.ci_high)) {
        Some((low, high)) => format!("{low:.3}-{high:.3}"),
        None => "-".into(),
    }
}

/// `text` in at most `width` characters, cut with a full stop where it is longer.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "."
}

/// The end of a path-like text in at most `width` characters: its last parts tell more than its first.
pub fn tail(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(count + 1 - width.max(1)).collect();
    format!("~{kept}")
}

/// A text in lines of at most `width` characters, broken between words; only a longer word goes beyond.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|l| l.chars().count() + word.chars().count() < width) {
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A number with its sign, three decimals, or a dash.
pub fn signed(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:+.3}"))
}

/// A time in seconds, as people say it.
pub fn duration(seconds: f64) -> String {
    match seconds.round() as u64 {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{}:{:02} min", s / 60, s % 60),
        s => format!("{}:{:02} h", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit() {
        assert_eq!(cut("Atelectasis", 6), "Atele.");
        assert_eq!(tail("a/long/path.png", 9), "~path.png");
        assert_eq!((cut("a", 6), tail("a", 6)), ("a".into(), "a".into()));
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!((signed(Some(0.5)), signed(None)), ("+0.500".into(), "-".into()));
        assert_eq!(duration(3725.0), "1:02 h");
    }
}
