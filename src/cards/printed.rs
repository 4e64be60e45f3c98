//! Numbers as they were printed: the digits are kept, since their number says how the value was rounded.

use std::fmt;
use std::str::FromStr;

use num_rational::Ratio;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Decimals beyond these are dropped, which is far below what a double knows: so exact arithmetic stays within 128 bits.
const MAX_PLACES: usize = 18;

/// Longer texts are no numbers.
const MAX_LENGTH: usize = 40;

/// A printed number: `0.8412`, `.84`, `84.12%`, `-0.05`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Printed {
    text: String,
    /// The value is `mantissa / 10^places`; a percent sign has added two places.
    mantissa: i128,
    places: u32,
}

/// How a value was turned into printed digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To the nearest, ties either way (binary floats make ties a matter of luck).
    #[default]
    Half,
    /// To the nearest, ties to the even digit.
    HalfEven,
    /// To the nearest, ties away from zero.
    HalfUp,
    /// Towards zero.
    Truncate,
    /// Any of these, or upwards: a whole unit of the last digit either way.
    Any,
}

impl Printed {
    /// The characters as they stand in the card.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value, exactly.
    pub fn value(&self) -> Ratio<i128> {
        Ratio::new(self.mantissa, self.unit().recip().to_integer())
    }

    /// One unit of the last printed digit: 1/100 for `0.84` and 1/1000 for `84.1%`.
    pub fn unit(&self) -> Ratio<i128> {
        Ratio::new_raw(1, 10i128.pow(self.places))
    }

    /// The value as the nearest double.
    pub fn as_f64(&self) -> f64 {
        // Rust's parser rounds correctly; `from_str` has seen that these are digits.
        format!("{}e-{}", self.mantissa, self.places).parse().unwrap_or(f64::NAN)
    }

    /// Decimals of the value; those of a percentage count two more.
    pub fn places(&self) -> u32 {
        self.places
    }

    /// Whether the last digit is even.
    pub fn is_even(&self) -> bool {
        self.mantissa % 2 == 0
    }

    /// Significant digits, leading zeros not counted.
    pub fn digits(&self) -> u32 {
        self.mantissa.unsigned_abs().checked_ilog10().map_or(1, |d| d + 1)
    }
}

impl FromStr for Printed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = || {
            Error::new(format!("`{text}` is no printed number"))
                .mend("write it as it was printed, in quotes: \"0.8412\" or \"84.12%\"")
        };
        let text = text.trim();
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits.trim_end(), 2),
            None => (text, 0),
        };
        let (negative, magnitude) = match digits.strip_prefix('-') {
            Some(magnitude) => (true, magnitude),
            None => (false, digits),
        };
        let (whole, decimals) = magnitude.split_once('.').unwrap_or((magnitude, ""));
        let digits_only = [whole, decimals].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
        if !digits_only || whole.len() + decimals.len() == 0 || whole.len() > 6 || text.len() > MAX_LENGTH {
            return Err(fault());
        }
        let decimals = &decimals[..decimals.len().min(MAX_PLACES - percent)];
        let (all, places) = (format!("{whole}{decimals}"), (decimals.len() + percent) as u32);
        let mantissa: i128 = all.parse().map_err(|_| fault())?;
        Ok(Self { text: text.to_owned(), mantissa: if negative { -mantissa } else { mantissa }, places })
    }
}

impl TryFrom<String> for Printed {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Printed> for String {
    fn from(printed: Printed) -> Self {
        printed.text
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Rounding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "half" => Ok(Self::Half),
            "half-even" => Ok(Self::HalfEven),
            "half-up" => Ok(Self::HalfUp),
            "truncate" => Ok(Self::Truncate),
            "any" => Ok(Self::Any),
            _ => {
                Err(Error::usage(format!("`{text}` is no rounding"))
                    .mend("use half, half-even, half-up, truncate or any"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_units() {
        let p = |text: &str| text.parse::<Printed>().unwrap();
        assert_eq!((p("0.8410").value(), p("0.8410").unit()), (Ratio::new(841, 1000), Ratio::new(1, 10_000)));
        assert_eq!((p("82.9 %").value(), p("82.9 %").unit()), (Ratio::new(829, 1000), Ratio::new(1, 1000)));
        assert_eq!(p(".5").value(), Ratio::new(1, 2));
        assert_eq!(p("-0.05").value(), Ratio::new(-1, 20));
        assert_eq!((p("0.0083").digits(), p("1").digits(), p("0.0").digits()), (2, 1, 1));
        assert_eq!((p("82.9%").as_f64(), p("0.8179808156177791").as_f64()), (0.829, 0.817_980_815_617_779_1));
        let long = p("0.00200913545264027861");
        assert_eq!((long.places(), long.text().len()), (18, 22));
        for wrong in ["", "-", ".", "eight", "1e-3", "0,84", "0.8.4", "+1", "%", "1234567"] {
            assert!(wrong.parse::<Printed>().is_err(), "{wrong}");
        }
    }
}
