//! Whether a method's maps of a model can be trusted, label by label.

use std::fmt;
use std::path::Path;

use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::explainer::Explainer;
use super::faithfulness::{Faithfulness, Probe, random};
use super::map::Map;
use super::randomization::{DEPTHS, rank_correlation};
use crate::error::{Error, Result};
use crate::models::Model;

/// Random maps that a map is compared with: being better than all of them has a probability of one in twenty by chance.
const RANDOM: u64 = 19;
/// From this probability on a map is no better than random.
const LEVEL: f64 = 0.05;
/// From this rank correlation with the maps of a random network on, a method does not look at the weights.
const INSENSITIVE: f64 = 0.5;

/// What tests say of a method's maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Badge {
    /// Better than random maps, and made by the weights.
    Faithful,
    /// The probability depends on the places of random maps as much.
    NotBetterThanRandom,
    /// The map hardly changes when the weights are random.
    InsensitiveToWeights,
    /// No image of the label was called positive.
    NotTested,
}

impl Badge {
    /// What a probability that random maps are as good, and the correlations with the maps of random weights, say.
    fn of(p_value: Option<f64>, correlations: Option<[f64; 3]>) -> Self {
        match (p_value, correlations) {
            (Some(_), Some([.., all])) if all >= INSENSITIVE => Self::InsensitiveToWeights,
            (Some(p), Some(_)) if p <= LEVEL => Self::Faithful,
            (Some(_), Some(_)) => Self::NotBetterThanRandom,
            _ => Self::NotTested,
        }
    }
}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Faithful => "faithful",
            Self::NotBetterThanRandom => "not better than random",
            Self::InsensitiveToWeights => "insensitive to weights",
            Self::NotTested => "not tested",
        })
    }
}

/// The tests of one image and label.
pub struct Trial {
    map: Faithfulness,
    random: Vec<Faithfulness>,
    correlations: [f64; 3],
}

/// The tests of a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// The label.
    pub label: String,
    /// Images that were tested.
    pub n: usize,
    /// Mean deletion area; `None` without images, as below.
    pub deletion: Option<f64>,
    /// The same of random maps.
    pub deletion_random: Option<f64>,
    /// Mean insertion area.
    pub insertion: Option<f64>,
    /// The same of random maps.
    pub insertion_random: Option<f64>,
    /// Mean ROAD.
    pub road: Option<f64>,
    /// The same of random maps.
    pub road_random: Option<f64>,
    /// Probability that random maps would reach this ROAD: 1 + those that do, over 1 + all of them.
    pub p_value: Option<f64>,
    /// Mean rank correlation with the map of the network whose head is random, whose later half is, and which is random
    /// altogether.
    pub correlation_when_random: Option<[f64; 3]>,
    /// What comes of it.
    pub badge: Badge,
}

impl Trial {
    /// Tests the map of label number `label` for one `image` made from a picture of `size`. `randomized` are the networks
    /// of [`DEPTHS`].
    pub fn run(
        explainer: &Explainer,
        randomized: &[Model],
        image: &Tensor,
        size: (usize, usize),
        (label, map): (usize, &Map),
        seed: u64,
    ) -> Result<Self> {
        let Explainer { model, card, .. } = *explainer;
        let probe = Probe { model, output: card.output, label, seed };
        let random: Vec<_> = (0..RANDOM)
            .into_par_iter()
            .map(|i| probe.measure(image, &random(map, seed, i + 2)))
            .collect::<Result<_>>()?;
        let mut correlations = [0.0; DEPTHS.len()];
        for (correlation, model) in correlations.iter_mut().zip(randomized) {
            let other = Explainer { model, layer: explainer.layer.clone(), ..*explainer };
            let maps = other.explain(image, size, &[label])?.maps;
            *correlation = maps.first().map_or(0.0, |other| rank_correlation(map, other));
        }
        Ok(Self { map: probe.measure(image, map)?, random, correlations })
    }
}

impl Trust {
    /// What the trials of a label come to.
    pub fn of(label: &str, trials: &[Trial]) -> Self {
        let n = trials.len();
        let mean = |of: &dyn Fn(&Trial) -> f64| (n > 0).then(|| trials.iter().map(of).sum::<f64>() / n as f64);
        let by_chance = |of: fn(&Faithfulness) -> f64| {
            mean(&|t: &Trial| t.random.iter().map(of).sum::<f64>() / t.random.len() as f64)
        };
        let road = mean(&|t| t.map.road);
        let p_value = road.map(|road| {
            let reached = |i: &usize| mean(&|t| t.random[*i].road).is_some_and(|other| other >= road);
            (1 + (0..RANDOM as usize).filter(reached).count()) as f64 / (1 + RANDOM) as f64
        });
        let correlations = mean(&|t| t.correlations[0])
            .zip(mean(&|t| t.correlations[1]))
            .zip(mean(&|t| t.correlations[2]))
            .map(|((a, b), c)| [a, b, c]);
        Self {
            label: label.to_owned(),
            n,
            deletion: mean(&|t| t.map.deletion),
            deletion_random: by_chance(|f| f.deletion),
            insertion: mean(&|t| t.map.insertion),
            insertion_random: by_chance(|f| f.insertion),
            road,
            road_random: by_chance(|f| f.road),
            p_value,
            correlation_when_random: correlations,
            badge: Badge::of(p_value, correlations),
        }
    }

    /// Whether the badge is what the numbers give.
    pub fn is_sound(&self) -> bool {
        self.badge == Badge::of(self.p_value, self.correlation_when_random)
    }

    /// One line for a person.
    pub fn line(&self) -> String {
        match (self.road, self.road_random, self.p_value) {
            (Some(road), Some(random), Some(p)) => {
                format!("{} (ROAD {road:.3}, random maps {random:.3}, p {p:.2}, {} images)", self.badge, self.n)
            }
            _ => self.badge.to_string(),
        }
    }
}

/// The tests of some maps.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Tested {
    /// SHA-256 of the model's weights, in hex.
    pub weights: String,
    /// How the maps were made: the method and its layer.
    pub method: String,
    /// What came of it; empty where there were no tests.
    #[serde(default)]
    pub trust: Vec<Trust>,
}

/// The tests that `roentgen explain --trust N --out DIR` left in `folder`; none where it left none.
pub fn read(folder: &Path) -> Result<Tested> {
    let path = folder.join(super::FILE);
    if !path.is_file() {
        return Ok(Tested::default());
    }
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::new(e.to_string()).at(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(road: f64, random: f64, all: f64) -> Trial {
        let of = |road| Faithfulness { road, ..Faithfulness::default() };
        Trial { map: of(road), random: vec![of(random); RANDOM as usize], correlations: [0.9, 0.5, all] }
    }

    #[test]
    fn badges() {
        let badge = |trials: &[Trial]| Trust::of("Mass", trials).badge;
        assert_eq!(badge(&[trial(0.3, 0.1, 0.0), trial(0.0, 0.1, 0.2)]), Badge::Faithful);
        assert_eq!(badge(&[trial(0.3, 0.3, 0.0)]), Badge::NotBetterThanRandom);
        assert_eq!(badge(&[trial(0.3, 0.1, 0.7)]), Badge::InsensitiveToWeights);
        assert_eq!(badge(&[]), Badge::NotTested);
        let sound = Trust::of("Mass", &[trial(0.3, 0.3, 0.0)]);
        assert!(sound.is_sound() && !Trust { badge: Badge::Faithful, ..sound }.is_sound());
        let line = Trust::of("Mass", &[trial(0.3, 0.1, 0.0)]).line();
        assert_eq!(line, "faithful (ROAD 0.300, random maps 0.100, p 0.05, 1 images)");
        assert_eq!(Trust::of("Mass", &[]).line(), "not tested");
    }
}
