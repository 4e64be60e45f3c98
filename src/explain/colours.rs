//! Colour scales of maps.

/// Colours at even steps from low to high.
const VIRIDIS: [[u8; 3]; 10] = [
    [68, 1, 84],
    [72, 40, 120],
    [62, 74, 137],
    [49, 104, 142],
    [38, 130, 142],
    [31, 158, 137],
    [53, 183, 121],
    [109, 205, 89],
    [180, 222, 44],
    [253, 231, 37],
];
const TURBO: [[u8; 3]; 9] = [
    [48, 18, 59],
    [70, 107, 227],
    [40, 187, 236],
    [49, 242, 153],
    [162, 252, 60],
    [237, 208, 58],
    [251, 128, 34],
    [210, 49, 5],
    [122, 4, 3],
];

/// Viridis at `value`, 0 to 1.
pub fn viridis(value: f32) -> [u8; 3] {
    between(&VIRIDIS, value)
}

/// Turbo at `value`, 0 to 1.
pub fn turbo(value: f32) -> [u8; 3] {
    between(&TURBO, value)
}

/// `rgb` under `colour`, which hides `share` of it.
pub fn blend(rgb: [u8; 3], colour: [u8; 3], share: f32) -> [u8; 3] {
    std::array::from_fn(|i| (f32::from(rgb[i]) * (1.0 - share) + f32::from(colour[i]) * share).round() as u8)
}

fn between(colours: &[[u8; 3]], value: f32) -> [u8; 3] {
    let at = value.clamp(0.0, 1.0) * (colours.len() - 1) as f32;
    let low = (at as usize).min(colours.len() - 2);
    blend(colours[low], colours[low + 1], at - low as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middles() {
        assert_eq!((viridis(-1.0), viridis(2.0)), ([68, 1, 84], [253, 231, 37]));
        assert_eq!(turbo(0.5), [162, 252, 60]);
        assert_eq!(blend([0, 100, 200], [100, 0, 200], 0.25), [25, 75, 200]);
    }
}
