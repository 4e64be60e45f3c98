//! Which rows of a label count, and as what.

use serde::{Deserialize, Serialize};

use super::Truth;

/// What becomes of labels that are neither positive nor negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Labels marked uncertain.
    pub uncertain: Uncertain,
    /// Labels not mentioned.
    pub unmentioned: Unmentioned,
}

/// What an uncertain label counts as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uncertain {
    /// Left out.
    #[default]
    Ignore,
    /// Negative.
    Zeros,
    /// Positive.
    Ones,
}

/// What a label that is not mentioned counts as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmentioned {
    /// Negative.
    #[default]
    Zeros,
    /// Left out.
    Ignore,
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let uncertain = match self.uncertain {
            Uncertain::Ignore => "ignored",
            Uncertain::Zeros => "as zeros",
            Uncertain::Ones => "as ones",
        };
        let unmentioned = match self.unmentioned {
            Unmentioned::Zeros => "as zeros",
            Unmentioned::Ignore => "ignored",
        };
        write!(f, "uncertain {uncertain}, unmentioned {unmentioned}")
    }
}

impl Policy {
    /// Whether a truth counts as positive; `None` when it is left out.
    pub fn positive(self, truth: Truth) -> Option<bool> {
        match truth {
            Truth::Positive => Some(true),
            Truth::Negative => Some(false),
            Truth::Uncertain => match self.uncertain {
                Uncertain::Ignore => None,
                Uncertain::Zeros => Some(false),
                Uncertain::Ones => Some(true),
            },
            Truth::Unmentioned => match self.unmentioned {
                Unmentioned::Zeros => Some(false),
                Unmentioned::Ignore => None,
            },
        }
    }

    /// The rows that count, in order, and whether each is positive.
    pub fn rows(self, truths: &[Truth]) -> (Vec<u32>, Vec<bool>) {
        let counted = |(row, truth): (u32, &Truth)| Some((row, self.positive(*truth)?));
        (0..).zip(truths).filter_map(counted).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Truth::{Negative, Positive, Uncertain as Unsure, Unmentioned as Silent};

    #[test]
    fn each_policy_counts_its_rows() {
        let truths = [Positive, Unsure, Silent, Negative];
        let rows = |uncertain, unmentioned| Policy { uncertain, unmentioned }.rows(&truths);
        assert_eq!(Policy::default().rows(&truths), (vec![0, 2, 3], vec![true, false, false]));
        assert_eq!(rows(Uncertain::Zeros, Unmentioned::Ignore), (vec![0, 1, 3], vec![true, false, false]));
        assert_eq!(rows(Uncertain::Ones, Unmentioned::Zeros), (vec![0, 1, 2, 3], vec![true, true, false, false]));
    }
}
