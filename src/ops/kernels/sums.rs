//! Sums of planes in double precision.

use super::on_set;
use super::set::Set;
use super::vector::Vector;

/// Values that are summed side by side, whatever the set: the sums are the same in all of them.
const LANES: usize = 16;

/// The sum of all values of `a` and of their products with `b`.
pub(in crate::ops) fn sums_with(set: Set, a: &[f32], b: &[f32]) -> (f64, f64) {
    let mut found = (0.0, 0.0);
    // SAFETY: the processor has the set's instructions.
    unsafe {
        on_set!(set, sums(a => a: &[f32], b => b: &[f32], &mut found => found: &mut (f64, f64)));
    }
    found
}

/// Too long for compilers to take a closure of it into a function of other instructions: hence generic over a vector that
/// it leaves to them.
#[inline(always)]
unsafe fn sums<V: Vector>(a: &[f32], b: &[f32], found: &mut (f64, f64)) {
    let (mut sums, mut products) = ([0f64; LANES], [0f64; LANES]);
    let ((blocks, rest), (others, tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in blocks.iter().zip(others) {
        for i in 0..LANES {
            let (a, b) = (f64::from(a[i]), f64::from(b[i]));
            sums[i] += a;
            products[i] += a * b;
        }
    }
    for (i, (a, b)) in rest.iter().zip(tail).enumerate() {
        let (a, b) = (f64::from(*a), f64::from(*b));
        sums[i] += a;
        products[i] += a * b;
    }
    *found = (sums.iter().sum(), products.iter().sum());
}
