//! Opening a weight file, whatever its format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Tensors, naming, safetensors, torch};
use crate::cards::model::Naming;
use crate::error::{Error, Result};

/// A tensor as a file gives it: name, shape, values.
pub(super) type Named = (String, Vec<usize>, Vec<f32>);

/// Reads every tensor of a safetensors file or a PyTorch checkpoint, told apart by content, as f32 under
/// torchvision's names (detected when `naming` is not given). Errors name the file.
pub fn load(path: &Path, naming: Option<Naming>) -> Result<Tensors> {
    let found = read(path).map_err(|e| e.at(path.display()))?;
    named(found, path.display(), naming)
}

/// The tensors of a safetensors file that is in memory; `place` names it in errors.
pub fn from_bytes(bytes: &[u8], place: &str) -> Result<Tensors> {
    safetensors::read(bytes).and_then(|found| named(found, place, None)).map_err(|e| e.at(place))
}

fn named(found: Vec<Named>, place: impl ToString, naming: Option<Naming>) -> Result<Tensors> {
    let names: Vec<_> = found.iter().map(|(name, ..)| name.as_str()).collect();
    let prefix = naming::common_prefix(&names).len();
    let mut tensors = Tensors::at(place);
    for (name, shape, values) in found {
        tensors.insert(naming::modern(&name[prefix..], naming), &shape, values)?;
    }
    Ok(tensors)
}

fn read(path: &Path) -> Result<Vec<Named>> {
    let fault = |e: std::io::Error| Error::new(e.to_string());
    let mut start = Vec::new();
    File::open(path).and_then(|f| f.take(9).read_to_end(&mut start)).map_err(fault)?;
    match start.as_slice() {
        [b'P', b'K', 3, 4, ..] => torch::read(path),
        [0x80, 2..=5, ..] => {
            Err(Error::new("a PyTorch checkpoint in the format before torch 1.6, which is not read here")
                .mend("write it anew in Python: `torch.save(torch.load(OLD, map_location=\"cpu\"), NEW)`"))
        }
        [.., b'{'] if start.len() == 9 => safetensors::read(&std::fs::read(path).map_err(fault)?),
        _ => Err(Error::new("neither a safetensors file nor a PyTorch checkpoint")
            .mend("give a file of one of these formats")),
    }
}
