//! The command line as clap types; nothing is done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::predictions;

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
    /// The terminal UI: panels over a run, triage of its errors
    Tui(Tui),
    /// The bundled dataset cards, and whether your copy fits them
    Datasets {
        #[command(subcommand)]
        verb: Datasets,
    },
    /// The bundled model cards
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
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("not a whole number above 0".into()),
    }
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
    fn devices() {
        assert_eq!(device("cuda:3"), Ok(Device::Cuda(3)));
        assert_eq!(device("cuda"), Ok(Device::Cuda(0)));
        assert!(device("cuda:x").is_err() && device("tpu").is_err());
    }
}
