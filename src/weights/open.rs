//! Opening a weight file, whatever its format.

use std::path::Path;
use std::sync::Arc;

use super::mapped::Bytes;
use super::origin::{Format, Origin};
use super::{Tensors, keras, naming, onnx, safetensors, torch_legacy, torch_zip};
use crate::cards::model::Naming;
use crate::error::{Error, Result};

/// Bytes of a tensor's name, at most.
const LONGEST: usize = 4096;

/// Finds every tensor of a safetensors file, a PyTorch checkpoint, a Keras file or an ONNX graph, told apart by content,
/// under torchvision's names (from names that are detected when `naming` is not given). The file is mapped: values are
/// read when a network takes them. Nothing in a file is ever run. Errors name the file.
pub fn load(path: &Path, naming: Option<Naming>) -> Result<Tensors> {
    named(&Bytes::map(path)?, naming, path.display().to_string(), path.parent())
}

/// The tensors of a weight file that is inside the program; `place` names it in errors.
pub fn from_bytes(bytes: &'static [u8], place: &str) -> Result<Tensors> {
    named(&Bytes::of(bytes), None, place.to_owned(), None)
}

/// `folder`: where files that this one refers to are.
fn named(file: &Bytes, naming: Option<Naming>, place: String, folder: Option<&Path>) -> Result<Tensors> {
    let read = || -> Result<_> {
        let format = format(file)?;
        let found = match format {
            Format::Onnx => {
                let (tensors, found) = onnx::read(file, folder)?;
                let (network, program) = match found {
                    onnx::Found::Network(network) => (Some(network), None),
                    onnx::Found::Program(program) => (None, Some(Arc::new(program))),
                };
                let (naming, prefix) = (Naming::Torchvision, String::new());
                return Ok((tensors, Origin { format, naming, prefix, network, program }));
            }
            Format::Safetensors => safetensors::read(file),
            Format::Torch => torch_zip::read(file),
            Format::TorchLegacy => torch_legacy::read(file),
            Format::Keras => keras::read(file),
        }?;
        // Many views of one storage could ask for any amount of memory. Tied weights are there twice at most.
        let claimed = found.iter().fold(0usize, |sum, (_, _, values)| sum.saturating_add(values.bytes()));
        if claimed > file.len().saturating_mul(2) {
            return Err(Error::new(format!("its tensors claim {claimed} bytes, the file has {}", file.len())));
        }
        let names: Vec<_> = found.iter().map(|(name, ..)| name.as_str()).collect();
        if let Some(long) = names.iter().find(|name| name.len() > LONGEST) {
            return Err(Error::new(format!("a tensor's name of {} bytes", long.len())));
        }
        let prefix = naming::common_prefix(&names).to_owned();
        let bare = || names.iter().map(|name| &name[prefix.len()..]);
        let naming = match (format, naming) {
            (Format::Keras, None | Some(Naming::Keras)) => Naming::Keras,
            (Format::Keras, Some(other)) | (_, Some(other @ Naming::Keras)) => {
                return Err(Error::new(format!("a {format} file does not have names of the naming `{other}`"))
                    .mend("correct `weights.naming` in the card, or leave it out"));
            }
            (_, given) => given.unwrap_or_else(|| naming::detect(bare())),
        };
        Ok((found, Origin { format, naming, prefix, network: None, program: None }))
    };
    let (found, origin) = read().map_err(|e| e.at(&place))?;
    let (naming, prefix) = (origin.naming, origin.prefix.len());
    let mut tensors = Tensors::of(place, origin);
    for (name, shape, values) in found {
        tensors.insert_values(naming::modern(&name[prefix..], naming), shape, values)?;
    }
    Ok(tensors)
}

fn format(file: &Bytes) -> Result<Format> {
    let not_here = |what: &str, mend: &str| Err(Error::new(format!("{what}, which is not read here")).mend(mend));
    match &file[..] {
        [b'P', b'K', 3, 4, ..] => Ok(Format::Torch),
        [0x89, b'H', b'D', b'F', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Ok(Format::Keras),
        start if start.starts_with(torch_legacy::MAGIC) => Ok(Format::TorchLegacy),
        [0x80, 2..=5, ..] => not_here("a Python pickle that torch.save did not write", "save it with `torch.save`"),
        start if start.get(257..262) == Some(b"ustar") => {
            not_here("a tar archive (PyTorch before 0.1.10 wrote them)", "give the checkpoint itself")
        }
        start if start.get(8) == Some(&b'{') => Ok(Format::Safetensors),
        start if onnx::is_onnx(start) => Ok(Format::Onnx),
        _ => Err(Error::new("neither a safetensors file, nor a PyTorch checkpoint, nor a Keras HDF5 file, nor ONNX")
            .mend("give a file of one of these formats")),
    }
}
