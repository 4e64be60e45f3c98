//! Keras' HDF5 files: whole models (`model.save("m.h5")`) and weights alone (`save_weights("w.h5")`), of Keras 2 and of
//! Keras 3 where it still writes this layout. Their layers become torchvision's modules, their kernels its weights.

use hdf5_pure::{AttrValue, DType, File, FormatError, Group, Source};

use super::mapped::Bytes;
use super::naming;
use super::open::Named;
use super::values::Values;
use crate::error::{Error, Result};

/// Layers in a file, and tensors in a layer, at most.
const LISTED: usize = 1 << 14;

impl Source for Bytes {
    fn len(&self) -> u64 {
        self[..].len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::result::Result<(), FormatError> {
        let available = self[..].len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let piece = start.checked_add(buf.len()).and_then(|end| self.get(start..end));
        let expected = start.saturating_add(buf.len());
        buf.copy_from_slice(piece.ok_or(FormatError::UnexpectedEof { expected, available })?);
        Ok(())
    }
}

fn fault(error: hdf5_pure::Error) -> Error {
    Error::new(format!("the HDF5 file cannot be read: {error}")).mend("fetch the file again")
}

/// Every tensor of the layers that the file lists, under torchvision's names. Dense layers that are no part of a known
/// network are the head: `classifier.N` in the file's order.
pub(super) fn read(bytes: &Bytes) -> Result<Vec<Named>> {
    let file = File::from_source(bytes.clone()).map_err(fault)?;
    let root = file.root();
    let top = match root.groups().map_err(fault)?.iter().any(|name| name == "model_weights") {
        true => root.group("model_weights").map_err(fault)?,
        false => root,
    };
    let Some(layers) = listed(&top, "layer_names")? else {
        let keras3 = top
            .groups()
            .map_err(fault)?
            .iter()
            .any(|name| name == "layers" || name == "_layer_checkpoint_dependencies");
        return Err(match keras3 {
            true => Error::new("a `.weights.h5` file of Keras 3, which does not name its layers; it is not read here")
                .mend("save the whole model in Keras: `model.save(\"NEW.h5\")`"),
            false => Error::new("an HDF5 file, but not of Keras: it has no `layer_names`")
                .mend("give what Keras' `save` or `save_weights` wrote"),
        });
    };
    let mut variables = Vec::new();
    let mut left = bytes[..].len();
    for layer in layers {
        let group = top.group(&layer).map_err(fault)?;
        for name in listed(&group, "weight_names")?.unwrap_or_default() {
            variables
                .push(Variable::read(&group, &name, &mut left).map_err(|e| e.at(format_args!("`{layer}/{name}`")))?);
        }
    }
    if variables.iter().any(|v| v.layer.ends_with("conv2_block1_3_conv")) {
        return Err(Error::new(
            "Keras' ResNet strides in its first 1x1 convolution, torchvision's in its 3x3: not built here",
        ));
    }
    let mut dense: Vec<String> = Vec::new();
    variables.into_iter().map(|variable| variable.into_named(&mut dense)).collect()
}

/// A list of names in an attribute, which Keras splits into `NAME0`, `NAME1`, ... when it is long.
fn listed(group: &Group, attribute: &str) -> Result<Option<Vec<String>>> {
    let attributes = group.attrs().map_err(fault)?;
    let mut names = Vec::new();
    let mut found = false;
    let parts = std::iter::once(attribute.to_owned()).chain((0..LISTED).map(|i| format!("{attribute}{i}")));
    for (i, key) in parts.enumerate() {
        match attributes.get(&key) {
            Some(value) if let Some(part) = value.as_strings() => names.extend_from_slice(part),
            // Keras writes a layer's empty list as an array of floats.
            Some(AttrValue::F64Array(none)) if none.is_empty() => {}
            Some(AttrValue::F32Array(none)) if none.is_empty() => {}
            Some(_) => return Err(Error::new(format!("`{key}` is no list of names"))),
            None if i == 0 => continue,
            None => break,
        }
        found = true;
    }
    if names.len() > LISTED {
        return Err(Error::new(format!("`{attribute}` has more than {LISTED} names")));
    }
    Ok(found.then_some(names))
}

/// A variable of a layer.
struct Variable {
    /// The layer, behind the models that it is nested in.
    layer: String,
    /// `kernel`, `gamma`, ...
    part: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Variable {
    /// `left` is what the file can still hold, in bytes.
    fn read(group: &Group, name: &str, left: &mut usize) -> Result<Self> {
        let data = group.dataset(name).map_err(fault)?;
        let size = match data.dtype().map_err(fault)? {
            DType::F32 => 4,
            DType::F64 => 8,
            other => return Err(Error::new(format!("holds {other} values, not floats"))),
        };
        let shape = data.shape().map_err(fault)?;
        let shape: Option<Vec<_>> = shape.iter().map(|d| usize::try_from(*d).ok()).collect();
        let bytes = shape.as_ref().and_then(|s| s.iter().try_fold(size, |n: usize, d| n.checked_mul(*d)));
        // Weights do not compress; what claims to be much larger than its file is made to fill the memory.
        let remaining = bytes.and_then(|bytes| left.checked_sub(bytes / 2));
        let (Some(shape), Some(remaining)) = (shape, remaining) else {
            return Err(Error::new("larger than the file could hold").mend("the file is damaged: fetch it again"));
        };
        *left = remaining;
        let values = data.read_f32().map_err(fault)?;
        if super::tensors::elements(&shape) != Some(values.len()) {
            return Err(Error::new(format!("shape {shape:?} has {} values", values.len())));
        }
        // "conv1/conv/kernel:0" of Keras 2, "conv1_conv/kernel" of Keras 3.
        let path = name.rsplit_once(':').map_or(name, |(path, _)| path);
        let (layer, part) = path.rsplit_once('/').unwrap_or(("", path));
        Ok(Self { layer: layer.to_owned(), part: part.to_owned(), shape, values })
    }

    /// Under torchvision's name and in its order of axes. `dense` collects the head's layers.
    fn into_named(self, dense: &mut Vec<String>) -> Result<Named> {
        let Self { layer, part, shape, values } = self;
        let module = match naming::keras_layer(&layer) {
            Some(module) => module,
            None if dense.contains(&layer) || (part == "kernel" && shape.len() == 2) => {
                let i = dense.iter().position(|known| *known == layer).unwrap_or(dense.len());
                if i == dense.len() {
                    dense.push(layer);
                }
                format!("classifier.{i}")
            }
            None => layer,
        };
        let (part, shape, values) = match (part.as_str(), shape.as_slice()) {
            ("kernel", &[h, w, i, o]) => ("weight", vec![o, i, h, w], transposed(&values, h * w, i, o)),
            ("depthwise_kernel", &[h, w, i, 1]) => ("weight", vec![i, 1, h, w], transposed(&values, h * w, 1, i)),
            ("kernel", &[i, o]) => ("weight", vec![o, i], transposed(&values, 1, i, o)),
            ("gamma", _) => ("weight", shape, values),
            ("beta", _) => ("bias", shape, values),
            ("moving_mean", _) => ("running_mean", shape, values),
            ("moving_variance", _) => ("running_var", shape, values),
            (other, _) => (other, shape, values),
        };
        Ok((format!("{module}.{part}"), shape, Values::Numbers(values)))
    }
}

/// `[pixels, inputs, outputs]` to `[outputs, inputs, pixels]`.
fn transposed(values: &[f32], pixels: usize, inputs: usize, outputs: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    if values.is_empty() {
        // One size of 0 says nothing about the others.
        return turned;
    }
    for o in 0..outputs {
        for i in 0..inputs {
            turned.extend((0..pixels).map(|p| values[(p * inputs + i) * outputs + o]));
        }
    }
    turned
}
