//! What a check says, and what its table comes to.

use serde::Serialize;

/// The answer to one question about a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Some counts could have given the numbers. That does not make them true.
    NotInconsistent,
    /// No counts could.
    Inconsistent,
    /// The card does not say enough, or the numbers were made in a way that cannot be tested.
    Untestable,
}

/// One check of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Which kind.
    pub check: &'static str,
    /// Which row, label or set of the table.
    pub subject: String,
    /// Its answer.
    pub verdict: Verdict,
    /// What was found, in words.
    pub detail: String,
    /// What the answer rests on.
    pub assumption: String,
    /// How many counts fit; `None` where they are not counted.
    pub solutions: Option<u64>,
    /// Counts that fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
    /// Whether a reader should look at it although nothing is impossible.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    /// Whether it is about another reading than the stated one, so that the table's verdict does not rest on it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub alternative: bool,
}

/// All checks of one table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableAudit {
    /// The card's file or name.
    pub table: String,
    /// The source and version.
    pub title: String,
    /// Inconsistent if any check is, untestable if all are.
    pub verdict: Verdict,
    /// In the card's order.
    pub checks: Vec<Check>,
}

impl Check {
    /// A check with nothing but its answer.
    pub fn new(check: &'static str, subject: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            check,
            subject: subject.into(),
            verdict,
            detail: detail.into(),
            assumption: String::new(),
            solutions: None,
            witness: None,
            warning: false,
            alternative: false,
        }
    }

    /// A check whose answer is yes or no.
    pub fn possible(
        check: &'static str,
        subject: impl Into<String>,
        possible: bool,
        detail: impl Into<String>,
    ) -> Self {
        let verdict = if possible { Verdict::NotInconsistent } else { Verdict::Inconsistent };
        Self { solutions: (!possible).then_some(0), ..Self::new(check, subject, verdict, detail) }
    }

    /// Says what the answer rests on.
    pub fn assuming(mut self, assumption: impl Into<String>) -> Self {
        self.assumption = assumption.into();
        self
    }
}

impl Verdict {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotInconsistent => "not inconsistent",
            Self::Inconsistent => "INCONSISTENT",
            Self::Untestable => "untestable",
        }
    }
}

impl TableAudit {
    /// Draws the table's verdict from its checks.
    pub fn of(table: String, title: String, checks: Vec<Check>) -> Self {
        let mut verdict = Verdict::Untestable;
        for check in checks.iter().filter(|c| !c.alternative) {
            match (check.verdict, verdict) {
                (Verdict::Inconsistent, _) => verdict = Verdict::Inconsistent,
                (Verdict::NotInconsistent, Verdict::Untestable) => verdict = Verdict::NotInconsistent,
                _ => {}
            }
        }
        Self { table, title, verdict, checks }
    }
}
