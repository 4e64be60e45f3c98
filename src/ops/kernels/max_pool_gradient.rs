//! The gradient of a pool of largest values.

use super::on_set;
use super::set::Set;
use super::vector::Vector;

/// Gradients of windows of 3x3 values, two pixels apart, over planes of one size with a wall around them that never wins.
///
/// Even and odd columns of a line lie apart, so that what one tap of all windows sees is one run of values.
pub(in crate::ops) struct MaxPoolGradient {
    height: usize,
    width: usize,
    /// Lines of the plane between two of the wall: even columns, a wall, odd columns.
    lines: Vec<f32>,
    /// Their gradients.
    sums: Vec<f32>,
    /// The largest value of each window of a row, and the tap that saw it.
    largest: Vec<f32>,
    winners: Vec<u32>,
}

impl MaxPoolGradient {
    /// For planes of this size.
    pub fn new(height: usize, width: usize) -> Self {
        let columns = width.div_ceil(2);
        let size = (height + 2) * (2 * columns + 1);
        let (lines, sums) = (vec![f32::NEG_INFINITY; size], vec![0.0; size]);
        Self { height, width, lines, sums, largest: vec![0.0; columns], winners: vec![0; columns] }
    }

    /// Writes the gradient of the plane `x`: every window's goes to its largest value, the first of equals, as PyTorch has
    /// it; NaN is the largest.
    pub fn run(&mut self, set: Set, x: &[f32], grad: &[f32], out: &mut [f32]) {
        // SAFETY: the processor has the set's instructions.
        unsafe {
            on_set!(set, run(self => this: &mut MaxPoolGradient, x => x: &[f32], grad => grad: &[f32], out => out: &mut [f32]));
        }
    }
}

/// Generic over a vector that it leaves to the compiler, as sums of planes are.
#[inline(always)]
unsafe fn run<V: Vector>(this: &mut MaxPoolGradient, x: &[f32], grad: &[f32], out: &mut [f32]) {
    let MaxPoolGradient { height, width, lines, sums, largest, winners } = this;
    let columns = largest.len();
    let pitch = 2 * columns + 1;
    for (line, values) in lines.chunks_exact_mut(pitch).skip(1).zip(x.chunks_exact(*width)) {
        let (even, odd) = line.split_at_mut(columns);
        let (pairs, last) = values.as_chunks::<2>();
        for ((even, odd), pair) in even.iter_mut().zip(&mut odd[1..]).zip(pairs) {
            (*even, *odd) = (pair[0], pair[1]);
        }
        if let [last] = last {
            even[columns - 1] = *last;
        }
    }
    sums.fill(0.0);
    for (row, grad) in grad.chunks_exact(columns).enumerate() {
        largest.fill(f32::NEG_INFINITY);
        // The first tap that is not on the wall, if no other is larger.
        let first = if row == 0 { 3 } else { 0 };
        winners.fill(first);
        winners[0] = first + 1;
        for (tap, line) in (0..9).step_by(3).zip(lines.chunks_exact(pitch).skip(2 * row)) {
            let (even, odd) = line.split_at(columns);
            meet(tap, odd, largest, winners);
            meet(tap + 1, even, largest, winners);
            meet(tap + 2, &odd[1..], largest, winners);
        }
        for (tap, line) in (0..9).step_by(3).zip(sums.chunks_exact_mut(pitch).skip(2 * row)) {
            let (even, odd) = line.split_at_mut(columns);
            // In the order of the windows: an odd column is in the right of one before it is in the left of the next.
            give(tap + 2, grad, winners, &mut odd[1..]);
            give(tap, grad, winners, odd);
            give(tap + 1, grad, winners, even);
        }
    }
    for (out, line) in out.chunks_exact_mut(*width).zip(sums.chunks_exact(pitch).skip(1)).take(*height) {
        let (even, odd) = line.split_at(columns);
        let (pairs, last) = out.as_chunks_mut::<2>();
        for ((pair, even), odd) in pairs.iter_mut().zip(even).zip(&odd[1..]) {
            *pair = [*even, *odd];
        }
        if let [last] = last {
            *last = even[columns - 1];
        }
    }
}

/// Where `tap` sees a larger value than those before it did, it wins.
#[inline(always)]
fn meet(tap: u32, values: &[f32], largest: &mut [f32], winners: &mut [u32]) {
    for ((most, winner), value) in largest.iter_mut().zip(winners).zip(values) {
        let wins = (*value > *most) | (value.is_nan() & !most.is_nan());
        *most = if wins { *value } else { *most };
        *winner = if wins { tap } else { *winner };
    }
}

/// Adds the gradients of the windows that `tap` has won.
#[inline(always)]
fn give(tap: u32, grad: &[f32], winners: &[u32], sums: &mut [f32]) {
    for ((sum, grad), winner) in sums.iter_mut().zip(grad).zip(winners) {
        *sum += if *winner == tap { *grad } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Window after window.
    fn by_definition(h: usize, w: usize, x: &[f32], grad: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; h * w];
        let columns = w.div_ceil(2);
        for (i, grad) in grad.iter().enumerate() {
            let (top, left) = (i / columns * 2, i % columns * 2);
            let rows = top.saturating_sub(1)..(top + 2).min(h);
            let inside = rows.flat_map(|y| (left.saturating_sub(1)..(left + 2).min(w)).map(move |x| y * w + x));
            let winner = inside
                .reduce(|best, at| if x[at] > x[best] || (x[at].is_nan() && !x[best].is_nan()) { at } else { best });
            out[winner.unwrap()] += grad;
        }
        out
    }

    proptest! {
        #[test]
        fn goes_to_the_first_of_the_largest(
            (h, w, x) in (1usize..8, 1usize..40).prop_flat_map(|(h, w)| {
                let value = prop_oneof![4 => (-2i8..3).prop_map(f32::from), 1 => Just(f32::NAN), 1 => Just(f32::NEG_INFINITY)];
                (Just(h), Just(w), prop::collection::vec(value, h * w))
            }),
            seed in 1u32..1000,
        ) {
            let grad: Vec<_> = (0..h.div_ceil(2) * w.div_ceil(2)).map(|i| (i as f32 + 0.1) * seed as f32 - 500.0).collect();
            let mut by_two = vec![0.0; h * w];
            for set in Set::available() {
                let mut pool = MaxPoolGradient::new(h, w);
                // Nothing of a plane is left for the next one.
                pool.run(set, &vec![1.0; h * w], &grad, &mut by_two);
                pool.run(set, &x, &grad, &mut by_two);
                prop_assert_eq!(&by_two, &by_definition(h, w, &x, &grad));
            }
        }
    }
}
