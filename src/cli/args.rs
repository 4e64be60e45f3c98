//! The command line as clap types; nothing is done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::metrics::matching::Printed;
use crate::metrics::operating_point::Rule;
use crate::predictions::{self, Condition};

/// Evaluate chest X-ray classifiers so that anyone can recompute the numbers.
///
/// A research tool, not a medical device.
#[derive(Parser)]
#[command(name = "roentgen", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Without one the terminal UI opens
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Show what roentgen does, on drawn phantoms with bundled weights; needs no network and no files
    Demo(Demo),
    /// Run a model over a dataset and write a run folder with predictions and metrics
    Evaluate(Evaluate),
    /// Print a model's probabilities for pictures
    Predict(Predict),
    /// Evaluate any program's predictions; needs no images and no weights
    Score(Score),
    /// Test two models on the same images: differences with intervals, and the images that only one gets right
    Compare(Compare),
    /// Fit maps to better probabilities on tuning predictions, and try them on others
    Calibrate(Calibrate),
    /// The terminal UI: panels over a run, triage of its errors
    Tui(Tui),
    /// The bundled dataset cards, and whether your copy fits them
    Datasets {
        #[command(subcommand)]
        verb: Datasets,
    },
    /// Model cards and weight files: fetch, show, verify, convert
    Weights {
        #[command(subcommand)]
        verb: Weights,
    },
}

#[derive(Args)]
pub struct Demo {
    /// Where the run folder goes [default: a temporary folder that is removed]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print text, also on a terminal
    #[arg(long)]
    pub headless: bool,
}

#[derive(Args)]
pub struct Evaluate {
    /// Model: a bundled card's name or the path of a card
    #[arg(long, value_name = "CARD")]
    pub model: String,
    /// Dataset: a bundled card's name, the path of a card, or a folder of pictures in class folders
    #[arg(long, value_name = "CARD|DIR")]
    pub data: String,
    /// Where the dataset's files are [default: the folder of the card]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Only this split of the dataset
    #[arg(long, value_name = "S")]
    pub split: Option<String>,
    /// The run folder [default: reports/MODEL--DATASET--SPLIT]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Only the first N images
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Go on with an unfinished run; it ends with the same bytes as one that was never stopped
    #[arg(long)]
    pub resume: bool,
    /// Stop at the first picture that cannot be read, rather than list it and go on
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub policy: Policy,
    /// Put the probabilities through the maps that `calibrate --save` wrote
    #[arg(long, value_name = "TOML")]
    pub calibration: Option<PathBuf>,
    #[command(flatten)]
    pub machine: Machine,
    /// Print text, also on a terminal
    #[arg(long)]
    pub headless: bool,
}

#[derive(Args)]
pub struct Tui {
    /// A run folder or a predictions file [default: choose on the first panel]
    #[arg(value_name = "RUN|PREDICTIONS.csv")]
    pub run: Option<PathBuf>,
    /// Where the pictures are, when the run's card does not say
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// How pictures are drawn
    #[arg(long, value_enum, default_value_t = Graphics::Auto)]
    pub graphics: Graphics,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Graphics {
    Auto,
    Kitty,
    Iterm,
    Sixel,
    Blocks,
    Off,
}

#[derive(Args)]
pub struct Predict {
    /// Model: a bundled card's name or the path of a card
    #[arg(long, value_name = "CARD")]
    pub model: String,
    /// Pictures, or folders of pictures
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    #[command(flatten)]
    pub machine: Machine,
}

#[derive(Args)]
pub struct Score {
    /// Predictions: `image`, `patient`, attributes, `y_LABEL`, `p_LABEL` or `logit_LABEL`; or `ID,LABEL,...` with --truth
    #[arg(value_name = "PREDICTIONS.csv")]
    pub predictions: PathBuf,
    #[command(flatten)]
    pub truth: Truth,
    /// Choose thresholds on these predictions, not on those that are evaluated
    #[arg(long, value_name = "TUNING.csv")]
    pub tuning: Option<PathBuf>,
    #[command(flatten)]
    pub policy: Policy,
    /// Only images that meet this: view=PA, sex!=M, age>=60; may be given several times
    #[arg(long = "where", value_name = "CONDITION")]
    pub conditions: Vec<Condition>,
    /// What a row is
    #[arg(long, value_enum, default_value_t = Unit::Image)]
    pub unit: Unit,
    /// How a study's score comes from its images'
    #[arg(long, value_enum, default_value_t = Aggregate::Max)]
    pub aggregate: Aggregate,
    /// Whether scores are probabilities or only rank
    #[arg(long, value_enum, default_value_t = Scores::Probability)]
    pub scores: Scores,
    /// Operating points: youden, f1, sensitivity=S, specificity=S, cost=RATIO, fixed=T; may be given several times
    /// [default: youden, sensitivity=0.95, specificity=0.9, fixed=0.5]
    #[arg(long = "point", value_name = "RULE", value_parser = rule)]
    pub points: Vec<Rule>,
    /// Also predictive values and net benefit at this prevalence
    #[arg(long, value_name = "P", value_parser = prevalence)]
    pub prevalence: Option<f64>,
    /// Replicates of the patient bootstrap, for the intervals that only it gives
    #[arg(long, value_name = "B", default_value_t = 0)]
    pub bootstrap: usize,
    /// Seed of the bootstrap
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Break down by this attribute (ages fall into bands); may be given several times
    #[arg(long, value_name = "ATTRIBUTE")]
    pub by: Vec<String>,
    /// The AUROC with uncertain labels ignored, as zeros and as ones, side by side
    #[arg(long)]
    pub policies: bool,
    /// The metrics in another library's conventions, and where they differ
    #[arg(long, value_enum, value_name = "LIBRARY")]
    pub dialect: Option<Dialect>,
    /// List which metric, average, label policy and threshold rule gives this printed number
    #[arg(long = "match", value_name = "NUMBER")]
    pub printed: Option<Printed>,
    /// Put the curves into the JSON, point by point
    #[arg(long)]
    pub curves: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Args)]
pub struct Compare {
    /// Model A's predictions, or its run folder
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Model B's predictions on the same images, or its run folder
    #[arg(value_name = "B")]
    pub b: PathBuf,
    #[command(flatten)]
    pub truth: Truth,
    #[command(flatten)]
    pub policy: Policy,
    /// Replicates of the paired patient bootstrap behind the intervals of AP, Brier score and ECE; 0 for none
    #[arg(long, value_name = "B", default_value_t = 2000)]
    pub bootstrap: usize,
    /// Seed of the bootstrap
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// What to print; csv lists the images that only one model gets right
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Unit {
    Image,
    Study,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Aggregate {
    Max,
    Mean,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scores {
    Probability,
    Rank,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Dialect {
    Sklearn,
    Torchmetrics,
    Proc,
}

#[derive(Args)]
pub struct Calibrate {
    /// Tuning predictions, with truths, that the maps are fitted on: a file or a run folder
    #[arg(long, value_name = "TUNING.csv|RUN")]
    pub fit: PathBuf,
    /// Predictions of other patients that the maps are applied to: a file or a run folder
    #[arg(long, value_name = "TEST.csv|RUN")]
    pub apply: PathBuf,
    /// One map a label: sigmoid(logit / T), sigmoid(slope * logit + intercept), or a non-falling line through knots
    #[arg(long, value_enum, default_value_t = CalibrationMethod::Temperature)]
    pub method: CalibrationMethod,
    #[command(flatten)]
    pub truth: Truth,
    #[command(flatten)]
    pub policy: Policy,
    /// Go on although tuning and test predictions share patients or images
    #[arg(long)]
    pub same_patients: bool,
    /// Where the calibrated predictions go
    #[arg(long, value_name = "CSV")]
    pub out: Option<PathBuf>,
    /// Where the maps go, for `evaluate --calibration`
    #[arg(long, value_name = "TOML")]
    pub save: Option<PathBuf>,
    /// What to print; csv prints the calibrated predictions
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum CalibrationMethod {
    Temperature,
    Platt,
    Isotonic,
}

/// Where the truths are, and how rows of several files are joined.
#[derive(Args)]
pub struct Truth {
    /// The truths, where the predictions have none
    #[arg(long, value_name = "TRUTH.csv")]
    pub truth: Option<PathBuf>,
    /// The column that names the images [default: image or id]
    #[arg(long, value_name = "COLUMN")]
    pub id: Option<String>,
    /// Leave out images that are not in every file
    #[arg(long)]
    pub allow_missing: bool,
}

/// What becomes of labels that are neither positive nor negative.
#[derive(Args)]
pub struct Policy {
    /// Labels marked uncertain (-1): leave them out, or count them as negative or positive
    #[arg(long, value_enum, default_value_t = Uncertain::Ignore)]
    pub uncertain: Uncertain,
    /// Labels not mentioned (empty): count them as negative, or leave them out
    #[arg(long, value_enum, default_value_t = Unmentioned::Zeros)]
    pub unmentioned: Unmentioned,
}

impl Policy {
    /// The policy that was chosen.
    pub fn resolve(&self) -> predictions::Policy {
        predictions::Policy {
            uncertain: match self.uncertain {
                Uncertain::Ignore => predictions::Uncertain::Ignore,
                Uncertain::Zeros => predictions::Uncertain::Zeros,
                Uncertain::Ones => predictions::Uncertain::Ones,
            },
            unmentioned: match self.unmentioned {
                Unmentioned::Zeros => predictions::Unmentioned::Zeros,
                Unmentioned::Ignore => predictions::Unmentioned::Ignore,
            },
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Uncertain {
    Ignore,
    Zeros,
    Ones,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Unmentioned {
    Zeros,
    Ignore,
}

/// Where and how the arithmetic is done.
#[derive(Args)]
pub struct Machine {
    /// auto, cpu or cuda[:N]
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    pub device: Device,
    /// Pictures that go through the device together
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = positive)]
    pub batch: usize,
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    Auto,
    Cpu,
    Cuda(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Csv,
    Json,
}

#[derive(Subcommand)]
pub enum Datasets {
    /// One line a dataset
    List,
    /// A dataset's card: where to get it, its licence, labels and splits
    Show {
        /// A bundled card's name or the path of a card
        #[arg(value_name = "CARD")]
        card: String,
    },
    /// Read every table and find every picture; say what is missing and how the labels are distributed
    Check {
        /// A bundled card's name, the path of a card, or a folder
        #[arg(value_name = "CARD|DIR")]
        card: String,
        /// Where the dataset's files are [default: the folder of the card]
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// Only this split
        #[arg(long, value_name = "S")]
        split: Option<String>,
    },
}

#[derive(Subcommand)]
pub enum Weights {
    /// One line a model
    List,
    /// What a weight file is: format, naming, hash, tensors with their statistics
    Show {
        /// A bundled card's name, the path of a card, or a weight file
        #[arg(value_name = "CARD|FILE")]
        model: String,
    },
    /// Get weights from the Hugging Face Hub, at the commit that the card or the lock file pins
    Fetch {
        /// Models: bundled cards' names or paths of cards
        #[arg(required = true, value_name = "CARD")]
        models: Vec<String>,
        /// Ask nothing of the network: say whether the cache has the files
        #[arg(long)]
        offline: bool,
    },
    /// Check hashes, that the tensors fit the network, and the card's golden outputs
    Verify {
        /// Models: bundled cards' names or paths of cards
        #[arg(required = true, value_name = "CARD")]
        models: Vec<String>,
    },
    /// Write weights as safetensors under torchvision's names, with where they come from as metadata
    Convert {
        /// A bundled card's name, the path of a card, or a weight file
        #[arg(value_name = "CARD|FILE")]
        from: String,
        /// The new file
        #[arg(value_name = "OUT.safetensors")]
        to: PathBuf,
    },
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("not a whole number above 0".into()),
    }
}

fn rule(text: &str) -> Result<Rule, String> {
    let share = |t: &str| t.parse().ok().filter(|s| (0.0..=1.0).contains(s));
    let above = |t: &str| t.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0);
    let found = match text.split_once('=') {
        None if text == "youden" => Some(Rule::Youden),
        None if text == "f1" => Some(Rule::F1),
        Some(("sensitivity", s)) => share(s).map(Rule::Sensitivity),
        Some(("specificity", s)) => share(s).map(Rule::Specificity),
        Some(("cost", ratio)) => above(ratio).map(Rule::Cost),
        Some(("fixed", t)) => t.parse().ok().filter(|t: &f64| t.is_finite()).map(Rule::Fixed),
        _ => None,
    };
    found.ok_or_else(|| "not youden, f1, sensitivity=S, specificity=S, cost=RATIO or fixed=T".into())
}

fn prevalence(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|p| *p > 0.0 && *p < 1.0).ok_or_else(|| "not a number between 0 and 1".into())
}

fn device(text: &str) -> Result<Device, String> {
    match text {
        "auto" => Ok(Device::Auto),
        "cpu" => Ok(Device::Cpu),
        "cuda" => Ok(Device::Cuda(0)),
        _ => match text.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
            Some(n) => Ok(Device::Cuda(n)),
            None => Err("not auto, cpu, cuda or cuda:N".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_these_types() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rules() {
        assert_eq!(rule("sensitivity=0.95"), Ok(Rule::Sensitivity(0.95)));
        assert_eq!(rule("f1"), Ok(Rule::F1));
        assert!(rule("sensitivity=95").is_err() && rule("cost=0").is_err() && rule("youden=1").is_err());
    }

    #[test]
    fn devices() {
        assert_eq!(device("cuda:3"), Ok(Device::Cuda(3)));
        assert_eq!(device("cuda"), Ok(Device::Cuda(0)));
        assert!(device("cuda:x").is_err() && device("tpu").is_err());
    }
}
