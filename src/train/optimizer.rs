//! Stochastic gradient descent, Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), step by step as
//! PyTorch takes them.

mod flat;

use candle_core::backprop::GradStore;
use candle_core::{Result as CandleResult, Tensor, Var};
use rayon::prelude::*;

use self::flat::Flat;
use super::recipe::Optimizer as Rule;
use super::schedule::Pace;
use crate::error::{Error, Result};
use crate::models;
use crate::ops;

/// The decays of Adam's two moments, and what is added to the root of the second: PyTorch's defaults.
const DECAYS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;

/// Changes parameters by their gradients.
pub struct Optimizer {
    rule: Rule,
    steps: u32,
    state: State,
}

/// Parameters and what is remembered of their gradients: Adam's two moments, or the velocity.
enum State {
    Cpu(Vec<Parameter>),
    Device(Flat),
}

struct Parameter {
    name: String,
    var: Var,
    memory: Vec<[f32; 2]>,
}

impl Optimizer {
    /// For these parameters, all on one device.
    pub fn new<'a>(rule: Rule, parameters: impl IntoIterator<Item = (&'a str, &'a Var)>) -> Result<Self> {
        let parameters: Vec<_> = parameters.into_iter().map(|(name, var)| (name.to_owned(), var.clone())).collect();
        let state = match parameters.iter().all(|(_, var)| var.device().is_cpu()) {
            true => {
                let parameter = |(name, var): (String, Var)| {
                    let memory = vec![[0.0; 2]; var.elem_count()];
                    Parameter { name, var, memory }
                };
                State::Cpu(parameters.into_iter().map(parameter).collect())
            }
            false => State::Device(Flat::new(parameters).map_err(fault)?),
        };
        Ok(Self { rule, steps: 0, state })
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// What is remembered of each parameter, by name: two numbers a value, side by side.
    pub(super) fn memory(&self) -> Result<Vec<(&str, Vec<f32>)>> {
        match &self.state {
            State::Cpu(parameters) => {
                Ok(parameters.iter().map(|p| (p.name.as_str(), p.memory.as_flattened().to_vec())).collect())
            }
            State::Device(flat) => flat.memory().map_err(fault),
        }
    }

    /// Puts back what was remembered after `steps` steps; `take` gives it by name and length.
    pub(super) fn restore(&mut self, steps: u32, mut take: impl FnMut(&str, usize) -> Result<Vec<f32>>) -> Result<()> {
        self.steps = steps;
        match &mut self.state {
            State::Cpu(parameters) => {
                for parameter in parameters {
                    let values = take(&parameter.name, 2 * parameter.memory.len())?;
                    parameter.memory = values.as_chunks::<2>().0.to_vec();
                }
            }
            State::Device(flat) => {
                let lists = flat.parameters().map(|(name, var)| take(name, 2 * var.elem_count()));
                let lists = lists.collect::<Result<Vec<_>>>()?;
                flat.restore(&lists.concat()).map_err(fault)?;
            }
        }
        Ok(())
    }

    /// Changes every parameter that has a gradient, which is multiplied by `scale` first.
    pub fn step(&mut self, pace: Pace, grads: &GradStore, scale: f32) -> Result<()> {
        self.steps += 1;
        let change = Change::new(self.rule, pace, self.steps);
        match &mut self.state {
            State::Cpu(parameters) => {
                let each = parameters.par_iter_mut().try_for_each(|p| {
                    let Some(grad) = grads.get(&p.var) else { return Ok(()) };
                    ops::update(&p.var, grad, |values, grads| match &change {
                        Change::Descent(by) => sgd(values, grads, &mut p.memory, scale, by),
                        Change::Adam(by) => adam(values, grads, &mut p.memory, scale, by),
                    })
                });
                each.map_err(fault)
            }
            State::Device(flat) => flat.step(&change, grads, scale).map_err(fault),
        }
    }

    /// Adds the gradients of `more` to those of `sum`.
    pub(super) fn add(&self, sum: &mut GradStore, more: &GradStore) -> Result<()> {
        for var in self.vars() {
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
    pub(super) fn norm(&self, grads: &GradStore) -> Result<f64> {
        let square = |grad: &Tensor| -> CandleResult<f64> {
            Ok(grad.flatten_all()?.to_vec1::<f32>()?.iter().map(|g| f64::from(*g).powi(2)).sum())
        };
        let squares = match &self.state {
            State::Cpu(_) => self.vars().filter_map(|var| grads.get(var)).map(square).sum(),
            State::Device(flat) => flat.squares(grads),
        };
        Ok(squares.map_err(fault)?.sqrt())
    }

    fn vars(&self) -> Box<dyn Iterator<Item = &Var> + '_> {
        match &self.state {
            State::Cpu(parameters) => Box::new(parameters.iter().map(|p| &p.var)),
            State::Device(flat) => Box::new(flat.parameters().map(|(_, var)| var)),
        }
    }
}

/// What one step does to every value.
enum Change {
    Descent(Descent),
    Adam(Adam),
}

struct Descent {
    rate: f32,
    momentum: f32,
    nesterov: bool,
    decay: f32,
}

struct Adam {
    /// Length of the step, the first moment's bias taken out.
    step: f32,
    /// Root of the second moment's bias.
    root: f32,
    /// Share of the values that weight decay leaves.
    kept: f32,
    first: f32,
    second: f32,
}

impl Change {
    /// The `steps`th step, from 1.
    fn new(rule: Rule, pace: Pace, steps: u32) -> Self {
        let weight_decay = match rule {
            Rule::Sgd { momentum, nesterov, weight_decay, .. } => {
                let momentum = pace.momentum.unwrap_or(momentum) as f32;
                return Self::Descent(Descent {
                    rate: pace.rate as f32,
                    momentum,
                    nesterov,
                    decay: weight_decay as f32,
                });
            }
            Rule::Adam { .. } => 0.0,
            Rule::AdamW { weight_decay, .. } => weight_decay,
        };
        let decays = (pace.momentum.unwrap_or(DECAYS.0), DECAYS.1);
        let bias = |decay: f64| 1.0 - libm::pow(decay, f64::from(steps));
        Self::Adam(Adam {
            step: (pace.rate / bias(decays.0)) as f32,
            root: bias(decays.1).sqrt() as f32,
            kept: (1.0 - pace.rate * weight_decay) as f32,
            first: decays.0 as f32,
            second: decays.1 as f32,
        })
    }
}

fn sgd(values: &mut [f32], grads: &[f32], memory: &mut [[f32; 2]], scale: f32, by: &Descent) {
    let &Descent { rate, momentum, nesterov, decay } = by;
    for ((value, grad), [velocity, _]) in values.iter_mut().zip(grads).zip(memory) {
        let grad = grad * scale + decay * *value;
        *velocity = momentum * *velocity + grad;
        *value -= rate * if nesterov { grad + momentum * *velocity } else { *velocity };
    }
}

fn adam(values: &mut [f32], grads: &[f32], memory: &mut [[f32; 2]], scale: f32, by: &Adam) {
    let &Adam { step, root, kept, first, second } = by;
    for ((value, grad), [m, v]) in values.iter_mut().zip(grads).zip(memory) {
        let grad = grad * scale;
        *m += (grad - *m) * (1.0 - first);
        *v = second * *v + (1.0 - second) * grad * grad;
        *value = *value * kept - step * *m / (v.sqrt() / root + EPS as f32);
    }
}

fn fault(e: candle_core::Error) -> Error {
    models::fault(e).at("a step of the optimiser")
}

#[cfg(test)]
#[allow(clippy::excessive_precision)] // As PyTorch prints them.
mod tests {
    use candle_core::Device;

    use super::*;

    fn var(values: &[f32]) -> Var {
        Var::new(values, &Device::Cpu).unwrap()
    }

    /// The optimiser of parameters on another device, here for those on the CPU.
    fn flat(rule: Rule, parameters: &[(&str, &Var)]) -> Optimizer {
        let parameters = parameters.iter().map(|(name, var)| ((*name).to_owned(), (*var).clone())).collect();
        Optimizer { rule, steps: 0, state: State::Device(Flat::new(parameters).unwrap()) }
    }

    /// What depends on each parameter by these numbers.
    fn grads(of: &[(&Var, &[f32])]) -> GradStore {
        let part = |(var, grad): &(&Var, &[f32])| (var.as_tensor() * Tensor::new(*grad, &Device::Cpu)?)?.sum_all();
        let parts: Vec<_> = of.iter().map(|of| part(of).unwrap()).collect();
        Tensor::stack(&parts, 0).unwrap().sum_all().unwrap().backward().unwrap()
    }

    /// Parameters after steps with the gradients `[0.3, -0.2 * (i + 1), 0.05 * i]`, halved by hand and doubled by the
    /// scale; half of the steps by an optimiser that takes over the other's memory.
    fn after(paces: &[Pace], new: impl Fn(&[(&str, &Var)]) -> Optimizer) -> Vec<f32> {
        let (a, b) = (var(&[0.5, -1.5]), var(&[2.0]));
        let parameters = [("a", &a), ("b", &b)];
        let mut optimizer = new(&parameters);
        for (i, pace) in paces.iter().enumerate() {
            let grad = [0.15, -0.1 * (i + 1) as f32, 0.025 * i as f32];
            optimizer.step(*pace, &grads(&[(&a, &grad[..2]), (&b, &grad[2..])]), 2.0).unwrap();
            if 2 * i == paces.len() {
                let memory = optimizer.memory().unwrap();
                let mut next = new(&parameters);
                let take = |name: &str, length| {
                    let values = memory.iter().find(|(n, _)| *n == name).unwrap().1.clone();
                    assert_eq!(values.len(), length);
                    Ok(values)
                };
                next.restore(optimizer.steps(), take).unwrap();
                assert_eq!(next.memory().unwrap(), memory);
                drop(memory);
                optimizer = next;
            }
        }
        assert_eq!(optimizer.steps() as usize, paces.len());
        [a, b].iter().flat_map(|var| var.to_vec1::<f32>().unwrap()).collect()
    }

    fn close(rule: Rule, paces: &[Pace], expected: [f32; 3]) {
        let found = after(paces, |parameters| Optimizer::new(rule, parameters.iter().copied()).unwrap());
        let device = after(paces, |parameters| flat(rule, parameters));
        for found in [found, device] {
            assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 2e-7 * e.abs().max(1.0)), "{found:?}");
        }
    }

    /// PyTorch 2.15's weights after the steps of [`after`].
    #[test]
    fn steps_are_pytorchs() {
        let cosine = |rate: f64, end: f64, of: usize| -> Vec<Pace> {
            let at = |i: usize| (std::f64::consts::PI * i as f64 / of as f64).cos();
            (0..of).map(|i| Pace { rate: end + (rate - end) * (1.0 + at(i)) / 2.0, momentum: None }).collect()
        };
        close(Rule::Adam { rate: 1e-3 }, &cosine(1e-3, 1e-5, 5), [0.49698001, -1.49705648, 1.99837995]);
        let sgd = Rule::Sgd { rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01 };
        close(sgd, &cosine(0.1, 0.0, 4), [0.30107468, -1.25772035, 1.96144223]);
        let cycled = [0.020000000000000018, 0.26, 0.5, 0.3750005, 0.12500150000000004, 2e-06];
        let momentums = [0.95, 0.9, 0.85, 0.875, 0.925, 0.95];
        let paces: Vec<_> = cycled.iter().zip(momentums).map(|(r, m)| Pace { rate: *r, momentum: Some(m) }).collect();
        let sgd = Rule::Sgd { rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        close(sgd, &paces, [-0.56792623, 0.18803374, 1.75597942]);
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
        close(adamw, &paces, [0.49184933, -1.49129283, 1.99164498]);
    }

    #[test]
    fn norms_and_sums_of_gradients() {
        let (a, b) = (var(&[0.0, 0.0]), var(&[0.0]));
        let rule = Rule::Adam { rate: 1e-3 };
        let parameters = [("a", &a), ("b", &b)];
        for optimizer in [Optimizer::new(rule, parameters).unwrap(), flat(rule, &parameters)] {
            let mut sum = grads(&[(&a, &[3.0, 4.0]), (&b, &[12.0])]);
            assert_eq!(optimizer.norm(&sum).unwrap(), 13.0);
            optimizer.add(&mut sum, &grads(&[(&a, &[0.0, -4.0]), (&b, &[-12.0])])).unwrap();
            assert_eq!(optimizer.norm(&sum).unwrap(), 3.0);
            let infinite = grads(&[(&a, &[0.0, f32::INFINITY]), (&b, &[1.0])]);
            assert!(!optimizer.norm(&infinite).unwrap().is_finite());
        }
    }
}
