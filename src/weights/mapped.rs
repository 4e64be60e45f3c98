//! Bytes of a file, mapped into memory and shared.

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};

/// A shared piece of a file's bytes; clones and pieces cost nothing.
#[derive(Clone)]
pub(super) struct Bytes {
    whole: Arc<Whole>,
    range: Range<usize>,
}

enum Whole {
    Mapped(memmap2::Mmap),
    Static(&'static [u8]),
    Owned(Vec<u8>),
}

impl Bytes {
    /// The file at `path`, mapped: only pages that are looked at are read.
    ///
    /// A program that cuts the file short while it is mapped ends this one with SIGBUS; nothing can be done about that in
    /// here, and it cannot make us read what is not ours. Files in the Hub's cache and files written by
    /// [`files::write`](crate::files::write) are replaced whole, never cut.
    pub fn map(path: &Path) -> Result<Self> {
        let fault = |e: std::io::Error| Error::io(path, e);
        let file = File::open(path).map_err(fault)?;
        if !file.metadata().map_err(fault)?.is_file() {
            return Err(Error::new("not a file").at(path.display()).mend("give the path of a weight file"));
        }
        // SAFETY: the map is read-only and private to this process's view. Its bytes are only ever read as `u8`, of which
        // every value is valid, so another program's writes can change values but break no rule of the types made of them.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(fault)?;
        let range = 0..map.len();
        Ok(Self { whole: Arc::new(Whole::Mapped(map)), range })
    }

    /// Bytes inside the program.
    pub fn of(bytes: &'static [u8]) -> Self {
        Self { range: 0..bytes.len(), whole: Arc::new(Whole::Static(bytes)) }
    }

    /// Bytes that were put together from a file's.
    pub fn owned(bytes: Vec<u8>) -> Self {
        Self { range: 0..bytes.len(), whole: Arc::new(Whole::Owned(bytes)) }
    }

    /// A piece of these bytes; `None` if it is not all there.
    pub fn piece(&self, start: usize, length: usize) -> Option<Self> {
        let end = start.checked_add(length).filter(|end| *end <= self.len())?;
        Some(Self { whole: self.whole.clone(), range: self.range.start + start..self.range.start + end })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let whole = match &*self.whole {
            Whole::Mapped(map) => &map[..],
            Whole::Static(bytes) => bytes,
            Whole::Owned(bytes) => bytes,
        };
        &whole[self.range.clone()]
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
