//! The factor of the loss in f16, as PyTorch's `torch.amp.GradScaler` keeps it: as large as the gradients stand, so that
//! small ones do not vanish.

use serde::{Deserialize, Serialize};

/// It is doubled after this many steps without an overflow.
const STEPS_TO_GROW: u32 = 2000;

/// The factor, and how long it has stood.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct LossScale {
    factor: f32,
    /// Steps since it changed.
    good: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { factor: 65536.0, good: 0 }
    }
}

impl LossScale {
    /// What the loss is multiplied by: a power of two.
    pub fn factor(&self) -> f64 {
        f64::from(self.factor)
    }

    /// Takes in whether the gradients of a step were finite. Where they were not, the factor is halved: the step is to be
    /// left out.
    pub fn update(&mut self, finite: bool) {
        if !finite {
            *self = Self { factor: self.factor * 0.5, good: 0 };
            return;
        }
        self.good += 1;
        if self.good == STEPS_TO_GROW {
            let doubled = self.factor * 2.0;
            *self = Self { factor: if doubled.is_finite() { doubled } else { self.factor }, good: 0 };
        }
    }

    /// Whether gradients overflow that were not enlarged at all.
    pub fn is_spent(&self) -> bool {
        self.factor < 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_on_overflow_and_doubles_after_2000_good_steps() {
        let mut scale = LossScale::default();
        let after = |scale: &mut LossScale, good: usize| {
            (0..good).for_each(|_| scale.update(true));
            scale.factor()
        };
        assert_eq!(after(&mut scale, 1999), 65536.0);
        scale.update(false);
        assert_eq!(after(&mut scale, 1999), 32768.0);
        assert_eq!(after(&mut scale, 1), 65536.0);
        assert_eq!(after(&mut scale, 4000), 262_144.0);
        (0..18).for_each(|_| scale.update(false));
        assert!(scale.factor() == 1.0 && !scale.is_spent());
        scale.update(false);
        assert!(scale.is_spent());
        assert!(after(&mut scale, 2000 * 300).is_finite());
    }

    #[test]
    fn comes_back_from_its_text() {
        let mut scale = LossScale::default();
        (0..7).for_each(|_| scale.update(true));
        assert_eq!(serde_json::from_str::<LossScale>(&serde_json::to_string(&scale).unwrap()).unwrap(), scale);
    }
}
