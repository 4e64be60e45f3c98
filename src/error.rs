//! The error type of the crate: one line that names the place, the cause and the mend.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

/// `Result` with roentgen's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, told for a person: where, why, and what to do about it.
///
/// Displayed as one line, `PLACE: CAUSE; MEND`, with the parts that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    kind: Kind,
    place: Option<String>,
    cause: String,
    mend: Option<String>,
}

/// Whose fault it is; decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line asks for something that cannot be (exit status 2).
    Usage,
    /// A file, a value or the machine is at fault (exit status 3).
    Input,
    /// The person stopped it; the run can be resumed (exit status 130).
    Interrupted,
    /// The device has too little memory for what was asked of it at once (exit status 3).
    Memory,
}

impl Error {
    /// A fault in a file, a value or the machine.
    pub fn new(cause: impl Into<String>) -> Self {
        Self::of(Kind::Input, cause)
    }

    /// A command line that cannot be carried out.
    pub fn usage(cause: impl Into<String>) -> Self {
        Self::of(Kind::Usage, cause)
    }

    /// The person stopped the work.
    pub fn interrupted(cause: impl Into<String>) -> Self {
        Self::of(Kind::Interrupted, cause)
    }

    /// Work that did not fit into the device's memory at once.
    pub fn memory(cause: impl Into<String>) -> Self {
        Self::of(Kind::Memory, cause)
    }

    fn of(kind: Kind, cause: impl Into<String>) -> Self {
        Self(Box::new(Parts { kind, place: None, cause: cause.into(), mend: None }))
    }

    /// An operating-system error at `path`, with the usual mend for the commonest.
    pub fn io(path: &Path, error: std::io::Error) -> Self {
        let text = error.to_string();
        // Without the number, which tells a person nothing.
        let cause = text.split(" (os error").next().unwrap_or(&text);
        let found = Self::new(cause).at(path.display());
        match error.kind() {
            ErrorKind::NotFound => found.mend("check the path"),
            ErrorKind::PermissionDenied => found.mend("check its permissions"),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                found.mend("make room there, or choose another place")
            }
            _ => found,
        }
    }

    /// Puts `place` in front: a file, a row, a key. Called again, the outer place comes first
    /// (`file, row 3`).
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.place = Some(match self.0.place.take() {
            Some(inner) => format!("{place}, {inner}"),
            None => place.to_string(),
        });
        self
    }

    /// Says what to do about it. The first mend given stays.
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.0.mend.get_or_insert_with(|| mend.into());
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        // One line whatever a library put into its message.
        let mut cause = self.0.cause.split_whitespace();
        if let Some(first) = cause.next() {
            f.write_str(first)?;
        }
        for word in cause {
            write!(f, " {word}")?;
        }
        if let Some(mend) = &self.0.mend {
            write!(f, "; {mend}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_with_place_cause_and_mend() {
        let e = Error::new("unknown\n  label").at("row 3").at("a.csv").mend("use Effusion").mend("ignored");
        assert_eq!(e.to_string(), "a.csv, row 3: unknown label; use Effusion");
        assert_eq!(e.kind(), Kind::Input);
    }
}
