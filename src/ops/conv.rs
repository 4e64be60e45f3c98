//! Two-dimensional convolution with bias and activation in one op.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Module, Result, Shape, Tensor, bail};

use super::conv_gradient::{Turned, Wanted};
use super::conv_maps::Ready;
use super::geometry::{Axis, Padding};
use super::kernels::{Packed, Set};
use super::plan::Plan;
use super::{Activation, Windows, cpu, places};

/// `activation(convolution(x) + bias)`.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `[outputs, inputs / groups, height, width]`.
    pub(super) weight: Tensor,
    /// `[outputs]`.
    bias: Tensor,
    pub(super) form: Form,
    /// The weights as the kernel reads them, once they were needed.
    packed: Arc<OnceLock<Arc<[Packed]>>>,
    /// The same for gradients of the input.
    turned: Arc<Turned>,
    /// The same for the kernels of inference.
    pub(super) ready: Option<Arc<Ready>>,
    /// The same weights in f32, where they are in half precision on the CPU.
    wide: Option<Arc<Conv2d>>,
}

/// What a convolution does besides its weights.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: Padding,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// What follows.
    pub activation: Activation,
}

impl Conv2d {
    /// From `weight` `[outputs, inputs / groups, height, width]` and `bias` `[outputs]`.
    pub fn new(weight: Tensor, bias: Tensor, form: Form) -> Result<Self> {
        let outputs = weight.dim(0)?;
        if form.stride * form.groups * weight.elem_count() == 0
            || outputs % form.groups != 0
            || bias.dims() != [outputs]
        {
            let (weight, bias) = (weight.shape(), bias.shape());
            bail!("a convolution of {weight:?} and {bias:?} in {} groups, stride {}", form.groups, form.stride);
        }
        let mut conv =
            Self { weight, bias, form, packed: Arc::default(), turned: Arc::default(), ready: None, wide: None };
        let dtype = conv.weight.dtype();
        if conv.weight.device().is_cpu() && cpu::wide(dtype) != dtype {
            let wide = |x: &Tensor| x.to_dtype(cpu::wide(dtype));
            conv.wide = Some(Arc::new(Self::new(wide(&conv.weight)?, wide(&conv.bias)?, form)?));
        } else if conv.weight.device().is_cpu() && conv.is_fixed() {
            conv.ready = Ready::new(Set::best(), &conv.weight, &conv.bias, &form)?.map(Arc::new);
        }
        Ok(conv)
    }

    /// The weights as the kernels of inference read them, if there is one for them and nothing tracks their gradients.
    pub(super) fn ready(&self) -> Option<&Ready> {
        self.ready.as_deref()
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.weight.dims()[0]
    }

    /// The weights as the kernel reads them, kept if they are fixed.
    fn packed(&self) -> Result<Arc<[Packed]>> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed.clone());
        }
        let groups = self.form.groups;
        let pack = |weight: &[f32]| cpu::read(&self.bias, |bias| Ok(pack(Set::best(), weight, bias, groups)));
        let packed: Arc<[Packed]> = cpu::read(&self.weight, pack)?.into();
        Ok(match self.is_fixed() {
            true => self.packed.get_or_init(|| packed).clone(),
            false => packed,
        })
    }

    /// Whether nothing tracks gradients through the weights.
    fn is_fixed(&self) -> bool {
        !self.weight.track_op() && !self.bias.track_op()
    }

    /// How this convolution goes over images of some channels, rows and columns, which it checks.
    pub(super) fn plan(&self, (inputs, h, w): (usize, usize, usize)) -> Result<Plan> {
        let (_, depth, kh, kw) = self.weight.dims4()?;
        let Form { stride, padding, groups, activation } = self.form;
        if inputs != depth * groups {
            bail!("convolution of {:?} in {groups} groups over {inputs} channels", self.weight.shape());
        }
        let (rows, columns) = (Axis::new(h, kh, stride, padding)?, Axis::new(w, kw, stride, padding)?);
        Ok(Plan { rows, columns, groups, activation })
    }

    fn plan_of(&self, x: &Tensor) -> Result<Plan> {
        let (_, inputs, h, w) = x.dims4()?;
        self.plan((inputs, h, w))
    }

    /// The same out of Candle's own ops.
    fn composed(&self, x: &Tensor, plan: &Plan) -> Result<Tensor> {
        if let Some(wide) = &self.wide {
            // As a card does: products are summed in f32, and what comes of them is rounded.
            return wide.forward(&x.to_dtype(wide.weight.dtype())?)?.to_dtype(x.dtype());
        }
        let x = x.pad_with_zeros(2, plan.rows.before, plan.rows.after)?;
        let x = x.pad_with_zeros(3, plan.columns.before, plan.columns.after)?;
        let (outputs, depth, kh, kw) = self.weight.dims4()?;
        let Form { stride, groups, activation, .. } = self.form;
        let count = [plan.rows.output, plan.columns.output];
        let windows = Windows { kernel: [kh, kw], dilation: [1; 2], stride: [stride; 2], count };
        let y = match (depth, groups) {
            (1, groups) if groups == outputs && groups > 1 => self.channelwise(&x, windows)?,
            (_, 1) if (kh, kw) == (1, 1) => self.pointwise(&x, windows)?,
            _ => {
                // Without rows and columns that no window sees: Candle's gradient has none for them.
                let x = x.narrow(2, 0, (count[0] - 1) * stride + kh)?.narrow(3, 0, (count[1] - 1) * stride + kw)?;
                x.conv2d(&self.weight, 0, stride, 1, groups)?
            }
        };
        activation.forward(&y.broadcast_add(&self.bias.reshape((1, (), 1, 1))?)?)
    }

    /// The convolution of each channel with its own kernel, place by place: Candle would run one channel after the other.
    fn channelwise(&self, x: &Tensor, windows: Windows) -> Result<Tensor> {
        let wide = cpu::wide(x.dtype());
        let weight = self.weight.to_dtype(wide)?.reshape((1, self.outputs(), (), 1))?;
        let mut products = (0..)
            .zip(places(&x.to_dtype(wide)?, windows)?)
            .map(|(i, place)| place.broadcast_mul(&weight.narrow(2, i, 1)?));
        let Some(first) = products.next() else { bail!("a kernel without weights") };
        products.try_fold(first?, |sum, product| sum + product?)?.to_dtype(x.dtype())
    }

    /// The convolution with a kernel of one pixel: a product of matrices.
    fn pointwise(&self, x: &Tensor, windows: Windows) -> Result<Tensor> {
        let x = if windows.stride == [1; 2] { x.clone() } else { places(x, windows)?.swap_remove(0) };
        let (n, inputs, h, w) = x.dims4()?;
        let (outputs, x) = (self.outputs(), x.contiguous()?);
        let weight = self.weight.reshape((outputs, inputs))?;
        let y = match h * w {
            // One product, not one an image.
            1 => x.reshape((n, inputs))?.matmul(&weight.t()?)?,
            area => weight.broadcast_as((n, outputs, inputs))?.matmul(&x.reshape((n, inputs, area))?)?,
        };
        y.reshape((n, outputs, h, w))
    }
}

impl Module for Conv2d {
    /// `[n, inputs, h, w]` to `[n, outputs, h', w']`. An image smaller than the kernel is an error.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let plan = self.plan_of(x)?;
        if !cpu::fused(x) {
            return self.composed(x, &plan);
        }
        let depthwise = is_depthwise(&self.weight, self.form);
        let packed = if depthwise { None } else { Some(self.packed()?) };
        let turned = self.is_fixed().then(|| self.turned.clone());
        let op = Op { plan, set: Set::best(), packed, turned, depthwise };
        x.contiguous()?.apply_op3(&self.weight, &self.bias, op)
    }
}

/// Whether every output sees one input of its own through a kernel of 3x3.
fn is_depthwise(weight: &Tensor, form: Form) -> bool {
    weight.dims() == [form.groups, 1, 3, 3]
}

/// The weights of each group.
fn pack(set: Set, weight: &[f32], bias: &[f32], groups: usize) -> Vec<Packed> {
    let (weights, outputs) = (weight.len() / groups, bias.len() / groups);
    weight.chunks_exact(weights).zip(bias.chunks_exact(outputs)).map(|(w, b)| Packed::new(set, w, b)).collect()
}

/// A plan with the weights if they are packed already.
struct Op {
    plan: Plan,
    set: Set,
    packed: Option<Arc<[Packed]>>,
    /// Where fixed weights are kept as the gradients of the input need them.
    turned: Option<Arc<Turned>>,
    depthwise: bool,
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "conv2d-bias-activation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [n, ..] = cpu::shape(lx)?;
        let x = cpu::values(self.name(), x, lx)?;
        let shape = self.plan.output(n, lb.shape().elem_count());
        let (weight, bias) = (cpu::values(self.name(), weight, lw)?, cpu::values(self.name(), bias, lb)?);
        let out = match &self.packed {
            Some(packed) => self.plan.images(packed, n, x),
            None if self.depthwise => self.plan.depthwise(self.set, weight, bias, n, x),
            None => self.plan.images(&pack(self.set, weight, bias, self.plan.groups), n, x),
        };
        Ok((CpuStorage::F32(out), Shape::from(shape.to_vec())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = self.plan.activation.gradient(res, grad)?.contiguous()?;
        let wanted = Wanted { input: x.track_op(), weight: weight.track_op(), turned: self.turned.as_deref() };
        let (dx, dw) = self.plan.backward(self.set, x, weight, &grad, wanted)?;
        let db = bias.track_op().then(|| grad.sum((0, 2, 3))).transpose()?;
        Ok((dx, dw, db))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};
    use proptest::prelude::*;

    #[test]
    fn too_small_an_image_is_an_error() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let form = Form { stride: 1, padding: Padding::Sides(0), groups: 1, activation: Activation::Identity };
        let conv = Conv2d::new(zeros(&[1, 1, 3, 3]), zeros(&[1]), form).unwrap();
        assert!(conv.forward(&zeros(&[1, 1, 2, 5])).unwrap_err().to_string().contains("2 pixels are fewer"));
    }

    /// The definition, in double precision.
    pub fn reference(plan: &Plan, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f64> {
        let (rows, columns) = (&plan.rows, &plan.columns);
        let depth = weight.len() / bias.len() / (rows.kernel * columns.kernel);
        let (inputs, per_group) = (depth * plan.groups, bias.len() / plan.groups);
        let mut out = Vec::new();
        for image in x.chunks_exact(inputs * plan.area_in()) {
            for (o, bias) in bias.iter().enumerate() {
                for (oy, ox) in (0..rows.output).flat_map(|y| (0..columns.output).map(move |x| (y, x))) {
                    let mut sum = f64::from(*bias);
                    for (c, ky, kx) in (0..depth)
                        .flat_map(|c| (0..rows.kernel).flat_map(move |y| (0..columns.kernel).map(move |x| (c, y, x))))
                    {
                        let y = (oy * rows.stride + ky).checked_sub(rows.before).filter(|y| *y < rows.input);
                        let x = (ox * columns.stride + kx).checked_sub(columns.before).filter(|x| *x < columns.input);
                        if let (Some(y), Some(x)) = (y, x) {
                            let value = image[((o / per_group * depth + c) * rows.input + y) * columns.input + x];
                            let tap = ((o * depth + c) * rows.kernel + ky) * columns.kernel + kx;
                            sum += f64::from(value) * f64::from(weight[tap]);
                        }
                    }
                    let (low, high) = plan.activation.limits();
                    out.push(sum.clamp(low.into(), high.into()));
                }
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn every_set_equals_the_definition(
            (n, groups, depth, per_group) in (1usize..3, 1usize..4, 1usize..5, 1usize..20),
            (h, w, kh, kw) in (4usize..40, 4usize..40, 1usize..5, 1usize..5),
            (stride, padding, single) in (1usize..4, 0usize..5, any::<bool>()),
        ) {
            let (depth, per_group) = if single { (1, 1) } else { (depth, per_group) };
            let padding = if padding == 4 { Padding::Same } else { Padding::Sides(padding) };
            let plan = Plan {
                rows: Axis::new(h, kh, stride, padding).unwrap(),
                columns: Axis::new(w, kw, stride, padding).unwrap(),
                groups,
                activation: [Activation::Identity, Activation::Relu, Activation::Relu6][h % 3],
            };
            let tensor = |shape: &[usize]| Tensor::rand(-1f32, 1.0, shape, &Device::Cpu).unwrap();
            let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let x = tensor(&[n, groups * depth, h, w]);
            let (weight, bias) = (tensor(&[groups * per_group, depth, kh, kw]), tensor(&[groups * per_group]));
            let expected = reference(&plan, &flat(&x), &flat(&weight), &flat(&bias));
            let form = Form { stride, padding, groups, activation: plan.activation };
            let depthwise = is_depthwise(&weight, form);
            for set in Set::available() {
                let y = x.apply_op3(&weight, &bias, Op { plan, set, packed: None, turned: None, depthwise }).unwrap();
                prop_assert_eq!(y.dims(), plan.output(n, groups * per_group));
                for (y, e) in flat(&y).iter().zip(&expected) {
                    prop_assert!((f64::from(*y) - e).abs() < 1e-4, "{:?}: {} for {}", set, y, e);
                }
            }
            let conv = Conv2d::new(weight, bias, form).unwrap();
            let ours = conv.forward(&x).unwrap();
            let off = (&ours - conv.composed(&x, &plan).unwrap()).unwrap();
            prop_assert!(off.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-4);
        }

        #[test]
        fn gradients_are_the_adjoint(
            (n, groups, depth, per_group) in (1usize..3, 1usize..4, 1usize..5, 1usize..12),
            (h, w, kh, kw) in (4usize..20, 4usize..20, 1usize..5, 1usize..5),
            (stride, padding, single) in (1usize..4, 0usize..6, any::<bool>()),
        ) {
            let (depth, per_group, kh, kw) = if single { (1, 1, 3, 3) } else { (depth, per_group, kh, kw) };
            let padding = if padding == 5 { Padding::Same } else { Padding::Sides(padding) };
            let form = Form { stride, padding, groups, activation: Activation::Identity };
            let tensor = |shape: &[usize]| Tensor::rand(-1f32, 1.0, shape, &Device::Cpu).unwrap();
            let var = |t: Tensor| Var::from_tensor(&t).unwrap();
            let dot = |a: &Tensor, b: &Tensor| {
                let product = (a.to_dtype(DType::F64).unwrap() * b.to_dtype(DType::F64).unwrap()).unwrap();
                product.sum_all().unwrap().to_scalar::<f64>().unwrap()
            };
            let x = var(tensor(&[n, groups * depth, h, w]));
            let (weight, bias) = (var(tensor(&[groups * per_group, depth, kh, kw])), var(tensor(&[groups * per_group])));
            let conv = |weight: &Tensor, bias: &Tensor| Conv2d::new(weight.clone(), bias.clone(), form).unwrap();
            let y = conv(&weight, &bias).forward(&x).unwrap();
            let probe = tensor(y.dims());
            let grads = (&y * &probe).unwrap().sum_all().unwrap().backward().unwrap();
            // <A v, g> = <v, A' g> for every v, whatever the point of the gradient.
            let (zero, other) = (bias.zeros_like().unwrap(), tensor(x.dims()));
            let sum = dot(&conv(&weight, &zero).forward(&other).unwrap(), &probe);
            prop_assert!((sum - dot(&other, grads.get(&x).unwrap())).abs() < 1e-3);
            let other = tensor(weight.dims());
            let sum = dot(&conv(&other, &zero).forward(&x).unwrap(), &probe);
            prop_assert!((sum - dot(&other, grads.get(&weight).unwrap())).abs() < 1e-3);
            let sum = (probe.sum((0, 2, 3)).unwrap() - grads.get(&bias).unwrap()).unwrap();
            prop_assert!(dot(&sum, &sum) < 1e-6);
        }
    }
}
