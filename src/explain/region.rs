//! The part of a picture that a network sees.

use crate::cards::model::{Input, Mode, Step};
use crate::imaging::resize::Region;

/// The part of a picture of `width` x `height` pixels that is the network's input after the steps of `input`, in pixels
/// of the picture. It reaches beyond the picture where a crop pads it.
pub fn seen(input: &Input, width: usize, height: usize) -> Region {
    let mut region = Region::whole(width, height);
    // Columns and rows that the region has by now.
    let mut size = (width as f32, height as f32);
    for step in &input.steps {
        match *step {
            Step::Resize { size: side, mode, .. } => {
                let side = side as f32;
                size = match mode {
                    Mode::Squash => (side, side),
                    Mode::Fit => {
                        region = centre(region, size, size.0.min(size.1));
                        (side, side)
                    }
                    Mode::Shorter => {
                        let factor = side / size.0.min(size.1);
                        (size.0 * factor, size.1 * factor)
                    }
                }
            }
            Step::CenterCrop { size: side } => {
                let side = side.map_or(size.0.min(size.1), |side| side as f32);
                region = centre(region, size, side);
                size = (side, side);
            }
            Step::Window { .. } | Step::Scale { .. } | Step::Normalize { .. } | Step::Standardize => {}
        }
    }
    region
}

/// The square of `side` in the middle of a region that is `size` pixels large by now.
fn centre(region: Region, size: (f32, f32), side: f32) -> Region {
    let along = |low: f32, high: f32, length: f32| {
        let (middle, half) = ((low + high) / 2.0, (high - low) * side / length / 2.0);
        (middle - half, middle + half)
    };
    let (left, right) = along(region.left, region.right, size.0);
    let (top, bottom) = along(region.top, region.bottom, size.1);
    Region { left, top, right, bottom }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::model::Filter;

    #[test]
    fn steps_narrow_what_is_seen() {
        let resize = |size, mode| Step::Resize { size, mode, filter: Filter::Bilinear };
        let seen = |steps: Vec<Step>| {
            let r = seen(&Input { channels: 1, steps }, 400, 200);
            [r.left, r.top, r.right, r.bottom]
        };
        assert_eq!(seen(vec![resize(224, Mode::Squash)]), [0.0, 0.0, 400.0, 200.0]);
        assert_eq!(seen(vec![resize(224, Mode::Fit)]), [100.0, 0.0, 300.0, 200.0]);
        assert_eq!(
            seen(vec![resize(100, Mode::Shorter), Step::CenterCrop { size: Some(50) }]),
            [150.0, 50.0, 250.0, 150.0]
        );
        assert_eq!(seen(vec![Step::CenterCrop { size: None }]), [100.0, 0.0, 300.0, 200.0]);
    }
}
