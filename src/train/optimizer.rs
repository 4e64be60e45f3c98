//! Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019).

use candle_core::Var;
use candle_core::backprop::GradStore;

use crate::error::{Error, Result};
use crate::ops;

/// The decays of the two moments, and what is added to the root of the second: PyTorch's defaults.
const DECAYS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;

/// Adam; with a weight decay AdamW, which takes it off the weights and not off the gradients.
pub struct Adam {
    weight_decay: f64,
    steps: i32,
    parameters: Vec<(Var, Vec<[f32; 2]>)>,
}

impl Adam {
    /// For these parameters.
    pub fn new<'a>(parameters: impl IntoIterator<Item = &'a Var>, weight_decay: f64) -> Self {
        let zeros = |var: &Var| vec![[0.0; 2]; var.elem_count()];
        let parameters = parameters.into_iter().map(|var| (var.clone(), zeros(var))).collect();
        Self { weight_decay, steps: 0, parameters }
    }

    /// Changes every parameter that has a gradient, at the learning rate `rate`.
    pub fn step(&mut self, rate: f64, grads: &GradStore) -> Result<()> {
        self.steps += 1;
        let corrections = (1.0 - DECAYS.0.powi(self.steps), 1.0 - DECAYS.1.powi(self.steps));
        let (step, root) = ((rate / corrections.0) as f32, corrections.1.sqrt() as f32);
        let (kept, first, second) = ((1.0 - rate * self.weight_decay) as f32, DECAYS.0 as f32, DECAYS.1 as f32);
        for (var, moments) in &mut self.parameters {
            let Some(grad) = grads.get(var) else { continue };
            let change = |values: &mut [f32], grads: &[f32]| {
                for ((value, grad), [m, v]) in values.iter_mut().zip(grads).zip(moments) {
                    *m += (grad - *m) * (1.0 - first);
                    *v = second * *v + (1.0 - second) * grad * grad;
                    *value = *value * kept - step * *m / (v.sqrt() / root + EPS as f32);
                }
            };
            ops::update(var, grad, change).map_err(|e| Error::new(e.to_string()).at("a step of the optimiser"))?;
        }
        Ok(())
    }
}
