//! Keras' HDF5 files: whole models (`model.save("m.h5")`) and weights alone (`save_weights("w.h5")`), of Keras 2 and of
//! Keras 3 where it still writes this layout. Their layers become torchvision's modules, their kernels its weights.

use hdf5_pure::{AttrValue, File, FormatError, Group, Layout, Source, make_f32_type, make_f64_type};

use super::mapped::Bytes;
use super::naming;
use super::tensors::elements;
use super::values::Named;
use super::values::{Kind, Values};
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
    let mut room = bytes[..].len().saturating_mul(2);
    for layer in layers {
        let group = top.group(&layer).map_err(fault)?;
        for name in listed(&group, "weight_names")?.unwrap_or_default() {
            let variable = Variable::read(bytes, &group, &name, &mut room);
            variables.push(variable.map_err(|e| e.at(format_args!("`{layer}/{name}`")))?);
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
    bytes: Bytes,
    kind: Kind,
}

impl Variable {
    /// `room` is what variables whose bytes are not in the file as they are may still take.
    fn read(file: &Bytes, group: &Group, name: &str, room: &mut usize) -> Result<Self> {
        let data = group.dataset(name).map_err(fault)?;
        let kind = match data.datatype().map_err(fault)? {
            t if t == make_f32_type() => Kind::F32,
            t if t == make_f64_type() => Kind::F64,
            _ => {
                let held = data.dtype().map_err(fault)?;
                return Err(Error::new(format!("holds {held} values, not floats as Keras writes them")));
            }
        };
        let shape = data.shape().map_err(fault)?;
        let shape: Option<Vec<_>> = shape.iter().map(|d| usize::try_from(*d).ok()).collect();
        let broken = || Error::new("larger than the file could hold").mend("the file is damaged: fetch it again");
        let size = shape.as_ref().and_then(|shape| elements(shape)?.checked_mul(kind.size())).ok_or_else(broken)?;
        let bytes = match data.layout().map_err(fault)? {
            Layout::Contiguous { address: Some(address), .. } => {
                usize::try_from(address).ok().and_then(|address| file.piece(address, size)).ok_or_else(broken)?
            }
            // Pieces that are compressed. Weights hardly are: what claims to be much larger is made to fill the memory.
            _ => {
                *room = room.checked_sub(size).ok_or_else(broken)?;
                Bytes::owned(data.read_raw().map_err(fault)?).piece(0, size).ok_or_else(broken)?
            }
        };
        // "conv1/conv/kernel:0" of Keras 2, "conv1_conv/kernel" of Keras 3.
        let path = name.rsplit_once(':').map_or(name, |(path, _)| path);
        let (layer, part) = path.rsplit_once('/').unwrap_or(("", path));
        Ok(Self { layer: layer.to_owned(), part: part.to_owned(), shape: shape.unwrap_or_default(), bytes, kind })
    }

    /// Under torchvision's name and in its order of axes. `dense` collects the head's layers.
    fn into_named(self, dense: &mut Vec<String>) -> Result<Named> {
        let Self { layer, part, shape, bytes, kind } = self;
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
        let (part, order) = match (part.as_str(), shape.as_slice()) {
            // [height, width, inputs, outputs] to [outputs, inputs, height, width]
            ("kernel", [_, _, _, _]) => ("weight", vec![3, 2, 0, 1]),
            ("depthwise_kernel", [_, _, _, 1]) => ("weight", vec![2, 3, 0, 1]),
            ("kernel", [_, _]) => ("weight", vec![1, 0]),
            ("gamma", _) => ("weight", (0..shape.len()).collect()),
            ("beta", _) => ("bias", (0..shape.len()).collect()),
            ("moving_mean", _) => ("running_mean", (0..shape.len()).collect()),
            ("moving_variance", _) => ("running_var", (0..shape.len()).collect()),
            (other, _) => (other, (0..shape.len()).collect::<Vec<_>>()),
        };
        let stride = |axis: usize| shape[axis + 1..].iter().fold(1, |n: usize, d| n.saturating_mul(*d));
        let axes = order.iter().map(|axis| (shape[*axis], stride(*axis))).collect();
        let values =
            Values::view(&bytes, kind, 0, axes).ok_or_else(|| Error::new("its bytes do not fill its shape"))?;
        Ok((format!("{module}.{part}"), order.iter().map(|axis| shape[*axis]).collect(), values))
    }
}
