//! Does a map change when the weights do? The model randomisation test of Adebayo et al. (2018).

use super::map::Map;
use crate::cards::catalogue::Home;
use crate::cards::model::ModelCard;
use crate::error::Result;
use crate::models::{self, Model};
use crate::rng::Rng;

/// What is randomised, from the output on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The dense layers.
    Head,
    /// These and the later half of the stages.
    Half,
    /// Everything.
    All,
}

/// All of them, in the order of the test.
pub const DEPTHS: [Depth; 3] = [Depth::Head, Depth::Half, Depth::All];

/// The card's model with the weights of its convolutions and dense layers put into a random order, tensor by tensor, so
/// that their distribution stays; norms keep theirs.
pub fn randomized(card: &ModelCard, home: &Home, like: &Model, depth: Depth, seed: u64) -> Result<Model> {
    let stages: Vec<_> = like.stage_names().collect();
    let mut rng = Rng::new(seed, depth as u64);
    let shuffle = |name: &str, shape: &[usize], values: &mut [f32]| {
        let stage = stages.iter().position(|stage| name.strip_prefix(stage).is_some_and(|rest| rest.starts_with('.')));
        let head = ["classifier.", "fc."].iter().any(|start| name.starts_with(start));
        let chosen = match depth {
            Depth::Head => head,
            Depth::Half => head || stage.is_some_and(|s| 2 * s >= stages.len()),
            Depth::All => true,
        };
        if chosen && (shape.len() > 1 || head) {
            for i in (1..values.len()).rev() {
                values.swap(i, rng.below(i as u32 + 1) as usize);
            }
        }
    };
    Ok(models::load_changed(card, home, like.device(), shuffle)?.0)
}

/// Spearman's correlation of two maps of one size, ties having their mean rank; 0 where a map is the same everywhere.
pub fn rank_correlation(a: &Map, b: &Map) -> f64 {
    let (a, b) = (ranks(&a.values), ranks(&b.values));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let size = (product(&a, &a) * product(&b, &b)).sqrt();
    if size > 0.0 { product(&a, &b) / size } else { 0.0 }
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for same in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = first as f64 + (same.len() as f64 - 1.0) / 2.0;
        same.iter().for_each(|at| ranks[*at] = rank);
        first += same.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[f32]) -> Map {
        Map { width: values.len(), height: 1, values: values.to_vec() }
    }

    #[test]
    fn spearman_with_ties() {
        assert_eq!(rank_correlation(&map(&[1.0, 2.0, 3.0]), &map(&[5.0, 50.0, 500.0])), 1.0);
        assert_eq!(rank_correlation(&map(&[1.0, 2.0, 3.0]), &map(&[3.0, 2.0, 1.0])), -1.0);
        assert_eq!(rank_correlation(&map(&[1.0, 2.0, 3.0]), &map(&[0.0; 3])), 0.0);
        // scipy.stats.spearmanr([1, 2, 2, 4], [1, 3, 2, 4]).
        assert!(
            (rank_correlation(&map(&[1.0, 2.0, 2.0, 4.0]), &map(&[1.0, 3.0, 2.0, 4.0])) - 0.948_683_298).abs() < 1e-9
        );
    }
}
