//! TOML in and out of card types, with errors that name the file, the line and the key.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Cards are small; a larger file is something else.
const MAX_BYTES: u64 = 4 << 20;

/// The text of the card at `path`.
pub(super) fn read(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if size > MAX_BYTES {
        return Err(Error::new(format!("{size} bytes are too many for a card"))
            .at(path.display())
            .mend("give the path of a TOML card"));
    }
    std::fs::read_to_string(path).map_err(|e| Error::io(path, e))
}

/// The text of a card as `T`; errors name the line.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| {
        let error = Error::new(e.message());
        match e.span() {
            Some(span) => {
                let before = text.get(..span.start).unwrap_or(text);
                let line = before.matches('\n').count();
                let shown = text.lines().nth(line).unwrap_or_default().trim();
                error.at(format_args!("line {} (`{shown}`)", line + 1))
            }
            None => error,
        }
        .mend("mend the card; the README's section on cards lists the keys")
    })
}

pub(crate) fn check_schema(given: &str, known: &str) -> Result<()> {
    if given == known {
        return Ok(());
    }
    Err(Error::new(format!("`{given}` is not known here")).at("`schema`").mend(format!("write \"{known}\"")))
}

/// Labels must be there, once each, and fit into a CSV header.
pub(super) fn check_labels(labels: &[String]) -> Result<()> {
    let fault = |cause: String| Err(Error::new(cause).at("`labels`").mend("list each label once"));
    if labels.is_empty() {
        return fault("no label is given".into());
    }
    for (i, label) in labels.iter().enumerate() {
        if label.trim() != label || label.is_empty() || label.contains(['\n', '\r']) {
            return fault(format!("{label:?} is no label"));
        }
        if labels[..i].iter().any(|other| crate::labels::same(other, label)) {
            return fault(format!("{label:?} is there twice"));
        }
    }
    Ok(())
}
