//! Inner loops. The only place of the crate's arithmetic with `unsafe`.

mod buffer;
mod channelwise;
mod correlation;
mod depthwise;
mod direct;
mod fused;
mod max_pool_gradient;
mod memory;
mod product;
mod set;
mod shared;
mod sums;
mod vector;
mod weights;
mod winograd;

/// Calls a function that is generic over `Vector` as the vectors of a set, from a function that has their instructions.
/// Constants come first for AVX-512, then for the others.
macro_rules! on_set {
    ($set:expr, $function:ident $(<[$($wide:literal),*], [$($narrow:literal),*]>)? ($($value:expr => $name:ident: $type:ty),*)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
        unsafe fn avx512($($name: $type),*) {
            // SAFETY: the caller's.
            unsafe { $function::<std::arch::x86_64::__m512 $($(, $wide)*)?>($($name),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($name: $type),*) {
            // SAFETY: the caller's.
            unsafe { $function::<std::arch::x86_64::__m256 $($(, $narrow)*)?>($($name),*) }
        }
        match $set {
            #[cfg(target_arch = "x86_64")]
            $crate::ops::kernels::Set::Avx512 => avx512($($value),*),
            #[cfg(target_arch = "x86_64")]
            $crate::ops::kernels::Set::Avx2 => avx2($($value),*),
            $crate::ops::kernels::Set::Portable => {
                $function::<$crate::ops::kernels::vector::Portable $($(, $narrow)*)?>($($value),*)
            }
        }
    }};
}
use on_set;

pub(super) use buffer::Buffer;
pub(super) use channelwise::{Channelwise, Norm, Taps, avg_pool_2, max_pool_3, norm};
pub(super) use correlation::Correlation;
pub(super) use depthwise::Depthwise;
pub(super) use direct::{Direct, Grid};
pub(super) use fused::Expand;
pub(super) use max_pool_gradient::MaxPoolGradient;
pub use memory::keep_memory;
pub(super) use product::{Packed, Place, Product, SLACK};
pub(super) use set::Set;
pub(super) use sums::sums_with;
pub(super) use weights::Weights;
pub(super) use winograd::{Transformed, Winograd};
