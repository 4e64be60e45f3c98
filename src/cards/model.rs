//! Model cards: what a classifier is, where its weights are and how its input is made.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The schema that a model card names.
pub const SCHEMA: &str = "roentgen/model/1";

/// A model card, validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The name that catalogue and runs know it by.
    pub name: String,
    /// The backbone.
    pub architecture: Architecture,
    /// One name an output, in the order of the head's units.
    pub labels: Vec<String>,
    /// How logits become probabilities.
    pub output: Output,
    /// SPDX expression or a short name of the weights' licence.
    pub licence: String,
    /// Where the weights and the numbers about them come from, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Operating thresholds that the weights were published with, one a label, NaN where there is none. Recorded, not
    /// applied: scores are never changed by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op_threshs: Option<Vec<f32>>,
    /// The architecture's own options.
    #[serde(default)]
    pub options: Options,
    /// Layers after global average pooling; empty means one linear layer to the labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub head: Vec<HeadLayer>,
    /// Where the weights are.
    pub weights: Weights,
    /// How a picture becomes the network's input.
    pub input: Input,
    /// Outputs of another program that the model must agree with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub golden: Vec<Golden>,
    /// What pictures of the training data look like to the network; what differs much is told before a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

/// What another program's run of the same network gives for a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The picture, relative to the card.
    pub image: PathBuf,
    /// Its logits, one a label.
    pub logits: Vec<f32>,
    /// Largest difference that still agrees.
    pub tolerance: f32,
}

/// Statistics over pictures of the training data, one number a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Of the mean of the network's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_mean: Option<Spread>,
    /// Of its standard deviation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_std: Option<Spread>,
    /// Of the mean of the last feature maps, as the architecture gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Spread>,
}

/// Mean and standard deviation over pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, above 0.
    pub std: f64,
}

/// The backbones that roentgen builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the variants are the names that the field uses
pub enum Architecture {
    Densenet121,
    Densenet161,
    Densenet169,
    Densenet201,
    Resnet18,
    Resnet34,
    Resnet50,
    MobilenetV2,
    /// Whatever the graph of the ONNX file is.
    Onnx,
}

impl Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Cards and people use the same names.
        self.serialize(f)
    }
}

/// How logits become probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Independent labels: the logistic function of each logit.
    Sigmoid,
    /// Classes that exclude each other: they sum to one.
    Softmax,
}

/// Options of an architecture; what is left out takes the architecture's published value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// MobileNetV2's width multiplier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// Whose padding rule strided convolutions follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<Padding>,
    /// Added to the variance in batch normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm_eps: Option<f64>,
    /// DenseNet: layers in each of the four blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Vec<usize>>,
    /// DenseNet: feature maps that a layer adds. The stem makes twice as many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<usize>,
}

/// Whose padding rule strided convolutions follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// The same on both sides.
    Torchvision,
    /// TensorFlow's `SAME` for an even input: one row and column more at the end.
    Keras,
}

/// A dense layer of the head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadLayer {
    /// Outputs.
    pub units: usize,
    /// What follows the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Probability of dropping an output while training; nothing at inference.
    #[serde(default)]
    pub dropout: f64,
    /// Whether the layer adds a bias.
    #[serde(default = "yes")]
    pub bias: bool,
}

fn yes() -> bool {
    true
}

/// What follows a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// max(x, 0).
    Relu,
}

/// Where the weights are: a local file, or a file on the Hub at a fixed commit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// A file, relative to the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// A file that is read first, relative to the card; the tensors of `path` replace its own of the same names, as when
    /// Keras' `load_weights` follows a backbone's own weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// SHA-256 of the base's bytes, in hex: it goes with `base`, so that a run's record tells both files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_sha256: Option<String>,
    /// `owner/name` on the Hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The commit of `repo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The file in `repo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// SHA-256 of the file's bytes, in hex; checked whenever it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whose tensor names the file uses; detected when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub naming: Option<Naming>,
}

/// Whose tensor names a weight file uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Naming {
    /// torchvision's `state_dict` names of today.
    Torchvision,
    /// torchvision's DenseNet names before 0.3 (`norm.1`, `conv.1`, ...).
    TorchvisionOld,
    /// timm's: of MobileNetV2 its own, else torchvision's.
    Timm,
    /// Keras' layers, in an HDF5 file.
    Keras,
    /// torchxrayvision's: torchvision's, with thresholds among them.
    Torchxrayvision,
    /// MONAI's DenseNets (`layers.norm1`, `class_layers.out`); its ResNets have torchvision's.
    Monai,
}

impl Display for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// How a picture becomes the network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// 1: colour becomes Pillow's luma. 3: gray is repeated.
    pub channels: usize,
    /// What is done to the picture, in this order.
    pub steps: Vec<Step>,
}

/// One step of preprocessing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// An explicit VOI window in the file's own units (Hounsfield, stored values); only first.
    /// Without it a DICOM file's own window is used.
    Window {
        /// Middle of the window.
        center: f64,
        /// Width of the window, above 0.
        width: f64,
    },
    /// Pillow's resampling.
    Resize {
        /// The target, pixels.
        size: usize,
        /// What `size` means for pictures that are not square.
        mode: Mode,
        /// Pillow's filter.
        filter: Filter,
    },
    /// Cuts the middle out.
    CenterCrop {
        /// Side of the square, pixels; left out: the largest square.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<usize>,
    },
    /// Maps the decoder's full range (0 to 255 for 8 bits) linearly to `to`.
    Scale {
        /// Where the ends of the range go.
        to: [f32; 2],
    },
    /// Subtracts the mean and divides by the standard deviation; one value a channel or one for all.
    Normalize {
        /// Means.
        mean: Vec<f32>,
        /// Standard deviations.
        std: Vec<f32>,
    },
    /// Zero mean and unit (population) variance over all pixels of this picture.
    Standardize,
}

/// What a resize's `size` means for pictures that are not square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Both sides become `size`; the aspect ratio is lost.
    Squash,
    /// The shorter side becomes `size`, the longer one `floor(size * long / short)` (torchvision's `Resize`).
    Shorter,
    /// Resampled to fill the square and cropped around the middle (Pillow's `ImageOps.fit`).
    Fit,
}

/// Pillow's resampling filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names are Pillow's
pub enum Filter {
    Bilinear,
    Bicubic,
    Lanczos,
}

impl ModelCard {
    /// Reads and checks the card at `path`. Errors name the file, the key and the mend.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&super::read(path)?, path.display())
    }

    /// Parses and checks the text of a card found at `place`.
    pub fn parse(text: &str, place: impl Display) -> Result<Self> {
        let parse = || {
            let card: Self = super::parse(text)?;
            card.check()?;
            Ok(card)
        };
        parse().map_err(|e: Error| e.at(place))
    }

    /// Side of the square that the network sees, pixels; `None` when the steps leave the size to the picture.
    pub fn input_size(&self) -> Option<usize> {
        self.input.steps.iter().rev().find_map(|step| match step {
            Step::Resize { mode: Mode::Shorter, .. } => Some(None),
            Step::Resize { size, .. } | Step::CenterCrop { size: Some(size) } => Some(Some(*size)),
            _ => None,
        })?
    }

    /// Refuses values that make no sense; errors name the key.
    pub(crate) fn check(&self) -> Result<()> {
        super::check_schema(&self.schema, SCHEMA)?;
        super::check_labels(&self.labels)?;
        let Options { width, blocks, growth, norm_eps, .. } = &self.options;
        let densenet = matches!(
            self.architecture,
            Architecture::Densenet121
                | Architecture::Densenet161
                | Architecture::Densenet169
                | Architecture::Densenet201
        );
        let mobilenet = self.architecture == Architecture::MobilenetV2;
        if self.architecture == Architecture::Onnx && self.options != Options::default() {
            return Err(bad("options", "an ONNX graph tells its own").mend("remove the table"));
        }
        if width.is_some() && !mobilenet {
            return Err(bad("options.width", "only mobilenet_v2 has a width").mend("remove the key"));
        }
        if (blocks.is_some() || growth.is_some()) && !densenet {
            return Err(bad("options.blocks, options.growth", "only DenseNets have them").mend("remove the keys"));
        }
        if let Some(width) = width.filter(|w| !(0.01..=10.0).contains(w)) {
            return Err(bad("options.width", format!("{width} is out of range")).mend("use 0.01 to 10"));
        }
        if let Some(eps) = norm_eps.filter(|e| !(*e > 0.0 && *e < 1.0)) {
            return Err(bad("options.norm_eps", format!("{eps} is out of range")).mend("use a small number above 0"));
        }
        if let Some(b) = blocks.as_ref().filter(|b| b.len() != 4 || b.iter().any(|n| !(1..=512).contains(n))) {
            return Err(bad("options.blocks", format!("{b:?} is not four counts from 1 to 512")));
        }
        if let Some(g) = growth.filter(|g| !(1..=1024).contains(g)) {
            return Err(bad("options.growth", format!("{g} is out of range")).mend("use 1 to 1024"));
        }
        for (i, layer) in self.head.iter().enumerate() {
            let key = |name: &str| format!("head[{i}].{name}");
            if !(1..=1 << 20).contains(&layer.units) {
                return Err(bad(key("units"), format!("{} is out of range", layer.units)));
            }
            if !(0.0..1.0).contains(&layer.dropout) {
                return Err(bad(key("dropout"), format!("{} is no probability below 1", layer.dropout)));
            }
        }
        if let Some(last) = self.head.last().filter(|l| l.units != self.labels.len()) {
            let cause = format!("the last layer has {} units for {} labels", last.units, self.labels.len());
            return Err(bad("head", cause).mend("give it one unit a label"));
        }
        if let Some(thresholds) = self.op_threshs.as_ref().filter(|t| t.len() != self.labels.len()) {
            let cause = format!("{} thresholds for {} labels", thresholds.len(), self.labels.len());
            return Err(bad("op_threshs", cause).mend("give one a label, nan where there is none"));
        }
        for (i, golden) in self.golden.iter().enumerate() {
            let count = golden.logits.len();
            if count != self.labels.len() || golden.tolerance.is_nan() || golden.tolerance < 0.0 {
                let cause = format!("{count} logits for {} labels, tolerance {}", self.labels.len(), golden.tolerance);
                return Err(bad(format_args!("golden[{i}]"), cause).mend("give one logit a label"));
            }
        }
        if let Some(Reference { input_mean, input_std, features }) = &self.reference
            && [input_mean, input_std, features].into_iter().flatten().any(|s| s.std.is_nan() || s.std <= 0.0)
        {
            return Err(bad("reference", "a standard deviation is not above 0"));
        }
        self.weights.check()?;
        self.input.check()
    }
}

impl Weights {
    fn check(&self) -> Result<()> {
        match (&self.path, &self.repo) {
            (Some(_), None) if self.revision.is_some() || self.file.is_some() => {
                return Err(bad("weights", "`revision` and `file` go with `repo`").mend("remove them or `path`"));
            }
            (Some(_), None) => {}
            (None, Some(_)) if self.revision.is_none() || self.file.is_none() => {
                return Err(bad("weights", "`repo` needs `revision` (a commit) and `file`"));
            }
            (None, Some(_)) => {}
            (Some(_), Some(_)) => return Err(bad("weights", "both `path` and `repo` are given").mend("keep one")),
            (None, None) => return Err(bad("weights", "neither `path` nor `repo` is given").mend("add one")),
        }
        if self.base.is_some() && self.path.is_none() {
            return Err(bad("weights.base", "a base goes with a `path`").mend("give `path`, or remove `base`"));
        }
        if self.base.is_some() != self.base_sha256.is_some() {
            return Err(bad("weights.base", "`base` and `base_sha256` go together").mend("add the output of sha256sum"));
        }
        for (key, hash) in [("weights.sha256", &self.sha256), ("weights.base_sha256", &self.base_sha256)] {
            if let Some(hash) = hash
                && (hash.len() != 64 || hash.bytes().any(|b| !b.is_ascii_hexdigit()))
            {
                return Err(bad(key, "not 64 hexadecimal digits").mend("use the output of sha256sum"));
            }
        }
        Ok(())
    }
}

impl Input {
    fn check(&self) -> Result<()> {
        if self.channels != 1 && self.channels != 3 {
            return Err(bad("input.channels", format!("{} channels", self.channels)).mend("use 1 or 3"));
        }
        for (i, step) in self.steps.iter().enumerate() {
            let key = |name: &str| format!("input.steps[{i}].{name}");
            match step {
                Step::Window { width, center } => {
                    if i > 0 {
                        return Err(bad(key("op"), "`window` is not the first step").mend("move it to the front"));
                    }
                    if !(width.is_finite() && *width > 0.0 && center.is_finite()) {
                        return Err(bad(key("width"), "not a finite number above 0"));
                    }
                }
                Step::Resize { size, .. } | Step::CenterCrop { size: Some(size) } => {
                    if !(1..=8192).contains(size) {
                        return Err(bad(key("size"), format!("{size} is out of range")).mend("use 1 to 8192"));
                    }
                }
                Step::Scale { to } => {
                    if !(to[0].is_finite() && to[1].is_finite() && to[0] != to[1]) {
                        return Err(bad(key("to"), "not two different finite numbers"));
                    }
                }
                Step::Normalize { mean, std } => {
                    for (name, v) in [("mean", mean), ("std", std)] {
                        if v.len() != 1 && v.len() != self.channels {
                            let cause = format!("{} values for {} channels", v.len(), self.channels);
                            return Err(bad(key(name), cause));
                        }
                    }
                    if mean.iter().any(|m| !m.is_finite()) || std.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
                        return Err(bad(key("std"), "means must be finite and deviations above 0"));
                    }
                }
                Step::CenterCrop { size: None } | Step::Standardize => {}
            }
        }
        Ok(())
    }
}

fn bad(key: impl Display, cause: impl Into<String>) -> Error {
    Error::new(cause).at(format_args!("`{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = r#"
        schema = "roentgen/model/1"
        name = "m"
        architecture = "mobilenet_v2"
        labels = ["Normal", "COVID-19"]
        output = "softmax"
        licence = "MIT"
        [options]
        width = 0.35
        padding = "keras"
        [[head]]
        units = 2
        bias = false
        [weights]
        path = "m.safetensors"
        [input]
        channels = 3
        steps = [ { op = "resize", size = 224, mode = "fit", filter = "lanczos" }, { op = "scale", to = [-1.0, 1.0] } ]
    "#;

    #[test]
    fn the_documented_card_reads() {
        let card = ModelCard::parse(CARD, "m.toml").unwrap();
        assert_eq!(card.architecture, Architecture::MobilenetV2);
        assert!(!card.head[0].bias);
        assert_eq!(card.input_size(), Some(224));
    }

    #[test]
    fn faults_name_the_key() {
        for (from, to, says) in [
            ("mobilenet_v2", "resnet18", "options.width"),
            ("units = 2", "units = 3", "`head`"),
            ("\"COVID-19\"", "\"Normal\"", "twice"),
            ("path = ", "repo = \"a/b\"\npath = ", "keep one"),
            ("channels = 3", "channels = 2", "input.channels"),
            ("size = 224", "size = 0", "input.steps[0].size"),
            ("model/1", "model/2", "schema"),
            ("bias = false", "bais = false", "bais"),
            ("padding = \"keras\"", "padding = \"caffe\"", "caffe"),
        ] {
            assert!(CARD.contains(from), "{from}");
            let e = ModelCard::parse(&CARD.replacen(from, to, 1), "m.toml").unwrap_err().to_string();
            assert!(e.contains(says), "{from} -> {to}: {e}");
        }
    }
}
