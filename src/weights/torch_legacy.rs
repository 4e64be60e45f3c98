//! PyTorch checkpoints before 1.6: five pickles (magic number, version, machine, object, keys of its storages), then the
//! raw values of each storage behind their number.

use std::collections::HashMap;

use super::mapped::Bytes;
use super::pickle::{Node, Pickle};
use super::torch::{self, Storage};
use super::values::Named;
use crate::error::{Error, Result};

/// The first pickle: protocol 2, torch's magic number, stop.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Every float tensor of the checkpoint, by name.
pub(super) fn read(file: &Bytes) -> Result<Vec<Named>> {
    let broken = |cause: &str| Error::new(cause).mend("the file is damaged: fetch it again");
    let mut at = MAGIC.len();
    let mut next = |what: &str| {
        let pickle = Pickle::read(&file[at.min(file.len())..], file.len());
        let pickle = pickle.map_err(|e| e.at(format_args!("the pickle of {what} at byte {at}")))?;
        at += pickle.length;
        Ok::<_, Error>((pickle, at))
    };
    let (version, _) = next("its version")?;
    if version.int(version.root()) != Some(1001) {
        return Err(broken("a version of PyTorch's old format that is not known"));
    }
    let (machine, _) = next("the machine")?;
    let little = machine.at(machine.root(), "little_endian").map(|id| machine.get(id));
    if matches!(little, Some(Node::Bool(false))) {
        return Err(Error::new("written on a big-endian machine").mend("save it anew on a little-endian one"));
    }
    let (object, _) = next("the object")?;
    let (keys, mut at) = next("its storages")?;
    let sizes: HashMap<_, _> = (0..object.nodes().len())
        .filter_map(|id| Storage::of(&object, id as u32))
        .map(|storage| (storage.key, size(&storage.class)))
        .collect();
    let Node::List(order) = keys.get(keys.root()) else { return Err(broken("no list of storages")) };
    let mut storages = HashMap::new();
    for key in order {
        let key = keys.text(*key).ok_or_else(|| broken("a storage without a key"))?;
        let size = sizes.get(key).copied().flatten();
        let size = size.ok_or_else(|| broken("a storage of a type that is not known"))?;
        let count = file.piece(at, 8).and_then(|b| usize::try_from(i64::from_le_bytes(b[..].try_into().ok()?)).ok());
        let bytes = count.and_then(|n| file.piece(at + 8, n.checked_mul(size)?));
        let bytes = bytes.ok_or_else(|| broken("the file ends before its storages do"))?;
        at += 8 + bytes.len();
        storages.insert(key, bytes);
    }
    torch::tensors(&object, &|key| storages.get(key).cloned().ok_or_else(|| broken("its storage is not in the file")))
}

/// Bytes of a value in a storage of this class.
fn size(class: &str) -> Option<usize> {
    Some(match class.strip_suffix("Storage")? {
        "ComplexDouble" => 16,
        "Double" | "Long" | "ComplexFloat" => 8,
        "Float" | "Int" | "QInt32" => 4,
        "Half" | "BFloat16" | "Short" => 2,
        "Char" | "Byte" | "Bool" | "QInt8" | "QUInt8" => 1,
        _ => return None,
    })
}
