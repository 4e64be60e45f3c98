//! What training makes small.

use candle_core::{D, Device, Result as CandleResult, Tensor};

use super::recipe;
use crate::error::{Error, Result};
use crate::models;
use crate::predictions::{Policy, Truth};

/// What 002's loss adds to a probability before its logarithm is taken.
const EPS: f64 = 1e-7;

/// A loss that is ready to be computed.
#[derive(Debug, Clone)]
pub enum Loss {
    /// Binary cross-entropy of the logits, the mean over all known labels.
    Bce,
    /// Weighted by the prevalence of each label; see [`recipe::Loss::PrevalenceWeightedBce`].
    PrevalenceWeighted(Vec<f32>),
}

/// The truths of a batch.
pub struct Targets {
    /// `[n, labels]`: 1 where the label is present.
    y: Tensor,
    /// `[n, labels]`: 1 where it is known at all, else 0.
    known: Tensor,
    /// Known values in all.
    count: usize,
}

impl Targets {
    /// Of `n` images, `None` where a truth is not known.
    pub fn new(truths: &[Option<bool>], n: usize) -> Result<Self> {
        let tensor = |of: fn(&Option<bool>) -> bool| {
            let values: Vec<f32> = truths.iter().map(|t| f32::from(u8::from(of(t)))).collect();
            Tensor::from_vec(values, (n, truths.len() / n.max(1)), &Device::Cpu).map_err(fault)
        };
        let count = truths.iter().flatten().count();
        Ok(Self { y: tensor(|t| *t == Some(true))?, known: tensor(Option::is_some)?, count })
    }

    /// The same on a device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let moved = |tensor: &Tensor| tensor.to_device(device).map_err(fault);
        Ok(Self { y: moved(&self.y)?, known: moved(&self.known)?, count: self.count })
    }

    /// Known values in all.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// The truths of one image in the order of the network's labels, `None` where the policy leaves one out.
pub fn truths(policy: Policy, truths: &[Truth], places: &[usize]) -> Vec<Option<bool>> {
    places.iter().map(|place| policy.positive(truths[*place])).collect()
}

impl Loss {
    /// As the recipe says, for labels of these prevalences among the images to learn from.
    pub fn new(recipe: recipe::Loss, prevalences: &[f64]) -> Self {
        match recipe {
            recipe::Loss::Bce => Self::Bce,
            recipe::Loss::PrevalenceWeightedBce => {
                Self::PrevalenceWeighted(prevalences.iter().map(|p| *p as f32).collect())
            }
        }
    }

    /// The loss of logits `[n, labels]`, a scalar; 0 where nothing is known.
    pub fn of(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor> {
        match self {
            Self::Bce => bce(logits, targets),
            Self::PrevalenceWeighted(prevalences) => weighted(logits, targets, prevalences),
        }
        .map_err(fault)
    }
}

fn bce(z: &Tensor, targets: &Targets) -> CandleResult<Tensor> {
    // log(1 + exp(-|z|)) does not overflow.
    let rest = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let each = ((z.relu()? - (z * &targets.y)?)? + rest)?;
    (each * &targets.known)?.sum_all()? / targets.count.max(1) as f64
}

fn weighted(z: &Tensor, targets: &Targets, prevalences: &[f32]) -> CandleResult<Tensor> {
    let Targets { y, known, .. } = targets;
    let prevalence = Tensor::new(prevalences, z.device())?.unsqueeze(0)?;
    let p = (z.neg()?.exp()? + 1.0)?.recip()?;
    let present = y.broadcast_mul(&(1.0 - &prevalence)?)?.mul(&(&p + EPS)?.log()?)?;
    let absent = (known - y)?.broadcast_mul(&prevalence)?.mul(&((1.0 - p)? + EPS)?.log()?)?;
    let counts = known.sum(0)?.maximum(1.0)?;
    (present + absent)?.sum(0)?.div(&counts)?.sum(D::Minus1)?.neg()
}

fn fault(e: candle_core::Error) -> Error {
    models::fault(e).at("the loss")
}

#[cfg(test)]
#[allow(clippy::excessive_precision)] // As PyTorch prints them.
mod tests {
    use candle_core::Var;

    use super::*;

    /// PyTorch 2.15: `binary_cross_entropy_with_logits(z, y, reduction="none")` masked and averaged, and 002's formula,
    /// with their gradients.
    #[test]
    fn masked_losses_and_gradients_are_pytorchs() {
        let z = [[0.3f32, -2.0], [1.5, 4.0], [-0.7, 0.1]];
        let z = Var::from_tensor(&Tensor::new(&z, &Device::Cpu).unwrap()).unwrap();
        let truths = [Some(true), Some(false), Some(false), None, None, Some(false)];
        let targets = Targets::new(&truths, 3).unwrap();
        assert_eq!(targets.count(), 4);
        let bce = (0.78177333, [-0.10638937, 0.02980073, 0.20439361, 0.0, 0.0, 0.13124479]);
        let weighted = (0.50879526, [-0.19150084, 0.02384058, 0.04087870, 0.0, 0.0, 0.10499581]);
        for (loss, (value, grads)) in [(Loss::Bce, bce), (Loss::PrevalenceWeighted(vec![0.1, 0.4]), weighted)] {
            let found = loss.of(&z, &targets).unwrap();
            assert!((found.to_scalar::<f32>().unwrap() - value).abs() < 1e-6, "{loss:?}: {found}");
            let found = found.backward().unwrap().get(&z).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(found.iter().zip(grads).all(|(f, g): (&f32, f32)| (f - g).abs() < 1e-6), "{loss:?}: {found:?}");
        }
        let unknown = Targets::new(&[None; 6], 3).unwrap();
        assert_eq!(Loss::Bce.of(&z, &unknown).unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }
}
