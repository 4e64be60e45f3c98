//! One slice that several threads write, each its own part.

/// The start of a slice that tasks write disjoint parts of.
#[derive(Clone, Copy)]
pub(super) struct Shared(pub *mut f32);

// SAFETY: whoever makes one holds the slice exclusively, and sees to it that no two tasks touch the same value.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// The pointer; a method so that closures take the whole struct.
    pub fn get(self) -> *mut f32 {
        self.0
    }
}
