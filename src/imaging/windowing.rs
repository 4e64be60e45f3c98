//! How stored values become gray levels: the value-of-interest window of DICOM.

use crate::cards::model::{Input, Step};

/// How rescaled values become gray levels.
#[derive(Debug, Clone, PartialEq)]
pub enum Voi {
    /// Through a window.
    Window(Window),
    /// Through a table.
    Lut(Lut),
    /// Linearly from one end of a range to the other.
    Range {
        /// What becomes black.
        low: f64,
        /// What becomes white; above `low`.
        high: f64,
    },
}

impl Voi {
    /// The gray level of `value`: 0 (black) to 1 (white).
    pub fn level(&self, value: f64) -> f64 {
        match self {
            Self::Window(window) => window.level(value),
            Self::Lut(lut) => lut.level(value),
            Self::Range { low, high } => (value - low) / (high - low),
        }
    }
}

/// A VOI LUT (PS3.3, C.11.2.1.1).
#[derive(Debug, Clone, PartialEq)]
pub struct Lut {
    /// The value that the first entry is for; lower ones take it too, as higher ones take the last.
    pub first: f64,
    /// What an entry is at most.
    pub highest: f64,
    /// The entries, at least one.
    pub values: Vec<u16>,
}

impl Lut {
    /// The gray level of `value`, whose fraction is dropped: 0 (black) to 1 (white).
    pub fn level(&self, value: f64) -> f64 {
        // Casts to unsigned stop at 0.
        let entry = ((value - self.first) as usize).min(self.values.len() - 1);
        (f64::from(self.values[entry]) / self.highest).min(1.0)
    }
}

/// A window and the function that it is applied with (DICOM PS3.3, C.11.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Middle, in the units of the rescaled values.
    pub center: f64,
    /// Width, in the same units, above 0.
    pub width: f64,
    /// VOI LUT Function.
    pub function: Function,
}

/// VOI LUT Function (0028,1056).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Function {
    /// C.11.2.1.2.1, the default: the window ends half a step inside its width.
    #[default]
    Linear,
    /// C.11.2.1.3.2: the window is exactly as wide as its width.
    LinearExact,
    /// C.11.2.1.3.1: a logistic curve whose slope at the middle is that of the width.
    Sigmoid,
}

impl Window {
    /// The gray level of `value`: 0 (black) to 1 (white).
    pub fn level(&self, value: f64) -> f64 {
        let Self { center, width, function } = *self;
        match function {
            Function::Linear => {
                let (middle, span) = (center - 0.5, width - 1.0);
                if value <= middle - span / 2.0 {
                    0.0
                } else if value > middle + span / 2.0 {
                    1.0
                } else {
                    (value - middle) / span + 0.5
                }
            }
            Function::LinearExact => ((value - center) / width + 0.5).clamp(0.0, 1.0),
            Function::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
        }
    }
}

/// Centre and width of the explicit window that a card's steps begin with, if they do.
///
/// The window acts on a file's own values, so it is for [`decode`](super::decode::decode); the other steps
/// see gray levels.
pub fn explicit(input: &Input) -> Option<(f64, f64)> {
    match input.steps.first() {
        Some(Step::Window { center, width }) => Some((*center, *width)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_own_examples() {
        // PS3.3 C.11.2.1.2.1: c=2048, w=4096 passes 0..4095 through; w=1 is a threshold at c - 0.5.
        let full = Window { center: 2048.0, width: 4096.0, function: Function::Linear };
        for value in [0.0, 1.0, 1000.0, 4094.0, 4095.0] {
            assert!((full.level(value) * 4095.0 - value).abs() < 1e-9, "{value}");
        }
        assert_eq!((full.level(-5.0), full.level(9000.0)), (0.0, 1.0));
        for width in [1.0, 0.5] {
            let threshold = Window { center: 100.0, width, function: Function::Linear };
            assert_eq!((threshold.level(99.0), threshold.level(100.0)), (0.0, 1.0));
        }
        let exact = Window { function: Function::LinearExact, ..full };
        assert_eq!((exact.level(0.0), exact.level(2048.0), exact.level(4096.0)), (0.0, 0.5, 1.0));
        let sigmoid = Window { function: Function::Sigmoid, ..full };
        assert_eq!(sigmoid.level(2048.0), 0.5);
        assert!((sigmoid.level(4096.0) - 1.0 / (1.0 + (-2.0f64).exp())).abs() < 1e-15);
    }
}
