//! PyTorch checkpoints since 1.6: a zip archive of one pickle and the raw values of each storage.

use std::io::Cursor;

use zip::{CompressionMethod, ZipArchive};

use super::mapped::Bytes;
use super::pickle::Pickle;
use super::torch;
use super::values::Named;
use crate::error::{Error, Result};

/// Entries of an archive, at most: a bound on what its directory can take in memory.
const ENTRIES: usize = 1 << 16;

/// What begins an entry of a zip archive's directory.
const DIRECTORY_ENTRY: &[u8] = b"PK\x01\x02";

/// Every float tensor of the checkpoint, by name.
pub(super) fn read(file: &Bytes) -> Result<Vec<Named>> {
    let broken = |cause: String| Error::new(cause).mend("fetch the file again");
    if file.windows(4).filter(|w| *w == DIRECTORY_ENTRY).count() > ENTRIES {
        return Err(Error::new("a zip archive of too many entries for a checkpoint"));
    }
    let archive =
        ZipArchive::new(Cursor::new(&file[..])).map_err(|e| broken(format!("the zip archive cannot be read: {e}")))?;
    let folder = archive
        .file_names()
        .filter_map(|name| name.ok()?.strip_suffix("data.pkl").map(str::to_string))
        .find(|folder| folder.is_empty() || folder.ends_with('/'))
        .ok_or_else(|| Error::new("a zip archive, but no PyTorch checkpoint: it has no `data.pkl`"))?;
    let entry = |name: &str| -> Result<Bytes> {
        let fault = |cause: String| broken(format!("`{name}` in the archive cannot be read: {cause}"));
        let mut archive = archive.clone();
        let entry = archive.by_name(&format!("{folder}{name}")).map_err(|e| fault(e.to_string()))?;
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(Error::new(format!("`{name}` in the archive is compressed, which PyTorch never does")));
        }
        let (start, size) = (entry.data_start().and_then(|s| usize::try_from(s).ok()), usize::try_from(entry.size()));
        let piece = start.zip(size.ok()).and_then(|(start, size)| file.piece(start, size));
        piece.ok_or_else(|| fault("it lies outside the file".into()))
    };
    if archive.file_names().any(|name| name.is_ok_and(|n| n.starts_with(&format!("{folder}code/")))) {
        return Err(Error::new("a TorchScript program, which is not read here")
            .mend("save its weights in Python: `torch.save(torch.jit.load(OLD).state_dict(), NEW)`"));
    }
    if entry("byteorder").is_ok_and(|order| &order[..] == b"big") {
        return Err(Error::new("written on a big-endian machine").mend("save it anew on a little-endian one"));
    }
    let pickle = entry("data.pkl")?;
    let pickle = Pickle::read(&pickle, file.len()).map_err(|e| e.at("data.pkl"))?;
    torch::tensors(&pickle, &|key| entry(&format!("data/{key}")))
}
