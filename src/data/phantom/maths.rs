//! Numbers that come out the same on every machine: only `+ - * /`, `sqrt`, `floor` and comparisons.

/// One step of SplitMix64 (Steele, Lea and Flood 2014) as a hash of 64 bits.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The SplitMix64 generator, one independent stream per key.
pub struct Rng(u64);

impl Rng {
    /// The stream named by `keys` in their order.
    pub fn new(keys: &[u64]) -> Self {
        Self(keys.iter().fold(0, |state, &key| mix(state ^ mix(key))))
    }

    pub fn bits(&mut self) -> u64 {
        let out = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        out
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Nearly normal with mean 0 and deviation 1, within ±3.5: four 16-bit uniforms added (Irwin-Hall).
    pub fn bell(&mut self) -> f32 {
        let b = self.bits();
        let sum = (b & 0xffff) + (b >> 16 & 0xffff) + (b >> 32 & 0xffff) + (b >> 48);
        (sum as f32 / 65535.0 - 2.0) * 1.732_050_8
    }

    /// -1 or 1.
    pub fn sign(&mut self) -> f32 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }
}

/// 0 below 0, 1 above 1, a smooth cubic between.
pub fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A round bump of height 1 at 0 that is 0 from `square` = 1 on; `square` is the squared distance.
pub fn bump(square: f32) -> f32 {
    let rest = (1.0 - square).max(0.0);
    rest * rest
}

/// Smooth noise in [-1, 1] with features of about one unit (value noise on a hashed lattice).
pub fn noise(seed: u64, x: f32, y: f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (smooth(x - left), smooth(y - top));
    let corner = |dx: f32, dy: f32| {
        let at = (((left + dx) as i32 as u32 as u64) << 32) | (top + dy) as i32 as u32 as u64;
        (mix(seed ^ at) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let upper = corner(0.0, 0.0) * (1.0 - fx) + corner(1.0, 0.0) * fx;
    let lower = corner(0.0, 1.0) * (1.0 - fx) + corner(1.0, 1.0) * fx;
    upper * (1.0 - fy) + lower * fy
}
