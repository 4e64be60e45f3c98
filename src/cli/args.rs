//! The command line as clap types; nothing is done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cards::printed::Rounding;
use crate::cluster::script;
use crate::device;
use crate::metrics::matching::Printed;
use crate::metrics::operating_point::Rule;
use crate::predictions::{self, Condition};
use crate::shard::Shard;

/// Evaluate chest X-ray classifiers so that anyone can recompute the numbers.
#[derive(Parser)]
#[command(name = "roentgen", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "A research tool, not a medical device.")]
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
    /// Train a model by a recipe, then measure it: weights, card, calibration and thresholds, ready for use
    Train(Train),
    /// Join the shards of a run to the run folder that one process would have written
    Merge(Merge),
    /// Evaluate on a cluster: shards as jobs of Slurm, and how far they are
    Cluster {
        #[command(subcommand)]
        verb: Cluster,
    },
    /// Print a model's probabilities for pictures
    Predict(Predict),
    /// Draw where a model looked, and test whether that can be trusted
    Explain(Box<Explain>),
    /// Evaluate any program's predictions; needs no images and no weights
    Score(Score),
    /// Test two models on the same images: differences with intervals, and the images that only one gets right
    Compare(Compare),
    /// Fit maps to better probabilities on tuning predictions, and try them on others
    Calibrate(Calibrate),
    /// Make a finished run into one document: numbers, page, tables, plots; signed if asked for
    Report(Report),
    /// Check a report: signature, files, and every number computed again
    Verify(Verify),
    /// The arithmetic of published numbers: whether any counts could give them; needs no data
    Audit(Audit),
    /// A published table against predictions: is the comparison fair, and does each number reproduce?
    Reproduce(Reproduce),
    /// The terminal UI: panels over a run, triage of its errors
    Tui(Tui),
    /// The bundled dataset cards, and whether your copy fits them
    Datasets {
        #[command(subcommand)]
        verb: Datasets,
    },
    /// The processor and the graphics cards that can compute here, or why none can
    Devices(Devices),
    /// Model cards and weight files: what is in them, fetch, verify, convert
    Weights {
        #[command(subcommand)]
        verb: Weights,
    },
}

#[derive(Args)]
pub struct Devices {
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
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
    #[command(flatten)]
    pub work: Work,
    /// The run folder [default: reports/MODEL--DATASET--SPLIT]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Only the Ith of N parts of the images, counted from 1; `merge` joins the parts
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Go on with an unfinished run; it ends with the same bytes as one that was never stopped
    #[arg(long)]
    pub resume: bool,
    /// Go on although another process may be writing the run: nothing is harmed, but work may be done twice. For machines
    /// that cannot see each other's locks
    #[arg(long, requires = "resume")]
    pub overlap: bool,
    /// Print text, also on a terminal
    #[arg(long)]
    pub headless: bool,
}

/// What is evaluated on what, and how.
#[derive(Args)]
pub struct Work {
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
    /// Only the first N images
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Stop at the first picture that cannot be read, rather than list it and go on
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub policy: Policy,
    /// Put the probabilities through the maps that `calibrate --save` wrote
    #[arg(long, value_name = "TOML")]
    pub calibration: Option<PathBuf>,
    /// Numbers in which the network computes: f32, bf16 or f16
    #[arg(long, value_name = "NUMBERS", default_value = "f32")]
    pub precision: device::Precision,
    #[command(flatten)]
    pub machine: Machine,
}

#[derive(Args)]
pub struct Train {
    /// Recipe: the path of one, or a bundled one's name
    #[arg(value_name = "RECIPE.toml")]
    pub recipe: String,
    /// Where the dataset's files are [default: the folder of its card]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Where weights, log and runs go [default: reports/train--NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with an unfinished training; it ends with the same bytes as one that was never stopped
    #[arg(long)]
    pub resume: bool,
    /// auto, cpu or cuda[:N]
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: device::Wanted,
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
}

#[derive(Args)]
pub struct Merge {
    /// The run folders of all shards, in any order
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The run folder of the whole
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
}

#[derive(Subcommand)]
pub enum Cluster {
    /// Write the batch scripts of a run whose shards Slurm evaluates, and submit them
    Submit(Box<Submit>),
    /// Submit the shards that are not finished again, by the scripts as they are now
    Resubmit(Resubmit),
    /// How far the shards are, from their folders and from Slurm
    Status(ClusterStatus),
}

#[derive(Args)]
pub struct Submit {
    #[command(flatten)]
    pub work: Work,
    /// How many tasks share the work
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub shards: u64,
    /// The run folder; the scripts, the shards and their logs go to `cluster` in it [default: reports/MODEL--DATASET--SPLIT]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Slurm's partition
    #[arg(long, value_name = "NAME", value_parser = one_line)]
    pub partition: Option<String>,
    /// What each shard's task needs, as gpu:1
    #[arg(long, value_name = "LIST", value_parser = one_line)]
    pub gres: Option<String>,
    /// Time limit of a task, as 4:00:00; a task that meets it goes on where it was
    #[arg(long, value_name = "TIME", value_parser = one_line)]
    pub time: Option<String>,
    /// Whom the time is charged to
    #[arg(long, value_name = "NAME", value_parser = one_line)]
    pub account: Option<String>,
    /// Another option of sbatch, as --sbatch=--constraint=a100; may be given several times
    #[arg(long, value_name = "OPTION", value_parser = sbatch_option, allow_hyphen_values = true)]
    pub sbatch: Vec<String>,
    /// How often shards that did not finish are submitted again
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub retries: usize,
    /// Print the scripts, and write and submit nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args)]
pub struct Resubmit {
    /// The run folder
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Not if that has been done N times
    #[arg(long, value_name = "N")]
    pub retries: Option<usize>,
}

#[derive(Args)]
pub struct ClusterStatus {
    /// The run folder
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// What to print
    #[arg(long, value_enum, default_value_t = PlainFormat::Text)]
    pub format: PlainFormat,
}

#[derive(Args)]
pub struct Report {
    /// The run folder; the report is written into it
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Sign with this private key, with the agent's key of this .pub file, or with the agent's only key
    #[arg(long, value_name = "KEY|agent")]
    pub sign: Option<String>,
    /// Make an Ed25519 key in this file and sign with it
    #[arg(long, value_name = "FILE", conflicts_with = "sign")]
    pub new_key: Option<PathBuf>,
    /// Replicates of the patient bootstrap, for the intervals that only it gives
    #[arg(long, value_name = "B", default_value_t = 0)]
    pub bootstrap: usize,
    /// Seed of the bootstrap
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Compare with a published table: a bundled card's name or the path of a card
    #[arg(long, value_name = "TABLE.toml")]
    pub published: Option<String>,
    /// Where the images are, for example pictures, when the dataset's card does not say
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The model's card, for example pictures, when it is not a bundled one
    #[arg(long, value_name = "CARD")]
    pub model: Option<String>,
}

#[derive(Args)]
pub struct Verify {
    /// The report; its run's files are beside it
    #[arg(value_name = "REPORT.json")]
    pub report: PathBuf,
    /// Whose signatures count: OpenSSH's list of allowed signers
    #[arg(long, value_name = "FILE")]
    pub signers: Option<PathBuf>,
    /// Who must have signed, as the list names them
    #[arg(long, value_name = "NAME", requires = "signers")]
    pub identity: Option<String>,
    /// Where the images are: hash them too
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Predict again and compare the predictions too
    #[arg(long)]
    pub rerun: bool,
    /// The model's card, when it is not a bundled one
    #[arg(long, value_name = "CARD", requires = "rerun")]
    pub model: Option<String>,
    #[command(flatten)]
    pub machine: Machine,
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
    #[arg(value_name = "PATH", required_unless_present = "data", conflicts_with = "data")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub pictures: Pictures,
    /// Also how sure the model is: columns `entropy` and `mutual_information`, in nats, and the mean probabilities of
    /// slightly moved pictures (tta), or of draws of the head's dropped units
    #[arg(long, value_enum, value_name = "KIND")]
    pub uncertainty: Option<Uncertainty>,
    /// Draws of dropped units
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive)]
    pub samples: usize,
    /// Seed of these draws
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Another model of the same labels, whose probabilities are averaged with the first's; may be given several times
    #[arg(long, value_name = "CARD")]
    pub ensemble: Vec<String>,
    /// Also draw where the model looked, for every finding of that report
    #[arg(long, value_name = "METHOD", value_enum, requires = "out")]
    pub explain: Option<Method>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Put the probabilities through the maps that `calibrate --save` wrote
    #[arg(long, value_name = "TOML")]
    pub calibration: Option<PathBuf>,
    /// Write clinical_report.csv, one row a picture, into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// A probability from here on is a finding in that report; for all labels or for one; may be given several times
    #[arg(long = "threshold", value_name = "[LABEL=]T", value_parser = threshold, requires = "out")]
    pub thresholds: Vec<Threshold>,
    /// Numbers in which the network computes: f32, bf16 or f16
    #[arg(long, value_name = "NUMBERS", default_value = "f32")]
    pub precision: device::Precision,
    #[command(flatten)]
    pub machine: Machine,
}

/// A threshold of one label, or of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    pub label: Option<String>,
    pub value: f64,
}

/// The pictures of a dataset, in place of paths.
#[derive(Args)]
pub struct Pictures {
    /// The pictures of a dataset: a bundled card's name, the path of a card, or a folder
    #[arg(long, value_name = "CARD|DIR")]
    pub data: Option<String>,
    /// Where the dataset's files are [default: the folder of the card]
    #[arg(long, value_name = "DIR", requires = "data")]
    pub root: Option<PathBuf>,
    /// Only this split of the dataset
    #[arg(long, value_name = "S", requires = "data")]
    pub split: Option<String>,
    /// Only the first N pictures
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Uncertainty {
    Tta,
    McDropout,
}

#[derive(Args)]
pub struct Explain {
    /// Model: a bundled card's name or the path of a card
    #[arg(long, value_name = "CARD")]
    pub model: String,
    /// Pictures, or folders of pictures
    #[arg(value_name = "PATH", required_unless_present = "data", conflicts_with = "data")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub pictures: Pictures,
    /// How maps are made
    #[arg(long, value_enum, default_value_t = Method::Gradcam)]
    pub method: Method,
    /// The layer that the CAMs are of; `weights show CARD` lists them [default: the one that is pooled]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<String>,
    /// Only this label; may be given several times [default: all of the model's]
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Only labels whose probability reaches the threshold
    #[arg(long)]
    pub only_positive: bool,
    /// The threshold of every label
    #[arg(long, value_name = "P", default_value_t = 0.5, value_parser = probability)]
    pub threshold: f64,
    /// Each label's Youden threshold in the evaluation of this run, where it has one
    #[arg(long, value_name = "RUN", conflicts_with = "threshold")]
    pub thresholds: Option<PathBuf>,
    /// Where overlays, contact sheets and explanations.json go
    #[arg(long, value_name = "DIR", required_unless_present_any = ["data", "trust"])]
    pub out: Option<PathBuf>,
    /// Also the maps as .npy, and over the picture's pixels as PNG of 16 bits
    #[arg(long, requires = "out")]
    pub raw: bool,
    /// Steps of integrated-gradients
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive)]
    pub steps: usize,
    /// How integrated-gradients sums them
    #[arg(long, value_enum, default_value_t = Integration::GaussLegendre)]
    pub rule: Integration,
    /// Where integrated-gradients begins: a black picture, zeros at the input, or the picture's mean
    #[arg(long, value_enum, default_value_t = Baseline::Black)]
    pub baseline: Baseline,
    /// Score the maps against marked findings: ChestX-ray14's BBox_List_2017.csv, SIIM's run lengths, CheXlocalize's JSON.
    /// Phantoms are marked already
    #[arg(long, visible_alias = "masks", value_name = "FILE")]
    pub boxes: Option<PathBuf>,
    /// Replicates of the patient bootstrap behind the intervals of --boxes
    #[arg(long, value_name = "B", default_value_t = 2000)]
    pub bootstrap: usize,
    /// Test the maps of the first N positive pictures of each label: deletion, insertion, ROAD, random weights
    #[arg(long, value_name = "N", value_parser = positive)]
    pub trust: Option<usize>,
    /// Seed of what is random in the tests
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// auto, cpu, cuda[:N] or metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: device::Wanted,
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Method {
    Gradcam,
    #[value(name = "gradcam++")]
    GradcamPlusPlus,
    Hirescam,
    IntegratedGradients,
    InputGradient,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Integration {
    GaussLegendre,
    Trapezoid,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Baseline {
    Black,
    Zeros,
    Mean,
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
    #[command(flatten)]
    pub selection: Selection,
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
    /// Errors among the images that are kept when those with the highest value of this column are left to a person
    #[arg(long, value_name = "COLUMN", num_args = 0..=1, default_missing_value = "entropy")]
    pub risk_coverage: Option<String>,
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

/// Which rows count, and what one is.
#[derive(Args)]
pub struct Selection {
    /// Only images that meet this: view=PA, sex!=M, age>=60; may be given several times
    #[arg(long = "where", value_name = "CONDITION")]
    pub conditions: Vec<Condition>,
    /// What a row is
    #[arg(long, value_enum, default_value_t = Unit::Image)]
    pub unit: Unit,
    /// How a study's score comes from its images'
    #[arg(long, value_enum, default_value_t = Aggregate::Max)]
    pub aggregate: Aggregate,
}

#[derive(Args)]
pub struct Reproduce {
    /// The published table: a bundled card's name or the path of a card
    #[arg(value_name = "TABLE.toml")]
    pub table: String,
    /// The predictions: a run folder or a predictions file
    #[arg(long, value_name = "RUN|PREDICTIONS.csv")]
    pub run: PathBuf,
    #[command(flatten)]
    pub truth: Truth,
    #[command(flatten)]
    pub policy: Policy,
    #[command(flatten)]
    pub selection: Selection,
    /// The predictions behind the table, of the same images: then the comparison is paired
    #[arg(long, value_name = "RUN|PREDICTIONS.csv")]
    pub theirs: Option<PathBuf>,
    /// The predictions are of the weights behind the table: any other digit is NOT REPRODUCED
    #[arg(long)]
    pub same_model: bool,
    /// Whether the images are those of the table [default: as the counts show]
    #[arg(long, value_enum)]
    pub images: Option<Images>,
    /// How far the mean over labels may be off [default: as the card says, else 0.02]
    #[arg(long, value_name = "DELTA", value_parser = margin)]
    pub margin_macro: Option<f64>,
    /// How far a label may be off [default: as the card says, else 0.03]
    #[arg(long, value_name = "DELTA", value_parser = margin)]
    pub margin_label: Option<f64>,
    /// How values became printed digits: half, half-even, half-up, truncate, any [default: as the card says, else half]
    #[arg(long, value_name = "ROUNDING")]
    pub rounding: Option<Rounding>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Document::Text)]
    pub format: Document,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Images {
    /// The same ones
    Same,
    /// Others of the same kind
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Document {
    Text,
    Json,
    Markdown,
}

#[derive(Args)]
pub struct Audit {
    /// Published tables: bundled cards' names or the paths of cards
    #[arg(value_name = "TABLE.toml", required_unless_present = "from")]
    pub tables: Vec<String>,
    /// A table in a CSV file, taken as a card
    #[arg(long, value_name = "TABLE.csv")]
    pub from: Option<PathBuf>,
    /// Where the card that the CSV makes goes
    #[arg(long, value_name = "TABLE.toml", requires = "from")]
    pub save: Option<PathBuf>,
    /// How values became printed digits: half, half-even, half-up, truncate, any [default: as the card says, else half]
    #[arg(long, value_name = "ROUNDING")]
    pub rounding: Option<Rounding>,
    /// What to print
    #[arg(long, value_enum, default_value_t = PlainFormat::Text)]
    pub format: PlainFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlainFormat {
    Text,
    Json,
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
    /// auto, cpu, cuda[:N] or metal
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: device::Wanted,
    /// Pictures that go through the device together [default: 16; on a card as many as its memory holds]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
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
    /// What two datasets share: patients, files, pictures, and images that a model was trained on
    Leakage(Leakage),
}

#[derive(Args)]
pub struct Leakage {
    /// The training data: a bundled card's name, the path of a card, or a folder
    #[arg(value_name = "A")]
    pub a: String,
    /// The test data; the same as A looks for copies within it
    #[arg(value_name = "B")]
    pub b: String,
    /// Where A's files are [default: the folder of the card]
    #[arg(long, value_name = "DIR")]
    pub root_a: Option<PathBuf>,
    /// Where B's files are
    #[arg(long, value_name = "DIR")]
    pub root_b: Option<PathBuf>,
    /// Only this split of A
    #[arg(long, value_name = "S")]
    pub split_a: Option<String>,
    /// Only this split of B
    #[arg(long, value_name = "S")]
    pub split_b: Option<String>,
    /// A list of images that a model was trained on, one a line: which of B are on it
    #[arg(long, value_name = "LIST")]
    pub trained_on: Option<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t = PlainFormat::Text)]
    pub format: PlainFormat,
}

#[derive(Subcommand)]
pub enum Weights {
    /// One line a model
    List,
    /// What a model or weight file is: labels, preprocessing, layers for --layer; format, naming, hash, statistics
    Show {
        /// A bundled card's name, the path of a card, or a weight file
        #[arg(value_name = "CARD|FILE")]
        model: String,
        /// A row for every tensor instead of one for every part of the network
        #[arg(long)]
        tensors: bool,
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
    /// The [reference] table of a model card, from pictures of its training data
    Reference {
        /// A bundled card's name or the path of a card
        #[arg(value_name = "CARD")]
        model: String,
        /// The training data: a bundled card's name, the path of a card, or a folder
        #[arg(long, value_name = "CARD|DIR")]
        data: String,
        /// Where the dataset's files are [default: the folder of the card]
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// Only this split
        #[arg(long, value_name = "S")]
        split: Option<String>,
        /// How many pictures, spread evenly over the data
        #[arg(long, value_name = "N", default_value_t = 200, value_parser = positive)]
        pictures: usize,
    },
}

fn sbatch_option(text: &str) -> Result<String, String> {
    script::check_line(text).map(|()| text.to_owned())
}

fn one_line(text: &str) -> Result<String, String> {
    script::check_line(&format!("--x={text}")).map(|()| text.to_owned()).map_err(|_| "has a control character".into())
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

fn probability(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|p| (0.0..=1.0).contains(p)).ok_or_else(|| "not a number from 0 to 1".into())
}

fn threshold(text: &str) -> Result<Threshold, String> {
    let (label, value) = text.rsplit_once('=').map_or((None, text), |(label, value)| (Some(label.to_owned()), value));
    let value =
        value.parse().ok().filter(|t| (0.0..=1.0).contains(t)).ok_or("not a probability, or LABEL=probability")?;
    Ok(Threshold { label, value })
}

fn prevalence(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|p| *p > 0.0 && *p < 1.0).ok_or_else(|| "not a number between 0 and 1".into())
}

fn margin(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|m| *m > 0.0 && *m < 1.0).ok_or_else(|| "not a number between 0 and 1".into())
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
    fn thresholds() {
        assert_eq!(threshold("0.25"), Ok(Threshold { label: None, value: 0.25 }));
        assert_eq!(threshold("a=b=1"), Ok(Threshold { label: Some("a=b".into()), value: 1.0 }));
        assert!(threshold("1.5").is_err() && threshold("Mass=").is_err() && threshold("nan").is_err());
    }
}
