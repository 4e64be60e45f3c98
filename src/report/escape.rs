//! Text that others wrote (ids, labels, cards), made harmless where it is put.

/// For HTML, in text and in quoted attributes. Control characters, which HTML forbids, become U+FFFD.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || turns(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// For a cell of a Markdown table.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '#' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// For a cell of a LaTeX table.
pub fn latex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            // What our own tables use; other letters are for LuaLaTeX or XeLaTeX.
            '≥' => out.push_str("$\\geq$"),
            '–' => out.push_str("--"),
            '[' | ']' => out.extend(['{', c, '}']),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// For a text cell of a CSV file that people open in a spreadsheet, which takes what begins like a formula for one.
pub fn cell(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

/// For the text of a drawing, whose writer escapes what XML needs.
pub fn drawn(text: &str) -> String {
    one_line(text)
}

/// Without line ends, control characters and characters that turn the direction of what follows.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !turns(*c)).collect()
}

/// Whether a character changes the direction of the text around it, so that it reads otherwise than it is.
fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_place_has_its_own_dangers() {
        assert_eq!(
            html("<img src=x onerror='a(\"b\")'>&\u{0}"),
            "&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;\u{fffd}"
        );
        assert_eq!(markdown("a|b\n[x](javascript:1) `c`"), "a\\|b \\[x\\](javascript:1) \\`c\\`");
        assert_eq!(
            latex("50% of \\input{x} ~ a_b^2 & $y$"),
            "50\\% of \\textbackslash{}input\\{x\\} \\textasciitilde{} a\\_b\\textasciicircum{}2 \\& \\$y\\$"
        );
        for formula in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1"] {
            assert!(cell(formula).starts_with('\''));
        }
        assert_eq!(cell("Mass"), "Mass");
        assert_eq!(drawn("a\u{202e}b\nc"), "ab c");
    }

    proptest! {
        #[test]
        fn nothing_opens_a_tag_or_a_cell(text in any::<String>()) {
            prop_assert!(!html(&text).contains(['<', '>', '"', '\'']));
            prop_assert!(!markdown(&text).contains(['\n', '<']));
            prop_assert!(!latex(&text).contains(['\n', '~', '^']));
        }
    }
}
