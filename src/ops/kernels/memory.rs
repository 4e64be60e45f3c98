//! What becomes of memory between the steps of training.

/// Lets the allocator keep what is given back, and grow in one piece: a step asks for the same tensors as the one before,
/// and fresh pages, which the system fills with zeros, cost a tenth of it. For the whole process, and with glibc alone.
pub fn keep_memory() {
    // SAFETY: the calls change how later allocations are served, and nothing else; a refusal changes nothing.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}
