//! Learning rates over a training, by PyTorch's formulas.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::recipe::bad;
use crate::error::Result;

/// How the learning rate changes; PyTorch's defaults where a key is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Not at all.
    #[default]
    Constant,
    /// Half a cosine from the optimiser's rate down to `end`, epoch by epoch, over all epochs (Loshchilov and Hutter
    /// 2017; `CosineAnnealingLR`).
    Cosine {
        /// The rate that it goes to.
        #[serde(default)]
        end: f64,
    },
    /// Up to `max` and down to nearly nothing, step by step, in two half cosines (Smith and Topin 2018; `OneCycleLR`).
    /// The optimiser's rate plays no part.
    OneCycle {
        /// The highest rate.
        max: f64,
        /// Share of the steps that go up.
        #[serde(default = "rising")]
        rising: f64,
        /// The first rate is `max` over this.
        #[serde(default = "divisor")]
        divisor: f64,
        /// The last rate is the first over this.
        #[serde(default = "last_divisor")]
        last_divisor: f64,
        /// Whether momentum (Adam's first decay) goes the other way, from 0.95 to 0.85 and back.
        #[serde(default = "yes")]
        cycle_momentum: bool,
    },
    /// Times `factor` whenever the validation loss has not fallen for more than `patience` epochs
    /// (`ReduceLROnPlateau`).
    ReduceOnPlateau {
        /// What the rate is multiplied by.
        #[serde(default = "factor")]
        factor: f64,
        /// Epochs without a fall that are borne.
        #[serde(default = "patience")]
        patience: usize,
        /// A fall by less than this share is none.
        #[serde(default = "threshold")]
        threshold: f64,
        /// Epochs after a change that are not counted.
        #[serde(default)]
        cooldown: usize,
        /// The rate does not go below this.
        #[serde(default)]
        end: f64,
    },
}

fn rising() -> f64 {
    0.3
}

fn divisor() -> f64 {
    25.0
}

fn last_divisor() -> f64 {
    1e4
}

fn yes() -> bool {
    true
}

fn factor() -> f64 {
    0.1
}

fn patience() -> usize {
    10
}

fn threshold() -> f64 {
    1e-4
}

/// The momentums between which one cycle goes.
const MOMENTUMS: (f64, f64) = (0.95, 0.85);

/// A change of the rate by less than this is none on a plateau.
const SMALLEST_CHANGE: f64 = 1e-8;

/// Where a training stands.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// Steps so far, those that were left out for an overflow among them.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Validation losses of the epochs so far.
    pub losses: &'a [f64],
}

/// What a step is taken with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Learning rate.
    pub rate: f64,
    /// Momentum, or Adam's first decay, where the schedule has a say in it.
    pub momentum: Option<f64>,
}

impl Schedule {
    /// What the step is taken with that comes next; `rate` is the optimiser's.
    pub fn pace(&self, rate: f64, at: At) -> Pace {
        let epoch = at.losses.len();
        match *self {
            Self::Constant => Pace { rate, momentum: None },
            Self::Cosine { end } => {
                let share = epoch as f64 / at.epochs as f64;
                Pace { rate: end + (rate - end) * (1.0 + libm::cos(PI * share)) / 2.0, momentum: None }
            }
            Self::OneCycle { max, rising, divisor, last_divisor, cycle_momentum } => {
                let (top, last) = (rising * at.steps as f64 - 1.0, at.steps as f64 - 1.0);
                let (first, step) = (max / divisor, at.step as f64);
                let (high, low) = MOMENTUMS;
                let (rate, momentum) = if top > 0.0 && step <= top {
                    let share = step / top;
                    (between(first, max, share), between(high, low, share))
                } else {
                    let share = (step - top) / (last - top);
                    (between(max, first / last_divisor, share), between(low, high, share))
                };
                Pace { rate, momentum: cycle_momentum.then_some(momentum) }
            }
            Self::ReduceOnPlateau { factor, patience, threshold, cooldown, end } => {
                let mut rate = rate;
                let (mut best, mut borne, mut cooling) = (f64::INFINITY, 0, 0);
                for loss in at.losses {
                    if *loss < best * (1.0 - threshold) {
                        (best, borne) = (*loss, 0);
                    } else {
                        borne += 1;
                    }
                    if cooling > 0 {
                        (cooling, borne) = (cooling - 1, 0);
                    }
                    if borne > patience {
                        let lower = (rate * factor).max(end);
                        if rate - lower > SMALLEST_CHANGE {
                            rate = lower;
                        }
                        (cooling, borne) = (cooldown, 0);
                    }
                }
                Pace { rate, momentum: None }
            }
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let share = |key: &str, v: f64| match v > 0.0 && v < 1.0 {
            true => Ok(()),
            false => Err(bad(&format!("schedule.{key}"), format!("{v} is not between 0 and 1"))),
        };
        let at_least = |key: &str, v: f64, least: f64| match v.is_finite() && v >= least {
            true => Ok(()),
            false => Err(bad(&format!("schedule.{key}"), format!("{v} is not {least} or more"))),
        };
        match *self {
            Self::Constant => Ok(()),
            Self::Cosine { end } => at_least("end", end, 0.0),
            Self::OneCycle { max, rising, divisor, last_divisor, .. } => {
                share("rising", rising)?;
                at_least("divisor", divisor, 1.0)?;
                at_least("last_divisor", last_divisor, 1.0)?;
                at_least("max", max, f64::MIN_POSITIVE)
            }
            Self::ReduceOnPlateau { factor, threshold, end, .. } => {
                share("factor", factor)?;
                at_least("threshold", threshold, 0.0)?;
                at_least("end", end, 0.0)
            }
        }
    }
}

/// Half a cosine from `a` to `b`.
fn between(a: f64, b: f64, share: f64) -> f64 {
    b + (a - b) / 2.0 * (1.0 + libm::cos(PI * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paces(schedule: Schedule, rate: f64, steps: usize) -> Vec<Pace> {
        let losses = vec![1.0; steps];
        let at = |step: usize| At { step, steps, epochs: steps, losses: &losses[..step] };
        (0..steps).map(|step| schedule.pace(rate, at(step))).collect()
    }

    fn close(found: impl IntoIterator<Item = f64>, expected: &[f64]) {
        let found: Vec<_> = found.into_iter().collect();
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= 1e-12 * e.abs().max(1e-3), "{found:?}");
        }
    }

    /// PyTorch 2.15: `OneCycleLR(AdamW, 2e-3, total_steps=10)`, and with `pct_start=0.5` of 6 steps to 0.5.
    #[test]
    fn one_cycle_is_pytorchs() {
        let cycle = |max, rising| Schedule::OneCycle {
            max,
            rising,
            divisor: divisor(),
            last_divisor: last_divisor(),
            cycle_momentum: true,
        };
        let found = paces(cycle(2e-3, rising()), 7.0, 10);
        let rates = [
            7.999999999999999e-05,
            0.0010400000000000001,
            0.002,
            0.0019009692640269472,
            0.001623491307899526,
            0.0012225240438725783,
            0.0007774839561274215,
            0.00037651669210047396,
            9.903873597305257e-05,
            8e-09,
        ];
        close(found.iter().map(|p| p.rate), &rates);
        let momentums = [
            0.95,
            0.8999999999999999,
            0.85,
            0.854951556604879,
            0.8688255099070633,
            0.8888739533021842,
            0.9111260466978157,
            0.9311744900929366,
            0.945048443395121,
            0.95,
        ];
        close(found.iter().filter_map(|p| p.momentum), &momentums);
        let found = paces(cycle(0.5, 0.5), 7.0, 6);
        close(found.iter().map(|p| p.rate), &[0.020000000000000018, 0.26, 0.5, 0.3750005, 0.12500150000000004, 2e-06]);
        // Too few steps to rise: down from the first.
        assert!(paces(cycle(0.5, 0.3), 7.0, 3).iter().all(|p| p.rate.is_finite()));
    }

    /// PyTorch 2.15: `CosineAnnealingLR(Adam of 1e-3, 5, eta_min=1e-5)`.
    #[test]
    fn cosine_is_pytorchs() {
        let found = paces(Schedule::Cosine { end: 1e-5 }, 1e-3, 5);
        let rates = [0.001, 0.000905463412215599, 0.000657963412215599, 0.0003520365877844011, 0.00010453658778440106];
        close(found.iter().map(|p| p.rate), &rates);
    }

    /// PyTorch 2.15: `ReduceLROnPlateau(SGD of 0.1, factor=0.5, patience=1, cooldown=1, min_lr=0.03)`.
    #[test]
    fn plateaus_are_pytorchs() {
        let losses = [1.0, 0.9, 0.9, 0.91, 0.92, 0.5, 0.6, 0.6, 0.6, 0.6];
        let schedule =
            Schedule::ReduceOnPlateau { factor: 0.5, patience: 1, threshold: threshold(), cooldown: 1, end: 0.03 };
        let at = |step: usize| At { step, steps: 10, epochs: 10, losses: &losses[..step] };
        close(
            (0..10).map(|step| schedule.pace(0.1, at(step)).rate),
            &[0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.03, 0.03],
        );
    }

    #[test]
    fn ranges_are_checked() {
        assert!(Schedule::Cosine { end: f64::NAN }.check().is_err());
        assert!(Schedule::Cosine { end: 0.0 }.check().is_ok());
        let cycle =
            Schedule::OneCycle { max: 0.1, rising: 1.0, divisor: 25.0, last_divisor: 1e4, cycle_momentum: true };
        assert!(cycle.check().unwrap_err().to_string().contains("schedule.rising"));
    }
}
