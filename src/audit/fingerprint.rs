//! The fingerprint of an AUROC: times twice the pairs it is a whole number, so its digits tell the class sizes.

use super::counts::Sizes;
use super::interval::{Exact, Interval};
use crate::cards::printed::Printed;

/// Sizes that this many rows may have are searched; more are not.
const MOST_ROWS: u64 = 2_000_000;

/// How many values of AUROC * 2 * positives * negatives lie in the interval.
pub fn whole_numbers(within: &Interval, sizes: Sizes) -> u64 {
    let pairs = 2 * i128::from(sizes.pos) * i128::from(sizes.neg);
    let scaled = |end: Exact| end * Exact::from(pairs);
    let (low, high) = (scaled(within.low), scaled(within.high));
    let mut first = low.ceil().to_integer();
    let mut last = high.floor().to_integer();
    if !within.low_closed && low.is_integer() {
        first += 1;
    }
    if !within.high_closed && high.is_integer() {
        last -= 1;
    }
    u64::try_from(last.min(pairs) - first.max(0) + 1).unwrap_or(0)
}

/// The numbers of positives, of `n` rows, with which the AUROC is possible; `None` for more rows than are searched.
pub fn positives(within: &Interval, n: u64) -> Option<Vec<u64>> {
    (n <= MOST_ROWS).then(|| (1..n).filter(|&pos| whole_numbers(within, Sizes { pos, neg: n - pos }) > 0).collect())
}

/// The decimals it takes until about one pair of class sizes of `n` rows is left: log10(n^3 / 6) + 1.
pub fn decimals_needed(n: u64) -> u32 {
    (3.0 * libm::log10(n.max(2) as f64) - libm::log10(6.0) + 1.0).ceil() as u32
}

/// Whether the digits look like a 32-bit float's: the shortest that tell it from its neighbours, or its value written
/// as a double. Such an AUROC is no exact fraction.
pub fn is_float32(printed: &Printed) -> bool {
    let value = printed.as_f64();
    let single = value as f32;
    let as_double = printed.digits() > 9 && f64::from(single) == value;
    let shortest = (7..=9).contains(&printed.digits()) && single.to_string().parse::<f64>() == Ok(value);
    as_double || shortest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::printed::Rounding;
    use crate::rng::Rng;

    fn of(text: &str) -> Interval {
        Interval::of(&text.parse().unwrap(), Rounding::Half)
    }

    #[test]
    fn digits_tell_the_positives() {
        assert_eq!(positives(&of("0.7616870310044441"), 22_433).unwrap(), [260, 22_173]);
        assert_eq!(decimals_needed(22_433), 14);
        assert!(positives(&of("0.7616870310"), 22_433).unwrap().len() > 50);
        // 18 of 20 pairs at best; 0.93 lies between 37/40 and 38/40.
        assert_eq!(whole_numbers(&of("0.93"), Sizes { pos: 4, neg: 5 }), 1);
        assert_eq!(whole_numbers(&of("0.94"), Sizes { pos: 4, neg: 5 }), 0);
    }

    #[test]
    fn honest_aurocs_are_possible() {
        let mut rng = Rng::new(5, 0);
        for _ in 0..2000 {
            let sizes = Sizes { pos: 1 + u64::from(rng.below(3000)), neg: 1 + u64::from(rng.below(20_000)) };
            let pairs = 2 * sizes.pos * sizes.neg;
            let value = ((rng.uniform() * pairs as f64) as u64) as f64 / pairs as f64;
            for text in [value.to_string(), format!("{value:.4}"), format!("{value:.3}")] {
                assert!(whole_numbers(&of(&text), sizes) > 0, "{text} {sizes:?}");
            }
        }
    }

    #[test]
    fn single_precision_is_recognised() {
        let single = |text: &str| is_float32(&text.parse().unwrap());
        assert!(single(&0.876_543_2f32.to_string()) && single(&f64::from(0.876_543_2f32).to_string()));
        assert!(!single("0.8179808156177791") && !single("0.8765"));
    }
}
