//! Choosing images by what is known of them: `view=PA`, `age>=60`.

use std::fmt;
use std::str::FromStr;

use super::Predictions;
use super::read::listed;
use super::table::codes;
use crate::error::{Error, Result};

/// A condition on one column: an attribute, or `image`, `patient`, `study`.
///
/// `=` and `!=` compare text as it is written; `<`, `<=`, `>` and `>=` compare numbers, and images whose value is not
/// known never meet them.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    column: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Is(String),
    IsNot(String),
    Number(Order, f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// Longest first, so that `<=` is not taken for `<`.
    const ALL: [(&str, Self); 4] =
        [("<=", Self::LessOrEqual), (">=", Self::GreaterOrEqual), ("<", Self::Less), (">", Self::Greater)];

    fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

impl FromStr for Condition {
    type Err = Error;

    /// Reads `COLUMN=VALUE`, and so with `!=`, `<`, `<=`, `>`, `>=`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |cause: String| Error::usage(cause).mend("write a condition as view=PA, view!=PA or age>=60");
        let operator = text.find(['=', '!', '<', '>']).unwrap_or(text.len());
        let (column, rest) = text.split_at(operator);
        let value = |rest: &str| rest.trim().to_owned();
        let test = if let Some(rest) = rest.strip_prefix("!=") {
            Test::IsNot(value(rest))
        } else if let Some(rest) = rest.strip_prefix('=') {
            Test::Is(value(rest))
        } else {
            let order = Order::ALL.iter().find_map(|&(sign, order)| Some((order, rest.strip_prefix(sign)?)));
            let (order, rest) = order.ok_or_else(|| wrong(format!("`{text}` is not a condition")))?;
            let number = rest.trim().parse().ok().filter(|number: &f64| !number.is_nan());
            Test::Number(order, number.ok_or_else(|| wrong(format!("`{}` in `{text}` is not a number", rest.trim())))?)
        };
        match column.trim() {
            "" => Err(wrong(format!("`{text}` names no column"))),
            column => Ok(Self { column: column.to_owned(), test }),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::Is(value) => write!(f, "{}={value}", self.column),
            Test::IsNot(value) => write!(f, "{}!={value}", self.column),
            Test::Number(order, number) => {
                let sign = Order::ALL.iter().find(|(_, other)| other == order).map_or("", |(sign, _)| sign);
                write!(f, "{}{sign}{number}", self.column)
            }
        }
    }
}

impl Predictions {
    /// The images that meet every condition, in their order.
    ///
    /// # Errors
    /// A column that is not there, a value that is not a number where numbers are compared, and a selection that
    /// leaves no image.
    pub fn filter(&self, conditions: &[Condition]) -> Result<Self> {
        let mut keep = vec![true; self.len()];
        for condition in conditions {
            self.apply(condition, &mut keep)?;
        }
        let rows: Vec<u32> = (0..).zip(&keep).filter(|(_, keep)| **keep).map(|(row, _)| row).collect();
        if rows.is_empty() {
            let all: Vec<String> = conditions.iter().map(Condition::to_string).collect();
            return Err(Error::new(format!("no image meets {}", all.join(" and "))).mend("widen the conditions"));
        }
        Ok(self.take(&rows))
    }

    fn apply(&self, condition: &Condition, keep: &mut [bool]) -> Result<()> {
        let name = &condition.column;
        let Some(values) = self.column(name) else {
            let cause = format!("no column {name} to meet {condition}; there are: {}", listed(&self.columns()));
            return Err(Error::new(cause));
        };
        match &condition.test {
            Test::Is(wanted) => {
                if !values.contains(wanted) {
                    let known: Vec<&str> = codes(values).1.into_iter().filter(|value| !value.is_empty()).collect();
                    let cause = format!("no image has {condition}; {name} is one of: {}", listed(&known));
                    return Err(Error::new(cause));
                }
                keep.iter_mut().zip(values).for_each(|(keep, value)| *keep &= value == wanted);
            }
            Test::IsNot(unwanted) => {
                keep.iter_mut().zip(values).for_each(|(keep, value)| *keep &= value != unwanted);
            }
            Test::Number(order, bound) => {
                for ((keep, value), image) in keep.iter_mut().zip(values).zip(&self.images) {
                    let number = match value.parse::<f64>() {
                        Ok(number) => number,
                        Err(_) if value.is_empty() => f64::NAN,
                        Err(_) => {
                            let error = Error::new(format!("`{value}` is not a number, so {condition} cannot be told"));
                            let mend = format!("mend the value, or compare {name} with = or !=");
                            return Err(error.mend(mend).at(format!("image {image}, column {name}")));
                        }
                    };
                    *keep &= order.holds(number, *bound);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;
    use crate::predictions::read::tests::parse;

    fn filter(conditions: &[&str]) -> Result<Vec<String>> {
        let p = parse("id,view,age,p_Mass\na,PA,60,0.1\nb,AP,59.5,0.2\nc,PA,,0.3\nd,,7,0.4\n")?;
        let conditions: Vec<Condition> = conditions.iter().map(|c| c.parse()).collect::<Result<_>>()?;
        Ok(p.filter(&conditions)?.images)
    }

    #[test]
    fn conditions() {
        let ids = |conditions: &[&str]| filter(conditions).unwrap().concat();
        assert_eq!(ids(&[]), "abcd");
        assert_eq!(ids(&["view=PA"]), "ac");
        assert_eq!(ids(&[" view = PA "]), "ac");
        assert_eq!(ids(&["view="]), "d");
        assert_eq!(ids(&["view!=PA"]), "bd");
        assert_eq!(ids(&["age>=60"]), "a");
        assert_eq!(ids(&["age<60"]), "bd");
        assert_eq!(ids(&["age>7", "age<=59.5"]), "b");
        assert_eq!(ids(&["view=PA", "age>=18"]), "a");
        assert_eq!(ids(&["image!=a"]), "bcd");
    }

    #[test]
    fn faults() {
        let fault = |condition: &str| filter(&[condition]).unwrap_err().to_string();
        assert_snapshot!(fault("view"), @"`view` is not a condition; write a condition as view=PA, view!=PA or age>=60");
        assert_snapshot!(fault("=PA"), @"`=PA` names no column; write a condition as view=PA, view!=PA or age>=60");
        assert_snapshot!(fault("view!PA"), @"`view!PA` is not a condition; write a condition as view=PA, view!=PA or age>=60");
        assert_snapshot!(fault("age>old"), @"`old` in `age>old` is not a number; write a condition as view=PA, view!=PA or age>=60");
        assert_snapshot!(fault("sex=F"), @"no column sex to meet sex=F; there are: image, view, age");
        assert_snapshot!(fault("view=pa"), @"no image has view=pa; view is one of: PA, AP");
        assert_snapshot!(fault("view>3"), @"image a, column view: `PA` is not a number, so view>3 cannot be told; mend the value, or compare view with = or !=");
        assert_snapshot!(fault("age>100"), @"no image meets age>100; widen the conditions");
    }

    proptest! {
        #[test]
        fn a_condition_prints_as_it_reads(text in "[a-z]{1,3}(=|!=|<|<=|>|>=)[0-9]{1,3}") {
            prop_assert_eq!(text.parse::<Condition>().unwrap().to_string().parse::<Condition>(), text.parse::<Condition>());
        }

        #[test]
        fn any_text_is_a_condition_or_not(text in any::<String>()) {
            let _ = text.parse::<Condition>();
        }
    }
}
