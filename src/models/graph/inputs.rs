//! The inputs of nodes: which are constant, and what they hold.

use candle_core::{DType, Error, Result, Tensor, bail};

use super::segment::Run;
use crate::error;
use crate::weights::Node;

/// Finds the constant that is an input.
pub(super) type Constants<'a> = dyn Fn(usize) -> Option<Tensor> + 'a;

/// A node of one input, which makes one value.
pub(super) fn one(of: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static) -> Run {
    Box::new(move |inputs| Ok(vec![of(given(inputs, 0)?)?]))
}

pub(super) fn given(inputs: &[Option<Tensor>], i: usize) -> Result<&Tensor> {
    inputs.get(i).and_then(Option::as_ref).ok_or_else(|| Error::Msg(format!("its input {i} is missing")))
}

pub(super) fn fault(cause: impl Into<String>) -> error::Error {
    error::Error::new(cause)
}

/// Candle's error as ours.
pub(super) fn ours(error: Error) -> error::Error {
    super::super::build::fault(error)
}

/// An input that must be constant floats; `None` if it is left out.
pub(super) fn fixed(node: &Node, constant: &Constants, i: usize, what: &str) -> error::Result<Option<Tensor>> {
    match node.inputs.get(i).filter(|name| !name.is_empty()).map(|_| constant(i)) {
        None => Ok(None),
        Some(Some(found)) if found.dtype() == DType::F32 => Ok(Some(found)),
        Some(Some(found)) => Err(fault(format!("its {what} holds {:?} values, not floats", found.dtype()))),
        Some(None) => Err(fault(format!("its {what} changes from image to image"))),
    }
}

pub(super) fn numbers(x: &Tensor) -> error::Result<Vec<f32>> {
    x.flatten_all().and_then(|x| x.to_vec1()).map_err(ours)
}

/// The place of an axis, which may be counted from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let place = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    match usize::try_from(place) {
        Ok(place) if place < rank => Ok(place),
        _ => bail!("axis {axis} of {rank}"),
    }
}
