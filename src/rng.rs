//! Random numbers that depend on a seed and a stream number only, never on threads.

/// SplitMix64 (Steele, Lea & Flood 2014), one stream for each replicate.
#[derive(Debug, Clone)]
pub struct Rng(u64);

/// 2^64 over the golden ratio, odd: the step of the counter.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    /// Stream `stream` of `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(STEP)) ^ stream.wrapping_mul(STEP)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A whole number below `n`, by the high half of the product (Lemire 2019; its bias of n / 2^64 cannot be seen).
    pub fn below(&mut self, n: u32) -> u32 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u32
    }

    /// A number in the open interval (0, 1), on a grid of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// A standard normal number (Box & Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(self.uniform())).sqrt();
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform())
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The first outputs of SplitMix64 from state 1234567, as its authors' programs print them.
    #[test]
    fn known_sequence() {
        let mut rng = Rng(1_234_567);
        let seen = [rng.bits(), rng.bits(), rng.bits()];
        assert_eq!(seen, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn uniform_and_below_are_even() {
        let mut rng = Rng::new(1, 2);
        let n = 100_000;
        let mean = (0..n).map(|_| rng.uniform()).sum::<f64>() / f64::from(n);
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        let mut counts = [0; 7];
        (0..n).for_each(|_| counts[rng.below(7) as usize] += 1);
        assert!(counts.iter().all(|&c: &i32| (c - 14_286).abs() < 600), "{counts:?}");
    }
}
