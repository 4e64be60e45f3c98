//! Nodes that our own ops run: what candle-onnx lacks, does slowly, or does otherwise than the format says.

use candle_core::{Module, Result, Tensor, bail};

use super::inputs::{Constants, axis, fault, fixed, numbers, one, ours};
use super::segment::{Kind, Run};
use super::window::{Pads, Window};
use super::{pool, room, shapes};
use crate::error;
use crate::ops::{self, Activation, Conv2d, Form, Linear, Padding, ScaleShift};
use crate::weights::Node;

/// The operators, and how many inputs each has at least.
pub(super) const KNOWN: &[(&str, usize)] = &[
    ("AveragePool", 1),
    ("BatchNormalization", 5),
    ("Clip", 1),
    ("ConstantOfShape", 1),
    ("Conv", 2),
    ("Dropout", 1),
    ("Flatten", 1),
    ("Gelu", 1),
    ("Gemm", 2),
    ("GlobalAveragePool", 1),
    ("GlobalMaxPool", 1),
    ("HardSigmoid", 1),
    ("Identity", 1),
    ("LayerNormalization", 2),
    ("MaxPool", 1),
    ("Pad", 1),
    ("ReduceMean", 1),
    ("Reshape", 2),
    ("Squeeze", 1),
    ("Unsqueeze", 1),
];

/// What the node does; `None` if its operator is not ours.
pub(super) fn run(node: &Node, constant: &Constants) -> error::Result<Option<Run>> {
    Ok(Some(match node.op.as_str() {
        "AveragePool" => pool::average(node)?,
        "BatchNormalization" => norm(node, constant)?,
        "Clip" => clip(node, constant)?,
        "ConstantOfShape" => shapes::filled(node),
        "Conv" => conv(node, constant)?,
        "Dropout" | "Identity" => one(|x| Ok(x.clone())),
        "Flatten" => shapes::flatten(node),
        "Gelu" if node.text("approximate") == "tanh" => one(|x| x.gelu()),
        "Gelu" => one(|x| x.gelu_erf()),
        "Gemm" => gemm(node, constant)?,
        "GlobalAveragePool" => one(|x| average(x, true)),
        "GlobalMaxPool" => one(|x| x.max_keepdim(3)?.max_keepdim(2)),
        "HardSigmoid" => {
            let (alpha, beta) = (f64::from(node.float("alpha", 0.2)), f64::from(node.float("beta", 0.5)));
            one(move |x| x.affine(alpha, beta)?.clamp(0f32, 1f32))
        }
        "LayerNormalization" => layer_norm(node, constant)?,
        "MaxPool" => pool::max(node)?,
        "Pad" => shapes::pad(node, constant)?,
        "ReduceMean" => mean(node, constant),
        "Reshape" => shapes::reshape(),
        "Squeeze" => shapes::squeeze(node),
        "Unsqueeze" => shapes::unsqueeze(node),
        _ => return Ok(None),
    }))
}

/// Whether a node tells where the maps end.
pub(super) fn kind(node: &Node, constant: &Constants) -> Kind {
    match node.op.as_str() {
        "Conv" => Kind::Convolution,
        "GlobalAveragePool" | "GlobalMaxPool" => Kind::Pooling,
        "ReduceMean" if axes(node, constant).is_some_and(|axes| is_spatial(&axes)) => Kind::Pooling,
        "Flatten" | "Reshape" => Kind::LiningUp,
        _ => Kind::Other,
    }
}

fn conv(node: &Node, constant: &Constants) -> error::Result<Run> {
    let weight = fixed(node, constant, 1, "weight")?.filter(|w| w.rank() == 4);
    let weight = weight.ok_or_else(|| fault("has no weight of four axes"))?;
    let [outputs, _, height, width] = [0, 1, 2, 3].map(|i| weight.dims()[i]);
    let bias = match fixed(node, constant, 2, "bias")? {
        Some(bias) => bias,
        None => Tensor::zeros(outputs, weight.dtype(), weight.device()).map_err(ours)?,
    };
    let window = Window::of(node, [height, width])?;
    let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
    let (stride, dilation) = (window.stride[0], window.dilation[0]);
    if window.stride != [stride; 2] || window.dilation != [dilation; 2] {
        return Err(fault("steps otherwise over rows than over columns, which is not run here"));
    }
    let sides = match window.pads {
        Pads::Fixed([n, rest @ ..]) if rest == [n; 3] && dilation == 1 => Some(n),
        _ => None,
    };
    let form = |sides| Form { stride, padding: Padding::Sides(sides), groups, activation: Activation::Identity };
    let conv = Conv2d::new(weight.clone(), bias.clone(), form(sides.unwrap_or(0))).map_err(ours)?;
    Ok(one(move |x| {
        let [rows, columns] = window.output(x)?;
        room(&[outputs, rows, columns])?;
        match sides {
            Some(_) => conv.forward(&x.contiguous()?),
            None if dilation == 1 => conv.forward(&window.padded(x, 0.0)?.contiguous()?),
            None => {
                let y = window.padded(x, 0.0)?.conv2d(&weight, 0, stride, dilation, groups)?;
                y.broadcast_add(&bias.reshape((1, outputs, 1, 1))?)
            }
        }
    }))
}

fn norm(node: &Node, constant: &Constants) -> error::Result<Run> {
    if node.int("training_mode", 0) != 0 {
        return Err(fault("is in training mode").mend("call `model.eval()` before the export"));
    }
    let mut parts = Vec::new();
    for (i, part) in (1..).zip(["scale", "bias", "mean", "variance"]) {
        let part = fixed(node, constant, i, part)?.ok_or_else(|| fault(format!("has no {part}")))?;
        parts.push((numbers(&part)?, part.device().clone()));
    }
    let channels = parts[0].0.len();
    if parts.iter().any(|(values, _)| values.len() != channels) {
        return Err(fault("has parts of different lengths"));
    }
    let eps = f64::from(node.float("epsilon", 1e-5));
    let (scale, shift) = ops::fold(&parts[0].0, &parts[1].0, &parts[2].0, &parts[3].0, eps);
    let tensor = |values: Vec<f64>| {
        let values: Vec<_> = values.iter().map(|v| *v as f32).collect();
        Tensor::from_vec(values, channels, &parts[0].1).map_err(ours)
    };
    let norm = ScaleShift { scale: tensor(scale)?, shift: tensor(shift)?, activation: Activation::Identity };
    Ok(one(move |x| match x.dims() {
        [_, c, _, _] if *c == channels => norm.forward(&x.contiguous()?),
        [_, c, ..] if *c == channels => {
            let shape: Vec<_> = (0..x.rank()).map(|axis| if axis == 1 { channels } else { 1 }).collect();
            x.broadcast_mul(&norm.scale.reshape(shape.as_slice())?)?.broadcast_add(&norm.shift.reshape(shape)?)
        }
        dims => bail!("a norm of {channels} channels on {dims:?}"),
    }))
}

fn clip(node: &Node, constant: &Constants) -> error::Result<Run> {
    let bound = |i: usize, name: &str, none: f32| match fixed(node, constant, i, name)? {
        Some(bound) => match numbers(&bound)?[..] {
            [bound] => Ok(bound),
            _ => Err(fault(format!("its {name} is no single number"))),
        },
        None => Ok(node.float(name, none)),
    };
    let (least, most) = (bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?);
    Ok(one(move |x| x.clamp(least, most)))
}

fn gemm(node: &Node, constant: &Constants) -> error::Result<Run> {
    if node.int("transA", 0) != 0 {
        return Err(fault("turns what it multiplies, which is not run here"));
    }
    let weight = fixed(node, constant, 1, "weight")?.filter(|w| w.rank() == 2);
    let weight = weight.ok_or_else(|| fault("has no weight of two axes"))?;
    let weight = if node.int("transB", 0) != 0 { Ok(weight) } else { weight.t() };
    let weight = weight.and_then(|w| w.contiguous()? * f64::from(node.float("alpha", 1.0))).map_err(ours)?;
    let outputs = weight.dims()[0];
    let bias = match fixed(node, constant, 2, "bias")? {
        None => Tensor::zeros(outputs, weight.dtype(), weight.device()),
        Some(bias) if [1, outputs].contains(&bias.elem_count()) => {
            let bias = bias.flatten_all().and_then(|b| b.broadcast_as(outputs)?.contiguous());
            bias.and_then(|b| b * f64::from(node.float("beta", 1.0)))
        }
        Some(bias) => return Err(fault(format!("a bias of {:?} for {outputs} outputs", bias.dims()))),
    };
    let linear = Linear::new(&weight, bias.map_err(ours)?, Activation::Identity).map_err(ours)?;
    Ok(one(move |x| linear.forward(&x.contiguous()?)))
}

fn layer_norm(node: &Node, constant: &Constants) -> error::Result<Run> {
    let scale = fixed(node, constant, 1, "scale")?.ok_or_else(|| fault("has no scale"))?;
    let bias = fixed(node, constant, 2, "bias")?;
    let (wanted, eps) = (node.int("axis", -1), f64::from(node.float("epsilon", 1e-5)));
    Ok(one(move |x| {
        let last = x.rank().saturating_sub(1);
        if axis(wanted, x.rank())? != last {
            bail!("is over more than the last axis");
        }
        let centred = x.broadcast_sub(&x.mean_keepdim(last)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(last)? + eps)?.sqrt()?;
        let y = centred.broadcast_div(&deviation)?.broadcast_mul(&scale)?;
        match &bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }))
}

/// Means over rows and columns in double precision, with these axes of size 1 or without them.
fn average(x: &Tensor, keep: bool) -> Result<Tensor> {
    let (n, c, _, _) = x.dims4()?;
    let means = ops::global_average(&x.contiguous()?)?;
    if keep { means.reshape((n, c, 1, 1)) } else { Ok(means) }
}

/// The axes of a reduction, an attribute or, since opset 18, an input.
fn axes(node: &Node, constant: &Constants) -> Option<Vec<i64>> {
    let input = constant(1).and_then(|axes| axes.flatten_all().ok()?.to_vec1().ok());
    node.ints("axes").map(<[i64]>::to_vec).or(input)
}

fn is_spatial(axes: &[i64]) -> bool {
    matches!(axes, [2, 3] | [3, 2] | [-2, -1] | [-1, -2])
}

fn mean(node: &Node, constant: &Constants) -> Run {
    let (axes, keep) = (axes(node, constant), node.int("keepdims", 1) != 0);
    let nothing = node.int("noop_with_empty_axes", 0) != 0;
    let given = node.inputs.get(1).is_some_and(|name| !name.is_empty());
    one(move |x| match &axes {
        None if given => bail!("its axes change from image to image"),
        None if nothing => Ok(x.clone()),
        Some(axes) if is_spatial(axes) && x.rank() == 4 => average(x, keep),
        axes => {
            let all = || (0..x.rank() as i64).collect();
            let axes = axes.clone().unwrap_or_else(all);
            let axes = axes.iter().map(|a| axis(*a, x.rank())).collect::<Result<Vec<_>>>()?;
            if keep { x.mean_keepdim(axes) } else { x.mean(axes) }
        }
    })
}
