//! What a finished training is measured by: runs over validation and test, calibration, thresholds, and the card and page
//! of the model.

use std::sync::atomic::AtomicBool;

use crate::cards::catalogue::Home;
use crate::cards::dataset::DatasetCard;
use crate::cards::model::ModelCard;
use crate::cli::table::{Side, Table};
use crate::cli::{evaluation_table, note, progress};
use crate::device::Place;
use crate::error::{Error, Result};
use crate::files;
use crate::inference::batch;
use crate::inference::engine::Pace;
use crate::inference::journal::Others;
use crate::inference::session::{self, Session, Start};
use crate::metrics::calibrator::Method;
use crate::metrics::evaluation::{self, Evaluation, Settings};
use crate::metrics::recalibration::Calibrators;
use crate::predictions::{self, Predictions};
use crate::run::{Calibration, Training, TrainingFolder};
use crate::train::recipe::WEIGHTS;
use crate::train::{Part, Recipe};
use crate::tui::live;

/// A training whose weights are chosen.
pub struct Finished<'a> {
    pub recipe: &'a Recipe,
    pub log: &'a Training,
    pub folder: &'a TrainingFolder,
    pub parts: Vec<Part>,
    pub cards: Vec<DatasetCard>,
    pub place: Place,
    pub threads: usize,
}

impl Finished<'_> {
    /// Measures the weights, writes all that says how they do, and gives what a person is told of it.
    pub fn measure(&self, stop: &AtomicBool) -> Result<String> {
        let mut card = self.recipe.card();
        card.weights.sha256 = Some(files::sha256_of(&self.folder.path().join(WEIGHTS))?);
        card.source = Some(match &self.recipe.source {
            Some(source) => format!("Trained by {}, recipe {} ({source})", self.log.software, self.recipe.name),
            None => format!("Trained by {}, recipe {}", self.log.software, self.recipe.name),
        });
        let settings = Settings { policy: self.recipe.data.policy, ..Settings::default() };
        let tuning = self.evaluate(&card, 1, None, stop)?;
        let raw = evaluation::evaluate(&tuning, None, &settings)?;
        card.op_threshs = Some(youden(&raw));
        let text = toml::to_string(&card).map_err(|e| Error::new(e.to_string()).at("model.toml"))?;
        files::write(&self.folder.card(), text.as_bytes())?;
        let calibrators = self.calibrate(&card, &tuning)?;
        let mut told = format!("\nvalidation, {} images\n\n{}", tuning.len(), evaluation_table::text(&raw));
        let mut measured = None;
        if self.parts.len() > 2 {
            let calibration = calibrators.as_ref().map(|(_, c)| c.clone());
            let test = self.evaluate(&card, 2, calibration, stop)?;
            let mut tuning = tuning;
            if let Some((calibrators, _)) = &calibrators {
                calibrators.apply(&mut tuning)?;
            }
            let evaluation = evaluation::evaluate(&test, Some(&tuning), &settings)?;
            files::write(&self.folder.evaluation(), evaluation.to_json()?.as_bytes())?;
            told += &format!("\ntest, {} images\n\n{}", test.len(), evaluation_table::text(&evaluation));
            told += &format!("\nthresholds of the validation images on the test images\n\n{}", thresholds(&evaluation));
            measured = Some(evaluation);
        }
        files::write(&self.folder.readme(), self.page(&card, measured.as_ref()).as_bytes())?;
        let path = self.folder.path().display();
        Ok(format!("{told}\nwritten to {path}: use it with --model {}\n", self.folder.card().display()))
    }

    /// The predictions of a part's images, which a run folder keeps.
    fn evaluate(
        &self,
        card: &ModelCard,
        part: usize,
        calibration: Option<Calibration>,
        stop: &AtomicBool,
    ) -> Result<Predictions> {
        let Part { name, dataset } = &self.parts[part];
        let folder = self.folder.run(name);
        // The run holds the card without what was found by it.
        let card = ModelCard { op_threshs: None, ..card.clone() };
        let plan = session::Plan {
            model: (card, Home::Folder(self.folder.path().to_owned())),
            dataset_card: self.cards[part].clone(),
            dataset: dataset.clone(),
            split: Some((*name).to_owned()),
            limit: None,
            part: None,
            policy: self.recipe.data.policy,
            calibration,
            training: Some(self.log.clone()),
            place: self.place.clone(),
            pace: Pace { batch: Some(batch::USUAL), decoders: self.threads, strict: true },
            resume: folder.journal().exists() || folder.run_toml().exists(),
            folder: folder.clone(),
            others: Others::Refused,
        };
        let policy = plan.policy;
        match Session::begin(plan)? {
            Start::AlreadyFinished => {}
            Start::Begun(session) => {
                let mut meter = progress::Meter::new();
                live::complete(session, policy, stop, &mut |p| meter.show(p))?;
            }
        }
        predictions::read(&folder.predictions(), None)
    }

    /// A temperature for each label, fitted on the validation images.
    fn calibrate(&self, card: &ModelCard, tuning: &Predictions) -> Result<Option<(Calibrators, Calibration)>> {
        let sha256 = files::sha256_of(&self.folder.run(self.parts[1].name).predictions())?;
        let policy = self.recipe.data.policy;
        let (calibrators, left_out) =
            match Calibrators::fit(tuning, Method::Temperature, policy, Some(card.name.clone()), sha256) {
                Ok(found) => found,
                Err(e) => {
                    note(&format!("not calibrated: {e}"));
                    return Ok(None);
                }
            };
        left_out.iter().for_each(|l| note(&format!("not calibrated: {}: {}", l.label, l.reason)));
        let content = calibrators.to_toml()?;
        files::write(&self.folder.calibration(), content.as_bytes())?;
        let calibration = Calibration { sha256: files::sha256(content.as_bytes()), content };
        Ok(Some((calibrators, calibration)))
    }

    /// The model's page, with the head that the Hub reads.
    fn page(&self, card: &ModelCard, test: Option<&Evaluation>) -> String {
        let Self { recipe, log, .. } = self;
        // The Hub knows single licences by their name in small letters.
        let licence = match card.licence.contains(' ') {
            true => format!("other\nlicense_name: {:?}", card.licence),
            false => card.licence.to_lowercase(),
        };
        let mut page = format!(
            "---\nlicense: {licence}\nlibrary_name: roentgen\npipeline_tag: image-classification\ntags:\n- chest-x-ray\n\
             - {}\n---\n\n# {}\n\n",
            card.architecture, card.name
        );
        page += &format!("{}\n\n", card.source.as_deref().unwrap_or_default());
        page += "For research only: not a medical device, and not to be used for the care of patients.\n\n";
        let data: Vec<_> = log
            .parts
            .iter()
            .zip(&self.cards)
            .map(|(p, c)| {
                format!("- {}: {} images of {} patients of {} ({})", p.name, p.images, p.patients, c.name, c.licence)
            })
            .collect();
        page += &format!("## Data\n\n{}\n\nNo patient is in two of them (`splits.csv`).\n\n", data.join("\n"));
        page += "## Training\n\n";
        if let Some(how) = log.arithmetic() {
            page += &format!("Trained {how}.\n\n");
        }
        page += "| epoch | loss | learning rate | validation loss | AUROC | AUPRC | sensitivity | specificity |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n";
        for e in &log.epochs {
            let v = &e.validation;
            let best = if log.best == Some(e.epoch) { " (these weights)" } else { "" };
            page += &format!(
                "| {}{best} | {:.4} | {:.2e} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} |\n",
                e.epoch, e.loss, e.rate, v.loss, v.auroc, v.average_precision, v.sensitivity, v.specificity
            );
        }
        if !recipe.unstated.is_empty() {
            page += &format!("\nNot stated by the source, chosen by the recipe: {}.\n", recipe.unstated.join(", "));
        }
        if let Some(test) = test {
            page += &format!("\n## Test\n\n```text\n{}\n{}```\n", evaluation_table::text(test), thresholds(test));
            page += "\nThresholds were chosen on the validation images; probabilities are calibrated there by a temperature\n(`calibration.toml`).\n";
        }
        page +=
            "\n## Use\n\n```sh\nroentgen predict --model model.toml --calibration calibration.toml PICTURE...\n```\n";
        page
    }
}

/// Youden's threshold of each label, NaN where there is none.
fn youden(evaluation: &Evaluation) -> Vec<f32> {
    let of = |label: &evaluation::LabelEvaluation| {
        label.operating_points.iter().find(|p| p.rule == "youden").map_or(f32::NAN, |p| p.threshold as f32)
    };
    evaluation.labels.iter().map(of).collect()
}

/// A row a label and rule.
fn thresholds(evaluation: &Evaluation) -> String {
    let header = ["label", "rule", "threshold", "sens", "spec", "PPV", "accuracy", "bal. acc.", "F1"];
    let side = |h: &'static str| (h, if h == "label" || h == "rule" { Side::Left } else { Side::Right });
    let mut table = Table::new(&header.map(side));
    for label in &evaluation.labels {
        for point in &label.operating_points {
            let m = &point.measures;
            let rule = match point.target {
                Some(target) => format!("{} {target}", point.rule),
                None => point.rule.to_owned(),
            };
            let measures = [m.sensitivity, m.specificity, m.ppv, m.accuracy, m.balanced_accuracy, m.f1];
            let cells = [label.label.clone(), rule, format!("{:.4}", point.threshold)];
            table.row(cells.into_iter().chain(measures.map(evaluation_table::number)));
        }
    }
    table.to_string()
}
