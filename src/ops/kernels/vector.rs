//! The few vector instructions that the kernels are written in.

/// A register of f32 values. Methods are inlined into functions that enable the instructions they need.
///
/// # Safety
/// All methods: the processor has the instructions of the implementation, and a pointer is good for the values that
/// are read or written through it.
pub(super) trait Vector: Copy {
    /// Values in a register.
    const LANES: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The first `n <= LANES` values; the others are 0.
    unsafe fn load_part(from: *const f32, n: usize) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Stores the first `n <= LANES` values.
    unsafe fn store_part(self, to: *mut f32, n: usize);
    /// Asks for values that will soon be loaded, wherever the pointer points.
    unsafe fn prefetch(_from: *const f32) {}
    unsafe fn add(self, other: Self) -> Self;
    /// `self * factor + sum`, rounded once where the processor can.
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;
    /// The sum of all values, halves first.
    unsafe fn sum(self) -> f32;
    /// The larger value; NaN if either is.
    unsafe fn max(self, other: Self) -> Self;
    /// Not less than `low` and not more than `high`; NaN stays NaN.
    unsafe fn clamp(self, low: Self, high: Self) -> Self;
}

/// Vectors for compilers to turn into whatever the processor certainly has.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 4]);

impl Vector for Portable {
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> Self {
        let mut values = [0.0; 4];
        // SAFETY: the caller's.
        unsafe { std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), n.min(4)) };
        Self(values)
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, n: usize) {
        // SAFETY: the caller's.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), to, n.min(4)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + sum.0[i]))
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        (self.0[0] + self.0[2]) + (self.0[1] + self.0[3])
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| {
            let (a, b) = (self.0[i], other.0[i]);
            if a > b || a.is_nan() { a } else { b }
        }))
    }
    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        Self(std::array::from_fn(|i| {
            let v = if self.0[i] < low.0[i] { low.0[i] } else { self.0[i] };
            if v > high.0[i] { high.0[i] } else { v }
        }))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    /// AVX2 and FMA.
    impl Vector for __m256 {
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller's, as in all that follows.
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_part(from: *const f32, n: usize) -> Self {
            unsafe { _mm256_maskload_ps(from, first(n)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn store_part(self, to: *mut f32, n: usize) {
            unsafe { _mm256_maskstore_ps(to, first(n), self) }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { _mm256_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
            unsafe { _mm256_fmadd_ps(self, factor, sum) }
        }
        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // The second operand comes out where one is NaN, so only a NaN of the first is missing.
            unsafe { _mm256_blendv_ps(_mm256_max_ps(self, other), self, _mm256_cmp_ps::<_CMP_UNORD_Q>(self, self)) }
        }
        #[inline(always)]
        unsafe fn clamp(self, low: Self, high: Self) -> Self {
            // The second operand is what comes out where one is NaN.
            unsafe { _mm256_min_ps(high, _mm256_max_ps(low, self)) }
        }
    }

    /// A mask of the first `n` of eight values.
    #[inline(always)]
    unsafe fn first(n: usize) -> __m256i {
        // SAFETY: the processor has AVX2, as the caller holds.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }

    /// AVX-512F.
    impl Vector for __m512 {
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_part(from: *const f32, n: usize) -> Self {
            unsafe { _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn store_part(self, to: *mut f32, n: usize) {
            unsafe { _mm512_mask_storeu_ps(to, ((1u32 << n) - 1) as u16, self) }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { _mm512_add_ps(self, other) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
            unsafe { _mm512_fmadd_ps(self, factor, sum) }
        }
        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            unsafe { _mm512_reduce_add_ps(self) }
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            unsafe {
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self, self);
                _mm512_mask_mov_ps(_mm512_max_ps(self, other), nan, self)
            }
        }
        #[inline(always)]
        unsafe fn clamp(self, low: Self, high: Self) -> Self {
            // The second operand is what comes out where one is NaN.
            unsafe { _mm512_min_ps(high, _mm512_max_ps(low, self)) }
        }
    }
}
