//! Which images an epoch shows, and in which order.

use super::recipe::Sampling;
use crate::rng::Rng;

/// Streams of random numbers of a training, apart from each other.
#[derive(Clone, Copy)]
pub(super) enum Draws {
    /// The order of an epoch.
    Order,
    /// What a step drops.
    Dropout,
}

impl Draws {
    /// The numbers of the `i`th of this kind.
    pub fn rng(self, seed: u64, i: usize) -> Rng {
        let kind = match self {
            Self::Order => 1,
            Self::Dropout => 2,
        };
        Rng::new(seed, (kind << 56) | i as u64)
    }
}

/// One showing of an image in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Showing {
    /// Which image.
    pub image: usize,
    /// How often the epoch has shown it before.
    pub before: u32,
}

/// An epoch over images of these truths (a list each, `None` where not known), as many showings as images. The same
/// seed and epoch give the same.
pub(super) fn epoch(sampling: Sampling, truths: &[Vec<Option<bool>>], seed: u64, epoch: usize) -> Vec<Showing> {
    let mut rng = Draws::Order.rng(seed, epoch);
    let order = match sampling {
        Sampling::Shuffled => shuffled((0..truths.len()).collect(), &mut rng),
        Sampling::Balanced => {
            let classes = classes(truths);
            let draw = |_: &Vec<_>| {
                let class = &classes[rng.below(classes.len() as u32) as usize];
                class[rng.below(class.len() as u32) as usize]
            };
            truths.iter().map(draw).collect()
        }
    };
    let mut shown = vec![0; truths.len()];
    let showing = |image: usize| {
        shown[image] += 1;
        Showing { image, before: shown[image] - 1 }
    };
    order.into_iter().map(showing).collect()
}

/// Fisher and Yates' shuffle.
pub(super) fn shuffled<T>(mut items: Vec<T>, rng: &mut Rng) -> Vec<T> {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.below(i as u32 + 1) as usize);
    }
    items
}

/// The images of each class: by their rarest finding, and those without any.
fn classes(truths: &[Vec<Option<bool>>]) -> Vec<Vec<usize>> {
    let labels = truths.first().map_or(0, Vec::len);
    let counts: Vec<usize> = (0..labels).map(|l| truths.iter().filter(|t| t[l] == Some(true)).count()).collect();
    let mut classes = vec![Vec::new(); labels + 1];
    for (image, truths) in truths.iter().enumerate() {
        let rarest = (0..labels).filter(|l| truths[*l] == Some(true)).min_by_key(|l| counts[*l]);
        classes[rarest.unwrap_or(labels)].push(image);
    }
    classes.retain(|class| !class.is_empty());
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truths(n: usize) -> Vec<Vec<Option<bool>>> {
        // 1 of 10 has the first finding, 1 of 5 the second.
        (0..n).map(|i| vec![Some(i % 10 == 0), Some(i % 5 == 0)]).collect()
    }

    #[test]
    fn shuffling_shows_each_once_and_every_epoch_anew() {
        let truths = truths(100);
        let first = epoch(Sampling::Shuffled, &truths, 1, 0);
        assert_eq!(first, epoch(Sampling::Shuffled, &truths, 1, 0));
        assert_ne!(first, epoch(Sampling::Shuffled, &truths, 1, 1));
        assert_ne!(first, epoch(Sampling::Shuffled, &truths, 2, 0));
        let mut images: Vec<_> = first.iter().map(|s| s.image).collect();
        images.sort_unstable();
        assert!(images.into_iter().eq(0..100) && first.iter().all(|s| s.before == 0));
    }

    #[test]
    fn classes_are_shown_equally_often() {
        let truths = truths(3000);
        let shown = epoch(Sampling::Balanced, &truths, 1, 0);
        let share = |of: fn(usize) -> bool| shown.iter().filter(|s| of(s.image)).count() as f64 / 3000.0;
        // The class of an image with both is the rarer, the first.
        for share in [share(|i| i % 10 == 0), share(|i| i % 10 == 5), share(|i| i % 5 != 0)] {
            assert!((share - 1.0 / 3.0).abs() < 0.03, "{share}");
        }
        let most = shown.iter().map(|s| s.before).max().unwrap();
        assert!(most >= 4, "rare images are shown often: {most}");
    }
}
