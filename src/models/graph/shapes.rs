//! Nodes that change what axes there are, and how many values lie on them.

use candle_core::{Error, Result, Tensor, bail};

use super::inputs::{Constants, axis, fault, fixed, given, numbers, one};
use super::room;
use super::segment::Run;
use super::window::walled;
use crate::error;
use crate::weights::{Attribute, Node};

/// Axes of a tensor, at most.
const AXES: usize = 16;

pub(super) fn flatten(node: &Node) -> Run {
    let first = node.int("axis", 1);
    one(move |x| {
        let at = if first == x.rank() as i64 { x.rank() } else { axis(first, x.rank())? };
        let rows: usize = x.dims()[..at].iter().product();
        x.reshape((rows, x.dims()[at..].iter().product::<usize>()))
    })
}

pub(super) fn reshape() -> Run {
    Box::new(|inputs| {
        let (x, wanted) = (given(inputs, 0)?, given(inputs, 1)?.to_vec1::<i64>()?);
        let known = |(i, size): (usize, &i64)| match size {
            -1 => Ok(None),
            0 => x.dim(i).map(Some),
            size => usize::try_from(*size).map(Some).map_err(|_| Error::Msg(format!("a size of {size}"))),
        };
        let mut sizes = wanted.iter().enumerate().map(known).collect::<Result<Vec<_>>>()?;
        let fixed = sizes.iter().flatten().try_fold(1usize, |n, size| n.checked_mul(*size));
        let rest = fixed.and_then(|fixed| x.elem_count().checked_div(fixed));
        if let Some(open) = sizes.iter_mut().find(|size| size.is_none()) {
            *open = rest;
        }
        let sizes: Option<Vec<_>> = sizes.into_iter().collect();
        match sizes {
            Some(sizes) if sizes.iter().try_fold(1usize, |n, s| n.checked_mul(*s)) == Some(x.elem_count()) => {
                Ok(vec![x.reshape(sizes)?])
            }
            _ => bail!("{:?} does not become {wanted:?}", x.dims()),
        }
    })
}

/// The axes that a node has as an attribute or, since opset 13, as an input.
fn listed(axes: &Option<Vec<i64>>, inputs: &[Option<Tensor>]) -> Result<Option<Vec<i64>>> {
    match (axes, inputs.get(1)) {
        (Some(axes), _) => Ok(Some(axes.clone())),
        (None, Some(Some(axes))) => axes.to_vec1().map(Some),
        (None, _) => Ok(None),
    }
}

pub(super) fn squeeze(node: &Node) -> Run {
    let axes = node.ints("axes").map(<[i64]>::to_vec);
    Box::new(move |inputs| {
        let x = given(inputs, 0)?;
        let gone = match listed(&axes, inputs)? {
            Some(axes) => axes.iter().map(|a| axis(*a, x.rank())).collect::<Result<Vec<_>>>()?,
            None => (0..x.rank()).filter(|axis| x.dims()[*axis] == 1).collect(),
        };
        if let Some(wide) = gone.iter().find(|axis| x.dims()[**axis] != 1) {
            bail!("axis {wide} of {:?} is not of size 1", x.dims());
        }
        let kept: Vec<_> = (0..x.rank()).filter(|axis| !gone.contains(axis)).map(|axis| x.dims()[axis]).collect();
        Ok(vec![x.reshape(kept)?])
    })
}

pub(super) fn unsqueeze(node: &Node) -> Run {
    let axes = node.ints("axes").map(<[i64]>::to_vec);
    Box::new(move |inputs| {
        let x = given(inputs, 0)?;
        let Some(axes) = listed(&axes, inputs)? else { bail!("has no axes") };
        let rank = x.rank() + axes.len();
        if rank > AXES {
            bail!("{rank} axes");
        }
        let mut new = axes.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>>>()?;
        new.sort_unstable();
        let mut sizes = x.dims().to_vec();
        new.iter().for_each(|axis| sizes.insert((*axis).min(sizes.len()), 1));
        Ok(vec![x.reshape(sizes)?])
    })
}

pub(super) fn filled(node: &Node) -> Run {
    let value = node.attributes.get("value").cloned();
    Box::new(move |inputs| {
        let shape = given(inputs, 0)?;
        let sizes = shape.to_vec1::<i64>()?.into_iter().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let sizes: Vec<_> = sizes.collect();
        room(&sizes)?;
        Ok(vec![match value {
            Some(Attribute::Int(value)) => Tensor::full(value, sizes, shape.device())?,
            Some(Attribute::Float(value)) => Tensor::full(value, sizes, shape.device())?,
            _ => Tensor::full(0f32, sizes, shape.device())?,
        }])
    })
}

pub(super) fn pad(node: &Node, constant: &Constants) -> error::Result<Run> {
    if !["", "constant"].contains(&node.text("mode")) || node.inputs.get(3).is_some_and(|axes| !axes.is_empty()) {
        return Err(fault("pads by other than a constant on every axis, which is not run here"));
    }
    let value = match fixed(node, constant, 2, "value")? {
        Some(value) => numbers(&value)?.first().copied().unwrap_or(0.0),
        None => node.float("value", 0.0),
    };
    let pads = node.ints("pads").map(<[i64]>::to_vec);
    Ok(Box::new(move |inputs| {
        let mut x = given(inputs, 0)?.clone();
        let Some(pads) = listed(&pads, inputs)? else { bail!("has no pads") };
        if pads.len() != 2 * x.rank() {
            bail!("{} pads for {} axes", pads.len(), x.rank());
        }
        let size = |i: usize| usize::try_from(pads[i]).map_err(|_| Error::Msg(format!("pads of {pads:?}")));
        for axis in 0..x.rank() {
            x = walled(&x, axis, [size(axis)?, size(axis + x.rank())?], value)?;
        }
        Ok(vec![x])
    }))
}
