//! Which instructions the kernels use.

use std::sync::LazyLock;

/// A set of instructions that the kernels are compiled for. Results differ between sets in the last bits, because
/// some round a product before it is added and some do not; within one they are always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Set {
    /// AVX-512F: 32 registers of 16 values.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA: 16 registers of 8 values.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every processor of the target has, such as NEON.
    Portable,
}

impl Set {
    /// The sets that this processor has, best first.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::with_capacity(3);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                sets.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                sets.push(Self::Avx2);
            }
        }
        sets.push(Self::Portable);
        sets
    }

    /// The best set that this processor has.
    pub fn best() -> Self {
        static BEST: LazyLock<Set> = LazyLock::new(|| Set::available()[0]);
        *BEST
    }

    /// What `work` gives, compiled for the set: for loops that compilers turn into vectors. They round as they are
    /// written, so the results are the same in every set.
    #[inline]
    pub fn compile<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            // SAFETY: the processor has the set's instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { with_avx512(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { with_avx2(work) },
            Self::Portable => work(),
        }
    }

    /// Values in a register.
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
            Self::Portable => 4,
        }
    }

    /// Output channels that the product's kernel works on at a time.
    pub fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 8,
            _ => 4,
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn with_avx512<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}
