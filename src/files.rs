//! Files that are whole or not there, and their hashes.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// How the names of files that are being written begin.
const UNFINISHED: &str = ".roentgen-";

/// Writes `path` so that a reader, and a machine that stops midway, sees the old file or the new one and nothing
/// between: into a temporary file beside it, flushed to the disk, then renamed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    put(path, |file| file.write_all(bytes).map_err(|e| Error::io(path, e)))
}

/// As [`write()`], what `fill` writes, none of which is kept in memory; gives its SHA-256 in lower-case hex.
pub fn write_hashed(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<String> {
    let mut hash = Sha256::new();
    put(path, |file| fill(&mut Hashed { file, hash: &mut hash }))?;
    Ok(hex(&hash.finalize()))
}

fn put(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let (folder, fault) = (folder_of(path), |e| Error::io(path, e));
    let builder = || tempfile::Builder::new().prefix(UNFINISHED).permissions(permissions()).tempfile_in(folder);
    let mut file = builder().map_err(fault)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    fill(&mut buffered)?;
    buffered.flush().map_err(fault)?;
    drop(buffered);
    let keep = || -> std::io::Result<()> {
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        File::open(folder)?.sync_all()
    };
    keep().map_err(fault)
}

/// Hashes what goes through it.
struct Hashed<'a> {
    file: &'a mut dyn Write,
    hash: &'a mut Sha256,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Makes the folder `path`, which must not be there, so that it appears with all its files or not at all: `fill` writes
/// them into a temporary folder beside it, which is then renamed.
pub fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = folder_of(path);
    let fault = |e| Error::io(path, e);
    std::fs::create_dir_all(parent).map_err(fault)?;
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent).map_err(fault)?;
    let inside = unfinished.path().join("folder");
    std::fs::create_dir(&inside).map_err(fault)?;
    fill(&inside)?;
    std::fs::rename(&inside, path).and_then(|()| File::open(parent)?.sync_all()).map_err(fault)
}

/// Writes a new file that only its owner may read, whole or not at all. A file that is there already stays as it is, and
/// is an error.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    // Temporary files are their owner's only, from the start.
    match put_new(path, bytes, tempfile::Builder::new().prefix(UNFINISHED)) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(Error::usage("a file is there already").at(path.display()).mend("choose another name"))
        }
        Err(e) => Err(Error::io(path, e)),
    }
}

/// Writes a file, whole or not at all, unless one is there, which then stays as it is.
pub fn write_if_absent(path: &Path, bytes: &[u8]) -> Result<()> {
    match put_new(path, bytes, tempfile::Builder::new().prefix(UNFINISHED).permissions(permissions())) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}

fn put_new(path: &Path, bytes: &[u8], temporary: &tempfile::Builder) -> std::io::Result<()> {
    let mut file = temporary.tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|e| e.error)?;
    File::open(folder_of(path))?.sync_all()
}

/// A folder inside `path` for files that are not all written yet; it goes when it is dropped.
pub fn unfinished_folder(path: &Path) -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(path).map_err(|e| Error::io(path, e))
}

/// Removes what processes that were killed midway left in `folder`.
pub fn remove_unfinished(folder: &Path) -> Result<()> {
    let remove = || -> std::io::Result<()> {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED)) {
                // Whoever wrote it may be removing it too, or be about to name it: never with a part of its files.
                let gone = path.with_extension("gone");
                drop(match path.is_dir() {
                    true => std::fs::rename(&path, &gone).and_then(|()| std::fs::remove_dir_all(gone)),
                    false => std::fs::remove_file(path),
                });
            }
        }
        Ok(())
    };
    remove().map_err(|e| Error::io(folder, e))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What a newly made file usually has; the umask takes away from it.
#[cfg(unix)]
fn permissions() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

/// `text` as a part of a file's name: lower-case letters, digits and `-` only, at most 40 of them.
pub fn plain_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    text.chars().map(plain).take(40).collect::<String>().trim_matches('-').to_owned()
}

/// SHA-256 of `bytes`, in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of the file at `path`, in lower-case hex, read piece by piece.
pub fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut piece).map_err(|e| Error::io(path, e))?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&piece[..n]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"one").unwrap();
        let hash = write_hashed(&path, |out| out.write_all(b"two").map_err(|e| Error::io(&path, e))).unwrap();
        assert_eq!(hash, sha256(b"two"));
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(sha256_of(&path).unwrap(), sha256(b"two"));
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(write(&folder.path().join("no/such/a.txt"), b"").is_err());
        assert_eq!(plain_name("../Pleural Thickening\n"), "pleural-thickening");
        std::fs::write(folder.path().join(".roentgen-x1"), b"half").unwrap();
        drop(unfinished_folder(folder.path()).unwrap().keep());
        write_if_absent(&path, b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        remove_unfinished(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
