//! Convolution of the feature maps of inference.

use candle_core::{Module, Result, Tensor, bail};

use super::geometry::Axis;
use super::kernels::{Channelwise, Direct, Expand, Grid, Set, Taps, Transformed, Weights, Winograd};
use super::maps::{Layer, Maps};
use super::plan::{Plan, is_transformable, pays};
use super::{Activation, Conv2d, Form, cpu};

/// The weights of a convolution as its kernel reads them.
#[derive(Debug)]
pub(super) enum Ready {
    /// Also transformed, where that pays.
    Direct(Weights, Option<Transformed>),
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
                        Some(Self::Direct(Weights::new(set, weight, bias, inputs, 1), None))
                    } else if form.groups == 1 && Direct::covers(&rows, &columns, lanes) {
                        let transformed = is_transformable(&rows, &columns, inputs, bias.len())
                            .then(|| Transformed::new(set, weight, bias, inputs));
                        Some(Self::Direct(Weights::new(set, weight, bias, inputs, lanes), transformed))
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
        // No network adds anything to a depthwise convolution.
        let Some(ready) = self.ready().filter(|ready| residual.is_none() || matches!(ready, Ready::Direct(..))) else {
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
            Ready::Direct(_, Some(weights)) if pays(&plan) => {
                let Plan { rows, columns, .. } = plan;
                let blocked = (x.span == 1).then(|| x.blocked());
                let x = &blocked.as_ref().unwrap_or(x).values;
                let residual = residual.map(|r| &r.values[..]);
                Winograd { weights, x, rows, columns, residual, limits }.run(&mut out.values);
            }
            Ready::Direct(weights, _) => {
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
        let (Some(Ready::Direct(weights, _)), Some(Ready::Depthwise(taps))) = (self.ready(), depthwise.ready()) else {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::conv::tests::reference;
    use crate::ops::{MaxPool, Padding, ScaleShift, avg_pool_2, max_pool_3};
    use candle_core::Device;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn random(shape: &[usize]) -> Tensor {
        Tensor::rand(-1f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    fn flat(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn maps(set: Set, x: &Tensor) -> Maps {
        Maps { set, ..Maps::of(x).unwrap() }
    }

    /// A convolution with weights for a set.
    fn conv(set: Set, weight: &Tensor, bias: &Tensor, form: Form) -> Conv2d {
        let mut conv = Conv2d::new(weight.clone(), bias.clone(), form).unwrap();
        conv.ready = Ready::new(set, weight, bias, &form).unwrap().map(Arc::new);
        conv
    }

    #[test]
    fn channels_in_registers_and_back() {
        for set in Set::available() {
            for channels in [1, 3, 16, 19] {
                let x = random(&[1, channels, 5, 7]);
                assert_eq!(flat(&maps(set, &x).blocked().tensor().unwrap()), flat(&x));
            }
        }
        assert!(Maps::of(&random(&[2, 1, 1, 1])).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn every_set_equals_the_definition(
            (inputs, outputs, groups) in (1usize..48, 1usize..48, 0usize..6),
            (h, w, kernel) in (7usize..32, 7usize..32, prop::sample::select(vec![(1, 1), (3, 3), (3, 3), (2, 3), (7, 7)])),
            (stride, padding, onto) in (1usize..4, 0usize..5, any::<bool>()),
        ) {
            // Mostly one group, at times as many as channels, at times two.
            let (inputs, outputs, groups) = match groups {
                0 => (inputs, inputs, inputs),
                1 => (2 * inputs, 2 * outputs, 2),
                _ => (inputs, outputs, 1),
            };
            let padding = if padding == 4 { Padding::Same } else { Padding::Sides(padding) };
            let activation = [Activation::Identity, Activation::Relu, Activation::Relu6][h % 3];
            let form = Form { stride, padding, groups, activation: if onto { Activation::Identity } else { activation } };
            let weight = random(&[outputs, inputs / groups, kernel.0, kernel.1]);
            let (bias, x) = (random(&[outputs]), random(&[1, inputs, h, w]));
            for set in Set::available() {
                let conv = conv(set, &weight, &bias, form);
                let plan = conv.plan((inputs, h, w)).unwrap();
                let mut expected = reference(&plan, &flat(&x), &flat(&weight), &flat(&bias));
                let x = maps(set, &x);
                let shape = (1, outputs, plan.rows.output, plan.columns.output);
                let y = if onto {
                    let residual = Tensor::rand(-1f32, 1.0, shape, &Device::Cpu).unwrap();
                    let (low, high) = activation.limits();
                    for (e, r) in expected.iter_mut().zip(flat(&residual)) {
                        *e = (*e + f64::from(r)).clamp(low.into(), high.into());
                    }
                    let residual = maps(set, &residual).blocked();
                    conv.infer_onto(&x, Some(&residual), activation).unwrap()
                } else {
                    conv.infer(&x).unwrap()
                };
                let y = y.tensor().unwrap();
                prop_assert_eq!(y.dims4().unwrap(), shape);
                for (y, e) in flat(&y).iter().zip(&expected) {
                    prop_assert!((f64::from(*y) - e).abs() < 1e-5 * e.abs().max(10.0), "{:?}: {} for {}", set, y, e);
                }
            }
        }

        #[test]
        fn parts_that_are_joined_give_the_same_bits(
            (inputs, hidden, h, w) in (8usize..50, 1usize..70, 1usize..60, 1usize..60),
            (stride, same) in (1usize..3, any::<bool>()),
        ) {
            let padding = if same { Padding::Same } else { Padding::Sides(1) };
            let one = Form { stride: 1, padding: Padding::Sides(0), groups: 1, activation: Activation::Relu6 };
            let three = Form { stride, padding, groups: hidden, activation: Activation::Relu };
            let (weight, taps) = (random(&[hidden, inputs, 1, 1]), random(&[hidden, 1, 3, 3]));
            let (bias, x) = (random(&[hidden]), random(&[1, inputs, h, w]));
            for set in Set::available() {
                let (expand, depthwise) = (conv(set, &weight, &bias, one), conv(set, &taps, &bias, three));
                let x = maps(set, &x).blocked();
                let apart = depthwise.infer(&expand.infer(&x).unwrap()).unwrap();
                let joined = expand.infer_expanded(&depthwise, &x).unwrap();
                prop_assert_eq!(flat(&apart.tensor().unwrap()), flat(&joined.tensor().unwrap()));
            }
        }

        #[test]
        fn pools_and_norms_equal_their_tensor_forms((channels, h, w) in (1usize..40, 2usize..20, 2usize..20)) {
            let x = random(&[1, channels, h, w]);
            let (scale, shift) = (random(&[channels]), random(&[channels]));
            let norm = ScaleShift { scale, shift, activation: Activation::Relu };
            let near = |a: &Tensor, b: &Tensor| flat(a).iter().zip(flat(b)).all(|(a, b)| (a - b).abs() < 1e-6);
            for set in Set::available() {
                let maps = maps(set, &x).blocked();
                prop_assert_eq!(flat(&MaxPool.infer(&maps).unwrap().tensor().unwrap()), flat(&max_pool_3(&x).unwrap()));
                let normed = candle_core::Module::forward(&norm, &x).unwrap();
                prop_assert!(near(&norm.infer(&maps).unwrap().tensor().unwrap(), &normed));
                let pooled = norm.infer_avg_pool_2(&maps).unwrap().tensor().unwrap();
                prop_assert!(near(&pooled, &avg_pool_2(&normed).unwrap()));
            }
        }
    }
}
