//! Stochastic gradient descent, Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), step by step as
//! PyTorch takes them.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use rayon::prelude::*;

use super::recipe::Optimizer as Rule;
use super::schedule::Pace;
use crate::error::{Error, Result};
use crate::ops;

/// The decays of Adam's two moments, and what is added to the root of the second: PyTorch's defaults.
const DECAYS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;

/// Changes parameters by their gradients.
pub struct Optimizer {
    rule: Rule,
    steps: u32,
    parameters: Vec<Parameter>,
}

/// A parameter and what is remembered of its gradients: Adam's two moments, or the velocity.
struct Parameter {
    name: String,
    var: Var,
    memory: Vec<[f32; 2]>,
}

impl Optimizer {
    /// For these parameters.
    pub fn new<'a>(rule: Rule, parameters: impl IntoIterator<Item = (&'a str, &'a Var)>) -> Self {
        let parameter = |(name, var): (&str, &Var)| Parameter {
            name: name.to_owned(),
            var: var.clone(),
            memory: vec![[0.0; 2]; var.elem_count()],
        };
        Self { rule, steps: 0, parameters: parameters.into_iter().map(parameter).collect() }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// What is remembered of each parameter, by name.
    pub fn memory(&self) -> impl Iterator<Item = (&str, &[[f32; 2]])> {
        self.parameters.iter().map(|p| (p.name.as_str(), p.memory.as_slice()))
    }

    /// Puts back what was remembered after `steps` steps; `take` gives it by name and length.
    pub fn restore(&mut self, steps: u32, mut take: impl FnMut(&str, usize) -> Result<Vec<[f32; 2]>>) -> Result<()> {
        self.steps = steps;
        for parameter in &mut self.parameters {
            parameter.memory = take(&parameter.name, parameter.memory.len())?;
        }
        Ok(())
    }

    /// Changes every parameter that has a gradient, which is multiplied by `scale` first.
    pub fn step(&mut self, pace: Pace, grads: &GradStore, scale: f32) -> Result<()> {
        self.steps += 1;
        let (rule, steps) = (self.rule, f64::from(self.steps));
        let change = |p: &mut Parameter| -> candle_core::Result<()> {
            let Some(grad) = grads.get(&p.var) else { return Ok(()) };
            let memory = &mut p.memory;
            ops::update(&p.var, grad, |values, grads| match rule {
                Rule::Sgd { momentum, nesterov, weight_decay, .. } => {
                    let momentum = pace.momentum.unwrap_or(momentum);
                    sgd(values, grads, memory, scale, Descent { rate: pace.rate, momentum, nesterov, weight_decay });
                }
                Rule::Adam { .. } => adam(values, grads, memory, scale, steps, pace, 0.0),
                Rule::AdamW { weight_decay, .. } => adam(values, grads, memory, scale, steps, pace, weight_decay),
            })
        };
        self.parameters.par_iter_mut().try_for_each(change).map_err(fault)
    }
}

struct Descent {
    rate: f64,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
}

fn sgd(values: &mut [f32], grads: &[f32], memory: &mut [[f32; 2]], scale: f32, by: Descent) {
    let (rate, momentum, decay) = (by.rate as f32, by.momentum as f32, by.weight_decay as f32);
    for ((value, grad), [velocity, _]) in values.iter_mut().zip(grads).zip(memory) {
        let grad = grad * scale + decay * *value;
        *velocity = momentum * *velocity + grad;
        *value -= rate * if by.nesterov { grad + momentum * *velocity } else { *velocity };
    }
}

fn adam(
    values: &mut [f32],
    grads: &[f32],
    memory: &mut [[f32; 2]],
    scale: f32,
    steps: f64,
    pace: Pace,
    weight_decay: f64,
) {
    let decays = (pace.momentum.unwrap_or(DECAYS.0), DECAYS.1);
    let corrections = (1.0 - libm::pow(decays.0, steps), 1.0 - libm::pow(decays.1, steps));
    let (step, root) = ((pace.rate / corrections.0) as f32, corrections.1.sqrt() as f32);
    let (kept, first, second) = ((1.0 - pace.rate * weight_decay) as f32, decays.0 as f32, decays.1 as f32);
    for ((value, grad), [m, v]) in values.iter_mut().zip(grads).zip(memory) {
        let grad = grad * scale;
        *m += (grad - *m) * (1.0 - first);
        *v = second * *v + (1.0 - second) * grad * grad;
        *value = *value * kept - step * *m / (v.sqrt() / root + EPS as f32);
    }
}

/// Adds the gradients of `more` to those of `sum`.
pub(super) fn add<'a>(
    sum: &mut GradStore,
    more: &GradStore,
    parameters: impl IntoIterator<Item = &'a Var>,
) -> Result<()> {
    for var in parameters {
        let Some(part) = more.get(var) else { continue };
        let total = match sum.get(var) {
            Some(sum) => (sum + part).map_err(fault)?,
            None => part.clone(),
        };
        sum.insert(var, total);
    }
    Ok(())
}

/// The length of all gradients together.
pub(super) fn norm<'a>(grads: &GradStore, parameters: impl IntoIterator<Item = &'a Var>) -> Result<f64> {
    let square = |grad: &Tensor| -> candle_core::Result<f64> {
        Ok(grad.flatten_all()?.to_vec1::<f32>()?.iter().map(|g| f64::from(*g).powi(2)).sum())
    };
    let squares = parameters.into_iter().filter_map(|var| grads.get(var)).map(square);
    Ok(squares.sum::<candle_core::Result<f64>>().map_err(fault)?.sqrt())
}

fn fault(e: candle_core::Error) -> Error {
    Error::new(e.to_string()).at("a step of the optimiser")
}

#[cfg(test)]
#[allow(clippy::excessive_precision)] // As PyTorch prints them.
mod tests {
    use candle_core::Device;

    use super::*;

    /// The parameter after steps with the gradients `[0.3, -0.2 * (i + 1), 0.05 * i]`, halved by hand and doubled by the
    /// scale.
    fn after(rule: Rule, paces: &[Pace]) -> Vec<f32> {
        let var = Var::from_tensor(&Tensor::new(&[0.5f32, -1.5, 2.0], &Device::Cpu).unwrap()).unwrap();
        let mut optimizer = Optimizer::new(rule, [("w", &var)]);
        for (i, pace) in paces.iter().enumerate() {
            let grad = [0.15, -0.1 * (i + 1) as f32, 0.025 * i as f32];
            let loss = (var.as_tensor() * Tensor::new(&grad, &Device::Cpu).unwrap()).unwrap().sum_all().unwrap();
            optimizer.step(*pace, &loss.backward().unwrap(), 2.0).unwrap();
        }
        assert_eq!(optimizer.steps() as usize, paces.len());
        var.to_vec1().unwrap()
    }

    fn close(found: Vec<f32>, expected: [f32; 3]) {
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 2e-7 * e.abs().max(1.0)), "{found:?}");
    }

    /// PyTorch 2.15's weights after the steps of [`after`].
    #[test]
    fn steps_are_pytorchs() {
        let cosine = |rate: f64, end: f64, of: usize| -> Vec<Pace> {
            let at = |i: usize| (std::f64::consts::PI * i as f64 / of as f64).cos();
            (0..of).map(|i| Pace { rate: end + (rate - end) * (1.0 + at(i)) / 2.0, momentum: None }).collect()
        };
        close(after(Rule::Adam { rate: 1e-3 }, &cosine(1e-3, 1e-5, 5)), [0.49698001, -1.49705648, 1.99837995]);
        let sgd = Rule::Sgd { rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01 };
        close(after(sgd, &cosine(0.1, 0.0, 4)), [0.30107468, -1.25772035, 1.96144223]);
        let cycled = [0.020000000000000018, 0.26, 0.5, 0.3750005, 0.12500150000000004, 2e-06];
        let momentums = [0.95, 0.9, 0.85, 0.875, 0.925, 0.95];
        let paces: Vec<_> = cycled.iter().zip(momentums).map(|(r, m)| Pace { rate: *r, momentum: Some(m) }).collect();
        let sgd = Rule::Sgd { rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        close(after(sgd, &paces), [-0.56792623, 0.18803374, 1.75597942]);
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
        let momentums =
            [0.95, 0.9, 0.85, 0.854951557, 0.868825510, 0.888873953, 0.911126047, 0.931174490, 0.945048443, 0.95];
        let paces: Vec<_> = rates.iter().zip(momentums).map(|(r, m)| Pace { rate: *r, momentum: Some(m) }).collect();
        let adamw = Rule::AdamW { rate: 1e-3, weight_decay: 1e-4 };
        close(after(adamw, &paces), [0.49184933, -1.49129283, 1.99164498]);
    }

    #[test]
    fn norms_and_sums_of_gradients() {
        let var = Var::from_tensor(&Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let grads = |values: [f32; 3]| {
            let loss = (var.as_tensor() * Tensor::new(&values, &Device::Cpu).unwrap()).unwrap().sum_all().unwrap();
            loss.backward().unwrap()
        };
        let mut sum = grads([3.0, 4.0, 12.0]);
        assert_eq!(norm(&sum, [&var]).unwrap(), 13.0);
        add(&mut sum, &grads([0.0, -4.0, -12.0]), [&var]).unwrap();
        assert_eq!(norm(&sum, [&var]).unwrap(), 3.0);
    }
}
