//! Matrix multiplication on one thread.

/// A row-major matrix of `rows` x `columns` whose rows start `stride` values apart.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Matrix<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub stride: usize,
}

/// Longest sum that the gemm crate never cuts, whatever caches it finds. Cutting here, at fixed places, keeps
/// the order of additions, and so every bit, the same on machines with different caches.
const DEPTH: usize = 512;

/// `out += a * b`, where row `i` of `out` starts at `i * stride`.
pub(in crate::ops) fn multiply_add(out: &mut [f32], stride: usize, a: Matrix, b: Matrix) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert_eq!(k, b.rows);
    assert!(a.stride >= k && a.data.len() >= (m - 1) * a.stride + k);
    assert!(b.stride >= n && b.data.len() >= (k - 1) * b.stride + n);
    assert!(stride >= n && out.len() >= (m - 1) * stride + n);
    for first in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - first);
        // SAFETY: the assertions above hold every address that the three matrices span inside their slices, and
        // `out` is borrowed exclusively, so it overlaps neither `a` nor `b`.
        unsafe {
            gemm::gemm(
                m,
                n,
                depth,
                out.as_mut_ptr(),
                1,
                stride as isize,
                true,
                a.data[first..].as_ptr(),
                1,
                a.stride as isize,
                b.data[first * b.stride..].as_ptr(),
                1,
                b.stride as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition(m in 1usize..20, n in 1usize..70, k in 1usize..40, long in any::<bool>(), seed in 0u32..1000) {
            let k = if long { k + DEPTH } else { k };
            let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 65_536.0 - 0.5;
            let a: Vec<f32> = (0..m * k).map(value).collect();
            let b: Vec<f32> = (0..k * (n + 3)).map(|i| value(i + 77)).collect();
            let mut out = vec![1.0; m * (n + 5)];
            multiply_add(
                &mut out,
                n + 5,
                Matrix { data: &a, rows: m, columns: k, stride: k },
                Matrix { data: &b, rows: k, columns: n, stride: n + 3 },
            );
            for i in 0..m {
                for j in 0..n + 5 {
                    let sum = if j < n { (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[l * (n + 3) + j])).sum() } else { 0.0 };
                    prop_assert!((f64::from(out[i * (n + 5) + j]) - 1.0 - sum).abs() < 1e-4);
                }
            }
        }
    }
}
