//! The other steps of a network in training.

use candle_core::{DType, Module, Result, Tensor, Var, bail};

use super::conv_gradient::Wanted;
use super::kernels::Set;
use super::tape::{Node, Tape};
use super::{Activation, Conv2d, Form, composed, cpu, pool};

impl Tape {
    /// Maps `[n, c, h, w]` as the steps of this tape take them, or from there back.
    pub fn maps(&mut self, x: Node) -> Result<Node> {
        if self.precision().is_none() { Ok(x) } else { composed::swap(self, x) }
    }

    /// The convolution of `x` with `weight`, without bias; the form's activation must be none.
    pub fn conv(&mut self, x: Node, weight: &Var, form: Form) -> Result<Node> {
        if let Some(precision) = self.precision() {
            return composed::conv(self, x, weight, form, precision);
        }
        let (_, inputs, h, w) = x.value().dims4()?;
        let bias = Tensor::zeros(weight.dim(0)?, x.value().dtype(), x.value().device())?;
        // Of the variable itself, so that nothing is prepared for later passes.
        let conv = Conv2d::new(weight.as_tensor().clone(), bias, form)?;
        let weight = self.parameter(weight);
        let plan = conv.plan((inputs, h, w))?;
        if plan.activation != Activation::Identity {
            bail!("in training an activation is a step of its own");
        }
        let (input, weights) = (x.value().clone(), weight.value().clone());
        let wanted = Wanted { input: x.is_tracked(), ..Wanted::BOTH };
        let outputs = weights.dim(0)?;
        let y = match plan.is_transformed(inputs, outputs) {
            true => {
                let through =
                    |x: &[f32]| cpu::read(&weights, |weight| Ok(plan.transformed(Set::best(), x, weight, inputs)));
                let shape = (x.value().dim(0)?, outputs, h, w);
                Tensor::from_vec(cpu::read(&input.contiguous()?, through)?, shape, input.device())?
            }
            false => conv.forward(x.value())?.detach(),
        };
        Ok(self.push(&[&x, &weight], y, move |grad| {
            let (dx, dw) = plan.backward(Set::best(), &input, &weights, &grad, wanted)?;
            Ok(vec![dx, dw])
        }))
    }

    /// `x * weight^T + bias` of `[n, inputs]`, f32 whatever the product is computed in.
    pub fn linear(&mut self, x: Node, weight: &Var, bias: Option<&Var>) -> Result<Node> {
        let precision = self.precision().unwrap_or(DType::F32);
        let weight = self.parameter(weight);
        let bias = bias.map(|bias| self.parameter(bias));
        let (input, weights) = (x.value().to_dtype(precision)?, weight.value().to_dtype(precision)?);
        let mut y = input.matmul(&weights.t()?)?.to_dtype(DType::F32)?;
        if let Some(bias) = &bias {
            y = y.broadcast_add(bias.value())?;
        }
        let with_bias = bias.is_some();
        let inputs: Vec<_> = [Some(&x), Some(&weight), bias.as_ref()].into_iter().flatten().collect();
        Ok(self.push(&inputs, y, move |grad| {
            let part = grad.to_dtype(precision)?;
            let products = [part.matmul(&weights)?, part.t()?.matmul(&input)?];
            let mut gradients =
                products.into_iter().map(|g| g.to_dtype(DType::F32).map(Some)).collect::<Result<Vec<_>>>()?;
            if with_bias {
                gradients.push(Some(grad.sum(0)?));
            }
            Ok(gradients)
        }))
    }

    /// The activation of every value.
    pub fn activation(&mut self, x: Node, activation: Activation) -> Result<Node> {
        let y = activation.forward(x.value())?;
        let (results, is_composed) = (y.clone(), self.precision().is_some());
        Ok(self.push(&[&x], y, move |grad| {
            let before =
                if is_composed { activation.passed(&results, &grad) } else { activation.gradient(&results, &grad) };
            Ok(vec![Some(before?)])
        }))
    }

    /// See [`max_pool_3`](super::max_pool_3).
    pub fn max_pool_3(&mut self, x: Node) -> Result<Node> {
        if self.precision().is_some() {
            return composed::max_pool_3(self, x);
        }
        let (y, input) = (pool::max_pool_3(x.value())?, x.value().clone());
        Ok(self.push(&[&x], y, move |grad| Ok(vec![Some(pool::max_pool_3_gradient(&input, &grad)?)])))
    }

    /// See [`avg_pool_2`](super::avg_pool_2).
    pub fn avg_pool_2(&mut self, x: Node) -> Result<Node> {
        if self.precision().is_some() {
            return composed::avg_pool_2(self, x);
        }
        let (y, shape) = (pool::avg_pool_2(x.value())?, x.value().shape().clone());
        Ok(self.push(&[&x], y, move |grad| Ok(vec![Some(pool::avg_pool_2_gradient(&shape, &grad)?)])))
    }

    /// See [`global_average`](super::global_average).
    pub fn global_average(&mut self, x: Node) -> Result<Node> {
        if self.precision().is_some() {
            return composed::global_average(self, x);
        }
        let (y, shape) = (pool::global_average(x.value())?, x.value().shape().clone());
        Ok(self.push(&[&x], y, move |grad| Ok(vec![Some(pool::global_average_gradient(&shape, &grad)?)])))
    }

    /// `x * mask`, where the mask has the shape of `x`: dropout, say.
    pub fn masked(&mut self, x: Node, mask: Tensor) -> Result<Node> {
        let y = (x.value() * &mask)?;
        Ok(self.push(&[&x], y, move |grad| Ok(vec![Some((grad * mask)?)])))
    }
}

/// What `with` does to the values of a parameter, given those of its gradient: a step of an optimiser.
pub fn update(parameter: &Var, grad: &Tensor, with: impl FnOnce(&mut [f32], &[f32])) -> Result<()> {
    cpu::read(&grad.contiguous()?, |grad| {
        cpu::write(parameter.as_tensor(), |values| {
            with(values, grad);
            Ok(())
        })
    })
}
