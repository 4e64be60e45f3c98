//! Recipes: everything that decides a training, in one TOML file.

mod learning;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::learning::{Loss, Measure, Optimizer, Sampling, Training};
use super::schedule::Schedule;
use crate::cards;
use crate::cards::model::{self, Architecture, HeadLayer, Input, ModelCard, Options, Output, Weights};
use crate::error::{Error, Result};
use crate::imaging::augment::Augment;
use crate::predictions::Policy;

/// The schema that a recipe names.
pub const SCHEMA: &str = "roentgen/recipe/1";

/// The weight file of a training folder, as its model card names it.
pub const WEIGHTS: &str = "weights.safetensors";

/// A recipe, validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The name of the recipe, and of the model that comes out of it.
    pub name: String,
    /// What it follows, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Keys (`training.epochs`, `augment`) whose values the source does not state: they were chosen here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unstated: Vec<String>,
    /// Decides every draw: new weights, split, order, augmentation, dropout.
    #[serde(default)]
    pub seed: u64,
    /// The network.
    pub model: Network,
    /// Weights to start from, each over those before it; without any, all are drawn anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start: Vec<Start>,
    /// The images.
    pub data: Data,
    /// How it learns.
    pub training: Training,
    /// What changes the weights.
    pub optimizer: Optimizer,
    /// How the learning rate changes.
    #[serde(default)]
    pub schedule: Schedule,
    /// How pictures are varied.
    #[serde(default)]
    pub augment: Augment,
}

/// A model card without name and weights; the keys are those of model cards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // as in model cards
pub struct Network {
    pub architecture: Architecture,
    pub labels: Vec<String>,
    pub licence: String,
    #[serde(default)]
    pub options: Options,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub head: Vec<HeadLayer>,
    pub input: Input,
}

/// Weights to start from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Which of the weights are taken.
    pub part: StartPart,
    /// Whose: a bundled model card's name, or the path of a card relative to the recipe. It may be of other labels where
    /// only the backbone is wanted.
    pub model: String,
}

/// Which weights of a model are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartPart {
    /// All but those of the head.
    Backbone,
    /// All.
    All,
}

/// The images: what is learnt from, what is watched, what the result is measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The dataset: a bundled card's name, or a path relative to the recipe.
    pub card: String,
    /// Its split to learn from; left out: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<String>,
    /// What chooses the best epoch, the calibration and the thresholds.
    pub validation: Part,
    /// What the result is measured on; left out: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Part>,
    /// What uncertain and unmentioned labels count as; what is ignored has no part in the loss.
    #[serde(default)]
    pub policy: Policy,
}

/// Images beside those to learn from: a share of their patients, or a dataset or split of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// This share of the images to learn from is split off, whole patients, the labels as frequent as in the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Another dataset; left out: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// A split of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

impl Recipe {
    /// Parses and checks the text of a recipe found at `place`. Errors name the line or the key.
    pub fn parse(text: &str, place: impl std::fmt::Display) -> Result<Self> {
        let parse = || {
            let recipe: Self = cards::parse(text)?;
            cards::check_schema(&recipe.schema, SCHEMA)?;
            recipe.check()?;
            let tree: toml::Table = cards::parse(text)?;
            match recipe.unstated.iter().find(|key| !has(&tree, key)) {
                Some(key) => Err(bad("unstated", format!("the recipe has no key `{key}`"))),
                None => Ok(recipe),
            }
        };
        parse().map_err(|e: Error| e.at(place))
    }

    /// The model card of what comes out, with its weights beside it.
    pub fn card(&self) -> ModelCard {
        let Network { architecture, labels, licence, options, head, input } = self.model.clone();
        ModelCard {
            schema: model::SCHEMA.into(),
            name: self.name.clone(),
            architecture,
            labels,
            output: Output::Sigmoid,
            licence,
            source: self.source.clone(),
            op_threshs: None,
            options,
            head,
            weights: Weights { path: Some(PathBuf::from(WEIGHTS)), ..Weights::default() },
            input,
            golden: Vec::new(),
            reference: None,
        }
    }

    fn check(&self) -> Result<()> {
        if self.name.is_empty() || Path::new(&self.name).components().count() != 1 {
            return Err(bad("name", format!("{:?} cannot name a folder", self.name)));
        }
        self.card().check().map_err(|e| e.at("`model`"))?;
        self.training.check()?;
        self.optimizer.check()?;
        self.schedule.check()?;
        self.augment.check().map_err(|e| e.at("`augment`"))?;
        let shares: Vec<f64> = [Some(&self.data.validation), self.data.test.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|part| part.share)
            .collect();
        if shares.iter().any(|s| !(*s > 0.0 && *s < 1.0)) || shares.iter().sum::<f64>() >= 1.0 {
            return Err(bad("data", format!("shares of {shares:?} leave nothing to learn from"))
                .mend("use shares above 0 that sum to less than 1"));
        }
        for (key, part) in [("data.validation", Some(&self.data.validation)), ("data.test", self.data.test.as_ref())] {
            let Some(Part { share, card, split }) = part else { continue };
            if share.is_some() == (card.is_some() || split.is_some()) {
                return Err(bad(key, "it needs either a `share`, or a `card` or `split`"));
            }
        }
        Ok(())
    }
}

/// Whether the dotted `key` stands in the recipe.
fn has(tree: &toml::Table, key: &str) -> bool {
    let mut parts = key.split('.');
    let first = parts.next().and_then(|part| tree.get(part));
    parts.fold(first, |at, part| at.and_then(|value| value.get(part))).is_some()
}

pub(super) fn bad(key: &str, cause: impl Into<String>) -> Error {
    Error::new(cause).at(format_args!("`{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::catalogue;

    #[test]
    fn every_bundled_recipe_is_valid_and_named_as_its_file() {
        for name in catalogue::recipe_names() {
            let (text, _) = catalogue::recipe(name).unwrap();
            let recipe = Recipe::parse(&text, name).unwrap();
            assert_eq!(recipe.name, name);
            let others = [Some(&recipe.data.validation), recipe.data.test.as_ref()];
            let cards = others.into_iter().flatten().filter_map(|p| p.card.as_ref());
            for card in cards.chain([&recipe.data.card]) {
                catalogue::dataset(card).unwrap();
            }
            recipe.start.iter().for_each(|start| drop(catalogue::model(&start.model).unwrap()));
        }
        assert!(catalogue::recipe_names().count() >= 8);
    }

    #[test]
    fn faults_name_the_key() {
        let (text, _) = catalogue::recipe("004-from-scratch").unwrap();
        for (from, to, says) in [
            ("epochs = 3", "epochs = 0", "`training.epochs`"),
            ("epochs = 3", "epoch = 3", "epoch"),
            ("batch = 32", "batch = 32\nclip = 0.0", "`training.clip`"),
            ("share = 0.1", "share = 1.0", "leave nothing to learn from"),
            ("{ share = 0.1 }", "{ share = 0.1, split = \"val\" }", "`data.validation`"),
            ("rate = 1e-3", "rate = -1.0", "`optimizer.rate`"),
            ("weight_decay = 1e-4", "weight_decay = nan", "`optimizer.weight_decay`"),
            ("\"adamw\"", "\"adamw2\"", "adamw2"),
            ("max = 2e-3", "max = 2e-3\nrising = 2.0", "`schedule.rising`"),
            ("flip = 0.5", "flip = 5", "`flip`"),
            ("\"resnet18\"", "\"resnet18\"\noptions = { width = 2.0 }", "options.width"),
            ("\"seed\"]", "\"seed\", \"training.sed\"]", "training.sed"),
            ("recipe/1", "recipe/2", "schema"),
            ("name = \"004-from-scratch\"", "name = \"../x\"", "`name`"),
        ] {
            assert!(text.contains(from), "{from}");
            let e = Recipe::parse(&text.replacen(from, to, 1), "r.toml").unwrap_err().to_string();
            assert!(e.starts_with("r.toml") && e.contains(says), "{from} -> {to}: {e}");
        }
    }
}
