//! Convolution of the feature maps of inference.

use candle_core::{Module, Result, Tensor, bail};

use super::conv::Plan;
use super::geometry::Axis;
use super::kernels::{Channelwise, Direct, Expand, Grid, Set, Taps, Weights};
use super::maps::{Layer, Maps};
use super::{Activation, Conv2d, Form, cpu};

/// The weights of a convolution as its kernel reads them.
#[derive(Debug)]
pub(super) enum Ready {
    Direct(Weights),
    Depthwise(Taps),
}

impl Ready {
    /// Of `weight` `[outputs, inputs / groups, height, width]` and `bias` `[outputs]`; none if no kernel is for them.
    pub fn new(set: Set, weight: &Tensor, bias: &Tensor, form: &Form) -> Result<Option<Self>> {
        let (_, inputs, kh, kw) = weight.dims4()?;
        let axis = |kernel: usize| Axis::new(kernel.max(64), kernel, form.stride, form.padding);
        let (rows, columns) = (axis(kh)?, axis(kw)?);
        let lanes = set.lanes();
        cpu::read(weight, |weight| {
            cpu::read(bias, |bias| {
                let planar = inputs < lanes / 2 && form.groups == 1 && form.stride == 2;
                Ok(
                    if weight.len() == bias.len() * 9
                        && form.groups == bias.len()
                        && Channelwise::covers(&rows, &columns)
                    {
                        Some(Self::Depthwise(Taps::new(set, weight, bias)))
                    } else if planar {
                        Some(Self::Direct(Weights::new(set, weight, bias, inputs, 1)))
                    } else if form.groups == 1 && Direct::covers(&rows, &columns, lanes) {
                        Some(Self::Direct(Weights::new(set, weight, bias, inputs, lanes)))
                    } else {
                        None
                    },
                )
            })
        })
    }
}

impl Layer for Conv2d {
    fn infer(&self, x: &Maps) -> Result<Maps> {
        self.infer_onto(x, None, self.form.activation)
    }
}

impl Conv2d {
    /// `activation(convolution(x) + bias + residual)`; `residual` has the shape of the result.
    pub fn infer_onto(&self, x: &Maps, residual: Option<&Maps>, activation: Activation) -> Result<Maps> {
        let plan = self.plan((x.channels, x.height, x.width))?;
        let Some(ready) = self.ready() else {
            let y = self.forward(&x.tensor()?)?;
            return match residual {
                Some(residual) => Maps::of(&super::add_activation(&y, &residual.tensor()?, activation)?),
                None => Maps::of(&y),
            };
        };
        let (height, width) = (plan.rows.output, plan.columns.output);
        let mut out = Maps::stale(x.set, self.outputs(), height, width);
        if let Some(r) = residual
            && (r.channels, r.height, r.width, r.span) != (out.channels, height, width, out.span)
        {
            bail!("a residual of {}x{}x{} for {}x{height}x{width}", r.channels, r.height, r.width, out.channels);
        }
        let limits = activation.limits();
        match ready {
            Ready::Direct(weights) => {
                let Plan { rows, columns, .. } = plan;
                let padded =
                    (weights.span() == 1).then(|| x.padded(rows.before, rows.after, columns.before, columns.after));
                let blocked = (weights.span() > 1 && x.span == 1).then(|| x.blocked());
                let x = padded.as_ref().or(blocked.as_ref()).unwrap_or(x);
                let (rows, columns) = match padded {
                    Some(_) => (rows.padded(), columns.padded()),
                    None => (rows, columns),
                };
                let residual = residual.map(|r| &r.values[..]);
                direct(weights, x, (rows, columns), residual, limits, out.grid()).run(&mut out.values);
            }
            Ready::Depthwise(taps) => {
                let blocked = (x.span == 1).then(|| x.blocked());
                let x = blocked.as_ref().unwrap_or(x);
                let depthwise = Channelwise { taps, rows: plan.rows, columns: plan.columns, limits };
                depthwise.run(&x.values, &mut out.values);
            }
        }
        Ok(out)
    }

    /// `depthwise(self(x))` without the whole of what lies between.
    pub fn infer_expanded(&self, depthwise: &Self, x: &Maps) -> Result<Maps> {
        let (Some(Ready::Direct(weights)), Some(Ready::Depthwise(taps))) = (self.ready(), depthwise.ready()) else {
            return depthwise.infer(&self.infer(x)?);
        };
        let plan = self.plan((x.channels, x.height, x.width))?;
        if !(plan.rows.is_pointwise() && plan.columns.is_pointwise() && x.span == weights.span()) {
            return depthwise.infer(&self.infer(x)?);
        }
        let Plan { rows, columns, .. } = depthwise.plan((self.outputs(), x.height, x.width))?;
        let mut out = Maps::stale(x.set, depthwise.outputs(), rows.output, columns.output);
        let expand = direct(
            weights,
            x,
            (plan.rows, plan.columns),
            None,
            self.form.activation.limits(),
            Grid { row: 0, block: 0 },
        );
        let limits = depthwise.form.activation.limits();
        Expand { expand, depthwise: Channelwise { taps, rows, columns, limits } }.run(&mut out.values);
        Ok(out)
    }
}

/// The convolution of maps along these axes; a pointwise one takes all pixels as one row.
pub(super) fn direct<'a>(
    weights: &'a Weights,
    x: &'a Maps,
    (rows, columns): (Axis, Axis),
    residual: Option<&'a [f32]>,
    limits: (f32, f32),
    to: Grid,
) -> Direct<'a> {
    let (rows, columns) = match rows.is_pointwise() && columns.is_pointwise() {
        true => (Axis::pointwise(1), Axis::pointwise(x.area())),
        false => (rows, columns),
    };
    Direct { weights, x: &x.values, from: x.grid(), rows, columns, residual, limits, to }
}
