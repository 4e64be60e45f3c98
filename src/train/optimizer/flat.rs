//! Steps of an optimiser on another device than the CPU: all parameters lie one behind the other in one tensor, so that a
//! step is a few operations on all of them and not on each.

use candle_core::backprop::GradStore;
use candle_core::{Error, Result, Tensor, Var};

use super::{Adam, Change, Descent, EPS};

/// Sums that a device takes side by side.
const ROWS: usize = 1024;

/// Parameters, their values, and what is remembered of their gradients.
pub(super) struct Flat {
    parameters: Vec<(String, Var)>,
    values: Tensor,
    memory: [Tensor; 2],
}

impl Flat {
    /// For these parameters, all on one device.
    pub fn new(parameters: Vec<(String, Var)>) -> Result<Self> {
        let values = joined(parameters.iter().map(|(_, var)| Ok(var.as_detached_tensor())))?;
        let zeros = values.zeros_like()?;
        Ok(Self { parameters, values, memory: [zeros.clone(), zeros] })
    }

    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.parameters.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// What is remembered of each parameter: two numbers a value, side by side.
    pub fn memory(&self) -> Result<Vec<(&str, Vec<f32>)>> {
        let [first, second] = [self.memory[0].to_vec1::<f32>()?, self.memory[1].to_vec1::<f32>()?];
        let mut pairs = first.into_iter().zip(second);
        let of = |(name, var): (_, &Var)| {
            let pairs = pairs.by_ref().take(var.elem_count());
            (name, pairs.flat_map(|(first, second)| [first, second]).collect())
        };
        Ok(self.parameters().map(of).collect())
    }

    /// Puts back what was remembered, of one parameter behind the other.
    pub fn restore(&mut self, memory: &[f32]) -> Result<()> {
        let part = |i: usize| -> Result<Tensor> {
            let values: Vec<_> = memory.as_chunks::<2>().0.iter().map(|pair| pair[i]).collect();
            Tensor::from_vec(values, self.values.shape(), self.values.device())
        };
        self.memory = [part(0)?, part(1)?];
        Ok(())
    }

    /// Changes every parameter by its gradient, which is multiplied by `scale` first.
    pub fn step(&mut self, change: &Change, grads: &GradStore, scale: f32) -> Result<()> {
        let grad = (self.gradient(grads)? * f64::from(scale))?;
        let [first, second] = &self.memory;
        let (values, memory) = match *change {
            Change::Descent(Descent { rate, momentum, nesterov, decay }) => {
                let grad = (grad + (&self.values * f64::from(decay))?)?;
                let velocity = ((first * f64::from(momentum))? + &grad)?;
                let by = if nesterov { (grad + (&velocity * f64::from(momentum))?)? } else { velocity.clone() };
                ((&self.values - (by * f64::from(rate))?)?, [velocity, second.clone()])
            }
            Change::Adam(Adam { step, root, kept, first: decay, second: slower }) => {
                let first = (first + ((&grad - first)? * f64::from(1.0 - decay))?)?;
                let second = ((second * f64::from(slower))? + (grad.sqr()? * f64::from(1.0 - slower))?)?;
                let below = ((second.sqrt()? / f64::from(root))? + EPS)?;
                let by = ((&first * f64::from(step))? / below)?;
                (((&self.values * f64::from(kept))? - by)?, [first, second])
            }
        };
        let mut start = 0;
        for (_, var) in &self.parameters {
            let length = var.elem_count();
            var.set(&values.narrow(0, start, length)?.reshape(var.shape())?)?;
            start += length;
        }
        (self.values, self.memory) = (values, memory);
        Ok(())
    }

    /// The sum of the squares of all gradients.
    pub fn squares(&self, grads: &GradStore) -> Result<f64> {
        let squares = self.gradient(grads)?.sqr()?;
        let count = squares.elem_count();
        let rows = squares.pad_with_zeros(0, 0, count.next_multiple_of(ROWS) - count)?.reshape((ROWS, ()))?;
        Ok(f64::from(rows.sum(1)?.sum_all()?.to_scalar::<f32>()?))
    }

    /// The gradients of all parameters, one behind the other.
    fn gradient(&self, grads: &GradStore) -> Result<Tensor> {
        joined(
            self.parameters.iter().map(|(name, var)| {
                grads.get(var).cloned().ok_or_else(|| Error::Msg(format!("`{name}` has no gradient")))
            }),
        )
    }
}

fn joined(tensors: impl Iterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let parts = tensors.map(|tensor| tensor?.flatten_all()).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts, 0)
}
