//! Exact intervals: what a printed number says about the number behind it.

use std::cmp::Ordering;

use num_rational::Ratio;

use crate::cards::printed::{Printed, Rounding};

/// An exact number.
pub type Exact = Ratio<i128>;

/// Numbers with as many decimals are unrounded doubles.
const DOUBLE: u32 = 15;

/// 2e-15: a few units in the last place of a double near 1.
const SLACK: i128 = 500_000_000_000_000;

/// An interval of exact numbers whose ends may or may not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Lower end.
    pub low: Exact,
    /// Upper end.
    pub high: Exact,
    /// Whether the lower end belongs to it.
    pub low_closed: bool,
    /// Whether the upper end belongs to it.
    pub high_closed: bool,
}

impl Interval {
    /// Both ends belong to it.
    pub fn closed(low: Exact, high: Exact) -> Self {
        Self { low, high, low_closed: true, high_closed: true }
    }

    /// All numbers within `tolerance` of `value`.
    pub fn around(value: Exact, tolerance: Exact) -> Self {
        Self::closed(value - tolerance, value + tolerance)
    }

    /// All numbers that print as `printed` under `rounding`. Digits of an unrounded double are taken to be a few units
    /// in its last place off, as sums in another order are.
    pub fn of(printed: &Printed, rounding: Rounding) -> Self {
        if printed.places() >= DOUBLE {
            return Self::around(printed.value(), Exact::new(1, SLACK));
        }
        let (value, unit) = (printed.value(), printed.unit());
        let half = Self::around(value, unit / 2);
        let negative = value < Exact::new(0, 1);
        match rounding {
            Rounding::Half => half,
            Rounding::HalfEven => Self { low_closed: printed.is_even(), high_closed: printed.is_even(), ..half },
            // Away from zero: the end nearer to zero rounds up to the printed number.
            Rounding::HalfUp if negative => Self { low_closed: false, ..half },
            Rounding::HalfUp => Self { high_closed: false, ..half },
            Rounding::Truncate if negative => Self { low_closed: false, ..Self::closed(value - unit, value) },
            // What prints as 0 may also lie below it.
            Rounding::Truncate if value == Exact::new(0, 1) => {
                Self { low_closed: false, high_closed: false, ..Self::around(value, unit) }
            }
            Rounding::Truncate => Self { high_closed: false, ..Self::closed(value, value + unit) },
            Rounding::Any => Self::around(value, unit),
        }
    }

    /// Where `x` lies: below, in it (`Equal`) or above.
    pub fn place(&self, x: Exact) -> Ordering {
        if x < self.low || (x == self.low && !self.low_closed) {
            Ordering::Less
        } else if x > self.high || (x == self.high && !self.high_closed) {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }

    /// Whether `x` lies in it.
    pub fn holds(&self, x: Exact) -> bool {
        self.place(x) == Ordering::Equal
    }

    /// Whether no number lies in it.
    pub fn is_empty(&self) -> bool {
        self.low > self.high || (self.low == self.high && !(self.low_closed && self.high_closed))
    }

    /// The numbers in both.
    pub fn and(&self, other: &Self) -> Self {
        let (low, low_closed) = match self.low.cmp(&other.low) {
            Ordering::Greater => (self.low, self.low_closed),
            Ordering::Less => (other.low, other.low_closed),
            Ordering::Equal => (self.low, self.low_closed && other.low_closed),
        };
        let (high, high_closed) = match self.high.cmp(&other.high) {
            Ordering::Less => (self.high, self.high_closed),
            Ordering::Greater => (other.high, other.high_closed),
            Ordering::Equal => (self.high, self.high_closed && other.high_closed),
        };
        Self { low, high, low_closed, high_closed }
    }

    /// Sums of a number of each.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            low: self.low + other.low,
            high: self.high + other.high,
            low_closed: self.low_closed && other.low_closed,
            high_closed: self.high_closed && other.high_closed,
        }
    }

    /// Every number multiplied by `factor` and then moved by `shift`.
    pub fn map(&self, factor: Exact, shift: Exact) -> Self {
        let ends = (self.low * factor + shift, self.high * factor + shift);
        if factor < Exact::new(0, 1) {
            Self { low: ends.1, high: ends.0, low_closed: self.high_closed, high_closed: self.low_closed }
        } else {
            Self { low: ends.0, high: ends.1, ..*self }
        }
    }

    /// Both ends put through a rising function.
    pub fn through(&self, rising: impl Fn(Exact) -> Exact) -> Self {
        Self { low: rising(self.low), high: rising(self.high), ..*self }
    }

    /// `0.835-0.858`, to `places` decimals.
    pub fn text(&self, places: usize) -> String {
        format!("{}-{}", decimal(self.low, places), decimal(self.high, places))
    }
}

/// An exact number as a decimal for people.
pub fn decimal(x: Exact, places: usize) -> String {
    format!("{:.places$}", to_f64(x))
}

/// The nearest double, or one beside it.
pub fn to_f64(x: Exact) -> f64 {
    *x.numer() as f64 / *x.denom() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str, rounding: Rounding) -> Interval {
        Interval::of(&text.parse().unwrap(), rounding)
    }

    #[test]
    fn ties_by_convention() {
        // 1/16 = 0.0625.
        let sixteenth = Exact::new(1, 16);
        let holds = |text: &str| {
            [Rounding::Half, Rounding::HalfEven, Rounding::HalfUp, Rounding::Truncate, Rounding::Any]
                .map(|r| of(text, r).holds(sixteenth))
        };
        assert_eq!(holds("0.062"), [true, true, false, true, true]);
        assert_eq!(holds("0.063"), [true, false, true, false, true]);
        assert_eq!(holds("0.061"), [false; 5]);
        assert_eq!(holds("6.2 %"), holds("0.062"));
        assert!(of("-0.5", Rounding::Truncate).holds(Exact::new(-59, 100)));
        assert!(of("0.0", Rounding::Truncate).holds(Exact::new(-9, 100)));
    }

    proptest! {
        #[test]
        fn a_rounded_number_lies_in_its_interval(numer in 0i128..100_000, denom in 1i128..100_000, places in 0u32..6) {
            let x = Exact::new(numer, denom);
            let scaled = x * Exact::from(10i128.pow(places));
            let print = |whole: i128| -> Printed {
                let digits = format!("{whole:0width$}", width = places as usize + 1);
                let (a, b) = digits.split_at(digits.len() - places as usize);
                if b.is_empty() { a.parse().unwrap() } else { format!("{a}.{b}").parse().unwrap() }
            };
            let up = print(scaled.round().to_integer());
            prop_assert!(Interval::of(&up, Rounding::HalfUp).holds(x));
            prop_assert!(Interval::of(&up, Rounding::Half).holds(x));
            let cut = print(scaled.trunc().to_integer());
            prop_assert!(Interval::of(&cut, Rounding::Truncate).holds(x));
            prop_assert!(Interval::of(&cut, Rounding::Any).holds(x));
            prop_assert!(Interval::of(&print(scaled.ceil().to_integer()), Rounding::Any).holds(x));
        }
    }
}
